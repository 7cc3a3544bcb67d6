"""Enclosures hold what they enclose, and their constants are attained: any of them halved is seen."""

from __future__ import annotations

import dataclasses
import math

import mpmath
import pytest
import torch
from support import F64, refuses
from torch import nn

from sdewm.divergence import enclosure_rules
from sdewm.divergence.enclosure import Enclosure, NotEnclosed, Tube, carried, enclosed_state
from sdewm.divergence.enclosure_rules import ELEMENTARY, UNIT
from sdewm.divergence.smooth_functions import SMOOTH

EXACT = {
    "tanh": mpmath.tanh,
    "sigmoid": lambda y: 1 / (1 + mpmath.exp(-y)),
    "softplus": lambda y: mpmath.log1p(mpmath.exp(y)),
    "silu": lambda y: y / (1 + mpmath.exp(-y)),
    "gelu": lambda y: y * (1 + mpmath.erf(y / mpmath.sqrt(2))) / 2,
    "sin": mpmath.sin,
    "cos": mpmath.cos,
    "exp": mpmath.exp,
    "sqrt": mpmath.sqrt,
    "rsqrt": lambda y: 1 / mpmath.sqrt(y),
    "reciprocal": lambda y: 1 / y,
}
POSITIVE = ("sqrt", "rsqrt", "reciprocal")
# Where |φ''| and |φ'''| are largest: of what is largest at an end of the interval, that end.
PEAKS = {
    "tanh": (math.atanh(3**-0.5), 0.0),
    "sigmoid": (math.log(2 + 3**0.5), 0.0),
    "softplus": (0.0, math.log(2 + 3**0.5)),
    "silu": (0.0, 1.03195824),
    "gelu": (0.0, 0.79228699),
    "sin": (math.pi / 2, 0.0),
    "cos": (0.0, math.pi / 2),
    "exp": (1.0, 1.0),
    "sqrt": (0.5, 0.5),
    "rsqrt": (0.5, 0.5),
    "reciprocal": (0.5, 0.5),
}


def exact(name: str, y: float, order: int) -> float:
    with mpmath.workdps(50):
        return mpmath.diff(EXACT[name], mpmath.mpf(y), order)


