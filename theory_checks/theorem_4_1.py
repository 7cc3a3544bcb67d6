"""Theorem 4.1 (C.1, Proposition C.2): d_ε ≤ δ C (J₀ + J₁) + δ² C (exp(H₀ (J₀ + J₁)) + exp(H₁ (J₀ + J₁))) + O(δ³).

d_ε = E sup_t ‖x^ε_t − x⁰_t‖² is a mean square. Along ε = cζ it is of order δ², so that the bound holds for small δ with
any C whatever, and how large C has to be is all there is to report. For a family of ε with δ = E‖ε‖ → 0 it fails for
every C: the supremum is at least its value at t = 0, so d_ε ≥ E‖ε‖², and E‖ε‖²/E‖ε‖ is unbounded. With E‖ε‖² for δ,
and the constants of :mod:`sdewm.divergence.bounds`, it holds. The Hessian terms F_hh … F_zz lack terms of the
chain rule.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from sdewm.divergence.bounds import log_gronwall
from sdewm.divergence.distances import divergence
from sdewm.divergence.rollout_terms import COMPOSED, log_printed_bound, smallest_constant
from sdewm.estimate.estimates import Estimate, Values
from sdewm.estimate.samples import Sample, sample
from sdewm.noise.increments import Increments
from sdewm.verification.report import Curve
from sdewm.verification.settings import Settings, pooled
from sdewm.verification.verdicts import Claimed, Comparison, Form, Inequality
from theory_checks.rollouts import (
    LADDER,
    SCALES,
    Measured,
    constants,
    measure,
    measure_hessians,
    rollout_system,
    terms_at_horizon,
)

CLAIM = "theorem_4_1"
HEAVY, LINEAR = "heavy tails", "linear growth"
SYSTEMS = ("latent", "trained-step", HEAVY, LINEAR)
QUICK = ("latent", HEAVY, LINEAR)
DELTA = 0.05
# ε = M e with probability M⁻³, else 0: δ = M⁻² and E‖ε‖² = M⁻¹, both exact.
MAGNITUDES = (2.0, 4.0, 8.0, 16.0, 32.0)
# dx = M x dt: ∂g = M, ∂²g = 0 and d_ε = exp(2MT) E‖ε‖², exactly.
SLOPES = (8.0, 16.0, 32.0)
ORDER_MARGIN = 0.1


def check(system: str, settings: Settings) -> list[Claimed]:
    if system == HEAVY:
        return _heavy_tails(settings)
    if system == LINEAR:
        return _linear_growth()
    measured = measure(system, settings)
    return [_order(system, measured), *_constants(system, settings), *_certified(system, measured),
            *_chain_rule(system, settings)]  # fmt: skip


def curves(system: str, settings: Settings) -> list[Curve]:
    if system == HEAVY:
        return _heavy_curves(settings)
    if system == LINEAR:
        return []
    measured = measure(system, settings)
    rollout, grid = measured.system, measured.system.grid
    bound = constants(system).supremum(rollout)
    horizon = rollout.horizon
    terms = terms_at_horizon(system, settings)
    found = []

    def add(label: str, x: list[float], y: list[float], stderr: list[float] | None = None) -> None:
        found.append(Curve(CLAIM, system, label, x, y, stderr, measured.config))

    by_delta = [measured.estimate(measured.divergence(c, horizon) * c**2) for c in LADDER]
    deltas = list(LADDER)
    fitted = max(smallest_constant(e.mean, c, terms) for e, c in zip(by_delta, LADDER, strict=True))
    add("d_ε over δ, measured", deltas, [e.mean for e in by_delta], [e.stderr for e in by_delta])
    add("d_ε over δ, (46) with the smallest C for all δ", deltas,
        [math.exp(log_printed_bound(c, fitted, terms)) for c in LADDER])  # fmt: skip
    add("d_ε over δ, certified", deltas, [bound[horizon] * c**2 for c in LADDER])
    add("log10 d_ε over δ, (46) with C = 1", deltas,
        [log_printed_bound(c, 1.0, terms) / math.log(10) for c in LADDER])  # fmt: skip
    times = [grid.time(i) - grid.t0 for i in rollout.times]
    by_time = [measured.estimate(measured.divergence(LADDER[-1], i)) for i in rollout.times]
    add("d_ε/δ² over T, measured", times, [e.mean for e in by_time], [e.stderr for e in by_time])
    add("d_ε/δ² over T, certified", times, [bound[i] for i in rollout.times])
    if system == "latent":
        scaled = [(s, measure(system, settings, s)) for s in SCALES]
        norms = [math.sqrt(_jacobian(terms_at_horizon(system, settings, s))) for s in SCALES]
        by_scale = [m.estimate(m.divergence(LADDER[-1], horizon)) for _, m in scaled]
        add("d_ε/δ² over ‖∂f‖, measured", norms, [e.mean for e in by_scale], [e.stderr for e in by_scale])
        add("d_ε/δ² over ‖∂f‖, certified", norms, [constants(system, s).supremum(m.system)[horizon] for s, m in scaled])
        add("smallest C over ‖∂f‖", norms,
            [smallest_constant(e.mean * DELTA**2, DELTA, terms_at_horizon(system, settings, s))
             for s, e in zip(SCALES, by_scale, strict=True)])  # fmt: skip
    return found


def _order(system: str, measured: Measured) -> Claimed:
    """The slope of log d_ε in log δ between the two smallest δ; the next pair tells what is left of the limit."""
    i = measured.system.horizon
    slopes = [_slope(measured, LADDER[k], LADDER[k + 1], i) for k in (len(LADDER) - 2, len(LADDER) - 3)]
    # d/δ² has corrections of order δ: halving δ halves them, and what the last halving changed is left.
    left = abs(slopes[0].mean - slopes[1].mean)
    return Comparison(
        claim=CLAIM, system=system, quantity="order of d_ε in δ, ε = cζ", form="corrected", reading="",
        statistic=slopes[0],
        expected=2.0, numerical=left, margin=ORDER_MARGIN, scale=2.0, config=measured.config,
    )  # fmt: skip


def _slope(measured: Measured, c: float, smaller: float, time: int) -> Estimate:
    above, below = (measured.divergence(x, time) * x**2 for x in (c, smaller))
    mean = math.log(above.mean() / below.mean()) / math.log(c / smaller)
    # To first order the logarithm of a ratio of means varies like the difference of relative deviations.
    relative = measured.estimate((above / above.mean() - below / below.mean()) / math.log(c / smaller))
    return Estimate(mean, relative.stderr, relative.n, relative.dof, relative.seed)


def _constants(system: str, settings: Settings) -> list[Claimed]:
    """The smallest C that will do, with the weights scaled: a C of T alone would be one number."""
    rows: list[Claimed] = []
    for scale in SCALES if system == "latent" else (1.0,):
        measured = measure(system, settings, scale)
        terms = terms_at_horizon(system, settings, scale)
        d = measured.estimate(measured.divergence(DELTA, measured.system.horizon) * DELTA**2)
        found = smallest_constant(d.mean, DELTA, terms)
        loose = (log_printed_bound(DELTA, 1.0, terms) - math.log(d.mean)) / math.log(10)
        beyond = smallest_constant(d.mean + d.stderr, DELTA, terms)
        rows.append(Inequality(
            claim=CLAIM, system=system, quantity=f"smallest C of (46), weights × {scale:g}", form="printed", reading="",
            statistic=Estimate(found, beyond - found, d.n, d.dof, d.seed), bound=0.0, numerical=0.0, scale=found,
            vacuous=True, config={**measured.config, "δ": DELTA, "log10 of (46) with C = 1 over d_ε": loose},
        ))  # fmt: skip
    return rows


def _certified(system: str, measured: Measured) -> list[Claimed]:
    """d_ε ≤ K E‖ε‖² with the certified K, at every δ of the ladder."""
    horizon = measured.system.horizon
    bound = constants(system).supremum(measured.system)[horizon]
    rows: list[Claimed] = []
    for c in LADDER:
        statistic = measured.log_estimate(measured.divergence(c, horizon), bound)
        rows.append(Inequality(
            claim=CLAIM, system=system, quantity="log of d_ε over K E‖ε‖²", form="corrected", reading=f"‖ε‖ = {c:g}",
            statistic=statistic, bound=0.0, numerical=0.0, scale=math.log(bound), config={**measured.config,
            "K": bound},
        ))  # fmt: skip
    return rows


def _chain_rule(system: str, settings: Settings) -> list[Claimed]:
    """The second derivatives of f(h, z̃, π(h, z̃)), as C.1 has them and by the chain rule, against the map's own."""
    measured = measure_hessians(system, settings)
    rows: list[Claimed] = []
    for name in COMPOSED:
        size = float(measured.sample[name].mean())
        routes: list[tuple[Form, str]] = [("printed", f"{name} missing"), ("corrected", f"{name} corrected missing")]
        for form, key in routes:
            rows.append(Comparison(
                claim=CLAIM, system=system, quantity=f"{name}: squared error of the second derivative", form=form,
               
                reading="", statistic=measured.estimate(measured.sample[key] / size), expected=0.0, numerical=1e-12,
                margin=settings.precision, scale=1.0, config=measured.config,
            ))  # fmt: skip
    return rows


