"""Peers as their own users call them: their solve, on Brownian paths of their own, by the scheme that they recommend.

One path is asked for at all step lengths, and its end is read, so that errors against an exact solution are those of
single paths; where areas come in there is nothing to read, and no such measurement.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.translated import coefficients
from sdewm.exact.strong_problems import StrongProblem
from sdewm.systems.sde import noise_channels

Solve = Callable[[int], Tensor]  # from a number of steps to the states at time 1, (paths, n)


def with_torchsde(problem: StrongProblem, paths: int, seed: int) -> tuple[str, float, Solve, Tensor]:
    """The method that torchsde chooses by itself, its order, a solve, and W at time 1 ``(paths, m)``."""
    import torchsde

    sde, m = problem.sde, noise_channels(problem.sde, torch.zeros((), dtype=torch.float64), problem.x0[None])
    if sde.sde_type == "stratonovich":
        method, declared, levy = "midpoint", 0.5, "none"
    elif sde.noise_type == "general":
        method, declared, levy = "euler", 0.5, "none"
    else:
        method, declared, levy = "srk", 1.5, "space-time"
    path = torchsde.BrownianInterval(
        0.0, 1.0, (paths, m), dtype=torch.float64, entropy=seed, levy_area_approximation=levy
    )
    start, times = problem.x0.expand(paths, -1), torch.tensor([0.0, 1.0], dtype=torch.float64)

    def solve(steps: int) -> Tensor:
        with torch.no_grad():
            return torchsde.sdeint(sde, start, times, bm=path, dt=1 / steps)[-1]

    return method, declared, solve, path(0.0, 1.0)


def with_diffrax(problem: StrongProblem, kind: str, paths: int, seed: int) -> tuple[str, float, Solve, Tensor]:
    """The same for the solver that diffrax's documentation recommends for a noise of this ``kind``.

    One compilation serves all numbers of steps. The path is a tree down to steps of 2^−8.
    """
    import diffrax
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    f, g = coefficients(problem.sde, problem.x0, jnp)
    m = noise_channels(problem.sde, torch.zeros((), dtype=torch.float64), problem.x0[None])
    if kind == "additive":
        name, declared = "ShARK", 1.5
    elif problem.sde.sde_type == "ito":
        name, declared = "ItoMilstein", 1.0
    else:
        name, declared = "SlowRK", 1.5
    chosen, y0 = getattr(diffrax, name)(), problem.x0.numpy()
    levy = diffrax.SpaceTimeLevyArea if isinstance(chosen, diffrax.AbstractSRK) else diffrax.BrownianIncrement

    def one(key: Any, dt: Any) -> tuple[Any, Any]:
        path = diffrax.VirtualBrownianTree(0.0, 1.0, tol=2**-8, shape=(m,), key=key, levy_area=levy)
        terms = diffrax.MultiTerm(
            diffrax.ODETerm(lambda t, y, args: f(t, y)), diffrax.ControlTerm(lambda t, y, args: g(t, y), path)
        )
        found = diffrax.diffeqsolve(terms, chosen, 0.0, 1.0, dt, y0)
        return found.ys[-1], path.evaluate(0.0, 1.0)

    keys, run = jax.random.split(jax.random.key(seed), paths), jax.jit(jax.vmap(one, in_axes=(0, None)))

    def solve(steps: int) -> Tensor:
        return torch.from_numpy(np.array(run(keys, 1 / steps)[0]))

    return name, declared, solve, torch.from_numpy(np.array(run(keys, 1.0)[1]))
