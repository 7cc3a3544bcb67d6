"""Assumptions 3.1 and 3.2 held against the coefficients of a system.

They ask that every coefficient is bounded, of class C³, and has bounded derivatives. What is done here is sampling:
values and derivatives along random lines. It finds violations, and it never proves that there are none.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from sdewm import arguments
from sdewm.jets import Jet, NonSmoothWarning
from sdewm.jets.kinks import Leaving
from sdewm.sensitivity import along
from sdewm.systems.latent import LatentSDE
from sdewm.systems.perturbed import PerturbedSDE
from sdewm.systems.sde import SDE, check_protocol, diffusion_product, noise_channels
from sdewm.systems.user_functions import named

Assumption = Literal["3.1", "3.2"]
Condition = Literal["bounded", "class C³", "bounded derivatives"]
# The value and its first three derivatives.
ORDERS = (0, 1, 2, 3)
# Growth like r^0.05 counts as none; a jump counts from a thousandth of the largest value.
NO_GROWTH = 0.05
JUMP = 1e-3
# Values are taken in shells of a decade from these radii on, jumps looked for on segments of this half-length, in each
# section by itself; values smaller than this part of the line's largest are rounding. Lengths are in units of |x0|,
# and of 1 too: where the system is at home, and where most kinks are.
RADII = (1e3, 1e6)
SHELL = 64
SEGMENT, POINTS, SECTIONS, HALVINGS = 8.0, 257, 16, 30
ROUNDING = 1e-4
# A unit this many times smaller or larger than another is one of its own.
UNITS_APART = 8.0
# Derivatives, by such a unit, and values far out smaller than this part of the values near by are rounding.
NOTHING = 1e-12
# A window this much shorter than its place is from 0 has few numbers in it.
RESOLVED = 2.0**-44
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
    system: SDE | PerturbedSDE, x0: Float[Tensor, "*paths n"], *, t: float = 0.0, lines: int = 8, seed: int = 0
) -> AssumptionReport:
    """Look for violations of Assumption 3.1, and of 3.2 where the system has an error.

    Parameters
    ----------
    system : an SDE, or a :class:`PerturbedSDE` whose error is held to Assumption 3.2. Of a :class:`LatentSDE` each of
        the eight coefficients is judged by itself, with its leak where it has one.
    x0 : a state ``(n,)`` where the system is at home; float64, for jumps to be told from rounding. Its size is a unit
        of length: kinks are looked for at up to 8 |x0| and at up to 8, growth from 1000 times the larger of |x0| and 1.
    t : the time at which the coefficients are taken.
    lines : random lines through ``x0``; jumps are looked for along as many through the origin, too.
    seed : of the lines' directions.

    A diffusion is followed by its product with one random increment. Operations that are not smooth are named even
    where no line met their kinks. Sizes of coefficients do not matter: 1e-19 x is not bounded.

    Raises ``ValueError`` for an x0 that is not one finite state of float64, and for numbers that say nothing;
    ``TypeError`` for what is no system.

    >>> from sdewm import FunctionSDE
    >>> report = check_assumptions(FunctionSDE(lambda t, x: torch.relu(x)), torch.zeros(1, dtype=torch.float64))
    >>> [(v.coefficient, v.condition, v.detail) for v in report.violations]
    [('drift', 'bounded', 'it grows like r^1'), ('drift', 'class C³', 'of class C⁰ only (relu)')]
    """
    check_protocol("system", system.base if isinstance(system, PerturbedSDE) else system)
    x0 = arguments.state(x0)
    if x0.dtype != torch.float64:
        raise ValueError(f"x0: expected one state (n,) of float64, got shape {tuple(x0.shape)} of {x0.dtype}")
    lines, t = arguments.integer("lines", lines, 1), arguments.real("t", t)
    generator = torch.Generator().manual_seed(arguments.integer("seed", seed, 0, 2**63 - 1))
    # A power of two: grids of points then have the origin's coordinates exactly.
    size = 2.0 ** round(math.log2(float(x0.abs().max()) or 1.0))
    units = [size] if max(size, 1 / size) <= UNITS_APART else [size, 1.0]
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
                near = [_near_by(function, through, directions.repeat(2, 1), unit) for unit in units]
                powers = _growth(function, x0, rays, directions, shells, blocks, max(units), near[0][1])
                jumps_by_unit = [
                    _jumps(function, through, directions.repeat(2, 1), blocks, unit, min(units), *at)
                    for unit, at in zip(units, near, strict=True)
                ]
                found = {name: [max(by[name][j] for by in jumps_by_unit) for j in ORDERS] for name in blocks}
            # Poles and the ends of domains are met on the lines, or are not; lines are no paths that come near them.
            rough = sorted({str(w.message).split()[0] for w in caught if w.category is NonSmoothWarning})
            for name in blocks:
                growth[name] = powers[name][0]
                derivative_growth |= {(name, order): powers[name][order] for order in ORDERS[1:]}
                jumps |= {(name, order): found[name][order] for order in ORDERS}
                left = _left(function, through, directions.repeat(2, 1), units) if math.isinf(found[name][0]) else []
                violations += _violations(assumption, name, powers[name], found[name], rough, left)
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
    expected = f"expected a coefficient that takes states (paths, {len(x0)}), such as x0"
    with named(f"diffusion: {expected}"):
        channels = noise_channels(base, time, x0[None])
    dB = torch.randn(channels, generator=generator, dtype=x0.dtype).to(x0.device)

    def drift(sde: SDE) -> VectorField:
        def at(x: Tensor) -> Tensor:
            with named(f"drift: {expected}"):
                return sde.f(time, x)

        return at

    def diffusion(sde: SDE) -> VectorField:
        def at(x: Tensor) -> Tensor:
            with named(f"diffusion: {expected}"):
                return diffusion_product(sde, time, x, dB.expand(len(x), -1))

        return at

    whole = slice(None)
    if isinstance(base, LatentSDE):
        names, slices = ("q_enc", "f", "p", "q_dec"), base.block_slices
        yield "3.1", drift(base), dict(zip(names, slices, strict=True))
        yield "3.1", diffusion(base), {f"{n}_bar": b for n, b in zip(names, slices, strict=True)}
    else:
        yield "3.1", drift(base), {"drift": whole}
        yield "3.1", diffusion(base), {"diffusion": whole}
    if error is not None:
        rows = base.block_slices.z if isinstance(base, LatentSDE) else whole
        yield "3.2", drift(error), {"sigma": rows}
        yield "3.2", diffusion(error), {"sigma_bar": rows}


def _derivatives(function: VectorField, x: Tensor, direction: Tensor) -> Tensor:
    """Value and first three derivatives along ``direction``, ``(4, points, n)``."""
    value = function(along(x, [direction], order=3))
    if not isinstance(value, Jet):
        return torch.stack([value.expand_as(x), *[torch.zeros_like(x)] * 3])
    return torch.stack([value.derivative(alpha).expand_as(x) for alpha in value.space.indices])


def _near_by(function: VectorField, through: Tensor, directions: Tensor, unit: float) -> tuple[Tensor, Tensor]:
    """Distances ``(POINTS,)`` along segments, and the derivatives there, ``(4, lines, POINTS, n)``."""
    s = unit * torch.linspace(-SEGMENT, SEGMENT, POINTS, dtype=through.dtype, device=through.device)
    where = s.expand(len(directions), -1)
    return s, _along_lines(function, where, through.unsqueeze(1), directions.unsqueeze(1))


def _along_lines(function: VectorField, s: Tensor, origin: Tensor, v: Tensor) -> Tensor:
    """Derivatives ``(4, …, n)`` at distances ``(…)`` from points ``(…, n)`` along directions ``(…, n)``."""
    x = origin + s.unsqueeze(-1) * v
    return _derivatives(function, x.flatten(0, -2), v.expand_as(x).flatten(0, -2)).unflatten(1, s.shape)


def _left(function: VectorField, through: Tensor, directions: Tensor, units: list[float]) -> list[str]:
    """The operations whose domain some points of the segments are not in."""
    part = torch.linspace(-SEGMENT, SEGMENT, POINTS, dtype=through.dtype, device=through.device)
    s = torch.cat([unit * part for unit in units]).reshape(-1, 1, 1)
    with Leaving() as leaving:
        function((through + s * directions).flatten(0, 1))
    return sorted(leaving.names)


def _growth(
    function: VectorField,
    x0: Tensor,
    rays: Tensor,
    directions: Tensor,
    shells: Tensor,
    blocks: Columns,
    unit: float,
    near_by: Tensor,
) -> dict[str, list[float]]:
    """Of each coefficient and order, p of its growth like r^p: the largest values in two shells far out."""
    largest = []
    for radius in RADII:
        x = x0 + (unit * radius * 10**shells).unsqueeze(-1) * rays.unsqueeze(1)
        along_which = directions.unsqueeze(1).expand_as(x)
        found = _derivatives(function, x.flatten(0, 1), along_which.flatten(0, 1)).abs()
        largest.append({name: [float(d[:, columns].max()) for d in found] for name, columns in blocks.items()})
    home = {name: [float(d[..., columns].abs().max()) for d in near_by] for name, columns in blocks.items()}
    return {
        name: [_exponent(largest[0][name][j], largest[1][name][j], home[name][j]) for j in ORDERS] for name in blocks
    }


def _exponent(near: float, far: float, home: float) -> float:
    """p from the largest values in the nearer and in the farther shell; ``home`` is that where the system starts."""
    if not (math.isfinite(near) and math.isfinite(far)):
        return math.inf
    if far == 0 or (math.isfinite(home) and far <= NOTHING * home):  # gone, or rounding
        return -math.inf
    return (math.log(far) - math.log(max(near, 5e-324))) / math.log(RADII[1] / RADII[0])


def _jumps(
    function: VectorField,
    through: Tensor,
    directions: Tensor,
    blocks: Columns,
    unit: float,
    least: float,
    s: Tensor,
    values: Tensor,
) -> dict[str, list[float]]:
    """Of each coefficient and order, the largest step that stays when it is looked at ever closer.

    In parts of the largest value near by: a kink is to be found beside oscillations that are far larger. So each line
    is cut into sections, and in each the largest step is followed by itself, until it is too small to count. What is
    smooth in the ``least`` unit is followed down to there.
    """
    sought = [(name, order) for name in blocks for order in ORDERS]
    lines, width = len(directions), (POINTS - 1) // SECTIONS
    found: dict[str, list[float]] = {name: [0.0] * len(ORDERS) for name in blocks}
    which, line, start, size = [], [], [], []
    for i, (name, order) in enumerate(sought):
        value = values[order][..., blocks[name]]
        top, whole = float(value.abs().amax()), float(values[0][..., blocks[name]].abs().amax())
        if top == 0 or top <= NOTHING * whole / unit**order:  # rounding, which has no jumps
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

    def count(jumps: Tensor) -> None:
        for i, jump in zip(wanted[jumps > JUMP].tolist(), jumps[jumps > JUMP].tolist(), strict=True):
            name, order = sought[i]
            found[name][order] = max(found[name][order], jump)

    jumps = near
    for _ in range(HALVINGS + max(0, math.ceil(math.log2(unit / least)))):
        points = left.unsqueeze(-1) + length * part
        at = _along_lines(function, points, origin.unsqueeze(1), v.unsqueeze(1))
        steps, sizes = _sought(at, wanted, sought, blocks)
        largest, where = steps.max(-1)
        near = torch.maximum(near, sizes)  # a steep place may show only now
        left = points.gather(-1, where.unsqueeze(-1))[:, 0] - length / 6
        length /= 2
        # A step between numbers is in parts of their size; one that is not finite is a jump.
        jumps = (largest / near).nan_to_num(math.inf, math.inf)
        # Where numbers are no denser, what is left of a step is one.
        ended = length <= RESOLVED * torch.maximum(left.abs(), origin.abs().amax(-1))
        count(torch.where(ended, jumps, 0.0))
        on = (jumps > JUMP) & ~ended
        wanted, left, near, jumps = wanted[on], left[on], near[on], jumps[on]
        origin, v = origin[on], v[on]
        if not len(wanted):
            break
    count(jumps)
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
    assumption: Assumption, name: str, powers: list[float], jumps: list[float], rough: list[str], left: list[str]
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
        if math.isinf(jumps[0]):
            detail = f"it leaves the domain of {' and of '.join(left)}" if left else "it is not finite near by"
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
