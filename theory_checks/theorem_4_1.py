"""Theorem 4.1 (C.1, Proposition C.2): d_ε ≤ δ C (J₀ + J₁) + δ² C (exp(H₀ (J₀ + J₁)) + exp(H₁ (J₀ + J₁))) + O(δ³).

d_ε = E sup_t ‖x^ε_t − x⁰_t‖² is a mean square. Along ε = cζ it is of order δ², so that the bound holds for small δ with
any C, and the check can only report how large C has to be. For a family of ε with δ = E‖ε‖ → 0 it fails for
every C: the supremum is at least its value at t = 0, so d_ε ≥ E‖ε‖², and E‖ε‖²/E‖ε‖ is unbounded. With E‖ε‖² for δ,
and the constants of :mod:`sdewm.divergence.bounds`, it holds. The Hessian terms F_hh … F_zz lack terms of the
chain rule.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from sdewm.arrays import Array
from sdewm.divergence.bounds import log_gronwall
from sdewm.divergence.distances import divergence
from sdewm.divergence.rollout_terms import COMPOSED, log_printed_bound, smallest_constant
from sdewm.estimate.estimates import Estimate
from sdewm.estimate.samples import Sample, sample
from sdewm.expansion.forms import Form
from sdewm.noise.increments import Increments
from sdewm.verdicts.judge import Row
from sdewm.verdicts.record import Curve
from sdewm.verification.settings import Settings, pooled
from theory_checks.claim import Claim
from theory_checks.rollouts import (
    LADDER,
    SCALES,
    Measured,
    constants,
    rollout_system,
    sample_hessians,
    sample_rollouts,
    terms_at_horizon,
)
from theory_checks.rows import Rows, exact

HEAVY, LINEAR = "heavy tails", "linear growth"
OVER_BOUND = "log of d_ε over K E‖ε‖²"
DELTA = 0.05
# ε = M e with probability M⁻³, else 0: δ = M⁻² and E‖ε‖² = M⁻¹, both exact.
MAGNITUDES = (2.0, 4.0, 8.0, 16.0, 32.0)
# dx = M x dt: ∂g = M, ∂²g = 0 and d_ε = exp(2MT) E‖ε‖², exactly.
SLOPES = (8.0, 16.0, 32.0)
ORDER_MARGIN = 0.1


def check(rows: Rows, settings: Settings) -> Iterator[Row]:
    if rows.system == HEAVY:
        yield from _heavy_tails(rows, settings)
    elif rows.system == LINEAR:
        yield from _linear_growth(rows)
    else:
        measured = sample_rollouts(rows.system, settings)
        yield _order(rows, measured)
        yield from _constants(rows, settings)
        yield from _certified(rows, measured)
        yield from _chain_rule(rows, settings)


def curves(rows: Rows, settings: Settings) -> Iterator[Curve]:
    if rows.system == LINEAR:
        return
    if rows.system == HEAVY:
        yield from _heavy_curves(rows, settings)
        return
    measured = sample_rollouts(rows.system, settings)
    rollout, grid, config = measured.system, measured.system.grid, measured.config
    bound, horizon = constants(rows.system).supremum(rollout), rollout.horizon
    terms = terms_at_horizon(rows.system, settings)
    by_delta = [measured.estimate(measured.divergence(c, horizon) * c**2) for c in LADDER]
    fitted = max(smallest_constant(e.mean, c, terms) for e, c in zip(by_delta, LADDER, strict=True))
    printed = {constant: [log_printed_bound(c, constant, terms) for c in LADDER] for constant in (fitted, 1.0)}
    yield rows.curve("d_ε over δ, measured", LADDER, by_delta, config)
    yield rows.curve("d_ε over δ, (46) with the smallest C for all δ", LADDER, map(math.exp, printed[fitted]), config)
    yield rows.curve("d_ε over δ, certified", LADDER, [bound[horizon] * c**2 for c in LADDER], config)
    logs = [log / math.log(10) for log in printed[1.0]]
    yield rows.curve("log10 d_ε over δ, (46) with C = 1", LADDER, logs, config)
    times = [grid.time(i) - grid.t0 for i in rollout.times]
    by_time = [measured.estimate(measured.divergence(LADDER[-1], i)) for i in rollout.times]
    yield rows.curve("d_ε/δ² over T, measured", times, by_time, config)
    yield rows.curve("d_ε/δ² over T, certified", times, [bound[i] for i in rollout.times], config)
    if rows.system == "latent":
        scaled = [(s, sample_rollouts(rows.system, settings, s)) for s in SCALES]
        terms_of = [terms_at_horizon(rows.system, settings, s) for s in SCALES]
        norms = [math.sqrt(terms["F_h"] + terms["F_z"]) for terms in terms_of]
        by_scale = [m.estimate(m.divergence(LADDER[-1], horizon)) for _, m in scaled]
        certified = [constants(rows.system, s).supremum(m.system)[horizon] for s, m in scaled]
        least = [
            smallest_constant(e.mean * DELTA**2, DELTA, terms) for terms, e in zip(terms_of, by_scale, strict=True)
        ]
        yield rows.curve("d_ε/δ² over ‖∂f‖, measured", norms, by_scale, config)
        yield rows.curve("d_ε/δ² over ‖∂f‖, certified", norms, certified, config)
        yield rows.curve("smallest C over ‖∂f‖", norms, least, config)


def _order(rows: Rows, measured: Measured) -> Row:
    """The slope of log d_ε in log δ between the two smallest δ; the next pair tells what is left of the limit."""
    i = measured.system.horizon
    squares = [measured.divergence(c, i) * c**2 for c in LADDER]
    spans = [math.log(c / smaller) for c, smaller in itertools.pairwise(LADDER)]
    slopes = [measured.sample.slope(squares[k], squares[k + 1], spans[k]) for k in (len(LADDER) - 2, len(LADDER) - 3)]
    # d/δ² has corrections of order δ: halving δ halves them, and what the last halving changed is left.
    left = abs(slopes[0].mean - slopes[1].mean)
    return rows.equal(
        "order of d_ε in δ, ε = cζ", "corrected", "", slopes[0], 2.0, numerical=left, margin=ORDER_MARGIN, scale=2.0,
        config=measured.config,
    )  # fmt: skip


def _constants(rows: Rows, settings: Settings) -> Iterator[Row]:
    """The smallest C that will do, with the weights scaled: a C of T alone would be one number."""
    for scale in SCALES if rows.system == "latent" else (1.0,):
        measured = sample_rollouts(rows.system, settings, scale)
        terms = terms_at_horizon(rows.system, settings, scale)
        d = measured.estimate(measured.divergence(DELTA, measured.system.horizon) * DELTA**2)
        found = smallest_constant(d.mean, DELTA, terms)
        loose = (log_printed_bound(DELTA, 1.0, terms) - math.log(d.mean)) / math.log(10)
        beyond = smallest_constant(d.mean + d.stderr, DELTA, terms)
        yield rows.at_most(
            f"smallest C of (46), weights × {scale:g}",
            "printed",
            "",
            Estimate(found, beyond - found, d.n, d.dof, d.seed),
            vacuous=True,
            config={**measured.config, "δ": DELTA, "log10 of (46) with C = 1 over d_ε": loose},
        )


def _certified(rows: Rows, measured: Measured) -> Iterator[Row]:
    """d_ε ≤ K E‖ε‖² with the certified K, at every δ of the ladder."""
    horizon = measured.system.horizon
    bound = constants(rows.system).supremum(measured.system)[horizon]
    for c in LADDER:
        yield rows.at_most(
            OVER_BOUND,
            "corrected",
            f"‖ε‖ = {c:g}",
            measured.log_estimate(measured.divergence(c, horizon), bound),
            scale=math.log(bound),
            config={**measured.config, "K": bound},
        )


def _chain_rule(rows: Rows, settings: Settings) -> Iterator[Row]:
    """The second derivatives of f(h, z̃, π(h, z̃)), as C.1 has them and by the chain rule, against the map's own."""
    measured = sample_hessians(rows.system, settings)
    for name in COMPOSED:
        size = float(measured.sample[name].mean())
        routes: tuple[tuple[Form, str], ...] = (
            ("printed", f"{name} missing"),
            ("corrected", f"{name} corrected missing"),
        )
        for form, key in routes:
            yield rows.equal(
                f"{name}: squared error of the second derivative",
                form,
                "",
                measured.estimate(measured.sample[key] / size),
                numerical=1e-12,
                margin=settings.precision,
                config=measured.config,
            )


