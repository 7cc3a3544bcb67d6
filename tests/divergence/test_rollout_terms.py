"""Rollouts (19), the divergence of perturbed ones, and the terms of Theorem C.1 along them."""

from __future__ import annotations

import math

import pytest
import torch
from support import F64, normal_increments, refuses
from torch.func import hessian, jacrev, vmap

from sdewm.divergence.distances import (
    RepeatedIncrements,
    distances,
    divergence,
    fundamental_supremum,
    jacobian_suprema,
    sensitivity_suprema,
)
from sdewm.divergence.rollout_terms import (
    COMPOSED,
    HESSIANS,
    JACOBIANS,
    composed_hessians,
    hessian_terms,
    jacobian_terms,
    log_printed_bound,
    smallest_constant,
    suprema,
)
from sdewm.exact import reference
from sdewm.noise.grid import TimeGrid
from sdewm.noise.increments import StoredIncrements
from sdewm.sensitivity import fundamental_matrix
from sdewm.sensitivity.derivatives import derivatives
from sdewm.solvers.solve import solve
from sdewm.systems.blocks import BlockSizes
from sdewm.systems.latent import LatentSDE
from sdewm.systems.rollout import LatentRollout
from sdewm.systems.sde import FunctionSDE

GRID = TimeGrid(0.0, 0.5, 20)


@pytest.fixture(scope="module")
def rollout() -> LatentRollout:
    return LatentRollout(reference.latent_model())


@pytest.fixture(scope="module")
def x0(rollout) -> torch.Tensor:
    return rollout.state(reference.initial_state())


def states(rollout: LatentRollout, paths: int = 6) -> torch.Tensor:
    return torch.randn(paths, rollout.dimension, generator=torch.Generator().manual_seed(0), dtype=F64)


# -- the rollout ---------------------------------------------------------------------------------------------------


def test_equations_19(rollout):
    x, t = states(rollout), torch.zeros((), dtype=F64)
    h, z, m = x[:, :3], x[:, 3:], rollout.model
    assert torch.equal(rollout.f(t, x), torch.cat([m.f_seq(h, z, m.policy(h, z)), m.p(h)], -1))
    expected = torch.zeros(len(x), 5, 2, dtype=F64)
    expected[:, 3:] = torch.diag_embed(m.p_bar(h))
    assert torch.equal(rollout.g(t, x), expected)
    dB = torch.randn(len(x), 2, dtype=F64)
    assert torch.allclose(rollout.g_prod(t, x, dB), (expected @ dB.unsqueeze(-1)).squeeze(-1))


def test_a_sequential_step_is_an_imagined_step_of_the_trained_model():
    from sdewm.worldmodel import initial_state, load_trained, to_sequences

    agent, episodes = load_trained()
    model, episode = agent.world_model, to_sequences(episodes[0][None], F64)
    sde = agent.as_sde(episode.observations[0])
    rollout = LatentRollout(sde)
    start = rollout.state(initial_state(model, episode.observations[0], episode.actions[0]))
    grid = TimeGrid(10.0, 14.0, 4)
    noise = normal_increments(grid, 3, rollout.model.sizes.z_tilde)
    x = solve(rollout, start, grid, method="euler-sequential", noise=noise)
    h, z = start[:32].expand(3, -1), start[32:].expand(3, -1)
    for xi in noise:
        h = model.sequence(h, z, agent.actor.mode(h, z))
        prior = model.prior(h)
        z = prior.mean + prior.std * xi
    assert torch.allclose(x, torch.cat([h, z], -1), atol=1e-12)


def test_bad_models_and_errors_are_named(rollout, x0):
    with refuses(ValueError, "model", "f_bar"):
        LatentRollout(reference.latent_model(sequence_noise=True))
    with refuses(ValueError, "eps", "2 coordinates"):
        rollout.perturbation(torch.zeros(3))
    with refuses(ValueError, "perturbations", "(perturbations, 5)"):
        divergence(rollout, x0, GRID, perturbations=torch.zeros(2, 4), noise=normal_increments(GRID, 4, 2))


def test_without_prediction_noise():
    m = reference.latent_model()
    quiet = LatentRollout(LatentSDE(
        q_enc=m.q_enc, q_enc_bar=m.q_enc_bar, f=m.f_seq, p=m.p, p_bar=None, q_dec=m.q_dec, policy=m.policy,
        observation=reference.observation, sizes=m.sizes,
    ))  # fmt: skip
    x, t = states(quiet), torch.zeros((), dtype=F64)
    assert quiet.noise_channels(t, x) == 0 and quiet.g(t, x).shape == (len(x), 5, 0)
    assert float(jacobian_terms(quiet, x)["P̄_h"].max()) == 0.0


# -- divergence ----------------------------------------------------------------------------------------------------


