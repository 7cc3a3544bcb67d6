"""The structure of a noise, measured: which diffusion vectors act on which, and which pairs do not commute.

A scheme of strong order 1 adds Σ_kl ∂g_l[g_k] I_kl to Euler's step. How much of that sum there is, and whether it
needs Lévy areas, depends on the derivatives ∂g_l[g_k] and on the commutators ∂g_l[g_k] − ∂g_k[g_l] (Kloeden & Platen
1992, §10.3). Both are computed on a few pilot paths before a solve, and what was found is held against states that the
solve itself reaches (:class:`~sdewm.solvers.held_structure.HeldStructure`). What neither of them meets goes unnoticed,
such as a region that few paths ever see.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sdewm import arguments
from sdewm.jets import Jet
from sdewm.jets.directional import directional
from sdewm.noise.grid import TimeGrid
from sdewm.systems.pilot import Visit, pilot, pilot_paths, spread
from sdewm.systems.sde import SDE, check_protocol, diffusion_matrix, diffusion_product, noise_channels
from sdewm.systems.user_functions import FROM_INSIDE, named

NoiseKind = Literal["additive", "scalar", "diagonal", "commutative", "general"]
# At so many times a diffusion is evaluated that is the same at all of the pilot's.
SCANNED = 64
# Entries of derivatives of diffusion matrices that are held at a time.
ENTRIES = 2**19


@dataclass(frozen=True, eq=False)
class Direction:
    """A sum of diffusion vectors that one derivative serves: no two of them act on the same column.

    ``members`` ``(m,)`` has ones at the vectors that are summed; ``source`` ``(m,)`` says which of them acts on column
    l, and ``acts`` ``(m,)`` has a zero where none does.
    """

    members: Float[Tensor, " channels"]
    source: Int[Tensor, " channels"]
    acts: Float[Tensor, " channels"]


@dataclass(frozen=True, eq=False)
class NoiseStructure:
    """What :func:`noise_structure` found.

    ``acts`` ``(m, m)``, bool: where ∂g_l[g_k] is not zero, first index k. ``pairs`` ``(m, m)``, bool, symmetric: the
    pairs that do not commute, whose Lévy areas a strong order of 1 needs. ``commutator``: the largest component of
    any commutator met.
    """

    kind: NoiseKind
    acts: Bool[Tensor, "channels channels"]
    pairs: Bool[Tensor, "channels channels"]
    commutator: float

    @classmethod
    def assume(cls, kind: NoiseKind, channels: int) -> NoiseStructure:
        """The largest structure of a kind, taken without a measurement: ``Milstein(NoiseStructure.assume("general",
        2))``. A solve still holds it against the coefficients now and then."""
        if kind not in get_args(NoiseKind):
            raise ValueError(f"kind: expected one of {get_args(NoiseKind)}, got {kind!r}")
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

    @property
    def is_largest(self) -> bool:
        """Whether there is nothing that could be added: all vectors act on all, and no two commute."""
        return bool(self.acts.all()) and bool((self.pairs | torch.eye(self.channels, dtype=torch.bool)).all())

    def areas(
        self, area: Float[Tensor, "paths channels channels"] | None
    ) -> Float[Tensor, "paths channels channels"] | None:
        """What a step is to use of the areas it was given: nothing where the vectors commute; ``ValueError`` if it has
        none where they do not."""
        if not self.needs_areas:
            return None
        if area is None:
            raise ValueError("area: expected (paths, m, m), as the diffusion vectors do not commute, got None")
        return area

    def directions(self, like: Float[Tensor, "..."]) -> list[Direction]:
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


def noise_structure(sde: SDE, x0: Float[Tensor, "*paths n"], grid: TimeGrid, *, seed: int = 0) -> NoiseStructure:
    """Measure the structure of an SDE's noise along a few paths from ``x0`` through the whole grid.

    Parameters
    ----------
    sde : coefficients may be jets, as those of ``PerturbedSDE.at(parameter)``; every coefficient then counts.
    x0 : ``(n,)`` or ``(paths, n)``, a tensor or a jet. 64 pilot paths start there, and make 8 steps at most; there
        are fewer, 16 at least, where the diffusion has more than 910 entries. Three in four have three times the noise,
        and so visit states that are rare in a run.
    seed : of the pilot paths; global random numbers are left alone.

    A derivative that vanishes along all of the pilot paths is taken to be zero. A path ends where its state or a
    coefficient is not finite, or not defined. What is zero up to rounding counts as zero.

    Raises
    ------
    ValueError : no finite derivatives where the paths start; or a ``noise_type`` of "additive" and a diffusion that
        depends on the state.
    """
    check_protocol("sde", sde)
    arguments.instance("grid", grid, TimeGrid, "a TimeGrid(t0, t1, steps)")
    x0, seed = arguments.state(x0, many=True), arguments.integer("seed", seed, 0, 2**63 - 1)
    start = x0.value if isinstance(x0, Jet) else x0
    start = start.detach().reshape(-1, start.shape[-1])
    t0 = torch.as_tensor(grid.t0).to(start)
    with named("sde: expected coefficients that are defined at x0"):
        channels = noise_channels(sde, t0, start[:1])
    nothing = torch.zeros(channels, channels, dtype=torch.bool)
    found = NoiseStructure("additive", nothing, nothing, 0.0)
    if channels == 0:
        return found
    entries = start.shape[-1] * channels
    with torch.no_grad():
        with named("sde: expected coefficients that have derivatives at x0"):
            table, products = _derivatives(sde, t0, start[spread(len(start), min(pilot_paths(entries), len(start)))])
        if not len(table):
            raise ValueError(f"g: expected finite derivatives near the initial value, found none at t = {grid.t0:g}")
        found = _with_derivatives(found, table, products, t0, sde.noise_type)
        if found.is_largest:
            return found
        generator = torch.Generator().manual_seed(seed)
        visits = pilot(sde, start, grid, channels=channels, generator=generator)
        for t, x in _together(sde, t0, visits, grid):
            # Where no vector acts on another, a few derivatives tell whether there is more.
            if found.kind in ("additive", "diagonal") and departure(found, sde, t, x, generator) is None:
                continue
            for part in x.split(max(1, ENTRIES // (entries * channels))):
                found = extended(found, sde, t, part)
            if found.is_largest:
                break
    return found


def _together(sde: SDE, t0: Tensor, visits: list[Visit], grid: TimeGrid) -> list[tuple[Tensor, Tensor]]:
    """(t, states) to look at: all at once where the diffusion is the same at all visits, which saves evaluations.

    Then it is also evaluated at more times, and looked at where it is another one, for a short while perhaps.
    """
    if not visits:
        return []
    x, dB = torch.cat([visit.x for visit in visits]), torch.cat([visit.dB for visit in visits])
    noise = torch.cat([_plain(visit.noise) for visit in visits], 1)
    if not bool(_same(noise, _noise(sde, t0, x, dB))):
        return [(visit.t, visit.x) for visit in visits]
    few = slice(None, None, 2 * len(visits))
    steps = min(grid.steps, SCANNED)
    times = [torch.as_tensor(grid.t0 + (grid.t1 - grid.t0) * i / steps).to(x) for i in range(1, steps + 1)]
    x_few, dB_few, noise = x[few], dB[few], noise[:, few]
    same = _same(noise, torch.stack([_noise(sde, t, x_few, dB_few).expand_as(noise) for t in times]))
    return [(t0, x), *((t, x) for t, as_before in zip(times, same.tolist(), strict=True) if not as_before)]


def _noise(sde: SDE, t: Tensor, x: Tensor, dB: Tensor) -> Tensor:
    """The coefficients of the noise, of which there is one for a plain tensor; no numbers where it is not defined."""
    try:
        return _plain(diffusion_product(sde, t, x, dB))
    except FROM_INSIDE:
        return torch.full_like(x, torch.nan).unsqueeze(0)


def _same(noise: Tensor, there: Tensor) -> Tensor:
    """Whether the noise ``(coefficients, paths, n)`` is the same there, up to rounding; for many at once."""
    rounding = torch.finfo(noise.dtype).eps ** 0.75
    return ((there - noise).abs() <= rounding * noise.abs()).flatten(-3).all(-1)


@dataclass(frozen=True)
class Departure:
    """Where a noise departs from a structure: vector ``column``, and a component of it."""

    column: int
    component: int
    commutes: bool


def departure(
    structure: NoiseStructure, sde: SDE, t: Float[Tensor, ""], x: Float[Tensor, "paths n"], generator: torch.Generator
) -> Departure | None:
    """Hold a structure against the coefficients at states ``(paths, n)``.

    A derivative along a random combination of the diffusion vectors must be the sum of the derivatives that the
    structure knows of. So who acts on whom is held as a whole, by one derivative more than the structure has
    directions. Where vectors act on each other, a random one is held against those that it should commute with; what
    that lets pass once it finds another time.
    """
    acts, m = structure.acts, structure.channels
    g = diffusion_matrix(sde, t, x)
    if structure.kind == "additive" and _constant(_plain(g), 1) and not _constant(x, 0):
        return None  # the same at other states: no derivative is needed to see it
    rounding = torch.finfo(x.dtype).eps ** 0.75
    bound = rounding * _of_products(g, x)

    weights = torch.randn(m, generator=generator, dtype=torch.float64).to(x)
    excess = directional(lambda y: diffusion_matrix(sde, t, y), x, (g * weights).sum(-1))
    known = torch.zeros_like(bound)
    for direction in structure.directions(x):
        part = directional(lambda y: diffusion_matrix(sde, t, y), x, (g * direction.members).sum(-1))
        part = part * (weights[direction.source] * direction.acts)
        excess, known = excess - part, known + _by_component(part)
    found = _largest(excess, bound + rounding * known)
    if found is not None:
        return Departure(*found, commutes=True)

    # One vector against a random combination of those that should commute with it.
    column = int(torch.randint(m, (), generator=generator))
    partners = ~structure.pairs[column]
    partners[column] = False
    if bool((partners & (acts[column] | acts[:, column])).any()):
        weights = weights * partners.to(weights)
        one, others = g[..., column], (g * weights).sum(-1)
        forth = directional(lambda y: (diffusion_matrix(sde, t, y) * weights).sum(-1), x, one)
        back = directional(lambda y: diffusion_matrix(sde, t, y)[..., column], x, others)
        size = torch.maximum(_by_component(forth), _by_component(back))
        found = _largest((forth - back).unsqueeze(-1), bound + rounding * size)
        if found is not None:
            return Departure(column, found[1], commutes=False)
    return None


def _constant(values: Tensor, axis: int) -> bool:
    return bool((values == values.narrow(axis, 0, 1)).all())


def _by_component(values: Tensor) -> Tensor:
    """The largest number of each component at each state, ``(paths, n)``; what is not finite counts for nothing."""
    largest = _plain(values).detach().abs().nan_to_num(0.0, 0.0, 0.0).amax(0)
    return largest.flatten(2).amax(2) if largest.ndim > 2 else largest


def _of_products(g: Tensor, x: Tensor) -> Tensor:
    """What a derivative ∂g_l[g_k] is of where g changes by itself as the state does, ``(paths, n)``: what is far
    below it is rounding. Each component has its own, for one may be 10¹³ times as large as another."""
    noise, size = _by_component(g), x.detach().abs().amax(1)
    size = torch.maximum(size, size.median())
    return noise * (noise.amax(1) / size).nan_to_num(0.0, 0.0, 0.0).unsqueeze(1)


def _largest(values: Tensor, bound: Tensor) -> tuple[int, int] | None:
    """(column, component) of the value ``(paths, n, m)`` that is furthest above its bound ``(paths, n)``."""
    size = _plain(values).detach().abs().nan_to_num(0.0, 0.0, 0.0).amax(0)
    times = torch.where(size > bound.unsqueeze(2), size / bound.unsqueeze(2), 0.0).amax(0)
    if not bool(times.any()):
        return None
    component, column = divmod(int(times.argmax()), times.shape[-1])
    return column, component


def _derivatives(sde: SDE, t: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """∂g_l[g_k] at states ``(paths, n)``, as ``(paths, coefficients, n, k, l)``, of those paths where all are finite,
    and :func:`_of_products` of these.

    There is more than one coefficient for jets only. One evaluation serves all k.
    """
    g = diffusion_matrix(sde, t, x)
    m = g.shape[-1]
    vectors = torch.cat([g[..., k] for k in range(m)])
    moved = directional(lambda y: diffusion_matrix(sde, t, y), x.repeat(m, 1), vectors)
    table = _plain(moved).detach().cpu().to(torch.float64).unflatten(1, (m, len(x)))
    table = table.permute(2, 0, 3, 1, 4)
    finite = torch.isfinite(table).flatten(1).all(1)
    return table[finite], _of_products(g, x).cpu().to(torch.float64)[finite]


def extended(structure: NoiseStructure, sde: SDE, t: Float[Tensor, ""], x: Float[Tensor, "paths n"]) -> NoiseStructure:
    """The structure with what the derivatives at states ``(paths, n)`` show in addition; every pair is looked at."""
    return _with_derivatives(structure, *_derivatives(sde, t, x), t, sde.noise_type)


def _with_derivatives(
    structure: NoiseStructure, table: Tensor, products: Tensor, t: Tensor, noise_type: str
) -> NoiseStructure:
    """The structure with what there is in a table of :func:`_derivatives` in addition."""
    if not len(table):
        return structure
    size, commutator = table.abs().amax(1), (table - table.mT).abs().amax(1)  # (paths, n, k, l)
    # Rounding is held against the derivatives of the same component at the same state, so that nothing that is large
    # hides what is small, and at least against those at a usual state: where all vanish, only rounding is left.
    rounding = torch.finfo(t.dtype).eps ** 0.75
    least = products[:, :, None, None]
    largest = torch.maximum(size.amax((2, 3), keepdim=True), least)
    here = (size > rounding * torch.maximum(largest, largest.median(0).values)).any(0).any(0)
    crossing = torch.zeros_like(here)
    if bool(commutator.any()):  # or else there is nothing to hold against what takes n³ entries
        pair = torch.maximum(torch.maximum(size, size.mT), least)
        crossing = (commutator > rounding * torch.maximum(pair, pair.median(0).values)).any(0).any(0)
        crossing &= here | here.mT
    if noise_type == "additive" and bool(here.any()):
        column = int(here.any(0).nonzero()[0])
        component = int(table[..., column].abs().amax((0, 1, 3)).argmax())
        raise ValueError(
            f"noise_type: expected a diffusion that does not depend on the state for 'additive', but component "
            f"{component} of diffusion vector {column} does at t = {float(t):g}. Declare it 'general', or 'scalar' for "
            "one channel."
        )
    acts, pairs = structure.acts | here, structure.pairs | crossing
    greatest = max(structure.commutator, float((commutator.amax((0, 1)) * crossing).max()))
    return NoiseStructure(_kind(acts, pairs), acts, pairs, greatest)


def _plain(value: Tensor) -> Tensor:
    return value.coefficients if isinstance(value, Jet) else value.unsqueeze(0)


def _kind(acts: Tensor, pairs: Tensor) -> NoiseKind:
    if not bool(acts.any()):
        return "additive"
    if len(acts) == 1:
        return "scalar"
    if bool(pairs.any()):
        return "general"
    return "commutative" if bool((acts & ~torch.eye(len(acts), dtype=torch.bool)).any()) else "diagonal"
