"""Every jet rule against nested forward-mode differentiation along random directions."""

from __future__ import annotations

import copy
import operator
import pickle
import warnings
from collections.abc import Callable
from itertools import accumulate
from math import factorial, prod
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import jvp

from sdewm.jets import Jet, JetSpace, NonSmoothWarning, NotDifferentiable, Parameter, constant
from sdewm.jets.jet import RULES

SPACE = JetSpace(2, 2)
F64 = torch.float64


# the oracle: derivatives along a curve ε = t v, by nested jvp, know nothing of multi-indices or products


def along(x: Any, v: Tensor) -> list[Tensor]:
    """Coefficients in t of a jet at ε = t v."""
    rows = [torch.zeros_like(x.value) for _ in range(x.space.order + 1)]
    for alpha, row in zip(x.space.indices, x.coefficients, strict=True):
        rows[sum(alpha)] = rows[sum(alpha)] + row * prod(float(v[i]) ** a for i, a in enumerate(alpha))
    return rows


def directional(f: Callable[..., Any], args: list[Any], v: Tensor, order: int) -> list[tuple[Tensor, ...]]:
    """Coefficients in t of the outputs of f, the jets among its arguments at ε = t v."""
    curves = [along(a, v) if isinstance(a, Jet) else a for a in args]

    def point(curve: Any, t: Tensor) -> Any:
        if not isinstance(curve, list):
            return curve
        total = curve[-1]
        for row in reversed(curve[:-1]):
            total = row + t * total
        return total

    def values(t: Tensor) -> list[tuple[Tensor, ...]]:
        y = f(*(point(c, t) for c in curves))
        return [(y,) if isinstance(y, Tensor) else tuple(y)]

    def with_next(g: Callable[[Tensor], Any]) -> Callable[[Tensor], Any]:
        def derivatives(t: Tensor) -> list[tuple[Tensor, ...]]:
            lower, upper = jvp(g, (t,), (torch.ones((), dtype=F64),))
            return [*lower, upper[-1]]

        return derivatives

    g = values
    for _ in range(order):
        g = with_next(g)
    return [tuple(y / factorial(k) for y in ys) for k, ys in enumerate(g(torch.zeros((), dtype=F64)))]


def assert_is_jet_of(f: Callable[..., Any], args: list[Any], reference: Callable[..., Any] | None = None) -> None:
    space = next(a.space for a in args if isinstance(a, Jet))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NonSmoothWarning)
        out = f(*args)
    outs = (out,) if isinstance(out, Tensor) else tuple(out)
    v = torch.randn(space.parameters, dtype=F64)
    expected = directional(reference or f, args, v, space.order)
    for i, y in enumerate(outs):
        assert isinstance(y, Jet) and y.space is space
        for k, (found, true) in enumerate(zip(along(y, v), (e[i] for e in expected), strict=True)):
            assert y.shape == true.shape
            scale = float(true.abs().max()) if true.numel() else 0.0
            torch.testing.assert_close(
                found, true, rtol=1e-9, atol=1e-10 * max(scale, 1.0), msg=lambda m, k=k: f"degree {k}: {m}"
            )


def random_jet(space: JetSpace, shape: tuple[int, ...], domain: Callable[[Tensor], Tensor] | None = None) -> Jet:
    c = 0.6 * torch.randn(len(space), *shape, dtype=F64)
    if domain is not None:
        c[0] = domain(c[0])
    return Jet(c, space)


def positive(x: Tensor) -> Tensor:
    return x.abs() + 0.5


def away(x: Tensor) -> Tensor:
    """Away from the kinks at 0 and at ±1."""
    return x.sign() * (0.1 + 0.8 * x.abs().clamp(max=1)) + (x.abs() > 0.8) * x.sign()


W = torch.randn(5, 4, dtype=F64, generator=torch.Generator().manual_seed(1))
M = torch.rand(3, 4, generator=torch.Generator().manual_seed(2)) > 0.5
V4 = torch.linspace(0.5, 2.0, 4, dtype=F64)

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

