"""What torch's operations make of enclosures: linear maps, products, smooth functions, and what moves numbers about.

Each rule keeps the inequality of :mod:`sdewm.divergence.enclosure`. In their proofs d = D(σℓ + w) + σ²Q + ρ with
|ρ| ≤ r is by how much an operand differs from its ȳ; y = Dℓ, and e is a bound on |d − σy|.

Rounding: a sum of k products that are computed in float64, in any order, differs from the exact one by at most k u/(1 −
k u) times the sum of their sizes, u = 2⁻⁵³. Elementary functions are taken to be right to :data:`ELEMENTARY` units in
the last place, which tests hold against 50 digits. Numbers that do not depend on the state are taken as they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sdewm.divergence.enclosure import ENCLOSURE_RULES, Enclosure, EnclosureRule, NotEnclosed
from sdewm.divergence.smooth_functions import SMOOTH, SmoothFunction
from sdewm.jets.registry import functions

# The largest relative error of one rounding in float64, and how many of these an elementary function is off by.
UNIT, ELEMENTARY = 2.0**-53, 64
KNOWN = (
    "linear maps and convolutions, sums and products, division by what is positive, layer_norm, gru_cell, "
    f"{', '.join(sorted(SMOOTH))}, and what moves numbers about within a path"
)
# Operations of one rule that round, at most; sums are counted apart. No number that is not 0 is smaller than this.
ROUNDINGS, LEAST = 32, 1e-300


def encloses(*names: str) -> Callable[[EnclosureRule], EnclosureRule]:
    """Enter a rule under all of torch's functions of these names."""

    def enter(function: EnclosureRule) -> EnclosureRule:
        for name in names:
            for func in functions(name):
                ENCLOSURE_RULES[func] = function
        return function

    return enter


def made(
    value: Tensor,
    jacobian: Tensor,
    second: Tensor,
    rest: Tensor,
    reach: Tensor,
    sizes: Tensor,
    like: Enclosure,
    terms: int = 0,
    fresh: Tensor | float = 0.0,
) -> Enclosure:
    """What an operation makes, with a source of r: ``fresh``, what Taylor's theorem adds, and what rounding does.

    Rounding is a part of ``sizes``, those of all that was summed; ``terms`` is the length of the longest sum. ``rest``
    is what the operation makes of the operands' own.
    """
    if len(value) != len(like.value):
        raise NotEnclosed(f"an operation that makes {len(value)} rows of {len(like.value)} paths has no enclosure")
    part = 2 * (terms + ROUNDINGS) * UNIT
    fresh = (fresh * (1 + part) + part * sizes + LEAST).expand(rest.shape)
    mark = torch.zeros_like(value, requires_grad=True)
    value = with_history(torch.add, value, mark)
    like.tube.sources.append((mark, fresh))
    return Enclosure(value, jacobian, second, rest * (1 + part) + fresh, reach * (1 + part) + fresh, like.tube)


def with_history(function: Callable[..., Any], *args: Any) -> Any:
    """A value that remembers how it was made, for :func:`~sdewm.divergence.enclosure.carried`."""
    with torch.enable_grad():
        return function(*args)


# Linear maps.


def linear(
    x: Enclosure, one: Callable[[Tensor], Tensor], sizes: Callable[[Tensor], Tensor], bias: Tensor | None, terms: int
) -> Enclosure:
    """``one`` is a linear map of (paths, …), ``sizes`` the same with the sizes of its numbers; of ``terms`` each.

    W(ȳ + d) + b = (Wȳ + b) + WD(ℓ + w) + WQ + Wρ, and |Wρ| ≤ |W| r.
    """
    value, reach, size = with_history(one, x.value), each(sizes, x.reach), sizes(x.value.abs())
    if bias is not None:
        value, size = with_history(torch.add, value, bias), size + bias.abs()
    jacobian, second, rest = each(one, x.jacobian), each(one, x.second), each(sizes, x.rest)
    return made(value, jacobian, second, rest, reach, size + reach, x, terms + 1)


def each(one: Callable[[Tensor], Tensor], stack: Tensor) -> Tensor:
    """A function of (paths, …) applied to every entry of a stack (k, paths, …), in one batch."""
    return one(stack.flatten(0, 1)).unflatten(0, stack.shape[:2])


