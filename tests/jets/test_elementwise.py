"""Functions of one or two numbers against nested forward-mode differentiation, and at every size."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from jet_oracle import F64, assert_is_jet_of, away, examples, positive, random_jet, seeds, spaces

from sdewm.jets import Jet, JetSpace

SCALAR = {
    "neg": (lambda x: -x, None),
    "reciprocal": (torch.reciprocal, positive),
    "square": (torch.square, None),
    "sqrt": (torch.sqrt, positive),
    "rsqrt": (torch.rsqrt, positive),
    "exp": (torch.exp, None),
    "exp2": (torch.exp2, None),
    "expm1": (torch.expm1, None),
    "log": (torch.log, positive),
    "log1p": (torch.log1p, positive),
    "log2": (torch.log2, positive),
    "log10": (torch.log10, positive),
    "sin": (torch.sin, None),
    "cos": (torch.cos, None),
    "tan": (torch.tan, lambda x: 0.5 * torch.tanh(x)),
    "sinh": (torch.sinh, None),
    "cosh": (torch.cosh, None),
    "tanh": (torch.tanh, None),
    "F.tanh": (F.tanh, None),
    "sigmoid": (torch.sigmoid, None),
    "special.expit": (torch.special.expit, None),
    "F.sigmoid": (F.sigmoid, None),
    "logsigmoid": (F.logsigmoid, None),
    "softplus": (F.softplus, None),
    "softplus beta": (lambda x: F.softplus(x, beta=3.0, threshold=2.0), None),
    "silu": (F.silu, None),
    "gelu": (F.gelu, None),
    "gelu tanh": (lambda x: F.gelu(x, approximate="tanh"), None),
    "mish": (F.mish, None),
    "tanhshrink": (F.tanhshrink, None),
    "softsign": (F.softsign, away),
    "erf": (torch.erf, None),
    "erfc": (torch.erfc, None),
    "atan": (torch.atan, None),
    "elu": (F.elu, away),
    "elu alpha": (lambda x: F.elu(x, 0.7), away),
    "celu": (lambda x: F.celu(x, 0.7), away),
    "selu": (F.selu, away),
    "abs": (torch.abs, away),
    "abs()": (abs, away),
    "relu": (F.relu, away),
    "leaky_relu": (F.leaky_relu, away),
    "relu6": (F.relu6, away),
    "hardtanh": (F.hardtanh, away),
    "clamp": (lambda x: x.clamp(-0.5, 0.95), lambda x: away(x) * 0.37),
    "clamp_min": (lambda x: torch.clamp(x, min=0.0), away),
    "pow 3": (lambda x: x**3, None),
    "pow 0": (lambda x: x**0, None),
    "pow 2.5": (lambda x: x**2.5, positive),
    "pow -1": (lambda x: x**-1, positive),
    "pow 3 at 0": (lambda x: x**3, torch.zeros_like),
    "rpow": (lambda x: 1.7**x, None),
    "radd": (lambda x: 2 + x, None),
    "rsub": (lambda x: 2 - x, None),
    "rmul": (lambda x: 2 * x, None),
    "rdiv": (lambda x: 2 / x, positive),
    "asinh by fallback": (torch.asinh, None),
    "acos by fallback": (torch.acos, lambda x: 0.5 * torch.tanh(x)),
    "sinc by fallback": (torch.sinc, positive),
    "lgamma by fallback": (torch.lgamma, positive),
}
BINARY = {
    "add": (torch.add, None),
    "add alpha": (lambda a, b: torch.add(a, b, alpha=0.3), None),
    "sub": (lambda a, b: a - b, None),
    "sub alpha": (lambda a, b: torch.sub(a, b, alpha=0.3), None),
    "rsub": (lambda a, b: torch.rsub(a, b), None),
    "mul": (torch.mul, None),
    "div": (lambda a, b: a / b, positive),
    "pow": (torch.pow, positive),
    "maximum": (torch.maximum, None),
    "minimum": (torch.minimum, None),
    "addcmul": (lambda a, b: torch.addcmul(a, a, b, value=0.3), None),
    "addcdiv": (lambda a, b: torch.addcdiv(b, a, b, value=0.3), positive),
    "lerp": (lambda a, b: torch.lerp(a, b, 0.3), None),
    "lerp tensor": (lambda a, b: torch.lerp(a, b, a), None),
    "where": (lambda a, b: torch.where(torch.ones((), dtype=torch.bool), a, b), None),
    "hypot by fallback": (lambda a, b: torch.hypot(a, b), positive),
    "atan2 by fallback": (torch.atan2, positive),
}
SCALAR_REFERENCE = {
    "celu": lambda x: torch.where(x > 0, x, 0.7 * torch.expm1(x / 0.7)),  # torch's own slope is single precision
    "mish": lambda x: x * torch.tanh(F.softplus(x)),
}


@pytest.mark.parametrize("name", SCALAR)
@examples
@given(space=spaces, seed=seeds, shape=st.lists(st.integers(0, 3), max_size=3))
def test_scalar_function(name: str, space: JetSpace, seed: int, shape: list[int]) -> None:
    torch.manual_seed(seed)
    f, domain = SCALAR[name]
    assert_is_jet_of(f, [random_jet(space, tuple(shape), domain)], SCALAR_REFERENCE.get(name))


@pytest.mark.parametrize("name", BINARY)
@examples
@given(
    space=spaces,
    seed=seeds,
    shapes=st.sampled_from([((3, 4), (3, 4)), ((4,), (3, 4)), ((3, 1), (2, 1, 4)), ((), (3,)), ((2, 3), ())]),
    plain=st.sampled_from([None, 0, 1]),
)
def test_binary_function(name: str, space: JetSpace, seed: int, shapes: Any, plain: int | None) -> None:
    torch.manual_seed(seed)
    f, domain = BINARY[name]
    args: list[Any] = [random_jet(space, shape, domain) for shape in shapes]
    if plain is not None:
        args[plain] = args[plain].value
    assert_is_jet_of(f, args)


@pytest.mark.parametrize("beta", [0.4, 2.5])
def test_softplus_of_another_slope(beta):
    """Its derivatives in closed form: σ, β σ(1 − σ), β² σ(1 − σ)(1 − 2σ), of σ at βx."""
    x = torch.linspace(-2, 2, 7, dtype=torch.float64)
    found = F.softplus(Jet(torch.stack([x, torch.ones_like(x), 0 * x, 0 * x]), JetSpace(1, 3)), beta=beta)
    s = torch.sigmoid(beta * x)
    slopes = [F.softplus(x, beta), s, beta * s * (1 - s), beta**2 * s * (1 - s) * (1 - 2 * s)]
    for order, slope in enumerate(slopes):
        torch.testing.assert_close(found.derivative((order,)), slope, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("x", [-1e300, -1e155, -800.0, -40.0, 40.0, 800.0, 1e155, 1e300])
@pytest.mark.parametrize(
    "function",
    [
        torch.nn.functional.softplus,
        torch.nn.functional.logsigmoid,
        torch.sigmoid,
        torch.erfc,
        torch.tanh,
        torch.nn.functional.gelu,
        torch.nn.functional.silu,
        torch.nn.functional.mish,
        lambda x: torch.logsumexp(torch.stack([x, 0 * x]), 0),
        lambda x: torch.logaddexp(x, 0 * x),
        lambda x: torch.log_softmax(torch.stack([x, 0 * x]), 0)[1],
        lambda x: torch.softmax(torch.stack([x, 0 * x]), 0)[0],
    ],
)
def test_functions_that_flatten_are_numbers_however_far_out(function, x):
    """Their values are torch's there, slopes are 0 or ±1 and higher coefficients vanish."""
    found = function(Jet(torch.tensor([[x], [1.0], [0.0], [0.0]], dtype=F64), JetSpace(1, 3))).coefficients[:, 0]
    assert abs(found[0] - function(torch.tensor([x], dtype=F64))[0]) <= 1e-15 * abs(x)
    assert abs(float(found[1]) - round(float(found[1]))) < 1e-10 and float(found[2:].abs().max()) < 1e-10