# name: (function, shapes of its jets or tensors)
TABLE: dict[str, tuple[Callable[..., Any], list[tuple[int, ...]]]] = {
    "getitem int": (lambda x: x[1], [(3, 4)]),
    "getitem slice": (lambda x: x[..., 1:3], [(3, 4)]),
    "getitem none": (lambda x: x[:, None, 2], [(3, 4)]),
    "getitem tensor": (lambda x: x[:, torch.tensor([0, 2, 0])], [(3, 4)]),
    "getitem list": (lambda x: x[[2, 0]], [(3, 4)]),
    "getitem mask": (lambda x: x[M], [(3, 4)]),
    "getitem two tensors": (lambda x: x[torch.tensor([0, 1]), :, torch.tensor([1, 2])], [(2, 3, 4)]),
    "getitem bool": (lambda x: x[True], [(3,)]),
    "iterate": (lambda x: [row * row for row in x], [(3, 4)]),
    "cat": (lambda a, b: torch.cat([a, V4.expand(2, 4), b]), [(3, 4), (1, 4)]),
    "cat last": (lambda a, b: torch.cat((a, b), -1), [(3, 4), (3, 2)]),
    "stack": (lambda a, b: torch.stack([a, b, torch.ones(3, 4, dtype=F64)], -1), [(3, 4), (3, 4)]),
    "stack 1": (lambda a, b: torch.stack([a, b], 1), [(3,), (3,)]),
    "split": (lambda x: x.split(2, -1), [(3, 5)]),
    "torch.split": (lambda x: torch.split(x, [1, 4], dim=1), [(3, 5)]),
    "chunk": (lambda x: x.chunk(2, dim=1), [(3, 5)]),
    "torch.chunk": (lambda x: torch.chunk(x, 3), [(3, 5)]),
    "unbind": (lambda x: x.unbind(1), [(3, 4)]),
    "tensor_split": (lambda x: torch.tensor_split(x, 2, dim=-1), [(3, 5)]),
    "view": (lambda x: x.view(2, -1), [(3, 4)]),
    "view shape": (lambda x: x.view(torch.Size([4, 3])), [(3, 4)]),
    "view_as": (lambda x: x.view_as(torch.zeros(4, 3)), [(3, 4)]),
    "reshape": (lambda x: torch.reshape(x, (6, 2)), [(3, 4)]),
    "reshape method": (lambda x: x.T.reshape(-1), [(3, 4)]),
    "flatten": (lambda x: x.flatten(1), [(2, 3, 4)]),
    "flatten 0-d": (torch.flatten, [()]),
    "unflatten": (lambda x: x.unflatten(-1, (2, 2)), [(3, 4)]),
    "squeeze": (lambda x: x.squeeze(), [(1, 3, 1)]),
    "squeeze dim": (lambda x: x.squeeze(-1), [(1, 3, 1)]),
    "squeeze dims": (lambda x: torch.squeeze(x, (0, 1)), [(1, 3, 1)]),
    "unsqueeze": (lambda x: x.unsqueeze(0).unsqueeze(-1).unsqueeze(2), [(3, 4)]),
    "unsqueeze first": (lambda x: x.unsqueeze(-3), [(3, 4)]),
    "transpose": (lambda x: x.transpose(0, -1), [(2, 3, 4)]),
    "permute": (lambda x: x.permute(2, 0, -2), [(2, 3, 4)]),
    "permute tuple": (lambda x: torch.permute(x, (1, 0)), [(3, 4)]),
    "movedim": (lambda x: x.movedim(0, -1), [(2, 3, 4)]),
    "movedim tuples": (lambda x: x.movedim((0, 1), (2, 0)), [(2, 3, 4)]),
    "T": (lambda x: x.T, [(3, 4)]),
    "mT": (lambda x: x.mT, [(2, 3, 4)]),
    "t()": (lambda x: x.t(), [(3, 4)]),
    "expand": (lambda x: x.expand(2, -1, 4), [(3, 1)]),
    "expand_as": (lambda x: x.expand_as(torch.zeros(3, 4)), [(4,)]),
    "broadcast_to": (lambda x: torch.broadcast_to(x, (2, 3, 4)), [(4,)]),
    "repeat": (lambda x: x.repeat(2, 1, 3), [(3, 4)]),
    "repeat_interleave": (lambda x: x.repeat_interleave(2, dim=0), [(3, 4)]),
    "tile": (lambda x: torch.tile(x, (2,)), [(3, 4)]),
    "contiguous": (lambda x: x.T.contiguous(), [(3, 4)]),
    "clone": (lambda x: x.clone(), [(3, 4)]),
    "narrow": (lambda x: x.narrow(-1, 1, 2), [(3, 4)]),
    "select": (lambda x: x.select(1, 2), [(3, 4)]),
    "sum": (lambda x: x.sum(), [(3, 4)]),
    "sum dim": (lambda x: x.sum(-1, keepdim=True), [(3, 4)]),
    "sum dims": (lambda x: torch.sum(x, dim=(0, 2)), [(2, 3, 4)]),
    "sum 0-d": (lambda x: x.sum(), [()]),
    "mean": (lambda x: x.mean(), [(3, 4)]),
    "mean dim": (lambda x: x.mean(dim=0), [(3, 4)]),
    "var": (lambda x: x.var(), [(3, 4)]),
    "var dim": (lambda x: x.var(-1, unbiased=False), [(3, 4)]),
    "var correction": (lambda x: torch.var(x, dim=0, correction=0, keepdim=True), [(3, 4)]),
    "std": (lambda x: x.std(1), [(3, 4)]),
    "norm": (lambda x: x.norm(), [(3, 4)]),
    "norm dim": (lambda x: torch.norm(x, dim=1), [(3, 4)]),
    "norm p=3": (lambda x: x.norm(3, dim=1), [(3, 4)]),
    "linalg.norm": (lambda x: torch.linalg.norm(x), [(3, 4)]),
    "linalg.vector_norm": (lambda x: torch.linalg.vector_norm(x, dim=-1, keepdim=True), [(3, 4)]),
    "logsumexp": (lambda x: torch.logsumexp(x, -1), [(3, 4)]),
    "logsumexp keep": (lambda x: x.logsumexp(dim=0, keepdim=True), [(3, 4)]),
    "softmax": (lambda x: F.softmax(x, dim=-1), [(3, 4)]),
    "x.softmax": (lambda x: x.softmax(0), [(3, 4)]),
    "log_softmax": (lambda x: F.log_softmax(x, dim=0), [(3, 4)]),
    "prod": (lambda x: x.prod(-1), [(3, 4)]),
    "cumprod": (lambda x: x.cumprod(-1), [(3, 4)]),
    "cumsum": (lambda x: x.cumsum(-1), [(3, 4)]),
    "diff": (lambda x: torch.diff(x, dim=0), [(3, 4)]),
    "flip": (lambda x: x.flip(0), [(3, 4)]),
    "flip dims": (lambda x: torch.flip(x, (0, 1)), [(3, 4)]),
    "roll": (lambda x: x.roll(1, 1), [(3, 4)]),
    "tril": (torch.tril, [(3, 4)]),
    "diagonal": (lambda x: x.diagonal(), [(3, 4)]),
    "diag_embed": (torch.diag_embed, [(3, 4)]),
    "trace": (torch.trace, [(3, 3)]),
    "index_select": (lambda x: x.index_select(1, torch.tensor([2, 0])), [(3, 4)]),
    "gather": (lambda x: x.gather(1, torch.tensor([[1], [0], [3]])), [(3, 4)]),
    "masked_select": (lambda x: x.masked_select(M), [(3, 4)]),
    "masked_fill": (lambda x: x.masked_fill(M, 2.0), [(3, 4)]),
    "where scalar": (lambda x: torch.where(M, x, 0.5), [(3, 4)]),
    "where tensor": (lambda x: torch.where(M, V4, x), [(4,)]),
    "x.where": (lambda x: x.where(M, V4), [(3, 4)]),
    "index_add": (lambda a, b: a.index_add(0, torch.tensor([2, 0]), b), [(3, 4), (2, 4)]),
    "scatter_add": (lambda a, b: a.scatter_add(0, torch.tensor([[2, 0, 1, 1]]), b), [(3, 4), (1, 4)]),
    "pad": (lambda x: F.pad(x, (1, 2), value=3.0), [(3, 4)]),
    "max": (lambda x: x.max(), [(3, 4)]),
    "max dim": (lambda x: x.max(dim=1).values, [(3, 4)]),
    "amax": (lambda x: x.amax(0), [(3, 4)]),
    "sort": (lambda x: x.sort(dim=1).values, [(3, 4)]),
    "max_pool2d": (lambda x: F.max_pool2d(x, 2), [(2, 1, 4, 4)]),
    "matmul": (lambda a, b: a @ b, [(3, 4), (4, 5)]),
    "matmul vector": (lambda a, b: a @ b, [(3, 4), (4,)]),
    "vector matmul": (lambda a, b: a @ b, [(4,), (4, 5)]),
    "vector batch": (lambda a, b: a @ b, [(4,), (2, 4, 5)]),
    "vector vector": (lambda a, b: a @ b, [(4,), (4,)]),
    "dot": (torch.dot, [(4,), (4,)]),
    "matmul batch": (lambda a, b: torch.matmul(a, b), [(3, 4), (2, 1, 4, 5)]),
    "batch matmul": (lambda a, b: torch.matmul(a, b), [(2, 3, 4), (4, 5)]),
    "batch matmul vector": (lambda a, b: torch.matmul(a, b), [(2, 3, 4), (4,)]),
    "mm": (torch.mm, [(3, 4), (4, 5)]),
    "mv": (torch.mv, [(3, 4), (4,)]),
    "bmm": (torch.bmm, [(2, 3, 4), (2, 4, 5)]),
    "linear": (F.linear, [(3, 4), (5, 4), (5,)]),
    "linear no bias": (F.linear, [(4,), (5, 4)]),
    "addmm": (lambda a, b, c: torch.addmm(a, b, c, beta=0.5, alpha=2.0), [(5,), (3, 4), (4, 5)]),
    "baddbmm": (torch.baddbmm, [(2, 3, 5), (2, 3, 4), (2, 4, 5)]),
    "outer": (torch.outer, [(3,), (4,)]),
    "einsum 1": (lambda a: torch.einsum("ij->j", a), [(3, 4)]),
    "einsum implicit": (lambda a, b: torch.einsum("ij,jk", a, b), [(3, 4), (4, 5)]),
    "einsum ellipsis": (lambda a, b: torch.einsum("...i,ki->...k", a, b), [(2, 3, 4), (5, 4)]),
    "einsum batch": (lambda a, b: torch.einsum("bi,bi->b", a, b), [(3, 4), (3, 4)]),
    "einsum three": (lambda a, b, c: torch.einsum("ij,jk,k->i", a, b, c), [(3, 4), (4, 5), (5,)]),
    "bilinear by fallback": (F.bilinear, [(3, 2), (3, 4), (5, 2, 4)]),
    "conv1d": (F.conv1d, [(2, 3, 6), (4, 3, 2), (4,)]),
    "conv2d": (lambda x, w, b: F.conv2d(x, w, b, stride=2, padding=1), [(2, 3, 5, 5), (4, 3, 3, 3), (4,)]),
    "conv2d image": (lambda x, w: F.conv2d(x, w), [(3, 5, 5), (4, 3, 3, 3)]),
    "conv_transpose2d": (
        lambda x, w, b: F.conv_transpose2d(x, w, b, stride=2),
        [(2, 3, 3, 3), (3, 2, 2, 2), (2,)],
    ),
    "avg_pool2d": (lambda x: F.avg_pool2d(x, 2), [(2, 1, 4, 4)]),
    "interpolate nearest": (lambda x: F.interpolate(x, scale_factor=2), [(2, 1, 3, 3)]),
    "interpolate bilinear": (lambda x: F.interpolate(x, size=(5, 5), mode="bilinear"), [(2, 1, 3, 3)]),
    "layer_norm": (lambda x, w, b: F.layer_norm(x, (4,), w, b), [(3, 4), (4,), (4,)]),
    "layer_norm 2": (lambda x: F.layer_norm(x, (3, 4)), [(2, 3, 4)]),
    "group_norm": (lambda x, w, b: F.group_norm(x, 2, w, b), [(3, 4, 5), (4,), (4,)]),
    "batch_norm eval": (lambda x: F.batch_norm(x, V4, 2 * V4, V4, -V4), [(3, 4)]),
    "rms_norm": (lambda x: F.rms_norm(x, (4,)), [(3, 4)]),
    "normalize": (lambda x: F.normalize(x, dim=-1), [(3, 4)]),
    "dropout eval": (lambda x: F.dropout(x, 0.5, training=False), [(3, 4)]),
    "attention": (lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True), [(2, 3, 4)] * 3),
    "mse_loss": (lambda a, b: F.mse_loss(a, b), [(3, 4), (3, 4)]),
    "x.to": (lambda x: x.to(torch.float64).double(), [(3, 4)]),
    "x.type": (lambda x: x.type(torch.float64) * x.type("torch.DoubleTensor"), [(3, 4)]),
    "setitem": (lambda x: assign(torch.zeros_like(x), x), [(3, 4)]),
    "in place": (lambda x: x.clone().mul_(2.0).add_(x).tanh_(), [(3, 4)]),
    "augmented": (lambda x: augmented(x), [(3, 4)]),
}