@encloses("linear")
def _linear(x: Any, weight: Any, bias: Any = None) -> Enclosure:
    _only("the weight of a linear layer", weight, bias)
    return linear(x, lambda y: y @ weight.mT, lambda y: y @ weight.abs().mT, bias, weight.shape[-1])


def _convolution(function: Callable[..., Tensor], channels: int) -> EnclosureRule:
    def apply(x: Any, weight: Any, bias: Any = None, *args: Any, **kwargs: Any) -> Enclosure:
        _only("the weight of a convolution", weight, bias)
        if x.ndim != weight.ndim:
            raise NotEnclosed(f"{function.__name__} of a single image has no enclosure: give it an axis of paths")
        terms = weight.numel() // weight.shape[channels]
        wide = None if bias is None else bias.reshape(-1, *(1,) * (weight.ndim - 2))
        return linear(
            x,
            lambda y: function(y, weight, None, *args, **kwargs),
            lambda y: function(y, weight.abs(), None, *args, **kwargs),
            wide,
            terms,
        )

    return apply


for _n in (1, 2, 3):
    encloses(f"conv{_n}d")(_convolution(getattr(F, f"conv{_n}d"), 0))
    # A transposed one has its outputs in the second axis; how many terms meet is at most all others.
    encloses(f"conv_transpose{_n}d")(_convolution(getattr(F, f"conv_transpose{_n}d"), 1))


@encloses("matmul", "__matmul__")
def _matmul(x: Any, other: Any) -> Enclosure:
    if not isinstance(x, Enclosure) or isinstance(other, Enclosure):
        raise NotEnclosed("a matrix product has an enclosure where the left factor alone depends on the state")
    if other.ndim != 2:
        raise NotEnclosed("a matrix product has an enclosure where the right factor is one matrix")
    return linear(x, lambda y: y @ other, lambda y: y @ other.abs(), None, other.shape[0])


@encloses("sum")
def _sum(x: Any, dim: Any = None, keepdim: bool = False, **kwargs: Any) -> Enclosure:
    dims = _dims(x, dim)
    terms = math.prod(x.shape[d] for d in dims)

    def one(y: Tensor) -> Tensor:
        return y.sum(dims, keepdim=keepdim)

    return linear(x, one, one, None, terms)


@encloses("mean")
def _mean(x: Any, dim: Any = None, keepdim: bool = False, **kwargs: Any) -> Enclosure:
    return _multiply(_sum(x, dim, keepdim), 1 / math.prod(x.shape[d] for d in _dims(x, dim)))


def _dims(x: Enclosure, dim: Any) -> tuple[int, ...]:
    ndim = x.value.ndim
    dims = range(ndim) if dim is None else [dim] if isinstance(dim, int) else dim
    found = tuple(d % ndim for d in dims)
    if 0 in found:
        raise NotEnclosed("a sum over paths has no enclosure")
    return found


# Sums and products.


@encloses("add", "__add__", "__radd__")
def _add(a: Any, b: Any, alpha: float = 1) -> Enclosure:
    if alpha != 1:
        b = b * alpha
    if not isinstance(a, Enclosure):
        a, b = b, a
    if not isinstance(b, Enclosure):
        _fits(a, b)
        value, size = with_history(torch.add, a.value, b), _size(b)
        jacobian, second, rest, reach = (
            part.expand(len(part), *value.shape) for part in (a.jacobian, a.second, a.rest, a.reach)
        )
        return made(value, jacobian, second, rest, reach, a.value.abs() + size + reach, a)
    _alike(a, b)
    sizes, reach = a.value.abs() + b.value.abs(), a.reach + b.reach
    return made(
        with_history(torch.add, a.value, b.value),
        a.jacobian + b.jacobian,
        a.second + b.second,
        a.rest + b.rest,
        reach,
        sizes + reach,
        a,
    )


@encloses("sub", "subtract", "__sub__")
def _sub(a: Any, b: Any, alpha: float = 1) -> Enclosure:
    return _add(a, _multiply(b, -alpha) if isinstance(b, Enclosure) else -b * alpha)


