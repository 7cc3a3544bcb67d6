"""The policy as a local maximizer of Q (proof of Theorem C.1): ∂_h ρ = −(∂²Q/∂a²)⁻¹ ∂²Q/∂a∂h.

The formula is right. What it rests on is not: a local maximizer has a negative *semi*-definite ∂²Q/∂a², and where that
is singular there need be no differentiable policy. Q = −a⁴/4 + a h has the one maximizer ρ(h) = h^{1/3}.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from sdewm.divergence.policy import LocalMaximizer
from sdewm.expansion.forms import Form
from sdewm.sensitivity.derivatives import derivatives
from sdewm.verdicts.judge import Row
from sdewm.verdicts.record import Curve
from sdewm.verification.settings import Settings
from theory_checks.claim import Claim
from theory_checks.rows import Rows, exact

NETWORK, QUARTIC = "network Q", "quartic Q"
HIDDEN, LATENT, ACTIONS, PATHS = 3, 2, 2, 64
# Central differences over seven points: exact for polynomials of degree six.
STEP = 1e-2
FIRST = {1: 3 / 4, 2: -3 / 20, 3: 1 / 60}
STATES = (1e-1, 1e-2, 1e-3, 1e-4)


def check(rows: Rows, settings: Settings) -> list[Row]:
    return _quartic(rows) if rows.system == QUARTIC else _network(rows, settings)


def curves(rows: Rows, settings: Settings) -> list[Curve]:
    if rows.system == NETWORK:
        return []
    return [rows.curve("|ρ(h) − ρ(0)|/|h| over h", STATES, [_quotient(h) for h in STATES])]


def value_function(seed: int) -> LocalMaximizer:
    """The maximizer of a Q that is a tanh network of (h, z̃, a) and a concave quadratic form of a."""
    g = torch.Generator().manual_seed(seed)
    size = HIDDEN + LATENT

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    inner, outer, bilinear = 0.4 * normal(8, size + ACTIONS), 0.5 * normal(8), normal(size, ACTIONS)
    root = 1.5 * torch.eye(ACTIONS, dtype=torch.float64) + 0.3 * normal(ACTIONS, ACTIONS)

    def q(h: Tensor, z: Tensor, a: Tensor) -> Tensor:
        x = torch.cat([h, z], -1)
        network = (torch.tanh(torch.cat([x, a], -1) @ inner.T) * outer).sum(-1)
        return network + ((x @ bilinear) * a).sum(-1) - ((a @ root) ** 2).sum(-1)

    return LocalMaximizer(q, torch.zeros(ACTIONS, dtype=torch.float64))


@cache
def _errors(seed: int) -> dict[tuple[str, str], tuple[float, float]]:
    """Of ∂ρ and ∂²ρ by the formula and by jets: the largest relative error over states, and that of the differences."""
    policy = value_function(seed)
    g = torch.Generator().manual_seed(seed + 1)
    x = torch.randn(PATHS, HIDDEN + LATENT, generator=g, dtype=torch.float64)

    def pi(y: Tensor) -> Tensor:
        return policy(y[..., :HIDDEN], y[..., HIDDEN:])

    def first(y: Tensor) -> Tensor:
        return policy.derivatives(y[..., :HIDDEN], y[..., HIDDEN:])[0]

    formula = policy.derivatives(x[..., :HIDDEN], x[..., HIDDEN:])
    found = {}
    for name, value, by_jets, function in zip(("∂ρ", "∂²ρ"), formula, derivatives(pi, x, 2), (pi, first), strict=True):
        size = float(value.abs().max())
        differences, coarser = (_difference(function, x, step) for step in (STEP, 2 * STEP))
        # Halving the step divides the error by about 64; what the last halving changed is a safe bound of what
        # is left. The search ends within its tolerance, which differences divide by the step.
        left = float((differences - coarser).abs().max()) / size + policy.tolerance / STEP
        found[name, "formula"] = (float((value - differences).abs().max()) / size, left)
        found[name, "jets"] = (float((by_jets - differences).abs().max()) / size, left)
    return found


def _difference(function: Callable[[Tensor], Tensor], x: Tensor, step: float) -> Tensor:
    columns = []
    for e in torch.eye(x.shape[-1], dtype=x.dtype):
        terms = [w * (function(x + k * step * e) - function(x - k * step * e)) for k, w in FIRST.items()]
        columns.append(torch.stack(terms).sum(0) / step)
    return torch.stack(columns, -1)


def _network(rows: Rows, settings: Settings) -> list[Row]:
    def row(of: str, form: Form, reading: str, route: str) -> Row:
        error, left = _errors(settings.seed)[of, route]
        return rows.equal(
            f"{of}: largest relative error against differences",
            form,
            reading,
            exact(error, PATHS, settings.seed),
            numerical=left,
            margin=1e-6,
            config={"states": PATHS, "step": STEP},
        )

    return [
        row("∂ρ", "printed", "−Q_aa⁻¹ Q_ax", "formula"),
        row("∂ρ", "corrected", "jets", "jets"),
        row("∂²ρ", "corrected", "formula", "formula"),
        row("∂²ρ", "corrected", "jets", "jets"),
    ]


@cache
def _quotient(h: float) -> float:
    policy = LocalMaximizer(
        lambda h, z, a: -(a[:, 0] ** 4) / 4 + a[:, 0] * h[:, 0], torch.tensor([0.5], dtype=torch.float64)
    )
    return float(policy(torch.tensor([[h]], dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64))) / h


def _quartic(rows: Rows) -> list[Row]:
    """ρ(0) = 0 is a strict local maximizer. A C² map ρ would have a bounded difference quotient there."""
    quotients = [_quotient(h) for h in STATES]
    rate = exact(math.log(quotients[-1] / quotients[-2]) / math.log(STATES[-2] / STATES[-1]), len(STATES))
    quantity, config = "rate at which |ρ(h) − ρ(0)|/|h| grows as h → 0", {"h": STATES, "|ρ(h) − ρ(0)|/|h|": quotients}
    return [
        rows.at_most(quantity, "printed", "", rate, numerical=1e-6, scale=2 / 3, config=config),
        rows.equal(
            quantity, "corrected", "h^{1/3}", rate, 2 / 3, numerical=1e-6, margin=1e-3, scale=2 / 3, config=config
        ),
    ]


CLAIM = Claim("policy_maximizer", ("Proof of Theorem C.1", "Theorem C.1"), (NETWORK, QUARTIC), check, curves)
