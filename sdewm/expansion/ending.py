"""Whether a series in ε ends: held against walks at errors that are not small, as zeros in it tell nothing of the rest.

For x = ε the first three coefficients of x⁴ vanish on every path, and it is not a constant.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from sdewm.estimate.samples import Moments, sample
from sdewm.jets import Jet, JetSpace, Parameter, constant
from sdewm.noise.grid import TimeGrid
from sdewm.noise.increments import Increments
from sdewm.noise.samplers import Sampler
from sdewm.solvers.loop import trajectory
from sdewm.solvers.methods import Method
from sdewm.systems.losses import SummedLoss
from sdewm.systems.perturbed import PerturbedSDE
from sdewm.systems.sde import SDE

# A walk that leaves the numbers is the end of a series that has none.
WITHOUT_END = Moments(1, math.inf, 0.0, 0.0, 0.0)


def left_out(
    family: PerturbedSDE,
    loss: SummedLoss,
    x0: Float[Tensor, " n"],
    grid: TimeGrid,
    *,
    magnitudes: Sequence[float],
    method: Method,
    few: Sampler,
    channels: int,
) -> Moments:
    """What a loss at errors of these ``magnitudes`` has beyond its series to third order, in parts of the two's size.

    Along the paths of ``few``, all magnitudes together; rounding counts for nothing. :data:`WITHOUT_END` where the
    perturbed system, or its loss, leaves the numbers or its domain.
    """
    line = JetSpace(1, 3)
    weights = loss.on(grid)

    def along(sde: SDE, noise: Increments) -> Tensor:
        """The loss's coefficients, ``(4, paths)``."""
        total = torch.zeros(len(line), noise.paths, dtype=x0.dtype, device=x0.device)
        for i, t, x in trajectory(sde, x0, grid, method=method, noise=noise):
            if i in weights:
                value = loss.at(t, x)
                total += weights[i] * (value if isinstance(value, Jet) else constant(value, line)).coefficients
        return total

    def evaluate(noise: Increments) -> dict[str, Tensor]:
        series, worst = along(family.at(Parameter(line, 0)), noise), torch.zeros(noise.paths).to(x0)
        for eps in magnitudes:
            powers = x0.new_tensor([eps**k for k in range(len(line))]).unsqueeze(1)
            there, terms = along(family.at(eps), noise)[0], powers * series
            size = torch.maximum(there.abs(), terms.abs().amax(0))
            part = ((there - terms.sum(0)).abs() / size).nan_to_num(0.0)
            worst = torch.maximum(worst, part)
        rounding = torch.finfo(x0.dtype).eps ** 0.5
        return {"left out": torch.where(worst > rounding, worst, 0.0)}

    try:
        return sample(evaluate, few, channels, grid, x0).moments["left out"]
    except (ArithmeticError, ValueError):
        return WITHOUT_END
