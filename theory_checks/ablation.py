"""What each erratum of Theorem 3.7 and Corollary 3.8 does alone: every formula corrected but that one.

On the latent dynamics model (5)–(8) itself, on the same with a diffusion f̄ in (6), and on a general equation (32).
An erratum that makes no difference on a system is verified there as printed.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sdewm.arrays import Array
from sdewm.estimate.estimates import Estimate
from sdewm.estimate.samples import Sample, richardson
from sdewm.exact import reference
from sdewm.exact.problems import PROBLEMS
from sdewm.expansion.forms import Form
from sdewm.expansion.variation_of_constants import CORRECTED, CORRECTIONS, READINGS, Corrections
from sdewm.noise.grid import TimeGrid
from sdewm.verdicts.judge import Row
from sdewm.verdicts.record import Curve
from sdewm.verification.samples import sample_formulas
from sdewm.verification.settings import Settings, pooled
from sdewm.verification.system import GRIDS, System
from sdewm.verification.system_samples import from_terms
from theory_checks.claim import Claim, Part
from theory_checks.rows import Rows

PATHS = {"circle": 2**12, "latent-linear": 2**13, "latent": 2**10, "latent-f-bar": 2**10}
STEPS = {"circle": 32, "latent-linear": 16, "latent": 16, "latent-f-bar": 16}
WIDEN = {"circle": 1.3, "latent-linear": 1.15}  # as the claims themselves draw them
# (16) is read literally, and as charitably as it can be.
READ = {name: READINGS[name] for name in ("literal", "drift in Φ, sums from k = 0, Φξ in H")}
# What should vanish is held to this part of the coefficient of ε².
VANISHES = 1e-4
# As the claims themselves hold the formulas with Φ and Φ⁻¹: to this many times the precision asked for.
FORMULA_FACTOR = 10.0
ALL = "all"
# (33) enters where the terms are put together; every other correction enters the terms themselves.
VARIANTS: dict[str, Corrections] = {ALL: CORRECTED, **{e: CORRECTED - {e} for e in CORRECTIONS if e != "E1"}}
ORDERS = ("coefficient of ε", "coefficient of ε²")
WITHOUT = "{}, all but {}"
# The others are corrections of second-order terms.
IN_FIRST = ("E3", "E4")


def check(rows: Rows, settings: Settings) -> Iterator[Row]:
    drawn = _drawn(rows.system, settings)
    coefficients = [drawn.estimate(_coefficient(drawn, "jets", order)[0]) for order in range(len(ORDERS))]
    for order, (quantity, coefficient) in enumerate(zip(ORDERS, coefficients, strict=True)):
        margin = FORMULA_FACTOR * settings.precision * abs(coefficient.mean)
        everything, left = _coefficient(drawn, ALL, order)
        off = everything - _coefficient(drawn, "jets", order)[0]
        yield _zero(rows, drawn, quantity, "corrected", "all corrections", off, left, margin, coefficient)
        for erratum in CORRECTIONS if order else IN_FIRST:
            value, left = _coefficient(drawn, erratum, order, against=ALL)
            name, reading = WITHOUT.format(quantity, erratum), CORRECTIONS[erratum]
            yield _zero(rows, drawn, name, "printed", reading, value, left, margin, coefficient)
    for reading in READ:
        # Only ξ, the diffusion error's response, is in (16) as printed: it is the same whatever the drift error.
        value, left = richardson([drawn[f"|{reading}|Q~/{halvings}"] for halvings in range(GRIDS)])
        quantity = "Q̃ of (16) at zero drift error"  # which should be 0: in parts of the coefficient of ε²
        margin = VANISHES * abs(coefficients[1].mean)
        yield _zero(rows, drawn, quantity, "printed", reading, value, left, margin, coefficients[1])


def _zero(
    rows: Rows,
    drawn: Sample,
    quantity: str,
    form: Form,
    reading: str,
    value: Array,
    left: float,
    margin: float,
    scale: Estimate,
) -> Row:
    # A difference that is exactly zero in theory is so to rounding only.
    rounding = float(np.finfo(np.float64).eps) * 1e3 * abs(scale.mean)
    return rows.equal(
        quantity,
        form,
        reading,
        drawn.estimate(value),
        numerical=left + rounding,
        margin=margin,
        scale=scale,
        config={"paths": drawn.paths, "grids": GRIDS},
    )


def curves(rows: Rows, settings: Settings) -> Iterator[Curve]:
    """The error that each erratum makes alone, in parts of the true coefficient; x is the erratum's number."""
    drawn = _drawn(rows.system, settings)
    for order, quantity in enumerate(ORDERS):
        truth = float(_coefficient(drawn, "jets", order)[0].mean())
        errata = list(CORRECTIONS if order else IN_FIRST)
        alone = [drawn.estimate(_coefficient(drawn, e, order, against=ALL)[0] / truth) for e in errata]
        config = {"errata": errata, "coefficient": truth, "paths": drawn.paths}
        yield rows.curve(quantity, [float(e.removeprefix("E")) for e in errata], alone, config)


def _system(name: str) -> System:
    if name in PROBLEMS:
        problem = PROBLEMS[name]()
        return System(problem.family, problem.loss, problem.x0, TimeGrid(0.0, problem.horizon, STEPS[name]), name=name)
    family = reference.latent_family(sequence_noise=name == "latent-f-bar")
    grid = TimeGrid(0.0, reference.HORIZON, STEPS[name])
    return System(family, reference.loss, reference.initial_state(), grid, name=name)


@pooled
def _drawn(name: str, settings: Settings, round: int) -> Sample:
    """The terms by jets and by the formulas with every set of corrections, on common noise."""
    # Differences on common noise vary little: a coarser precision saves nothing worth having.
    paths = max(PATHS[name], settings.paths(PATHS[name]))
    drawn = settings.draw(paths, round, widen=WIDEN.get(name, 1.0))
    return sample_formulas(_system(name), drawn, {**VARIANTS, **READ})


def _coefficient(drawn: Sample, variant: str, order: int, against: str | None = None) -> tuple[Array, float]:
    """A coefficient in the limit Δt → 0, or its difference from another variant's, and what the last grid changed."""

    def on(halvings: int, name: str) -> Array:
        form: Form = "printed" if name == "E1" else "corrected"
        route = ALL if name == "E1" else name
        return from_terms(drawn.values, f"|{route}", halvings, form).full[order]

    return richardson([on(k, variant) - (on(k, against) if against else 0.0) for k in range(GRIDS)])


CLAIM = Claim(
    "ablation",
    (
        Part("(16)", quantity=WITHOUT.format(ORDERS[1], "E9")),
        Part("(17)", quantity=WITHOUT.format(ORDERS[1], "E10")),
        "Theorem 3.7",
        "Corollary 3.8",
    ),
    tuple(PATHS),
    check,
    curves,
    quick=("circle", "latent"),
    seconds={"latent-linear": 20.0, "latent-f-bar": 15.0, "latent": 11.0, "circle": 4.0},
)
