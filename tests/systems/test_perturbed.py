"""The noise type of a family, whatever those of base and error."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from support import F64, normal_increments, refuses
from torch import Tensor

from sdewm import (
    FunctionSDE,
    MonteCarlo,
    PerturbedSDE,
    TimeGrid,
    expand,
    solve,
    taylor_test,
)
from sdewm.systems.sde import diffusion_matrix, diffusion_product, noise_channels

GRID = TimeGrid(0.2, 1.2, 4)
X0 = torch.tensor([0.5, -1.0], dtype=F64)


def fine(t: Tensor, x: Tensor) -> Tensor:
    return torch.sin(x) - t * x


# -- noise types of base and error


NOISES: dict[str, tuple[str, Callable[[Tensor, Tensor], Tensor] | None]] = {
    "diagonal": ("diagonal", lambda t, x: 0.3 + 0.2 * torch.cos(x + t)),
    "scalar": ("scalar", lambda t, x: (0.4 * torch.cos(t + x)).unsqueeze(-1)),
    "additive 1": ("additive", lambda t, x: ((1 + t) * torch.ones(2, 1, dtype=x.dtype)).expand(len(x), -1, -1)),
    "additive 2": ("additive", lambda t, x: ((1 + t) * torch.ones(2, 2, dtype=x.dtype)).expand(len(x), -1, -1)),
    "general 1": ("general", lambda t, x: x.cos().unsqueeze(-1)),
    "general 2": ("general", lambda t, x: torch.stack([x.cos(), x.sin()], -1)),
    "general 3": ("general", lambda t, x: torch.stack([x.cos(), x.sin(), t * x], -1)),
    "none": ("diagonal", None),
}


def of(name: str) -> FunctionSDE:
    noise_type, g = NOISES[name]
    return FunctionSDE(fine, g, noise_type)


@pytest.mark.parametrize(("base", "error"), list(itertools.product(NOISES, NOISES)))
def test_no_error_at_all_is_the_base_whatever_the_noise_types(base, error):
    """Channels that agree work, whatever the types; others are refused. A part without noise takes the other's."""
    family = PerturbedSDE(of(base), of(error))
    x = torch.tensor([[0.5, -1.0], [0.2, 0.3], [2.0, 1.0]], dtype=F64)
    t = torch.tensor(0.7, dtype=F64)
    width = {name: None if name == "none" else noise_channels(of(name), t, x) for name in (base, error)}
    sde = family.at(0.0)
    if None not in width.values() and width[base] != width[error]:
        for run in (
            lambda: solve(sde, X0, GRID, noise=normal_increments(GRID, 3, width[base])),
            lambda: expand(family, lambda x: x.sum(-1), X0, GRID, paths=64),
            lambda: taylor_test(family, lambda x: x.sum(-1), X0, GRID, paths=64),
        ):
            with refuses(ValueError, "error.g: ", f"{width[base]} channels", "as base.g has", f"got {width[error]}"):
                run()
        with refuses(ValueError, "expected"):
            sde.g_prod(t, x, normal_increments(GRID, 3, width[base])[0])
        return
    channels = width[base] or width[error] or 2
    dB = normal_increments(GRID, 3, channels)[0]
    expected = torch.zeros(3, 2, channels, dtype=F64) if base == "none" else diffusion_matrix(of(base), t, x)
    assert noise_channels(sde, t, x) == channels
    assert torch.equal(sde.f(t, x), of(base).f(t, x))
    assert torch.equal(diffusion_matrix(sde, t, x), expected)
    torch.testing.assert_close(diffusion_product(sde, t, x, dB), (expected @ dB[..., None])[..., 0])
    noise = normal_increments(GRID, 5, channels)
    torch.testing.assert_close(
        solve(sde, X0, GRID, noise=noise), solve(family.base, X0, GRID, noise=noise), rtol=0, atol=1e-14
    )


@pytest.mark.parametrize(("base", "error"), [("diagonal", "general 2"), ("scalar", "general 1"), ("general 3", "none")])
def test_the_expansion_of_mixed_noise_types_is_that_of_the_solutions(base, error):
    """The derivative of plain solutions in ε, by central differences on the expansion's own paths."""
    family, sampler, h = PerturbedSDE(of(base), of(error)), MonteCarlo(64, 3), 1e-4
    found = expand(family, lambda x: x.sin().sum(-1), X0, GRID, sampler=sampler)
    channels = noise_channels(family.base, torch.tensor(0.2, dtype=F64), X0[None])
    (noise,) = sampler.draw(range(sampler.replicates), channels, GRID, X0)
    up, down = (float(solve(family.at(e), X0, GRID, noise=noise).sin().sum(-1).mean()) for e in (h, -h))
    assert (up - down) / (2 * h) == pytest.approx(found.first.mean, rel=1e-7)
