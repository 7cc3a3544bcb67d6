"""The structure of a noise, measured: which diffusion vectors act on which, and which pairs do not commute.

A scheme of strong order 1 adds Σ_kl ∂g_l[g_k] I_kl to Euler's step. How much of that sum there is, and whether it
needs Lévy areas, depends on the derivatives ∂g_l[g_k] and on the commutators ∂g_l[g_k] − ∂g_k[g_l] (Kloeden & Platen
1992, §10.3). Both are computed on a few pilot paths at all times, before a solve; and an :class:`Audit` holds what was
found against the states that the solve itself reaches. So the order cannot fall unnoticed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from sdewm.jets import Jet, JetSpace, constant
from sdewm.noise import TimeGrid
from sdewm.sde import SDE, diffusion_matrix, noise_channels

Kind = Literal["additive", "scalar", "diagonal", "commutative", "general"]
PATHS = 32
TIMES = 64
# One step in so many is held against the structure, at random, on the outermost paths.
AUDIT_EVERY = 128
AUDIT_PATHS = 8


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

    @classmethod
    def assume(cls, kind: Kind, channels: int) -> NoiseStructure:
        """The largest structure of a kind, taken without a measurement: ``Milstein(NoiseStructure.assume("general",
        2))``. A solve still holds it against the coefficients now and then."""
        if kind not in get_args(Kind):
            raise ValueError(f"kind: expected one of {get_args(Kind)}, got {kind!r}")
        if channels < 1 or (kind == "scalar" and channels != 1):
            raise ValueError(
                f"channels: expected {'1 for scalar' if kind == 'scalar' else '1 or more'}, got {channels}"
            )
        everything, own = torch.ones(channels, channels, dtype=torch.bool), torch.eye(channels, dtype=torch.bool)
        acts = {"additive": own & ~own, "diagonal": own}.get(kind, everything)
        pairs = everything & ~own if kind == "general" else own & ~own
        return cls(_kind(acts, pairs), acts, pairs, 0.0)

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
    """Measure the structure of an SDE's noise along a few paths from ``x0`` through the whole grid.

    Parameters
    ----------
    sde : coefficients may be jets, as those of ``PerturbedSDE.at(parameter)``; every coefficient then counts.
    x0 : ``(n,)`` or ``(paths, n)``, a tensor or a jet. 32 pilot paths start there, and make 64 steps at most.
    seed : of the pilot paths; global random numbers are left alone.

    A derivative that vanishes along all of the pilot paths is taken to be zero. A path ends where its state or its
    diffusion is not finite. What is zero up to rounding counts as zero.

    Raises
    ------
    ValueError : no finite derivatives where the paths start; or a ``noise_type`` of "additive" and a diffusion that
        depends on the state.
    """
    start = x0.value if isinstance(x0, Jet) else x0
    start = start.detach().reshape(-1, start.shape[-1])
    channels = noise_channels(sde, torch.as_tensor(grid.t0).to(start), start[:1])
    nothing = torch.zeros(channels, channels, dtype=torch.bool)
    found = NoiseStructure("additive", nothing, nothing, 0.0)
    if channels == 0:
        return found
    generator = torch.Generator().manual_seed(seed)
    measured = False
    with torch.no_grad():
        for t, x in _pilot(sde, start, grid, generator):
            if not measured or departure(found, sde, t, x, generator) is not None:
                found, measured = _extended(found, sde, t, x), True
    if not measured:
        raise ValueError(f"g: expected finite values near the initial value, found none at t = {grid.t0:g}")
    return found


def _pilot(sde: SDE, start: Tensor, grid: TimeGrid, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """(t, states) along Euler's steps, on as many of the paths as are still finite. Itô or Stratonovich is all one
    here: only whereabouts are asked for. Nothing is evaluated off the paths, where it may not be defined."""
    x = start[torch.linspace(0, len(start) - 1, PATHS).round().long()]
    steps = min(grid.steps, TIMES)
    dt = (grid.t1 - grid.t0) / steps
    for i in range(steps + 1):
        t = torch.as_tensor(grid.t0 + i * dt, dtype=x.dtype, device=x.device)
        g = _value(diffusion_matrix(sde, t, x))
        alive = torch.isfinite(g).flatten(1).all(1)
        if not bool(alive.any()):
            return
        x, g = x[alive], g[alive]
        yield t, x
        # A step of the drift no longer than the state is: coarse steps of a stiff drift would leave for infinity.
        move = dt * _value(sde.f(t, x))
        move = move / (1 + move.norm(dim=-1, keepdim=True) / (1 + x.norm(dim=-1, keepdim=True)))
        dB = dt**0.5 * torch.randn(len(x), g.shape[-1], generator=generator, dtype=torch.float64).to(x)
        x = x + move + (g * dB.unsqueeze(-2)).sum(-1)


@dataclass(frozen=True)
class Departure:
    """Where a noise departs from a structure: vector ``column``, and a component of it."""

    column: int
    component: int
    commutes: bool


def departure(
    structure: NoiseStructure, sde: SDE, t: Tensor, x: Tensor, generator: torch.Generator
) -> Departure | None:
    """Hold a structure against the coefficients at states ``(paths, n)`` along a random direction: two derivatives, or
    three where vectors act on each other, whatever the number of channels. What it lets pass once it finds another
    time; what it finds is there.
    """
    acts, m = structure.acts, structure.channels
    g = diffusion_matrix(sde, t, x)
    bound = torch.finfo(x.dtype).eps ** 0.75 * float(_plain(g).abs().max()) ** 2 / (1 + float(x.abs().max()))

    # Vectors that should leave a column alone: all of one column's, or at random, which tries many columns at once.
    column = int(torch.randint(m, (), generator=generator))
    half = torch.rand(m, generator=generator) < 0.5
    if not bool(acts.any()):
        chosen = torch.ones(m, dtype=torch.bool)
    else:
        chosen = ~acts[:, column] if bool(torch.rand((), generator=generator) < 0.5) else half
    free = ~(acts & chosen[:, None]).any(0)
    if bool(chosen.any()) and bool(free.any()):
        weights = torch.randn(m, generator=generator, dtype=torch.float64) * chosen
        moved = directional(lambda y: diffusion_matrix(sde, t, y), x, (g * weights.to(x)).sum(-1))
        found = _largest(moved, free, bound)
        if found is not None:
            return Departure(*found, commutes=True)

    # One vector against a random combination of those that should commute with it.
    partners = ~structure.pairs[column]
    partners[column] = False
    if bool((partners & (acts[column] | acts[:, column])).any()):
        weights = (torch.randn(m, generator=generator, dtype=torch.float64) * partners).to(x)
        one, others = g[..., column], (g * weights).sum(-1)
        forth = directional(lambda y: (diffusion_matrix(sde, t, y) * weights).sum(-1), x, one)
        back = directional(lambda y: diffusion_matrix(sde, t, y)[..., column], x, others)
        size = max(float(_plain(forth).abs().nan_to_num(0.0).max()), float(_plain(back).abs().nan_to_num(0.0).max()))
        every = torch.ones(1, dtype=torch.bool)
        found = _largest((forth - back).unsqueeze(-1), every, bound + torch.finfo(x.dtype).eps ** 0.75 * size)
        if found is not None:
            return Departure(column, found[1], commutes=False)
    return None


def _largest(values: Tensor, columns: Tensor, bound: float) -> tuple[int, int] | None:
    """(column, component) of the largest value ``(paths, n, m)`` above the bound, in the given columns."""
    size = _plain(values).detach().abs().nan_to_num(0.0, 0.0, 0.0).amax((0, 1)).cpu() * columns
    if not float(size.max()) > bound:
        return None
    component, column = divmod(int(size.argmax()), size.shape[-1])
    return column, component


class Audit:
    """Holds a structure against the states of a run at a few of its steps, chosen at random.

    ``first`` is the run's first increment, which makes the choice another one for each block and the same each time.
    """

    def __init__(self, structure: NoiseStructure, grid: TimeGrid, first: Tensor) -> None:
        key = int(first.flatten()[:1].double().view(torch.int64).sum()) if structure.channels else 0
        self.generator = torch.Generator().manual_seed(key & (2**63 - 1))
        self.structure = structure
        wanted = torch.rand(grid.steps, generator=self.generator) * AUDIT_EVERY < 1
        self.steps = frozenset(wanted.nonzero().flatten().tolist()) if structure.channels else frozenset()

    def hold(self, sde: SDE, t: Tensor, x: Tensor) -> None:
        """Raise :class:`OtherStructure` if the noise departs from the structure on the outermost paths."""
        states = _value(x).detach()
        coordinate = states[:, int(torch.randint(states.shape[-1], (), generator=self.generator))]
        order = coordinate.argsort()
        half = AUDIT_PATHS // 2
        states = states[torch.cat([order[:half], order[half:][-half:]])]
        states = states[torch.isfinite(states).all(-1)]
        if len(states) == 0:
            return
        with torch.no_grad():
            found = departure(self.structure, sde, t, states, self.generator)
            if found is None:
                return
            needed = _extended(self.structure, sde, t, states)
            if not (torch.equal(needed.acts, self.structure.acts) and torch.equal(needed.pairs, self.structure.pairs)):
                raise OtherStructure(self.structure, needed, found, float(t))


class OtherStructure(ValueError):
    """A run met states at which the noise is not of the structure that its method took it to be."""

    def __init__(self, taken: NoiseStructure, needed: NoiseStructure, where: Departure, time: float) -> None:
        what = (
            f"vector {where.column} depends on the state along the noise"
            if where.commutes
            else f"vector {where.column} does not commute with the others"
        )
        super().__init__(
            f"g: at t = {time:g} component {where.component} of diffusion {what}, and the method took the noise to be "
            f"{taken.kind}, as it was along the pilot paths. Give the method the structure, such as "
            f'Milstein(NoiseStructure.assume("{needed.kind}", {needed.channels})), or use a method that assumes none, '
            '"euler" for Itô and "heun" for Stratonovich SDEs.'
        )
        self.taken, self.needed, self.time, self.component = taken, needed, time, where.component


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


def _extended(structure: NoiseStructure, sde: SDE, t: Tensor, x: Tensor) -> NoiseStructure:
    """The structure with what there is at states ``(paths, n)`` in addition; every pair is looked at."""
    g = diffusion_matrix(sde, t, x)
    derivatives = [directional(lambda y: diffusion_matrix(sde, t, y), x, g[..., k]) for k in range(g.shape[-1])]
    # (coefficients, points, n, l) for each k; coefficients beyond a plain tensor's one are there for jets only.
    table = torch.stack([_plain(d) for d in derivatives], -2).detach().cpu().to(torch.float64)
    finite = torch.isfinite(table).flatten(3).all(-1).all(0).all(-1)
    if not bool(finite.any()):
        raise ValueError(f"g: expected finite derivatives near the initial value, found none at t = {float(t):g}")
    table = table[:, finite]
    size, commutator = table.abs().amax((0, 1, 2)), (table - table.mT).abs().amax((0, 1, 2))
    rounding = torch.finfo(x.dtype).eps ** 0.75
    here = size > rounding * size.max()
    crossing = (commutator > rounding * torch.maximum(size, size.mT).clamp_min(1e-300)) & (here | here.mT)
    if sde.noise_type == "additive" and bool(here.any()):
        column = int(here.any(0).nonzero()[0])
        component = int(table[..., column].abs().amax((0, 1, 3)).argmax())
        raise ValueError(
            f"noise_type: expected a diffusion that does not depend on the state for 'additive', but component "
            f"{component} of diffusion vector {column} does at t = {float(t):g}. Declare it 'general', or 'scalar' for "
            "one channel."
        )
    acts, pairs = structure.acts | here, structure.pairs | crossing
    largest = max(structure.commutator, float((commutator * crossing).max()))
    return NoiseStructure(_kind(acts, pairs), acts, pairs, largest)


def _value(x: Tensor) -> Tensor:
    return x.value if isinstance(x, Jet) else x


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
