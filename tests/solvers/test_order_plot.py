"""The plot of a measured order shows its errors, its interval, and what the method declares."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt

from sdewm import FunctionSDE, convergence

mpl.use("Agg")

GBM = FunctionSDE(lambda t, x: 0.1 * x, lambda t, x: 0.5 * x)
X0 = torch.ones(1, dtype=torch.float64)


@pytest.fixture(autouse=True)
def no_figure_is_left_open():
    yield
    plt.close("all")


def test_errors_are_drawn_beside_the_declared_order():
    found = convergence(GBM, X0, (0.0, 1.0), method="milstein", paths=512)
    _, axes = plt.subplots()
    assert found.plot(axes) is axes
    guide = next(line for line in axes.lines if line.get_label() == "order 1, as declared")
    assert np.allclose(np.diff(np.log(guide.get_ydata())) / np.diff(np.log(found.dt)), 1.0)
    [errors] = [c for c in axes.containers if c.get_label().startswith("milstein, order")]
    assert np.allclose(errors.lines[0].get_ydata(), found.errors)


def test_errors_without_an_order_say_so():
    still = FunctionSDE(lambda t, x: 0 * x, lambda t, x: 1 + 0 * x)  # Euler is exact
    found = convergence(still, X0, (0.0, 1.0), paths=256)
    assert found.regime != "asymptotic"
    labels = [text.get_text() for text in found.plot().get_legend().get_texts()]
    assert any(f"no order: {found.regime}" in label for label in labels)
