"""What one worker does at a time: claims that share what is sampled, on one system, looked at until decided."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from sdewm.verdicts.judge import Row
from sdewm.verification.finished import Finished
from sdewm.verification.looks import decide
from sdewm.verification.settings import Settings
from theory_checks.discovery import claims


@dataclass(frozen=True)
class Unit:
    """What one worker does at a time: claims that share what is sampled, by name, on one system."""

    claims: tuple[str, ...]
    system: str

    @property
    def cost(self) -> float:
        """About how many seconds it takes at the default precision: what is sampled is sampled once."""
        return max(claims()[name].cost(self.system) for name in self.claims)

    def __str__(self) -> str:
        return f"{', '.join(self.claims)} on {self.system}"


def units(names: Sequence[str], systems: Sequence[str] | None, quick: bool) -> list[Unit]:
    """These claims on every system asked for: those named, or those that the claims say."""
    together: dict[str, list[str]] = {}
    for name in names:
        together.setdefault(claims()[name].samples or name, []).append(name)
    return [
        Unit(tuple(group), system) for group in together.values() for system in claims()[group[0]].asked(systems, quick)
    ]


def work(unit: Unit, settings: Settings) -> Finished:
    """A unit's share of the report, from its settings alone."""
    torch.set_num_threads(1)
    started = time.perf_counter()
    held = [claims()[name] for name in unit.claims]
    spent = dict.fromkeys(unit.claims, 0.0)

    def check(look: Settings) -> Iterator[Row]:
        for claim in held:
            began = time.perf_counter()
            rows = claim.rows(unit.system, look)
            spent[claim.name] += time.perf_counter() - began
            yield from rows

    rows = decide(check, settings)
    terms = next((claim.terms(unit.system, settings) for claim in held if claim.terms), [])
    return Finished(
        rows=tuple(rows),
        terms=tuple(terms),
        curves=tuple(curve for claim in held for curve in claim.drawn(unit.system, settings)),
        seconds=time.perf_counter() - started,
        by_claim=spent,
    )
