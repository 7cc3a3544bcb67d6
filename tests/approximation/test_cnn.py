"""F_CNN against its dense matrices, fits, W1 with its bias, and mutations that the check of Theorem 3.6 catches."""

from __future__ import annotations

import doctest
import importlib

import numpy as np
import pytest
import torch
from support import judge_all, refuses
from torch import nn

from sdewm.approximation import distances
from sdewm.approximation.cnn import CNN, Convolution, Downsampling
from sdewm.approximation.densities import IntervalMeasure
from sdewm.approximation.distances import sliced_w1, w1_between, w1_to_measure
from sdewm.approximation.fit import Ridge, interpolation, random_features, trained
from sdewm.estimate.transport import w1_samples
from sdewm.verification.settings import Settings
from theory_checks import theorem_3_6


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def dense(net: CNN, x: np.ndarray) -> np.ndarray:
    """What the network's matrices make of x, without torch's convolution."""
    for o in net.operators:
        x = x @ o.matrix().T
        if isinstance(o, Convolution):
            x = np.maximum(x + o.bias.detach().numpy(), 0)
    if net.readout is not None:
        x = x @ net.readout.weight.detach().numpy().T + net.readout.bias.detach().numpy()
    return x


# -- the class -----------------------------------------------------------------------------------------------------


def test_a_toeplitz_matrix_by_hand():
    assert Convolution(3, [1.0, 2.0]).matrix().tolist() == [[1, 0, 0], [2, 1, 0], [0, 2, 1], [0, 0, 2]]
    assert Downsampling(5, 2).matrix().tolist() == [[0, 1, 0, 0, 0], [0, 0, 0, 1, 0]]


@pytest.mark.parametrize("values", [None, 3], ids=["printed", "with a readout"])
def test_a_deep_network_is_its_matrices(values):
    g = rng()
    first = Convolution(10, g.normal(size=4), g.normal(size=13))
    second = Convolution(first.outputs, g.normal(size=3), g.normal(size=15))
    third = Downsampling(second.outputs, 4)
    net = CNN([first, second, third], None if values is None else nn.Linear(3, values, dtype=torch.float64))
    x = g.normal(size=(20, 10))
    found = net(torch.as_tensor(x)).detach().numpy()
    assert found == pytest.approx(dense(net, x), abs=1e-13)
    assert net.size[:2] == (3, 4)
    assert found.min() >= 0 if values is None else found.min() < 0


def test_a_ridge_network_is_in_the_class():
    g = rng(1)
    ridge = Ridge(g.normal(size=(5, 12)), g.normal(size=5), g.normal(size=(2, 5)), g.normal(size=2))
    x = g.normal(size=(30, 12))
    net = ridge.cnn()
    assert net(torch.as_tensor(x)).detach().numpy() == pytest.approx(ridge(x), abs=1e-13)
    assert dense(net, x) == pytest.approx(ridge(x), abs=1e-13)


def test_sizes_that_do_not_fit_are_named():
    with refuses(ValueError, "operators[1]", "size 5", "4"):
        CNN([Convolution(4, [1.0, 1.0]), Downsampling(4, 2)])
    with refuses(ValueError, "bias", "5"):
        Convolution(4, [1.0, 1.0], [0.0])
    with refuses(ValueError, "factor"):
        Downsampling(4, 5)
    with refuses(ValueError, "filter"):
        Convolution(4, [])


# -- fits ----------------------------------------------------------------------------------------------------------


def test_interpolation_meets_its_bound_and_its_knots():
    direction, knots = np.array([0.6, 0.8]), np.linspace(-1, 1, 9)
    net = interpolation(direction, knots, lambda t: np.stack([np.exp(t), t**2], -1))
    x = rng().uniform(-0.7, 0.7, (300, 2))
    t = x @ direction
    apart = np.abs(net(x) - np.stack([np.exp(t), t**2], -1)).max(0)
    assert np.all(apart <= np.array([np.e, 2.0]) * 0.25**2 / 8)
    assert apart[1] == pytest.approx(2.0 * 0.25**2 / 8, rel=0.01)


def test_training_is_no_worse_than_its_start_and_features_than_a_constant():
    g = rng(2)
    x = g.uniform(-1, 1, (200, 3))
    y = np.sin(2 * x[:, :1])
    start = random_features(x, y, 10, g)
    end = trained(start, x, y, 60)

    def error(net: Ridge) -> float:
        return float(np.mean((net(x) - y) ** 2))

    assert error(end) < 0.5 * error(start) < 0.5 * float(y.var())


