"""Calls with keyword arguments: numpy's names are accepted, ``out=`` works, and keywords without a rule are refused."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_flatten

from sdewm.jets.fallback import without_rule
from sdewm.jets.jet import ANSWERS, Jet, NotDifferentiable, constant

# numpy's names of arguments, which torch accepts for its own (the list is in its python_arg_parser.cpp).
NUMPY = {"axis": "dim", "keepdims": "keepdim", "x": "input", "a": "input", "x1": "input", "x2": "other"}


def called(
    func: Callable[..., Any], rule: Callable[..., Any] | None, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Call a function of torch with jets, by its rule if there is one."""
    name = getattr(func, "__name__", str(func))
    kwargs = dict(kwargs)
    out = kwargs.pop("out", None)
    if out is not None:
        carries = any(isinstance(leaf, Jet) for leaf in tree_flatten((args, kwargs))[0])
        return written(name, called(func, rule, args, kwargs) if carries else func(*args, **kwargs), out)
    if rule is None:
        return without_rule(func, args, kwargs)
    known = _keywords(rule)
    kwargs = {key if known is not None and key in known else NUMPY.get(key, key): kwargs[key] for key in kwargs}
    unknown = [key for key in kwargs if known is not None and key not in known]
    if unknown:
        raise NotDifferentiable(
            f"{name} of a jet: its rule has no answer for the argument {unknown[0]!r}; call it without, or pass the "
            "arguments by position"
        )
    return rule(*args, **kwargs)


@cache
def _keywords(rule: Callable[..., Any]) -> frozenset[str] | None:
    """The keywords that a rule handles; None if it passes all of them on to torch."""
    parameters = inspect.signature(rule).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    return frozenset(p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY))


def written(name: str, result: Any, out: Any) -> Any:
    """Write the result into ``out``. TypeError if that is a plain tensor, ValueError if it has another shape."""
    if isinstance(out, (tuple, list)):
        return type(out)(written(name, r, o) for r, o in zip(result, out, strict=True))
    if not isinstance(out, Jet):
        if isinstance(result, Jet):
            raise NotDifferentiable(
                f"{name} of a jet: out= is a plain tensor, which has no room for the coefficients; use what {name} "
                "returns, or create out with zeros_like(jet)"
            )
        return out.copy_(result)
    if not isinstance(result, Tensor) or result.shape != out.shape:
        raise ValueError(f"out: expected a jet of shape {tuple(result.shape)} for {name}, got {tuple(out.shape)}")
    new = result if isinstance(result, Jet) else constant(result, out.space)
    out.coefficients.copy_(new.coefficients)
    return out


ANSWERS["called"] = called
