"""Corollary 4.2: Q(x^ε_t, a) to second order in ε, with a remainder O(δ³), and bounds on ∂_i x and ∂²_ij x.

The expansion is right, path by path, with a remainder O(‖ε‖³). δ = E‖ε‖ is a number, and says nothing of a path on
which ε is large: for ε of size s with probability s, and zero otherwise, ε → 0 uniformly and δ = s², but on the paths
with an error the remainder is of order s³ = δ^{3/2}. The bounds leave a constant free; the certified ones do not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor

from sdewm.arrays import Array
from sdewm.divergence.bounds import second_derivative_supremum
from sdewm.divergence.distances import RepeatedIncrements
from sdewm.divergence.rollout_terms import COMPOSED, smallest
from sdewm.estimate.estimates import Estimate
from sdewm.estimate.samples import Sample, sample
from sdewm.jets import Jet
from sdewm.noise.increments import Increments
from sdewm.sensitivity import along
from sdewm.solvers.solve import solve
from sdewm.verdicts.judge import Row
from sdewm.verdicts.record import Curve
from sdewm.verification.settings import Settings, pooled
from theory_checks.claim import Claim
from theory_checks.rollouts import Derivative, constants, rollout_system, sample_sensitivities, terms_at_horizon
from theory_checks.rows import Rows

RARE = "rare errors"
# ‖ε‖ on a path, the largest first; where a rollout amplifies errors the expansion needs smaller ones.
SIZES = {"latent": (0.2, 0.1, 0.05, 0.025), "trained-step": (0.02, 0.01, 0.005, 0.0025)}
RATE_MARGIN = 0.25


def check(rows: Rows, settings: Settings) -> Iterator[Row]:
    if rows.system == RARE:
        yield from _rare(rows, settings)
    else:
        yield _rate(rows, rows.system, settings)
        yield from _derivative_bounds(rows, settings)


def curves(rows: Rows, settings: Settings) -> Iterator[Curve]:
    of = "latent" if rows.system == RARE else rows.system
    found, sizes = _measure(of, settings), SIZES[of]
    roots = [math.sqrt(float(found[s].mean())) for s in sizes]
    if rows.system != RARE:
        yield rows.curve("root mean square remainder over ‖ε‖", sizes, roots)
        return
    deltas = [s**2 for s in sizes]
    yield rows.curve("remainder on the paths with an error over δ", deltas, roots)
    yield rows.curve("remainder/δ³ over δ", deltas, [r / d**3 for r, d in zip(roots, deltas, strict=True)])


def value_function(inputs: int, actions: int = 2) -> Callable[[Tensor], Tensor]:
    """x ↦ Q(x, a) at one action a: a tanh network with fixed random weights."""
    g = torch.Generator().manual_seed(inputs)
    first = torch.randn(16, inputs + actions, generator=g, dtype=torch.float64) / inputs**0.5
    last = torch.randn(16, generator=g, dtype=torch.float64) / 4
    action = torch.randn(actions, generator=g, dtype=torch.float64)
    shift = first[:, inputs:] @ action
    return lambda x: (torch.tanh(x @ first[:, :inputs].T + shift) * last).sum(-1)


@pooled
def _measure(system: str, settings: Settings, round: int) -> Sample:
    """E of the squared remainder of Q at the horizon, for each ‖ε‖ along one direction of z̃."""
    of = rollout_system(system)
    q = value_function(len(of.x0))
    direction = of.directions.sum(0)
    direction = direction / direction.norm()
    sizes = SIZES[system]

    def evaluate(noise: Increments) -> dict[float, Tensor]:
        start = of.x0.expand(noise.paths, -1)
        jet = along(start, [direction.expand_as(start)], 2)
        expansion = q(solve(of.rollout, jet, of.until_horizon, method=of.method, noise=noise))
        assert isinstance(expansion, Jet)
        starts = torch.cat([start + s * direction for s in sizes])
        repeated = RepeatedIncrements(noise, len(sizes))
        perturbed = q(solve(of.rollout, starts, of.until_horizon, method=of.method, noise=repeated))
        value, first, second = expansion.coefficients
        return {
            s: (part - value - s * first - s**2 * second) ** 2
            for s, part in zip(sizes, perturbed.split(noise.paths), strict=True)
        }

    drawn = settings.draw(settings.paths(2**9), round)
    return sample(evaluate, drawn, of.channels, of.until_horizon, of.x0)


def _rates(system: str, settings: Settings) -> tuple[Estimate, float]:
    """The rate between the two smallest sizes, and how much it changed from the pair before."""
    found, sizes = _measure(system, settings), SIZES[system]
    pairs = (sizes[-2:], sizes[-3:-1])
    last, before = (found.slope(found[s], found[smaller], 2 * math.log(s / smaller)) for s, smaller in pairs)
    return last, abs(last.mean - before.mean)


def _rate(rows: Rows, system: str, settings: Settings, config: Mapping[str, object] | None = None) -> Row:
    rate, left = _rates(system, settings)
    return rows.equal(
        "rate of the remainder of Q in ‖ε‖", "corrected", "", rate, 3.0, numerical=left, margin=RATE_MARGIN, scale=3.0,
        config=config or {"sizes": SIZES[system], "paths": rate.n},
    )  # fmt: skip


def _rare(rows: Rows, settings: Settings) -> Iterator[Row]:
    """With δ = s² on a path of probability s: O(δ³) would be a rate of at least 6 in s, in the mean of 5."""
    rate, left = _rates("latent", settings)
    config = {"ε": "s e with probability s, else 0", "δ": "s²", "sizes": SIZES["latent"], "paths": rate.n}
    for reading, needed in (("almost surely", 6.0), ("in the mean", 5.0)):
        short = Estimate(needed - rate.mean, rate.stderr, rate.n, rate.dof, rate.seed)
        quantity = "rate at which remainder/δ³ grows as ‖ε‖ → 0"
        yield rows.at_most(quantity, "printed", reading, short, numerical=left, scale=3.0, config=config)
    yield _rate(rows, "latent", settings, config)


def _derivative_bounds(rows: Rows, settings: Settings) -> Iterator[Row]:
    measured = sample_sensitivities(rows.system, settings)
    of, c, terms = measured.system, constants(rows.system), terms_at_horizon(rows.system, settings)
    end, steps = of.horizon, of.grid.steps
    certified = {1: c.supremum(of)}
    if c.whole_step is not None and c.drift is not None and c.diffusion is not None and c.curvatures is not None:
        certified[2] = second_derivative_supremum(c.whole_step, c.drift, c.diffusion, *c.curvatures, of.grid.dt, steps)
    found: Mapping[Derivative, Array] = measured.sample.values
    for order, symbol, printed in ((1, "∂_i x", _log_first), (2, "∂²_ij x", _log_second)):
        largest = max((d for d in found if len(d.coordinates) == order), key=lambda d: float(found[d].mean()))
        value = measured.sample.estimate(largest)
        config = {**measured.config, f"E sup ‖{symbol}‖²": value.mean, "of": str(largest)}
        constant = _smallest(printed, terms, math.log(value.mean))
        yield rows.at_most(
            f"smallest C for E sup ‖{symbol}‖²",
            "printed",
            "",
            Estimate(constant, 0.0, value.n, value.dof, value.seed),
            vacuous=True,
            config=config,
        )
        if order in certified:
            bound = certified[order][end]
            yield rows.at_most(
                f"log of E sup ‖{symbol}‖² over its bound",
                "corrected",
                "certified",
                measured.log_estimate(found[largest], bound),
                scale=math.log(bound),
                config={**config, "bound": bound},
            )


def _log_first(c: float, terms: dict[str, float]) -> float:
    """log of C (J₀ + J₁), (56)."""
    return math.log(c) + _log_add(*_log_jacobian_terms(c, terms))


def _log_second(c: float, terms: dict[str, float]) -> float:
    """log of C exp(H₀ (J₀ + J₁)) + C exp(H₁ (J₀ + J₁)), (59)."""
    total = _log_add(*_log_jacobian_terms(c, terms))
    j = math.exp(total) if total < 700 else math.inf
    h0, h1 = c * sum(terms[n] for n in (*COMPOSED, "P_hh")), c * terms["P̄_hh"]
    return math.log(c) + _log_add(h0 * j, h1 * j)


def _log_jacobian_terms(c: float, terms: dict[str, float]) -> tuple[float, float]:
    return c * (terms["F_h"] + terms["F_z"] + terms["P_h"]), c * terms["P̄_h"]


def _smallest(
    log_bound: Callable[[float, dict[str, float]], float], terms: dict[str, float], log_value: float
) -> float:
    """The smallest C for which the bound, which grows with C, reaches a value."""
    return smallest(lambda c: log_bound(c, terms) >= log_value)


def _log_add(a: float, b: float) -> float:
    top = max(a, b)
    return top if math.isinf(top) else top + math.log(math.exp(a - top) + math.exp(b - top))


CLAIM = Claim("corollary_4_2", ("Corollary 4.2",), (*SIZES, RARE), check, curves, quick=("latent", RARE))
