"""Φ of (43)–(44), its inverse, and (45), which writes it as one exponential.

(43) holds, by every route. (45) holds with (∂g_k)² in place of ∂g_k ∂g_kᵀ, with the drift's Jacobian in the first
integral alone, and where the Jacobians commute with each other at all pairs of times; the printed condition is weaker,
and one noise, which always meets it, is not enough. Elsewhere the gap is that of the commutators.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sdewm.estimate.samples import Sample, richardson, sample
from sdewm.expansion.forms import Form
from sdewm.noise.brownian import BrownianPath
from sdewm.noise.increments import Increments, StoredIncrements
from sdewm.paper.flow import printed_flow_exponents
from sdewm.sensitivity import (
    FundamentalMatrixSDE,
    InverseMatrixSDE,
    commutator_term,
    flow_exponent,
    fundamental_matrix,
)
from sdewm.solvers.orders import convergence
from sdewm.solvers.solve import solve
from sdewm.verdicts.judge import Row
from sdewm.verdicts.record import Curve
from sdewm.verification.claims.fundamental_matrix import by_differences, by_equation, by_product
from sdewm.verification.settings import Settings, pooled
from theory_checks.claim import Claim
from theory_checks.flows import FLOWS, Flow, rotating, slope, two_noises
from theory_checks.rows import Rows, exact

ROUTES = ("gbm", "linear", "time-dependent", "latent")
ORDERS = ("gbm", "time-dependent")
EXPONENTS = ("nilpotent", "commuting", "gbm", "rotating")
GAPS = {"two-noises": two_noises, "rotating": rotating}
LEVELS = (6, 5, 4, 3)
# (45) is compared in the limit: this part of Φ's own root mean square.
MARGIN = 1e-2
ROUNDING = 1e-13
# Of differences in the initial value.
STEP = 1e-3


class At(NamedTuple):
    """What is sampled on one grid of 2^``level`` steps: of (45) in one reading, or of Φ itself (no reading)."""

    reading: str
    level: int


def check(rows: Rows, settings: Settings) -> Iterator[Row]:
    flow = FLOWS[rows.system]()
    if rows.system in ROUTES:
        yield from _route_rows(rows, flow, settings)
    if rows.system in ORDERS:
        yield from _order_rows(rows, flow, settings)
    if rows.system in EXPONENTS:
        yield from _exponent_rows(rows, settings)
    if rows.system in GAPS:
        yield from _gap_rows(rows, settings)


def curves(rows: Rows, settings: Settings) -> Iterator[Curve]:
    """Root mean square of ΦΦ⁻¹ − I, and of (45) less Φ, against Δt."""
    steps = [2.0**-level for level in LEVELS]
    if rows.system in ORDERS:
        for method in ("euler", "milstein"):
            table = _inverse_sample(rows.system, settings, method)
            roots = [table.estimate(np.sqrt(table[level])) for level in LEVELS]
            yield rows.curve(f"ΦΦ⁻¹ − I, {method}", steps, roots)
    if rows.system in EXPONENTS:
        table = _exponent_sample(rows.system, settings)
        for reading in _readings(table):
            roots = [table.estimate(np.sqrt(table[At(reading, level)])) for level in LEVELS]
            yield rows.curve(f"(45), {reading}", steps, roots)


# -- (43) by every route


def _route_rows(rows: Rows, flow: Flow, settings: Settings) -> Iterator[Row]:
    """On one grid all routes are one map: to rounding, and to the error of differences in the initial value."""
    paths, grid = 32, flow.grid(16)
    noise = flow.increments(grid, paths, settings.seed)
    phi = fundamental_matrix(flow.base, flow.x0, grid, noise=noise)
    size = float(phi.square().mean().sqrt())

    def gap(value: Tensor, truth: Tensor) -> float:
        return float((value - truth).square().mean().sqrt()) / size

    increments = StoredIncrements(noise)
    differences, error = by_differences(flow.base, flow.x0, grid, method="euler", noise=increments, h=STEP)
    found = by_equation(flow.base, flow.x0, grid, noise=increments)
    product = by_product(flow.base, flow.x0, grid, noise=increments)
    routes: tuple[tuple[Form, str, float, float], ...] = (
        ("printed", "(43)-(44) as a system, against differences in x0", gap(found, differences), error),
        ("corrected", "(43)-(44) as a system, against jets", gap(found, phi), ROUNDING),
        ("corrected", "product of step Jacobians, against jets", gap(product, phi), ROUNDING),
        ("corrected", "jets, against differences in x0", gap(phi, differences), error),
    )
    for form, reading, value, numerical in routes:
        yield rows.equal(
            "Φ of (43), on the grid",
            form,
            reading,
            exact(value, paths, settings.seed),
            numerical=numerical,
            margin=1e-9 if numerical == ROUNDING else 1e-6,
            config={"steps": grid.steps, "paths": paths},
        )


# -- orders, and the inverse


def _order_rows(rows: Rows, flow: Flow, settings: Settings) -> Iterator[Row]:
    """Φ as a system by Euler and Milstein; ΦΦ⁻¹ − I, each by its own equation on the same noise."""
    phi = FundamentalMatrixSDE(flow.base)
    for method, order in (("euler", 0.5), ("milstein", 1.0)):
        found = convergence(
            phi,
            phi.initial(flow.x0),
            flow.grid(1),
            method=method,
            levels=(3, 4, 5),
            paths=settings.rounds * settings.paths(2048),
            refine=1,
            seed=settings.seed,
        )
        yield rows.equal(
            f"strong order of Φ, {method}",
            "corrected",
            "(43) as a system",
            found.slope,
            order,
            numerical=float(abs(found.rates[-1] - found.slope.mean)),
            margin=0.25,
            scale=order,
            config={"levels": [3, 4, 5]},
        )
        table = _inverse_sample(rows.system, settings, method)
        rate, moved = slope([table[level] for level in LEVELS], table.paths, settings.seed)
        yield rows.equal(
            f"order of ΦΦ⁻¹ − I, {method}", "corrected", "equation of the inverse", rate, order, numerical=moved,
            margin=0.25, scale=order, config={"levels": list(LEVELS)},
        )  # fmt: skip


@pooled
def _inverse_sample(system: str, settings: Settings, round: int, method: str) -> Sample:
    flow = FLOWS[system]()
    phi, inverse = FundamentalMatrixSDE(flow.base), InverseMatrixSDE(flow.base)
    identity = torch.eye(len(flow.x0), dtype=flow.x0.dtype)

    def squares(noise: Increments, steps: int) -> Tensor:
        grid = flow.grid(steps)
        parts = [s.split(solve(s, s.initial(flow.x0), grid, method=method, noise=noise))[1] for s in (phi, inverse)]
        return ((parts[0] @ parts[1] - identity) ** 2).sum((1, 2))

    def evaluate(noise: Increments) -> dict[int, Tensor]:
        return {level: squares(noise.coarsen(2 ** (LEVELS[0] - level)), 2**level) for level in LEVELS}

    drawn = settings.draw(settings.paths(2**13), round)
    return sample(evaluate, drawn, flow.channels, flow.grid(2 ** LEVELS[0]), flow.x0)


# -- (45)


def _exponent_rows(rows: Rows, settings: Settings) -> Iterator[Row]:
    table = _exponent_sample(rows.system, settings)
    for reading in _readings(table):
        corrected = reading == "(∂g)²"
        if corrected and rows.system == "rotating":
            continue  # it does not claim to hold there; what does is in _gap_rows
        form: Form = "corrected" if corrected else "printed"
        relative = [np.sqrt(table[At(reading, level)] / table[At("", level)]) for level in LEVELS[:3]]
        limit, change = richardson(relative)
        yield rows.equal(
            "(45) less Φ, Δt → 0",
            form,
            reading,
            table.estimate(limit),
            numerical=change + ROUNDING,
            margin=MARGIN,
            config={"steps": [2**level for level in LEVELS[:3]]},
        )


def _readings(table: Sample) -> list[str]:
    return [at.reading for at in table.values if at.reading and at.level == LEVELS[0]]


@pooled
def _exponent_sample(system: str, settings: Settings, round: int) -> Sample:
    """Mean squares of exp(…) − Φ for each reading and grid; Φ by Milstein's scheme, as exact in Δt as the sums are."""
    flow = FLOWS[system]()

    def evaluate(noise: Increments) -> dict[At, Tensor]:
        values: dict[At, Tensor] = {}
        for level in LEVELS:
            grid, increments = flow.grid(2**level), noise.coarsen(2 ** (LEVELS[0] - level))
            phi = fundamental_matrix(flow.base, flow.x0, grid, method="milstein", noise=increments)
            values[At("", level)] = phi.square().sum((1, 2))
            exponents = printed_flow_exponents(flow.base, flow.x0, grid, noise=increments)
            if system == "rotating":
                exponents["its condition, (∂g)²"] = flow_exponent(flow.base, flow.x0, grid, noise=increments)
            exponents["(∂g)²"] = flow_exponent(flow.base, flow.x0, grid, noise=increments)
            for reading, exponent in exponents.items():
                values[At(reading, level)] = (torch.linalg.matrix_exp(exponent) - phi).square().sum((1, 2))
        return values

    drawn = settings.draw(settings.paths(2**10), round)
    return sample(evaluate, drawn, flow.channels, flow.grid(2 ** LEVELS[0]), flow.x0)


