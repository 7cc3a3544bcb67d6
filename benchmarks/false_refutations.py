"""How often a true claim is refuted, at the significance that is printed, where what is averaged is skewed.

``python -m benchmarks.false_refutations`` judges claims that are true by construction: replicates of a known mean,
drawn from laws of several skewness (a lognormal law each, a normal one beside them) and from the replicates that the
checks themselves average on geometric Brownian motion, of which the mean of the collection is then the truth. A verdict
is that of :mod:`sdewm.verdicts.judge`; what is counted is "refuted". "≤" claims sit at their bound, where they
are refuted most. «five looks» samples on, from 1 to 16 rounds, as long as nothing is refuted, as an open run does.

Three significances: 1e-2 and 1e-3, whose rates a simulation shows, and 1e-6, which the checks use. Student's t
statistic sorts out what no interval would refute, for intervals are never narrower than Student's; the rest is
judged one by one.
``--json PATH`` records, ``--quick`` takes a hundredth of the verdicts.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy import optimize, stats

from sdewm.arrays import Array
from sdewm.estimate.samples import Sample
from sdewm.verdicts.judge import Comparison, Inequality, Relation, share_of_look
from sdewm.verdicts.record import environment
from sdewm.verification.looks import LOOKS
from sdewm.verification.settings import Settings

Law = Callable[[np.random.Generator, tuple[int, int]], Array]

SKEWNESS = (0.5, 1.0, 2.0, 4.0)
REPLICATES = Settings().draw(2**14, 0).replicates  # of a first look
VERDICTS = {1e-2: 20_000, 1e-3: 100_000, 1e-6: 10_000_000}
SEQUENCES = {1e-2: 10_000, 1e-3: 50_000}
CHUNK = 20_000
# A rate counts as above its significance where its one-sided 99.9 % interval is.
DOUBT = 1e-3


@dataclass(frozen=True)
class Cell:
    """``refuted`` of ``verdicts`` true claims; ``low`` and ``high`` are a 99 % interval for the rate."""

    law: str
    skewness: float
    relation: str
    replicates: int
    looks: int
    significance: float
    verdicts: int
    refuted: int
    rate: float
    low: float
    high: float
    holds: bool


def lognormal(skewness: float) -> Law:
    """Mean 0, variance 1 and this skewness; negative ones are mirrored."""
    if skewness == 0:
        return lambda rng, shape: rng.normal(size=shape)
    w = optimize.brentq(lambda w: (w + 2) * math.sqrt(w - 1) - abs(skewness), 1 + 1e-12, 100.0)
    sigma, sign = math.sqrt(math.log(w)), math.copysign(1.0, skewness)

    def law(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
        values = np.exp(sigma * rng.normal(size=shape))
        return sign * (values - math.sqrt(w)) / math.sqrt(w * (w - 1))

    return law


def of_a_run(rounds: int = 16) -> dict[str, tuple[float, Law]]:
    """The replicates that the checks average on geometric Brownian motion, quick ones and those of the default.

    Each quantity is drawn from its own replicates with replacement, about their mean.
    """
    from sdewm.verification.pilot import round_sizes
    from sdewm.verification.samples import sample_terms
    from sdewm.verification.system_samples import from_terms
    from theory_checks.systems import system

    laws: dict[str, tuple[float, Law]] = {}
    for name, precision in (("quick", 1e-2), ("default", 1e-3)):
        settings = Settings(precision)
        gbm, sizes = system("gbm"), round_sizes(system("gbm"), settings, h=0.0)
        drawn = [
            sample_terms(gbm, settings.draw(sizes.paths, r, widen=sizes.widen, block=sizes.block))
            for r in range(rounds)
        ]
        values = {key: np.concatenate([d[key] for d in drawn]) for key in drawn[0].values}
        found = from_terms(values, "|jets", 0, "corrected")
        for quantity, v in (("ε", found.zero_drift[0]), ("ε²", found.zero_drift[1])):
            laws[f"gbm, {name}, coefficient of {quantity}"] = (float(stats.skew(v)), _resampled(v))
    return laws


def _resampled(values: Array) -> Law:
    centred = values - values.mean()
    return lambda rng, shape: rng.choice(centred, size=shape)


def refuted(values: Array, relation: Relation, significance: float, share: float = 1.0) -> NDArray[np.bool_]:
    """Which of the rows of ``(claims, replicates)``, each with a mean of 0, refute that it is 0, or at most 0."""
    n = values.shape[1]
    t = values.mean(1) / (values.std(1, ddof=1) / math.sqrt(n))
    sides = 2 if relation == "=" else 1
    beyond = (np.abs(t) if relation == "=" else t) > stats.t.isf(share * significance / sides, n - 1) * (1 - 1e-9)
    found = np.zeros(len(values), dtype=bool)
    for i in np.flatnonzero(beyond):
        found[i] = _claim(values[i], relation).judge(significance, share).status == "refuted"
    return found


def _claim(values: Array, relation: Relation) -> Comparison | Inequality:
    statistic = Sample({}, len(values), 0).estimate(values)
    if relation == "=":
        return Comparison("claim", "system", "quantity", "corrected", "", statistic, 0.0, 0.0, 1e-9, 1.0)
    return Inequality("claim", "system", "quantity", "corrected", "", statistic, 0.0, 0.0, 1.0)


def once(law: Law, relation: Relation, significance: float, verdicts: int, seed: int) -> int:
    """How many of so many true claims are refuted at one look."""
    samples = (law(rng, (size, REPLICATES)) for rng, size in _chunks(verdicts, seed))
    return sum(int(refuted(values, relation, significance).sum()) for values in samples)


def in_looks(law: Law, relation: Relation, significance: float, verdicts: int, seed: int) -> int:
    """How many are refuted at one of the looks at samples that double."""
    count = 0
    for rng, size in _chunks(verdicts, seed, CHUNK // 2**LOOKS):
        values = law(rng, (size, REPLICATES * 2 ** (LOOKS - 1)))
        ever = np.zeros(size, dtype=bool)
        for look in range(LOOKS):
            ever |= refuted(values[:, : REPLICATES * 2**look], relation, significance, share_of_look(look))
        count += int(ever.sum())
    return count


def _chunks(total: int, seed: int, chunk: int = CHUNK) -> Iterator[tuple[np.random.Generator, int]]:
    for k, start in enumerate(range(0, total, chunk)):
        yield np.random.default_rng([seed, k]), min(chunk, total - start)


def cell(
    name: str, skewness: float, relation: Relation, looks: int, significance: float, verdicts: int, count: int
) -> Cell:
    """The rate, and whether it can be told from the significance from above."""
    interval = stats.binomtest(count, verdicts).proportion_ci(0.99)
    above = stats.binomtest(count, verdicts, significance, alternative="greater").pvalue
    return Cell(
        name, round(skewness, 3), relation, REPLICATES, looks, significance, verdicts, count, count / verdicts,
        float(interval.low), float(interval.high), bool(above > DOUBT),
    )  # fmt: skip


def measure(divisor: int = 1, seed: int = 0) -> Iterator[Cell]:
    """Every cell of the table."""
    signed = [0.0, *SKEWNESS, *(-s for s in SKEWNESS)]
    laws = {f"lognormal {s:+g}" if s else "normal": (s, lognormal(s)) for s in signed} | of_a_run()
    relations: tuple[Relation, ...] = ("=", "≤")
    for name, (skewness, law) in laws.items():
        for relation in relations:
            if relation == "=" and name.startswith("lognormal -"):
                continue  # a comparison is as often refuted on the mirror image
            for significance, n in VERDICTS.items():
                n //= divisor
                yield cell(name, skewness, relation, 1, significance, n, once(law, relation, significance, n, seed))
            for significance, n in SEQUENCES.items():
                n //= divisor
                count = in_looks(law, relation, significance, n, seed)
                yield cell(name, skewness, relation, LOOKS, significance, n, count)


def show(cells: list[Cell], console: Console) -> None:
    """One row for each law and relation, one column for each significance, with one look and with all."""
    columns = list(dict.fromkeys((c.looks, c.significance) for c in cells))
    table = Table(title="refuted, of claims that are true", title_justify="left", pad_edge=False)
    for title in ("replicates' law", "skewness", "claim"):
        table.add_column(title)
    for looks, significance in columns:
        table.add_column(f"significance {significance:g}" + (f", {looks} looks" if looks > 1 else ""), justify="right")
    for name, relation in dict.fromkeys((c.law, c.relation) for c in cells):
        row = {(c.looks, c.significance): c for c in cells if (c.law, c.relation) == (name, relation)}
        first = next(iter(row.values()))
        rates = [f"{row[key].rate:.2g}" + ("" if row[key].holds else " !") for key in columns]
        table.add_row(name, f"{first.skewness:+.2f}", relation, *rates)
    console.print(table)
    above = [c for c in cells if not c.holds]
    console.print(
        f"{sum(c.verdicts for c in cells):,} verdicts on {first.replicates} replicates each; in {len(above)} of "
        f"{len(cells)} cells the rate is above the significance (marked !).",
        highlight=False,
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.false_refutations", description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a hundredth of the verdicts")
    parser.add_argument("--seed", type=int, default=0, help="one seed determines every number (0)")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the record to PATH")
    args = parser.parse_args()
    began = time.process_time()
    cells = list(measure(100 if args.quick else 1, args.seed))
    show(cells, Console(width=140))
    if args.json is not None:
        record = {
            "seed": args.seed,
            "seconds": time.process_time() - began,
            "environment": environment(),
            "cells": [asdict(c) for c in cells],
        }
        args.json.write_text(json.dumps(record, indent=1, ensure_ascii=False), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
