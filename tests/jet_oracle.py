"""The oracle for jets: derivatives along a curve by nested forward mode, without multi-indices or products."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from math import factorial, prod
from typing import Any

import torch
from hypothesis import Phase, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import jvp

from sdewm.jets import Jet, JetSpace, NonSmoothWarning

SPACE = JetSpace(2, 2)
F64 = torch.float64


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
V4 = torch.linspace(0.5, 2.0, 4, dtype=F64)
spaces = st.sampled_from([JetSpace(p, n) for p in (2, 1, 3) for n in (2, 1, 3, 4) if p * n < 9])
seeds = st.integers(0, 2**31)
examples = settings(deadline=None, max_examples=3, phases=[Phase.generate])


def mlp(activation: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6), activation, nn.Linear(6, 6), activation, nn.Linear(6, 3))