@pooled
def _measure_heavy(name: str, settings: Settings, round: int) -> Sample:
    """E sup ‖x^{Me} − x⁰‖² for each M: the expectation over ε is then a sum of two terms, one of them zero."""
    system = rollout_system(name)
    e = system.directions[:1]

    def evaluate(noise: Increments) -> dict[str, Tensor]:
        found = divergence(system.rollout, system.x0, torch.cat([m * e for m in MAGNITUDES]), system.grid, noise=noise)
        return {f"{m}": found[k, -1] for k, m in enumerate(MAGNITUDES)}

    drawn = settings.draw(settings.paths(2**9), round)
    return sample(evaluate, drawn, system.channels, system.grid, system.x0)


def _heavy_quotients(settings: Settings) -> dict[float, Values]:
    """d_ε/δ for each M, replicate by replicate: M⁻³ E sup ‖x^{Me} − x⁰‖² over M⁻²."""
    found = _measure_heavy("latent", settings)
    return {m: found[f"{m}"] / m for m in MAGNITUDES}


def _heavy_tails(settings: Settings) -> list[Claimed]:
    found, quotients = _measure_heavy("latent", settings), _heavy_quotients(settings)
    config = {"ε": "M e with probability M⁻³, else 0", "M": MAGNITUDES, "d_ε/δ": [float(q.mean()) for q in
              quotients.values()], "paths": found.paths}  # fmt: skip
    slope = np.polyfit(np.log(MAGNITUDES), np.log(np.stack(list(quotients.values()))), 1)[0]
    bound = constants("latent").supremum(rollout_system("latent"))[-1]
    rows: list[Claimed] = [Inequality(
        claim=CLAIM, system=HEAVY, quantity="growth of d_ε/δ, rate in M as δ = M⁻² → 0", form="printed", reading="",
        statistic=found.estimate(slope), bound=0.0, numerical=0.0, scale=1.0, config=config,
    )]  # fmt: skip
    for m, quotient in quotients.items():
        # d_ε over E‖ε‖² = M⁻¹.
        e = found.estimate(quotient / m)
        statistic = Estimate(math.log(e.mean / bound), e.stderr / e.mean, e.n, e.dof, e.seed)
        rows.append(Inequality(
            claim=CLAIM, system=HEAVY, quantity="log of d_ε over K E‖ε‖²", form="corrected", reading=f"M = {m:g}",
            statistic=statistic, bound=0.0, numerical=0.0, scale=math.log(bound), config={**config, "K": bound},
        ))  # fmt: skip
    return rows


