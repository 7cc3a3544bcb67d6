"""torchsde's and diffrax's schemes as steppers: one step each, on increments that we give them.

So they run on our paths, and their orders are measured as ours are. A scheme that refuses a system says why in
:func:`refusal`. Neither package has a scheme that takes Lévy areas.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sdewm.noise import TimeGrid
from sdewm.sde import SDE, noise_channels
from sdewm.solvers import Stepper

WITH_TORCHSDE = importlib.util.find_spec("torchsde") is not None
WITH_DIFFRAX = importlib.util.find_spec("diffrax") is not None
JaxCoefficient = Callable[[Any, Any], Any]


class GivenBrownian:
    """What torchsde asks of a Brownian motion, answered with one step's increments ``(paths, m)``."""

    levy_area_approximation = "none"

    def __init__(self, dB: Tensor) -> None:
        self.dB, self.shape, self.dtype, self.device = dB, dB.shape, dB.dtype, dB.device

    def __call__(self, ta: Tensor, tb: Tensor) -> Tensor:
        return self.dB


class Torchsde:
    """A torchsde method, by its name, for SDEs of one calculus; ``declared`` is its own claim."""

    needs_areas = False

    def __init__(self, method: str, sde_type: str, declared: float) -> None:
        self.method, self.sde_types = method, (sde_type,)
        self.strong_order, self.weak_order = declared, 1.0

    def check(self, sde: SDE) -> None:
        """torchsde checks for itself."""

    def prepare(self, sde: SDE, x0: Tensor, grid: TimeGrid) -> Torchsde:
        return self

    def step(self, sde: SDE, t: Tensor, dt: float, x: Tensor, dB: Tensor, area: Tensor | None = None) -> Tensor:
        import torchsde

        times = torch.stack([t, t + dt])
        return torchsde.sdeint(sde, x, times, bm=GivenBrownian(dB), dt=dt, method=self.method)[-1].detach()


class Diffrax:
    """A diffrax solver, by its name, on an SDE whose coefficients are given as functions of (t, x) in JAX.

    ``drift`` maps ``(n,)`` to ``(n,)``, ``diffusion`` to ``(n, m)``; diffrax takes an SDE for what its solver is for.
    """

    needs_areas = False
    sde_types: tuple[str, ...] = ("ito", "stratonovich")

    def __init__(self, solver: str, drift: JaxCoefficient, diffusion: JaxCoefficient, declared: float) -> None:
        import diffrax
        import jax

        jax.config.update("jax_enable_x64", True)
        self.strong_order, self.weak_order = declared, 1.0
        chosen = getattr(diffrax, solver)()

        class Given(diffrax.AbstractPath):  # type: ignore[misc, name-defined]
            """The increment of one step, whatever its ends."""

            dB: jax.Array
            t0: float = 0.0
            t1: float = 1.0

            def evaluate(self, t0: Any, t1: Any = None, left: bool = True, use_levy: bool = False) -> Any:
                return self.dB

        def step(t0: Any, t1: Any, y: Any, dB: Any) -> Any:
            terms = diffrax.MultiTerm(
                diffrax.ODETerm(lambda t, y, args: drift(t, y)),
                diffrax.ControlTerm(lambda t, y, args: diffusion(t, y), Given(dB)),
            )
            state = chosen.init(terms, t0, t1, y, None)
            return chosen.step(terms, t0, t1, y, None, state, made_jump=False)[0]

        self._step = jax.jit(jax.vmap(step, in_axes=(None, None, 0, 0)))

    def check(self, sde: SDE) -> None:
        """diffrax checks nothing."""

    def prepare(self, sde: SDE, x0: Tensor, grid: TimeGrid) -> Diffrax:
        return self

    def step(self, sde: SDE, t: Tensor, dt: float, x: Tensor, dB: Tensor, area: Tensor | None = None) -> Tensor:
        out = self._step(float(t), float(t) + dt, x.numpy(), dB.numpy())
        return torch.from_numpy(np.array(out))


def refusal(method: Stepper, sde: SDE, x0: Tensor, grid: TimeGrid) -> str | None:
    """The error with which a method refuses one step of an SDE; ``None`` where it makes it."""
    t = torch.as_tensor(grid.t0, dtype=x0.dtype)
    dB = torch.full((2, noise_channels(sde, t, x0[None])), 0.1, dtype=x0.dtype)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            x = method.prepare(sde, x0, grid).step(sde, t, grid.dt, x0.expand(2, -1).clone(), dB)
    except Exception as error:
        return f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
    return None if bool(torch.isfinite(x).all()) else "not finite after one step"
