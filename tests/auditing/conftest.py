"""A linear world, and a model that knows it: what an audit should find is known."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from sdewm.adapters import GaussianRSSM, Recording

SHRINKS, ANGLE, NOISE = 0.9, 0.4, 0.02
TURN = SHRINKS * torch.tensor(
    [[math.cos(ANGLE), -math.sin(ANGLE)], [math.sin(ANGLE), math.cos(ANGLE)]], dtype=torch.float64
)


def linear_model(turn: torch.Tensor) -> GaussianRSSM:
    """h is what is foreseen, z what is seen; each is half of what the next h is made from."""
    return GaussianRSSM(
        recurrent=lambda h, z, a: (0.5 * h + 0.5 * z) @ turn.T + a,
        prior=lambda h: (h, NOISE + 0 * h),
        posterior=lambda h, e: (e + 0 * h, NOISE + 0 * h),
        decoder=lambda h, z: z,
        policy=lambda h, z: 0 * h,
        h0=torch.zeros(2, dtype=torch.float64),
        name="linear",
    )


@pytest.fixture(scope="session")
def right() -> GaussianRSSM:
    return linear_model(TURN)


@pytest.fixture(scope="session")
def wrong() -> GaussianRSSM:
    """Turns the other way."""
    return replace(linear_model(-TURN), name="wrong")


@pytest.fixture(scope="session")
def episodes() -> list[Recording]:
    generator = torch.Generator().manual_seed(0)
    found = []
    for _ in range(6):
        actions = 0.3 * torch.randn(60, 2, generator=generator, dtype=torch.float64)
        s = [torch.randn(2, generator=generator, dtype=torch.float64)]
        for a in actions[:-1]:
            s.append(TURN @ s[-1] + a + NOISE * torch.randn(2, generator=generator, dtype=torch.float64))
        found.append(Recording(torch.stack(s), actions))
    return found
