"""The configuration: what makes no sense is refused; sizes of the presets."""

import pytest
import torch
from support import refuses

from sdewm.worldmodel import PRESETS, Agent, preset


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"deter": 0}, "deter: expected a positive number, got 0"),
        ({"deter": 2.5}, "deter: expected a whole number, got 2.5"),
        ({"observation": "sound"}, "observation: expected one of state, pixels, got 'sound'"),
        ({"discount": 1.5}, "discount: expected a number in [0, 1], got 1.5"),
        ({"unit": float("nan")}, "unit: expected a finite number, got nan"),
        ({"encoder_kernels": ()}, "encoder_kernels: expected positive whole numbers, got ()"),
        ({"jacobian_weight": -1.0}, "jacobian_weight: expected a number not below 0, got -1.0"),
        ({"jacobian_target": "flow"}, "jacobian_target: expected one of map, drift, got 'flow'"),
        ({"image_basis": 24}, "image_basis: expected 0 for states, got 24"),
        ({"starts": 10**6}, "starts: expected at most batch"),
        ({"error_variance": 1.0}, "error_variance: expected 0 without an error"),
        ({"no_such": 1}, "configuration: expected the names of Config, got no_such"),
    ],
)
def test_configurations_that_make_no_sense_are_refused(changes, message):
    with refuses(ValueError, message):
        preset("lean-proprio", **changes)


@pytest.mark.parametrize("name", ["lean-proprio", "lean-pixels"])
def test_sizes_are_those_of_the_configuration(name):
    config = PRESETS[name]
    shape = (1, 32, 32) if config.observation == "pixels" else (5,)
    agent = Agent(config, shape, 1)
    assert 0.25e6 < sum(p.numel() for p in agent.parameters()) < 0.6e6
    h, z = torch.zeros(2, 3, config.deter), torch.zeros(2, 3, config.stoch)
    assert agent.world_model.decode(h, z).shape == (2, 3, *shape)
    assert agent.world_model.embed(torch.zeros(2, 3, *shape)).shape[:2] == (2, 3)