def layer_norm(x: Tensor, axes: Any, w: Any = 1.0, b: Any = 0.0) -> Tensor:
    c = x - x.mean(axes, keepdim=True)
    return c / torch.sqrt((c * c).mean(axes, keepdim=True) + 1e-5) * w + b


REFERENCE = {
    # nested forward mode through torch's fused layer_norm gives a wrong second derivative (torch 2.13)
    "layer_norm": lambda x, w, b: layer_norm(x, -1, w, b),
    "layer_norm 2": lambda x: layer_norm(x, (-2, -1)),
    "celu": lambda x: torch.where(x > 0, x, 0.7 * torch.expm1(x / 0.7)),  # torch's own slope is single precision
    "mish": lambda x: x * torch.tanh(F.softplus(x)),
    "max_pool2d": lambda x: x.reshape(2, 1, 2, 2, 2, 2).amax((3, 5)),
    # torch divides by factors that may be near zero
    "prod": lambda x: x[..., 0] * x[..., 1] * x[..., 2] * x[..., 3],
    "cumprod": lambda x: torch.stack(list(accumulate(x.unbind(-1), operator.mul)), -1),
    "attention": lambda q, k, v: (
        torch.softmax((q @ k.mT / 2.0).masked_fill(~torch.ones(3, 3, dtype=torch.bool).tril(), -torch.inf), -1) @ v
    ),
}


