"""Links between the project's own texts lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXTS = [
    *ROOT.glob("*.md"),
    *ROOT.glob("results/**/*.md"),
    *ROOT.glob("sdewm/**/*.md"),
    *(p for p in ROOT.glob("docs/**/*.md") if "_build" not in p.parts),
]
LINK = re.compile(r"\]\(([^)\s]+)\)")


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: str(text.relative_to(ROOT)))
def test_what_a_text_links_to_is_there(text):
    for link in LINK.findall(text.read_text(encoding="utf-8")):
        if not link.startswith(("http://", "https://", "#")):
            assert (text.parent / link.partition("#")[0]).exists(), link
