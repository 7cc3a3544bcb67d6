"""The structure of a noise, measured: which diffusion vectors act on which, and which pairs do not commute.

A scheme of strong order 1 adds Σ_kl ∂g_l[g_k] I_kl to Euler's step. How much of that sum there is, and whether it
needs Lévy areas, depends on the derivatives ∂g_l[g_k] and on the commutators ∂g_l[g_k] − ∂g_k[g_l] (Kloeden & Platen
1992, §10.3). Both are computed at random points, so that a wrong declaration cannot lower the order unnoticed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from sdewm.jets import Jet, JetSpace, constant
from sdewm.noise import TimeGrid
from sdewm.sde import SDE, diffusion_matrix, noise_channels

Kind = Literal["additive", "scalar", "diagonal", "commutative", "general"]
POINTS = 8
TIMES = 3


@dataclass(frozen=True, eq=False)
class Direction:
    """A sum of diffusion vectors that one derivative serves: no two of them act on the same column.

    ``members`` ``(m,)`` has ones at the vectors that are summed; ``source`` ``(m,)`` says which of them acts on column
    l, and ``acts`` ``(m,)`` has a zero where none does.
    """

    members: Tensor
    source: Tensor
    acts: Tensor


@dataclass(frozen=True, eq=False)
class NoiseStructure:
    """What :func:`noise_structure` found.

    ``acts`` ``(m, m)``, bool: where ∂g_l[g_k] is not zero, first index k. ``pairs`` ``(m, m)``, bool, symmetric: the
    pairs that do not commute, whose Lévy areas a strong order of 1 needs. ``commutator``: the largest component of
    any commutator met.
    """

    kind: Kind
    acts: Tensor
    pairs: Tensor
    commutator: float

    @property
    def channels(self) -> int:
        return len(self.acts)

    @property
    def needs_areas(self) -> bool:
        return self.kind == "general"

    def areas(self, area: Tensor | None) -> Tensor | None:
        """What a step is to use of the areas it was given: nothing where the vectors commute; ``ValueError`` if it has
        none where they do not."""
        if not self.needs_areas:
            return None
        if area is None:
            raise ValueError("area: expected (paths, m, m), as the diffusion vectors do not commute, got None")
        return area

    def directions(self, like: Tensor) -> list[Direction]:
        """As few directions as a greedy choice finds that give every ∂g_l[g_k]: one for diagonal noise."""
        groups: list[tuple[list[int], Tensor]] = []
        for k, row in enumerate(self.acts):
            if not bool(row.any()):
                continue
            for members, taken in groups:
                if not bool((taken & row).any()):
                    members.append(k)
                    taken |= row
                    break
            else:
                groups.append(([k], row.clone()))
        directions = []
        for members, taken in groups:
            chosen = torch.zeros(self.channels, dtype=torch.bool)
            chosen[members] = True
            source = (self.acts & chosen[:, None]).to(torch.uint8).argmax(0)
            directions.append(Direction(chosen.to(like), source.to(like.device), taken.to(like)))
        return directions


def noise_structure(sde: SDE, x0: Tensor, grid: TimeGrid, *, seed: int = 0) -> NoiseStructure:
    """Measure the structure of an SDE's noise at random states about ``x0`` and random times of the grid.

    Parameters
    ----------
    sde : coefficients may be jets, as those of ``PerturbedSDE.at(parameter)``; every coefficient then counts.
    x0 : ``(n,)`` or ``(paths, n)``, a tensor or a jet.
    seed : of the points; global random numbers are left alone.

    A derivative that vanishes at all of the points is taken to be zero. States at which the diffusion is not finite
    (the root of a negative number) are left out. What is zero up to rounding counts as zero.
    """
    start = x0.value if isinstance(x0, Jet) else x0
    start = start.detach().reshape(-1, start.shape[-1])
    if noise_channels(sde, torch.as_tensor(grid.t0).to(start), start[:1]) == 0:
        nothing = torch.zeros(0, 0, dtype=torch.bool)
        return NoiseStructure("additive", nothing, nothing, 0.0)
    generator = torch.Generator().manual_seed(seed)
    base = start[torch.arange(POINTS, device=start.device) % len(start)]
    spread = 0.5 * base.abs().clamp_min(1.0)
    normal = torch.randn(base.shape, generator=generator, dtype=torch.float64).to(base)
    normal[0] = 0  # the initial value itself, where everything must be defined
    x = base + spread * normal
    acts = pairs = torch.zeros(0)
    largest = 0.0
    for weight in torch.rand(TIMES, generator=generator).tolist():
        t = torch.as_tensor(grid.t0 + weight * (grid.t1 - grid.t0), dtype=x.dtype, device=x.device)
        act, commutator = _measure(sde, t, x)
        scale = torch.maximum(act, act.mT)
        rounding = torch.finfo(x.dtype).eps ** 0.75
        here, crossing = act > rounding * act.max(), commutator > rounding * scale.clamp_min(1e-300)
        crossing &= here | here.mT
        acts = acts | here if acts.numel() else here
        pairs = pairs | crossing if pairs.numel() else crossing
        largest = max(largest, float((commutator * crossing).max()))
    return NoiseStructure(_kind(acts, pairs), acts, pairs, largest)


def directional(function: Callable[[Tensor], Tensor], x: Tensor, v: Tensor) -> Tensor:
    """∂function(x)[v], of function's shape, for tensors and jets: exact, by forward differentiation.

    ``function`` maps ``(paths, n)`` path by path; ``v`` has the shape of x. A jet's derivative is the jet of the
    derivative: the truncated product is linear in each coefficient, so it is differentiated coefficient by coefficient.
    """
    if isinstance(x, Jet) or isinstance(v, Jet):
        space = x.space if isinstance(x, Jet) else v.space  # type: ignore[attr-defined]
        point, direction = (y.coefficients if isinstance(y, Jet) else constant(y, space).coefficients for y in (x, v))

        def coefficients(c: Tensor) -> Tensor:
            out = function(Jet(c, space))
            return out.coefficients if isinstance(out, Jet) else constant(out, space).coefficients

        return Jet(torch.func.jvp(coefficients, (point,), (direction,))[1], space)
    out = function(Jet(torch.stack([x, v]), JetSpace(1, 1)))
    return out.coefficients[1] if isinstance(out, Jet) else torch.zeros_like(out)


def _measure(sde: SDE, t: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Largest |∂g_l[g_k]| and largest component of the commutator, ``(m, m)`` each, on the CPU."""
    g = diffusion_matrix(sde, t, x)
    channels = g.shape[-1]
    derivatives = [directional(lambda y: diffusion_matrix(sde, t, y), x, g[..., k]) for k in range(channels)]
    # (coefficients, points, n, l) for each k; coefficients beyond a plain tensor's one are there for jets only.
    table = torch.stack([_plain(d) for d in derivatives], -2).detach().cpu().to(torch.float64)
    finite = torch.isfinite(table).flatten(3).all(-1).all(0).all(-1)
    if not bool(finite.any()):
        raise ValueError(f"g: expected finite derivatives near the initial value, found none at t = {float(t):g}")
    table = table[:, finite]
    size = table.abs().amax((0, 1, 2))
    return size, (table - table.mT).abs().amax((0, 1, 2))


def _plain(value: Tensor) -> Tensor:
    return value.coefficients if isinstance(value, Jet) else value.unsqueeze(0)


def _kind(acts: Tensor, pairs: Tensor) -> Kind:
    if not bool(acts.any()):
        return "additive"
    if len(acts) == 1:
        return "scalar"
    if bool(pairs.any()):
        return "general"
    return "commutative" if bool((acts & ~torch.eye(len(acts), dtype=torch.bool)).any()) else "diagonal"
