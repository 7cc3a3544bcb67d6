"""Losses under perturbed images: predicted, measured, and whether a wrong prediction would be seen."""

from dataclasses import replace

import pytest
import torch
from small_agents import F64, PIXELS, WALKER, random_episode, tiny_agent
from support import refuses

from sdewm import InTime
from sdewm.noise.increments import StoredIncrements
from sdewm.solvers.loop import trajectory
from sdewm.worldmodel import GaussianNoise, Rotation, initial_state, load_trained, to_sequences
from sdewm.worldmodel import loss_prediction as module
from sdewm.worldmodel.loss_prediction import CLOSE, LOSSES, Windows, predict_losses
from sdewm.worldmodel.measured_increase import losses_of_paths, measure_losses
from sdewm.worldmodel.open_loop_loss import open_loop_loss
from sdewm.worldmodel.representation_error import RepresentationError, posterior_embedding

WINDOWS = Windows(starts=(10, 30), steps=4, ahead=3)


def rough(frame, rng):
    """A shift, and noise: a drift and a diffusion."""
    return (frame + 0.01 + 0.02 * rng.normal(size=frame.shape)).clip(0, 1)


@pytest.fixture(scope="module")
def walker():
    agent, episodes = load_trained()
    return agent.world_model, episodes[:1]


@pytest.fixture(scope="module")
def turned(walker):
    """By three degrees: J_R rises by its slope, J_D more by its curvature; J_L is beyond the second order."""
    model, episodes = walker
    found = measure_losses(model, Rotation(-3.0), episodes, windows=WINDOWS, paths=64, seed=1)
    return predict_losses(model, Rotation(-3.0), episodes, windows=WINDOWS, paths=16), found


def near(predicted, measured) -> bool:
    """Within a fifth, error bars included: nothing is left to them."""
    noise = 4 * (predicted.stderr**2 + measured.stderr**2) ** 0.5
    return abs(predicted.mean - measured.mean) + noise < CLOSE * abs(measured.mean)


def holding(predicted, measured) -> set[str]:
    return {loss for loss in LOSSES if near(predicted[loss].increase, measured[loss])}


def test_what_is_predicted_is_measured(turned):
    predicted, measured = turned
    assert {"J_R", "J_D"} <= holding(predicted, measured)
    assert not predicted["J_R"].flags
    for loss in LOSSES:
        assert near(predicted[loss].simulated, measured[loss]) or loss == "J_O"


def test_a_drift_of_the_wrong_sign_is_seen(walker, turned, monkeypatch):
    right = RepresentationError.coefficients

    def wrong(error, *args, **kwargs):
        found = right(error, *args, **kwargs)
        return replace(found, sigma=InTime(lambda t, h, s: -found.sigma(t, h, s)))

    monkeypatch.setattr(RepresentationError, "coefficients", wrong)
    model, episodes = walker
    found = predict_losses(model, Rotation(-3.0), episodes, windows=WINDOWS, paths=16)
    assert not {"J_R", "J_D"} & holding(found, turned[1])


def test_a_curvature_that_is_dropped_is_seen(walker, turned, monkeypatch):
    right = module.terms_along

    def wrong(*args):
        found = right(*args)
        return {key: 0 * value if key[1] in ("S", "S~") else value for key, value in found.items()}

    monkeypatch.setattr(module, "terms_along", wrong)
    model, episodes = walker
    found = predict_losses(model, Rotation(-3.0), episodes, windows=WINDOWS, paths=16)
    assert "J_D" not in holding(found, turned[1])
    assert any("fitted SDE" in flag for flag in found["J_D"].flags)  # and the prediction itself says so


def test_fit_and_measurement_share_no_draw(walker):
    """At one seed: every generator that the one makes is unlike every generator of the other."""
    model, episodes = walker
    drawn: dict[str, set[float]] = {"fit": set(), "measured": set()}

    def noting(name):
        def perturbation(frame, rng):
            drawn[name].add(float(rng.random()))
            return frame

        return perturbation

    predict_losses(model, noting("fit"), episodes, windows=Windows((10,), 2, 1), draws=8, paths=16, seed=3)
    measure_losses(model, noting("measured"), episodes, windows=Windows((10,), 2, 1), paths=16, seed=3)
    assert len(drawn["fit"]) == 8 * len(episodes[0]) and len(drawn["measured"]) == 16 * 2
    assert not drawn["fit"] & drawn["measured"]


def test_where_the_series_fails_a_flag_says_so(walker):
    model, episodes = walker
    found = predict_losses(model, Rotation(10.0), episodes, windows=WINDOWS, paths=16)
    measured = measure_losses(model, Rotation(10.0), episodes, windows=WINDOWS, paths=64)
    assert any("third order" in flag for flag in found["J_D"].flags)
    assert any("fitted SDE" in flag for flag in found["J_D"].flags)
    assert not near(found["J_D"].increase, measured["J_D"]) and near(found["J_D"].simulated, measured["J_D"])
    low, high = found["J_D"].interval()
    assert low <= measured["J_D"].mean <= high


@pytest.mark.parametrize("config", [PIXELS, WALKER], ids=["pixels", "walker"])
def test_parts_are_the_whole(config):
    model, episodes = tiny_agent(config).world_model, [random_episode(config, seed) for seed in range(2)]
    found = predict_losses(model, rough, episodes, windows=Windows((5, 20), 3, 2), draws=16, paths=32)
    for one in found.losses.values():
        assert sum(part.mean for part in one.parts.values()) == pytest.approx(one.increase.mean)
        assert one.first.mean + one.second.mean == pytest.approx(one.increase.mean)
        assert one.increase.mean + one.cut.mean == pytest.approx(one.simulated.mean)
        assert one.increase.stderr > one.parts["drift", "curvature"].stderr > 0
        low, high = one.interval()
        assert low < min(one.increase.mean, one.simulated.mean) < max(one.increase.mean, one.simulated.mean) < high
    assert found.paths == 2 * 2 * 32 and found.error.draws == 16


