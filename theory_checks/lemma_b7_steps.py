"""The proof of Lemma B.7: ε³R^ε = θ + φ + σ, each of order ε³.

As printed σ has lost the error's own term and is of order ε, φ lacks its halves and is of order ε², and bounds of
terms over ε³ have lost the ε⁶ by which they bound R^ε.
"""

from __future__ import annotations

import itertools

import numpy as np
from torch import Tensor

from sdewm.estimate.estimates import Estimate
from sdewm.estimate.samples import Sample, sample
from sdewm.exact.problems import PROBLEMS
from sdewm.noise.grid import TimeGrid
from sdewm.noise.increments import Increments
from sdewm.paper.remainder import remainder_terms
from sdewm.solvers.loop import check_system
from sdewm.verification.report import Curve
from sdewm.verification.settings import Settings, pooled
from sdewm.verification.verdicts import Claimed, Comparison, Inequality

CLAIM = "lemma_b7_steps"
SYSTEMS = QUICK = ("gbm", "circle")
LADDER = (0.04, 0.02, 0.01)
PATHS = 2**10
STEPS = 32
TERMS = {"θ": "θ_k", "φ": "φ_k", "σ": "σ_k"}


def check(system: str, settings: Settings) -> list[Claimed]:
    drawn = _drawn(system, settings)
    rows: list[Claimed] = []
    for term, name in TERMS.items():
        # On gbm g_k is linear and φ vanishes: nothing has a rate there.
        if float(drawn[f"{term}/0"].mean()) > 1e-25:
            rows.append(_rate_row(drawn, system, f"rate of {name}", "corrected", "", term))
    readings = {"φ": {"literal": "φ as printed"},
                "σ": {"literal": "σ as printed", "η_k(x^ε) put back": "σ as printed, mended"}}  # fmt: skip
    for term, printed in readings.items():
        for reading, key in printed.items():
            if float(drawn[f"{key}/0"].mean()) > 1e-25:
                rows.append(_rate_row(drawn, system, f"rate of {TERMS[term]}", "printed", reading, key))
    mismatch = drawn.estimate(np.sqrt(drawn["mismatch/0"] / drawn["remainder/0"]))
    rows.append(
        Comparison(CLAIM, system, "ε³R^ε less the three terms, in parts of it", "corrected", "",
                   Estimate(mismatch.mean, 0.0, mismatch.n), 0.0, 1e-9, 1e-8, 1.0)
    )  # fmt: skip
    # R^ε is of order one, since the remainder falls like ε³; its printed bound is the terms' own size.
    worst, left = _rate(drawn, "θ")
    remainder, _ = _rate(drawn, "remainder")
    excess = drawn.estimate(worst - (remainder - 3.0))
    rows.append(
        Inequality(CLAIM, system, "rate of the terms that are to bound R^ε, less that of R^ε", "printed", "", excess,
                   0.0, left, 3.0)
    )  # fmt: skip
    mended = drawn.estimate((worst - 3.0) - (remainder - 3.0))
    rows.append(
        Comparison(CLAIM, system, "the same with the terms over ε³", "corrected", "", mended, 0.0, left, 0.1, 3.0)
    )
    return rows


def curves(system: str, settings: Settings) -> list[Curve]:
    """Root mean square of each term's supremum against ε."""
    drawn = _drawn(system, settings)
    keys = dict.fromkeys(k.split("/")[0] for k in drawn.values)
    values = {k: [drawn.estimate(np.sqrt(drawn[f"{k}/{i}"])) for i in range(len(LADDER))] for k in keys}
    return [
        Curve(CLAIM, system, key, list(LADDER), [v.mean for v in found], [v.stderr for v in found])
        for key, found in values.items()
        if key != "mismatch"
    ]


@pooled
def _drawn(system: str, settings: Settings, round: int) -> Sample:
    problem = PROBLEMS[system]()
    grid = TimeGrid(0.0, problem.horizon, STEPS)

    def evaluate(noise: Increments) -> dict[str, Tensor]:
        return {
            f"{name}/{i}": value
            for i, eps in enumerate(LADDER)
            for name, value in remainder_terms(problem.family, problem.x0, grid, noise, eps).items()
        }

    channels = check_system(problem.family.base, problem.x0, grid, "euler").channels
    sampler = settings.draw(max(PATHS, settings.paths(PATHS)), round)
    return sample(evaluate, sampler, channels, grid, problem.x0)


def _rate(drawn: Sample, key: str) -> tuple[np.ndarray, float]:
    """The rate at which the root mean square falls, replicate by replicate, and what the last halving changed."""
    logs = [0.5 * np.log2(drawn[f"{key}/{i}"]) for i in range(len(LADDER))]
    rates = [before - after for before, after in itertools.pairwise(logs)]
    return rates[-1], float(abs((rates[-1] - rates[-2]).mean()))


def _rate_row(drawn: Sample, system: str, quantity: str, form: str, reading: str, key: str) -> Comparison:
    rates, left = _rate(drawn, key)
    return Comparison(
        CLAIM, system, quantity, form, reading, drawn.estimate(rates), 3.0, left, 0.2, 3.0,  # type: ignore[arg-type]
        config={"ε": LADDER, "paths": drawn.paths, "steps": STEPS},
    )  # fmt: skip


if __name__ == "__main__":
    import sys

    from theory_checks.run import main

    raise SystemExit(main([CLAIM, *sys.argv[1:]]))
