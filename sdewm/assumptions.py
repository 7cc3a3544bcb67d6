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
from sdewm.latent import LatentSDE
from sdewm.sde import SDE, PerturbedSDE, diffusion_product, noise_channels
from sdewm.sensitivity import along

Assumption = Literal["3.1", "3.2"]
Condition = Literal["bounded", "class C³", "bounded derivatives"]
# The value and its first three derivatives.
ORDERS = (0, 1, 2, 3)
# Growth like r^0.05 counts as none; a jump counts from a thousandth of the largest value.
NO_GROWTH = 0.05
JUMP = 1e-3
# Values are taken in shells of a decade from these radii on, jumps looked for on segments of this half-length.
RADII = (1e3, 1e6)
SHELL = 64
SEGMENT, POINTS, HALVINGS = 8.0, 257, 30
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
    jumps : the largest jump of each derivative, order 0 to 3, in parts of its largest value; about 0 where it is
        continuous.
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
    x0 : a state ``(n,)`` that the lines pass through; float64, for jumps to be told from rounding.
    t : the time at which the coefficients are taken.
    lines : random lines through ``x0``.
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
                found = _jumps(function, x0, directions, blocks)
            rough = sorted({str(w.message).split()[0] for w in caught if issubclass(w.category, NonSmoothWarning)})
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
Function = Callable[[Tensor], Tensor]
Columns = Mapping[str, slice]


def _functions(
    system: SDE | PerturbedSDE, x0: Tensor, t: float, generator: torch.Generator
) -> Iterator[tuple[Assumption, Function, Columns]]:
    """Drift and diffusion of the system, then of its error."""
    base, error = (system.base, system.error) if isinstance(system, PerturbedSDE) else (system, None)
    time = torch.as_tensor(t, dtype=x0.dtype, device=x0.device)
    channels = noise_channels(base, time, x0[None])
    dB = torch.randn(channels, generator=generator, dtype=x0.dtype).to(x0.device)

    def drift(sde: SDE) -> Function:
        return lambda x: sde.f(time, x)

    def diffusion(sde: SDE) -> Function:
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


def _derivatives(function: Function, x: Tensor, direction: Tensor) -> Tensor:
    """Value and first three derivatives along ``direction``, ``(4, points, n)``."""
    value = function(along(x, [direction], order=3))
    if not isinstance(value, Jet):
        return torch.stack([value.expand_as(x), *[torch.zeros_like(x)] * 3])
    return torch.stack([value.derivative(alpha).expand_as(x) for alpha in value.space.indices])


def _growth(
    function: Function, x0: Tensor, rays: Tensor, directions: Tensor, shells: Tensor, blocks: Columns
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


def _jumps(function: Function, x0: Tensor, directions: Tensor, blocks: Columns) -> dict[str, list[float]]:
    """Of each coefficient and order, the largest step that stays when it is bisected, in parts of the largest value.

    All lines, coefficients and orders are bisected side by side.
    """
    lines = len(directions)
    s = torch.linspace(-SEGMENT, SEGMENT, POINTS, dtype=x0.dtype, device=x0.device)
    spread = directions.unsqueeze(1)

    def at(s: Tensor, v: Tensor) -> Tensor:
        x = x0 + s.unsqueeze(-1) * v
        return _derivatives(function, x.flatten(0, -2), v.expand_as(x).flatten(0, -2)).unflatten(1, s.shape)

    values = at(s.expand(lines, -1), spread)  # (4, lines, POINTS, n)
    sought = [(name, order) for name in blocks for order in ORDERS]
    ends, sizes = [], []
    for name, order in sought:
        value = values[order][..., blocks[name]]
        sizes.append(value.abs().amax((1, 2)))
        i = value.diff(dim=1).abs().amax(-1).argmax(1)
        ends.append(torch.stack([s[i], s[i + 1]], -1))
    left = torch.stack(ends)  # (sought, lines, 2)
    v = spread.expand(len(sought), lines, 1, -1)
    for _ in range(HALVINGS):
        three = torch.stack([left[..., 0], left.mean(-1), left[..., 1]], -1)
        steps = _steps(at(three, v), sought, blocks)
        first = steps.argmax(-1, keepdim=True)
        left = torch.cat([three.gather(-1, first), three.gather(-1, first + 1)], -1)
    final = _steps(at(left, v), sought, blocks)[..., 0]
    # A value of rounding's size has no jumps; one that is not finite is a jump.
    size = torch.stack(sizes)
    part = torch.where(size <= 1e-12, 0.0, final / size).nan_to_num(math.inf, math.inf)
    found: dict[str, list[float]] = {name: [] for name in blocks}
    for (name, _), jump in zip(sought, part.amax(1).tolist(), strict=True):
        found[name].append(jump)
    return found


def _steps(values: Tensor, sought: list[tuple[str, int]], blocks: Columns) -> Tensor:
    """Steps between neighbours, of each coefficient and order at its own points ``(4, sought, lines, k, n)``."""
    return torch.stack(
        [values[order][i][..., blocks[name]].diff(dim=1).abs().amax(-1) for i, (name, order) in enumerate(sought)]
    )


def _violations(
    assumption: Assumption, name: str, powers: list[float], jumps: list[float], rough: list[str]
) -> Iterator[Violation]:
    if powers[0] > NO_GROWTH:
        if powers[0] <= 1 + NO_GROWTH:
            affects = "The proofs use linear growth, which it has: the expansions are not affected."
        else:
            affects = "Solutions may explode and moments be infinite: no theorem of the paper applies."
        yield Violation(assumption, name, "bounded", f"it grows like r^{powers[0]:.2g}", affects)
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
