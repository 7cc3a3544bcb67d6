"""How errors grow along rollouts (19): the step, Φ, and the bounds of the Jacobians."""

import itertools

import numpy as np
import pytest
import torch
from small_agents import WALKER, random_episode, tiny_agent
from support import agrees, convicts

from sdewm import Estimate
from sdewm.worldmodel import Gaussian, error_growth, latent_rollout
from sdewm.worldmodel.error_growth import final_phi, mean_square_growth
from sdewm.worldmodel.jacobian import exact_jacobian
from sdewm.worldmodel.latent_rollout import Dynamics, Latent, dynamics, rollout, starting_states


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def small() -> tuple[Dynamics, Latent]:
    agent = tiny_agent(WALKER)
    agent.world_model.cell.weight_hh.mul_(4)  # so that its Jacobian is far from normal
    return dynamics(agent), starting_states(agent, [random_episode(WALKER, 4)])


@pytest.fixture
def early_starts(monkeypatch):
    monkeypatch.setattr(latent_rollout, "STARTS", (2, 5))


def test_rollout_is_the_models_own_step():
    model = dynamics(tiny_agent(WALKER))
    start = Latent(0.3 * normal(6, WALKER.deter), normal(6, WALKER.stoch, seed=1))
    path = rollout(model, start, torch.zeros(3, 6, WALKER.stoch, dtype=torch.float64))
    h, z = start
    for n in range(1, 4):
        h = model.sequence(h, z, model.policy(h, z))
        z = model.prior(h).mean
        torch.testing.assert_close(path.h[n], h)
        torch.testing.assert_close(path.z[n], z)


def test_mean_square_growth_is_the_largest_eigenvalue_of_the_mean_square():
    """Signs ±1 have the first two moments of the normal noise, and their mean is a finite sum."""
    in_h, in_z, p, p_bar = normal(4, 4), normal(4, 3, seed=1), normal(3, 4, seed=2), normal(3, 4, seed=3)
    signs = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=3)), dtype=torch.float64)
    moves = in_h + in_z @ (p + signs.unsqueeze(-1) * p_bar)
    expected = torch.linalg.eigvalsh((moves.mT @ moves).mean(0))[-1]
    torch.testing.assert_close(mean_square_growth(in_h, in_z, p, p_bar), expected, rtol=1e-12, atol=0)


def test_fundamental_matrix_is_the_derivative_of_the_rollout(early_starts):
    model, start = small()
    found = error_growth.jacobian_statistics(model, start, torch.ones(WALKER.stoch, dtype=torch.float64), generator(3))
    repeated = Latent(*(part.repeat_interleave(error_growth.JACOBIAN_PATHS, 0) for part in start))
    noise = torch.randn(latent_rollout.HORIZON, *repeated.z.shape, generator=generator(3), dtype=torch.float64)

    def final(h: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        path = rollout(model, Latent(h, z), noise)
        return torch.cat([path.h[-1], path.z[-1]], -1)

    phi = exact_jacobian(final, tuple(repeated), (0, 1))
    assert found["final_phi"] == pytest.approx(float(phi.square().sum((-2, -1)).mean()), rel=1e-9)
    assert found["map_log_growth"] <= found["map_bound"] and found["map_excess"] <= 0
    assert 0 < found["bound_used"] < 1


def test_flow_growth_is_within_the_logarithmic_norm_and_that_within_the_norm(early_starts):
    model, start = small()
    found = error_growth.flow_contraction(model, start, generator())
    assert found["flow_excess"] <= 1e-12
    assert found["flow_log_growth"] <= found["flow_bound"] <= found["flow_norm_bound"]


def test_without_the_symmetric_part_the_bound_on_the_flow_breaks(monkeypatch, early_starts):
    """The largest real part of the eigenvalues, in place of that of the symmetric part, bounds nothing."""
    spectral_abscissa = lambda matrix: torch.linalg.eigvals(matrix).real.amax(-1)  # noqa: E731
    monkeypatch.setattr(error_growth, "logarithmic_norm", spectral_abscissa)
    model, start = small()
    assert error_growth.flow_contraction(model, start, generator())["flow_excess"] > 1e-3


def test_the_fundamental_matrix_by_random_directions_is_the_power_of_a_linear_models_step():
    """Where cell, policy and prior are linear, Φ_N is a matrix to the power N, whatever the noise."""
    generator = torch.Generator().manual_seed(0)
    in_h, in_z, p = (
        0.4 * torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in ((3, 3), (3, 2), (2, 3))
    )
    model = Dynamics(
        lambda h, z, a: h @ in_h.mT + a, lambda h: Gaussian(h @ p.mT, torch.ones(2)), lambda h, z: z @ in_z.mT
    )
    step = torch.cat([torch.cat([in_h, in_z], 1), p @ torch.cat([in_h, in_z], 1)])
    power = torch.linalg.matrix_power(step, latent_rollout.HORIZON).square().sum()
    start = Latent(torch.zeros(4, 3, dtype=torch.float64), torch.zeros(4, 2, dtype=torch.float64))
    values = np.array([final_phi(model, start, torch.Generator().manual_seed(n)) for n in range(40)])
    estimate = Estimate(float(values.mean()), float(values.std(ddof=1) / 40**0.5), 40, 39)
    assert agrees(estimate, float(power))
    one_step_less = torch.linalg.matrix_power(step, latent_rollout.HORIZON - 1).square().sum()
    assert convicts(estimate, float(one_step_less))
