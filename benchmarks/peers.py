"""diffrax's schemes on increments that we give them, as steppers, and for a whole grid at once; and who is there.

So they run on our paths, and their orders are measured as ours are; torchsde's are steppers of the library. A scheme
that refuses a system says why in :func:`refusal`. diffrax has no scheme that takes Lévy areas; its Runge–Kutta schemes
take the noise's integrals over time.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sdewm.noise.grid import TimeGrid
from sdewm.solvers.base import Stepper
from sdewm.systems.sde import SDE, noise_channels

WITH_TORCHSDE = importlib.util.find_spec("torchsde") is not None
WITH_DIFFRAX = importlib.util.find_spec("diffrax") is not None
WITH_SDEINT = importlib.util.find_spec("sdeint") is not None
LENGTHS = 128  # grids whose numbers of steps round up to the same multiple of this share one compilation
JaxCoefficient = Callable[[Any, Any], Any]


class Diffrax(Stepper):
    """A diffrax solver, by its name, on an SDE whose coefficients are given as functions of (t, x) in JAX.

    ``drift`` maps ``(n,)`` to ``(n,)``, ``diffusion`` to ``(n, m)``; diffrax takes an SDE for what its solver is for.
    """

    sde_types: tuple[str, ...] = ("ito", "stratonovich")

    def __init__(self, solver: str, drift: JaxCoefficient, diffusion: JaxCoefficient, declared: float) -> None:
        import diffrax
        import jax
        import jax.numpy as jnp

        jax.config.update("jax_enable_x64", True)
        self.strong_order, self.weak_order = declared, 1.0
        chosen = getattr(diffrax, solver)()
        self.needs_time_areas = isinstance(chosen, diffrax.AbstractSRK)

        class Given(diffrax.AbstractPath):
            """The increment of one step, whatever its ends, and the mean of the noise over it, less half of it."""

            dB: jax.Array
            mean: jax.Array
            t0: float = 0.0
            t1: float = 1.0

            def evaluate(self, t0: Any, t1: Any = None, left: bool = True, use_levy: bool = False) -> Any:
                return diffrax.SpaceTimeLevyArea(dt=t1 - t0, W=self.dB, H=self.mean) if use_levy else self.dB

        def step(t0: Any, t1: Any, y: Any, dB: Any, mean: Any) -> Any:
            terms = diffrax.MultiTerm(
                diffrax.ODETerm(lambda t, y, args: drift(t, y)),
                diffrax.ControlTerm(lambda t, y, args: diffusion(t, y), Given(dB, mean)),
            )
            state = chosen.init(terms, t0, t1, y, None)
            return chosen.step(terms, t0, t1, y, None, state, made_jump=False)[0]

        one = jax.vmap(step, in_axes=(None, None, 0, 0, 0))

        def walk(t0: Any, dt: Any, steps: Any, y: Any, increments: Any, means: Any) -> Any:
            def move(i: Any, x: Any) -> Any:
                return one(t0 + i * dt, t0 + (i + 1) * dt, x, increments[i], means[i])

            return jax.lax.fori_loop(0, steps, move, y)

        self._walk, self._array = jax.jit(walk), jnp.asarray

    def step(self, sde: SDE, t: Tensor, dt: float, x: Tensor, dB: Tensor, area: Tensor | None = None) -> Tensor:
        grid = TimeGrid(float(t), float(t) + dt, 1)
        return self.solve(sde, x, grid, dB[None], None if area is None else area[None])

    def solve(self, sde: SDE, x: Tensor, grid: TimeGrid, increments: Tensor, integrals: Tensor | None = None) -> Tensor:
        """The state ``(paths, n)`` at the end of the grid.

        From increments ``(steps, paths, m)``, and for schemes that take them integrals of the noise over each step.
        """
        return torch.from_numpy(np.array(self.walk(x, grid, self.arrays(grid, increments, integrals))))

    def arrays(self, grid: TimeGrid, increments: Tensor, integrals: Tensor | None = None) -> tuple[Any, Any]:
        """The noise as :meth:`walk` takes it."""
        mean = torch.zeros_like(increments) if integrals is None else integrals / grid.dt - 0.5 * increments
        more = -len(increments) % LENGTHS
        return tuple(self._array(np.pad(v.numpy(), ((0, more), (0, 0), (0, 0)))) for v in (increments, mean))

    def walk(self, x: Tensor, grid: TimeGrid, noise: tuple[Any, Any]) -> Any:
        """The state at the end of the grid, in JAX."""
        return self._walk(grid.t0, grid.dt, grid.steps, x.numpy(), *noise).block_until_ready()


def refusal(method: Stepper, sde: SDE, x0: Tensor, grid: TimeGrid) -> str | None:
    """The error with which a method refuses one step of an SDE; ``None`` where it makes it."""
    t = torch.as_tensor(grid.t0, dtype=x0.dtype)
    dB = torch.full((2, noise_channels(sde, t, x0[None])), 0.1, dtype=x0.dtype)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            used = method.prepare(sde, x0, grid)
            area = 0.5 * grid.dt * dB if used.needs_time_areas else None
            x = used.step(sde, t, grid.dt, x0.expand(2, -1).clone(), dB, area)
    except Exception as error:
        return f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
    return None if bool(torch.isfinite(x).all()) else "not finite after one step"
