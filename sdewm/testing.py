"""Hypothesis strategies for property tests: random smooth systems of every noise type, and what goes with one.

    from hypothesis import given
    from sdewm import expand
    from sdewm.testing import cases

    @given(cases())
    def test_the_expansion_starts_at_the_unperturbed_loss(case):
        found = expand(*case, paths=64)
        ...

A drawn object is described by a few numbers, which a failing test prints: ``SmoothSDE(noise_type='general', size=2,
channels=3, seed=7)`` is that system again. Everything is float64, bounded in its derivatives, and of moderate size, so
that short solutions stay near where they start. Needs Hypothesis, ``pip install 'sdewm[testing]'``.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from jaxtyping import Float
from torch import Tensor

from sdewm import arguments
from sdewm.noise.grid import TimeGrid
from sdewm.systems.perturbed import PerturbedSDE
from sdewm.systems.sde import NOISE_TYPES, SDE_TYPES, noise_channels

try:
    from hypothesis import strategies as st
except ImportError as error:
    raise ImportError("sdewm.testing: needs Hypothesis; pip install 'sdewm[testing]'") from error

__all__ = [
    "Case",
    "SmoothLoss",
    "SmoothSDE",
    "cases",
    "families",
    "grids",
    "increments",
    "initial_states",
    "losses",
    "systems",
]

LARGEST_SEED = 2**63 - 1
SEEDS = st.integers(0, 2**31 - 1)


@dataclass
class SmoothSDE:
    """dx = (a + A x + B sin(W x + ω t + φ)) dt + g dB, with a diffusion of the same kind and random numbers in both.

    Parameters
    ----------
    noise_type : "diagonal", where g_i depends on x_i alone; "additive", where g depends on t alone; "scalar";
        "general".
    size, channels : n and m; m is n for "diagonal" and 1 for "scalar".
    seed : of the numbers.
    sde_type : "ito" or "stratonovich".

    Raises ``ValueError`` for a noise type that there is not, and for channels that do not fit it.
    """

    noise_type: str
    size: int
    channels: int
    seed: int
    sde_type: str = "ito"

    def __post_init__(self) -> None:
        arguments.choice("noise_type", self.noise_type, NOISE_TYPES)
        arguments.choice("sde_type", self.sde_type, SDE_TYPES)
        self.size, self.channels = (
            arguments.integer("size", self.size, 1),
            arguments.integer("channels", self.channels, 1),
        )
        self.seed = arguments.integer("seed", self.seed, 0, LARGEST_SEED)
        if not _fits(self.noise_type, self.size, self.channels):
            raise ValueError(
                f"channels: expected {self.size} for diagonal and 1 for scalar noise, got {self.channels} for "
                f"noise_type {self.noise_type!r}"
            )

    def f(self, t: Float[Tensor, ""], x: Float[Tensor, "paths n"]) -> Float[Tensor, "paths n"]:
        return self._waves[0](t, x)

    def g(self, t: Float[Tensor, ""], x: Float[Tensor, "paths n"]) -> Float[Tensor, "paths n *channels"]:
        value = self._waves[1](t, x)
        return value if self.noise_type == "diagonal" else value.unflatten(-1, (self.size, self.channels))

    @functools.cached_property
    def _waves(self) -> tuple[_Waves, _Waves]:
        generator = torch.Generator().manual_seed(self.seed)
        if self.noise_type == "diagonal":
            return _Waves(self.size, self.size, generator), _Waves(self.size, self.size, generator, own=True)
        still = self.noise_type == "additive"
        return _Waves(self.size, self.size, generator), _Waves(self.size * self.channels, self.size, generator, still)


class _Waves:
    """x ↦ a + A x + B sin(W x + ω t + φ), ``(paths, size)`` to ``(paths, rows)``.

    ``still``: of t alone. ``own``: row i of x_i alone.
    """

    def __init__(
        self, rows: int, size: int, generator: torch.Generator, still: bool = False, own: bool = False
    ) -> None:
        def normal(*shape: int) -> Tensor:
            matrix = torch.randn(*shape, generator=generator, dtype=torch.float64)
            return matrix * torch.eye(size, dtype=torch.float64) if own and len(shape) == 2 else matrix

        of_x = 0.0 if still else 1.0
        self.slope, self.height = 0.4 * of_x * normal(rows, size), 0.4 * normal(rows, size)
        self.wave = of_x * normal(size, size)
        self.constant, self.rate, self.phase = 0.4 * normal(rows), normal(size), normal(size)

    def __call__(self, t: Tensor, x: Tensor) -> Tensor:
        wave = torch.sin(x @ self.wave.mT + self.rate * t + self.phase)
        return self.constant + x @ self.slope.mT + wave @ self.height.mT


@dataclass(frozen=True)
class SmoothLoss:
    """½ xᵀ M x + b·x + cos(w·x), ``(paths, size)`` to ``(paths,)``, with random numbers."""

    size: int
    seed: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", arguments.integer("size", self.size, 1))
        object.__setattr__(self, "seed", arguments.integer("seed", self.seed, 0, LARGEST_SEED))

    def __call__(self, x: Float[Tensor, "paths n"]) -> Float[Tensor, " paths"]:
        if x.shape[-1] != self.size:
            raise ValueError(f"x: expected states with {self.size} coordinates, got {tuple(x.shape)}")
        matrix, linear, wave = self._numbers
        return ((0.5 * x @ matrix + linear) * x).sum(-1) + torch.cos((x * wave).sum(-1))

    @functools.cached_property
    def _numbers(self) -> tuple[Tensor, Tensor, Tensor]:
        root = _normal(self.seed, self.size + 2, self.size)
        matrix = root[: self.size]
        return 0.5 * (matrix + matrix.mT), root[self.size], root[self.size + 1]


class Case(NamedTuple):
    """All that :func:`sdewm.expand` and :func:`sdewm.taylor_test` ask for: ``expand(*case)``."""

    family: PerturbedSDE
    loss: SmoothLoss
    x0: Float[Tensor, " n"]
    grid: TimeGrid


def increments(case: Case, paths: int, seed: int = 0) -> Float[Tensor, "steps paths channels"]:
    """Brownian increments for a case, ``(steps, paths, m)``."""
    channels = noise_channels(case.family.base, torch.tensor(case.grid.t0), case.x0[None])
    return math.sqrt(case.grid.dt) * _normal(seed, case.grid.steps, paths, channels)


@st.composite
def systems(
    draw: st.DrawFn, noise_types: Sequence[str] = NOISE_TYPES, largest: int = 3, sde_type: str = "ito"
) -> SmoothSDE:
    """SDEs of the given noise types with 1 to ``largest`` coordinates and channels."""
    noise_type, size = draw(st.sampled_from(list(noise_types))), draw(st.integers(1, largest))
    channels = {"diagonal": st.just(size), "scalar": st.just(1)}.get(noise_type, st.integers(1, largest))
    return SmoothSDE(noise_type, size, draw(channels), draw(SEEDS), sde_type)


@st.composite
def families(draw: st.DrawFn, noise_types: Sequence[str] = NOISE_TYPES, largest: int = 3) -> PerturbedSDE:
    """Perturbed systems: a base of one of the noise types, and an error of any that fits its channels."""
    base = draw(systems(noise_types, largest))
    fitting = [name for name in NOISE_TYPES if _fits(name, base.size, base.channels)]
    error = SmoothSDE(draw(st.sampled_from(fitting)), base.size, base.channels, draw(SEEDS))
    return _Shown(base, error)


def initial_states(size: int) -> st.SearchStrategy[Float[Tensor, " size"]]:
    """States ``(size,)``, float64, each coordinate standard normal."""
    return SEEDS.map(lambda seed: _normal(seed, size))


def losses(size: int) -> st.SearchStrategy[SmoothLoss]:
    """Losses of states with ``size`` coordinates."""
    return st.builds(SmoothLoss, st.just(size), SEEDS)


@st.composite
def grids(draw: st.DrawFn, steps: Sequence[int] = (1, 2, 3, 4)) -> TimeGrid:
    """Grids that start at −2 to 2 and are 0.1 to 1 long."""
    start, length = draw(st.integers(-8, 8)) / 4, draw(st.sampled_from([0.1, 0.25, 0.5, 1.0]))
    return TimeGrid(start, start + length, draw(st.sampled_from(list(steps))))


@st.composite
def cases(
    draw: st.DrawFn, noise_types: Sequence[str] = NOISE_TYPES, largest: int = 3, steps: Sequence[int] = (1, 2, 3, 4)
) -> Case:
    """A family with a loss, an initial state and a grid that fit it."""
    family = draw(families(noise_types, largest))
    size = cast(SmoothSDE, family.base).size
    return Case(family, draw(losses(size)), draw(initial_states(size)), draw(grids(steps)))


class _Shown(PerturbedSDE):
    """A perturbed system that a failing test can print."""

    def __repr__(self) -> str:
        return f"PerturbedSDE({self.base!r}, {self.error!r})"


def _fits(noise_type: str, size: int, channels: int) -> bool:
    return channels == {"diagonal": size, "scalar": 1}.get(noise_type, channels)


def _normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
