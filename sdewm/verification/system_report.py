"""The report of a verification of a user's system."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdewm.verdicts.judge import NEAR_ZERO, LeftOut, Verdict
from sdewm.verdicts.record import Curve, as_record, write_json
from sdewm.verdicts.words import describe, failures
from sdewm.verification.claims import expansion
from sdewm.verification.finished import Finished
from sdewm.verification.identity import fingerprint_of_numbers
from sdewm.verification.settings import Settings
from sdewm.verification.system import System
from sdewm.verification.system_samples import sample_system

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The quantity named in the row of a claim that could not be sampled, as where solutions explode.
ALL_OF_IT = "all of it"


@dataclass(frozen=True)
class Report:
    """The result of :func:`sdewm.verify`. Printed, its first line is the verdict.

    Attributes
    ----------
    rows : a verdict for each comparison, and the comparisons that were left out, claim by claim.
    warnings : facts about the system that decide no row: kinks, assumptions that it does not meet, means that rest on
        few paths, the range of ε in which the expansion holds, a noise type that other libraries read differently.
    seconds : the computing time.
    numbers : a fingerprint of what the system computed at the time, see :attr:`curves`.

    >>> report = verify(system, ["sensitivities"])
    >>> report.ok, len(report.refuted)
    (True, 0)
    """

    system: System
    claims: tuple[str, ...]
    settings: Settings
    rows: tuple[Verdict | LeftOut, ...]
    warnings: tuple[str, ...]
    seconds: float
    series: tuple[str, ...] = field(repr=False)
    terms: tuple[dict[str, Any], ...] = field(repr=False)
    numbers: str = field(repr=False)

    @property
    def verdicts(self) -> list[Verdict]:
        """The rows that were made."""
        return [row for row in self.rows if isinstance(row, Verdict)]

    @property
    def left_out(self) -> list[LeftOut]:
        """The rows that cannot be made on this system, each with its reason."""
        return [row for row in self.rows if isinstance(row, LeftOut)]

    @property
    def refuted(self) -> list[Verdict]:
        """The rows that refute a claim. Assumptions that are not met are not among them."""
        return [v for v in self.verdicts if v.form == "corrected" and v.status == "refuted"]

    @property
    def ok(self) -> bool:
        """Whether at least one row is verified, no row is refuted or open, and every claim could be sampled."""
        verified = any(v.form == "corrected" and v.status == "verified" for v in self.verdicts)
        return verified and not failures(self.verdicts) and not self._broken

    @property
    def _broken(self) -> list[str]:
        """Claims that could not be sampled at all."""
        return [row.claim for row in self.left_out if row.quantity == ALL_OF_IT]

    @cached_property
    def curves(self) -> list[Curve]:
        """The loss against ε, simulated and predicted; remainders; terms by each route. Sampled when first read.

        ``RuntimeError`` if the system's weights or data have changed since the rows were made.
        """
        if not self.series:
            return []
        if fingerprint_of_numbers(self.system) != self.numbers:
            raise RuntimeError(
                "curves: expected the system as it was verified, but its coefficients or losses have other values now; "
                "they are sampled when first asked for: ask before weights or data change, or verify again"
            )
        return expansion.curves(sample_system(self.system, self.settings))

    @property
    def verdict(self) -> str:
        """The verdict in one sentence."""
        decided = [v for v in self.verdicts if v.form == "corrected"]
        open_rows = [v for v in failures(self.verdicts) if v.status != "refuted"]
        if self.refuted:
            return f"{self.system.name}: refuted. {len(self.refuted)} of {len(decided)} rows speak against the theory."
        if self.ok:
            near = sum(v.status == NEAR_ZERO for v in decided)
            more = f"; {near} more agree with the truth, and so would 0" * bool(near)
            held = sum(v.status == "verified" for v in decided)
            return f"{self.system.name}: verified. {held} rows hold to {self.settings.precision:g}{more}."
        broken = f"; {', '.join(self._broken)} could not be sampled" if self._broken else ""
        return (
            f"{self.system.name}: undecided. Nothing is refuted, and {len(open_rows)} of {len(decided)} rows are open"
            f"{broken}."
        )

    def to_json(self, file: str | os.PathLike[str]) -> None:
        """Write all of it, in the form that ``python -m theory_checks --json`` writes, with "warnings" in "run"."""
        write_json(Path(file), self.as_record())

    def to_html(self, file: str | os.PathLike[str]) -> None:
        """Write all of it as one web page that needs no network, see :func:`sdewm.page.write_page`."""
        from sdewm.page import write_page  # takes matplotlib

        write_page(self.as_record(), file)

    def plot(self, axes: Axes | None = None) -> Axes:
        """Draw the distance of each row from its claim, in units of its margin.

        ``axes`` are matplotlib's; new ones by default, with a height for all rows. Returns the axes. Bars are 99.9 %
        intervals, numerical error included. If a row is many margins away, the scale is logarithmic beyond one margin.

        >>> report.plot().figure.savefig("rows.svg")
        """
        from sdewm.verification.rows_plot import draw_rows  # takes matplotlib

        return draw_rows(self.verdicts, axes, self.verdict.partition(". ")[0])

    def as_record(self) -> dict[str, Any]:
        """The report as a dictionary for JSON."""
        run = {
            "claims": list(self.claims),
            "systems": [self.system.name],
            "finished": [[claim, self.system.name] for claim in self.claims],
            "seed": self.settings.seed,
            "precision": self.settings.precision,
            "sampler": self.settings.sampler,
            "workers": 1,
            "seconds": self.seconds,
            "verdict": self.verdict,
            "warnings": list(self.warnings),
        }
        dtype = str(self.system.x0.dtype).removeprefix("torch.")
        return as_record(self.verdicts, self.left_out, self.terms, self.curves, run, dtype)

    def __str__(self) -> str:
        s = self.settings
        paths = max((v.paths for v in self.verdicts), default=0)
        lines = [
            self.verdict,
            f"  up to {paths} paths, seed {s.seed}, {s.sampler}, precision {s.precision:g}, {self.seconds:.1f} s",
            "",
            *map(self._counts, dict.fromkeys(row.claim for row in self.rows)),
        ]
        if self.series:
            lines += ["", *self.series]
        lines += [f"warning: {text}" for text in self.warnings]
        lines += [f"{v.status}: {describe(v)}" for v in failures(self.verdicts)]
        near = [v for v in self.verdicts if v.status == NEAR_ZERO and v not in failures(self.verdicts)]
        lines += [f"{NEAR_ZERO}: {describe(v)}" for v in near]
        lines += [f"left out: {r.claim}, {r.quantity}: {r.reason}" for r in self.left_out]
        return "\n".join(lines)

    def _counts(self, claim: str) -> str:
        found = Counter(v.status for v in self.verdicts if v.claim == claim)
        left_out = sum(r.claim == claim for r in self.left_out)
        words = {"refuted": "not met"} if claim == "assumptions" else {}
        parts = [f"{n} {words.get(status, status)}" for status, n in found.items()]
        return f"  {claim:<34} {', '.join([*parts, *[f'{left_out} left out'] * bool(left_out)])}"


def report(
    system: System,
    claims: Sequence[str],
    settings: Settings,
    finished: Iterable[tuple[str, Finished]],
    notes: Sequence[str],
) -> Report:
    """The results for all claims as one report; ``notes`` are those on the system itself."""
    numbers = fingerprint_of_numbers(system)
    found = dict(finished)
    # The notes on assumptions come first: these are the conditions of the theory.
    in_order = sorted(found, key=lambda claim: claim != "assumptions")
    return Report(
        system=system,
        claims=tuple(claims),
        settings=settings,
        rows=tuple(row for f in found.values() for row in f.rows),
        warnings=tuple(dict.fromkeys([*notes, *(note for claim in in_order for note in found[claim].notes)])),
        seconds=sum(f.seconds for f in found.values()),
        series=tuple(line for f in found.values() for line in f.series),
        terms=tuple(term for f in found.values() for term in f.terms),
        numbers=numbers,
    )
