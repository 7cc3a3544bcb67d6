"""Pages from templates: whatever is filled in is escaped, and all pages look alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup


def rendered(template: str, filters: Mapping[str, Callable[[Any], str]], **values: Any) -> str:
    """The page that a template makes of values; ``style`` in it is the style sheet that pages share.

    >>> rendered("<p>{{ text }}</p>", {}, text="a < b")
    '<p>a &lt; b</p>'
    """
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters |= filters
    style = Markup(files("sdewm.page").joinpath("page.css").read_text(encoding="utf-8"))
    return environment.from_string(template).render(style=style, **values)
