"""What each erratum of Theorem 3.7 and Corollary 3.8 does alone: every formula corrected but that one.

On the latent dynamics model (5)–(8) itself, on the same with a diffusion f̄ in (6), and on a general equation (32).
An erratum that makes no difference on a system is verified there as printed.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from torch import Tensor

from sdewm.estimate.estimates import Estimate, Values
from sdewm.estimate.samples import Sample, richardson, sample
from sdewm.exact import reference
from sdewm.exact.problems import PROBLEMS
from sdewm.expansion.power_series import check_problem, corrected_terms, second_coefficient
from sdewm.expansion.variation_of_constants import CORRECTED, CORRECTIONS, READINGS, TERMS, Corrections, formula_terms
from sdewm.noise.grid import TimeGrid
from sdewm.noise.increments import Increments
from sdewm.systems.losses import Loss, as_summed
from sdewm.systems.perturbed import PerturbedSDE
from sdewm.verification.report import Curve
from sdewm.verification.settings import Settings, pooled
from sdewm.verification.verdicts import Claimed, Comparison

CLAIM = "ablation"
SYSTEMS = ("circle", "latent-linear", "latent", "latent-f-bar")
QUICK = ("circle", "latent")
PATHS = {"circle": 2**12, "latent-linear": 2**13, "latent": 2**10, "latent-f-bar": 2**10}
STEPS = {"circle": 32, "latent-linear": 16, "latent": 16, "latent-f-bar": 16}
WIDEN = {"circle": 1.3, "latent-linear": 1.15}  # as the claims themselves draw them
GRIDS = 3
# (16) is read literally, and as charitably as it can be.
READ = {name: READINGS[name] for name in ("literal", "drift in Φ, sums from k = 0, Φξ in H")}
# What should vanish is held to this part of the coefficient of ε².
VANISHES = 1e-4
# As the claims themselves hold the formulas with Φ and Φ⁻¹: to this many times the precision asked for.
FORMULA_FACTOR = 10.0
ALL = "all"
# (33) enters where the terms are put together; every other correction enters the terms themselves.
VARIANTS: dict[str, Corrections] = {ALL: CORRECTED, **{e: CORRECTED - {e} for e in CORRECTIONS if e != "E1"}}
ORDERS: dict[Literal["first", "second"], str] = {"first": "coefficient of ε", "second": "coefficient of ε²"}
# The others are corrections of second-order terms.
IN_FIRST = ("E3", "E4")


def check(system: str, settings: Settings) -> list[Claimed]:
    drawn = _drawn(system, settings)
    rows: list[Claimed] = []
    for order, quantity in ORDERS.items():
        jets, _ = _coefficient(drawn, "jets", order)
        everything, left = _coefficient(drawn, ALL, order)
        coefficient = drawn.estimate(jets)
        scale = abs(coefficient.mean)
        margin = FORMULA_FACTOR * settings.precision * scale
        rows.append(
            _row(drawn, system, quantity, "corrected", "all corrections", everything - jets, left, margin, coefficient)
        )
        for erratum in CORRECTIONS if order == "second" else IN_FIRST:
            value, left = _coefficient(drawn, erratum, order, against=ALL)
            name = f"{quantity}, all but {erratum}"
            rows.append(_row(drawn, system, name, "printed", CORRECTIONS[erratum], value, left, margin, coefficient))
    for reading in READ:
        # Only ξ, the diffusion error's response, is in (16) as printed: it is the same whatever the drift error.
        value, left = richardson([drawn[f"{reading}|Q~/{level}"] for level in range(GRIDS)])
        quantity = "Q̃ of (16) at zero drift error"  # which should be 0: in parts of the coefficient of ε²
        rows.append(_row(drawn, system, quantity, "printed", reading, value, left, VANISHES * scale, coefficient))
    return rows


def curves(system: str, settings: Settings) -> list[Curve]:
    """The error that each erratum makes alone, in parts of the true coefficient; x is the erratum's number."""
    drawn = _drawn(system, settings)
    found = []
    for order, quantity in ORDERS.items():
        truth = float(_coefficient(drawn, "jets", order)[0].mean())
        errata = list(CORRECTIONS) if order == "second" else list(IN_FIRST)
        alone = [drawn.estimate(_coefficient(drawn, e, order, against=ALL)[0] / truth) for e in errata]
        numbers = [float(e.removeprefix("E")) for e in errata]
        config = {"errata": errata, "coefficient": truth, "paths": drawn.paths}
        found.append(
            Curve(CLAIM, system, quantity, numbers, [a.mean for a in alone], [a.stderr for a in alone], config)
        )
    return found


