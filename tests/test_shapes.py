"""The shapes in annotations: they are read, named as the documentation names them, and true."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHAPE = re.compile(r"""\[(?:Tensor|np\.ndarray), ["']([^"']*)["']\]""")
SHAPED = re.compile(r"\b[A-Z]\w*\[(?:Tensor|np\.ndarray), '[^']*'\]")
FILES = sorted((ROOT / "sdewm").rglob("*.py"))
# Public functions of tensors whose shape is not said, by the start of their name, and why.
WITHOUT = {
    "sdewm.jets.": "rules take tensors of any shape, as the functions of torch that they are for",
    "sdewm.kernels.": "a compiled step takes what the plain one takes",
    "sdewm.divergence.enclosure": "rules take tensors of any shape, as those of jets",
    "sdewm.exact.checks.": "arrays of the shape that it is given",
    "sdewm.adapters.dreamerv3_torch.from_dreamerv3_torch": "functions of the user, whose shapes are theirs",
    "sdewm.adapters.torchrl.from_torchrl": "modules of TorchRL, whose shapes are theirs",
    "sdewm.sensitivity.systems.Prolongation.split": "parts of several shapes, which each system names",
    "sdewm.worldmodel.checkpoint.": "tensors of any shape, by name",
    "sdewm.worldmodel.learner.Learner.tensors": "tensors of any shape, by name",
    "sdewm.worldmodel.learner.Learner.restore": "tensors of any shape, by name",
}
FAST = (
    "systems/test_latent.py",
    "noise/test_levy.py",
    "noise/test_drawn.py",
    "solvers/test_methods.py",
    "sensitivity/test_initial_value.py::test_is_the_product_of_the_steps",
    "sensitivity/test_systems.py::test_coefficients_agree_with_their_products",
    "sensitivity/test_systems.py::test_all_derivatives_and_those_along_directions",
    "expansion/test_expected_loss.py::test_a_summed_loss_is_the_sum_of_its_terms",
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
        ("noise/area_plan.py", "-> Float[Tensor, ", "-> Bool[Tensor, ", "noise/test_area_plan.py"),
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


def public(body: list[ast.stmt], name: str) -> Iterator[tuple[str, ast.FunctionDef]]:
    """Functions and methods without a leading underscore in their name or class; with ``__init__`` and such."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public(node.body, f"{name}.{node.name}")
        elif isinstance(node, ast.FunctionDef) and (not node.name.startswith("_") or node.name.endswith("__")):
            yield f"{name}.{node.name}", node


def without_shape(file: Path, root: Path) -> Iterator[str]:
    """Public functions of a file that take or return a tensor or an array, and do not say its shape."""
    module = ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
    for name, function in public(ast.parse(file.read_text(encoding="utf-8")).body, module):
        given = [node.annotation for node in ast.walk(function.args) if isinstance(node, ast.arg)]
        hints = [SHAPED.sub("", ast.unparse(hint)) for hint in (*given, function.returns) if hint is not None]
        if any(re.search(r"\b(Tensor|ndarray|NDArray|Array)\b", hint) for hint in hints):
            yield name


def test_public_functions_say_the_shapes_of_their_tensors():
    found = {name for file in FILES for name in without_shape(file, ROOT)}
    assert sorted(name for name in found if not name.startswith(tuple(WITHOUT))) == []
    assert [start for start in WITHOUT if not any(name.startswith(start) for name in found)] == []


def test_a_missing_shape_is_seen(tmp_path):
    (tmp_path / "one.py").write_text(
        'def f(x: Tensor) -> int: ...\ndef _g(x: Tensor): ...\ndef h(x: Float[Tensor, " n"]) -> float: ...\n'
        "class A:\n    def k(self, *x: int) -> list[np.ndarray] | None: ...\n"
    )
    assert list(without_shape(tmp_path / "one.py", tmp_path)) == ["one.f", "one.A.k"]


def test_axes_are_named_as_the_documentation_names_them():
    shapes = {shape for file in FILES for shape in SHAPE.findall(file.read_text(encoding="utf-8"))}
    axes = {re.sub(r"^\*|\+1$", "", axis) for shape in shapes for axis in shape.split()} - {"...", "_"}
    text = (ROOT / "docs" / "api" / "index.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"`(\w+)`", "".join(re.findall(r"(?m)^\| (`.*?) \|", text))))
    assert {axis for axis in axes if not axis.isdigit()} == listed
