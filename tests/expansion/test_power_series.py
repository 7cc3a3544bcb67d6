"""A power series in ε: what it predicts, how far that can be trusted, and how it prints."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from support import F64, agrees, grid_of, normal_increments, refuses

from sdewm.estimate.samples import Moments
from sdewm.exact.problems import PROBLEMS
from sdewm.expansion.expected_loss import expand
from sdewm.expansion.power_series import BeyondRadius, Expansion
from sdewm.jets import NonSmoothWarning
from sdewm.noise.grid import TimeGrid
from sdewm.solvers.solve import solve
from sdewm.systems.perturbed import PerturbedSDE
from sdewm.systems.sde import FunctionSDE

STEPS = 16
CIRCLE = PROBLEMS["circle"]()


def test_prediction_is_the_second_order_polynomial_with_its_own_error():
    problem = CIRCLE
    result = expand(problem.family, problem.loss, problem.x0, grid_of(problem, STEPS), paths=2**12, order=3)
    s, eps = result.sample, 0.1
    predicted = result.predict(eps)
    assert predicted == s.estimate(s["loss0"] + eps * s["first"] + eps**2 * s["second"])
    c = problem.euler_truth(STEPS)
    assert agrees(predicted, sum(eps ** sum(a) * v for a, v in c.items() if sum(a) < 3))
    assert "second" in str(result) and "third" in str(result)


def test_it_prints_what_each_number_is():
    problem = CIRCLE
    arguments = problem.family, problem.loss, problem.x0, grid_of(problem, STEPS)
    result = expand(*arguments, paths=256, order=3)
    lines = [line for line in str(result).splitlines() if not line.lstrip().startswith("flagged:")]
    names = ["loss0", "first", "second", "third", "P", "Q", "S", "P~", "Q~", "S~", "radius"]
    assert "± standard error of" in lines[1] and [line.split()[0] for line in lines[2:]] == names
    assert all(line.split()[2] == "±" and len(line.split()) > 6 for line in lines[6:12])  # terms say what they are
    assert lines[3].endswith("P + P~") and lines[4].endswith("½(Q + S) + Q~ + S~")
    assert lines[-1] == f"radius  predict(ε) can be trusted for |ε| up to {result.radius:.2g}"
    printed = str(expand(*arguments, paths=256, form="printed"))
    assert "Q + ½S + Q~ + S~" in printed and "third  " not in printed


def test_the_radius_is_said_in_words_also_where_there_is_none():
    problem = CIRCLE
    result = expand(problem.family, problem.loss, problem.x0, grid_of(problem, STEPS), paths=256)

    def last_line(of: Expansion, **moments: float) -> str:
        found = {name: Moments(2, mean, float(name == "loss0"), 0.0, 0.0) for name, mean in moments.items()}
        return str(replace(of, sample=replace(of.sample, moments=found))).splitlines()[-1]

    unknown = "radius  not known: up to which |ε| predict(ε) can be trusted"
    assert last_line(result) == unknown
    assert last_line(result, loss0=1.0, first=1.0, second=0.0) == unknown
    ends = "radius  predict(ε) can be trusted at every ε: the series ends"
    assert last_line(result, loss0=1.0, first=1.0, second=0.0, third=0.0) == ends


def test_the_flags_of_a_printed_term_stand_below_it():
    problem = CIRCLE
    result = expand(problem.family, problem.loss, problem.x0, grid_of(problem, STEPS), paths=256)
    flagged = replace(result, terms=result.terms | {"Q": replace(result.terms["Q"], flags=("few paths",))})
    lines, plain = str(flagged).splitlines(), str(result).splitlines()
    at = next(i for i, line in enumerate(plain) if line.split()[0] == "Q")
    assert "(flagged)" in lines[at] and lines[at + 1].strip() == "flagged: few paths"
    assert lines[:at] + lines[at + 2 :] == plain[:at] + plain[at + 1 :]


def growth(power: int) -> tuple:
    """dx = ε x^power dt from 1, without noise."""
    error = FunctionSDE(lambda t, x: x**power)
    return PerturbedSDE(FunctionSDE(), error), lambda x: x[:, 0], torch.ones(1, dtype=F64)


def last_of_euler(power: int, eps: float, steps: int) -> float:
    x = 1.0
    for _ in range(steps):
        x += eps * x**power / steps
    return x


@pytest.mark.parametrize("power", [1, 2, 3])
def test_within_the_radius_little_is_left_out_and_beyond_it_more(power):
    """x = e^{εT}, and series that converge for |ε| < 1 and ½: the radius follows from their coefficients."""
    steps = 8
    family, loss, x0 = growth(power)
    two, three = (expand(family, loss, x0, TimeGrid(0.0, 1.0, steps), paths=16, order=order) for order in (2, 3))
    c = [e.mean for e in (three.loss0, three.first, three.second, three.third)]
    assert two.radius == pytest.approx(three.radius)
    assert three.radius == pytest.approx(0.25 * min(c[1] / c[2], c[2] / c[3]))
    for eps in (three.radius, -three.radius):
        left = last_of_euler(power, eps, steps) - three.predict(eps).mean
        assert abs(left) <= abs(c[1] * eps) / 12
    with pytest.warns(BeyondRadius):
        far = three.predict(3 * three.radius)
    assert abs(last_of_euler(power, 3 * three.radius, steps) - far.mean) > c[1] * three.radius / 12


def test_the_radius_of_series_that_end_and_of_those_too_short_to_tell():
    grid, x0 = TimeGrid(0.0, 1.0, 4), torch.zeros(1, dtype=F64)
    family = PerturbedSDE(FunctionSDE(g=lambda t, x: 0.3 + 0 * x), FunctionSDE(lambda t, x: 1.0 + 0 * x))
    ends = expand(family, lambda x: x[:, 0], x0, grid, paths=64)
    assert ends.radius == math.inf and "at every ε: the series ends" in str(ends)
    nothing = expand(family, lambda x: 0 * x[:, 0] + 2.0, x0, grid, paths=64)
    assert math.isnan(nothing.radius)
    # At x = 0 the square has no first order; what follows the second is not known.
    without_noise = PerturbedSDE(FunctionSDE(), FunctionSDE(lambda t, x: 1.0 + 0 * x))
    short = expand(without_noise, lambda x: x[:, 0] ** 2, x0, grid, paths=64)
    assert math.isnan(short.radius)
    with pytest.warns(BeyondRadius, match=r"not known. Solve at this"):
        short.predict(0.1)
    # One state is all that was seen: there L = x² and L = x² + x⁴, x and sin x are the same.
    for power, order in ((2, 3), (1, 2), (4, 3)):
        found = expand(without_noise, lambda x, p=power: x[:, 0] ** p, x0, grid, paths=64, order=order)
        assert math.isnan(found.radius)
        with pytest.warns(BeyondRadius, match="Solve at this"):
            found.predict(1.0)


HIDDEN = {
    "a fourth power": lambda x: x[:, 1] ** 2 + x[:, 0] ** 4,
    "beside a slope": lambda x: x[:, 1] + x[:, 0] + 100 * x[:, 0] ** 4,
    "a flat start": lambda x: x[:, 1] + torch.where(x[:, 0] == 0, 0.0, torch.exp(-1 / x[:, 0].square())),
    "an end of its domain": lambda x: x[:, 1] + torch.sqrt(0.25 - x[:, 0] ** 4),
}


@pytest.mark.parametrize("name", HIDDEN)
@pytest.mark.parametrize("order", [2, 3])
def test_a_series_whose_first_terms_vanish_has_not_ended(name, order):
    """x = ε in a coordinate of its own, beside one with noise: on every path the terms past ε, up to ε³, are zero."""
    error = FunctionSDE(lambda t, x: torch.stack([torch.ones_like(x[:, 0]), torch.zeros_like(x[:, 0])], -1))
    noise = FunctionSDE(g=lambda t, x: torch.stack([torch.zeros_like(x[:, 0]), torch.ones_like(x[:, 0])], -1))
    problem = (PerturbedSDE(noise, error), HIDDEN[name], torch.zeros(2, dtype=F64), TimeGrid(0.0, 1.0, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NonSmoothWarning)
        found = expand(*problem, paths=64, order=order)
    assert found.second.mean == 0.0 and math.isnan(found.radius) and "at every ε" not in str(found)
    with pytest.warns(BeyondRadius, match="Solve at this"):
        found.predict(1.0)


@pytest.mark.parametrize("order", [2, 3])
def test_at_an_inflection_of_the_loss_the_third_order_tells_how_far_a_prediction_holds(order):
    """L = sin(10 x)/10 about 0, where the second derivative vanishes; at ε = 1 it is −0.05, and the slope says 1."""
    family = PerturbedSDE(FunctionSDE(g=lambda t, x: 0.001 + 0 * x), FunctionSDE(lambda t, x: 1.0 + 0 * x))
    grid, x0 = TimeGrid(0.0, 1.0, 4), torch.zeros(1, dtype=F64)
    found = expand(family, lambda x: torch.sin(10 * x[:, 0]) / 10, x0, grid, paths=1024, order=order)
    # Coefficients 1, -50 x and -100/6, with x = 0.001 B: root mean squares 1, 0.05 and 100/6.
    assert found.radius == pytest.approx(0.25 * 0.05 * 6 / 100, rel=0.1)
    with pytest.warns(BeyondRadius):
        found.predict(1.0)


KINKED = {
    "jump": (lambda x: (x[:, 0] > 0).double(), ("gt",)),
    "kink": (lambda x: torch.relu(x[:, 0]), ("relu",)),
    "both": (lambda x: x[:, 0].abs() + torch.floor(x[:, 0]), ("abs", "floor")),
}


@pytest.mark.parametrize("name", KINKED)
def test_a_series_that_seems_to_end_because_kinks_are_left_out_is_not_trusted(name):
    """x = B + ε: E 1[x > 0] and E max(x, 0) go on, though each path's own derivatives do not."""
    loss, kinks = KINKED[name]
    family = PerturbedSDE(FunctionSDE(g=lambda t, x: 1.0 + 0 * x), FunctionSDE(lambda t, x: 1.0 + 0 * x))
    for _ in range(2):  # a warning is shown once in a process; the result says it each time
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NonSmoothWarning)
            found = expand(family, loss, [0.0], TimeGrid(0.0, 1.0, 2), paths=64)
        assert found.kinks == kinks and math.isnan(found.radius)
        assert f"kinks  {', '.join(kinks)}: what paths add that cross" in str(found)
        assert "not known" in str(found) and "order=3" not in str(found)
        with pytest.warns(BeyondRadius, match="Solve at this"):
            found.predict(0.5)
    assert expand(family, lambda x: x[:, 0] ** 2, [0.0], TimeGrid(0.0, 1.0, 2), paths=64).kinks == ()