def _heavy_curves(settings: Settings) -> list[Curve]:
    found, quotients = _measure_heavy("latent", settings), _heavy_quotients(settings)
    estimates = [found.estimate(q) for q in quotients.values()]
    x = list(MAGNITUDES)
    bound = constants("latent").supremum(rollout_system("latent"))[-1]
    return [
        Curve(CLAIM, HEAVY, "d_ε/δ over M, measured", x, [e.mean for e in estimates], [e.stderr for e in estimates]),
        Curve(CLAIM, HEAVY, "E‖ε‖²/E‖ε‖ over M", x, x),
        Curve(CLAIM, HEAVY, "certified K E‖ε‖²/E‖ε‖ over M", x, [bound * m for m in x]),
    ]


def _linear_growth() -> list[Claimed]:
    """(49) has no exponential: C² M² + 2C against exp(2MT), with E‖ε‖² for δ, and T = 1.

    For any C, log(C² M² + 2C) grows by no more than 2 log(M'/M) from M to M'.
    """
    smaller, larger = SLOPES[-2:]
    rate = 2.0 - 2 * math.log(larger / smaller) / (larger - smaller)
    rows: list[Claimed] = [Inequality(
        claim=CLAIM, system=LINEAR, quantity="growth of log d_ε in M less that of (49)", form="printed",
        reading="E‖ε‖² for δ, any C",
        statistic=Estimate(rate, 0.0, len(SLOPES)), bound=0.0, numerical=1e-12, scale=2.0, config={"M": SLOPES},
    )]  # fmt: skip
    for m in SLOPES:
        bound = log_gronwall(1.0, m, 0.0)
        rows.append(Inequality(
            claim=CLAIM, system=LINEAR, quantity="log of d_ε over 3 exp(3 T² M²) E‖ε‖²", form="corrected",
            reading=f"M = {m:g}", statistic=Estimate(2 * m - bound, 0.0, len(SLOPES)), bound=0.0, numerical=1e-12,
            scale=bound, config={"M": SLOPES},
        ))  # fmt: skip
    return rows


def _jacobian(terms: dict[str, float]) -> float:
    return terms["F_h"] + terms["F_z"]


if __name__ == "__main__":
    import sys

    from theory_checks.run import main

    raise SystemExit(main([CLAIM, *sys.argv[1:]]))