@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float64, 1e-13), (torch.float32, 1e-4)])
@pytest.mark.parametrize("part", [-0.95, -0.6, -0.4, -0.2, 0.2, 0.4, 0.6, 0.95])
@pytest.mark.parametrize(
    ("function", "power"),
    [
        (torch.reciprocal, -1.0),
        (torch.sqrt, 0.5),
        (torch.rsqrt, -0.5),
        (lambda x: x.pow(-0.75), -0.75),
        (lambda x: x.pow(torch.full_like(x.value, 0.3)), 0.3),
        (lambda x: x / x.norm(dim=-1, keepdim=True), 0.0),
        (lambda x: x[:, :1] / x[:, 1:], 0.0),
        (lambda x: (x / 2.0) / (1 / x), 2.0),
    ],
)
def test_quotients_and_roots_are_right_at_every_size(function, power, part, dtype, rtol):
    """f(s x) = s^p f(x) in every coefficient, for s up to the end of the range of numbers, while s^p is in it."""
    s = float(torch.finfo(dtype).max ** part)
    if abs(power * part) > 0.95:
        s, part = s ** (0.9 / abs(power * part)), 0.9 / power
    x = random_jet(JetSpace(2, 3), (5, 2))
    x.coefficients[0] = x.coefficients[0].abs() + 0.5
    expected = function(x).coefficients
    found = function(Jet((s * x.coefficients).to(dtype), x.space)).coefficients.double() / s**power
    torch.testing.assert_close(found, expected, rtol=rtol, atol=rtol * float(expected.abs().max()))


@pytest.mark.parametrize("size", [1e-200, 1e-100, 1e-20, 1e100, 1e200, 1e300])
@pytest.mark.parametrize("function", [torch.log, torch.log2, torch.log10, torch.log1p])
def test_logarithms_have_their_slopes_at_every_size(function, size):
    """All but the value of log(s x) are those of log x; log(1 + s x) is s x where that is small."""
    x = random_jet(JetSpace(2, 3), (5, 2))
    x.coefficients[0] = x.coefficients[0].abs() + 0.5
    found = function(Jet(size * x.coefficients, x.space)).coefficients
    if function is torch.log1p:
        same = size * x.coefficients if size < 1 else torch.log(x).coefficients
    else:
        same = function(x).coefficients
    plain = function(size * x.value)
    torch.testing.assert_close(found[0], plain, rtol=1e-15, atol=0)
    torch.testing.assert_close(
        found[1:] / (size if function is torch.log1p and size < 1 else 1),
        same[1:] / (size if function is torch.log1p and size < 1 else 1),
        rtol=1e-12,
        atol=1e-12,
    )
