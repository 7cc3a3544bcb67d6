"""Registration of rules under the many names that torch has for one operation, and functions that rules share."""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sdewm.jets.jet import RULES, EdgeWarning, Jet, NonSmoothWarning, SlopeWarning
from sdewm.jets.space import JetSpace

_PLACES = (torch, Tensor, F, torch.special, torch.linalg, torch._C._nn)
_MACHINERY = ("sdewm.jets", "torch._tensor", "torch.functional", "torch.nn.functional", "torch.overrides")
Rule = Callable[..., Any]


def functions(name: str) -> list[Callable[..., Any]]:
    """All torch functions called `name`, in all namespaces of torch; empty in a release without it."""
    found = []
    for place in _PLACES:
        func = getattr(place, name, None)
        if callable(func) and not isinstance(func, type):
            found.append(func)
    return found


def register(rule: Rule, *names: str) -> None:
    """Register `rule` for the functions of these names, and its in-place form for those with an underscore."""
    for name in names:
        for func in functions(name):
            RULES[func] = honouring_inplace(rule) if getattr(F, name, None) is func else rule
        if not name.startswith("_"):
            for func in functions(name + "_"):
                RULES.setdefault(func, in_place(rule, name + "_"))


def rule(*names: str) -> Callable[[Rule], Rule]:
    """`register` as a decorator."""

    def attach(function: Rule) -> Rule:
        register(function, *names)
        return function

    return attach


def honouring_inplace(rule: Rule) -> Rule:
    """A rule for a function of torch.nn.functional, whose `inplace=True` writes to its argument."""

    def apply(*args: Any, inplace: bool = False, **kwargs: Any) -> Any:
        return in_place(rule, "inplace=True")(*args, **kwargs) if inplace else rule(*args, **kwargs)

    own = inspect.signature(rule).parameters
    added = inspect.Parameter("inplace", inspect.Parameter.KEYWORD_ONLY, default=False)
    known = sorted({"inplace": added, **own}.values(), key=lambda p: p.kind)
    apply.__signature__ = inspect.Signature(known)  # type: ignore[attr-defined]
    return apply


def property_rule(function: Rule, *names: str) -> None:
    for name in names:
        RULES[getattr(Tensor, name).__get__] = function