def test_the_series_is_that_of_the_error_scaled():
    """Half the drift and a quarter of the curvature where the perturbation is halved and small."""
    model, episodes = tiny_agent(WALKER).world_model, [random_episode(WALKER, 0)]
    windows = Windows((5,), 3, 2)
    found = [
        predict_losses(model, lambda f, rng, size=size: f + size, episodes, windows=windows, paths=32)
        for size in (2e-4, 1e-4)
    ]
    for loss in LOSSES:
        large, small = (f[loss] for f in found)
        assert large.first.mean == pytest.approx(2 * small.first.mean, rel=0.02)
        assert large.parts["drift", "curvature"].mean == pytest.approx(
            4 * small.parts["drift", "curvature"].mean, rel=0.02
        )


@pytest.mark.parametrize("config", [PIXELS, WALKER], ids=["pixels", "walker"])
def test_of_small_noise_the_series_leaves_nothing_out(config):
    """Its curvature, which noise brings by its diffusion, is many times what the fitted SDE has beyond the series."""
    model, episodes = tiny_agent(config).world_model, [random_episode(config, 0)]
    noise = GaussianNoise(0.0, 0.01**2, clip=False)
    found = predict_losses(model, noise, episodes, windows=Windows((5, 20), 3, 2), draws=16, paths=32)
    for one in found.losses.values():
        assert abs(one.cut.mean) < 0.1 * abs(one.parts["diffusion", "curvature"].mean)


def test_a_perturbation_that_stays_is_flagged():
    model, episodes = tiny_agent(PIXELS).world_model, [random_episode(PIXELS, 0)]
    kept = {}

    def stays(frame, rng):
        if rng not in kept:
            kept[rng] = 0.05 * rng.normal(size=frame.shape)
        return frame + kept[rng]

    found = predict_losses(model, stays, episodes, windows=Windows((5,), 3, 2), draws=16, paths=16)
    assert any("a step before" in flag for flag in found["J_O"].flags)


@pytest.mark.parametrize("config", [PIXELS, WALKER], ids=["pixels", "walker"])
def test_the_models_own_steps_and_the_sdes_are_one(config):
    """The referee's paths, written out, against those of the SDE under the recorded actions on the same noise."""
    agent, records = tiny_agent(config), random_episode(config, 0)
    model, episode = agent.world_model, to_sequences(records[None], F64)
    windows, start, paths = Windows((10,), 4, 3), 10, 6
    noise = torch.randn(4, 2, paths, config.stoch, generator=torch.Generator().manual_seed(0), dtype=F64)
    embedding = posterior_embedding(model, records["observation"][start + 1 : start + 5])
    own = losses_of_paths(model, episode, start, windows, embedding.expand(paths, -1, -1), noise)
    grid = windows.grid(start)
    sde = agent.as_sde(episode.observations[0], actions=episode.actions[0])
    x0 = initial_state(model, episode.observations[0], episode.actions[0], start)
    increments = StoredIncrements(torch.cat([noise[:, 0], noise[:, 1]], -1))
    losses = windows.losses(model, episode, grid)
    total = dict.fromkeys(losses, 0.0)
    for i, t, x in trajectory(sde, x0, grid, method="euler-sequential", noise=increments):
        if i:
            total = {name: total[name] + losses[name].fn(t, x) / 4 for name in losses}
    for name in LOSSES:
        torch.testing.assert_close(own[name], total[name], rtol=1e-9, atol=1e-12)


def test_clean_images_raise_nothing():
    model, episodes = tiny_agent(PIXELS).world_model, [random_episode(PIXELS, 0)]
    found = measure_losses(model, lambda frame, rng: frame, episodes, windows=Windows((5,), 3, 2), paths=16)
    assert all(abs(one.mean) < 1e-6 for one in found.values())  # images are float32 on their way


@pytest.mark.parametrize("config", [PIXELS, WALKER], ids=["pixels", "walker"])
def test_a_guess_ahead_is_that_of_the_open_loop(config):
    agent, records = tiny_agent(config), random_episode(config, 0)
    model, episode = agent.world_model, to_sequences(records[None], F64)
    x = initial_state(model, episode.observations[0], episode.actions[0], 6)[None]
    z, h = x[:, : config.stoch], x[:, config.stoch : config.stoch + config.deter]
    hs, zs = model.predict(h, z, episode.actions[:, 6:10])
    error = model.decode(hs[:, -1], zs[:, -1]) - model.standardize(episode.observations[:, 10])
    expected = 0.5 * error.flatten(1).square().mean(1)
    torch.testing.assert_close(open_loop_loss(model, episode, 4)(6.0, x), expected)
    with refuses(ValueError, "t: expected 0 to 35, 4 steps before the end, got 36"):
        open_loop_loss(model, episode, 4)(36.0, x)


def test_episodes_that_are_too_short_are_named():
    model, episodes = tiny_agent(PIXELS).world_model, [random_episode(PIXELS, 0)]
    with refuses(ValueError, "episodes: expected at least 81 steps in each, got one of 40"):
        predict_losses(model, rough, episodes)
    with refuses(ValueError, "episodes: expected at least 81 steps in each, got none"):
        measure_losses(model, rough, [])
    with refuses(ValueError, "steps: expected", "0"):
        Windows(steps=0)
