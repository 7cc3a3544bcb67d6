"""The policy as a local maximizer: values, derivatives by three routes, and refusals that name what is wrong."""

from __future__ import annotations

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
        policy = LocalMaximizer(policy.q, policy.start, low=-box, high=box)
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
    from sdewm.expansion.power_series import check_problem, corrected_terms
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


def test_bad_arguments_are_named():
    with refuses(ValueError, "start"):
        LocalMaximizer(lambda h, z, a: a, torch.zeros(1, 1))
    with refuses(ValueError, "low, high"):
        LocalMaximizer(lambda h, z, a: a, torch.zeros(1), low=1.0, high=0.0)
