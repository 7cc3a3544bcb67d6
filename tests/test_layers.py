"""Data goes one way: each folder of the library imports from those before it alone, and no file another's own names.

The tests are apart: none takes anything from another one, and what they share is imported by one name.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import sdewm

HOME = Path(sdewm.__file__).parent
LAYERS = (
    {"version", "arrays", "arguments", "files", "streams", "stops", "options", "drawing", "jets", "kernels"},
    {"noise"},
    {"estimate", "systems"},
    {"solvers"},
    {"sensitivity"},
    {"exact", "expansion", "divergence", "approximation"},
    {"paper", "verdicts"},
    {"page"},
    {"verification"},  # its report can be written as a page
    {"worldmodel", "figures", "testing", "doctor"},
    {"adapters"},
    {"auditing"},
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


def modules(top: Path) -> dict[str, Path]:
    """The files below a folder by the dotted name that they are imported by."""
    return {dotted(file.relative_to(top.parent)): file for file in top.rglob("*.py")}


def dotted(file: Path) -> str:
    return ".".join(file.with_suffix("").parts).removesuffix(".__init__")


def arrows(top: Path) -> dict[str, set[str]]:
    """Which files each file imports: anywhere in it, in functions and for annotations too."""
    files = modules(top)
    graph: dict[str, set[str]] = {}
    for module, file in files.items():
        found = graph.setdefault(module, set())
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                whole = {alias.name: f"{node.module}.{alias.name}" for alias in node.names}
                found |= {whole[name] if whole[name] in files else str(node.module) for name in whole}
        graph[module] = found & set(files) - {module}
    return graph


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """The members of a circle, each of which needs the one before; none where there is no circle."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


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
        assert not name.startswith("_") or name == "__version__", f"{module} {name}"


@pytest.mark.parametrize("name", ["sdewm", "theory_checks", "benchmarks"])
def test_no_files_import_each_other_in_a_circle(name):
    assert circle(arrows(HOME.parent / name)) == []


def test_no_parts_import_each_other_in_a_circle():
    """Nor do two of one layer."""
    graph: dict[str, set[str]] = {}
    for module, found in arrows(HOME).items():
        graph.setdefault(part(module), set()).update({part(other) for other in found} - {part(module)})
    assert circle({name: found for name, found in graph.items() if name}) == []


def test_a_circle_is_seen_wherever_its_imports_stand(tmp_path):
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "one.py").write_text("from package.two import b\n")
    (package / "two.py").write_text("from package import three\n")
    (package / "three.py").write_text("def a():\n    import package.one\n")
    assert set(circle(arrows(package))) == {"package.one", "package.two", "package.three"}
    (package / "three.py").write_text("import math\n")
    assert circle(arrows(package)) == []
