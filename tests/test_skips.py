"""A skip for a reason that nobody has justified fails in CI."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from skips import JUSTIFIED, unjustified

HERE = Path(__file__).parent

MODULE = 'import pytest\npytest.skip("too slow", allow_module_level=True)\n'
TESTS = """
import pytest

def test_a():
    pytest.skip("too slow")

@pytest.mark.skipif(True, reason="too slow")
def test_b():
    pass

def test_c():
    pytest.skip("no Chromium here")
"""


@pytest.mark.parametrize("ci", ["true", ""])
def test_ci_fails_on_a_reason_that_is_not_listed(tmp_path, ci):
    (tmp_path / "test_tests.py").write_text(TESTS)
    (tmp_path / "test_module.py").write_text(MODULE)
    for name in ("conftest.py", "skips.py"):
        (tmp_path / name).write_text((HERE / name).read_text())
    options = ["-q", "-rs", "-p", "no:cacheprovider", "--continue-on-collection-errors", "--rootdir", str(tmp_path)]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "CI": ci, "PYTHONPATH": str(tmp_path)},
    )
    last = run.stdout.splitlines()[-1]
    if ci:
        assert run.returncode == 1 and re.match("1 failed, 1 skipped, 2 errors in", last), run.stdout
        assert "skipped in CI, for a reason that tests/skips.py does not list: Skipped: too slow" in run.stdout
    else:
        assert run.returncode == 0 and re.match("4 skipped in", last), run.stdout


def test_every_listed_reason_is_given_somewhere():
    given = "".join(file.read_text() for file in (*HERE.rglob("*.py"), *(HERE.parent / "sdewm").rglob("*.py")))
    for beginning in JUSTIFIED:
        package = re.fullmatch("could not import '(.*)'", beginning)
        wanted = f'importorskip("{package[1]}")' if package else beginning
        assert given.count(wanted) > (0 if package else 1), f"nothing is skipped any more for: {beginning}"


def test_what_is_listed_is_told_from_other_reasons():
    assert not unjustified("Skipped: could not import 'dm_control': No module named 'dm_control'")
    assert unjustified("Skipped: could not import 'numpy'")