def assign(out: Tensor, x: Tensor) -> Tensor:
    out = out.clone()
    out[:, 0] = x[:, 1] * x[:, 2]
    out[1:, 2] = 3.0
    out[0, 1:3] = x[0, :2]
    out[..., 3] = torch.linspace(0, 1, 3, dtype=F64)
    return out


def augmented(x: Tensor) -> Tensor:
    y = x.clone()
    y += x
    y *= x
    y -= 1.5
    y[:, 0] += x[:, 1]
    y /= 2 + x * x
    return y


spaces = st.sampled_from([JetSpace(p, n) for p in (2, 1, 3) for n in (2, 1, 3, 4) if p * n < 9])
seeds = st.integers(0, 2**31)
examples = settings(deadline=None, max_examples=3, phases=[Phase.generate])


@pytest.mark.parametrize("name", SCALAR)
@examples
@given(space=spaces, seed=seeds, shape=st.lists(st.integers(0, 3), max_size=3))
def test_scalar_function(name: str, space: JetSpace, seed: int, shape: list[int]) -> None:
    torch.manual_seed(seed)
    f, domain = SCALAR[name]
    assert_is_jet_of(f, [random_jet(space, tuple(shape), domain)], REFERENCE.get(name))


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


@pytest.mark.parametrize("name", TABLE)
@examples
@given(space=spaces, seed=seeds, data=st.data())
def test_operation(name: str, space: JetSpace, seed: int, data: st.DataObject) -> None:
    torch.manual_seed(seed)
    f, shapes = TABLE[name]
    args: list[Any] = [random_jet(space, shape) for shape in shapes]
    jets = data.draw(st.sets(st.integers(0, len(args) - 1), min_size=1), label="jets")
    args = [a if i in jets else a.value for i, a in enumerate(args)]
    assert_is_jet_of(f, args, REFERENCE.get(name))