def test_distances_of_a_linear_equation_are_exact():
    """dx = −x dt + dB: differences do not see the noise."""
    sde = FunctionSDE(lambda t, x: -x, lambda t, x: torch.ones_like(x))
    eps = torch.tensor([[0.3], [-0.2]], dtype=F64)
    noise = normal_increments(GRID, 5, 1)
    found = distances(sde, torch.zeros(1, dtype=F64), GRID, perturbations=eps, noise=noise)
    decay = (1 - GRID.dt) ** torch.arange(GRID.steps + 1, dtype=F64)
    assert torch.allclose(found, (eps[:, :, None] * decay[:, None]).expand(-1, -1, 5) ** 2)
    assert torch.allclose(
        divergence(sde, torch.zeros(1, dtype=F64), GRID, perturbations=eps, noise=noise), found[:, :1]
    )


def test_divergence_equals_two_solves(rollout, x0):
    eps = rollout.perturbation(torch.tensor([[0.1, -0.2]], dtype=F64))
    noise = normal_increments(GRID, 7, 2)
    apart = [solve(rollout, x, GRID, noise=noise, save="path") for x in (x0, x0 + eps[0])]
    expected = (apart[1] - apart[0]).square().sum(-1).cummax(0).values
    assert torch.allclose(divergence(rollout, x0, GRID, perturbations=eps, noise=noise)[0], expected)


def test_repeated_increments():
    base = StoredIncrements(normal_increments(GRID, 3, 2))
    twice = RepeatedIncrements(base, 2)
    assert (twice.paths, twice.steps, twice.channels) == (6, 20, 2)
    assert all(torch.equal(b[:3], b[3:]) for b in twice)
    assert torch.equal(next(iter(twice.coarsen(2))), next(iter(base.coarsen(2))).repeat(2, 1))


def test_sensitivities_are_those_of_the_divergence(rollout, x0):
    noise = normal_increments(GRID, 4, 2)
    directions = rollout.perturbation(torch.eye(2, dtype=F64))
    first, second = sensitivity_suprema(rollout, x0, GRID, directions=directions, noise=noise)
    h = 1e-4
    plus, minus, zero = (solve(rollout, x0 + s * directions[0], GRID, noise=noise, save="path") for s in (h, -h, 0.0))
    dx = ((plus - minus) / (2 * h)).square().sum(-1).cummax(0).values
    ddx = ((plus - 2 * zero + minus) / h**2).square().sum(-1).cummax(0).values
    assert torch.allclose(first[:, 0], dx, rtol=1e-6)
    assert torch.allclose(second[:, 0, 0], ddx, rtol=1e-4, atol=1e-8)
    assert torch.equal(second[:, 0, 1], second[:, 1, 0])


def test_fundamental_supremum_ends_at_the_fundamental_matrix():
    grow = FunctionSDE(lambda t, x: x @ torch.tensor([[0.5, 0.1], [0.0, 0.4]], dtype=F64), lambda t, x: 0 * x)
    noise = normal_increments(GRID, 2, 2)
    found = fundamental_supremum(grow, torch.ones(2, dtype=F64), GRID, noise=noise)
    end = fundamental_matrix(grow, torch.ones(2, dtype=F64), GRID, noise=noise)
    assert torch.allclose(found[-1], end.square().sum((-1, -2))) and float(found[0, 0]) == 2.0


def test_jacobian_suprema(rollout, x0):
    noise = normal_increments(GRID, 4, 2)
    drift, diffusion = jacobian_suprema(rollout, x0, GRID, noise=noise)
    found = suprema(lambda x: jacobian_terms(rollout, x), rollout, x0, GRID, noise=StoredIncrements(noise))
    path = solve(rollout, x0, GRID, noise=noise, save="path")
    whole = torch.stack([sum(jacobian_terms(rollout, x)[k] for k in ("F_h", "F_z", "P_h")) for x in path])
    assert torch.allclose(drift, whole.amax(0))
    assert torch.allclose(diffusion, found["P̄_h"])


# -- terms of C.1 --------------------------------------------------------------------------------------------------


def test_derivatives_against_torch():
    def f(x: torch.Tensor) -> torch.Tensor:
        return torch.stack([torch.sin(x[..., 0]) * x[..., 1] ** 3, torch.exp(x[..., 0] * x[..., 1])], -1)

    x = torch.randn(5, 2, generator=torch.Generator().manual_seed(0), dtype=F64)
    first, second, third = derivatives(f, x, 3)
    assert torch.allclose(first, vmap(jacrev(f))(x))
    assert torch.allclose(second, vmap(hessian(f))(x))
    assert torch.allclose(third, vmap(jacrev(hessian(f)))(x))


