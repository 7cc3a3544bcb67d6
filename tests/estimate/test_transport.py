"""W1 and KL: closed forms against quadrature, assignment and each other; the inequalities between them."""

from __future__ import annotations

import doctest
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats
from support import refuses

from sdewm.estimate import transport
from sdewm.estimate.transport import (
    kl_discrete,
    kl_gaussians,
    pushforward_density_on_circle,
    w1_discrete,
    w1_gaussians,
    w1_quantiles,
    w1_samples,
)

GAUSSIANS = [(0.0, 1.0, 2.0, 1.0), (0.0, 1.0, 0.0, 2.5), (1.0, 0.5, -0.7, 1.4)]


@pytest.mark.parametrize("g", GAUSSIANS)
def test_gaussians_against_quadrature(g):
    mean_p, std_p, mean_q, std_q = g
    w1, error = w1_quantiles(stats.norm(mean_p, std_p), stats.norm(mean_q, std_q))
    assert abs(w1 - w1_gaussians(*g)) <= error + 1e-7
    p, q = stats.norm(mean_p, std_p), stats.norm(mean_q, std_q)
    kl, error = integrate.quad(lambda x: q.pdf(x) * (q.logpdf(x) - p.logpdf(x)), -20, 20, points=[mean_p, mean_q])
    assert abs(kl - kl_gaussians(mean_q, std_q, mean_p, std_p)) <= error + 1e-9


def test_w1_of_two_orders_is_the_same_and_kl_is_not():
    assert w1_gaussians(0, 1, 3, 2) == w1_gaussians(3, 2, 0, 1)
    assert kl_gaussians(0, 1, 3, 2) != pytest.approx(kl_gaussians(3, 2, 0, 1))


def test_assignment_on_a_line_is_the_sorted_one():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(200, 1)), rng.normal(1.0, 2.0, size=(200, 1))
    sorted_gap = np.abs(np.sort(x[:, 0]) - np.sort(y[:, 0])).mean()
    assert w1_samples(x, y) == pytest.approx(sorted_gap, rel=1e-12)


def test_a_translation_moves_a_cloud_by_its_length():
    x = np.random.default_rng(1).normal(size=(60, 3))
    shift = np.array([3.0, 0.0, 4.0])
    assert w1_samples(x, x + shift) == pytest.approx(5.0, rel=1e-12)


weights = st.lists(st.floats(0.01, 1.0), min_size=5, max_size=5).map(lambda w: np.array(w) / np.sum(w))


@given(p=weights, q=weights)
@settings(max_examples=60, deadline=None)
def test_pinsker_on_a_bounded_set(p, q):
    """W1² ≤ diam²/2 · KL, diam = 3."""
    points = [0.0, 0.3, 1.0, 2.5, 3.0]
    assert w1_discrete(points, p, q) ** 2 <= 4.5 * kl_discrete(q, p) + 1e-12


@given(mean=st.floats(-5, 5), std=st.floats(0.05, 5))
@settings(max_examples=60, deadline=None)
def test_talagrand_for_a_gaussian_reference(mean, std):
    assert w1_gaussians(mean, std, 0.0, 1.0) ** 2 <= 2 * kl_gaussians(mean, std, 0.0, 1.0) + 1e-12


def test_kl_where_the_reference_has_no_mass():
    assert kl_discrete([0.5, 0.5], [1.0, 0.0]) == math.inf
    assert kl_discrete([1.0, 0.0], [0.5, 0.5]) == pytest.approx(math.log(2))


def test_pushforward_has_the_same_mass_and_integrals():
    at = 2 * np.pi * np.arange(240) / 240

    def density(theta):
        return (1 + 0.4 * np.cos(3 * theta)) / (2 * np.pi)

    pushed = pushforward_density_on_circle(density, 3, at)
    assert 2 * np.pi * pushed.mean() == pytest.approx(1.0, abs=1e-13)
    # cos(φ) at φ = 3θ is cos 3θ, whose mean under P is 0.2.
    assert 2 * np.pi * (np.cos(at) * pushed).mean() == pytest.approx(0.2, abs=1e-13)


def test_bad_input_says_which():
    with refuses(ValueError, "points", "increasing"):
        w1_discrete([1.0, 0.0], [0.5, 0.5], [0.5, 0.5])
    with refuses(ValueError, "q", "sum 1"):
        w1_discrete([0.0, 1.0], [0.5, 0.5], [0.5, 0.6])
    with refuses(ValueError, "y", "(3, 2)"):
        w1_samples(np.zeros((3, 2)), np.zeros((4, 2)))
    with refuses(ValueError, "sheets"):
        pushforward_density_on_circle(np.cos, 0, np.zeros(3))


def test_examples():
    assert doctest.testmod(transport).failed == 0
