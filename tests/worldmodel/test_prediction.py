"""Open loops, their errors and their pictures."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support import refuses
from training_runs import PIXELS

from sdewm.worldmodel import (
    PointMass,
    load_agent,
    open_loop,
    open_loop_error,
    play,
    prediction_video,
    random_policy,
    to_sequences,
    train,
    write_gif,
)
from sdewm.worldmodel.prediction import windows


@pytest.fixture(scope="module")
def seeing(tmp_path_factory) -> Path:
    """A run from pixels."""
    run = tmp_path_factory.mktemp("seeing")
    train(run, replace(PIXELS, frames=160))
    return run


def test_open_loop_prediction_and_its_video(seeing, tmp_path):
    model = load_agent(seeing).world_model
    episode = play(PointMass(16), random_policy(1, seed=1), seed=1)[:12]
    batch = to_sequences(episode[None])
    predicted = open_loop(model, batch, context=4)
    later = batch._replace(observations=batch.observations.clone())
    later.observations[:, 4:] = 0
    assert predicted.shape == (1, len(episode) - 4, 1, 16, 16)
    assert torch.equal(open_loop(model, later, context=4), predicted)  # it does not see what it predicts
    error = open_loop_error(model, batch, context=4)
    expected = 0.5 * (predicted - model.standardize(batch.observations[:, 4:])).square().flatten(2).sum(-1)
    torch.testing.assert_close(error.predicted, expected.mean(0))
    pictures = prediction_video(model, episode, context=4)
    assert len(pictures) == len(episode) and pictures[0].shape == (192, 384, 3)
    np.testing.assert_array_equal(pictures[5][::12, :192:12, 0], episode["observation"][5, 0])
    write_gif(tmp_path / "video.gif", pictures)
    with Image.open(tmp_path / "video.gif") as gif:
        assert gif.size == (384, 192) and gif.n_frames > 1
    with refuses(ValueError, "context: expected 1 to 11 of the 12 steps, got 12"):
        open_loop(model, batch, context=12)


def test_an_open_loop_takes_the_actions_in_their_turn(seeing):
    """The action at t first shows in what is predicted for t + 1: one step later it would be another's."""
    model, context = load_agent(seeing).world_model, 4
    batch = to_sequences(play(PointMass(16), random_policy(1, seed=1), seed=1)[None, :10])
    predicted = open_loop(model, batch, context)
    for t in range(10):
        other = batch._replace(actions=batch.actions.clone())
        other.actions[:, t] = -torch.sign(batch.actions[:, t])
        changed = (open_loop(model, other, context) != predicted).flatten(2).any(-1)[0]
        assert changed.tolist() == [context + n > t for n in range(10 - context)], t


def test_a_model_of_states_has_no_pictures(whole):
    episode = play(PointMass(), random_policy(1, seed=1), seed=1)
    with refuses(ValueError, "prediction_video: expected a model that sees images"):
        prediction_video(load_agent(whole).world_model, episode, context=4)


def test_errors_of_an_open_loop_are_sums_over_the_observation_of_three_guesses(seeing):
    model, generator = load_agent(seeing).world_model, torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (3, 9, 1, 16, 16), generator=generator, dtype=torch.uint8)
    batch = to_sequences(np.stack([play(PointMass(16), random_policy(1, n), n)[:9] for n in range(3)]))
    batch = batch._replace(observations=images)
    error, truth = open_loop_error(model, batch, 5), model.standardize(images)
    for guess, found in (
        (open_loop(model, batch, 5), error.predicted),
        (truth[:, 4:5].expand(-1, 4, -1, -1, -1), error.held),
        (torch.zeros(3, 4, 1, 16, 16), error.mean),
    ):
        expected = torch.stack([0.5 * (guess[:, n] - truth[:, 5 + n]).square().sum((1, 2, 3)).mean() for n in range(4)])
        torch.testing.assert_close(found, expected)


def test_windows_stay_within_their_episode():
    episodes = [play(PointMass(), random_policy(1, seed=number), seed=number)[:n] for number, n in ((0, 20), (1, 13))]
    batch = windows(episodes, 8)
    starts = [(0, 0), (0, 4), (0, 8), (0, 12), (1, 0), (1, 4)]
    assert len(batch.rewards) == len(starts)
    for row, (number, start) in zip(batch.observations, starts, strict=True):
        np.testing.assert_array_equal(row, episodes[number]["observation"][start : start + 8])
    with refuses(ValueError, "length: expected at most the 20 steps of an episode, got 21"):
        windows(episodes, 21)