@encloses("rsub", "__rsub__")
def _rsub(a: Any, b: Any, alpha: float = 1) -> Enclosure:
    return _sub(b, a, alpha)


@encloses("neg", "negative", "__neg__")
def _neg(x: Any) -> Enclosure:
    return _multiply(x, -1)


@encloses("mul", "multiply", "__mul__", "__rmul__")
def _multiply(a: Any, b: Any) -> Enclosure:
    """(ā + d_a)(b̄ + d_b) = āb̄ + ā d_b + b̄ d_a + d_a d_b, |d_a d_b − σ²y_a y_b| ≤ |y_a| e_b + e_a |y_b| + e_a e_b."""
    if not isinstance(a, Enclosure):
        a, b = b, a
    if not isinstance(b, Enclosure):
        _fits(a, b)
        size = _size(b)
        value, reach = with_history(torch.mul, a.value, b), a.reach * size
        return made(value, a.jacobian * b, a.second * b, a.rest * size, reach, value.abs() + reach, a)
    _alike(a, b)
    (y_a, e_a), (y_b, e_b) = _moves(a), _moves(b)
    value, size_a, size_b = with_history(torch.mul, a.value, b.value), a.value.abs(), b.value.abs()
    reach = size_a * b.reach + size_b * a.reach + a.reach * b.reach
    return made(
        value,
        a.value * b.jacobian + b.value * a.jacobian,
        a.value * b.second + b.value * a.second + y_a * y_b,
        size_a * b.rest + size_b * a.rest,
        reach,
        value.abs() + reach,
        a,
        2 * len(a.jacobian),
        y_a.abs() * e_b + e_a * y_b.abs() + e_a * e_b,
    )


@encloses("square")
def _square(x: Any) -> Enclosure:
    return _multiply(x, x)


@encloses("pow", "__pow__")
def _pow(x: Any, exponent: Any) -> Enclosure:
    if not isinstance(exponent, int | float) or exponent not in (1, 2, 3, 4):
        raise NotEnclosed("a power has an enclosure where its exponent is 1, 2, 3 or 4")
    found = x
    for _ in range(int(exponent) - 1):
        found = _multiply(found, x)
    return found


@encloses("div", "divide", "true_divide", "__truediv__", "__div__")
def _divide(a: Any, b: Any, rounding_mode: None = None) -> Enclosure:
    if rounding_mode is not None:
        raise NotEnclosed("a division that is rounded to whole numbers has no enclosure")
    if isinstance(b, Enclosure):
        return _multiply(smooth("reciprocal", b), a)
    return _multiply(a, 1 / b)


@encloses("__rtruediv__", "__rdiv__")
def _divide_by(a: Any, b: Any) -> Enclosure:
    return _divide(b, a)


@encloses("lerp")
def _lerp(a: Any, b: Any, weight: Any) -> Enclosure:
    return a + weight * (b - a)


@encloses("addcmul")
def _addcmul(a: Any, b: Any, c: Any, value: float = 1) -> Enclosure:
    return a + value * (b * c)


# Smooth functions.


def smooth(name: str, x: Enclosure, least: float = -math.inf) -> Enclosure:
    """One of :data:`~sdewm.divergence.smooth_functions.SMOOTH` by coordinates, of what is known to be ≥ ``least``.

    φ(ȳ + d) = φ(ȳ) + φ'd + ½φ''d² + t with |t| ≤ sup|φ'''| |d|³/6, and |d² − σ²y²| ≤ e(2|y| + e); or else the
    remainder of second order is at most ½ sup|φ''| d². The suprema are over all of the tube; the lesser bound counts.
    """
    curve: SmoothFunction = SMOOTH[name]
    y, e = _moves(x)
    reach = (y.abs() + e) * (1 + 1e-9) + 1e-15 * x.value.abs()
    low, high = (x.value - reach).clamp_min(least), x.value + reach
    value, slope, bend, terms = (
        with_history(curve.function, x.value),
        curve.slope(x.value),
        curve.bend(x.value),
        curve.terms(x.value),
    )
    of_third = 0.5 * bend.abs() * e * (2 * y.abs() + e) + curve.third(low, high) / 6 * reach**3
    of_second = 0.5 * curve.second(low, high) * reach.square() + 0.5 * bend.abs() * y.square()
    fresh = torch.minimum(of_third, of_second)
    rest = (slope.abs() + 1e-4 * terms) * x.rest  # see carried
    second = slope * x.second + 0.5 * bend * y.square()
    reach = slope.abs() * x.reach + 0.5 * bend.abs() * y.square()
    # Errors of φ' and φ'' meet d and d², whose sizes are at most the reach and its square; φ of gelu cancels too.
    sizes = value.abs() + terms * (1 + x.reach + x.reach.square())
    return made(value, slope * x.jacobian, second, rest, reach, sizes, x, ELEMENTARY + len(x.jacobian), fresh)


