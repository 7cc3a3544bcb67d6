"""Agents of a few numbers, random sequences for them, and episodes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from sdewm.worldmodel import Agent, Config, Sequences, WorldModel, preset
from sdewm.worldmodel.replay import step_dtype

F64 = torch.float64
STATE = preset("debug", deter=5, stoch=3, hidden=7, units=6, layers=2, unit=1.0)
PIXELS = replace(STATE, observation="pixels", image_size=8, encoder_kernels=(4,), decoder_kernels=(4,))
WALKER = preset(
    "walker", image_size=8, deter=5, stoch=3, hidden=7, units=6, embed=6, image_basis=4, depth=2, batch=3, length=8,
    starts=24, log_every=1, evaluate_every=3, checkpoint_every=3,
)  # fmt: skip
ACTIONS = 2


def shape_of(config: Config) -> tuple[int, ...]:
    return (1, 8, 8) if config.observation == "pixels" else (3,)


def tiny_agent(config: Config = STATE) -> Agent:
    """In float64, every weight moved from where it starts, so that no output is zero by construction."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        agent = Agent(config, shape_of(config), ACTIONS).double()
        with torch.no_grad():
            for parameter in agent.parameters():
                parameter += 0.3 * torch.randn_like(parameter)
    return agent.requires_grad_(False)


def random_batch(config: Config = STATE, batch: int = 2, steps: int = 9, seed: int = 0) -> Sequences:
    generator = torch.Generator().manual_seed(seed)
    shape = shape_of(config)
    observations = torch.randn(batch, steps, *shape, generator=generator, dtype=F64)
    if len(shape) == 3:
        observations = torch.randint(0, 256, (batch, steps, *shape), generator=generator, dtype=torch.uint8)
    return Sequences(
        observations,
        torch.rand(batch, steps, ACTIONS, generator=generator, dtype=F64) * 2 - 1,
        torch.rand(batch, steps, generator=generator, dtype=F64),
        torch.zeros(batch, steps, dtype=torch.bool),
        torch.zeros(batch, steps, dtype=torch.bool),
    )


def zeros(batch: Sequences) -> torch.Tensor:
    return torch.zeros(*batch.rewards.shape, STATE.stoch, dtype=F64)


def observe(model: WorldModel, batch: Sequences, noise: torch.Tensor | None = None, **options):
    return model.observe(
        batch.observations, batch.actions, batch.first, zeros(batch) if noise is None else noise, **options
    )


def latents(agent: Agent, paths: int, config: Config = STATE) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return (
        torch.rand(paths, config.deter, generator=generator, dtype=F64) * 2 - 1,
        torch.randn(paths, config.stoch, generator=generator, dtype=F64),
    )


def random_episode(config: Config, seed: int, steps: int = 40) -> np.ndarray:
    """Records of an episode that is noise."""
    rng = np.random.default_rng(seed)
    shape = shape_of(config)
    episode = np.zeros(steps, step_dtype(shape, ACTIONS))
    episode["observation"] = (
        rng.integers(0, 256, (steps, *shape)) if len(shape) == 3 else rng.normal(size=(steps, *shape))
    )
    episode["action"] = rng.uniform(-1, 1, (steps, ACTIONS))
    episode["reward"] = rng.uniform(0, 2, steps)
    episode["first"][0] = True
    return episode
