"""What a report's page says, from the JSON that a run has written; no layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sdewm.paper.errata import ERRATA, Erratum
from sdewm.paper.statements import STATEMENTS, Statement
from sdewm.verdicts.judge import NEAR_ZERO, LeftOut, Verdict
from sdewm.verdicts.record import Curve
from sdewm.verdicts.words import failures, grouped, overall


@dataclass(frozen=True)
class ClaimSection:
    """One claim's part of the page.

    ``name`` as in the report; ``statements`` and ``errata`` of the paper that it bears on; ``rows`` its verdicts,
    ``left_out`` what could not be judged; ``command`` repeats it.
    """

    name: str
    statements: tuple[Statement, ...]
    errata: tuple[Erratum, ...]
    rows: tuple[Verdict, ...]
    left_out: tuple[LeftOut, ...]
    curves: tuple[Curve, ...]
    command: str

    @property
    def title(self) -> str:
        """The numbers of the statements that it covers; its name where the paper has none."""
        return ", ".join(dict.fromkeys(s.id for s in self.statements)) or self.name

    @property
    def seconds(self) -> float:
        return sum({(v.system, v.config_key): v.seconds for v in map(_Row, self.rows)}.values())

    @property
    def corrected(self) -> tuple[int, int]:
        """How many corrected rows are verified, and how many there are."""
        rows = [v for v in self.rows if v.form == "corrected"]
        return sum(v.status == "verified" for v in rows), len(rows)

    @property
    def printed(self) -> tuple[int, int]:
        """How many printed statements are refuted in every reading, and how many there are."""
        groups = grouped([v for v in self.rows if v.form == "printed"]).values()
        return sum(overall(g, "printed") == "refuted" for g in groups), len(groups)

    @property
    def failures(self) -> list[Verdict]:
        return failures(self.rows)

    @property
    def worst(self) -> Verdict | None:
        """The refuted printed row that is the most standard errors away, the largest next to its truth among equals."""
        refuted = [v for v in self.rows if v.form == "printed" and v.status == "refuted"]
        return max(refuted, key=lambda v: (v.standard_errors, off_by(v)), default=None)


class _Row:
    """What a row was sampled with: rows that share it were paid for once."""

    def __init__(self, verdict: Verdict) -> None:
        self.system, self.seconds, self.config_key = verdict.system, verdict.seconds, round(verdict.seconds, 9)


@dataclass(frozen=True)
class Content:
    """Everything on the page."""

    sentence: str
    good: bool
    facts: tuple[tuple[str, str], ...]
    claims: tuple[ClaimSection, ...]
    warnings: tuple[str, ...]
    command: str

    @property
    def systems(self) -> list[str]:
        return list(dict.fromkeys(v.system for c in self.claims for v in c.rows))

    @property
    def statuses(self) -> list[str]:
        return list(dict.fromkeys(v.status for c in self.claims for v in c.rows))


def content(report: Mapping[str, Any]) -> Content:
    """Of what ``python -m theory_checks --json`` or ``Report.to_json`` wrote; ``ValueError`` for anything else."""
    try:
        run, environment = report["run"], report["environment"]
        rows = [Verdict(**{k: v for k, v in r.items() if k != "standard_errors"}) for r in report["records"]]
        left_out = [LeftOut(**r) for r in report["left out"]]
        curves = [Curve(**c) for c in report["curves"]]
        names = list(dict.fromkeys([*(v.claim for v in rows), *(r.claim for r in left_out)]))
        facts = (
            ("seed", str(run["seed"])),
            ("precision", f"{run['precision']:g}"),
            ("sampler", run["sampler"]),
            ("most paths of a row", f"{max((v.paths for v in rows), default=0):,}"),
            ("time", f"{run['seconds']:.0f} s, {run['workers']} at a time"),
            ("made with", ", ".join(f"{k} {v}" for k, v in environment.items())),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"record: expected what theory_checks --json writes, got one without {error}") from error
    claims = tuple(
        ClaimSection(
            name,
            tuple(s for s in STATEMENTS if s.id in run.get("statements", {}).get(name, ())),
            tuple(e for e in ERRATA if any(found.claim == name for found in e.evidence)),
            tuple(v for v in rows if v.claim == name),
            tuple(r for r in left_out if r.claim == name),
            tuple(c for c in curves if c.claim == name),
            _command(name, run),
        )
        for name in names
    )
    good = not failures(rows)
    return Content(
        run.get("verdict") or _sentence(rows, good),
        good,
        facts,
        claims,
        tuple(run.get("warnings", ())),
        _command("", run),
    )


def off_by(v: Verdict) -> float:
    """A deviation next to the size of the true quantity; next to its margin where that size is 0."""
    size = abs(v.scale) or v.margin
    return abs(v.statistic - v.expected) / size if size else 0.0


def _sentence(rows: Sequence[Verdict], good: bool) -> str:
    corrected = [v for v in rows if v.form == "corrected"]
    verified = sum(v.status == "verified" for v in corrected)
    near = sum(v.status == NEAR_ZERO for v in corrected)
    printed = grouped([v for v in rows if v.form == "printed"]).values()
    refuted = sum(overall(g, "printed") == "refuted" for g in printed)
    held = f"{verified} of {len(corrected)} corrected rows are verified"
    if near:
        held += f", and {near} agree with the truth as 0 would"
    if not good:
        held += f"; {len(failures(rows))} are refuted or open"
    return f"{held}. Of {len(printed)} statements as printed, {refuted} are refuted in every reading."


def _command(claim: str, run: Mapping[str, Any]) -> str:
    if "verdict" in run:  # of sdewm verify, which knows the object's name and not where it is
        asked = f' --claims "{claim}"' if claim else ""
        return f"sdewm verify MODULE:OBJECT{asked} --seed {run['seed']} --precision {run['precision']:g}"
    name = f" {claim}" if claim else ""
    sampler = "" if run["sampler"] == "rqmc" else f" --sampler {run['sampler']}"
    return f"python -m theory_checks{name} --seed {run['seed']} --precision {run['precision']:g}{sampler}"