@pooled
def _measure_heavy(name: str, settings: Settings, round: int) -> Sample:
    """E sup ‖x^{Me} − x⁰‖² for each M: the expectation over ε is then a sum of two terms, one of them zero."""
    system = rollout_system(name)
    e = system.directions[:1]

    def evaluate(noise: Increments) -> dict[float, Tensor]:
        found = divergence(
            system.rollout, system.x0, system.grid, perturbations=torch.cat([m * e for m in MAGNITUDES]), noise=noise
        )
        return {m: found[k, -1] for k, m in enumerate(MAGNITUDES)}

    drawn = settings.draw(settings.paths(2**9), round)
    return sample(evaluate, drawn, system.channels, system.grid, system.x0)


def _heavy_quotients(settings: Settings) -> dict[float, Array]:
    """d_ε/δ for each M, replicate by replicate: M⁻³ E sup ‖x^{Me} − x⁰‖² over M⁻²."""
    found = _measure_heavy("latent", settings)
    return {m: found[m] / m for m in MAGNITUDES}


def _heavy_tails(rows: Rows, settings: Settings) -> Iterator[Row]:
    found, quotients = _measure_heavy("latent", settings), _heavy_quotients(settings)
    config = {
        "ε": "M e with probability M⁻³, else 0",
        "M": MAGNITUDES,
        "d_ε/δ": [float(q.mean()) for q in quotients.values()],
        "paths": found.paths,
    }
    slope = found.estimate(np.polyfit(np.log(MAGNITUDES), np.log(np.stack(list(quotients.values()))), 1)[0])
    bound = constants("latent").supremum(rollout_system("latent"))[-1]
    yield rows.at_most("growth of d_ε/δ, rate in M as δ = M⁻² → 0", "printed", "", slope, scale=1.0, config=config)
    for m, quotient in quotients.items():
        # d_ε over E‖ε‖² = M⁻¹.
        yield rows.at_most(
            OVER_BOUND,
            "corrected",
            f"M = {m:g}",
            found.log_estimate(quotient / m, bound),
            scale=math.log(bound),
            config={**config, "K": bound},
        )