def _gap_rows(rows: Rows, settings: Settings) -> Iterator[Row]:
    """Without commuting Jacobians: what the commutators do not explain of the gap, as the Jacobians shrink."""
    level, replicates = 4, 16
    per = settings.rounds * max(16, settings.paths(2**10) // replicates)
    # Even in the size; its square halves from one to the next.
    sizes = [0.5 / 2 ** (i / 2) for i in range(3)]
    unexplained = np.empty((len(sizes), replicates))
    for i, size in enumerate(sizes):
        flow = GAPS[rows.system](size)
        grid, channels = flow.grid(2**level), flow.channels
        noise = BrownianPath(settings.seed, replicates * per, channels, 0.0, flow.horizon).at(level, finest=level)
        phi = fundamental_matrix(flow.base, flow.x0, grid, method="milstein", noise=noise)
        gap = phi - torch.linalg.matrix_exp(flow_exponent(flow.base, flow.x0, grid, noise=noise))
        rest = gap - commutator_term(flow.base, flow.x0, grid, noise=noise)
        by_replicate = [d.square().sum((1, 2)).view(replicates, -1).sum(1) for d in (rest, gap)]
        unexplained[i] = (by_replicate[0] / by_replicate[1]).numpy()
    limit, change = richardson(list(unexplained[::-1]))
    statistic = Sample({"limit": limit}, replicates * per, settings.seed).estimate("limit")
    yield rows.equal(
        "part of ‖Φ − (45)‖² beyond the commutators, Jacobians → 0",
        "corrected",
        "(∂g)²",
        statistic,
        numerical=change,
        margin=3 * MARGIN,
        config={"steps": grid.steps, "sizes": sizes},
    )


CLAIM = Claim(
    "fundamental_matrix",
    ("(43)", "(44)", "(45)"),
    ("nilpotent", "commuting", "gbm", "rotating", "two-noises", "linear", "time-dependent", "latent"),
    check,
    curves,
    quick=("nilpotent", "commuting", "rotating", "time-dependent"),
    seconds={"time-dependent": 34.0, "gbm": 10.0, "latent": 5.0},
)
