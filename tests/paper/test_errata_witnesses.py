"""The errata's witnesses that are small computations: each is the number that its entry gives."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from sdewm import FunctionSDE, PerturbedSDE, TimeGrid, solve
from sdewm.paper.consistency import steps_ahead
from sdewm.paper.errata import ERRATA
from sdewm.paper.tables import TABLES, number
from sdewm.sensitivity import along
from theory_checks.theorem_3_6 import printed_dimension

UNIT = TimeGrid(0.0, 1.0, 400)
ENTRIES = {e.id: e for e in ERRATA}


def response(family: PerturbedSDE, grid: TimeGrid = UNIT) -> float:
    """∂x at the end, of a system without noise started at 0, by differences in ε: exact where x^ε is linear in ε."""
    x0, none = torch.zeros(1, dtype=torch.float64), torch.zeros(grid.steps, 1, 1, dtype=torch.float64)
    end = [float(solve(family.at(eps), x0, grid, noise=none)) for eps in (0.0, 1.0)]
    return end[1] - end[0]


def ordinary(drift, error) -> PerturbedSDE:
    def still(t, x):
        return torch.zeros_like(x)

    return PerturbedSDE(FunctionSDE(drift, still), FunctionSDE(error, still))


def one(t, x):
    return torch.ones_like(x)


def test_e66_an_observation_that_follows_z_changes_the_derivative():
    fixed = response(ordinary(lambda t, x: torch.zeros_like(x), one))
    closed = response(ordinary(lambda t, x: x, one))
    assert fixed == pytest.approx(1.0, abs=1e-12)
    assert closed == pytest.approx(math.e - 1, rel=2 / UNIT.steps)


def test_e75_with_the_papers_convention_a_counts_the_drift_error_twice():
    """dx = ε dt: Φ = 1, no diffusion, and the two integrals of (a) are ∫η₀ ds and Σ_k ∫η_k dB^k."""
    eta, increments = [1.0, 0.0], [1.0, 0.3]  # η_0, η_1, and B⁰ = t, B¹ over [0, 1]

    def formula_a(first: int) -> float:
        return eta[0] * 1.0 + sum(eta[k] * increments[k] for k in range(first, 2))

    true = response(ordinary(lambda t, x: torch.zeros_like(x), one))
    assert formula_a(1) == pytest.approx(true)
    assert formula_a(0) == pytest.approx(2 * true)


def test_e72_a_bounded_fundamental_matrix_does_not_bound_the_response():
    c = 20.0

    def phi(t):
        return np.exp(c * (t**2 - t))

    assert phi(np.linspace(0, 1, 101)).max() <= 1.0
    exact = integrate.quad(lambda s: math.exp(c * (s - s**2)), 0, 1)[0]
    measured = [response(ordinary(lambda t, x: c * (2 * t - 1) * x, one), TimeGrid(0.0, 1.0, n)) for n in (4000, 8000)]
    # Euler's bias halves with the step.
    assert 2 * measured[1] - measured[0] == pytest.approx(exact, rel=1e-4)
    assert exact > 50


def test_e68_an_error_that_depends_on_the_slope():
    m, p = 6.0, 0.01
    slopes, errors, chances = np.array([m, 0.0]), np.array([1.0, 0.0]), np.array([p, 1 - p])
    sensitivity = np.exp(slopes)  # sup over [0, 1] of e^{at}, a ≥ 0
    together = chances @ (errors * sensitivity) ** 2
    apart = (chances @ errors**2) * (chances @ sensitivity**2)
    assert together == pytest.approx(p * math.exp(2 * m))
    assert together / apart == pytest.approx(99.9, abs=0.05)
    independent = np.outer(chances, chances)
    assert np.sum(independent * np.outer(errors, sensitivity) ** 2) == pytest.approx(apart)


def test_e69_the_norm_has_a_kink_at_zero_and_its_square_has_none():
    def slope(power: int, theta: float) -> float:
        x = torch.tensor([[theta]], dtype=torch.float64, requires_grad=True)
        torch.linalg.matrix_norm(x).pow(power).backward()
        return float(x.grad)

    tiny = 1e-12
    assert (slope(1, -tiny), slope(1, tiny)) == (-1.0, 1.0)
    assert abs(slope(2, tiny) - slope(2, -tiny)) < 1e-11


@pytest.mark.parametrize(("n", "printed"), [(2, 0.90), (2000, 0.80)])
def test_e70_the_root_of_one_projection_is_too_small_in_the_mean(n, printed):
    """J of rank one and norm 1: √n |v₁| for a unit v, whose square has the law Beta(1/2, (n − 1)/2)."""
    square = stats.beta(0.5, 0.5 * (n - 1))
    moment = math.exp(math.lgamma(1.0) - math.lgamma(0.5) + math.lgamma(0.5 * n) - math.lgamma(0.5 * n + 0.5))  # E |v₁|
    assert n * square.mean() == pytest.approx(1.0)
    assert math.sqrt(n) * moment == pytest.approx(printed, abs=0.005)
    if n == 2:
        angle = integrate.quad(lambda a: abs(math.cos(a)), 0, 2 * math.pi, points=[math.pi / 2, 1.5 * math.pi])[0]
        assert moment == pytest.approx(angle / (2 * math.pi))
    else:
        assert math.sqrt(n) * moment == pytest.approx(math.sqrt(2 / math.pi), rel=1e-3)


def test_e74_the_coefficient_of_the_pair_is_not_lipschitz():
    """g = sin x: the second block's coefficient is ∂g y, by jets."""

    def coefficient(x: float, y: float) -> float:
        jet = along(torch.tensor([[x]], dtype=torch.float64), [torch.tensor([[y]], dtype=torch.float64)], 1)
        return float(torch.sin(jet).coefficients[1])

    for y in (1.0, 1e3, 1e6):
        quotient = abs(coefficient(math.pi / 2, y) - coefficient(0.0, y)) / (math.pi / 2)
        assert quotient == pytest.approx(y / (math.pi / 2))


