"""One name, one meaning, for arguments too: what goes by one name is of one kind in all public functions.

A number and a tensor are two kinds, a function and a text are, and so are objects whose classes share no word of their
names. What some function takes in two kinds, such as a number or a sequence of numbers, makes one of both.
"""

from __future__ import annotations

import builtins
import collections.abc
import importlib
import inspect
import os
import re
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import numpy as np
import pytest
from jaxtyping import AbstractArray
from numpy.typing import ArrayLike
from torch import Tensor

import sdewm

HOME = Path(sdewm.__file__).parent
APART = {
    "sdewm.jets": "rules have the arguments of torch's functions",
    "sdewm.kernels": "compiled steps are for the library itself",
}
# Their fields are read, and named as what is printed; nobody calls them but the library.
RESULTS = {
    "Config", "Convergence", "ErrorCoefficients", "Expansion", "ExpandedLoss", "InitialValueDerivatives",
    "LossPrediction", "ModelAudit", "NonFiniteLoss", "NonFiniteState", "PeriodicAnswer", "PredictedIncrease", "Rate",
    "Report", "RepresentationError", "Sample", "TaylorTest",
}  # fmt: skip
SEVERAL = {
    "drift": "f of an SDE; in a network's bounds, where only its increments matter, their matrix",
    "diffusion": "as drift",
    "episode": "one episode: as it was recorded, or as the model at hand takes it",
    "error": "what is added: to a system, as an SDE; to a latent, as the error of an encoder",
    "loss": "of an Ornstein–Uhlenbeck process the closed forms know three, by their formulas",
    "model": "the world model, in the form in which it is there: an agent's, an adapter's, or (5)–(8)",
    "sigma": "the paper's σ: a function, or where it is constant its numbers",
    "sigma_bar": "as sigma",
    "target": "what is to be met: by a decoder, a function of what was observed; by a map, a measure",
    "wrt": "in what a derivative is: a slice of one input, or the places of several",
    "x0": "the initial state; of a system on the line or the circle it is a number",
}


class Names(dict[str, Any]):
    """What a module's annotations mean; a name that is imported for the type checker alone is a class of that name."""

    def __missing__(self, name: str) -> Any:
        return getattr(builtins, name, None) or type(name, (), {})


def kinds(hint: Any) -> set[str]:
    """What an annotation allows, coarsely; nothing where it allows all."""
    origin, parts = get_origin(hint), get_args(hint)
    if hint is ArrayLike:
        return {"numbers"}
    if origin in (Union, types.UnionType):
        return set[str]().union(*map(kinds, parts))
    if origin is Literal:
        return kinds(type(parts[0]))
    if origin is collections.abc.Callable:
        return {"function"}
    if origin in (dict, collections.abc.Mapping):
        return {"table"}
    if origin is not None and issubclass(origin, collections.abc.Iterable):
        inner = set[str]().union(*map(kinds, (part for part in parts if part is not ...)))
        return {"numbers" if kind in ("number", "numbers") else f"several: {kind}" for kind in inner}
    if hint in (None, type(None), Any, object) or not isinstance(hint, type):
        return set()
    for kind, classes in (
        ("choice", bool),
        ("number", (int, float)),
        ("text", (str, os.PathLike)),
        ("numbers", (Tensor, np.ndarray, AbstractArray)),
    ):
        if issubclass(hint, classes):
            return {kind}
    words = set(re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z]+|[a-z]+", hint.__name__))
    return words | ({"function"} if "__call__" in dir(hint) and hint.__call__ is not type.__call__ else set())


def functions(thing: Any) -> Iterator[tuple[str, Any]]:
    """A function; or the constructor and the methods of a class."""
    if inspect.isfunction(thing):
        yield thing.__name__, thing
    elif inspect.isclass(thing):
        if thing.__name__ not in RESULTS and "__init__" in vars(thing):
            yield thing.__name__, thing.__init__
        for name, method in vars(thing).items():
            method = getattr(method, "__func__", method)
            if inspect.isfunction(method) and (name == "__call__" or not name.startswith("_")):
                yield f"{thing.__name__}.{name}", method


def public() -> Iterator[Any]:
    """All that a package of the library exports."""
    for file in sorted(HOME.rglob("__init__.py")):
        package = ".".join(file.parent.relative_to(HOME.parent).parts)
        if package not in APART:
            module = importlib.import_module(package)
            yield from (getattr(module, name) for name in getattr(module, "__all__", ()))


def meanings(things: Iterator[Any]) -> dict[str, list[tuple[set[str], list[str]]]]:
    """By the name of an argument: the kinds that no function takes in common, and which functions have them."""
    found: dict[str, list[tuple[set[str], list[str]]]] = {}
    for thing in {id(thing): thing for thing in things}.values():
        for where, function in functions(thing):
            names = Names(inspect.unwrap(function).__globals__)
            for argument in inspect.signature(function).parameters.values():
                hint = argument.annotation
                here = kinds(eval(hint, {}, names) if isinstance(hint, str) else hint)
                if here and hint is not argument.empty and len(argument.name) > 1:
                    groups = found.setdefault(argument.name, [])
                    same = [group for group in groups if group[0] & here]
                    groups[:] = [group for group in groups if group not in same]
                    groups.append((here.union(*(k for k, _ in same)), [where, *(w for _, ws in same for w in ws)]))
    return {name: groups for name, groups in found.items() if len(groups) > 1}


def test_an_argument_is_of_one_kind():
    assert {name: groups for name, groups in meanings(public()).items() if name not in SEVERAL} == {}


def test_what_has_several_kinds_is_there():
    assert set(SEVERAL) <= set(meanings(public()))
    assert RESULTS <= {getattr(thing, "__name__", "") for thing in public()}


@pytest.mark.parametrize(
    ("one", "two", "seen"),
    [
        ("int", "Tensor", True),
        ("int", "float | None", False),
        ("Sequence[int]", "Tensor", False),
        ("str", "Callable[[int], int]", True),
        ("TimeGrid", "CircleGrid", False),
        ("Config", "TimeGrid", True),
    ],
)
def test_a_second_meaning_is_seen(one, two, seen):
    def first(size): ...
    def second(size): ...

    classes = {name: type(name, (), {}) for name in ("TimeGrid", "CircleGrid", "Config")}
    names = {**classes, "Tensor": Tensor, "Sequence": collections.abc.Sequence, "Callable": collections.abc.Callable}
    first.__annotations__, second.__annotations__ = {"size": eval(one, names)}, {"size": eval(two, names)}
    assert ("size" in meanings(iter([first, second]))) is seen


def test_a_function_that_takes_both_joins_them():
    def one(size: int): ...
    def two(size: Tensor): ...
    def both(size: int | Tensor): ...

    assert "size" in meanings(iter([one, two])) and meanings(iter([one, two, both])) == {}
