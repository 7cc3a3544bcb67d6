"""Data goes one way: each folder of the library imports from those before it alone, and no file another's own names.

The tests are apart: none takes anything from another one, and what they share is imported by one name.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import sdewm

HOME = Path(sdewm.__file__).parent
LAYERS = (
    {"arguments", "files", "streams", "drawing", "jets", "kernels"},
    {"noise"},
    {"estimate", "systems"},
    {"solvers"},
    {"sensitivity"},
    {"exact", "expansion", "divergence", "approximation"},
    {"paper"},
    {"verification", "page"},  # a report can be written as a page
    {"worldmodel", "figures", "testing", "doctor"},
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


TESTS = Path(__file__).parent


@pytest.mark.parametrize("file", sorted(TESTS.rglob("test_*.py")), ids=lambda file: str(file.relative_to(TESTS)))
def test_a_test_imports_from_no_other(file):
    tests = {other.stem for other in TESTS.rglob("test_*.py")}
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in names:
            assert name.partition(".")[0] not in tests | {"tests"}, name


def test_folders_of_tests_are_those_of_the_code():
    """A test file's folder is one of the library's, or that of the checks, the benchmarks or the documentation."""
    folders = {file.parent.relative_to(TESTS).as_posix() for file in TESTS.rglob("test_*.py")} - {"."}
    assert folders <= set(RANK) | {"theory_checks", "benchmarks", "docs"}


def test_no_two_test_files_share_a_name():
    """pytest would take one for the other."""
    names = [file.name for file in TESTS.rglob("test_*.py")]
    assert len(names) == len(set(names))


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
