"""One name, one meaning: no public class, alias or function of the library is defined in two of its files.

And one order of arguments: what is simulated, x0, grid, and all else by name.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

import sdewm

HOME = Path(sdewm.__file__).parent
# Rules for jets are named after the functions of torch that they are for.
RULES = {
    *("attention", "coefficientwise", "comparisons", "conversion", "creation", "elementwise", "indexing", "joining"),
    *("linear", "linear_algebra", "norms", "queries", "reductions", "special", "views"),
}
# What every file of a folder has, for the code that goes through the folder; and the same thing of two objects.
SHARED = {
    "check": "every claim's rows",
    "draw": "every figure",
    "register": "enters a scheme, an environment or a rule in its table",
    "by_differences": "a route of a claim: central differences",
    "initial_state": "x0 of a model",
    "load": "reads a record",
}


def defined(file: Path) -> Iterator[str]:
    """Public names of a file: classes, functions, and aliases of types, but not constants."""
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names = [node.name]
        elif isinstance(node, ast.Assign):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        else:
            continue
        yield from (name for name in names if not name.startswith("_") and not (len(name) > 1 and name.isupper()))


def twice(home: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for file in sorted(home.rglob("*.py")):
        if not (file.parent.name == "jets" and file.stem in RULES):
            for name in sorted(set(defined(file))):
                found.setdefault(name, []).append(str(file.relative_to(home)))
    return {name: files for name, files in found.items() if len(files) > 1}


def test_no_name_has_two_meanings():
    assert {name: files for name, files in twice(HOME).items() if name not in SHARED} == {}


def test_what_is_shared_is_there():
    assert set(SHARED) <= set(twice(HOME))


def test_a_second_meaning_is_seen(tmp_path):
    (tmp_path / "one.py").write_text("class Kind: ...\n")
    (tmp_path / "two.py").write_text("Kind = int\nSIZE = 3\n")
    (tmp_path / "three.py").write_text("SIZE = 4\n")
    assert twice(tmp_path) == {"Kind": ["one.py", "two.py"]}


def after_the_grid(file: Path) -> Iterator[str]:
    """Arguments that may be given by their place and come after x0 and a grid, of public functions."""
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
            if "x0" in names and "grid" in names:
                assert names.index("x0") + 1 == names.index("grid"), f"{node.name}: x0, then grid"
                yield from (f"{node.name}({name})" for name in names[names.index("grid") + 1 :])


@pytest.mark.parametrize("name", ["sdewm", "theory_checks"])
def test_what_comes_after_the_grid_goes_by_its_name(name):
    assert [found for file in sorted((HOME.parent / name).rglob("*.py")) for found in after_the_grid(file)] == []


def test_the_first_arguments_of_the_public_functions():
    """Of all that takes an initial state at top level: a system or what it is made of, x0, grid."""
    found = {}
    for name in sdewm.__all__:
        if inspect.isfunction(function := getattr(sdewm, name)):
            parameters = inspect.signature(function).parameters.values()
            positional = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
            if "x0" in positional:
                found[name] = positional
    of_sde, of_family = ["sde", "x0", "grid"], ["family", "loss", "x0", "grid"]
    assert found == {
        "check_sde": ["system", "x0", "grid"],
        "certify": of_sde,
        "compare_methods": of_sde,
        "convergence": of_sde,
        "expand": of_family,
        "expand_to": of_family,
        "fundamental_matrix": of_sde,
        "initial_value_derivatives": of_sde,
        "solve": of_sde,
        "solve_adaptive": of_sde,
        "taylor_test": of_family,
    }


def test_an_argument_by_its_place_is_seen(tmp_path):
    (tmp_path / "one.py").write_text("def f(sde, x0, grid, noise, *, method): ...\n")
    assert list(after_the_grid(tmp_path / "one.py")) == ["f(noise)"]