def _moves(x: Enclosure) -> tuple[Tensor, Tensor]:
    """y = Dℓ and the bound e on what else there is of d."""
    return x.tube.along(x.jacobian), x.second.abs() + x.tube.around(x.jacobian) + x.rest


for _name in ("tanh", "sigmoid", "sin", "cos", "exp", "sqrt", "rsqrt", "reciprocal"):

    def _one(x: Any, _name: str = _name) -> Enclosure:
        return smooth(_name, x)

    encloses(_name)(_one)


@encloses("silu")
def _silu(x: Any, inplace: bool = False) -> Enclosure:
    if inplace:
        raise NotEnclosed("silu in place has no enclosure")
    return smooth("silu", x)


@encloses("gelu")
def _gelu(x: Any, approximate: str = "none") -> Enclosure:
    if approximate != "none":
        raise NotEnclosed(f"gelu with approximate={approximate!r} has no enclosure")
    return smooth("gelu", x)


@encloses("softplus")
def _softplus(x: Any, beta: float = 1.0, threshold: float = 20.0) -> Enclosure:
    """log(1 + exp(βx))/β; above its threshold torch takes it to be x, which is less by exp(−threshold)/β at most."""
    scaled = _multiply(x, beta)
    found = smooth("softplus", scaled)
    y, e = _moves(scaled)
    high = scaled.value + (y.abs() + e) * (1 + 1e-9)
    beyond = torch.where(high > threshold - 1e-9, 2 * math.exp(-threshold), 0.0)
    parts = (found.value, found.jacobian, found.second, found.rest, found.reach)
    shifted = made(*parts, found.value.abs() + found.reach, x, fresh=beyond)
    return _multiply(shifted, 1 / beta)


@encloses("layer_norm")
def _layer_norm(
    x: Any, normalized_shape: Sequence[int], weight: Any = None, bias: Any = None, eps: float = 1e-5, *_: Any
) -> Enclosure:
    _only("the weight of a layer norm", weight, bias)
    if x.ndim < 2 or len(normalized_shape) != 1:
        raise NotEnclosed("layer_norm has an enclosure where it is over the last axis alone")
    centred = x - _mean(x, -1, keepdim=True)
    variance = _mean(_square(centred), -1, keepdim=True) + eps
    found = centred * smooth("rsqrt", variance, least=eps)
    found = found if weight is None else found * weight
    return found if bias is None else found + bias


