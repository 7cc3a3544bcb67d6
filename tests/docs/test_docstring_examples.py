"""Every top-level name has an example in its docstring, which runs and prints what it says.

Examples may use what the ones of other names make: ``gbm``, ``family``, ``loss``, ``x0``, ``grid``, ``problem``,
``expansion``, ``test``, ``system``, ``report`` and ``model``. Numbers may differ, words may not.
"""

from __future__ import annotations

import doctest
import inspect
import re
import warnings

import matplotlib as mpl
import pytest
import torch

import sdewm
from sdewm import FunctionSDE, PerturbedSDE, System, TimeGrid, expand, taylor_test, verify

mpl.use("Agg")

NUMBER = re.compile(r"[-+]?\b\d+(\.\d*)?(e[-+]?\d+)?")


class SameWords(doctest.OutputChecker):
    """Compares what is printed without its numbers, as far as an ellipsis."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        want, got = (" ".join(NUMBER.sub("0", text).split()) for text in (want, got))
        whole, dots, _ = want.partition("…")
        return got.startswith(whole.strip()) if dots else got == want


@pytest.fixture(scope="module")
def names() -> dict[str, object]:
    gbm = FunctionSDE(lambda t, x: 0.1 * x, lambda t, x: 0.3 * x)
    x0, grid = torch.ones(1, dtype=torch.float64), TimeGrid(0.0, 1.0, 16)
    made = {
        "gbm": gbm,
        "x0": x0,
        "grid": grid,
        "family": PerturbedSDE(gbm, FunctionSDE(lambda t, x: torch.sin(x), lambda t, x: 0.1 * x)),
        "loss": lambda x: (x**2).sum(-1),
    }
    problem = (made["family"], made["loss"], x0, grid)
    system = System(*problem)
    latent = inspect.getdoc(sdewm.LatentSDE)
    made |= {
        "torch": torch,
        "warnings": warnings,
        "sdewm": sdewm,
        "problem": problem,
        "system": system,
        "expansion": expand(*problem),
        "test": taylor_test(*problem),
        "report": verify(system, ["sensitivities"]),
        **{name: getattr(sdewm, name) for name in sdewm.__all__},
    }
    scope = dict(made)
    [example, *_] = doctest.DocTestParser().get_examples(latent)
    exec(example.source, scope)
    return made | {"model": scope["model"]}


@pytest.mark.parametrize("name", sdewm.__all__)
def test_a_top_level_name_has_an_example_that_holds(name, names, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    thing = getattr(sdewm, name)
    test = doctest.DocTestParser().get_doctest(inspect.getdoc(thing), dict(names), name, None, 0)
    assert test.examples, f"{name} has no example"
    said: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = doctest.DocTestRunner(checker=SameWords()).run(test, out=said.append, clear_globs=True)
    assert result.failed == 0, "".join(said)
