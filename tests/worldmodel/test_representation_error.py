"""The error that perturbed images make in the latent: its moments, its error bars, what the theory assumes of it."""

import math

import numpy as np
import pytest
import torch
from small_agents import F64, PIXELS, STATE, WALKER, latents, random_episode, tiny_agent
from support import refuses

from sdewm.worldmodel import GaussianNoise, Rotation, load_trained
from sdewm.worldmodel.held_out_error import held_out
from sdewm.worldmodel.representation_error import perturbed_frames, representation_error

NOISE = GaussianNoise(0.0, 0.1**2, clip=False)


class Stays:
    """Noise that is drawn once for an episode: kept for as long as the generator is the same."""

    def __init__(self):
        self.rng, self.noise = None, None

    def __call__(self, frame, rng):
        if rng is not self.rng:
            self.rng, self.noise = rng, 0.1 * rng.normal(size=frame.shape)
        return frame + self.noise


def test_of_one_draw_the_drift_is_the_change_of_the_posterior():
    agent, records = tiny_agent(PIXELS), random_episode(PIXELS, 0)
    model, t = agent.world_model, torch.tensor(7.0, dtype=F64)
    error = representation_error(model, lambda frame, rng: frame[:, ::-1] ** 2, [records])
    found = error.coefficients(0)
    h, _ = latents(agent, 4, PIXELS)
    frame = records["observation"][7].astype(np.float32) / 255
    clean, changed = (
        model.posterior(h, model.embed(torch.from_numpy(image.copy()).to(F64)).expand(4, -1))
        for image in (frame, frame[:, ::-1] ** 2)
    )
    torch.testing.assert_close(found.sigma(t, h, None), changed.mean - clean.mean, rtol=1e-5, atol=1e-6)
    bar = found.sigma_bar(t, h, None)
    torch.testing.assert_close(bar, torch.diag_embed(changed.std - clean.std), rtol=1e-5, atol=1e-6)
    assert found.error_channels == 0 and error.size.stderr == 0 and error.size.mean == error.drift.mean


@pytest.mark.parametrize("config", [PIXELS, WALKER, STATE], ids=["pixels", "walker", "state"])
def test_moments_are_those_of_the_posteriors_over_draws(config):
    """By another route: each perturbed frame embedded by itself, numpy's mean and covariance."""
    agent, records, t = tiny_agent(config), random_episode(config, 0), 5
    model, draws = agent.world_model, 16
    drawn = []

    def perturbation(frame, rng):
        drawn.append(frame + 0.1 * rng.normal(size=frame.shape))
        return drawn[-1]

    found = representation_error(model, perturbation, [records], draws=draws).coefficients(0)
    frames = np.stack(drawn).reshape(draws, len(records), *model.observation_shape)[:, t].astype(np.float32)
    h, _ = latents(agent, 3, config)
    time = torch.tensor(float(t), dtype=F64)
    sigma, bar = found.sigma(time, h, None), found.sigma_bar(time, h, None)
    clean = torch.from_numpy(records["observation"][t] / (255 if model.images else 1)).to(F64)
    for path in range(3):
        posteriors = [model.posterior(h[path], model.embed(torch.from_numpy(f).to(F64))) for f in frames]
        means, stds = (np.stack([p[i].numpy() for p in posteriors]) for i in (0, 1))
        base = model.posterior(h[path], model.embed(clean))
        np.testing.assert_allclose(sigma[path], means.mean(0) - base.mean.numpy(), rtol=1e-4, atol=1e-6)
        own = bar[path, :, config.stoch :]
        assert own.shape[-1] == found.error_channels == draws
        np.testing.assert_allclose(own @ own.T, np.cov(means.T), rtol=1e-4, atol=1e-8)
        shared = np.sqrt((stds**2).mean(0)) - base.std.numpy()
        np.testing.assert_allclose(bar[path, :, : config.stoch], np.diag(shared), rtol=1e-4, atol=1e-6)


def test_kept_draws_are_those_of_a_fit_without_the_others():
    agent, records = tiny_agent(PIXELS), random_episode(PIXELS, 0)
    h, _ = latents(agent, 2, PIXELS)
    t = torch.tensor(3.0, dtype=F64)
    error = representation_error(agent.world_model, NOISE, [records], draws=16)
    few = representation_error(agent.world_model, NOISE, [records], draws=8)  # the first 8 draws are the same
    kept, alone = error.coefficients(0, keep=range(8)), few.coefficients(0)
    torch.testing.assert_close(kept.sigma(t, h, None), alone.sigma(t, h, None))
    bar = kept.sigma_bar(t, h, None)
    torch.testing.assert_close(bar[..., :-8], alone.sigma_bar(t, h, None))
    assert not bar[..., -8:].any()


