"""The proof of Lemma B.7: ε³R^ε = θ + φ + σ, each of order ε³.

As printed, σ lacks the error's own term and is of order ε; φ lacks its factors ½ and is of order ε²; and the bounds on
the three terms lack the factor ε⁶ that a bound on R^ε needs.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from torch import Tensor

from sdewm.arrays import Array
from sdewm.estimate.samples import Sample, sample
from sdewm.exact.problems import PROBLEMS
from sdewm.expansion.forms import Form
from sdewm.noise.grid import TimeGrid
from sdewm.noise.increments import Increments
from sdewm.paper.remainder import remainder_terms
from sdewm.solvers.loop import check_system
from sdewm.verdicts.judge import Comparison, Row
from sdewm.verdicts.record import Curve
from sdewm.verification.settings import Settings, pooled
from theory_checks.claim import Claim
from theory_checks.rows import Rows, exact

LADDER = (0.04, 0.02, 0.01)
PATHS = 2**10
STEPS = 32
TERMS = {"θ": "θ_k", "φ": "φ_k", "σ": "σ_k"}


class At(NamedTuple):
    """A term of the proof at one ε of the ladder."""

    term: str
    rung: int


def check(rows: Rows, settings: Settings) -> Iterator[Row]:
    drawn = _drawn(rows.system, settings)
    for term, name in TERMS.items():
        # On gbm g_k is linear and φ vanishes: nothing has a rate there.
        if float(drawn[At(term, 0)].mean()) > 1e-25:
            yield _rate_row(rows, drawn, f"rate of {name}", "corrected", "", term)
    readings = {
        "φ": {"literal": "φ as printed"},
        "σ": {"literal": "σ as printed", "η_k(x^ε) put back": "σ as printed, mended"},
    }
    for term, printed in readings.items():
        for reading, key in printed.items():
            if float(drawn[At(key, 0)].mean()) > 1e-25:
                yield _rate_row(rows, drawn, f"rate of {TERMS[term]}", "printed", reading, key)
    mismatch = drawn.estimate(np.sqrt(drawn[At("mismatch", 0)] / drawn[At("remainder", 0)]))
    yield rows.equal(
        "ε³R^ε less the three terms, in parts of it",
        "corrected",
        "",
        exact(mismatch.mean, mismatch.n),
        numerical=1e-9,
        margin=1e-8,
    )
    # R^ε is of order one, since the remainder falls like ε³; its printed bound is the terms' own size.
    worst, left = _rate(drawn, "θ")
    remainder, _ = _rate(drawn, "remainder")
    excess, mended = (drawn.estimate(rate - (remainder - 3.0)) for rate in (worst, worst - 3.0))
    quantity = "rate of the terms that are to bound R^ε, less that of R^ε"
    yield rows.at_most(quantity, "printed", "", excess, numerical=left, scale=3.0)
    yield rows.equal("the same with the terms over ε³", "corrected", "", mended, numerical=left, margin=0.1, scale=3.0)


def curves(rows: Rows, settings: Settings) -> list[Curve]:
    """Root mean square of each term's supremum against ε."""
    drawn = _drawn(rows.system, settings)
    terms = dict.fromkeys(at.term for at in drawn.values if at.term != "mismatch")
    return [
        rows.curve(term, LADDER, [drawn.estimate(np.sqrt(drawn[At(term, i)])) for i in range(len(LADDER))])
        for term in terms
    ]


@pooled
def _drawn(system: str, settings: Settings, round: int) -> Sample:
    problem = PROBLEMS[system]()
    grid = TimeGrid(0.0, problem.horizon, STEPS)

    def evaluate(noise: Increments) -> dict[At, Tensor]:
        return {
            At(name, i): value
            for i, eps in enumerate(LADDER)
            for name, value in remainder_terms(problem.family, problem.x0, grid, noise=noise, eps=eps).items()
        }

    channels = check_system(problem.family.base, problem.x0, grid, method="euler").channels
    sampler = settings.draw(max(PATHS, settings.paths(PATHS)), round)
    return sample(evaluate, sampler, channels, grid, problem.x0)


def _rate(drawn: Sample, term: str) -> tuple[Array, float]:
    """The rate at which the root mean square falls, replicate by replicate, and what the last halving changed."""
    logs = [0.5 * np.log2(drawn[At(term, i)]) for i in range(len(LADDER))]
    rates = [before - after for before, after in itertools.pairwise(logs)]
    return rates[-1], float(abs((rates[-1] - rates[-2]).mean()))


def _rate_row(rows: Rows, drawn: Sample, quantity: str, form: Form, reading: str, term: str) -> Comparison:
    rates, left = _rate(drawn, term)
    return rows.equal(
        quantity, form, reading, drawn.estimate(rates), 3.0, numerical=left, margin=0.2, scale=3.0,
        config={"ε": LADDER, "paths": drawn.paths, "steps": STEPS},
    )  # fmt: skip


CLAIM = Claim(
    "lemma_b7_steps",
    ("Lemma B.7 terms", "Lemma B.7 (42)", *(f"Lemma B.7 ({step})" for step in ("iii", "iv", "vii", "ix", "xi"))),
    ("gbm", "circle"),
    check,
    curves,
)
