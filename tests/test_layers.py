"""Data goes one way: each folder of the library imports from those before it alone, and no file another's own names."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import sdewm

HOME = Path(sdewm.__file__).parent
LAYERS = (
    {"arguments", "jets"},
    {"noise"},
    {"estimate", "systems"},
    {"solvers"},
    {"sensitivity"},
    {"exact", "expansion", "divergence", "approximation"},
    {"verification"},
    {"worldmodel", "paper", "figures", "testing"},
    {"cli", "__main__"},
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
FILES = [file for file in sorted(HOME.rglob("*.py")) if file != HOME / "__init__.py"]


def imported(file: Path) -> Iterator[tuple[str, str]]:
    """(module, name) of everything that a file takes from the library."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "sdewm":
            yield from ((str(node.module), alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if alias.name.partition(".")[0] == "sdewm")


def part(dotted: str) -> str:
    return dotted.removeprefix("sdewm").lstrip(".").partition(".")[0]


def test_every_part_has_its_place():
    there = {p.stem for p in HOME.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()} - {"__init__"}
    assert there == set(RANK)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(HOME)))
def test_a_file_imports_from_lower_layers_and_no_private_names(file):
    own = file.relative_to(HOME).parts[0].removesuffix(".py")
    for module, name in imported(file):
        of = part(module) or name
        if not of:
            continue  # the package itself, for its version
        assert RANK[of] <= RANK[own], f"{module} {name}"
        assert not name.startswith("_"), f"{module} {name}"
