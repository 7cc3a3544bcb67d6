"""``sdewm doctor`` says what there is, and sees what is broken."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import torch

import sdewm
from sdewm import cli
from sdewm.doctor import installation, self_test


@pytest.fixture(autouse=True)
def without_a_renderer(monkeypatch):
    """Drawing a frame takes seconds, and other software."""
    monkeypatch.setattr(installation, "renderer", lambda: "not looked for")


def test_a_working_installation_is_well(capsys):
    cli.main(["doctor"])
    said = capsys.readouterr().out
    assert said.endswith("all is well\n")
    assert torch.__version__ in said and sdewm.__version__ in said


def test_a_wrong_closed_form_is_seen(monkeypatch, capsys):
    monkeypatch.setattr(self_test, "MU", 0.1001)
    exact = self_test.gbm_coefficients
    monkeypatch.setattr(self_test, "gbm_coefficients", lambda **given: exact(**{**given, "mu": 0.2}))
    with pytest.raises(SystemExit) as end:
        cli.main(["doctor"])
    assert end.value.code == 1
    assert "FAILED" in capsys.readouterr().out


def test_a_check_that_raises_has_failed(monkeypatch):
    def broken():
        raise RuntimeError("no such library")

    monkeypatch.setattr(self_test, "CHECKS", {"broken": broken})
    [finding] = self_test.self_test()
    assert not finding.ok and "RuntimeError: no such library" in finding.value


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(installation, "REQUIRED", ("no-such-package",))
    [finding] = [f for f in installation.installation() if not f.ok]
    assert finding.name == "no-such-package" and finding.value == "missing"


def test_the_version_is_in_one_place(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"sdewm {sdewm.__version__}\n"
    root = Path(sdewm.__file__).parents[1]
    assert f'\nversion = "{sdewm.__version__}"' not in (root / "pyproject.toml").read_text(encoding="utf-8")
    assert f"version: {sdewm.__version__}\n" in (root / "CITATION.cff").read_text(encoding="utf-8")


def test_a_renderer_that_dies_is_no_error_of_ours(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(installation, "version", lambda package: "1.0")
    died = subprocess.CompletedProcess([], -11, "", "first\nno EGL display\n")
    monkeypatch.setattr(subprocess, "run", lambda *args, **kwargs: died)
    assert "no EGL display" in installation.renderer()
