"""Errors of the encoder: their laws, how often they are drawn, and their unit."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from small_agents import F64, tiny_agent
from support import FALSE_FAILURE, refuses

from sdewm.worldmodel import EncoderError, Learner, preset


def moments(kind: str, **options) -> tuple[torch.Tensor, torch.Tensor]:
    """Errors and their half width around the mean at the tests' false-failure rate, over 4,000 sequences."""
    error = EncoderError(kind, **options).draw(4000, 3, torch.ones(2, dtype=F64), torch.Generator().manual_seed(0))
    return error, stats.norm.ppf(1 - FALSE_FAILURE / 2) * error.std() / math.sqrt(4000)


def test_an_error_without_drift_has_mean_zero_and_its_variance():
    error, half_width = moments("zero-drift", variance=5.0)
    assert error.shape == (4000, 3, 2) and abs(error.mean()) < half_width
    n = error.numel()
    low, high = stats.chi2.ppf([FALSE_FAILURE / 2, 1 - FALSE_FAILURE / 2], n) / n * 5
    assert low < float(error.square().mean()) < high


def test_an_error_with_drift_has_uniform_mean_and_variance():
    error, half_width = moments("non-zero-drift", variance=3.0, mean=5.0)
    assert abs(error.mean() - 2.5) < half_width
    # Var e = E σ² + Var μ; the coordinates of one step share μ, so that their covariance is Var μ.
    between = (error[..., 0] - 2.5) * (error[..., 1] - 2.5)
    spread = stats.norm.ppf(1 - FALSE_FAILURE / 2) * between.std() / math.sqrt(4000)
    assert abs(between.mean() - 25 / 12) < spread


@pytest.mark.parametrize("redraw", ["step", "episode"])
def test_the_law_is_drawn_anew_at_every_step_or_held(redraw):
    law = EncoderError("non-zero-drift", variance=0.0, mean=5.0, redraw=redraw)
    error = law.draw(6, 7, torch.ones(2), torch.Generator().manual_seed(0))[..., 0]
    assert error[:, 0].unique().numel() == 6
    assert error[0].unique().numel() == (7 if redraw == "step" else 1)
    stream = law.stream(torch.ones(2), torch.Generator().manual_seed(0))
    assert torch.stack([next(stream)[0, 0] for _ in range(7)]).unique().numel() == (7 if redraw == "step" else 1)


def test_errors_in_units_of_the_latents_own_spread():
    spread = torch.tensor([0.5, 2.0])
    drawn = [
        EncoderError("zero-drift", variance=1.0, unit=unit).draw(3, 4, spread, torch.Generator().manual_seed(0))
        for unit in ("absolute", "spread")
    ]
    torch.testing.assert_close(drawn[1], drawn[0] * spread)
    assert EncoderError().draw(3, 4, spread, torch.Generator()) is None
    assert next(EncoderError().stream(spread, torch.Generator())) is None


def test_the_agent_acts_under_the_error_and_training_draws_it():
    agent = tiny_agent()
    observations = np.random.default_rng(0).normal(size=(6, 3))
    clean, wrong, again = (
        [policy(s) for s in observations]
        for policy in (
            agent.policy(explore=False, error=error, seed=1)
            for error in (EncoderError(), *[EncoderError("zero-drift", variance=1.0)] * 2)
        )
    )
    assert np.abs(np.subtract(clean, wrong)).max() > 1e-3
    np.testing.assert_array_equal(wrong, again)
    config = preset("debug", error="zero-drift", error_variance=2.0)
    assert EncoderError.of(config) == EncoderError("zero-drift", variance=2.0)
    assert Learner(config, (2,), 1).error == EncoderError.of(config)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"kind": "zero_drift", "variance": 4.0}, "kind"),
        ({"kind": "zero-drift", "variance": -1.0}, "variance"),
        ({"kind": "zero-drift", "variance": math.nan}, "variance"),
        ({"kind": "zero-drift", "variance": "4"}, "variance"),
        ({"kind": "non-zero-drift", "variance": 1.0, "mean": -1.0}, "mean"),
        ({"kind": "non-zero-drift", "variance": 1.0, "mean": math.inf}, "mean"),
        ({"kind": "non-zero-drift", "variance": 1.0, "mean": 1.0, "redraw": "epsiode"}, "redraw"),
        ({"kind": "zero-drift", "variance": 4.0, "unit": "spreads"}, "unit"),
        ({"variance": 4.0}, "variance"),
        ({"kind": "zero-drift", "variance": 4.0, "mean": 1.0}, "mean"),
    ],
)
def test_a_law_that_is_none_is_refused(given, name):
    with refuses(ValueError, f"{name}: expected"):
        EncoderError(**given)


def test_numbers_of_errors_are_named():
    with refuses(ValueError, "mean, variance: expected what torch.float32 can hold", "1e+308"):
        EncoderError("non-zero-drift", 1.0, 1e308).draw(2, 3, torch.ones(2), torch.Generator())
    with refuses(ValueError, "sequences: expected", "0"):
        EncoderError("zero-drift", 1.0).draw(0, 3, torch.ones(2), torch.Generator())
    with refuses(ValueError, "steps: expected", "2.5"):
        EncoderError("zero-drift", 1.0).draw(1, 2.5, torch.ones(2), torch.Generator())