def _problem(system: str) -> tuple[PerturbedSDE, Loss, Tensor, TimeGrid]:
    if system in PROBLEMS:
        problem = PROBLEMS[system]()
        return problem.family, problem.loss, problem.x0, TimeGrid(0.0, problem.horizon, STEPS[system])
    family = reference.latent_family(sequence_noise=system == "latent-f-bar")
    grid = TimeGrid(0.0, reference.HORIZON, STEPS[system])
    return family, reference.loss, reference.initial_state(), grid


@pooled
def _drawn(system: str, settings: Settings, round: int) -> Sample:
    """The terms by jets and by the formulas with every set of corrections, on common noise."""
    family, loss, x0, grid = _problem(system)
    losses = {"": as_summed(loss, grid)}
    variants = {**VARIANTS, **READ}

    def evaluate(noise: Increments) -> dict[str, Tensor]:
        values: dict[str, Tensor] = {}
        for level in range(GRIDS):
            coarse, increments = grid.coarsen(2**level), noise.coarsen(2**level)
            jets = corrected_terms(family, losses, x0, coarse, increments)
            values |= {f"jets|{term}/{level}": v for (_, term), v in jets.items()}
            terms = formula_terms(family, losses, x0, coarse, increments, variants)
            values |= {f"{variant}|{term}/{level}": v for (_, variant, term), v in terms.items()}
        return values

    channels = check_problem(family, losses, x0, grid, "euler", GRIDS)
    # Differences on common noise vary little: a coarser precision saves nothing worth having.
    paths = max(PATHS[system], settings.paths(PATHS[system]))
    drawn = settings.draw(paths, round, widen=WIDEN.get(system, 1.0))
    return sample(evaluate, drawn, channels, grid, x0)


def _coefficient(
    drawn: Sample, variant: str, order: Literal["first", "second"], against: str | None = None
) -> tuple[Values, float]:
    """A coefficient in the limit Δt → 0, or its difference from another variant's, and what the last grid changed."""

    def on(level: int, name: str) -> Values:
        terms = {term: drawn[f"{ALL if name == 'E1' else name}|{term}/{level}"] for term in TERMS}
        if order == "first":
            return terms["P"] + terms["P~"]
        return second_coefficient(terms, "printed" if name == "E1" else "corrected")

    levels = [on(level, variant) - (on(level, against) if against else 0.0) for level in range(GRIDS)]
    return richardson(levels)


def _row(
    drawn: Sample, system: str, quantity: str, form: Literal["printed", "corrected"], reading: str, value: Values,
    left: float, margin: float, scale: Estimate,
) -> Comparison:  # fmt: skip
    # A difference that is exactly zero in theory is so to rounding only.
    rounding = float(np.finfo(np.float64).eps) * 1e3 * abs(scale.mean)
    return Comparison(
        CLAIM, system, quantity, form, reading, drawn.estimate(value), 0.0, left + rounding, margin, scale,
        config={"paths": drawn.paths, "grids": GRIDS},
    )  # fmt: skip


if __name__ == "__main__":
    import sys

    from theory_checks.run import main

    raise SystemExit(main([CLAIM, *sys.argv[1:]]))
