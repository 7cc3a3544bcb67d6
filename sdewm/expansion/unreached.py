"""Losses that none of the paths that were drawn reach, so that a standard error says nothing of them.

Of 16,384 paths none may come where exp(9 x − 36) is large, and those that do carry its mean. Along a line through the
noise, all of it scaled by ρ, such paths are easy to make, and the normal density of ρ tells how rare they are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from sdewm.estimate.samples import Moments
from sdewm.expansion.lines import Lines, lines_through, method_along_lines, points
from sdewm.expansion.pathwise_derivatives import corrected_walks, terms_along
from sdewm.expansion.power_series import second_coefficient
from sdewm.jets import NotDifferentiable, value_of
from sdewm.jets.registry import unsaid
from sdewm.noise.grid import TimeGrid
from sdewm.solvers.methods import Method
from sdewm.systems.losses import SummedLoss
from sdewm.systems.perturbed import PerturbedSDE
from sdewm.systems.pilot import pilot
from sdewm.systems.sde import SDE
from sdewm.systems.user_functions import FROM_INSIDE

# So many times as far from x0 as pilot paths go, a loss is held against what it is on all paths.
FURTHER = tuple(2.0**k for k in range(11))
# Lines are followed for so many standard deviations; fewer where paths that far out leave the numbers or a domain.
REACH = (8.0, 6.0, 5.0)
# Terms of the expansion are followed along so many of the lines, no further than that, and in shorter steps, as they
# change faster than the loss.
MOST_BENT, FURTHEST, FINE = 3, 6.0, 0.0625
# A mean that lacks this many of its standard errors is said to.
LACKING = 2.0
ROUNDING = 1e-13  # of values, next to their size


class Known(NamedTuple):
    """What is known of a mean: the moments of the paths' values, its standard error, and the sampler's ``widen``."""

    moments: Moments
    stderr: float
    widen: float = 1.0


def unreached(
    found: Mapping[str, Known],
    loss: SummedLoss,
    family: PerturbedSDE,
    x0: Float[Tensor, " n"],
    grid: TimeGrid,
    *,
    channels: int,
    method: Method = "euler",
) -> dict[str, str]:
    """Why nothing is known of some means after all, by name: of E L(x⁰), or else of terms of the expansion.

    ``found`` has what is known of "loss0", and of any of the terms and of their sums "first" and "second". Either all
    paths have one loss, and it is another one further out, as max(x − 5, 0) is: a loss that is constant, and a system
    without noise, have equal values by themselves. Or paths further out than any that was drawn are known to carry more
    than standard errors allow: along one of some lines through the noise. Terms are followed along those lines along
    which the loss bends most: derivatives change there by far more than the loss does.
    """
    known = found["loss0"]
    moments = known.moments
    if moments.spread <= 1e-14 * moments.rms and _changes(loss, family.base, x0, grid, channels):
        return {
            "loss0": f"all {moments.n} paths give {moments.mean:.3g}, and the loss is another one further out: up to 3 "
            f"in {moments.n} paths (at 95 %) may reach that, and carry the mean. Draw more paths, or start closer to it"
        }
    for reach in REACH:
        with suppress(ArithmeticError, NotDifferentiable, *FROM_INSIDE), torch.no_grad():
            lines = lines_through(loss, family.base, x0, grid, channels=channels, method=method, reach=reach)
            losses = lines.losses(loss, family.base, method)
            if moments.spread > 0 and (why := _lacking(known, lines.rho, losses)):
                return {"loss0": why}
            terms = {name: known for name, known in found.items() if name != "loss0"}
            some = replace(lines.most_bent(losses, MOST_BENT), rho=points(min(reach, FURTHEST), FINE))
            return _lacking_terms(terms, some, loss, family, method) if terms else {}
    return {}


def _lacking_terms(
    found: Mapping[str, Known], lines: Lines, loss: SummedLoss, family: PerturbedSDE, method: Method
) -> dict[str, str]:
    x0, grid = lines.x0, lines.grid
    with unsaid():
        walks = corrected_walks(family, {"": loss}, x0, grid, method=method_along_lines(method, family.at(1.0)))
        terms = {name: values for (_, name), values in terms_along(walks, {"": loss}, grid, lines.noise).items()}
    terms |= {"first": terms["P"] + terms["P~"], "second": second_coefficient(terms, "corrected")}
    reasons = {name: _lacking(known, lines.rho, terms[name].view(len(lines.rho), -1)) for name, known in found.items()}
    return {name: why for name, why in reasons.items() if why}


def _lacking(found: Known, rho: Tensor, values: Tensor) -> str:
    """Why a mean lacks more than its standard error allows, along the line where that is most; empty if it does not.

    ``values`` are ``(rho, lines)``. What is no further from the mean than some path was counts for nothing.
    """
    moments, stderr, widen = found
    # As a sampler sees them that draws ρ too wide, and weights it.
    weight = widen * torch.exp(0.5 * (1 / widen**2 - 1) * rho**2)
    density = torch.exp(-0.5 * rho**2) * ((rho[1] - rho[0]) / math.sqrt(2 * math.pi)) / weight
    furthest = math.ldexp(moments.fourth**0.25, moments.exponent) + ROUNDING * moments.rms  # from the mean
    away = (values * weight.unsqueeze(1) - moments.mean).abs()
    parts = (away - furthest).nan_to_num(0.0, math.inf, 0.0).clamp(min=0.0) * density.unsqueeze(1)
    most = int(parts.sum(0).argmax())
    lacking, where = float(parts[:, most].sum()), abs(float(rho[parts[:, most].argmax()]))
    if lacking <= LACKING * stderr:
        return ""
    return (
        f"paths about {where:.1f} standard deviations out add {lacking:.2g} or more to the mean, and none of "
        f"{moments.n} was such a one, so that no standard error tells. Draw more paths, or bound the loss"
    )


def _changes(loss: SummedLoss, sde: SDE, x0: Float[Tensor, " n"], grid: TimeGrid, channels: int) -> bool:
    visits = pilot(sde, x0[None], grid, channels=channels, generator=torch.Generator().manual_seed(0))
    if not visits or bool((visits[-1].x == visits[-1].x[:1]).all()):
        return False
    for factor in FURTHER:
        states = x0 + factor * (visits[-1].x - x0)
        for time in {loss.times[0], loss.times[len(loss.times) // 2], loss.times[-1]}:
            with suppress(*FROM_INSIDE):  # outside of the loss's domain
                values = value_of(loss.fn(torch.as_tensor(time).to(x0), states))
                values = values[torch.isfinite(values)]
                if bool((values != values[:1]).any()):
                    return True
    return False
