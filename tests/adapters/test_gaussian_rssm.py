"""A model from functions: its steps are those of the SDE, and what does not fit is named."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from support import refuses
from torch import nn

from sdewm import LatentRollout, TimeGrid, solve, verify
from sdewm.adapters import GaussianRSSM, Recording
from sdewm.adapters.gaussian_rssm import latent_spread
from sdewm.worldmodel.sde import recorded_actions

Z, H, S, A = 3, 6, 4, 2


@pytest.fixture(scope="module")
def model() -> GaussianRSSM:
    torch.manual_seed(0)
    cell, see, guess, say, act, head = (
        nn.GRUCell(Z + A, H),
        nn.Linear(H + S, 2 * Z),
        nn.Linear(H, 2 * Z),
        nn.Linear(H + Z, S),
        nn.Linear(H + Z, A),
        nn.Linear(H + Z, 1),
    )
    for part in (cell, see, guess, say, act, head):
        part.double()

    def gaussian(x):
        mean, raw = x.chunk(2, -1)
        return mean, 0.1 + 0.3 * torch.sigmoid(raw)

    return GaussianRSSM(
        recurrent=lambda h, z, a: cell(torch.cat([z, a], -1), h),
        prior=lambda h: gaussian(guess(h)),
        posterior=lambda h, e: gaussian(see(torch.cat([h, e], -1))),
        decoder=lambda h, z: say(torch.cat([h, z], -1)),
        policy=lambda h, z: torch.tanh(act(torch.cat([h, z], -1))),
        reward=lambda h, z: head(torch.cat([h, z], -1)),
        h0=torch.zeros(H, dtype=torch.float64),
    )


@pytest.fixture(scope="module")
def episode() -> Recording:
    generator = torch.Generator().manual_seed(1)
    return Recording(*(torch.randn(14, n, generator=generator, dtype=torch.float64) for n in (S, A)), torch.ones(14))


def test_sizes_are_found(model):
    assert tuple(model.sizes) == (Z, H, Z, S) and model.action_size == A


def test_a_step_of_the_sde_is_a_step_of_the_model(model, episode):
    """h from the old z, then z, z̃ and s̃ from the new h; z from the new observation."""
    filtered, sde = model.filter(episode), model.as_sde(episode)
    x0 = model.x0(filtered, 3)
    noise = torch.zeros(1, 1, 2 * Z, dtype=torch.float64)
    noise[..., :Z], noise[..., Z:] = 0.7, -0.4
    x = sde.blocks(solve(sde, x0, TimeGrid(3.0, 4.0, 1), method="euler-sequential", noise=noise))
    old = sde.blocks(x0.unsqueeze(0))
    h = model.recurrent(old.h, old.z, model.policy(old.h, old.z))
    mean, std = model.posterior(h, episode.observations[4:5])
    guess, width = model.prior(h)
    torch.testing.assert_close(x.h, h)
    torch.testing.assert_close(x.z, mean + 0.7 * std)
    torch.testing.assert_close(x.z_tilde, guess - 0.4 * width)
    torch.testing.assert_close(x.s_tilde, model.decoder(h, guess - 0.4 * width))


def test_filtering_and_prediction_are_the_parts_in_turn(model, episode):
    h = torch.zeros(1, H, dtype=torch.float64)
    for t in range(3):
        mean, _ = model.posterior(h, episode.observations[t : t + 1])
        torch.testing.assert_close(model.filter(episode).h[t : t + 1], h)
        h = model.recurrent(h, mean, episode.actions[t : t + 1])
    filtered = model.filter(episode)
    said = model.predict(filtered.h[2:3], filtered.mean[2:3], episode.actions[2:4].unsqueeze(0))
    torch.testing.assert_close(said[0, :1], model.decoder(h, model.prior(h)[0]))
    h = model.recurrent(h, model.prior(h)[0], episode.actions[3:4])
    torch.testing.assert_close(said[0, 1:], model.decoder(h, model.prior(h)[0]))


def test_losses_are_those_of_the_episode(model, episode):
    losses, sde = model.losses(episode), model.as_sde(episode)
    x = model.x0(model.filter(episode), 5).unsqueeze(0)
    blocks = sde.blocks(x)
    expected = 0.5 * (blocks.s_tilde - episode.observations[5]).square().mean()
    torch.testing.assert_close(losses["reconstruction"](5.0, x)[0], expected)
    reward = 0.5 * (model.reward(blocks.h, blocks.z_tilde)[0, 0] - 1).square()
    torch.testing.assert_close(losses["reward"](5.0, x)[0], reward)
    assert set(model.losses(episode._replace(rewards=None))) == {"reconstruction"}


def test_the_system_is_verified(model, episode):
    report = verify(model.system(episode, start=2, steps=4), ["expansion", "divergence"])
    assert report.ok, report
    assert LatentRollout(model.as_sde(episode)).dimension == H + Z


def test_a_system_can_act_as_the_record_did(model, episode):
    system = model.system(episode, start=3, steps=1, policy=recorded_actions(episode.actions))
    sde = system.family.base
    old = sde.blocks(system.x0.unsqueeze(0))
    noise = torch.zeros(1, 1, 2 * Z, dtype=torch.float64)
    x = sde.blocks(solve(sde, system.x0, system.grid, method="euler-sequential", noise=noise))
    torch.testing.assert_close(x.h, model.recurrent(old.h, old.z, episode.actions[3:4]))


def test_the_spread_is_that_of_draws(model, episode):
    filtered = model.filter(episode)
    draws = filtered.mean + filtered.std * torch.randn(4000, 14, Z, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(latent_spread([filtered]), draws.flatten(0, 1).std(0), rtol=0.03, atol=0.0)


def test_images_are_brought_to_one(model):
    images = torch.full((5, S), 51, dtype=torch.uint8)
    assert model.recording(Recording(images, torch.zeros(5, A))).observations.unique().tolist() == [0.2]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"recurrent": lambda h, z, a: h[:, :2]}, "recurrent: expected the shape of h, (3, 6), got (3, 2)"),
        ({"recurrent": lambda h, z, a: h.float()}, "recurrent: expected torch.float64, as h0 has, got torch.float32"),
        ({"prior": lambda h: h}, r"prior: expected (mean, std), got a tensor"),
        ({"prior": lambda h: (h, h)}, "prior: expected positive standard deviations, got 0"),
        ({"prior": lambda h: (h, h[:, :1] + 1)}, "prior: expected mean and std alike"),
        ({"policy": lambda h, z: h[:, 0]}, "policy: expected (3, actions), got a tensor of shape (3,)"),
        ({"policy": lambda h, z: torch.zeros(2, A).double()}, "policy: expected 3 rows, got a tensor"),
        ({"decoder": lambda h, z: h @ z}, "decoder: expected a function of torch.float64 rows, and it raised"),
        ({"reward": lambda h, z: h}, "reward: expected one number a row, got shape (3, 6)"),
        ({"h0": torch.zeros(2, 6)}, "h0: expected floating-point numbers (h,)"),
        ({"embed": 3}, "embed: expected a function"),
    ],
)
def test_a_part_that_does_not_fit_is_named(model, changed, words):
    with refuses((ValueError, TypeError), words):
        replace(model, **changed)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"actions": torch.zeros(14, A + 1)}, "actions: expected shape (times, 2), as the policy's, got (14, 3)"),
        ({"observations": torch.zeros(13, S)}, "observations: expected 14 of them, as there are actions"),
        ({"observations": torch.full((14, S), torch.nan)}, "observations: expected finite numbers"),
        ({"rewards": torch.zeros(3)}, "rewards: expected 14, one a time"),
    ],
)
def test_an_episode_that_does_not_fit_is_named(model, episode, changed, words):
    with refuses(ValueError, words):
        model.recording(episode._replace(**changed))


def test_a_stretch_beyond_the_episode_is_refused(model, episode):
    with refuses(ValueError, "start, steps: expected at most 13 together, got 10 and 8"):
        model.system(episode)
    with refuses(ValueError, "sigma: expected shape (3,), as z has, got (2,)"):
        model.system(episode, start=2, sigma=torch.zeros(2))


def test_a_decoder_of_other_numbers_than_the_target_is_named(model, episode):
    with refuses(ValueError, "target: expected 4 numbers, as the decoder gives, got 1"):
        replace(model, target=lambda s: s[:, :1]).losses(episode)