# modules


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(4, 12)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, -1)
        weights = torch.softmax(torch.einsum("bid,bjd->bij", q, k) / 2, -1)
        return torch.einsum("bij,bjd->bid", weights, v)


class MyLayerNorm(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return layer_norm(x, -1)


def mlp(activation: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6), activation, nn.Linear(6, 6), activation, nn.Linear(6, 3))


ACTIVATIONS = [
    nn.Tanh(),
    nn.Sigmoid(),
    nn.Softplus(),
    nn.ELU(),
    nn.SiLU(),
    nn.GELU(),
    nn.GELU("tanh"),
    nn.ReLU(),
    nn.LogSigmoid(),
    nn.LeakyReLU(),
    nn.Hardtanh(),
    nn.Softmax(-1),
    nn.LogSoftmax(-1),
]
MODULES: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    **{f"MLP {a}": (mlp(a), (5, 4)) for a in ACTIVATIONS},
    "convolutional encoder": (
        nn.Sequential(nn.Conv2d(2, 3, 3, stride=2), nn.SiLU(), nn.Conv2d(3, 2, 2), nn.Flatten(), nn.Linear(8, 3)),
        (3, 2, 7, 7),
    ),
    "convolutional decoder": (
        nn.Sequential(
            nn.Linear(3, 8),
            nn.Unflatten(-1, (2, 2, 2)),
            nn.ConvTranspose2d(2, 3, 3, 2),
            nn.Tanh(),
            nn.ConvTranspose2d(3, 1, 2),
        ),
        (3, 3),
    ),
    "attention": (Attention(), (2, 3, 4)),
    "GroupNorm": (nn.Sequential(nn.Linear(4, 4), nn.GroupNorm(2, 4)), (3, 4)),
    "BatchNorm": (nn.BatchNorm1d(4).eval(), (3, 4)),
    "Dropout": (nn.Dropout(0.3).eval(), (3, 4)),
    "RNNCell": (nn.RNNCell(4, 3), (5, 4)),
}
for _module, _ in MODULES.values():
    _module.double()


@pytest.mark.parametrize("name", MODULES)
@examples
@given(space=st.sampled_from([JetSpace(2, 2), JetSpace(1, 3)]), seed=seeds)
def test_module(name: str, space: JetSpace, seed: int) -> None:
    torch.manual_seed(seed)
    module, shape = MODULES[name]
    assert_is_jet_of(module, [random_jet(space, shape)])


