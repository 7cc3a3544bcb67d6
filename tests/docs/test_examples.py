"""Every example runs and draws, and its picture is in the gallery."""

from __future__ import annotations

import ast
from pathlib import Path
from xml.etree import ElementTree

import matplotlib as mpl
import pytest
from matplotlib import pyplot as plt

from docs.examples.run import EXAMPLES, FOLDER, PICTURES, drawn

mpl.use("Agg")


def test_there_are_ten_and_each_has_its_picture():
    assert len(EXAMPLES) >= 10
    assert {path.stem for path in PICTURES.glob("*.svg")} == set(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_says_what_it_shows_and_its_picture_is_one(name):
    title, _, text = ast.get_docstring(ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8"))).partition("\n\n")
    assert title.endswith((".", "?")) and len(text.split()) > 5
    ElementTree.parse(PICTURES / f"{name}.svg")
    assert Path(PICTURES / f"{name}.svg").stat().st_size < 200_000


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_draws(name):
    if name.startswith("torchrl"):
        pytest.importorskip("torchrl")
    figure = drawn(name)
    assert figure.axes and all(axes.has_data() for axes in figure.axes)
    plt.close("all")


def test_a_quick_example_draws():
    figure = drawn("loss_over_error")
    assert figure.axes[0].has_data()
    plt.close("all")
