"""One solve: an SDE, a start, a noise."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from sdewm import arguments
from sdewm.jets.written import as_written
from sdewm.noise.drawn import Drawn, given_or_drawn
from sdewm.noise.grid import TimeGrid
from sdewm.noise.increments import Increments
from sdewm.solvers.compiled import Compile, Walks, pays
from sdewm.solvers.loop import carries_jets, checked
from sdewm.solvers.methods import Method, stepper
from sdewm.solvers.registry import lists_methods
from sdewm.systems.sde import SDE
from sdewm.systems.user_functions import named

HELD = 256  # steps on which a compiled walk is held against a plain one


@lists_methods
def solve(
    sde: SDE,
    x0: Float[Tensor, "*paths n"],
    grid: TimeGrid,
    *,
    method: Method = "euler",
    paths: int | None = None,
    seed: int = 0,
    noise: Increments | Float[Tensor, "steps paths channels"] | Drawn | None = None,
    save: Literal["final", "path"]
    | Callable[[Float[Tensor, ""], Float[Tensor, "paths n"]], Float[Tensor, "..."]] = "final",
    compile: Compile = "auto",
) -> Float[Tensor, "..."]:
    """Integrate an SDE.

    Parameters
    ----------
    sde : see :mod:`sdewm.systems.sde`; ``PerturbedSDE.at(eps)`` is one.
    x0 : one state ``(n,)``, or one for each path ``(paths, n)``: a tensor, a jet, or what numpy makes an array of.
        Floating-point tensors and arrays keep their dtype, in which everything is computed; lists and whole numbers
        become float64.
    grid : the time grid.
    method : a :class:`Stepper`, or one of these names:

        {methods}
    paths, seed : how many Brownian paths are drawn, and the integer that determines them. On grids of 2^k steps they
        are the same paths for every k, those of ``BrownianPath(seed, paths, m, t0, t1)``, and have Lévy areas where the
        method takes them.
    noise : in place of ``paths``, Brownian increments ``(steps, paths, m)`` or an :class:`~sdewm.noise.Increments`,
        which are converted to the dtype of x0. A method that needs Lévy areas where the diffusion vectors do not
        commute takes them from ``BrownianPath(seed, paths, m, t0, t1).at(level, finest=level)``.
    save : "final" gives ``(paths, n)``; "path" ``(steps + 1, paths, n)``; a function of (t, x) is called at every
        time and its results stacked.
    compile : whether to walk by a compiled step, see :func:`sdewm.expand`. Its states are held against plain ones on
        some 2,000 paths and the first 256 steps. There are no gradients through it: where they are asked for, the
        plain step is taken.

    Raises
    ------
    ValueError : names the argument whose shape or value is wrong, before any step is made; the method, if it is not
        meant for the SDE's calculus; the noise, if it lacks the areas that the method needs.
    NonFiniteState : names the time and the component.
    OtherStructure : a ``ValueError``; the noise is not what the method took it to be before the first step.

    >>> gbm = FunctionSDE(lambda t, x: 0.1 * x, lambda t, x: 0.3 * x)
    >>> grid = TimeGrid(0.0, 1.0, 100)
    >>> x = solve(gbm, torch.ones(1), grid, paths=5000, seed=0)
    >>> y = solve(gbm, torch.ones(1), grid, noise=torch.randn(100, 5000, 1) * grid.dt**0.5)
    """
    if not callable(save) and not (isinstance(save, str) and save in ("final", "path")):
        raise ValueError(f'save: expected "final", "path" or a function of (t, x), got {save!r}')
    x0 = arguments.state(x0, many=True)
    final = isinstance(save, str) and save == "final"
    increments = checked(sde, x0, grid, method=method, noise=given_or_drawn(noise, paths, seed))
    made = pays(compile, increments.paths, grid, x0.shape[-1])
    walks = Walks(
        sde,
        x0,
        grid,
        method,
        [grid.steps] if final else range(grid.steps + 1),
        compile=made,
        loud=compile is True,
        held=HELD,
    )
    eager = stepper(method, sde).differentiates or carries_jets(sde, x0, grid)
    # Torch's compiled code sees neither a jet's coefficients nor its right tangents; the modules behind it do.
    with as_written() if eager else nullcontext():
        steps = walks(increments)
        if final:
            [(_, _, last)] = steps
            return last
        if isinstance(save, str):
            return torch.stack([x for _, _, x in steps])
        saved = [_saved(save, t, x) for _, t, x in steps]
        shapes = list(dict.fromkeys(tuple(y.shape) for y in saved))
        if len(shapes) > 1:
            raise ValueError(f"save: expected a tensor of one shape at every time, got {shapes[0]} and {shapes[1]}")
        return torch.stack(saved)


def _saved(save: Callable[[Tensor, Tensor], Tensor], t: Tensor, x: Tensor) -> Tensor:
    with named("save: expected a function of (t, x)"):
        # Copies, since what it writes into would be walked on, and drawn on at the next time.
        return arguments.instance("save", save(t.clone(), x.clone()), Tensor, "a function that returns a tensor")
