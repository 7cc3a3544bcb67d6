"""What arguments may be. Each function takes what was written and returns what the code works with, or raises an error
that names the argument, says what was expected, and shows what came."""

from __future__ import annotations

import math
import operator
from collections.abc import Collection, Iterable
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from sdewm.jets import Jet

T = TypeVar("T")


def shown(value: object) -> str:
    """A value for a message: short, on one line."""
    if isinstance(value, Tensor | np.ndarray):
        kind = "a tensor" if isinstance(value, Tensor) else "an array"
        return f"{kind} of shape {tuple(value.shape)} and {value.dtype}"
    text = " ".join(repr(value).split())
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({type(value).__name__})"


def integer(name: str, value: Any, least: int | None = None, most: int | None = None) -> int:
    """An ``int`` from a whole number of Python's, numpy's or torch's; no ``bool``, no float, no text."""
    bounds = "" if least is None else f" of at least {least}" if most is None else f" from {least} to {most}"
    try:
        if isinstance(value, bool | np.bool_) or getattr(value, "dtype", None) is torch.bool:
            raise TypeError
        number = operator.index(value)
    except (TypeError, RuntimeError):
        raise ValueError(f"{name}: expected an integer{bounds}, got {shown(value)}") from None
    if (least is not None and number < least) or (most is not None and number > most):
        raise ValueError(f"{name}: expected an integer{bounds}, got {number}")
    return number