def interval(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    low, high = (0.5, 2.0) if name in POSITIVE else (-3.0, 1.0)
    return torch.tensor(low, dtype=F64), torch.tensor(high, dtype=F64)


@pytest.mark.parametrize("name", SMOOTH)
def test_derivatives_of_curves_are_right_to_the_rounding_that_is_stated(name):
    curve = SMOOTH[name]
    points = torch.linspace(0.1, 30, 97, dtype=F64) if name in POSITIVE else torch.linspace(-30, 15, 97, dtype=F64)
    values, slopes, bends, terms = (f(points) for f in (curve.function, curve.slope, curve.bend, curve.terms))
    for i, y in enumerate(points.tolist()):
        with mpmath.workdps(50):
            value = EXACT[name](mpmath.mpf(y))
            assert abs(float(values[i]) - value) <= 2 * ELEMENTARY * UNIT * (abs(value) + float(terms[i]))
        for found, order in ((slopes, 1), (bends, 2)):
            assert abs(float(found[i]) - exact(name, y, order)) <= 2 * ELEMENTARY * UNIT * float(terms[i])


@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("name", SMOOTH)
def test_constants_of_curves_hold_and_are_attained(name, order):
    """To a part in a thousand: a constant that is halved, or a hundredth smaller, is seen."""
    low, high = interval(name)
    bound = float((SMOOTH[name].second if order == 2 else SMOOTH[name].third)(low, high))
    for y in torch.linspace(float(low), float(high), 61).tolist():
        assert abs(exact(name, y, order)) <= bound * (1 + 1e-12)
    assert abs(exact(name, PEAKS[name][order - 2], order)) >= 0.999 * bound


def tube(linear: torch.Tensor, box: torch.Tensor | None = None) -> Tube:
    return Tube(linear, torch.zeros_like(linear) if box is None else box)


@pytest.mark.parametrize("name", SMOOTH)
def test_remainders_of_curves_are_attained(name):
    """The remainder of third order where φ''' is largest: half of what is claimed is exceeded."""
    y, move = PEAKS[name][1], 1e-3
    x = torch.tensor([[y]], dtype=F64)
    linear = torch.full((1, 1, 1), move, dtype=F64)
    out = getattr(torch, name, getattr(nn.functional, name, None))(
        enclosed_state(x, torch.zeros_like(linear), tube(linear))
    )
    with mpmath.workdps(50):
        y, move = mpmath.mpf(y), mpmath.mpf(move)
        taylor = [mpmath.mpf(float(part)) for part in (out.value, out.jacobian, out.second)]
        error = abs(EXACT[name](y + move) - taylor[0] - taylor[1] * move - taylor[2])
    assert 0.9 * float(out.rest) <= error <= float(out.rest)
    assert float(carried(out.unsqueeze(-1).squeeze(-1))) == pytest.approx(float(out.rest), rel=1e-6)


def test_a_product_is_attained():
    """(σ + w)² about 0 in one coordinate: e² + 2|y|e with e the box."""
    linear, box = torch.full((1, 1, 1), 0.3, dtype=F64), torch.full((1, 1, 1), 0.1, dtype=F64)
    out = enclosed_state(torch.zeros(1, 1, dtype=F64), torch.zeros_like(linear), tube(linear, box)).square()
    assert float(out.rest) == pytest.approx(0.4**2 - 0.3**2, rel=1e-12)


class Everything(nn.Module):
    """All kinds of operations that are known, (paths, 6) to (paths, 5)."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Linear(6, 8), nn.LayerNorm(8)
        self.cell, self.last = nn.GRUCell(8, 4), nn.Linear(4, 5)
        self.conv = nn.Conv1d(2, 3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = nn.functional.silu(self.norm(self.first(x)))
        h = self.cell(y, torch.sin(x[..., :4]))
        a, b = torch.tanh(self.last(h)).split([2, 3], -1)
        image = self.conv(x.unflatten(-1, (2, 3))).flatten(1)  # 3 channels of 2
        c = torch.cat([a * 0.5 - 1, b.softplus() if hasattr(b, "softplus") else nn.functional.softplus(b)], -1)
        d = torch.stack([nn.functional.gelu(image[:, :5]), torch.exp(0.3 * c)], -1).sum(-1)
        return (d - c.mean(-1, keepdim=True)) / (2 + torch.sigmoid(c)) + torch.ones(5, dtype=x.dtype)


def everything() -> Everything:
    torch.manual_seed(3)
    return Everything().double()


@pytest.mark.parametrize("size", [0.1, 0.01])
def test_enclosures_hold_everywhere_in_the_tube(size):
    g = torch.Generator().manual_seed(0)
    paths, n, p = 5, 6, 3
    x, linear = torch.randn(paths, n, generator=g, dtype=F64), size * torch.randn(p, paths, n, generator=g, dtype=F64)
    second, box = 0.1 * size * torch.randn(2, p, paths, n, generator=g, dtype=F64)
    net, box = everything(), box.abs()
    out = net(enclosed_state(x, second, Tube(linear, box)))
    rests = (out.rest, carried(out))
    assert bool((rests[1] <= rests[0] * (1 + 1e-6)).all())
    worst = torch.zeros(2, dtype=F64)
    with torch.no_grad():
        for trial in range(400):
            sigma = 2 * torch.rand(p, paths, 1, generator=g, dtype=F64) - 1 if trial % 2 else torch.ones(p, paths, 1)
            w = box * (2 * torch.rand(p, paths, n, generator=g, dtype=F64) - 1).sign()
            moved = net((x + sigma * linear + sigma**2 * second + w).flatten(0, 1)).unflatten(0, (p, paths))
            straight = out.value + torch.einsum("nbf,pbn->pbf", out.jacobian, sigma * linear + w)
            error = (moved - straight - sigma**2 * out.second).abs()
            for i, rest in enumerate(rests):
                assert bool((error <= rest).all())
                worst[i] = max(worst[i], float((error / rest).max()))
    assert worst[1] > 0.1  # within a factor of ten, all operations together


def test_jacobian_and_second_order_are_those_of_jets():
    from sdewm.sensitivity.derivatives import derivatives

    g = torch.Generator().manual_seed(0)
    x, linear = torch.randn(3, 6, generator=g, dtype=F64), torch.randn(1, 3, 6, generator=g, dtype=F64)
    net = everything().requires_grad_(False)
    out = net(enclosed_state(x, torch.zeros_like(linear), tube(linear)))
    first, second = derivatives(net, x)
    torch.testing.assert_close(out.jacobian, first.movedim(-1, 0), rtol=1e-10, atol=1e-12)
    half = 0.5 * torch.einsum("bkij,bi,bj->bk", second, linear[0], linear[0])
    torch.testing.assert_close(out.second[0], half, rtol=1e-9, atol=1e-11)


def test_rounding_is_enclosed_and_little():
    """A tube of no width: what is left is rounding, held against 50 digits."""
    torch.manual_seed(0)
    layer, norm, last = nn.Linear(40, 30).double(), nn.LayerNorm(30).double(), nn.Linear(30, 7).double()
    x = 3 * torch.randn(1, 40, dtype=F64)
    nothing = torch.zeros(1, 1, 40, dtype=F64)
    out = last(torch.tanh(norm(layer(x := enclosed_state(x, nothing, tube(nothing))))))
    bound = carried(out)[0, 0]
    with mpmath.workdps(50):

        def affine(module, y):
            weight, bias = module.weight.tolist(), module.bias.tolist()
            return [
                mpmath.fsum(mpmath.mpf(a) * b for a, b in zip(row, y, strict=True)) + c
                for row, c in zip(weight, bias, strict=True)
            ]

        y = affine(layer, [mpmath.mpf(v) for v in x.value[0].tolist()])
        mean = mpmath.fsum(y) / len(y)
        variance = mpmath.fsum((v - mean) ** 2 for v in y) / len(y)
        y = [mpmath.tanh((v - mean) / mpmath.sqrt(variance + mpmath.mpf(norm.eps))) for v in y]
        errors = [abs(a - b) for a, b in zip(affine(last, y), out.value[0].tolist(), strict=True)]
    assert all(error <= float(b) for error, b in zip(errors, bound, strict=True))
    assert float(bound.max()) < 1e-11


@pytest.mark.parametrize("part", ["third", "second"])
def test_a_halved_constant_is_seen(part, monkeypatch):
    """tanh by its third derivative on a short step, by its second on a long one."""
    curve = SMOOTH["tanh"]
    half = {part: lambda low, high: 0.5 * getattr(curve, part)(low, high)}
    zero = {"third" if part == "second" else "second": lambda low, high: torch.full_like(low, math.inf)}
    peak, move = (0.0, 1e-2) if part == "third" else (-PEAKS["tanh"][0], 0.05)

    def remainder() -> tuple[float, float]:
        x, linear = torch.full((1, 1), peak, dtype=F64), torch.zeros(1, 1, 1, dtype=F64)
        box = torch.full_like(linear, move)  # all of it in w, so that nothing of second order is known
        out = torch.tanh(enclosed_state(x, torch.zeros_like(linear), Tube(linear, box)))
        straight = float(out.value) + float(out.jacobian) * move
        return abs(math.tanh(peak + move) - straight), float(out.rest)

    for changed, holds in ((zero, True), (zero | half, False)):
        monkeypatch.setitem(enclosure_rules.SMOOTH, "tanh", dataclasses.replace(curve, **changed))
        error, rest = remainder()
        assert (error <= rest) is holds


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (torch.relu, "relu"),
        (torch.abs, "abs"),
        (lambda x: x.sum(), "over paths"),
        (lambda x: x.flip(0), "from one path to another"),
        (lambda x: x.reshape(3, 4), "from one path to another"),
        (lambda x: x.t(), "t has no enclosure"),
        (lambda x: x @ x.mT, "transpose"),
        (lambda x: torch.cat([x, x]), "axis of paths"),
        (lambda x: x**0.5, "exponent"),
        (lambda x: x + torch.ones(2, 4, 3, dtype=F64), "axes"),
        (lambda x: torch.ones(3, 4, dtype=F64) @ x, "left factor"),
        (lambda x: x.where(x > 0, 0), "has no enclosure"),
    ],
)
def test_what_is_not_known_is_refused(function, words):
    linear = torch.zeros(1, 4, 3, dtype=F64)
    x = enclosed_state(torch.ones(4, 3, dtype=F64), linear, tube(linear))
    assert isinstance(x, Enclosure)
    with pytest.raises(NotEnclosed) as caught:
        function(x)
    assert words in str(caught.value) or "no enclosure" in str(caught.value)


def test_division_by_what_may_vanish_is_infinite():
    linear = torch.full((1, 1, 1), 2.0, dtype=F64)
    out = 1 / enclosed_state(torch.ones(1, 1, dtype=F64), torch.zeros_like(linear), tube(linear))
    assert not bool(out.rest.isfinite().any())


def test_gelu_by_tanh_is_refused():
    linear = torch.zeros(1, 1, 1, dtype=F64)
    with refuses(NotEnclosed, "approximate='tanh'"):
        nn.GELU("tanh")(enclosed_state(torch.ones(1, 1, dtype=F64), linear, tube(linear)))