def test_first_order_terms_are_the_composed_jacobian(rollout):
    x, m = states(rollout), rollout.model
    terms = jacobian_terms(rollout, x)
    jacobian = derivatives(lambda y: m.f_seq(y[..., :3], y[..., 3:], m.policy(y[..., :3], y[..., 3:])), x)[0]
    assert torch.allclose(terms["F_h"], jacobian[..., :3].square().sum((1, 2)))
    assert torch.allclose(terms["F_z"], jacobian[..., 3:].square().sum((1, 2)))
    assert set(terms) == set(JACOBIANS)


def test_chain_rule_of_the_second_derivatives(rollout):
    """Corrected, and the composed map's own, agree to rounding; what C.1 prints lacks terms in every block."""
    x = states(rollout)
    routes = composed_hessians(rollout.model, x[:, :3], x[:, 3:])
    for name in COMPOSED:
        size = float(routes["direct"][name].abs().max())
        assert float((routes["corrected"][name] - routes["direct"][name]).abs().max()) < 1e-13 * size
        assert float((routes["printed"][name] - routes["direct"][name]).abs().max()) > 1e-2 * size
    assert {*HESSIANS} <= set(hessian_terms(rollout, x))


def test_printed_second_derivatives_in_closed_form():
    """f = h a + z a² and π = h z, by hand: ∂²f/∂h∂a = 1, ∂²f/∂z∂a = 2a, ∂_a f = h + 2za, ∂_h π = z, ∂_z π = h."""
    m = LatentSDE(
        q_enc=lambda h, s: h, q_enc_bar=None, f=lambda h, z, a: h * a + z * a**2, p=lambda h: h, p_bar=None,
        q_dec=lambda h, z: h, policy=lambda h, z: h * z, observation=lambda t: torch.zeros(1, dtype=F64),
        sizes=BlockSizes(z=1, h=1, z_tilde=1, s_tilde=1), leak=1.0,
    )  # fmt: skip
    h, z = torch.tensor([[0.7], [-1.2]], dtype=F64), torch.tensor([[-0.4], [0.9]], dtype=F64)
    a, through = h * z, h + 2 * z * (h * z)
    truth = {"F_hh": z, "F_hz": 2 * a * z + through, "F_zh": h + through, "F_zz": 2 * a * h}
    for name, found in composed_hessians(m, h, z)["printed"].items():
        torch.testing.assert_close(found.flatten(1), truth[name], rtol=1e-14, atol=1e-14)


def test_printed_second_derivatives_are_right_for_a_constant_policy():
    m = reference.latent_model()
    m.policy = lambda h, z: 0.3 + 0 * h[..., :1]
    x = states(LatentRollout(m))
    routes = composed_hessians(m, x[:, :3], x[:, 3:])
    for name in COMPOSED:
        assert torch.allclose(routes["printed"][name], routes["direct"][name], atol=1e-14)


def test_printed_bound_and_its_smallest_constant():
    terms = dict.fromkeys((*JACOBIANS, *HESSIANS), 0.1)
    delta, c = 0.2, 0.7
    j = math.exp(3 * c * 0.1) + math.exp(c * 0.1)
    expected = delta * c * j + delta**2 * c * (math.exp(5 * c * 0.1 * j) + math.exp(c * 0.1 * j))
    assert log_printed_bound(delta, c, terms) == pytest.approx(math.log(expected), rel=1e-12)
    assert smallest_constant(expected, delta, terms) == pytest.approx(c, rel=1e-9)
    huge = dict.fromkeys((*JACOBIANS, *HESSIANS), 1e3)
    assert log_printed_bound(delta, 1.0, huge) == math.inf


def test_bad_directions_and_states_are_named(rollout, x0):
    """Each part of a shape by itself: one axis of the right length, and two of which the last has another."""
    noise = normal_increments(GRID, 4, 2)
    for directions in (x0, torch.ones(2, len(x0) + 1), torch.ones(0, len(x0)), torch.ones(1, 1, len(x0)), "x"):
        with refuses(ValueError, "directions"):
            sensitivity_suprema(rollout, x0, GRID, directions=directions, noise=noise)
        with refuses(ValueError, "perturbations"):
            distances(rollout, x0, GRID, perturbations=directions, noise=noise)
    one = torch.eye(len(x0), dtype=F64)[:1]
    for supremum in (
        lambda start: fundamental_supremum(rollout, start, GRID, noise=noise),
        lambda start: sensitivity_suprema(rollout, start, GRID, directions=one.tolist(), noise=noise)[1],
        lambda start: jacobian_suprema(rollout, start, GRID, noise=noise)[0],
    ):
        assert torch.equal(supremum(x0.tolist()), supremum(x0))
        for start in (x0 * math.nan, x0.expand(2, -1), "x"):
            with refuses(ValueError, "x0"):
                supremum(start)
