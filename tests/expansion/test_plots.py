"""Plots of an expansion and of a Taylor test: what they show is what was found, and they leave no trace."""

from __future__ import annotations

import math

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt

from sdewm import FunctionSDE, PerturbedSDE, TimeGrid, expand, taylor_test

mpl.use("Agg")

FAMILY = PerturbedSDE(
    FunctionSDE(lambda t, x: torch.sin(x), lambda t, x: 0.3 + 0 * x),
    FunctionSDE(lambda t, x: x, lambda t, x: torch.tanh(x)),
)
PROBLEM = (FAMILY, lambda x: (x**2).sum(-1), torch.tensor([0.8], dtype=torch.float64), TimeGrid(0.0, 1.0, 8))


@pytest.fixture(autouse=True)
def no_figure_is_left_open():
    before = dict(mpl.rcParams)
    yield
    plt.close("all")
    assert dict(mpl.rcParams) == before


def test_the_loss_is_drawn_as_it_is_predicted():
    found = expand(*PROBLEM, paths=256, order=3)
    axes = found.plot()
    lines = {line.get_label(): line for line in axes.lines}
    assert {"up to ε", "up to ε²", "up to ε³"} <= set(lines)
    eps, mean = lines["up to ε²"].get_data()
    inside = np.abs(eps) < found.radius
    assert np.allclose(mean[inside], [e.mean for e in found.predict(eps[inside])])
    assert math.isclose(max(eps), 1.25 * found.radius)
    assert any("beyond the radius" in text.get_text() for text in axes.get_legend().get_texts())


def test_lines_are_told_apart_without_colour():
    lines = [line for line in expand(*PROBLEM, paths=256, order=3).plot().lines if line.get_label().startswith("up")]
    assert len({line.get_linestyle() for line in lines}) == len(lines) == 3


def test_axes_of_a_users_are_drawn_on_and_returned():
    _, (left, right) = plt.subplots(1, 2)
    assert expand(*PROBLEM, paths=256).plot(left, largest=0.1) is left
    assert taylor_test(*PROBLEM, paths=256).plot(right, kind="weak") is right
    assert left.get_xlim() == (-0.1, 0.1)
    assert len(plt.get_fignums()) == 1


def test_remainders_have_their_rates_and_those_expected():
    test = taylor_test(*PROBLEM, paths=256, form="printed")
    axes = test.plot()
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels[2] == "after order 2: rate 2.00, expected 3"
    assert axes.get_title().startswith("failed")
    drawn = next(line for line in axes.lines if line.get_label() == labels[2])
    assert np.allclose(drawn.get_ydata(), test.remainders["loss", 2])


def test_rungs_that_rounding_hides_are_hollow():
    family, loss, x0, grid = PROBLEM
    test = taylor_test(family, loss, x0.float(), grid, paths=256)
    rate = test.rates["loss", 2]
    assert rate.rungs < len(test.eps)
    hollow = [line for line in test.plot().lines if line.get_markerfacecolor() == "white"]
    assert len(test.eps) - rate.rungs in {len(line.get_xdata()) for line in hollow}


@pytest.mark.parametrize("wrong", ["axes", 3, object()])
def test_what_is_no_axes_is_named(wrong):
    with pytest.raises(TypeError, match="axes: expected axes of matplotlib"):
        expand(*PROBLEM, paths=256).plot(wrong)


def test_other_arguments_are_named():
    with pytest.raises(ValueError, match="largest: expected"):
        expand(*PROBLEM, paths=256).plot(largest=-1.0)
    with pytest.raises(ValueError, match="kind: expected"):
        taylor_test(*PROBLEM, paths=256).plot(kind="mean")
