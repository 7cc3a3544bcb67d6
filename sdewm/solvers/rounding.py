"""What rounding takes from the steps of a walk: states so large, or steps so small, that they hardly move.

A state is a multiple of the spacing u of its dtype at its size, and a step Δt f is rounded to such a multiple, at every
step again. Where f hardly changes, the same part of it is lost or gained each time, whatever the number of paths: no
error bar shows it. Noise whose increments are not well above u has another spread: at s·u for s below ¼ most of it is
lost, and beyond that the rounding's own variance u²/12 is added.
"""

from __future__ import annotations

import math
import warnings

import torch
from torch import Tensor

from sdewm.jets import value_of
from sdewm.noise.grid import TimeGrid
from sdewm.systems.checks import Probe, visits_of
from sdewm.systems.pilot import Visit
from sdewm.systems.sde import SDE
from sdewm.systems.user_functions import FROM_INSIDE

# A part of what a component moves by that is said where rounding changes it by more.
SAID = 0.03
# A component that moves by fewer spacings has no more digits than that, however it is walked.
SPACINGS = 16


def warn_of_rounding(sde: SDE, grid: TimeGrid, probe: Probe) -> None:
    """Warn, with ``UserWarning``, of components that rounding keeps from moving as they should, on a pilot's states.

    Of a perturbed system it is the base that has to move: errors are small.
    """
    model = getattr(sde, "base", sde)
    visits = probe.visits if model is sde else visits_of(model, probe.same[:1], grid, probe.channels)
    with torch.no_grad():
        met = [found for visit in visits if (found := _steps(model, grid, visit)) is not None]
        if not met:
            return
        x, move, noise = (torch.cat(parts) for parts in zip(*met, strict=True))
        spacing = torch.nextafter(x.abs(), x.new_tensor(math.inf)) - x.abs()
        lost = move - ((x + move) - x)
        # What is rounded at random goes with the drift at no state; what is lost for good does.
        part = (lost * move).sum(0) / move.square().sum(0).clamp_min(torch.finfo(x.dtype).tiny)
        drift = move.square().mean(0).sqrt() * grid.steps
        ratio = (noise / spacing).square().mean(0).sqrt()
        blurred = spacing.mean(0) * grid.steps**0.5 * torch.minimum(ratio, 1 / (24 * ratio))
        start = visits[0].x.mean(0)
        reach = torch.stack([(visit.x - start).square().mean(0) for visit in visits]).amax(0).sqrt()
        reach = torch.maximum(reach, drift)
        off = torch.maximum(part.abs() * drift, blurred) / reach
        off = torch.where(reach > SPACINGS * spacing.mean(0), off.nan_to_num(0.0, 0.0, 0.0), 0.0)
    worst = int(off.argmax())
    if off[worst] <= SAID:
        return
    cure = "count that component from where it starts" + ", or use .double() on the model and x0" * (
        x.dtype != torch.float64
    )
    warnings.warn(
        f"x: rounding in {x.dtype} changes what component {worst} moves by, by some {100 * float(off[worst]):.0f} %: "
        f"at {float(x[:, worst].abs().mean()):.3g} numbers are {float(spacing[:, worst].mean()):.2g} apart, and a step "
        f"of {grid.steps} moves it by {float(move[:, worst].abs().mean()):.2g} and noise of "
        f"{float(noise[:, worst].mean()):.2g}. No error bar shows that. Take fewer steps, or {cure}",
        UserWarning,
        stacklevel=5,
    )


def _steps(sde: SDE, grid: TimeGrid, visit: Visit) -> tuple[Tensor, Tensor, Tensor] | None:
    """States, and the drift and the standard deviation of a step of the grid from them, each ``(paths, n)``."""
    try:
        f, g = value_of(sde.f(visit.t, visit.x)), value_of(sde.g(visit.t, visit.x))
    except FROM_INSIDE:  # such states need not be in a coefficient's domain
        return None
    size = g.abs() if sde.noise_type == "diagonal" else g.square().sum(-1).sqrt()
    return visit.x, f * grid.dt, size * grid.dt**0.5
