"""The ladder of λ as evidence: pairs of runs that share a seed, and the shipped ones measured anew."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from scipy import stats

from sdewm.expansion.forms import Form
from sdewm.verdicts.judge import Row
from sdewm.verdicts.record import Curve
from sdewm.verification.settings import Settings
from sdewm.worldmodel import load_trained
from sdewm.worldmodel.drift_error import drift_error_standard_errors
from sdewm.worldmodel.ladder import SHIPPED_SEEDS, SHIPPED_WEIGHTS, Rung, model_name, over_seeds, paired, read_record
from sdewm.worldmodel.robustness import measure_robustness
from theory_checks.rows import Rows, exact

SYSTEM = "ladder"
WEIGHT = 10.0  # the λ held against 0: the ladder's strongest, which ships
RECORD_SIGNIFICANCE = 1e-6  # false failures of the record's sampled quantities, all together
ROUNDING = 1e-6  # relative, of a measurement that is repeated on another machine


def seeds_row(
    rows: Rows,
    quantity: str,
    form: Form,
    reading: str,
    by_seed: Mapping[int, float],
    scale: float,
    config: Mapping[str, Any],
) -> Row:
    """Σ over seeds / n ≤ 0, with what a single seed would have said."""
    statistic = over_seeds(by_seed.values())
    agreeing = sum(v <= 0 for v in by_seed.values())
    low, high = statistic.interval(0.95)
    said = f"{agreeing} of {len(by_seed)} seeds alone would have said so"
    return rows.at_most(
        quantity,
        form,
        reading,
        statistic,
        scale=scale,
        config={**config, "by seed": dict(by_seed), "95 % interval": [low, high], "one seed": said},
    )


def change_row(
    rows: Rows,
    quantity: str,
    form: Form,
    reading: str,
    name: str,
    *,
    falls: bool = True,
    of: Callable[[float], float] = math.log,
) -> Row:
    """That a measured quantity falls (or rises) from λ = 0 to :data:`WEIGHT`: the change of its logarithm, or of it."""
    record = read_record()
    change = paired(record, name, WEIGHT, of)
    sign = 1 if falls else -1
    plain = over_seeds([r.measured[name] for r in record if r.weight == 0.0])
    mean = over_seeds(change.values()).mean
    effect = {"ratio": math.exp(mean)} if of is math.log else {"difference": mean}
    config = {"measured": name, "λ": WEIGHT, **effect}
    return seeds_row(rows, quantity, form, reading, {s: sign * v for s, v in change.items()}, plain.mean, config)


def record_rows(rows: Rows, settings: Settings) -> list[Row]:
    """The shipped models measured anew, against their record.

    One row for the largest deviation of what depends on torch's own random numbers, in the quantity's own size (the
    root mean square over the record), to rounding. Another for what is sampled with this package's points, which
    change as they are improved: the largest deviation in standard errors of the difference. The default precision
    takes two seeds, one of 1e-2 a single one, a finer one all that ship.
    """
    seeds = SHIPPED_SEEDS[: 1 if settings.precision > 1e-3 else 2 if settings.precision == 1e-3 else None]
    record = read_record()
    kept = {(r.weight, r.seed): r.measured for r in record}
    sizes = {name: _size(record, name) for name in record[0].measured}
    repeated: list[tuple[float, str]] = []
    sampled: list[tuple[float, str]] = []
    for weight in SHIPPED_WEIGHTS:
        for seed in seeds:
            agent, episodes = load_trained(model_name(weight, seed))
            errors = drift_error_standard_errors(agent, episodes, seed=0)
            for name, value in measure_robustness(agent, episodes).items():
                off, where = abs(value - kept[weight, seed][name]), f"{name}, λ = {weight:g}, seed {seed}"
                if name in errors:
                    sampled.append((off / (math.sqrt(2) * errors[name]), where))
                else:
                    repeated.append((off / sizes[name], where))
    models = len(SHIPPED_WEIGHTS) * len(seeds)
    (worst, where), (farthest, there) = max(repeated), max(sampled)
    # The record's own draws had 16 replicates; every deviation has its share of the significance.
    bound = float(stats.t.ppf(1 - RECORD_SIGNIFICANCE / (2 * len(sampled)), 15))
    return [
        rows.equal(
            "the record, measured anew", "corrected", "", exact(worst, models), numerical=ROUNDING,
            margin=settings.precision, config={"models": models, "worst": where},
        ),
        rows.at_most(
            "the record's sampled quantities, drawn anew, in standard errors", "corrected", "",
            exact(farthest, models), bound, scale=bound,
            config={"models": models, "worst": there, "significance": RECORD_SIGNIFICANCE},
        ),
    ]  # fmt: skip


def curve(rows: Rows, label: str, name: str) -> Curve:
    """A measured quantity against λ: mean and standard error over seeds."""
    record = read_record()
    weights = sorted({r.weight for r in record})
    found = [over_seeds([r.measured[name] for r in record if r.weight == w]) for w in weights]
    return rows.curve(label, weights, found, {"measured": name, "seeds": [e.n for e in found]})


def _size(record: list[Rung], name: str) -> float:
    return math.sqrt(sum(r.measured[name] ** 2 for r in record) / len(record))