def test_sizes_are_in_spreads_and_without_the_noise_of_the_draws():
    """Noise alone drifts by what the encoder bends; a shift of all images by itself."""
    agent, records = tiny_agent(PIXELS), random_episode(PIXELS, 0)
    model = agent.world_model
    sizes = {
        scale: representation_error(model, GaussianNoise(0.0, scale**2, clip=False), [records])
        for scale in (0.01, 0.02)
    }
    small, large = sizes.values()
    assert large.size.mean / small.size.mean == pytest.approx(2, rel=0.05)
    assert small.drift.mean < 0.2 * small.size.mean  # 1/8 would be the noise of 64 draws
    model.latent_spread.mul_(2)
    halved = representation_error(model, GaussianNoise(0.0, 0.01**2, clip=False), [records])
    assert halved.size.mean == pytest.approx(small.size.mean / 2)
    assert "of the latent's spread" in str(halved)


def test_dependence_in_time_is_seen():
    agent, records = tiny_agent(PIXELS), random_episode(PIXELS, 0)
    found = {
        name: representation_error(agent.world_model, p, [records])
        for name, p in (("noise", NOISE), ("stays", Stays()))
    }
    for lag in range(5):
        fresh, kept = (found[name].correlation[lag] for name in ("noise", "stays"))
        assert abs(fresh.mean) < 4 * fresh.stderr
        assert kept.mean > 0.3 and kept.stderr < 0.1


def test_a_heavy_tail_is_seen():
    agent, records = tiny_agent(PIXELS), random_episode(PIXELS, 0)

    def rarely(frame, rng):
        return frame + (rng.random() < 0.05) * rng.normal(size=frame.shape)

    normal, heavy = (representation_error(agent.world_model, p, [records]).excess for p in (NOISE, rarely))
    assert abs(normal.mean) < 0.5 and heavy.mean > 3


def test_on_other_episodes_the_drifts_error_bars_are_right():
    agent = tiny_agent(PIXELS)
    episodes = [random_episode(PIXELS, seed) for seed in range(3)]
    error = representation_error(agent.world_model, NOISE, episodes[:1])
    found = held_out(error, episodes[1:], seed=1)
    assert abs(found.off - 1) < 4 * found.off_stderr < 0.3
    with refuses(ValueError, "seed: expected another than the fit's", "got 0"):
        held_out(error, episodes[1:], seed=0)


def test_constants_do_for_noise_and_not_for_rotations():
    agent, episodes = load_trained()
    found = {
        type(p).__name__: held_out(representation_error(agent.world_model, p, episodes[:1], draws=16), episodes[1:2], 1)
        for p in (GaussianNoise(0.0, 0.04**2), Rotation(2.0))
    }
    assert found["GaussianNoise"].variance_explained > 0.8
    assert found["Rotation"].drift_explained < 0.5
    assert found["Rotation"].same and math.isnan(found["Rotation"].off)


def test_draws_differ_by_draw_seed_and_frame():
    model = tiny_agent(PIXELS).world_model
    observations = random_episode(PIXELS, 0)["observation"][:3] * 0
    drawn = perturbed_frames(model, NOISE, observations, 4, seed=0)
    assert len(np.unique(drawn[..., 0, 0, 0])) == 12
    assert not np.isin(perturbed_frames(model, NOISE, observations, 4, seed=1), drawn).any()
    assert np.array_equal(perturbed_frames(model, NOISE, observations, 2, seed=0), drawn[:2])


def test_what_cannot_be_is_named():
    model, records = tiny_agent(PIXELS).world_model, random_episode(PIXELS, 0)
    with refuses(ValueError, "perturbation: expected a frame of shape (1, 8, 8) back, got (8, 8)"):
        representation_error(model, lambda frame, rng: frame[0], [records])
    with refuses(ValueError, "perturbation: expected finite numbers back"):
        representation_error(model, lambda frame, rng: frame / 0, [records])
    with refuses(ValueError, "draws:", "at least 8", "4"):
        representation_error(model, NOISE, [records], draws=4)
    with refuses(ValueError, "episodes: expected at least one"):
        representation_error(model, NOISE, [])
    with refuses(ValueError, "episodes: expected observations (1, 8, 8), got (3,)"):
        representation_error(model, NOISE, [random_episode(STATE, 0)])
    found = representation_error(model, NOISE, [records], draws=8).coefficients(0)
    for t in (0.5, 40.0):
        with refuses(ValueError, "t: expected a whole step of the episode, 0 to 39", f"{t:g}"):
            found.sigma(torch.tensor(t), torch.zeros(1, 5, dtype=F64), None)