def test_e78_free_bits_have_a_kink():
    def slope(m: float) -> float:
        mean = torch.tensor(m, dtype=torch.float64, requires_grad=True)
        prior = torch.distributions.Normal(torch.zeros_like(mean), 1.0)
        torch.distributions.kl_divergence(torch.distributions.Normal(mean, 1.0), prior).clamp(min=1.0).backward()
        return float(mean.grad)

    edge = math.sqrt(2)
    assert slope(edge - 1e-9) == 0.0
    assert slope(edge + 1e-9) == pytest.approx(edge)


def test_e81_two_solutions_from_the_same_start():
    """Both solve dh = h^{1/3} dt, from 0, and π(h) = h^{1/3} ≤ 1 is the maximizer of ha − a⁴/4 along the second."""
    for t in np.linspace(0.05, 1.0, 20):
        h, step = (2 * t / 3) ** 1.5, 1e-6
        slope = ((2 * (t + step) / 3) ** 1.5 - (2 * (t - step) / 3) ** 1.5) / (2 * step)
        actions = np.linspace(-1.5, 1.5, 300_001)
        best = actions[np.argmax(h * actions - actions**4 / 4)]
        assert slope == pytest.approx(h ** (1 / 3), abs=1e-7)
        assert best == pytest.approx(h ** (1 / 3), abs=1e-5) and best <= 1


def test_e82_a_maximum_has_a_remainder_of_first_order():
    """No number p, q makes |ε| − pε − qε² of order ε³: the even part |ε| − qε² falls like ε."""
    for q in (-10.0, 0.0, 10.0):
        remainders = [abs(max(e, -e) - q * e**2) for e in (1e-5, 1e-6)]
        assert math.log10(remainders[0] / remainders[1]) == pytest.approx(1.0, abs=1e-3)


def test_e85_no_measure_on_the_half_line_is_near_the_uniform_one():
    """W1 is at least ∫ max(−y, 0) dP = 1/4, for max(−y, 0) is 1-Lipschitz and zero on the half-line. One attains it."""
    bound = integrate.quad(lambda y: 0.5 * max(-y, 0.0), -1, 1, points=[0])[0]
    assert bound == pytest.approx(0.25)
    quantiles = (np.arange(20_000) + 0.5) / 10_000 - 1
    assert stats.wasserstein_distance(quantiles, np.maximum(quantiles, 0.0)) == pytest.approx(0.25, abs=1e-4)
    for image in (np.abs(quantiles), np.zeros(1), np.array([0.0, 1.0])):
        assert stats.wasserstein_distance(quantiles, image) >= 0.25 - 1e-4


def test_e57_table_7s_first_row_and_why_it_is_not_counted():
    row = {c: str(number(TABLES[7]["0.05", c])) for c in TABLES[7].columns}
    assert row["mean (with Jac.)"] in ENTRIES["E57"].why and row["mean (baseline)"] in ENTRIES["E57"].why
    assert number(TABLES[7]["0.05", "mean (baseline)"]) == number(TABLES[6]["25", "mean (baseline)"])


def test_e58_what_the_entry_says_of_table_4():
    why = ENTRIES["E58"].why
    for column in ("100k", "200k"):
        cells = [number(TABLES[4][r, column]) for r in ("With Jacobian (λ = 0.1)", "Baseline")]
        assert "{} against {}".format(*cells) in " ".join(why.split())
    assert number(TABLES[4]["With Jacobian (λ = 0.1)", "200k"]) > number(TABLES[4]["Baseline", "200k"])
    assert steps_ahead()["With Jacobian (λ = 0.1)"] == pytest.approx(20, abs=0.5)


def test_e51_the_reduced_dimension_is_above_the_ambient_one():
    """With 1 for the constant of its O; as θ → 1 it falls to d_M log d_S, and no lower."""
    exceeds = [d for d in range(3, 500) if printed_dimension(2, d, 0.5) >= d]
    assert exceeds == list(range(3, 34)) and "d_S = 33" in ENTRIES["E51"].why
    assert all(printed_dimension(2, d, theta) > 2 * math.log(d) for d in (16, 4096) for theta in (0.3, 0.7, 0.999))


def test_table_5_is_kept_as_printed():
    rows = ("eval_every", "model_opt.lr", "actor_opt.lr", "replay_capacity", "clip_rewards", "loss_scales_kl")
    assert [TABLES[5].printed(r, "value") for r in rows] == ["1e4", "3e-4", "8e-5", "2e6", "tanh", "1.0"]
