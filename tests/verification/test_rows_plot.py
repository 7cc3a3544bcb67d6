"""The plot of a report has a point for each row, at the row's distance in margins."""

from __future__ import annotations

from dataclasses import replace

import matplotlib as mpl
import pytest
import torch
from matplotlib import pyplot as plt

from sdewm import FunctionSDE, PerturbedSDE, System, TimeGrid, verify

mpl.use("Agg")


@pytest.fixture(scope="module")
def report():
    family = PerturbedSDE(
        FunctionSDE(lambda t, x: -x, lambda t, x: 0.3 + 0 * x), FunctionSDE(lambda t, x: torch.sin(x))
    )
    system = System(family, lambda x: (x**2).sum(-1), torch.ones(1, dtype=torch.float64), TimeGrid(0.0, 1.0, 8))
    return verify(system, ["sensitivities", "strong order"])


@pytest.fixture(autouse=True)
def no_figure_is_left_open():
    yield
    plt.close("all")


def points(axes):
    return [(x, y) for c in axes.containers for x, y in zip(*c.lines[0].get_data(), strict=True)]


def test_every_row_has_its_point(report):
    axes = report.plot()
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert len(names) == len(points(axes)) == sum(v.form == "corrected" for v in report.verdicts)
    assert all(abs(x) <= 1 for x, _ in points(axes))
    assert axes.get_title() == report.verdict.partition(". ")[0]


def test_a_row_far_away_is_seen_as_such(report):
    wrong = replace(report.verdicts[0], statistic=50 * report.verdicts[0].margin, status="refuted")
    axes = replace(report, rows=(wrong, *report.rows[1:])).plot()
    assert max(x for x, _ in points(axes)) == pytest.approx(50)
    assert axes.get_xscale() == "symlog" and axes.get_xlim()[1] > 50
    assert "refuted (1)" in [text.get_text() for text in axes.figure.legends[0].get_texts()]


def test_axes_of_a_users_are_drawn_on(report):
    _, axes = plt.subplots()
    assert report.plot(axes) is axes
    with pytest.raises(TypeError, match="axes: expected"):
        report.plot("figure.svg")
