"""One self-contained HTML file from a report."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from markupsafe import Markup

from sdewm.files import write_text
from sdewm.page.content import content, off_by
from sdewm.page.plots import pictures
from sdewm.page.template import rendered
from sdewm.verdicts.judge import Verdict


def write_page(record: Mapping[str, Any] | str | os.PathLike[str], file: str | os.PathLike[str]) -> None:
    """Write a report as one HTML file that needs nothing else: no network, no other file.

    ``record`` is what ``python -m theory_checks --json`` or ``Report.to_json`` wrote, or the path of such a file. The
    page has the verdict first, then every claim with its rows, figures, and the command that repeats it; it can be
    filtered by claim, system and status. The file is replaced in one step.

    Raises ``ValueError`` where it is no report, and ``OSError`` where it cannot be read or written.

    >>> write_page("report.json", "report.html")
    """
    if not isinstance(record, Mapping):
        try:
            record = json.loads(Path(record).read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"record: expected what theory_checks --json writes, got no JSON: {error}") from error
        if not isinstance(record, Mapping):
            raise ValueError("record: expected what theory_checks --json writes, got JSON of another kind")
    found = content(record)
    drawn = {claim.name: [(text, Markup(svg)) for text, svg in pictures(claim.curves)] for claim in found.claims}
    filters: dict[str, Callable[[Any], str]] = {"number": four_digits, "deviation": deviation, "slug": slug}
    text = files("sdewm.page").joinpath("page.html").read_text(encoding="utf-8")
    write_text(Path(file), rendered(text, filters, page=found, drawn=drawn))


def four_digits(value: float) -> str:
    """To four digits."""
    return f"{value:.4g}"


def deviation(v: Verdict) -> str:
    """How far a row is off: next to the size of the true quantity, and in standard errors where it has any."""
    share = off_by(v)
    size = f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %" if share < 10 else f"{share:.3g} times"
    if v.stderr == 0:
        return size
    return f"{size}, {f'{v.standard_errors:.0f}' if v.standard_errors < 1000 else 'over 1,000'} standard errors"


def slug(text: str) -> str:
    """For an anchor."""
    return "".join(c if c.isalnum() else "-" for c in text.lower())