@encloses("gru_cell")
def _gru_cell(x: Any, h: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Enclosure:
    of_x, of_h = F.linear(x, w_ih, b_ih), F.linear(h, w_hh, b_hh)
    (reset_x, update_x, new_x), (reset_h, update_h, new_h) = of_x.chunk(3, -1), of_h.chunk(3, -1)
    update = torch.sigmoid(update_x + update_h)
    new = torch.tanh(new_x + torch.sigmoid(reset_x + reset_h) * new_h)
    return new + update * (h - new)


# What moves numbers about and leaves them as they are.


def _moving(func: Callable[..., Any]) -> EnclosureRule:
    def apply(x: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(x, Enclosure):
            raise NotEnclosed(f"{func.__name__} has an enclosure where its first argument alone depends on the state")

        def one(y: Tensor) -> Any:
            return func(y, *args, **kwargs)

        _hold_rows(x, one)
        parts = (x.jacobian, x.second, x.rest, x.reach)
        value, moved = with_history(one, x.value), [torch.vmap(one)(part) for part in parts]
        if isinstance(value, Tensor):
            return _enclosure(value, moved, x)
        return tuple(_enclosure(own, parts, x) for own, *parts in zip(value, *moved, strict=True))

    return apply


def _hold_rows(x: Enclosure, one: Callable[[Tensor], Any]) -> None:
    """What is asked for leaves every number with its path."""
    rows = torch.arange(len(x.value))
    for found in _several(one(rows.reshape(-1, *(1,) * (x.value.ndim - 1)).expand(x.value.shape))):
        if found.ndim == 0 or len(found) != len(rows) or not bool((found.flatten(1).mT == rows).all()):
            raise NotEnclosed("an operation that moves numbers from one path to another has no enclosure")


def _several(found: Any) -> Sequence[Tensor]:
    return [found] if isinstance(found, Tensor) else found


for _name in (
    "__getitem__", "reshape", "view", "flatten", "unflatten", "squeeze", "unsqueeze", "expand", "expand_as",
    "contiguous", "clone", "detach", "chunk", "split", "tensor_split", "unbind", "narrow", "select", "index_select",
    "movedim", "transpose", "permute", "flip", "roll", "repeat", "tile", "diag_embed", "swapaxes", "mT",
):  # fmt: skip
    for _func in functions(_name):
        ENCLOSURE_RULES[_func] = _moving(_func)


@encloses("cat", "concat", "concatenate")
def _cat(tensors: Any, dim: int = 0, axis: int | None = None) -> Enclosure:
    return _joined(torch.cat, tensors, dim if axis is None else axis)


@encloses("stack")
def _stack(tensors: Any, dim: int = 0) -> Enclosure:
    return _joined(torch.stack, tensors, dim)


def _joined(join: Callable[..., Tensor], tensors: Sequence[Tensor], dim: int) -> Enclosure:
    like = next(x for x in tensors if isinstance(x, Enclosure))
    together = [x if isinstance(x, Enclosure) else unmoved(x, like) for x in tensors]
    value = with_history(join, [x.value for x in together], dim)
    axis = dim % value.ndim
    if axis == 0:
        raise NotEnclosed("joining along the axis of paths has no enclosure")

    names = ("jacobian", "second", "rest", "reach")
    return _enclosure(value, [join([getattr(x, name) for x in together], axis + 1) for name in names], like)


def _enclosure(value: Tensor, parts: Sequence[Tensor], like: Enclosure) -> Enclosure:
    jacobian, second, rest, reach = parts
    return Enclosure(value, jacobian, second, rest, reach, like.tube)


def unmoved(value: Tensor, like: Enclosure) -> Enclosure:
    """Numbers that do not depend on the state, (paths, …), as an enclosure beside another."""
    if value.ndim == 0 or len(value) != len(like.value):
        raise NotEnclosed(f"numbers of shape {tuple(value.shape)} beside {len(like.value)} paths have no enclosure")
    jacobian = value.new_zeros(len(like.jacobian), *value.shape)
    nothing = value.new_zeros(len(like.rest), *value.shape)
    return Enclosure(value, jacobian, nothing, nothing, nothing, like.tube)


for _name in ("zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full", "new_tensor"):
    for _func in functions(_name):
        ENCLOSURE_RULES[_func] = lambda x, *args, _func=_func, **kwargs: _func(x.value, *args, **kwargs)


def _size(number: Any) -> Any:
    return number.abs() if isinstance(number, Tensor) else abs(number)


def _fits(x: Enclosure, other: Any) -> None:
    """A number or a tensor that broadcasting does not put more axes in front for."""
    if isinstance(other, Tensor) and other.ndim > x.value.ndim:
        raise NotEnclosed(f"a tensor of {other.ndim} axes beside one of {x.value.ndim} has no enclosure")


def _alike(a: Enclosure, b: Enclosure) -> None:
    if a.value.ndim != b.value.ndim or a.tube is not b.tube:
        raise NotEnclosed("numbers with other axes than those that they meet have no enclosure")


def _only(what: str, *given: Any) -> None:
    if any(isinstance(x, Enclosure) for x in given):
        raise NotEnclosed(f"{what} that depends on the state has no enclosure")