@pytest.mark.parametrize("eps", ["a", None, 1j, [1.0, [2.0]], {}, [None]])
def test_a_magnitude_that_is_no_number_is_refused(eps):
    family, loss, x0 = growth(1)
    with refuses(ValueError, "eps: expected a finite number"):
        expand(family, loss, x0, TimeGrid(0.0, 1.0, 2), paths=16).predict(eps)


def test_what_cancels_in_the_mean_counts_in_the_radius():
    """L = sin x, x = (1 + ε) B: every coefficient of the mean is 0, in antithetic pairs to rounding.

    Root mean squares are within 2 % of their integrals at 2^14 paths; 10 % is five of those.
    """
    family = PerturbedSDE(FunctionSDE(g=lambda t, x: 1.0 + 0 * x), FunctionSDE(g=lambda t, x: 1.0 + 0 * x))
    grid, x0 = TimeGrid(0.0, 1.0, 1), torch.zeros(1, dtype=F64)
    found = expand(family, lambda x: torch.sin(x[:, 0]), x0, grid, paths=2**14, order=3, sampler="antithetic")
    assert all(abs(e.mean) < 1e-14 for e in (found.loss0, found.first, found.second, found.third))
    b, weights = np.polynomial.hermite_e.hermegauss(40)
    first, second, third = (
        math.sqrt(weights @ v**2 / weights.sum()) for v in (b * np.cos(b), b**2 * np.sin(b) / 2, b**3 * np.cos(b) / 6)
    )
    assert found.radius == pytest.approx(0.25 * min(first / second, second / third), rel=0.1)