def real(
    name: str, value: Any, *, above: float = -math.inf, least: float = -math.inf, below: float = math.inf
) -> float:
    """A finite ``float`` from a number of Python's, numpy's or torch's (one element); no ``bool``, no text."""
    bounds = [f"greater than {above:g}"] * (above > -math.inf) + [f"of at least {least:g}"] * (least > -math.inf)
    bounds += [f"less than {below:g}"] * (below < math.inf)
    expected = f"{name}: expected a finite number{' ' + ' and '.join(bounds) if bounds else ''}"
    kinds = (int, float, np.integer, np.floating)
    if isinstance(value, Tensor | np.ndarray) and math.prod(value.shape) == 1:
        value = value.reshape(()).item() if value.ndim == 0 else value
    if isinstance(value, bool) or not isinstance(value, kinds):
        raise ValueError(f"{expected}, got {shown(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not (math.isfinite(number) and above < number < below and number >= least):
        raise ValueError(f"{expected}, got {number}")
    return number


def reals(name: str, values: Any) -> tuple[float, ...]:
    """Finite numbers in a row: a list, a tuple, or an array or tensor with one axis."""
    return tuple(real(f"{name}[{i}]", value) for i, value in enumerate(_row(name, values)))


def integers(name: str, values: Any, least: int | None = None) -> tuple[int, ...]:
    """Whole numbers in a row, as in :func:`reals`."""
    return tuple(integer(f"{name}[{i}]", value, least) for i, value in enumerate(_row(name, values)))


def _row(name: str, values: Any) -> Iterable[Any]:
    if isinstance(values, str | bytes) or not isinstance(values, Iterable) or getattr(values, "ndim", 1) != 1:
        raise ValueError(f"{name}: expected a sequence of numbers, got {shown(values)}")
    return values


def confidence(value: Any) -> float:
    """The confidence of an interval, between 0 and 1."""
    try:
        return real("confidence", value, above=0.0, below=1.0)
    except ValueError:
        raise ValueError(f"confidence: expected a number between 0 and 1, got {shown(value)}") from None


def choice(name: str, value: T, allowed: Collection[T]) -> T:
    """One of a few values, of the same type."""
    if not any(type(value) is type(one) and value == one for one in allowed):
        listed = [repr(one) for one in allowed]
        raise ValueError(f"{name}: expected {', '.join(listed[:-1])} or {listed[-1]}, got {shown(value)}")
    return value


def choices(name: str, values: Any, allowed: Collection[str]) -> tuple[str, ...]:
    """One or more of a few names: a name, or a sequence of names, each of which counts once."""
    if not isinstance(values, str) and (not isinstance(values, Iterable) or getattr(values, "ndim", 1) != 1):
        raise TypeError(f"{name}: expected one or more of {', '.join(map(repr, allowed))}, got {shown(values)}")
    found = (values,) if isinstance(values, str) else tuple(values)
    if not found:
        raise ValueError(f"{name}: expected one or more of {', '.join(map(repr, allowed))}, got none")
    return tuple(dict.fromkeys(choice(name, value, allowed) for value in found))


def function(name: str, value: Any, of: str, *, optional: bool = False) -> Any:
    """A function; ``of`` says what it takes."""
    if not callable(value) and not (optional and value is None):
        raise TypeError(f"{name}: expected a function of {of}{' or None' * optional}, got {shown(value)}")
    return value


def instance(name: str, value: Any, kind: type[T], expected: str) -> T:
    """An object of a class; ``expected`` says how it is made."""
    if not isinstance(value, kind):
        raise TypeError(f"{name}: expected {expected}, got {shown(value)}")
    return value


def has(name: str, value: Any, attributes: Collection[str], expected: str) -> Any:
    """An object with all of these attributes."""
    missing = [attribute for attribute in attributes if not hasattr(value, attribute)]
    if missing:
        raise TypeError(f"{name}: expected {expected}, got {shown(value)}, which lacks {', '.join(missing)}")
    return value


def tensor(name: str, value: Any) -> Float[Tensor, "..."]:
    """A tensor of finite floating-point numbers.

    A floating-point tensor or array keeps its dtype; whole numbers, and lists of numbers, become float64. Jets pass
    through.
    """
    if not isinstance(value, Tensor):
        try:
            array = np.asarray(value)
        except (ValueError, RuntimeError, TypeError):  # rows of different lengths, tensors that need a gradient
            raise ValueError(f"{name}: expected a tensor or what numpy makes an array of, got {shown(value)}") from None
        if array.dtype.kind not in "iuf" or (array.dtype.kind == "f" and array.dtype.itemsize > 8):
            raise ValueError(f"{name}: expected floating-point numbers, got {shown(value)}")
        value = torch.from_numpy(np.array(array, dtype=array.dtype if array.dtype.kind == "f" else np.float64))
    if value.layout is not torch.strided or value.is_meta or value.is_quantized:
        raise ValueError(
            f"{name}: expected a dense tensor with numbers, got {shown(value)}, {value.layout} on {value.device}"
        )
    if value.dtype == torch.bool or value.dtype.is_complex:
        raise ValueError(f"{name}: expected floating-point numbers, got {shown(value)}")
    if not value.dtype.is_floating_point:
        value = value.double()
    if not finite(value):
        raise ValueError(f"{name}: expected finite numbers, got a non-finite one")
    return value


def state(value: Any, *, many: bool = False) -> Float[Tensor, "*paths n"]:
    """The argument x0, by the rules of :func:`tensor`: ``(n,)``, or with ``many`` ``(paths, n)`` as well.

    In float32 or float64, in which everything is computed, and outside of :func:`torch.inference_mode`.
    """
    if torch.is_inference_mode_enabled():
        raise ValueError(
            "x0: expected a call outside of torch.inference_mode(), where no derivatives are taken and nobody sees "
            "what is written into a state; torch.no_grad() is fine"
        )
    x0 = tensor("x0", value)
    if x0.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"x0: expected float32 or float64, in which solutions are computed, got {x0.dtype}")
    if x0.is_inference():
        x0 = x0.clone()
    expected = "shape (n,) or (paths, n)" if many else "one initial state (n,)"
    if x0.ndim not in ((1, 2) if many else (1,)) or 0 in x0.shape:
        hint = "; a single number is [x0]" if x0.ndim == 0 else ""
        raise ValueError(f"x0: expected {expected}, got {tuple(x0.shape)}{hint}")
    return x0


def finite(value: Shaped[Tensor, "..."]) -> bool:
    """Whether all numbers of a tensor, or all coefficients of a jet, are finite."""
    return bool(torch.isfinite(value.coefficients if isinstance(value, Jet) else value).all())
