"""Arithmetic and scalar functions on jets.

A scalar function is given by its Taylor coefficients t_j = f⁽ʲ⁾(x₀)/j! at the value, found by a recurrence
from its differential equation; `compose` sums t_j δʲ for the rest δ of the jet.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from sdewm.jets.comparisons import step
from sdewm.jets.edges import known, look, look_at_zero, meets_kink, speed_of, watched
from sdewm.jets.jet import Jet, constant, value_of
from sdewm.jets.registry import (
    lift,
    pair,
    promoted,
    register,
    rule,
    space_of,
    warn_nonsmooth,
    with_value,
)
from sdewm.jets.slopes import look_at_peak, steep
from sdewm.jets.space import JetSpace

Series = list[Tensor]
HIGH = 64  # powers above this can be as narrow as an exponential: of lower ones many paths have a part


def compose(x: Jet, series: Series) -> Jet:
    """f(x), from the Taylor coefficients of f at the value of x (tensors of its shape, one per order)."""
    space, c = x.space, x.coefficients
    if space.order == 0:
        return Jet(series[0][None], space)
    slope = series[-1]
    out = c
    for degree in range(1, space.order + 1):  # Horner's scheme: after step d, the terms up to degree d
        previous = out
        out = c[: space.size(degree)] * slope
        out[0].copy_(series[space.order - degree])
        if degree > 1:
            for i, rows, target in space.inner(degree):
                # `i` runs over the rest δ, `rows` over the previous polynomial: equal by symmetry
                out[target].addcmul_(previous[rows], c[i])
        slope = out[0]
    return Jet(out, space)


def compose_singular(x: Jet, series: Callable[[Tensor, int], Series]) -> Jet:
    """f(x) where the derivatives of f are infinite at some points, as those of the square root are at 0.

    Where all that is left of a jet is its value, f of it is a constant too, whatever the derivatives: 0·∞ is 0 there.
    So it is with what a `clamp` or a branch has cut off. An infinite slope counts there as the largest number: zero
    times it is zero, and what is not zero leaves the numbers, as it should.
    """
    point, order = x.value, x.space.order
    transformed = torch._C._functorch.peek_interpreter_stack() is not None
    differentiated = transformed or (point.requires_grad and torch.is_grad_enabled())
    terms = series(point, order + differentiated)
    if known(torch.isfinite(terms[-1].sum())):  # in one pass
        return compose(x, terms[: order + 1])
    value, *slopes = [t.detach() for t in series(point.detach(), order + 1)]
    still = (x.coefficients[1:] == 0).all(0)
    singular = still & ~torch.isfinite(slopes[-1]) & ~torch.isnan(value)
    largest = torch.finfo(point.dtype).max / (order + 2)
    slopes = [torch.where(torch.isfinite(t), t, largest) for t in slopes]
    # Zero; but where the coefficients themselves are differentiated, this has the slopes that belong to them.
    zero = point - point.detach()
    constants = [value + zero * slopes[0], *(t + zero * (j + 2) * up for j, (t, up) in enumerate(pairwise(slopes)))]
    others = series(torch.where(singular, 1.0, point), order)  # 1 is no trouble to any of them
    return compose(x, [torch.where(singular, a, b) for a, b in zip(constants, others, strict=True)])


def extreme(size: Tensor, part: float) -> Tensor | None:
    """Where numbers of this size leave the range of numbers as they are raised to some power, 1 / ``part`` of it; None
    if nowhere, or if nobody can tell."""
    limit = torch.finfo(size.dtype).max ** part
    found = torch.isfinite(size) & (size > 0) & ((size > limit) | (size < 1 / limit))
    return found if known(found.any()) else None


def compose_scaled(x: Jet, series: Callable[[Tensor, int], Series], back: Callable[[Jet, Tensor], Jet]) -> Jet:
    """:func:`compose_singular`, for sizes at which the derivatives of f are no numbers, and f itself is.

    There it is f of x / s, with s = 4^k of x's own size, and ``back`` makes f(x) of that and of s.
    """
    size = x.value.detach().abs()
    out_of_range = extreme(size, 1 / (x.space.order + 3))
    if out_of_range is None:
        return compose_singular(x, series)
    half = torch.div(torch.frexp(size).exponent, 2, rounding_mode="floor")
    root = torch.where(out_of_range, torch.ldexp(torch.ones_like(size), half), 1.0)  # s itself may be too large
    return back(compose_singular(Jet(x.coefficients / root / root, x.space), series), root)


def piecewise_linear(x: Jet, value: Tensor, slope: Tensor) -> Jet:
    """f(x) where the second derivative of f vanishes almost everywhere."""
    out = x.coefficients * slope
    out[0].copy_(value)
    return Jet(out, x.space)


def product(space: JetSpace, a: Tensor, b: Tensor, f: Callable[[Tensor, Tensor], Tensor]) -> Jet:
    """Truncated product of stacked coefficients, f bilinear and broadcasting over the leading axis."""
    out = f(a[:1], b)
    if space.order:
        out[1:] += f(a[1:], b[:1])
    for i, rows, target in space.inner(space.order):
        out[target] += f(a[i : i + 1], b[rows])
    return Jet(out, space)


def multiply(a: Tensor, b: Tensor, space: JetSpace) -> Jet:
    out = b * a[0]
    if space.order:
        out[1:].addcmul_(a[1:], b[0])
    for i, rows, target in space.inner(space.order):
        out[target].addcmul_(b[rows], a[i])
    return Jet(out, space)


# arithmetic


def _sum(a: Any, b: Any, alpha: Any = 1) -> Jet:
    space = space_of(a, b)
    if isinstance(a, Jet) and isinstance(b, Jet):
        ca, cb = pair(a, b)
        return Jet(torch.add(ca, cb, alpha=alpha), space)
    if isinstance(a, Jet):
        c = promoted(a, b)
        head = c[0] + b if alpha == 1 else c[0] + alpha * b
        return with_value(head, c[1:], space)
    c = promoted(b, a)
    if alpha != 1:
        c = alpha * c
    return with_value(a + c[0], c[1:], space)


@rule("add", "__radd__")
def add(input: Any, other: Any, *, alpha: Any = 1) -> Jet:
    return _sum(input, other, alpha)


@rule("sub", "subtract")
def sub(input: Any, other: Any, *, alpha: Any = 1) -> Jet:
    return _sum(input, other, -alpha)


@rule("rsub", "__rsub__")
def rsub(input: Any, other: Any, *, alpha: Any = 1) -> Jet:
    return _sum(other, input, -alpha)


@rule("mul", "multiply", "__rmul__")
def mul(input: Any, other: Any) -> Jet:
    if isinstance(input, Jet) and isinstance(other, Jet):
        space = space_of(input, other)
        return multiply(*pair(input, other), space)
    x, t = (input, other) if isinstance(input, Jet) else (other, input)
    c = promoted(x, t)
    return Jet((lift(c, t.ndim) if isinstance(t, Tensor) else c) * t, x.space)


@rule("div", "divide", "true_divide")
def div(input: Any, other: Any, *, rounding_mode: str | None = None) -> Jet:
    if rounding_mode is not None:
        return step(torch.div, "div", input, other, rounding_mode=rounding_mode)
    if isinstance(other, Jet):
        look("div", other)
        return mul(reciprocal(other), input)
    c = promoted(input, other)
    return Jet((lift(c, other.ndim) if isinstance(other, Tensor) else c) / other, input.space)


@rule("__rdiv__", "__rtruediv__")
def rdiv(input: Any, other: Any) -> Jet:
    return div(other, input)


@rule("neg", "negative")
def neg(input: Jet) -> Jet:
    return Jet(-input.coefficients, input.space)


@rule("positive", "__pos__")
def positive(input: Jet) -> Jet:
    return input


@rule("square")
def square(input: Jet) -> Jet:
    return multiply(input.coefficients, input.coefficients, input.space)


def _multiply_add(input: Any, a: Any, b: Any, *, value: Any = 1) -> Any:
    return input + (a * b if value == 1 else value * a * b)


def _divide_add(input: Any, a: Any, b: Any, *, value: Any = 1) -> Any:
    return input + value * (a / b)


register(_multiply_add, "addcmul")
register(_divide_add, "addcdiv")


@rule("lerp")
def lerp(input: Any, end: Any, weight: Any) -> Any:
    return input + (end - input) * weight


# powers


def _power_series(x: Tensor, p: Any, order: int) -> Series:
    """Binomial series. Terms that vanish for whole exponents are zero, also at 0, where 0⁻¹ is infinite."""
    if isinstance(p, Tensor):
        binomial = torch.ones_like(p, dtype=torch.promote_types(p.dtype, x.dtype))
        series = []
        for j in range(order + 1):
            safe = torch.where(binomial == 0, torch.zeros_like(binomial), p - j)
            series.append(binomial * x.pow(safe))
            binomial = binomial * (p - j) / (j + 1)
        return series
    series, factor = [], 1.0
    for j in range(order + 1):
        series.append(torch.zeros_like(x) if factor == 0 else x.pow(p - j) * factor)
        factor *= (p - j) / (j + 1)
    return series


@rule("pow", "__pow__", "float_power")
def power(input: Any, exponent: Any) -> Jet:
    if isinstance(exponent, Jet):
        return _power_of_jet(input, exponent)
    if isinstance(exponent, Tensor):
        c = promoted(input, exponent)
        shape = torch.broadcast_shapes(input.shape, exponent.shape)
        input = Jet(lift(c, len(shape)).expand(-1, *shape), input.space)
    elif exponent == 2:
        return square(input)
    _look_at_peak_of_power(input.value.detach(), exponent)
    if isinstance(exponent, int) and exponent >= 0:
        return compose(input, _power_series(input.value, exponent, input.space.order))
    _look_at_power(input, exponent)
    return compose_scaled(
        input,
        lambda x, order: _power_series(x, exponent, order),
        lambda y, root: Jet(y.coefficients * root.pow(exponent) * root.pow(exponent), y.space),
    )


def _look_at_peak_of_power(base: Tensor, exponent: Any) -> None:
    """High powers are exp of a large multiple of the logarithm, and have such peaks."""
    high = known((exponent.abs() > HIGH).any()) if isinstance(exponent, Tensor) else abs(exponent) > HIGH
    if high:
        look_at_peak("pow", exponent * base.abs().log())


def _look_at_power(base: Jet, exponent: Any) -> None:
    """Whole powers have a pole at most, and no cut; fractional ones above 2 are smooth enough at 0."""
    p = torch.as_tensor(exponent)
    if p.is_complex():
        return look("pow", base)
    fraction = p != p.round()
    if base.coefficients.is_complex():
        return look("pow", base) if known(fraction.any()) else look_at_zero("pow", base)
    if known(((p < 0) | fraction & (p < 2)).any()):
        look("pow", base)


def _power_of_jet(base: Any, exponent: Jet) -> Jet:
    """exp(exponent · log base); where the exponent stands still, or zero stays zero, whatever sign the base has."""
    space, given = space_of(base, exponent), base
    if not isinstance(base, Jet):
        plain = torch.as_tensor(base, dtype=exponent.dtype, device=exponent.device)
        base = constant(plain.expand(torch.broadcast_shapes(plain.shape, exponent.shape)), space)
    exponent = add(torch.zeros_like(base), exponent)
    base = add(torch.zeros_like(exponent), base)
    moves = (exponent.coefficients[1:] != 0).any(0)
    still = power(base, exponent.value)
    if not bool(moves.any()):
        return still
    look("pow", given)
    zero = (base.coefficients == 0).all(0) & (exponent.value > 0)
    general = exp(mul(exponent, log(base))).coefficients
    return Jet(torch.where(zero, 0.0, torch.where(moves, general, still.coefficients)), space)


@rule("__rpow__")
def rpower(input: Jet, other: Any) -> Jet:
    return power(other, input)


def _reciprocal(x: Tensor, order: int) -> Series:
    r = x.reciprocal()
    series = [r]
    for _ in range(order):
        series.append(-series[-1] * r)
    return series


def _sqrt(x: Tensor, order: int) -> Series:
    root = x.sqrt()
    return _ratios(root, x, 0.5, order)


def _rsqrt(x: Tensor, order: int) -> Series:
    return _ratios(x.rsqrt(), x, -0.5, order)


def _ratios(value: Tensor, x: Tensor, p: float, order: int) -> Series:
    """Power series from its value: one division instead of a power per order."""
    series = [value]
    for j in range(order):
        series.append(series[-1] * ((p - j) / (j + 1)) / x)
    return series


# exponentials, logarithms, trigonometry


def _exp(x: Tensor, order: int) -> Series:
    e = x.exp()
    return [e if j < 2 else e / math.factorial(j) for j in range(order + 1)]


def _expm1(x: Tensor, order: int) -> Series:
    return [x.expm1(), *_exp(x, order)[1:]]


def _log_tail(shifted: Tensor, order: int) -> Series:
    r = shifted.reciprocal()
    power, series = r, []
    for j in range(1, order + 1):
        series.append(power / (j if j % 2 else -j))
        power = power * r
    return series


def _log(x: Tensor, order: int) -> Series:
    return [x.log(), *_log_tail(x, order)]


def _log1p(x: Tensor, order: int) -> Series:
    return [x.log1p(), *_log_tail(1 + x, order)]


def _log2(x: Tensor, order: int) -> Series:
    return [x.log2(), *(t / math.log(2) for t in _log_tail(x, order))]


def _log10(x: Tensor, order: int) -> Series:
    return [x.log10(), *(t / math.log(10) for t in _log_tail(x, order))]


def _exp2(x: Tensor, order: int) -> Series:
    e = x.exp2()
    return [e * (math.log(2) ** j / math.factorial(j)) for j in range(order + 1)]


def _cycle(cycle: Series, order: int) -> Series:
    return [cycle[j % len(cycle)] / math.factorial(j) for j in range(order + 1)]


def _sin(x: Tensor, order: int) -> Series:
    s, c = x.sin(), x.cos()
    return _cycle([s, c, -s, -c], order)


def _cos(x: Tensor, order: int) -> Series:
    s, c = x.sin(), x.cos()
    return _cycle([c, -s, -c, s], order)


def _sinh(x: Tensor, order: int) -> Series:
    return _cycle([x.sinh(), x.cosh()], order)


def _cosh(x: Tensor, order: int) -> Series:
    return _cycle([x.cosh(), x.sinh()], order)


def _self_product(series: Series, j: int) -> Tensor | float:
    """Σ_{0<i<j} t_i t_{j-i}: the part of the j-th coefficient of the square without the value."""
    total: Tensor | float = 0.0
    for i in range(1, j):
        total = total + series[i] * series[j - i]
    return total


def _riccati(value: Tensor, slope: Tensor, a: float, half: Tensor, order: int) -> Series:
    """Series of a solution of y' = q(y), q quadratic with leading coefficient a, half = q'(value)/2."""
    series = [value, slope]
    for j in range(1, order):
        term = half * series[j]
        if j > 1:
            term = (2 * term + a * _self_product(series, j)) / (j + 1)
        series.append(term)
    return series[: order + 1]


def _tanh(x: Tensor, order: int) -> Series:
    y = x.tanh()
    return _riccati(y, 1 - y * y, -1.0, -y, order)


def _tan(x: Tensor, order: int) -> Series:
    y = x.tan()
    return _riccati(y, 1 + y * y, 1.0, y, order)


def _logistic(s: Tensor, order: int) -> Series:
    return _riccati(s, torch.addcmul(s, s, s, value=-1), -1.0, 0.5 - s, order)


def _sigmoid(x: Tensor, order: int) -> Series:
    return _logistic(x.sigmoid(), order)


def _integral(value: Tensor, slopes: Series) -> Series:
    """Series with this value and the given series of the derivative."""
    return [value, *(t if j == 0 else t / (j + 1) for j, t in enumerate(slopes))]


def _times_x(x: Tensor, series: Series) -> Series:
    """Series of x·f(x) from that of f."""
    return [x * series[0], *(torch.addcmul(before, x, t) for before, t in pairwise(series))]


def _logsigmoid(x: Tensor, order: int) -> Series:
    slopes = _sigmoid(-x, max(order - 1, 0))
    signed = [-t if j % 2 else t for j, t in enumerate(slopes)]
    return _integral(torch.nn.functional.logsigmoid(x), signed)[: order + 1]


def _silu(x: Tensor, order: int) -> Series:
    return _times_x(x, _sigmoid(x, order))


def _gaussian(x: Tensor, scale: float, a: float, order: int) -> Series:
    """Series of scale·exp(-a x²/2)."""
    series = [scale * torch.exp(-0.5 * a * x * x)]
    for j in range(order):
        term = x * series[j]
        if j:
            term = term + series[j - 1]
        series.append(term * (-a / (j + 1)))
    return series


def _erf(x: Tensor, order: int) -> Series:
    return _integral(x.erf(), _gaussian(x, 2 / math.sqrt(math.pi), 2.0, order - 1))[: order + 1]


def _erfc(x: Tensor, order: int) -> Series:
    return [x.erfc(), *(-t for t in _erf(x, order)[1:])]


def _normal_cdf(x: Tensor, order: int) -> Series:
    value = 0.5 * torch.erfc(-x * math.sqrt(0.5))
    return _integral(value, _gaussian(x, 1 / math.sqrt(2 * math.pi), 1.0, order - 1))[: order + 1]


def _atan(x: Tensor, order: int) -> Series:
    g0 = 1 / (1 + x * x)
    slopes = [g0]
    for j in range(1, order):
        term = 2 * x * slopes[j - 1]
        if j > 1:
            term = term + slopes[j - 2]
        slopes.append(-term * g0)
    return _integral(x.atan(), slopes)[: order + 1]


def _univariate(f: Callable[[Any], Any], x: Tensor, order: int) -> Series:
    """Series of a composition, by jets in the one variable x: cheaper than composing in all parameters."""
    space = JetSpace(1, order)
    higher = [torch.ones_like(x), *[torch.zeros_like(x)] * (order - 1)][:order]
    return list(f(Jet(torch.stack([x, *higher]), space)).coefficients)


def _scalar(series: Callable[[Tensor, int], Series], *names: str) -> Callable[..., Jet]:
    def apply(input: Jet) -> Jet:
        steep(names[0], input)
        return compose(input, series(input.value, input.space.order))

    apply.__name__ = names[0]
    register(watched(names[0], apply), *names)
    return apply


def _singular(series: Callable[[Tensor, int], Series], name: str, back: Callable[[Jet, Tensor], Jet]) -> Any:
    def apply(input: Jet) -> Jet:
        return compose_scaled(input, series, back)

    apply.__name__ = name
    register(watched(name, apply), name)
    return apply


reciprocal = _singular(_reciprocal, "reciprocal", lambda y, root: Jet(y.coefficients / root / root, y.space))
sqrt = _singular(_sqrt, "sqrt", lambda y, root: Jet(y.coefficients * root, y.space))
rsqrt = _singular(_rsqrt, "rsqrt", lambda y, root: Jet(y.coefficients / root, y.space))
log = _singular(_log, "log", lambda y, root: add(y, 2 * root.log()))
_singular(_log2, "log2", lambda y, root: add(y, 2 * root.log2()))
_singular(_log10, "log10", lambda y, root: add(y, 2 * root.log10()))


@rule("log1p")
def log1p(input: Jet) -> Jet:
    look("log1p", input)
    if extreme(input.value.detach().abs().clamp(min=1.0), 1 / (input.space.order + 3)) is not None:
        return log(add(1, input))  # beyond the digits of 1
    return compose_singular(input, _log1p)


exp = _scalar(_exp, "exp")
tanh = _scalar(_tanh, "tanh")
sigmoid = _scalar(_sigmoid, "sigmoid", "expit")
erf = _scalar(_erf, "erf")
erfc = _scalar(_erfc, "erfc")
_scalar(_normal_cdf, "ndtr")
for _series, _names in (
    (_expm1, ("expm1",)),
    (_exp2, ("exp2",)),
    (_sin, ("sin",)),
    (_cos, ("cos",)),
    (_tan, ("tan",)),
    (_sinh, ("sinh",)),
    (_cosh, ("cosh",)),
    (_atan, ("atan", "arctan")),
    (_logsigmoid, ("logsigmoid",)),
):
    _scalar(_series, *_names)


# activations


def quiet_exp(input: Jet) -> Jet:
    """exp where its steepness has been looked at already."""
    return compose(input, _exp(input.value, input.space.order))


@rule("silu")
def silu(input: Jet) -> Jet:
    steep("silu", input)
    return compose(input, _silu(input.value, input.space.order))


@rule("softplus")
def softplus(input: Jet, beta: float = 1.0, threshold: float = 20.0) -> Jet:
    steep("softplus", input, beta)
    if threshold < 15:  # there log(1 + exp(x)) is replaced by x: above, the step is below float32's rounding
        warn_nonsmooth("softplus")
    return _softplus(input, beta, threshold)


def _softplus(input: Jet, beta: float = 1.0, threshold: float = 20.0) -> Jet:
    x, order = input.value, input.space.order
    s = torch.where(x * beta > threshold, 1.0, torch.sigmoid(beta * x)).to(x.dtype)
    slopes = [t * beta**j if j else t for j, t in enumerate(_logistic(s, max(order - 1, 0)))]
    value = torch.nn.functional.softplus(x, beta, threshold)
    return compose(input, _integral(value, slopes)[: order + 1])


@rule("gelu")
def gelu(input: Jet, approximate: str = "none") -> Jet:
    steep("gelu", input)
    x, order = input.value, input.space.order
    if approximate == "tanh":
        inner = math.sqrt(2 / math.pi)
        series = _univariate(lambda u: 0.5 * u * (1 + torch.tanh(inner * (u + 0.044715 * u**3))), x, order)
    else:
        series = _times_x(x, _normal_cdf(x, order))
    return compose(input, series)


@rule("mish")
def mish(input: Jet) -> Jet:
    steep("mish", input)
    series = _univariate(lambda u: u * torch.tanh(_softplus(u)), input.value, input.space.order)
    return compose(input, series)


@rule("tanhshrink")
def tanhshrink(input: Jet) -> Jet:
    return sub(input, tanh(input))


@rule("softsign")
def softsign(input: Jet) -> Jet:
    return div(input, 1 + torch.abs(input))


# non-smooth functions, right almost everywhere


def _elu(input: Jet, alpha: float, scale: float, rate: float) -> Jet:
    x = input.value
    below = [alpha * scale * rate**j * t for j, t in enumerate(_expm1(rate * x.clamp(max=0), input.space.order))]
    above = [scale * x, torch.full_like(x, scale), *[torch.zeros_like(x)] * (len(below) - 2)]
    return compose(input, [torch.where(x > 0, a, b) for a, b in zip(above, below, strict=False)])


@rule("elu")
def elu(input: Jet, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Jet:
    warn_nonsmooth("elu")
    return _elu(input, alpha, scale, input_scale)


@rule("celu")
def celu(input: Jet, alpha: float = 1.0) -> Jet:
    warn_nonsmooth("celu")
    return _elu(input, alpha, 1.0, 1 / alpha)


@rule("selu")
def selu(input: Jet) -> Jet:
    warn_nonsmooth("selu")
    return _elu(input, 1.6732632423543772848170429916717, 1.0507009873554804934193349852946, 1.0)


@rule("relu")
def relu(input: Jet) -> Jet:
    warn_nonsmooth("relu")
    x = input.value
    return piecewise_linear(input, x.relu(), (x > 0).to(x.dtype))


@rule("leaky_relu")
def leaky_relu(input: Jet, negative_slope: float = 0.01) -> Jet:
    warn_nonsmooth("leaky_relu")
    x = input.value
    slope = torch.where(x > 0, torch.ones_like(x), negative_slope)
    return piecewise_linear(input, x * slope, slope)


@rule("relu6")
def relu6(input: Jet) -> Jet:
    warn_nonsmooth("relu6")
    return _clamp(input, 0.0, 6.0)


@rule("hardtanh")
def hardtanh(input: Jet, min_val: float = -1.0, max_val: float = 1.0) -> Jet:
    warn_nonsmooth("hardtanh")
    return _clamp(input, min_val, max_val)


@rule("hardsigmoid")
def hardsigmoid(input: Jet) -> Jet:
    warn_nonsmooth("hardsigmoid")
    x = input.value
    inside = ((x > -3) & (x < 3)).to(x.dtype)
    return piecewise_linear(input, torch.nn.functional.hardsigmoid(x), inside / 6)


def _clamp(x: Jet, low: Any, high: Any) -> Jet:
    inside = torch.ones_like(x.value, dtype=torch.bool)
    if low is not None:
        inside = inside & (x.value >= low)
    if high is not None:
        inside = inside & (x.value <= high)
    c = lift(x.coefficients, inside.ndim)
    wide = Jet(c.expand(-1, *inside.shape), x.space)
    return piecewise_linear(wide, torch.clamp(x.value, low, high), inside.to(x.dtype))


@rule("clamp", "clip")
def clamp(input: Any, min: Any = None, max: Any = None) -> Jet:
    if any(_meets_bound(input, bound) for bound in (min, max) if bound is not None):
        warn_nonsmooth("clamp")
    if isinstance(min, Jet) or isinstance(max, Jet):
        space_of(input, min, max)
        if min is not None:
            input = _pick(input, min, torch.gt)
        return input if max is None else _pick(input, max, torch.lt)
    return _clamp(input, min, max)


def _meets_bound(x: Any, bound: Any) -> bool:
    sides = value_of(x).detach() - (bound.value.detach() if isinstance(bound, Jet) else bound)
    speed = torch.zeros_like(sides)
    for y in (x, bound):
        if isinstance(y, Jet):
            speed = speed + speed_of(y)
    return meets_kink(sides, speed)


@rule("clamp_min")
def clamp_min(input: Any, min: Any) -> Jet:
    return clamp(input, min=min)


@rule("clamp_max")
def clamp_max(input: Any, max: Any) -> Jet:
    return clamp(input, max=max)


def _pick(a: Any, b: Any, better: Callable[[Tensor, Tensor], Tensor]) -> Any:
    va, vb = (t.value if isinstance(t, Jet) else torch.as_tensor(t) for t in (a, b))
    return torch.where(better(va, vb), a, b)


@rule("maximum", "fmax")
def maximum(input: Any, other: Any) -> Any:
    warn_nonsmooth("maximum")
    return _pick(input, other, torch.gt)


@rule("minimum", "fmin")
def minimum(input: Any, other: Any) -> Any:
    warn_nonsmooth("minimum")
    return _pick(input, other, torch.lt)
