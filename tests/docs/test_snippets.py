"""Every snippet and every short command of the documentation is run, and prints what the page says it prints.

A fenced block of ``python`` or ``sh`` is run, the blocks of a page one after the other. A comment on the line above may
say otherwise: ``<!-- skip: why -->``, ``<!-- slow: why -->``, ``<!-- raises -->`` and ``<!-- file: NAME -->``, which
also writes the block to a file. A block of ``text`` after one of ``python`` is what that prints: words as they are,
numbers of any value, and … for anything.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import runpy
import shlex
import signal
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sdewm.solvers.registry import METHODS

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted(p for p in (ROOT / "docs").rglob("*.md") if "_build" not in p.parts),
]
MARK = re.compile(r"<!-- (skip|slow|raises|file)(?:: (.*?))? -->$")
NUMBER = re.compile(r"[-+]?\b\d+(\.\d+)?(e[-+]?\d+)?|\binf\b|\bnan\b")


@dataclass(frozen=True)
class Block:
    """A fenced block: where it begins, its language, its text, its mark, and what it is said to print."""

    line: int
    language: str
    text: str
    mark: str
    why: str
    prints: str | None


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page."""
    found: list[Block] = []
    lines = page.splitlines()
    i, last = 0, 0
    while i < len(lines):
        if not re.match(r"```\w+$", lines[i]):
            i += 2 if lines[i].startswith("```{") else 1
            continue
        end = lines.index("```", i + 1)
        language, text = lines[i][3:], "\n".join(lines[i + 1 : end]) + "\n"
        mark = MARK.match(lines[i - 1])
        follows = bool(found) and not "".join(lines[last + 1 : i]).strip()
        if language == "text" and follows and found[-1].language == "python":
            before = found.pop()
            found.append(Block(before.line, before.language, before.text, before.mark, before.why, text))
        else:
            kind, why = (mark[1], mark[2] or "") if mark else ("", "")
            found.append(Block(i + 1, language, text, kind, why, None))
        last, i = end, end + 1
    return found


def pattern(prints: str) -> re.Pattern[str]:
    """What is printed, with numbers of any value, any amount of space, and … for anything."""
    parts = []
    for part in re.split(r"(…)(?=\s|$)", prints.strip()):
        if part == "…":
            parts.append(r"[\s\S]*?")
            continue
        normal = " ".join(NUMBER.sub("0", part).split())
        parts.append(re.escape(normal))
    return re.compile(r"\s*".join(parts) + r"\s*$")


def normal(printed: str) -> str:
    return " ".join(NUMBER.sub("0", printed).split())


def run_python(block: Block, page: Path, namespace: dict[str, object]) -> str:
    """What a block prints, or the error that it raises."""
    code = compile("\n" * block.line + block.text, str(page), "exec")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        if block.mark != "raises":
            exec(code, namespace)
            return printed.getvalue()
        with pytest.raises(Exception) as raised:
            exec(code, namespace)
    return f"{raised.type.__name__}: {raised.value}"


def run_command(line: str) -> int:
    """Run ``sdewm …`` or ``python -m …`` in this process; its exit status."""
    name, *rest = shlex.split(line, comments=True)
    module, arguments = ("sdewm", rest) if name == "sdewm" else (rest[1], rest[2:])
    assert name == "sdewm" or (name, rest[0]) == ("python", "-m"), f"not a command that is known here: {line}"
    before, on_interrupt = sys.argv, signal.getsignal(signal.SIGINT)
    sys.argv = [module, *arguments]
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            runpy.run_module(module, run_name="__main__")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.argv = before
        signal.signal(signal.SIGINT, on_interrupt)
    return 0


@pytest.fixture
def session(tmp_path, monkeypatch) -> Iterator[None]:
    """A folder of its own, from which Python imports."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    methods = dict(METHODS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    sys.modules.pop("my_model", None)
    for name in METHODS.keys() - methods:  # a page shows how to enter one
        del METHODS[name]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_snippets_run_and_print_what_is_said(page, session, capsys):
    namespace: dict[str, object] = {"__name__": "page"}
    for block in blocks(page.read_text(encoding="utf-8")):
        where = f"{page.name}, line {block.line}"
        if block.mark in ("skip", "slow"):
            continue
        if block.language == "python":
            if block.mark == "file":
                Path(block.why).write_text(block.text, encoding="utf-8")
            printed = run_python(block, page, namespace)
            if block.prints is not None:
                assert pattern(block.prints).match(normal(printed)), f"{where} printed\n{printed}"
        elif block.language == "sh":
            for line in block.text.splitlines():
                assert run_command(line) == 0, f"{where}: {line}"


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_slow_commands(page, session):
    """In processes of their own, which may start others."""
    for block in blocks(page.read_text(encoding="utf-8")):
        if block.mark == "slow":
            for line in block.text.splitlines():
                words = shlex.split(line)
                command = ["-m", *words] if words[0] == "sdewm" else words[1:]
                done = subprocess.run([sys.executable, *command], env={**os.environ, "PYTHONPATH": str(ROOT)})
                assert done.returncode == 0, f"{page.name}, line {block.line}: {line}"


def test_what_is_not_run_says_why():
    found = Counter()
    for page in PAGES:
        for block in blocks(page.read_text(encoding="utf-8")):
            assert block.language in ("python", "sh", "text"), f"{page.name}, line {block.line}: {block.language}"
            if block.mark in ("skip", "slow"):
                assert block.why, f"{page.name}, line {block.line}: {block.mark} without a reason"
            if block.language != "text":
                found[block.language, block.mark in ("skip", "slow")] += 1
    assert found["python", False] >= 40
    assert found["python", True] <= 6


def test_a_wrong_output_is_seen():
    """The comparison sees another word, and does not mind another number."""
    assert pattern("order 0.99 [0.9, 1.1] …").match(normal("order 1.01  [0.8, 1.2] at 99 %"))
    assert not pattern("order 0.99 [0.9, 1.1]").match(normal("no order"))
    assert not pattern("ok").match(normal("ok and more"))
    [block] = blocks("a\n<!-- skip: far away -->\n```python\nx\n```\n\n```text\n1\n```\n")
    assert (block.mark, block.why, block.text, block.prints) == ("skip", "far away", "x\n", "1\n")
