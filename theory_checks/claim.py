"""A claim of the paper as an object: what it covers, how it is checked, on which systems, and what that costs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from sdewm.paper.records import Evidence
from sdewm.paper.statements import STATEMENTS
from sdewm.verdicts.judge import Row
from sdewm.verdicts.record import Curve
from sdewm.verification.settings import Settings
from theory_checks.rows import Rows

PLACES = {statement.id: place for place, statement in enumerate(STATEMENTS)}
# Seconds of a unit that states none.
TYPICAL = 1.0


@dataclass(frozen=True)
class Part:
    """Those of a claim's rows that are about one statement: the rows of this system, quantity or reading."""

    statement: str
    system: str | None = None
    quantity: str | None = None
    reading: str | None = None


def _no_curves(rows: Rows, settings: Settings) -> Iterable[Curve]:
    return ()


@dataclass(frozen=True)
class Claim:
    """How a claim is held against numbers. A file of this folder that ends with ``CLAIM = Claim(…)`` is found.

    Attributes
    ----------
    name : that of its file.
    statements : the statements that it covers, as :data:`sdewm.paper.statements.STATEMENTS` numbers them; a
        :class:`Part` where not all of its rows are about one. The first gives the claim its place among others.
    systems : what it can be checked on, by name.
    check : makes its rows on one system; what sampling leaves undecided it is asked again with more paths.
    curves : makes the curves that figures draw.
    quick : the systems of ``--quick``; all if not given.
    on_request : systems of a run that names them, and of no other.
    seconds : what a system costs at the default precision on two busy cores; a second if not given.
    samples : a name for what it samples. Claims of one name share it, and are checked together.
    terms : makes the terms of the expansion on a system, for the report.

    Raises ``ValueError`` for a statement or a system that there is not.

    >>> CLAIM = Claim("tables", ("Table 2",), ("summary",), check)
    """

    name: str
    statements: tuple[str | Part, ...]
    systems: tuple[str, ...]
    check: Callable[[Rows, Settings], Iterable[Row]]
    curves: Callable[[Rows, Settings], Iterable[Curve]] = _no_curves
    quick: tuple[str, ...] | None = None
    on_request: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    samples: str = ""
    terms: Callable[[str, Settings], list[dict[str, object]]] | None = None

    def __post_init__(self) -> None:
        for name, given in (("quick", self.quick or ()), ("on_request", self.on_request), ("seconds", self.seconds)):
            for system in given:
                if system not in self.systems:
                    raise ValueError(f"{name}: expected systems of {self.name}, got {system!r}")
        if not self.covered or not set(self.covered) <= set(PLACES):
            unknown = sorted(set(self.covered) - set(PLACES))
            raise ValueError(f"statements: expected numbers of the paper's statements in {self.name}, got {unknown}")

    @property
    def covered(self) -> tuple[str, ...]:
        """The numbers of the statements."""
        return tuple(dict.fromkeys(part.statement for part in self._parts))

    @property
    def place(self) -> tuple[int, int, str]:
        """What claims are sorted by: where the first statement stands in the paper, then how many are covered."""
        return PLACES[self.covered[0]], -len(self.covered), self.name

    def evidence(self, statement: str) -> tuple[Evidence, ...]:
        """The records of a report that are about this statement."""
        found = (part for part in self._parts if part.statement == statement)
        return tuple(Evidence(self.name, part.system, part.quantity, part.reading) for part in found)

    def asked(self, systems: Iterable[str] | None, quick: bool) -> list[str]:
        """The systems of a run: of those named, else of a quick run, else all but those on request."""
        if systems:
            return [s for s in self.systems if s in systems]
        if quick and self.quick is not None:
            return list(self.quick)
        return [s for s in self.systems if s not in self.on_request]

    def cost(self, system: str) -> float:
        """About how many seconds a system takes at the default precision."""
        return self.seconds.get(system, TYPICAL)

    def rows(self, system: str, settings: Settings) -> list[Row]:
        """What is to be judged on one system."""
        return list(self.check(Rows(self.name, system), settings))

    def drawn(self, system: str, settings: Settings) -> list[Curve]:
        """The curves on one system."""
        return list(self.curves(Rows(self.name, system), settings))

    @property
    def _parts(self) -> list[Part]:
        return [part if isinstance(part, Part) else Part(part) for part in self.statements]
