"""A trained agent looked at: evaluation, perturbed images, open-loop prediction and its pictures."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support import refuses
from training_runs import PIXELS

from sdewm.worldmodel import (
    EnvironmentFailure,
    PointMass,
    Rotation,
    Step,
    evaluate,
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
from sdewm.worldmodel.replay import to_episode


def test_agents_are_evaluated_on_the_same_starts(whole):
    agent = load_agent(whole)
    first, again = (evaluate(agent, PointMass, episodes=3, seed=5) for _ in range(2))
    assert first == again and len(set(first.returns)) == 3
    assert evaluate(agent, PointMass, episodes=3, seed=6).returns != first.returns
    assert first.estimate.mean == pytest.approx(np.mean(first.returns))
    assert first.estimate.stderr == pytest.approx(np.std(first.returns, ddof=1) / 3**0.5)


@pytest.fixture(scope="module")
def seeing(tmp_path_factory) -> Path:
    """A run from pixels."""
    run = tmp_path_factory.mktemp("seeing")
    train(run, replace(PIXELS, frames=160))
    return run


def test_a_run_from_pixels_sees_perturbed_images(seeing):
    agent = load_agent(seeing)
    returns = [
        evaluate(agent, lambda: PointMass(16), episodes=2, seed=0, perturbation=p).returns
        for p in (None, Rotation(0), Rotation(40))
    ]
    np.testing.assert_allclose(returns[0], returns[1], rtol=1e-5)
    assert returns[2] != returns[0]


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


def test_images_must_be_bytes():
    episode = to_episode([Step(np.zeros((1, 4, 4), np.uint8), 0.0, False, False)] * 2, [np.zeros(1)])
    assert episode["observation"].dtype == np.uint8
    Floating = type("Floating", (PointMass,), {"_observe": lambda self: np.zeros((1, 16, 16))})
    with pytest.raises(EnvironmentFailure, match="expected an image of uint8, got float64"):
        play(Floating(16), random_policy(1, seed=0), seed=0)