def test_predictions_at_several_magnitudes():
    result = expand(CIRCLE.family, CIRCLE.loss, CIRCLE.x0, TimeGrid(0.0, 1.0, 4), paths=256)
    one_by_one = [result.predict(eps) for eps in (-0.1, 0.0, 0.2)]
    for several in ([-0.1, 0.0, 0.2], np.array([-0.1, 0.0, 0.2]), torch.tensor([-0.1, 0.0, 0.2], dtype=F64)):
        assert result.predict(several) == one_by_one
    assert result.predict([]) == []
    assert result.predict(torch.tensor(0.2, dtype=F64)) == one_by_one[2]
    for wrong in (math.nan, [0.1, math.inf], [[0.1]]):
        with refuses(ValueError, "eps", "finite number", "one dimension"):
            result.predict(wrong)


def test_a_prediction_is_flagged_for_what_matters_in_it():
    """e^x, whose first and second coefficients a few paths carry; the value itself does not rest on few."""
    family = PerturbedSDE(FunctionSDE(g=lambda t, x: 0.6 + 0 * x), FunctionSDE(g=lambda t, x: 2.0 + 0 * x))
    found = expand(family, lambda x: x[:, 0].exp(), torch.zeros(1, dtype=F64), TimeGrid(0.0, 1.0, 1), paths=1024)
    assert found.second.flags and not found.loss0.flags
    with pytest.warns(BeyondRadius):
        assert set(found.second.flags) <= set(found.predict(1.0).flags)
    assert not found.predict(1e-6).flags


def test_where_paths_diverge_a_prediction_warns():
    """Lorenz at T = 2: neighbouring paths part, and the series with them."""

    def lorenz(t, x):
        a, b, c = x.unbind(-1)
        return torch.stack([10 * (b - a), a * (28 - c) - b, a * b - 8 / 3 * c], -1)

    base = FunctionSDE(lorenz, lambda t, x: 1.0 + 0 * x)
    error = FunctionSDE(lambda t, x: x, lambda t, x: 0.2 * x)
    grid, x0, eps = TimeGrid(0.0, 2.0, 200), torch.ones(3, dtype=F64), 0.5
    family, loss = PerturbedSDE(base, error), lambda x: x[:, 2]
    found = expand(family, loss, x0, grid, paths=256)
    truth = float(loss(solve(family.at(eps), x0, grid, noise=normal_increments(grid, 256, 3))).mean())
    with pytest.warns(BeyondRadius, match=r"0\.5 is beyond"):
        predicted = found.predict(eps)
    assert found.radius < 0.2 and abs(predicted.mean - truth) > 10
