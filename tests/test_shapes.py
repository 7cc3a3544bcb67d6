"""The shapes in annotations: they are read, named as the documentation names them, and true."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHAPE = re.compile(r"""\[(?:Tensor|np\.ndarray), ["']([^"']*)["']\]""")
FILES = sorted((ROOT / "sdewm").rglob("*.py"))
FAST = (
    "systems/test_latent.py",
    "noise/test_levy.py",
    "noise/test_drawn.py",
    "solvers/test_methods.py",
    "sensitivity/test_initial_value.py::test_is_the_product_of_the_steps",
    "sensitivity/test_systems.py::test_coefficients_agree_with_their_products",
    "sensitivity/test_systems.py::test_all_derivatives_and_those_along_directions",
    "expansion/test_power_series.py::test_a_summed_loss_is_the_sum_of_its_terms",
    "approximation/test_cnn.py",
    "divergence/test_rollout_terms.py",
)


def checked_run(*tests: str, package: Path = ROOT) -> subprocess.CompletedProcess:
    """Tests with every shape held against the annotations of a copy of the package."""
    paths = f"{package} {ROOT / 'tests'}"
    return subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "shapes", "-p", "no:cacheprovider", "-W", "ignore", "-x"),
            *("--tb=short", "-c", str(ROOT / "pyproject.toml"), "-o", f"pythonpath={paths}"),
            *(str(ROOT / "tests" / test) for test in tests),
        ],
        cwd=package,
        env=os.environ | {"PYTHONPATH": paths.replace(" ", os.pathsep), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_shapes_are_as_annotated():
    done = checked_run(*FAST)
    assert done.returncode == 0, done.stdout[-4000:]
    assert re.search(r"\d\d+ passed", done.stdout), done.stdout[-400:]


@pytest.mark.parametrize(
    ("file", "right", "wrong", "seen_by"),
    [
        ("systems/latent.py", '-> Float[Tensor, "paths n"]', '-> Float[Tensor, "n paths"]', "systems/test_latent.py"),
        (
            "noise/levy.py",
            'dB: Float[Tensor, "paths channels"]',
            'dB: Float[Tensor, "channels paths"]',
            "noise/test_levy.py",
        ),
        ("noise/levy.py", "-> Float[Tensor, ", "-> Bool[Tensor, ", "noise/test_levy.py"),
    ],
)
def test_a_wrong_shape_is_seen(file, right, wrong, seen_by, tmp_path):
    shutil.copytree(ROOT / "sdewm", tmp_path / "sdewm", ignore=shutil.ignore_patterns("__pycache__"))
    mutated = tmp_path / "sdewm" / file
    text = mutated.read_text(encoding="utf-8")
    assert right in text
    mutated.write_text(text.replace(right, wrong), encoding="utf-8")
    done = checked_run(seen_by, package=tmp_path)
    assert done.returncode == 1, done.stdout[-2000:]
    assert "TypeCheckError" in done.stdout


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_annotations_of_shapes_can_be_read(file):
    """What cannot be evaluated counts as no annotation, without a word."""
    text = file.read_text(encoding="utf-8")
    if not SHAPE.search(text):
        return
    name = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    names = vars(import_module(name))
    for node in ast.walk(ast.parse(text)):
        for hint in (getattr(node, "annotation", None), getattr(node, "returns", None)):
            if hint is not None and SHAPE.search(ast.unparse(hint)):
                eval(ast.unparse(hint), names)


def test_axes_are_named_as_the_documentation_names_them():
    shapes = {shape for file in FILES for shape in SHAPE.findall(file.read_text(encoding="utf-8"))}
    axes = {re.sub(r"^\*|\+1$", "", axis) for shape in shapes for axis in shape.split()} - {"...", "_"}
    text = (ROOT / "docs" / "api" / "index.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"`(\w+)`", "".join(re.findall(r"(?m)^\| (`.*?) \|", text))))
    assert {axis for axis in axes if not axis.isdigit()} == listed