def in_place(rule: Rule, name: str) -> Rule:
    """The in-place form of a rule: the result overwrites the coefficients of the first argument."""

    def update(target: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if not isinstance(target, Jet):
            advice = (
                f"{name} would store a jet into a plain tensor, which has no room for its coefficients; "
                "use torch.stack or torch.cat, or create the target with zeros_like(jet)"
            )
            # Not a TypeError: after that Python computes `a = a + b` for `a += b`, and a view of a would not change.
            raise RuntimeError(advice) if target._is_view() else TypeError(advice)
        result = rule(target, *args, **kwargs)
        if result.shape != target.shape:
            raise ValueError(f"{name} would change the shape of a jet from {target.shape} to {result.shape}")
        target.coefficients.copy_(result.coefficients)
        return target

    return update


def space_of(*operands: Any) -> JetSpace:
    """The space of the jets among the operands. Raises ValueError when they are of different spaces."""
    space = None
    for x in operands:
        if isinstance(x, Jet) and x.space is not space:
            if space is not None:
                raise ValueError(
                    f"jets of different spaces in one operation, {space} and {x.space}; "
                    "truncate the one of higher order, or make both in one space"
                )
            space = x.space
    assert space is not None
    return space


def unwrapped(tensor: Tensor) -> Tensor:
    """The tensor inside the wrappers of torch.func's transforms; the tensor itself if there are none."""
    while torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        tensor = torch._C._functorch.get_unwrapped(tensor)
    return tensor


def lift(c: Tensor, ndim: int) -> Tensor:
    """The coefficients, with axes inserted so that the value has `ndim` axes, as in broadcasting."""
    missing = ndim + 1 - c.ndim
    if missing <= 0:
        return c
    return c.reshape(c.shape[0], *(1,) * missing, *c.shape[1:])


def promoted(x: Jet, other: Any) -> Tensor:
    """The coefficients of `x` in the dtype to which its value is promoted next to `other`.

    A zero-dimensional value does not take part in torch's type promotion, but a stack of its coefficients would.
    """
    c = x.coefficients
    if isinstance(other, Tensor):
        if other.dtype == c.dtype:
            return c
        plain = other.value if isinstance(other, Jet) else other
        return c.to(torch.result_type(c[0], plain))
    return c.to(torch.result_type(c[0], other)) if isinstance(other, complex) else c


def pair(a: Jet, b: Jet) -> tuple[Tensor, Tensor]:
    """Coefficients of two jets, of one dtype and with values of the same number of axes."""
    ca, cb = promoted(a, b), promoted(b, a)
    ndim = max(ca.ndim, cb.ndim) - 1
    return lift(ca, ndim), lift(cb, ndim)


def with_value(value: Tensor, higher: Tensor, space: JetSpace) -> Jet:
    """The jet with this value and these higher coefficients, broadcast to one shape."""
    higher = lift(higher, value.ndim)
    if higher.shape[1:] != value.shape:
        shape = torch.broadcast_shapes(higher.shape[1:], value.shape)
        value, higher = value.expand(shape), higher.expand(-1, *shape)
    return Jet(torch.cat([value[None], higher]), space)


def stacked(x: Jet, function: Callable[[Tensor], Tensor]) -> Jet:
    """The jet of a linear function, which is applied to each coefficient."""
    return Jet(torch.stack([function(row) for row in x.coefficients]), x.space)


_LISTENING: list[set[str]] = []
_GATHERING: list[dict[str, type[NonSmoothWarning]]] = []


@contextmanager
def gathered() -> Iterator[dict[str, type[NonSmoothWarning]]]:
    """Collect warnings on operations that are not smooth, by name, in place of giving them.

    For work of many steps, which then warns once for each name at its end, whatever the warning filters are.
    """
    found: dict[str, type[NonSmoothWarning]] = {}
    _GATHERING.append(found)
    try:
        yield found
    finally:
        _GATHERING[:] = [other for other in _GATHERING if other is not found]


@contextmanager
def nonsmooth_met() -> Iterator[set[str]]:
    """The names of all operations that are not smooth and are applied to jets inside, with or without a warning."""
    names: set[str] = set()
    _LISTENING.append(names)
    try:
        yield names
    finally:
        _LISTENING[:] = [other for other in _LISTENING if other is not names]


@contextmanager
def unsaid() -> Iterator[None]:
    """Inside, nothing is said of operations that are not smooth: for walks to where no path that counts goes."""
    listening = _LISTENING[:]
    _LISTENING.clear()
    try:
        with gathered():
            yield
    finally:
        _LISTENING[:] = listening


def warn_nonsmooth(name: str, category: type[NonSmoothWarning] = NonSmoothWarning, why: str = "") -> None:
    """Warn that an operation is not smooth, once in a process for each name unless warning filters say otherwise.

    ``why`` explains it, if the name alone does not.
    """
    frame, depth = outside_machinery()
    if _module(frame) == "torch.distributions.constraints":
        return  # a check of arguments, on which no result depends
    for names in _LISTENING:
        names.add(name)
    if _GATHERING:
        # The warning about a kink replaces those about an edge or a slope of the same operation.
        _GATHERING[-1][name] = category if _GATHERING[-1].get(name, category) is category else NonSmoothWarning
        return
    # Set here and not at import, which must not change filters. It is appended, so that a user's filters come first.
    if not any(category is NonSmoothWarning for _, _, category, _, _ in warnings.filters):
        warnings.simplefilter("once", NonSmoothWarning, append=True)
    warnings.warn(f"{name} {_said(category)}{'; ' * bool(why)}{why}", category, stacklevel=depth)


def outside_machinery() -> tuple[FrameType, int]:
    """The frame of who called torch with jets, and how many frames above the caller of this function it is."""
    frame, depth = sys._getframe(1), 1
    while frame.f_back is not None and _module(frame).startswith(_MACHINERY):
        frame, depth = frame.f_back, depth + 1
    return frame, depth


def _said(category: type[NonSmoothWarning]) -> str:
    if category is SlopeWarning:
        return (
            "is so steep that hardly any path is where it turns: the mean of its derivatives lacks what that adds. "
            "Take a gentler slope, or more paths"
        )
    where = " at a pole or where its domain ends, and paths come there" if category is EdgeWarning else ""
    return (
        f"is not twice continuously differentiable{where}: its jet is right almost everywhere only, and "
        "the C² assumption of the expansion theorems fails"
    )


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))
