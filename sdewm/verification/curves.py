"""Curves of the expansion for figures, from samples."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from torch import Tensor

from sdewm.arrays import Array
from sdewm.estimate.estimates import Estimate
from sdewm.estimate.samples import Sample, richardson, sample
from sdewm.expansion.forms import Form
from sdewm.expansion.pathwise_derivatives import corrected_terms
from sdewm.expansion.variation_of_constants import READINGS, TERMS, formula_terms
from sdewm.noise.increments import Increments
from sdewm.verdicts.record import Curve
from sdewm.verification.samples import VARIATION, channels, losses_at, sampler, variants
from sdewm.verification.system_samples import SystemSamples, from_terms

# A second-order expansion is called valid while its third-order term is at most this fraction of the others.
SHARE = 0.1
HALVINGS = 8  # of the range, where paths leave the numbers on it
CHARITABLE = "drift in Φ, sums from k = 0, Φξ in H"
MAGNITUDES = np.linspace(-1.25, 1.25, 11)


def remainder_curves(claim: str, samples: SystemSamples, kind: str) -> Iterator[Curve]:
    """Root mean square remainder against ε, by order of the expansion; order 2 as corrected and as printed."""
    for loss in samples.system.losses:
        for order in range(3):
            for form in ("corrected", "printed") if order == 2 else ("corrected",):
                test = samples.taylor[loss, "full", form]
                rate = test.rates[kind, order]
                label = f"order {order}, {form}" if order == 2 else f"order {order}"
                yield Curve(
                    claim,
                    samples.system.named(loss),
                    label,
                    list(test.eps),
                    test.remainders[kind, order].tolist(),
                    config={"rate": rate.value, "rate stderr": rate.stderr, "expected": rate.expected},
                )


def term_curves(claim: str, samples: SystemSamples) -> Iterator[Curve]:
    """The contribution of each of the six terms to the coefficients of ε and ε², by each route, as Δt → 0."""
    for loss in samples.system.losses if samples.system.has_limit else ():
        for route in ("jets", *variants(samples.system)):
            corrected = route in ("jets", VARIATION)
            estimates = []
            for term in TERMS:
                on_grids = [samples.small[f"{loss}|{route}|{term}/{i}"] for i in range(samples.system.grids)]
                share = 0.5 if term == "S" or (term == "Q" and corrected) else 1.0
                estimates.append(samples.small.estimate(share * richardson(on_grids)[0]))
            config = {"terms": list(TERMS), "paths": samples.small.paths}
            name = samples.system.named(loss)
            yield _curve(claim, name, route, np.arange(len(TERMS), dtype=float), estimates, config)


def loss_curves(claim: str, samples: SystemSamples) -> Iterator[Curve]:
    """E L(x^ε) − E L(x⁰) for ε of both signs: simulated, predicted to second order, and the error of the prediction.

    All are on the system's own grid and on common noise. The range follows from the coefficients: up to ``valid`` the
    third-order term is at most a tenth of the first and second ones together, and no path leaves the numbers. The
    printed formula is drawn in the reading that comes closest to the truth.
    """
    for loss in samples.system.losses:
        name = samples.system.named(loss)
        test = samples.taylor[loss, "full", "corrected"]
        first, second = (float(c.mean()) for c in samples.corrected_on_grid[loss].full)
        third = test.third["predicted"].mean
        valid, found = _within_numbers(samples, loss, _valid(first, second, third, largest=10 * test.eps[0]))
        if found is None:
            continue
        eps = valid * MAGNITUDES
        config = {
            "valid": valid,
            "share": SHARE,
            "third": third,
            "steps": samples.system.grid.steps,
            "paths": found.paths,
        }
        effects = [found[str(j)] - found[f"{loss}|jets|loss0/0"] for j in range(len(eps))]
        yield _curve(claim, name, "simulated", eps, [found.estimate(v) for v in effects], config)
        forms: dict[Form, str] = {"corrected": "jets"}
        if CHARITABLE in variants(samples.system):
            forms["printed"] = CHARITABLE
        for form, route in forms.items():
            a, b = from_terms(found.values, f"{loss}|{route}", 0, form).full
            predicted = [e * a + e**2 * b for e in eps]
            left = [effect - p for effect, p in zip(effects, predicted, strict=True)]
            yield _curve(claim, name, form, eps, [found.estimate(v) for v in predicted], config)
            yield _curve(claim, name, f"left by the {form}", eps, [found.estimate(v) for v in left], config)


def _within_numbers(samples: SystemSamples, loss: str, valid: float) -> tuple[float, Sample | None]:
    """The range, halved as long as a path leaves the numbers on it, and what is found there; ``None`` if all do."""
    for halvings in range(HALVINGS):
        try:
            reach = valid / 2**halvings
            return reach, _losses_and_terms(samples, loss, reach * MAGNITUDES)
        except ArithmeticError:  # of a state or a loss, as where a square root's argument becomes negative
            continue
    return 0.0, None


def _losses_and_terms(samples: SystemSamples, loss: str, eps: Array) -> Sample:
    system, grid = samples.system, samples.system.grid
    losses = {loss: system.losses[loss]}
    printed = {CHARITABLE: READINGS[CHARITABLE]} if CHARITABLE in variants(system) else {}

    def evaluate(noise: Increments) -> dict[str, Tensor]:
        values = {str(j): losses_at(system, losses, (e, e), grid, noise)[loss] for j, e in enumerate(eps)}
        terms = corrected_terms(system.family, losses, system.x0, grid, noise=noise, method=system.method)
        values |= {f"{loss}|jets|{term}/0": v for (_, term), v in terms.items()}
        if printed:
            formulas = formula_terms(system.family, losses, system.x0, grid, noise=noise, variants=printed)
            values |= {f"{loss}|{route}|{term}/0": v for (_, route, term), v in formulas.items()}
        return values

    paired = samples.sizes.paired
    paths = min(paired, samples.settings.paths(paired))
    drawn = sampler(system, samples.settings, paths, 0, purpose=2, widen=samples.sizes.widen)
    return sample(evaluate, drawn, channels(system), grid, system.x0)


def _curve(claim: str, system: str, label: str, x: Array, estimates: list[Estimate], config: dict[str, Any]) -> Curve:
    return Curve(claim, system, label, x.tolist(), [e.mean for e in estimates], [e.stderr for e in estimates], config)


def _valid(first: float, second: float, third: float, largest: float) -> float:
    """The positive root of |third| ε³ = SHARE (|first| ε + |second| ε²), or ``largest`` if that is smaller."""
    a, b = SHARE * abs(first), SHARE * abs(second)
    size = abs(third)
    root = (b + math.sqrt(b * b + 4 * size * a)) / (2 * size) if size > 0 else largest
    return min(root, largest)
