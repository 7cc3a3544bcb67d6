"""Episodes of a trained agent: evaluated on the same starts, through perturbed images."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from training_runs import PIXELS

from sdewm.worldmodel import (
    EnvironmentFailure,
    PointMass,
    Rotation,
    TimeStep,
    evaluate,
    load_agent,
    play,
    random_policy,
    train,
)
from sdewm.worldmodel.replay import to_episode


def test_agents_are_evaluated_on_the_same_starts(whole):
    agent = load_agent(whole)
    first, again = (evaluate(agent, PointMass, count=3, seed=5) for _ in range(2))
    assert first == again and len(set(first.returns)) == 3
    assert evaluate(agent, PointMass, count=3, seed=6).returns != first.returns
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
        evaluate(agent, lambda: PointMass(16), count=2, seed=0, perturbation=p).returns
        for p in (None, Rotation(0), Rotation(40))
    ]
    np.testing.assert_allclose(returns[0], returns[1], rtol=1e-5)
    assert returns[2] != returns[0]


def test_images_must_be_bytes():
    episode = to_episode([TimeStep(np.zeros((1, 4, 4), np.uint8), 0.0, False, False)] * 2, [np.zeros(1)])
    assert episode["observation"].dtype == np.uint8
    Floating = type("Floating", (PointMass,), {"_observe": lambda self: np.zeros((1, 16, 16))})
    with pytest.raises(EnvironmentFailure, match="expected an image of uint8, got float64"):
        play(Floating(16), random_policy(1, seed=0), seed=0)
