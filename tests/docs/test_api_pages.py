"""Every public name is on an API page and says what it is."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest

import sdewm

PAGES = Path(__file__).parents[2] / "docs" / "api"
PACKAGES = (
    "sdewm",
    *sorted(f"sdewm.{p.parent.name}" for p in Path(sdewm.__file__).parent.glob("*/__init__.py")),
    "sdewm.testing",
)
PUBLIC = sorted(
    f"{package}.{name}" for package in PACKAGES for name in getattr(importlib.import_module(package), "__all__", [])
)
DOCUMENTED = re.compile(r"^\.\. (?:py:data|auto\w+):: ([\w.]+)", re.MULTILINE)


def found(dotted: str) -> object:
    package, _, name = dotted.rpartition(".")
    return getattr(importlib.import_module(package), name)


ON_PAGES = [name for page in PAGES.glob("*.md") for name in DOCUMENTED.findall(page.read_text(encoding="utf-8"))]


def test_no_name_is_on_two_pages_and_each_exists():
    assert len(ON_PAGES) == len(set(ON_PAGES))
    for dotted in ON_PAGES:
        found(dotted)


@pytest.mark.parametrize("dotted", PUBLIC)
def test_a_public_name_is_on_a_page_under_one_of_its_names(dotted):
    thing = found(dotted)
    assert dotted in ON_PAGES or any(found(other) is thing for other in ON_PAGES)


# Others are data and types, such as Callable[…], which their page describes.
DESCRIBED = [name for name in PUBLIC if inspect.isclass(found(name)) or inspect.isfunction(found(name))]


@pytest.mark.parametrize("dotted", DESCRIBED)
def test_a_public_class_or_function_says_what_it_is(dotted):
    thing = found(dotted)
    text = thing.__doc__ or ""  # an inherited one does not count
    assert len(text.split()) >= 3, dotted
    assert not text.startswith(f"{thing.__name__}("), f"{dotted}: a dataclass's own text, which repeats its fields"


@pytest.mark.parametrize("name", [n for n in sdewm.__all__ if inspect.isfunction(getattr(sdewm, n))])
def test_every_argument_of_a_top_level_function_is_described(name):
    """By its name, in the docstring or in that of the function which it says to be like."""
    function = getattr(sdewm, name)
    text = function.__doc__
    for like in re.findall(r":func:`~?(?:sdewm\.)?(\w+)`", text):
        text += getattr(sdewm, like, function).__doc__ or ""
    missing = [p for p in inspect.signature(function).parameters if not re.search(rf"\b{p}\b", text)]
    assert not missing, missing


def test_the_design_page_has_a_place_for_every_folder():
    page = (PAGES.parent / "design.md").read_text(encoding="utf-8")
    folders = [p.parent.name for p in Path(sdewm.__file__).parent.glob("*/__init__.py")]
    assert [name for name in folders if f"`sdewm/{name}/`" not in page] == []
