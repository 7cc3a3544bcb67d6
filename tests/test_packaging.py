"""The wheel: what it installs, and that what is installed works without the project's folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def run(*arguments: str, at: Path, cwd: Path) -> subprocess.CompletedProcess:
    """Python with the installed wheel before everything else that it could import."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"PYTHONPATH": str(at), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    if not tracked:
        pytest.skip("the project's folder is no git checkout, whose files a wheel is made of")
    for name in tracked:  # built elsewhere, so that no build folder is left behind, and none is picked up
        if name.startswith(("sdewm/", "theory_checks/", "benchmarks/")) or name in ("pyproject.toml", "README.md"):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    built = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, source],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    (found,) = folder.glob("sdewm-*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    target = tmp_path_factory.mktemp("target")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", target, wheel],
        capture_output=True,
        check=True,
    )
    return target


def test_two_names_are_installed(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"sdewm", "theory_checks"}
    assert {"sdewm/py.typed", "theory_checks/py.typed", "sdewm/figures/remainder.py"} <= set(names)
    assert any(name.startswith("sdewm/worldmodel/data/") for name in names)
    assert "sdewm/solvers/schemes/torchsde.py" in names


def test_an_installed_wheel_checks_and_draws(installed, tmp_path):
    asked = run(
        "-c", "import sdewm, theory_checks; print(sdewm.__file__, theory_checks.__file__)", at=installed, cwd=tmp_path
    )
    assert all(Path(name).is_relative_to(installed) for name in asked.stdout.split()), asked
    shown = run("-m", "sdewm", "figures", "--help", at=installed, cwd=tmp_path)
    assert shown.returncode == 0 and "loss_over_error" in shown.stdout, shown.stderr
    report = tmp_path / "results" / "theory_checks.json"
    report.parent.mkdir()
    checked = run(
        "-m",
        "theory_checks",
        "prop_b5",
        "--system",
        "circle",
        "--quick",
        "--json",
        str(report),
        at=installed,
        cwd=tmp_path,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert json.loads(report.read_text(encoding="utf-8"))["records"]
    drawn = run("-m", "sdewm", "figures", "remainder", at=installed, cwd=tmp_path)
    assert drawn.returncode == 0, drawn.stderr
    assert sorted(p.name for p in (tmp_path / "figures").iterdir()) == [
        "remainder.pdf",
        "remainder.png",
        "remainder.svg",
    ]
