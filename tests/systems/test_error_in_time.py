"""Errors of a latent model that have noise of their own, and what follows the time: errors, and recorded actions."""

import pytest
import torch
from support import EULER_METHODS, F64, refuses

from sdewm import BlockSizes, InTime, LatentRollout, LatentSDE, PerturbedSDE, SummedLoss, TimeGrid, expand, solve

T = torch.tensor(0.0, dtype=F64)
OWN = 3


def model(**changes) -> LatentSDE:
    """z with one channel for each coordinate, h that follows z and the action, z̃ with noise too."""
    given = {
        "q_enc": lambda h, s: torch.tanh(h + s),
        "q_enc_bar": lambda h, s: 0.5 + 0.1 * torch.cos(h),
        "f": lambda h, z, a: torch.tanh(h + z + a),
        "p": torch.tanh,
        "p_bar": lambda h: 0.2 * torch.ones_like(h),
        "q_dec": lambda h, z: h + z,
        "policy": lambda h, z: torch.sin(h),
        "observation": lambda t: torch.ones(2, dtype=F64),
        "sizes": BlockSizes(2, 2, 2, 2),
        "leak": 1.0,
        "error_channels": OWN,
    }
    return LatentSDE(**given | changes)


def own(h, s):
    """(paths, 2, 2 + OWN): the encoder's channels, then those of the error alone."""
    matrix = torch.arange(2.0 * (2 + OWN), dtype=F64).view(2, 2 + OWN) / 10
    return matrix + 0.1 * torch.sin(h).unsqueeze(-1)


def states(of: LatentSDE, paths: int = 5) -> torch.Tensor:
    return torch.randn(paths, of.dimension, generator=torch.Generator().manual_seed(0), dtype=F64)


@pytest.mark.parametrize("encoder", [True, False])
def test_the_error_is_the_matrix_that_is_given(encoder):
    of = model() if encoder else model(q_enc_bar=None)
    bar = own if encoder else lambda h, s: own(h, s)[..., 2:]
    x, channels = states(of), of.noise_channels(T, states(of))
    assert channels == 2 * encoder + 2 + OWN
    error = of.encoder_error(None, bar)
    g, blocks = error.g(T, x), of.blocks(x)
    expected = bar(blocks.h, None)
    torch.testing.assert_close(g[:, :2, -OWN:], expected[..., -OWN:])
    torch.testing.assert_close(g[:, :2, : 2 * encoder], expected[..., : 2 * encoder])
    assert not g[:, :2, 2 * encoder : -OWN].any() and not g[:, 2:].any()
    dB = torch.randn(5, channels, generator=torch.Generator().manual_seed(1), dtype=F64)
    torch.testing.assert_close(error.g_prod(T, x, dB), (g * dB.unsqueeze(1)).sum(-1))
    torch.testing.assert_close(error.g_prod_stage(1, T, x, dB), error.g_prod(T, x, dB)[:, :2])


def test_the_model_does_not_hear_the_errors_channels():
    of, alone = model(), model(error_channels=0)
    x = states(of)
    dB = torch.randn(5, of.noise_channels(T, x), generator=torch.Generator().manual_seed(1), dtype=F64)
    assert torch.equal(of.g_prod(T, x, dB), alone.g_prod(T, x, dB[:, :-OWN]))
    assert not of.g(T, x)[..., -OWN:].any() and torch.equal(of.g(T, x)[..., :-OWN], alone.g(T, x))


def test_noise_of_its_own_adds_its_variance():
    """One step: z has the variance q̄² + ε² Σ_k σ̄_k², so that first and second coefficient of E z² are known."""
    of = model()
    x0 = states(of, 1)[0]
    bar = torch.tensor([[0.0, 0.0, 0.3, -0.2, 0.5], [0.0, 0.0, 0.1, 0.4, 0.2]], dtype=F64)
    family = PerturbedSDE(of, of.encoder_error(None, lambda h, s: bar.expand(len(h), -1, -1)))
    found = expand(
        family,
        lambda x: of.blocks(x).z.square().sum(-1),
        x0,
        TimeGrid(0.0, 1.0, 1),
        method="euler-sequential",
        paths=2**12,
    )
    assert abs(found.first.mean) < 4 * found.first.stderr + 1e-12
    assert abs(found.second.mean - float(bar.square().sum())) < 4 * found.second.stderr


def test_a_diffusion_that_does_not_fit_is_named():
    of = model()
    with refuses(ValueError, "sigma_bar:", "(paths, 2, 2) or (paths, 2, 5)", "(paths, 2, 4)"):
        of.encoder_error(None, lambda h, s: own(h, s)[..., :4]).g(T, states(of))
    with refuses(ValueError, "error_channels: expected", "-1"):
        model(error_channels=-1)


@pytest.mark.parametrize("method", EULER_METHODS)
def test_a_policy_and_an_error_in_time(method):
    """At each step the ones of its time, as when a function of the step is written into the coefficients."""
    actions = torch.tensor([[0.3, -1.0], [0.2, 0.5], [1.0, 0.0]], dtype=F64)
    policy = InTime(lambda t, h, z: actions[int(t)].expand_as(h))
    error = InTime(lambda t, h, s: float(t) * torch.cos(h))
    grid = TimeGrid(0.0, 2.0, 2)
    of = model(policy=policy)
    x = states(of)
    noise = torch.randn(2, 5, of.noise_channels(T, x), generator=torch.Generator().manual_seed(1), dtype=F64)
    found = solve(PerturbedSDE(of, of.encoder_error(error)).at(0.5), x, grid, method=method, noise=noise)
    y = x
    for n in range(2):
        step = model(policy=lambda h, z, n=n: actions[n].expand_as(h))
        at = n + (method == "euler-sequential")  # z sees the end of its step
        family = PerturbedSDE(step, step.encoder_error(lambda h, s, at=at: at * torch.cos(h)))
        y = solve(family.at(0.5), y, TimeGrid(0.0, 1.0, 1), method=method, noise=noise[n : n + 1])
    torch.testing.assert_close(found, y)


def test_losses_along_recorded_actions_expand():
    of = model(policy=InTime(lambda t, h, z: torch.full_like(h, float(t))))
    family = PerturbedSDE(of, of.encoder_error(InTime(lambda t, h, s: torch.sin(h + t)), own))
    loss = SummedLoss(lambda t, x: of.blocks(x).h.square().sum(-1), times=(1.0, 2.0))
    found = expand(family, loss, states(of, 1)[0], TimeGrid(0.0, 2.0, 2), method="euler-sequential", paths=256)
    assert found.second.mean != 0


def test_rollouts_by_itself_take_no_policy_in_time():
    with refuses(ValueError, "model: expected a policy (h, z)", "follows the time"):
        LatentRollout(model(policy=InTime(lambda t, h, z: h)))
