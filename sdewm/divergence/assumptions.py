"""Assumptions 3.1 and 3.2 held against the coefficients of a system.

They ask that every coefficient is bounded, of class C³, and has bounded derivatives. What is done here is sampling:
values and derivatives along random lines. It finds violations, and it never proves that there are none.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor

from sdewm.jets import Jet, NonSmoothWarning
from sdewm.sensitivity import along
from sdewm.systems.latent import LatentSDE
from sdewm.systems.perturbed import PerturbedSDE
from sdewm.systems.sde import SDE, diffusion_product, noise_channels

Assumption = Literal["3.1", "3.2"]
Condition = Literal["bounded", "class C³", "bounded derivatives"]
# The value and its first three derivatives.
ORDERS = (0, 1, 2, 3)
# Growth like r^0.05 counts as none; a jump counts from a thousandth of the largest value.
NO_GROWTH = 0.05
JUMP = 1e-3
# Values are taken in shells of a decade from these radii on, jumps looked for on segments of this half-length, in each
# section by itself; values smaller than this part of the line's largest are rounding.
RADII = (1e3, 1e6)
SHELL = 64
SEGMENT, POINTS, SECTIONS, HALVINGS = 8.0, 257, 16, 30
ROUNDING = 1e-4
_SUPERSCRIPTS = "⁰¹²³"


@dataclass(frozen=True)
class Violation:
    """One condition that a coefficient does not meet: which, how it shows, and what of the paper goes with it."""

    assumption: Assumption
    coefficient: str
    condition: Condition
    detail: str
    affects: str

    def __str__(self) -> str:
        return f"Assumption {self.assumption}, {self.coefficient}: not {self.condition}: {self.detail}. {self.affects}"


@dataclass(frozen=True)
class AssumptionReport:
    """What :func:`check_assumptions` found.

    Attributes
    ----------
    violations : in the order of the coefficients; empty where none was found, which proves nothing.
    growth : of each coefficient, the exponent p of its growth like r^p far out; 0 or less where it is bounded.
    derivative_growth : the same of the derivatives, by coefficient and order 1 to 3.
    jumps : the largest jump of each derivative, order 0 to 3, in parts of its largest value near by; 0 where none was
        found.
    lines : how many random lines each coefficient was followed along.
    """

    violations: tuple[Violation, ...]
    growth: Mapping[str, float]
    derivative_growth: Mapping[tuple[str, int], float]
    jumps: Mapping[tuple[str, int], float]
    lines: int

    def __str__(self) -> str:
        if not self.violations:
            return f"no violation of Assumptions 3.1 and 3.2 found along {self.lines} lines, which does not prove them"
        return "\n".join(map(str, self.violations))


def check_assumptions(
    system: SDE | PerturbedSDE, x0: Tensor, *, t: float = 0.0, lines: int = 8, seed: int = 0
) -> AssumptionReport:
    """Look for violations of Assumption 3.1, and of 3.2 where the system has an error.

    Parameters
    ----------
    system : an SDE, or a :class:`PerturbedSDE` whose error is held to Assumption 3.2. Of a :class:`LatentSDE` each of
        the eight coefficients is judged by itself, with its leak where it has one.
    x0 : a state ``(n,)`` where the system is at home; float64, for jumps to be told from rounding.
    t : the time at which the coefficients are taken.
    lines : random lines through ``x0``; jumps are looked for along as many through the origin, too.
    seed : of the lines' directions.

    A diffusion is followed by its product with one random increment. Operations that are not smooth are named even
    where no line met their kinks. Raises ``ValueError`` for an x0 that is not one state of float64.

    >>> from sdewm import FunctionSDE
    >>> report = check_assumptions(FunctionSDE(lambda t, x: torch.relu(x)), torch.zeros(1, dtype=torch.float64))
    >>> [(v.coefficient, v.condition, v.detail) for v in report.violations]
    [('drift', 'bounded', 'it grows like r^1'), ('drift', 'class C³', 'of class C⁰ only (relu)')]
    """
    if x0.ndim != 1 or x0.dtype != torch.float64:
        raise ValueError(f"x0: expected one state (n,) of float64, got shape {tuple(x0.shape)} of {x0.dtype}")
    if lines < 1:
        raise ValueError(f"lines: expected a positive number, got {lines}")
    generator = torch.Generator().manual_seed(seed)
    rays, directions = torch.randn(2, lines, len(x0), generator=generator, dtype=x0.dtype).to(x0.device)
    rays = rays / rays.norm(dim=-1, keepdim=True)
    directions = directions / directions.norm(dim=-1, keepdim=True)
    # Norms and powers have their kinks at the origin, which lines through x0 pass by.
    through = torch.cat([x0.expand(lines, -1), torch.zeros_like(rays)])
    shells = torch.rand(lines, SHELL, generator=generator, dtype=x0.dtype).to(x0.device)

    growth: dict[str, float] = {}
    derivative_growth: dict[tuple[str, int], float] = {}
    jumps: dict[tuple[str, int], float] = {}
    violations: list[Violation] = []
    with torch.no_grad():
        for assumption, function, blocks in _functions(system, x0, t, generator):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", NonSmoothWarning)
                powers = _growth(function, x0, rays, directions, shells, blocks)
                found = _jumps(function, through, directions.repeat(2, 1), blocks)
            # Poles and the ends of domains are met on the lines, or are not; lines are no paths that come near them.
            rough = sorted({str(w.message).split()[0] for w in caught if w.category is NonSmoothWarning})
            for name in blocks:
                growth[name] = powers[name][0]
                derivative_growth |= {(name, order): powers[name][order] for order in ORDERS[1:]}
                jumps |= {(name, order): found[name][order] for order in ORDERS}
                violations += _violations(assumption, name, powers[name], found[name], rough)
            seen = any(v.coefficient in blocks and v.condition == "class C³" for v in violations)
            if rough and not seen:
                detail = f"uses {', '.join(rough)}, though no line met a kink"
                violations.append(Violation(assumption, " or ".join(blocks), "class C³", detail, _consequence(2)))
    return AssumptionReport(tuple(violations), growth, derivative_growth, jumps, lines)


# A map of states ``(paths, n)``, and the columns of its values that belong to each coefficient.
VectorField = Callable[[Tensor], Tensor]
Columns = Mapping[str, slice]


def _functions(
    system: SDE | PerturbedSDE, x0: Tensor, t: float, generator: torch.Generator
) -> Iterator[tuple[Assumption, VectorField, Columns]]:
    """Drift and diffusion of the system, then of its error."""
    base, error = (system.base, system.error) if isinstance(system, PerturbedSDE) else (system, None)
    time = torch.as_tensor(t, dtype=x0.dtype, device=x0.device)
    channels = noise_channels(base, time, x0[None])
    dB = torch.randn(channels, generator=generator, dtype=x0.dtype).to(x0.device)

    def drift(sde: SDE) -> VectorField:
        return lambda x: sde.f(time, x)

    def diffusion(sde: SDE) -> VectorField:
        return lambda x: diffusion_product(sde, time, x, dB.expand(len(x), -1))

    whole = slice(None)
    if isinstance(base, LatentSDE):
        names, slices = ("q_enc", "f", "p", "q_dec"), cast(tuple[slice, ...], base.block_slices)
        yield "3.1", drift(base), dict(zip(names, slices, strict=True))
        yield "3.1", diffusion(base), {f"{n}_bar": b for n, b in zip(names, slices, strict=True)}
    else:
        yield "3.1", drift(base), {"drift": whole}
        yield "3.1", diffusion(base), {"diffusion": whole}
    if error is not None:
        rows = cast(slice, base.block_slices.z) if isinstance(base, LatentSDE) else whole
        yield "3.2", drift(error), {"sigma": rows}
        yield "3.2", diffusion(error), {"sigma_bar": rows}


def _derivatives(function: VectorField, x: Tensor, direction: Tensor) -> Tensor:
    """Value and first three derivatives along ``direction``, ``(4, points, n)``."""
    value = function(along(x, [direction], order=3))
    if not isinstance(value, Jet):
        return torch.stack([value.expand_as(x), *[torch.zeros_like(x)] * 3])
    return torch.stack([value.derivative(alpha).expand_as(x) for alpha in value.space.indices])


def _growth(
    function: VectorField, x0: Tensor, rays: Tensor, directions: Tensor, shells: Tensor, blocks: Columns
) -> dict[str, list[float]]:
    """Of each coefficient and order, p of its growth like r^p: the largest values in two shells far out."""
    largest = []
    for radius in RADII:
        x = x0 + (radius * 10**shells).unsqueeze(-1) * rays.unsqueeze(1)
        along_which = directions.unsqueeze(1).expand_as(x)
        found = _derivatives(function, x.flatten(0, 1), along_which.flatten(0, 1)).abs()
        largest.append({name: [float(d[:, columns].max()) for d in found] for name, columns in blocks.items()})
    return {name: [_exponent(largest[0][name][j], largest[1][name][j]) for j in ORDERS] for name in blocks}


def _exponent(near: float, far: float) -> float:
    if not (math.isfinite(near) and math.isfinite(far)):
        return math.inf
    if far <= 1e-12:  # gone, or rounding
        return -math.inf
    return math.log(far / max(near, 1e-300)) / math.log(RADII[1] / RADII[0])


def _jumps(function: VectorField, through: Tensor, directions: Tensor, blocks: Columns) -> dict[str, list[float]]:
    """Of each coefficient and order, the largest step that stays when it is looked at ever closer.

    In parts of the largest value near by: a kink is to be found beside oscillations that are far larger. So each line
    is cut into sections, and in each the largest step is followed by itself, until it is too small to count.
    """
    sought = [(name, order) for name in blocks for order in ORDERS]
    s = torch.linspace(-SEGMENT, SEGMENT, POINTS, dtype=through.dtype, device=through.device)

    def at(s: Tensor, origin: Tensor, v: Tensor) -> Tensor:
        """Derivatives ``(4, …, n)`` at distances ``(…)`` from points ``(…, n)`` along directions ``(…, n)``."""
        x = origin + s.unsqueeze(-1) * v
        return _derivatives(function, x.flatten(0, -2), v.expand_as(x).flatten(0, -2)).unflatten(1, s.shape)

    lines, width = len(directions), (POINTS - 1) // SECTIONS
    values = at(s.expand(lines, -1), through.unsqueeze(1), directions.unsqueeze(1))  # (4, lines, POINTS, n)
    found: dict[str, list[float]] = {name: [0.0] * len(ORDERS) for name in blocks}
    which, line, start, size = [], [], [], []
    for i, (name, order) in enumerate(sought):
        value = values[order][..., blocks[name]]
        top = float(value.abs().amax())
        if top <= 1e-12:  # rounding, which has no jumps
            continue
        near = value[:, :-1].unflatten(1, (SECTIONS, width)).abs().amax((2, 3)).flatten()
        steps = _steps(value).unflatten(1, (SECTIONS, width)).argmax(-1)
        steps = steps + width * torch.arange(SECTIONS, device=through.device)
        which.append(torch.full((lines * SECTIONS,), i, device=through.device))
        line.append(torch.arange(lines, device=through.device).repeat_interleave(SECTIONS))
        start.append(s[steps.flatten()] - (s[1] - s[0]))
        size.append(near.clamp_min(ROUNDING * top) if math.isfinite(top) else near)
    if not which:
        return found
    wanted, left, near = torch.cat(which), torch.cat(start), torch.cat(size)
    origin, v = through[torch.cat(line)], directions[torch.cat(line)]
    # A window of three intervals about the largest step: what is infinite at a point may lie beside that step.
    length = 3 * float(s[1] - s[0])
    part = torch.linspace(0, 1, 7, dtype=through.dtype, device=through.device)
    jumps = near
    for _ in range(HALVINGS):
        points = left.unsqueeze(-1) + length * part
        steps, sizes = _sought(at(points, origin.unsqueeze(1), v.unsqueeze(1)), wanted, sought, blocks)
        largest, where = steps.max(-1)
        near = torch.maximum(near, sizes)  # a steep place may show only now
        left = points.gather(-1, where.unsqueeze(-1))[:, 0] - length / 6
        length /= 2
        # A step between numbers is in parts of their size; one that is not finite is a jump.
        jumps = (largest / near).nan_to_num(math.inf, math.inf)
        counts = jumps > JUMP
        wanted, left, near, jumps = wanted[counts], left[counts], near[counts], jumps[counts]
        origin, v = origin[counts], v[counts]
        if not len(wanted):
            break
    for i, jump in zip(wanted.tolist(), jumps.tolist(), strict=True):
        name, order = sought[i]
        found[name][order] = max(found[name][order], jump)
    return found


def _steps(value: Tensor) -> Tensor:
    """Sizes of the steps between neighbours, ``(…, points, n)`` to ``(…, points − 1)``; infinite where undefined."""
    return value.diff(dim=-2).abs().amax(-1).nan_to_num(math.inf, math.inf)


def _sought(values: Tensor, wanted: Tensor, sought: list[tuple[str, int]], blocks: Columns) -> tuple[Tensor, Tensor]:
    """What each window is after, its own coefficient and order: steps ``(windows, points − 1)``, sizes ``(windows,)``.

    ``values`` are ``(4, windows, points, n)``.
    """
    steps = values.new_empty(values.shape[1], values.shape[2] - 1)
    sizes = values.new_empty(values.shape[1])
    for i, (name, order) in enumerate(sought):
        mine = wanted == i
        value = values[order, mine][..., blocks[name]]
        steps[mine] = _steps(value)
        sizes[mine] = value.abs().nan_to_num(0.0, 0.0).amax((1, 2))
    return steps, sizes


def _violations(
    assumption: Assumption, name: str, powers: list[float], jumps: list[float], rough: list[str]
) -> Iterator[Violation]:
    if powers[0] > NO_GROWTH:
        if powers[0] <= 1 + NO_GROWTH:
            affects = "The proofs use linear growth, which it has: the expansions are not affected."
        else:
            affects = "Solutions may explode and moments be infinite: no theorem of the paper applies."
        grows = (
            f"it grows like r^{powers[0]:.2g}" if math.isfinite(powers[0]) else "far out it is not finite, or undefined"
        )
        yield Violation(assumption, name, "bounded", grows, affects)
    first = next((order for order in ORDERS if jumps[order] > JUMP), None)
    if first is not None:
        detail = "it jumps" if first == 0 else f"of class C{_SUPERSCRIPTS[first - 1]} only"
        named = f" ({', '.join(rough)})" if rough else ""
        yield Violation(assumption, name, "class C³", detail + named, _consequence(first))
    steep = next((order for order in ORDERS[1:] if powers[order] > NO_GROWTH), None)
    if steep is not None and first is None:
        detail = f"the derivative of order {steep} grows like r^{powers[steep]:.2g}"
        affects = "The moments of Lemmas B.6 and B.7 and the constants of (18) and Theorem 4.1 may be infinite."
        yield Violation(assumption, name, "bounded derivatives", detail, affects)


def _consequence(order: int) -> str:
    """What fails where the derivative of this order is not continuous."""
    if order <= 1:
        return "∂x, Φ and all that is made of them need a derivative: Theorems 3.7, 4.1 and their corollaries."
    if order == 2:
        return "∂²x needs a second derivative: the ε² terms of Theorem 3.7 and Corollary 3.8, Corollary 4.2."
    return "The remainders O(ε³) of Theorem 3.7, Corollary 3.8 and Corollary 4.2 are o(ε²) only."
