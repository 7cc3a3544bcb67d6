"""Curves of the expansion's evidence, for the figures."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from torch import Tensor

from sdewm.montecarlo import Estimate, Values, richardson, sample
from sdewm.noise import Increments, QuasiMonteCarlo
from sdewm.paper.formulas import READINGS, TERMS
from sdewm.report import Curve
from theory_checks.evidence import VARIANTS, Evidence, channels, from_terms, losses_at, summed

# An expansion to second order is called valid while its third-order term is at most this part of the others.
SHARE = 0.1
MAGNITUDES = np.linspace(-1.75, 1.75, 15)


def remainder_curves(claim: str, evidence: Evidence, kind: str) -> Iterator[Curve]:
    """Root mean square remainder against ε, by order of the expansion; order 2 as corrected and as printed."""
    for loss in evidence.system.losses:
        for order in range(3):
            for form in ("corrected", "printed") if order == 2 else ("corrected",):
                test = evidence.taylor[loss, "full", form]
                rate = test.rates[kind, order]
                label = f"order {order}, {form}" if order == 2 else f"order {order}"
                yield Curve(
                    claim, f"{evidence.system.name} {loss}".strip(), label,
                    list(test.eps), test.remainders[kind, order].tolist(),
                    config={"rate": rate.value, "rate stderr": rate.stderr, "expected": rate.expected},
                )  # fmt: skip


def term_curves(claim: str, evidence: Evidence) -> Iterator[Curve]:
    """What each of the six terms adds to the coefficients of ε and ε², route by route, extrapolated to Δt = 0."""
    for loss in evidence.system.losses if evidence.system.continuous else ():
        for route in ("jets", *VARIANTS):
            corrected = route not in VARIANTS or "E1" in VARIANTS[route]
            estimates = []
            for term in TERMS:
                levels = [evidence.small[f"{loss}|{route}|{term}/{i}"] for i in range(evidence.system.grids)]
                share = 0.5 if term == "S" or (term == "Q" and corrected) else 1.0
                estimates.append(evidence.small.estimate(share * richardson(levels)[0]))
            config: dict[str, object] = {"terms": list(TERMS), "paths": evidence.small.paths}
            name = f"{evidence.system.name} {loss}".strip()
            yield _curve(claim, name, route, np.arange(len(TERMS), dtype=float), estimates, config)


def loss_curves(claim: str, evidence: Evidence) -> Iterator[Curve]:
    """E L(x^ε) simulated on both sides of ε = 0, and predicted to second order, all on the system's own grid.

    The range follows from the coefficients: up to ``valid`` the third-order term is at most a tenth of the first and
    second ones together. Of the printed formula's readings the most charitable one is taken.
    """
    system, grid = evidence.system, evidence.system.grid
    losses = summed(system)
    for loss in system.losses:
        name = f"{system.name} {loss}".strip()
        test = evidence.taylor[loss, "full", "corrected"]
        third = test.third["predicted"].mean
        samples = {"corrected": (evidence.large, "jets")}
        if system.continuous:
            samples["printed"] = (evidence.small, list(READINGS)[-1])
        coefficients = {
            form: (s, s[f"{loss}|{route}|loss0/0"], *from_terms(s.values, f"{loss}|{route}", 0, form).full)
            for form, (s, route) in samples.items()
        }
        first, second = (float(c.mean()) for c in coefficients["corrected"][2:])
        valid = _valid(first, second, third, largest=10 * test.eps[0])
        eps = valid * MAGNITUDES

        def evaluate(noise: Increments, loss: str = loss, eps: Values = eps) -> dict[str, Tensor]:
            return {
                str(j): losses_at(system, {loss: losses[loss]}, (e, e), grid, noise)[loss] for j, e in enumerate(eps)
            }

        paths = evidence.settings.paths(system.paired_paths)
        found = sample(
            evaluate, QuasiMonteCarlo(paths, evidence.settings.seed + 2, widen=system.widen), channels(system), grid,
            system.x0,
        )  # fmt: skip
        config: dict[str, object] = {"valid": valid, "share": SHARE, "third": third, "steps": grid.steps}
        simulated = [found.estimate(str(j)) for j in range(len(eps))]
        yield _curve(claim, name, "simulated", eps, simulated, config | {"paths": found.paths})
        for form, (s, loss0, a, b) in coefficients.items():
            predicted = [s.estimate(loss0 + e * a + e**2 * b) for e in eps]
            yield _curve(claim, name, form, eps, predicted, config | {"paths": s.paths})


def _curve(
    claim: str, system: str, label: str, x: Values, estimates: list[Estimate], config: dict[str, object]
) -> Curve:
    return Curve(claim, system, label, x.tolist(), [e.mean for e in estimates], [e.stderr for e in estimates], config)


def _valid(first: float, second: float, third: float, largest: float) -> float:
    """The positive root of |third| ε³ = SHARE (|first| ε + |second| ε²), or ``largest`` if that is smaller."""
    a, b = SHARE * abs(first), SHARE * abs(second)
    size = abs(third)
    root = (b + math.sqrt(b * b + 4 * size * a)) / (2 * size) if size > 0 else largest
    return min(root, largest)
