"""Numbers that the world model's functions take: each that says nothing is refused by its name."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import torch
from small_agents import tiny_agent

from sdewm.worldmodel import (
    EncoderError,
    PointMass,
    Replay,
    collect,
    evaluate,
    fit,
    initial_state,
    play,
    preset,
    random_policy,
    write_gif,
)
from sdewm.worldmodel.prediction import windows
from sdewm.worldmodel.replay import split

DEBUG = preset("debug")
PICTURE = np.zeros((2, 2, 3), np.uint8)
CALLS = {
    ("action_size", "random_policy"): lambda v, folder: random_policy(v, 0),
    ("seed", "random_policy"): lambda v, folder: random_policy(1, v),
    ("seed", "play"): lambda v, folder: play(PointMass(), random_policy(1, 0), v),
    ("size", "PointMass"): lambda v, folder: PointMass(size=v),
    ("action_repeat", "PointMass"): lambda v, folder: PointMass(action_repeat=v),
    ("capacity", "Replay"): lambda v, folder: Replay(folder, v),
    ("length", "windows"): lambda v, folder: windows([np.zeros(4)], v),
    ("heldout", "split"): lambda v, folder: split(folder, v),
    ("updates", "fit"): lambda v, folder: fit(folder / "run", DEBUG, folder, heldout=1, updates=v),
    ("count", "collect"): lambda v, folder: collect(folder, DEBUG, count=v),
    ("seed", "collect"): lambda v, folder: collect(folder, DEBUG, count=1, seed=v),
    ("count", "evaluate"): lambda v, folder: evaluate(tiny_agent(), PointMass, count=v, seed=0),
    ("seed", "evaluate"): lambda v, folder: evaluate(tiny_agent(), PointMass, count=1, seed=v),
    ("t", "initial_state"): lambda v, folder: initial_state(tiny_agent().world_model, torch.zeros(4, 3), None, v),
    ("frames_per_second", "write_gif"): lambda v, folder: write_gif(folder / "a.gif", [PICTURE], v),
}


@pytest.mark.parametrize("name", CALLS, ids=lambda pair: " of ".join(pair))
@pytest.mark.parametrize("value", [-1, math.nan, "2", None, True])
def test_a_number_that_says_nothing_is_named(name, value, tmp_path):
    with pytest.raises(ValueError, match=f"^{re.escape(name[0])}: expected"):
        CALLS[name](value, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "given"),
    [("error", {"error": "zero-drift"}), ("perturbation", {"perturbation": 3}), ("report", {"report": "print"})],
)
def test_what_is_no_error_perturbation_or_report_is_named(name, given):
    with pytest.raises(TypeError, match=f"^{name}: expected"):
        evaluate(tiny_agent(), PointMass, **{"count": 1, "seed": 0, "error": EncoderError()} | given)