def test_layer_norm_module() -> None:
    module = nn.LayerNorm(4).double()
    assert_is_jet_of(module, [random_jet(SPACE, (3, 4))], MyLayerNorm())


def gru(x: Tensor, h: Tensor, w: nn.GRUCell) -> Tensor:
    a, b = F.linear(x, w.weight_ih, w.bias_ih).chunk(3, -1), F.linear(h, w.weight_hh, w.bias_hh).chunk(3, -1)
    r, z = torch.sigmoid(a[0] + b[0]), torch.sigmoid(a[1] + b[1])
    return (1 - z) * torch.tanh(a[2] + r * b[2]) + z * h


def lstm(x: Tensor, h: Tensor, c: Tensor, w: nn.LSTMCell) -> tuple[Tensor, Tensor]:
    i, f, g, o = (F.linear(x, w.weight_ih, w.bias_ih) + F.linear(h, w.weight_hh, w.bias_hh)).chunk(4, -1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


@pytest.mark.parametrize("plain", [None, 0, 1])
@pytest.mark.parametrize("batch", [(), (5,)])
def test_recurrent_cells(plain: int | None, batch: tuple[int, ...]) -> None:
    args: list[Any] = [random_jet(SPACE, (*batch, n)) for n in (4, 3, 3)]
    if plain is not None:
        args[plain] = args[plain].value
    g, cell = nn.GRUCell(4, 3).double(), nn.LSTMCell(4, 3).double()
    assert_is_jet_of(g, args[:2], lambda x, h: gru(x, h, g))
    assert_is_jet_of(lambda x, h, c: cell(x, (h, c)), args, lambda x, h, c: lstm(x, h, c, cell))


# spaces, jets, parameters


def test_space() -> None:
    assert SPACE.indices == ((0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2))
    assert len(SPACE) == 6 and SPACE is JetSpace(parameters=2, order=2) and SPACE.lower(1) is JetSpace(2, 1)
    assert pickle.loads(pickle.dumps(SPACE)) is SPACE
    for arguments in ((0, 2), (2, -1)):
        with pytest.raises(ValueError, match="parameters >= 1"):
            JetSpace(*arguments)


def test_jet_reads_like_a_tensor() -> None:
    c = torch.randn(6, 3, 4, dtype=F64)
    x = Jet(c, SPACE)
    assert isinstance(x, Tensor) and x.coefficients is c and x.space is SPACE
    assert x.shape == (3, 4) == x.size() and x.size(1) == 4 and x.ndim == x.dim() == 2 and x.numel() == 12
    assert len(x) == 3 and x.dtype == F64 and x.device.type == "cpu" and x.is_floating_point()
    assert repr(x) == f"{x}" == "Jet(shape=(3, 4), float64, parameters=2, order=2)"
    torch.testing.assert_close(x.value, c[0])
    torch.testing.assert_close(x.coefficient((2, 0)), c[3])
    torch.testing.assert_close(x.derivative((2, 0)), 2 * c[3])
    assert x.truncate(1).space is SPACE.lower(1) and torch.equal(x.truncate(1).coefficients, c[:3])
    for twin in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert torch.equal(twin.coefficients, c)
    assert x.float().dtype == torch.float32 and (x.float() + x).dtype == F64
    assert x.type() == "torch.DoubleTensor" and x.type(torch.int64).dtype == torch.int64


@given(space=spaces, seed=seeds)
@examples
def test_parameter_shifts(space: JetSpace, seed: int) -> None:
    torch.manual_seed(seed)
    x = random_jet(space, (3,))
    for i in range(space.parameters):
        unit = constant(torch.zeros((), dtype=F64), space)
        unit.coefficients[1 + i] = 1.0
        parameter = Parameter(space, i)
        expected = (unit * x).coefficients
        torch.testing.assert_close((parameter * x).coefficients, expected)
        torch.testing.assert_close((x * parameter).coefficients, expected)
        torch.testing.assert_close((parameter * parameter.lower(x)).coefficients, expected)
        torch.testing.assert_close((x.value * parameter).coefficients, (unit * x.value).coefficients)
        assert parameter.lower(x.value) is not None and parameter.lower(x).space is space.lower(space.order - 1)


@pytest.mark.parametrize(
    "make",
    [
        torch.zeros_like,
        torch.ones_like,
        torch.rand_like,
        torch.randn_like,
        torch.empty_like,
        lambda x: torch.full_like(x, 2.0),
        lambda x: x.new_zeros(3, 4),
        lambda x: x.new_ones((3, 4)),
    ],
)
def test_factories_make_constant_jets(make: Callable[[Tensor], Tensor]) -> None:
    y = make(random_jet(SPACE, (3, 4)))
    assert isinstance(y, Jet) and y.shape == (3, 4) and not y.coefficients[1:].any()


def test_gradient_through_coefficients() -> None:
    c = torch.randn(6, 2, 3, dtype=F64, requires_grad=True)
    net = mlp(nn.SiLU()).double()

    def curvature(c: Tensor) -> Tensor:
        return (F.linear(torch.tanh(Jet(c, SPACE)) ** 2, W[:4, :3]).softmax(-1)).derivative((1, 1)).sum(-1)

    assert torch.autograd.gradcheck(curvature, (c,))
    loss = net(Jet(torch.randn(6, 5, 4, dtype=F64), SPACE)).derivative((2, 0)).square().sum()
    loss.backward()
    assert all(p.grad is not None for p in net.parameters() if p.ndim == 2)


def test_jets_inside_forward_mode() -> None:
    c, dc = torch.randn(6, 3, dtype=F64), torch.randn(6, 3, dtype=F64)

    def f(c: Tensor) -> Tensor:
        return (torch.tanh(Jet(c, SPACE)) * Jet(c, SPACE)).coefficients

    h = 1e-6
    torch.testing.assert_close(jvp(f, (c,), (dc,))[1], (f(c + h * dc) - f(c - h * dc)) / (2 * h), rtol=1e-7, atol=1e-7)


def test_inplace_modules_write_to_their_argument() -> None:
    x = random_jet(SPACE, (3,))
    with pytest.warns(NonSmoothWarning):
        y = nn.ReLU(inplace=True)(x)
    assert y is x and bool((x.value >= 0).all())


# warnings and errors


@pytest.mark.parametrize(
    "name, f",
    [
        ("relu", torch.relu),
        ("abs", abs),
        ("clamp", lambda x: x.clamp(0, 1)),
        ("elu", F.elu),
        ("max", torch.max),
        ("maximum", lambda x: torch.maximum(x, x.value)),
        ("amax", lambda x: x.amax(0)),
        ("sort", torch.sort),
        ("leaky_relu", F.leaky_relu),
        ("hardtanh", F.hardtanh),
        ("relu6", F.relu6),
        ("hardswish", F.hardswish),
    ],
)
def test_one_warning_names_the_nonsmooth_operation(name: str, f: Callable[[Tensor], Any]) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        f(random_jet(SPACE, (3,)))
    messages = [str(w.message) for w in caught if issubclass(w.category, NonSmoothWarning)]
    assert len(messages) == 1 and messages[0].startswith(f"{name} is not twice") and "C²" in messages[0]


@pytest.mark.parametrize(
    "name, advice, f",
    [
        ("float", "sdewm.value_of(x)", float),
        ("item", "sdewm.value_of(x)", lambda x: x.item()),
        ("numpy", "sdewm.value_of(x)", lambda x: x.numpy()),
        ("tolist", "sdewm.value_of(x)", lambda x: x.tolist()),
        ("backward", "coefficient", lambda x: x.backward()),
        ("dropout in training mode", "eval", F.dropout),
        ("view(dtype)", "to(dtype)", lambda x: x.view(torch.int64)),
        ("batch_norm in training mode", "eval", lambda x: F.batch_norm(x, None, None, training=True)),
        ("gru", "nn.GRUCell", lambda x: nn.GRU(4, 2).double()(x.expand(3, 4))),
        ("lstm", "nn.LSTMCell", lambda x: nn.LSTM(4, 2).double()(x.expand(3, 4))),
        ("indexing with a jet", "value", lambda x: torch.zeros(3)[x]),
        ("matrix_rank", "sdewm.value_of(x)", lambda x: torch.linalg.matrix_rank(x.expand(3, 3))),
        ("zeta", "differentiable", lambda x: torch.special.zeta(x * 0 + 2, 2.0)),
    ],
)
def test_refusals_name_the_operation(name: str, advice: str, f: Callable[[Tensor], Any]) -> None:
    with pytest.raises(NotDifferentiable) as caught:
        f(random_jet(SPACE, ()))
    assert name in str(caught.value) and advice in str(caught.value)


@pytest.mark.parametrize(
    "error, message, f",
    [
        (ValueError, "different spaces", lambda x: x + random_jet(JetSpace(2, 1), (3,))),
        (ValueError, "different spaces", lambda x: torch.stack([x, random_jet(JetSpace(1, 2), (3,))])),
        (ValueError, "cannot multiply", lambda x: Parameter(JetSpace(2, 4), 0) * x),
        (ValueError, "cannot truncate", lambda x: x.truncate(3)),
        (ValueError, "change the shape", lambda x: x.add_(torch.zeros(2, 3))),
        (ValueError, "stack of shape", lambda x: Jet(torch.zeros(5, 3), SPACE)),
        (KeyError, "not a multi-index", lambda x: x.coefficient((3, 0))),
        (IndexError, "no parameter 2", lambda x: Parameter(SPACE, 2)),
        (IndexError, "dimension out of range", lambda x: x.sum(-2)),
        (TypeError, "plain tensor", lambda x: Jet(x, SPACE)),
        (TypeError, "floating-point", lambda x: Jet(torch.zeros(6, dtype=torch.int64), SPACE)),
        (TypeError, "constant", lambda x: constant(x, SPACE)),
        (TypeError, "multiplies a tensor", lambda x: Parameter(SPACE, 0) * "y"),
        (TypeError, "zeros_like", lambda x: torch.zeros(2, 3).__setitem__(0, x)),
        (TypeError, "zeros_like", lambda x: torch.zeros(3).add_(x)),
        (TypeError, "out=", lambda x: torch.asinh(x, out=torch.zeros(3))),
    ],
)
def test_misuse(error: type[Exception], message: str, f: Callable[[Jet], Any]) -> None:
    with pytest.raises(error, match=message):
        f(random_jet(SPACE, (3,)))


def test_fallback_reaches_through_containers() -> None:
    x = random_jet(SPACE, (3, 3))
    values, indices = torch.topk(x, 2)
    assert isinstance(values, Jet) and not isinstance(indices, Jet)
    assert_is_jet_of(torch.linalg.inv, [random_jet(SPACE, (3, 3), lambda m: m + 4 * torch.eye(3, dtype=F64))])
    assert_is_jet_of(torch.cdist, [x, x * x], lambda a, b: (a[:, None] - b[None]).square().sum(-1).sqrt())


def test_oracle_notices_a_dropped_product(monkeypatch: pytest.MonkeyPatch) -> None:
    complete = JetSpace.inner
    monkeypatch.setattr(JetSpace, "inner", lambda space, degree: complete(space, degree)[:-1])
    x = random_jet(SPACE, (3,))
    for f in (torch.square, torch.exp):
        with pytest.raises(AssertionError, match="degree 2"):
            assert_is_jet_of(f, [x])


def test_parameter_is_public() -> None:
    assert isinstance(Parameter(SPACE, 1), Parameter) and "Parameter(1" in repr(Parameter(SPACE, 1))
    assert RULES[torch.tanh] is not None


@pytest.mark.parametrize("beta", [0.4, 2.5])
def test_softplus_of_another_slope(beta):
    """Its derivatives in closed form: σ, β σ(1 − σ), β² σ(1 − σ)(1 − 2σ), of σ at βx."""
    x = torch.linspace(-2, 2, 7, dtype=torch.float64)
    found = F.softplus(Jet(torch.stack([x, torch.ones_like(x), 0 * x, 0 * x]), JetSpace(1, 3)), beta=beta)
    s = torch.sigmoid(beta * x)
    slopes = [F.softplus(x, beta), s, beta * s * (1 - s), beta**2 * s * (1 - s) * (1 - 2 * s)]
    for order, slope in enumerate(slopes):
        torch.testing.assert_close(found.derivative((order,)), slope, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("size", [1e-200, 1e-100, 1e-40, 1.0, 1e40, 1e100, 1e154, 1e200, 1e300])
@pytest.mark.parametrize(
    "length",
    [
        lambda x: torch.hypot(x[:, 0], x[:, 1]),
        lambda x: torch.complex(x[:, 0], x[:, 1]).abs(),
        lambda x: x.norm(dim=-1),
        lambda x: torch.linalg.vector_norm(x, dim=-1, keepdim=True)[:, 0],
        lambda x: torch.linalg.matrix_norm(x.unsqueeze(-1)),
        lambda x: x.norm(3, dim=-1),
        lambda x: torch.cdist(x.unsqueeze(1), torch.zeros_like(x).unsqueeze(1)).flatten(),
        lambda x: torch.stack([torch.dist(row, -row) for row in x]),
        lambda x: torch.std(x, 1),
        lambda x: torch.std_mean(x, 1, correction=0)[0],
    ],
)
def test_lengths_are_right_at_every_size(length, size):
    """All coefficients grow with the argument's, and none leaves the range of numbers before it."""
    x = random_jet(JetSpace(2, 3), (5, 2))
    x.coefficients[0] += 0.5 * x.coefficients[0].sign()
    expected = length(x).coefficients
    found = length(Jet(size / 4 * x.coefficients, x.space)).coefficients
    torch.testing.assert_close(found / size, expected / 4, rtol=1e-9, atol=1e-9)


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
