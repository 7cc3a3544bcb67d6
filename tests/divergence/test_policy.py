"""The policy as a local maximizer: values, derivatives by three routes, and refusals that name what is wrong."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support import F64, normal_increments, refuses

from sdewm import LatentSDE, LocalMaximizer, PerturbedSDE, TimeGrid, expand
from sdewm.divergence.policy import NoLocalMaximum
from sdewm.exact import reference
from sdewm.sensitivity.derivatives import derivatives
from sdewm.solvers.solve import solve
from theory_checks.policy_maximizer import value_function


def states(paths: int = 20) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    return torch.randn(paths, 3, generator=g, dtype=F64), torch.randn(paths, 2, generator=g, dtype=F64)


def one_action(q, start: float = 0.5, **box) -> LocalMaximizer:
    return LocalMaximizer(lambda h, z, a: q(h[:, 0], a[:, 0]), torch.tensor([start], dtype=F64), **box)


def at(h: float) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor([[h]], dtype=F64), torch.zeros(1, 1, dtype=F64)


def test_a_quadratic_is_solved_exactly():
    b = torch.tensor([[2.0, 0.3], [0.3, 1.0]], dtype=F64)
    c = torch.randn(5, 2, generator=torch.Generator().manual_seed(1), dtype=F64)
    policy = LocalMaximizer(
        lambda h, z, a: ((torch.cat([h, z], -1) @ c) * a).sum(-1) - 0.5 * ((a @ b) * a).sum(-1),
        torch.zeros(2, dtype=F64),
    )
    h, z = states()
    exact = torch.linalg.solve(b, (torch.cat([h, z], -1) @ c).T).T
    assert torch.allclose(policy(h, z), exact, atol=1e-10)
    first, second = policy.derivatives(h, z)
    assert torch.allclose(first, torch.linalg.solve(b, c.T).expand(len(h), -1, -1))
    assert float(second.abs().max()) < 1e-10


def test_it_is_a_maximum():
    policy = value_function(0)
    h, z = states()
    a = policy(h, z)
    best = policy.q(h, z, a)
    for shift in 1e-2 * torch.randn(20, 2, generator=torch.Generator().manual_seed(2), dtype=F64):
        assert bool((policy.q(h, z, a + shift) < best).all())


@pytest.mark.parametrize("box", [None, 0.4])
def test_jets_and_the_implicit_function_theorem_agree(box):
    policy = value_function(0)
    if box is not None:
        policy = LocalMaximizer(policy.q, policy.guess, low=-box, high=box)
    h, z = states()
    a = policy(h, z)
    assert box is None or (bool((a.abs() <= box).all()) and bool((a.abs() == box).any()))
    first, second = policy.derivatives(h, z)
    by_jets = derivatives(lambda x: policy(x[..., :3], x[..., 3:]), torch.cat([h, z], -1))
    assert torch.allclose(by_jets[0], first, atol=1e-12) and torch.allclose(by_jets[1], second, atol=1e-11)
    # A coordinate on its bound stays there.
    if box is not None:
        assert float(first[a.abs() == box].abs().max()) == 0.0


def test_third_order_by_jets_against_differences_of_the_second():
    policy = value_function(0)
    h, z = states(4)
    x = torch.cat([h, z], -1)
    third = derivatives(lambda y: policy(y[..., :3], y[..., 3:]), x, 3)[2]
    step = 1e-4
    e = step * torch.eye(5, dtype=F64)[0]
    second = [policy.derivatives(y[:, :3], y[:, 3:])[1] for y in (x + e, x - e)]
    assert torch.allclose(third[..., 0], (second[0] - second[1]) / (2 * step), atol=1e-6)


def test_as_the_policy_of_a_latent_model():
    """Expansion through the argmax against differences in ε on the same noise."""
    m = reference.latent_model()
    policy = one_action(lambda h, a: torch.sin(h) * a - 0.5 * a**2 - 0.1 * a**4)
    model = LatentSDE(
        q_enc=m.q_enc, q_enc_bar=m.q_enc_bar, f=m.f_seq, p=m.p, p_bar=m.p_bar, q_dec=m.q_dec, q_dec_bar=m.q_dec_bar,
        policy=policy, observation=reference.observation, sizes=m.sizes,
    )  # fmt: skip
    family = PerturbedSDE(model, model.encoder_error(None, lambda h, s: 0.5 + 0.2 * torch.tanh(h[:, :2])))
    grid, x0 = TimeGrid(0.0, 0.4, 4), reference.initial_state()
    channels = model.noise_channels(torch.zeros((), dtype=F64), x0[None])
    noise = normal_increments(grid, 16, channels)
    from sdewm.expansion.checks import check_problem
    from sdewm.expansion.pathwise_derivatives import corrected_terms
    from sdewm.noise.increments import StoredIncrements
    from sdewm.systems.losses import as_summed

    losses = {"": as_summed(reference.loss, grid)}
    assert check_problem(family, losses, x0, grid, method="euler", grids=1) == channels
    terms = corrected_terms(family, losses, x0, grid, noise=StoredIncrements(noise))
    h = 1e-3
    at_eps = [reference.loss(solve(family.at(e), x0, grid, noise=noise)) for e in (-h, 0.0, h)]
    assert torch.allclose(terms["", "P"] + terms["", "P~"], (at_eps[2] - at_eps[0]) / (2 * h), atol=1e-5)
    half = 0.5 * (at_eps[2] - 2 * at_eps[1] + at_eps[0]) / h**2
    assert torch.allclose(0.5 * (terms["", "Q"] + terms["", "S"]), half, atol=1e-4)
    assert expand(family, reference.loss, x0, grid, paths=16).second.n >= 16


def test_singular_hessian_is_refused_with_its_path():
    """The strict maximizer h^{1/3} of −a⁴/4 + a h has no derivative at 0."""
    policy = one_action(lambda h, a: -(a**4) / 4 + a * h)
    assert float(policy(*at(0.008))) == pytest.approx(0.2, abs=1e-9)
    h = torch.tensor([[0.1], [0.0]], dtype=F64)
    with refuses(NoLocalMaximum, "singular", "path 1 (1 of 2 paths)"):
        policy(h, torch.zeros(2, 1, dtype=F64))
    with refuses(NoLocalMaximum, "singular"):
        one_action(lambda h, a: a + h)(*at(0.0))


def test_minimum_and_saddle_are_refused():
    with refuses(NoLocalMaximum, "saddle point or minimum", "2", "path 0"):
        one_action(lambda h, a: a**2 + 0 * h, start=0.0)(*at(0.0))
    saddle = LocalMaximizer(lambda h, z, a: a[:, 0] ** 2 - a[:, 1] ** 2 + 0 * h[:, 0], torch.zeros(2, dtype=F64))
    with refuses(NoLocalMaximum, "saddle point or minimum"):
        saddle(*at(0.0))
    # Started beside the minimum, the search climbs to a maximum.
    assert abs(float(one_action(lambda h, a: a**2 - a**4 + 0 * h, start=0.1)(*at(0.0)))) == pytest.approx(0.5**0.5)


def test_a_kink_on_the_bound_is_refused():
    policy = one_action(lambda h, a: -0.5 * (a - h) ** 2, low=-1.0, high=1.0)
    assert float(policy(*at(3.0))) == 1.0
    with refuses(NoLocalMaximum, "kink"):
        policy(*at(1.0))


# Where 2 (b − 0.3) + 0.4 b³ = 0.
TOP = float(next(r.real for r in np.roots([0.4, 0.0, 2.0, -0.6]) if abs(r.imag) < 1e-12))


def quartic(unit: float = 1.0, factor: float = 1.0, dtype: torch.dtype = F64) -> LocalMaximizer:
    """−(b − 0.3 h)² − b⁴/10 in b = a / unit."""
    return LocalMaximizer(
        lambda h, z, a: factor * (-((a / unit - 0.3 * h) ** 2) - 0.1 * (a / unit) ** 4).sum(-1),
        torch.zeros(1, dtype=dtype),
    )


@pytest.mark.parametrize("dtype", [F64, torch.float32])
@pytest.mark.parametrize(("unit", "factor"), [(1, 1), (1e-9, 1), (1e9, 1), (1, 1e-20), (1, 1e20), (1e-12, 1e12)])
def test_units_do_not_matter(unit, factor, dtype):
    one = torch.ones(2, 1, dtype=dtype)
    b = quartic(unit, factor, dtype)(one, one) / unit
    torch.testing.assert_close(b, torch.full_like(b, TOP), rtol=1e-6 if dtype == torch.float32 else 1e-10, atol=0)


@pytest.mark.parametrize("units", [(1.0, 1.0), (1e-6, 1e8), (1e12, 1e-3)])
def test_each_action_has_its_own_unit(units):
    """The maximizer of the network Q, with each of its actions in another unit, and bounds that hold some."""
    h, z = states()
    plain, scale = value_function(0), torch.tensor(units, dtype=F64)
    for box in (None, 0.4):
        bounds = [{} if box is None else {"low": -box * s, "high": box * s} for s in (torch.ones_like(scale), scale)]
        one = LocalMaximizer(plain.q, plain.guess, **bounds[0])
        other = LocalMaximizer(lambda h, z, a: plain.q(h, z, a / scale), plain.guess, **bounds[1])
        torch.testing.assert_close(other(h, z) / scale, one(h, z), rtol=1e-9, atol=1e-12)
        for a, b, power in zip(one.derivatives(h, z), other.derivatives(h, z), (2, 3), strict=True):
            torch.testing.assert_close(b / scale.view(-1, *[1] * (power - 1)), a, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
def test_refusals_do_not_depend_on_units(unit):
    for q, message in (
        (lambda h, a: -(a**4) / 4 + a * h, "singular"),
        (lambda h, a: a**2 + 0 * h, "saddle point or minimum"),
    ):
        scaled = one_action(lambda h, a, q=q: q(h, a / unit), start=0.5 * unit if message == "singular" else 0.0)
        with refuses(NoLocalMaximum, message):
            scaled(*at(0.0))
    kinked = one_action(lambda h, a: -0.5 * (a / unit - h) ** 2, start=0.5 * unit, low=-unit, high=unit)
    assert float(kinked(*at(3.0))) == unit
    with refuses(NoLocalMaximum, "kink"):
        kinked(*at(1.0))


def test_a_constant_in_q_and_a_maximum_at_zero_are_no_hindrance():
    offset = one_action(lambda h, a: 1e6 - (a - 0.3 * h) ** 2 - 0.1 * a**4)
    assert float(offset(*at(1.0))) == pytest.approx(TOP, rel=1e-10)
    at_zero = one_action(lambda h, a: torch.cos(a) + 0 * h, start=0.0)
    assert float(at_zero(*at(1.0))) == 0.0
    assert abs(float(one_action(lambda h, a: torch.cos(a) + 0 * h, start=1.0)(*at(1.0)))) < 1e-9
    # Terms of size one that cancel: the gradient at the maximum is rounding.
    small = one_action(lambda h, a: torch.cos(a + 1) + a * torch.sin(a * 0 + 1) + 0 * h, start=0.1)
    assert abs(float(small(*at(1.0)))) < 1e-9


def test_a_search_does_not_leave_for_far_away():
    """Started where Q hardly bends, it ends at a maximum near by, in steps that grow."""
    found = one_action(lambda h, a: torch.sin(a) + 0 * h, start=-3.1)(*at(0.0))
    assert torch.cos(found).abs().item() < 1e-9 and found.abs().item() < 20


def test_values_that_are_not_finite_are_named():
    with refuses(ValueError, "q: expected finite values at the guess"):
        one_action(lambda h, a: torch.log(a - 1))(*at(0.0))
    with refuses(ValueError, "q: expected finite derivatives", "path 0", "0.0"):
        one_action(lambda h, a: -torch.sqrt(a), start=0.0)(*at(0.0))
    with pytest.raises(NoLocalMaximum):
        one_action(lambda h, a: torch.exp(a + h))(*at(0.0))


def test_bad_arguments_are_named():
    with refuses(ValueError, "guess"):
        LocalMaximizer(lambda h, z, a: a, torch.zeros(1, 1))
    with refuses(ValueError, "low, high"):
        LocalMaximizer(lambda h, z, a: a, torch.zeros(1), low=1.0, high=0.0)