# -- W1 ------------------------------------------------------------------------------------------------------------


def test_w1_to_a_measure_against_quadrature():
    measure = IntervalMeasure((1.0, 0.5, 0.2), 0.5, 1.5)
    atoms = rng().normal(size=40) * 0.8
    x = np.linspace(-4, 4, 400_001)
    steps = np.searchsorted(np.sort(atoms), x, side="right") / len(atoms)
    truth = np.where(x < -1, 0.0, np.where(x > 1, 1.0, measure.cdf(np.clip(x, -1, 1))))
    assert w1_to_measure(atoms, measure) == pytest.approx(np.trapezoid(np.abs(steps - truth), x), abs=1e-5)


def test_sliced_is_below_and_both_are_zero_for_the_same_cloud():
    x, y = rng().normal(size=(60, 3)), rng(1).normal(1.0, 1.0, (60, 3))
    assert 0 < sliced_w1(x, y, 50, rng()) < w1_samples(x, y)
    assert sliced_w1(x, x[::-1], 50, rng()) == pytest.approx(0.0, abs=1e-14)
    with refuses(ValueError, "y", "(60, 3)"):
        sliced_w1(x, y[1:], 5, rng())


@pytest.mark.parametrize("shift", [0.0, 0.1, 1.0])
def test_w1_lies_between_its_bounds(shift):
    def draw(n, g):
        return g.uniform(-1, 1, (n, 2))

    found = w1_between(draw, lambda n, g: draw(n, g) + np.array([shift, 0.0]), 100, 8, rng(3))
    assert found.lower.mean - found.lower.half_width(0.999) <= shift
    assert shift <= found.upper.mean + found.upper.half_width(0.999)
    assert found.upper.mean - found.lower.mean == pytest.approx(found.bias.mean)


def test_the_bias_falls_with_the_sample():
    def draw(n, g):
        return g.uniform(-1, 1, (n, 2))

    small, large = (w1_between(draw, draw, n, 6, rng(4)).bias.mean for n in (50, 400))
    assert large < 0.6 * small


@pytest.mark.parametrize("name", ["cnn", "distances", "fit"])
def test_examples(name):
    assert doctest.testmod(importlib.import_module(f"sdewm.approximation.{name}")).failed == 0


# -- the check, and mutations that it catches ----------------------------------------------------------------------


def found(*systems: str) -> list:
    theorem_3_6.encoder_errors.cache_clear()
    theorem_3_6.decoder_errors.cache_clear()
    return judge_all([c for s in systems or theorem_3_6.CLAIM.systems for c in theorem_3_6.CLAIM.rows(s, Settings())])


def refuted(*systems: str) -> set[str]:
    return {v.quantity for v in found(*systems) if v.form == "corrected" and v.status == "refuted"}


def test_every_corrected_statement_is_verified():
    verdicts = found()
    assert {v.status for v in verdicts if v.form == "corrected"} == {"verified"}
    assert {v.status for v in verdicts if v.form == "printed"} == {"refuted", "vacuous"}


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_a_biased_w1_is_caught(monkeypatch, factor):
    monkeypatch.setattr(theorem_3_6, "w1_samples", lambda x, y: factor * w1_samples(x, y))
    assert "W1 of a sample and its translate" in refuted(theorem_3_6.CAP)


def test_a_bias_that_is_not_there_is_caught(monkeypatch):
    """A W1 between samples that is too small: a translate is further away than its upper bound."""
    monkeypatch.setattr(distances, "w1_samples", lambda x, y: 0.2 * w1_samples(x, y))
    assert "W1 of a measure and its translate, less its upper bound" in refuted(theorem_3_6.CAP)


def test_knots_that_miss_the_map_are_caught(monkeypatch):
    true = theorem_3_6.interpolation
    monkeypatch.setattr(theorem_3_6, "interpolation", lambda d, k, f: true(d, k, lambda t: f(t) + 0.01))
    caught = refuted(theorem_3_6.ENCODER)
    assert {"rate of ∫‖g − g*‖ in the number of units", "log of ∫‖g − g*‖ over max‖G″‖ h²/8"} <= caught


def test_a_readout_that_is_not_affine_is_caught(monkeypatch):
    """The printed class's own last layer, put into the corrected one."""
    true = theorem_3_6.Ridge.__call__
    monkeypatch.setattr(theorem_3_6.Ridge, "__call__", lambda self, x: np.maximum(true(self, x), 0))
    assert refuted(theorem_3_6.ENCODER)
