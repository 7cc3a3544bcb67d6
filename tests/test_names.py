"""One name, one meaning: no public class, alias or function of the library is defined in two of its files."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import sdewm

HOME = Path(sdewm.__file__).parent
# Rules for jets are named after the functions of torch that they are for.
RULES = {"elementwise", "structure", "linear", "linear_algebra", "special", "norms", "comparisons", "attention"}
# What every file of a folder has, for the code that goes through the folder; and the same thing of two objects.
SHARED = {
    "check": "every claim's rows",
    "draw": "every figure",
    "register": "enters a scheme, an environment or a rule in its table",
    "by_differences": "a route of a claim: central differences",
    "initial_state": "x0 of a model",
    "load": "reads a record",
}


def defined(file: Path) -> Iterator[str]:
    """Public names of a file: classes, functions, and aliases of types, but not constants."""
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names = [node.name]
        elif isinstance(node, ast.Assign):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        else:
            continue
        yield from (name for name in names if not name.startswith("_") and not (len(name) > 1 and name.isupper()))


def twice(home: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for file in sorted(home.rglob("*.py")):
        if not (file.parent.name == "jets" and file.stem in RULES):
            for name in sorted(set(defined(file))):
                found.setdefault(name, []).append(str(file.relative_to(home)))
    return {name: files for name, files in found.items() if len(files) > 1}


def test_no_name_has_two_meanings():
    assert {name: files for name, files in twice(HOME).items() if name not in SHARED} == {}


def test_what_is_shared_is_there():
    assert set(SHARED) <= set(twice(HOME))


def test_a_second_meaning_is_seen(tmp_path):
    (tmp_path / "one.py").write_text("class Kind: ...\n")
    (tmp_path / "two.py").write_text("Kind = int\nSIZE = 3\n")
    (tmp_path / "three.py").write_text("SIZE = 4\n")
    assert twice(tmp_path) == {"Kind": ["one.py", "two.py"]}