def _heavy_curves(rows: Rows, settings: Settings) -> Iterator[Curve]:
    found, quotients = _measure_heavy("latent", settings), _heavy_quotients(settings)
    bound = constants("latent").supremum(rollout_system("latent"))[-1]
    yield rows.curve("d_ε/δ over M, measured", MAGNITUDES, map(found.estimate, quotients.values()))
    yield rows.curve("E‖ε‖²/E‖ε‖ over M", MAGNITUDES, MAGNITUDES)
    yield rows.curve("certified K E‖ε‖²/E‖ε‖ over M", MAGNITUDES, [bound * m for m in MAGNITUDES])


def _linear_growth(rows: Rows) -> Iterator[Row]:
    """(49) has no exponential: C² M² + 2C against exp(2MT), with E‖ε‖² for δ, and T = 1.

    For any C, log(C² M² + 2C) grows by no more than 2 log(M'/M) from M to M'.
    """
    smaller, larger = SLOPES[-2:]
    rate, config = 2.0 - 2 * math.log(larger / smaller) / (larger - smaller), {"M": SLOPES}
    yield rows.at_most(
        "growth of log d_ε in M less that of (49)",
        "printed",
        "E‖ε‖² for δ, any C",
        exact(rate, len(SLOPES)),
        numerical=1e-12,
        scale=2.0,
        config=config,
    )
    for m in SLOPES:
        bound = log_gronwall(1.0, m, 0.0)
        yield rows.at_most(
            "log of d_ε over 3 exp(3 T² M²) E‖ε‖²",
            "corrected",
            f"M = {m:g}",
            exact(2 * m - bound, len(SLOPES)),
            numerical=1e-12,
            scale=bound,
            config=config,
        )


CLAIM = Claim(
    "theorem_4_1",
    ("Theorem 4.1", "Theorem C.1", "Proposition C.2", "(46)", "(49)", "(50)"),
    ("latent", "trained-step", HEAVY, LINEAR),
    check,
    curves,
    quick=("latent", HEAVY, LINEAR),
    seconds={"latent": 16.0, "trained-step": 14.0},
)
