"""Checks that an SDE is what it declares, for a user's own tests."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from sdewm import arguments
from sdewm.jets import Jet, JetSpace, nonsmooth_met
from sdewm.jets.paths import evaluated_on
from sdewm.jets.written import as_written
from sdewm.noise.grid import TimeGrid
from sdewm.systems.checks import Probe, check_coefficients, check_loss, parts
from sdewm.systems.perturbed import PerturbedSDE
from sdewm.systems.sde import SDE, check_protocol
from sdewm.systems.user_functions import FROM_INSIDE, named
from sdewm.verification.system import System

# The number of states about x0 at which coefficients are checked.
STATES = 16
# The largest relative error of derivatives by differences, for smooth functions.
DIFFERENT = 0.05


@dataclass(frozen=True)
class Conformity:
    """The result of :func:`check_sde`: what it has checked, and notes.

    ``checked`` has a line in words for each check. ``notes`` are not mistakes, but a user should know of them, such as
    operations with kinks.

    >>> print(check_sde(gbm, x0, grid))
    ok    names, shapes, dtype and device
    ok    paths do not mix, nothing is random, states are left alone
    ok    the declared noise type
    ok    derivatives of coefficients
    """

    checked: tuple[str, ...]
    notes: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join([*(f"ok    {line}" for line in self.checked), *(f"note  {line}" for line in self.notes)])


def check_sde(
    system: System | PerturbedSDE | SDE, x0: Float[Tensor, " n"] | None = None, grid: TimeGrid | None = None
) -> Conformity:
    """Check an SDE, a family, or a system with its losses; for a test of your own.

    It checks names, shapes, dtype and device of all coefficients and losses; that a path's value depends on that path's
    state alone; that nothing is random; that states are not changed in place; that optional methods agree with f and g;
    the declared noise type; and that the derivatives by jets agree with differences of the values.

    Parameters
    ----------
    system : a :class:`~sdewm.System`, which has its own ``x0`` and ``grid``, a family, or an SDE.
    x0, grid : an initial state ``(n,)`` and the time grid, for a family or an SDE.

    Raises ``ValueError`` or ``TypeError`` that names the coefficient and says what to change.

    >>> def test_my_model():
    ...     print(sdewm.check_sde(MyModel(), torch.zeros(4), TimeGrid(0.0, 1.0, 32)))
    """
    probe, near, sde, losses, grid = _hold(system, x0, grid)
    checked = ["names, shapes, dtype and device", "paths do not mix, nothing is random, states are left alone"]
    states = _states(near, probe)
    notes = list(_noise_notes(sde, probe, states))
    checked.append("the declared noise type")
    # torch.compile's code loses jets and tangents; the original modules do not.
    with nonsmooth_met() as kinks, warnings.catch_warnings(), as_written(), torch.no_grad():
        warnings.simplefilter("ignore")
        for name, function in (*_coefficients(sde, probe), *losses):
            _check_derivative(name, function, states)
    checked.append("derivatives of coefficients" + " and losses" * bool(losses))
    return Conformity(tuple(checked), (*notes, *kink_notes(kinks)))


def kink_notes(kinks: set[str] | frozenset[str]) -> tuple[str, ...]:
    """Notes on the operations met that are not twice continuously differentiable; none where there are none."""
    if not kinks:
        return ()
    return (
        f"not twice continuously differentiable: {', '.join(sorted(kinks))}. The expansion theorems assume C²; smooth "
        "operations, such as SiLU, GELU or softplus, meet it",
    )


Named = tuple[str, Callable[[Tensor], Tensor]]


def _hold(
    system: System | PerturbedSDE | SDE, x0: Tensor | None, grid: TimeGrid | None
) -> tuple[Probe, Probe, SDE, list[Named], TimeGrid]:
    """Check all but the noise type and derivatives. Returns probes at ε = 1 and without the error, and the parts."""
    if isinstance(system, System):
        if x0 is not None or grid is not None:
            raise TypeError("x0, grid: expected none beside a System, which has its own")
        x0, grid = system.x0, system.grid
    if x0 is None or grid is None:
        raise TypeError("x0, grid: expected both, beside a family or an SDE")
    arguments.instance("grid", grid, TimeGrid, "a TimeGrid(t0, t1, steps)")
    family = system.family if isinstance(system, System) else system
    sde = family.at(1.0) if isinstance(family, PerturbedSDE) else family
    check_protocol("sde", sde)
    probe = check_coefficients(sde, arguments.state(x0), grid)
    near = check_coefficients(family.base, probe.same[0], grid) if isinstance(family, PerturbedSDE) else probe
    losses: list[Named] = []
    for name, loss in system.losses.items() if isinstance(system, System) else ():
        t = torch.as_tensor(loss.times[-1], dtype=probe.same.dtype, device=probe.same.device)
        losses.append((f"loss {name}".strip(), partial(loss.fn, t)))
        check_loss(losses[-1][0], loss.fn, loss.times, probe)
    return probe, near, sde, losses, grid


def _coefficients(sde: SDE, probe: Probe) -> Iterator[Named]:
    for name, part in parts(sde):
        yield f"{name}f", partial(part.f, probe.t)
        yield f"{name}g", partial(part.g, probe.t)


def _states(near: Probe, probe: Probe) -> Tensor:
    """States about x0, ``(16, n)``. Each coordinate varies by the base's first step plus a tenth of its own size.

    If that is zero, as for a coordinate that starts at 0 and stays there for a step, it varies by the first step with
    the error, or as far as the pilot walks go; and if that is zero too, as far as the other coordinates.
    """
    start = probe.same[0]
    reach = (near.other[1] - start).abs() + 0.1 * start.abs()
    for further in (probe.other[1:], near.far, probe.far):
        if len(further):
            reach = torch.where(reach > 0, reach, (further - start).abs().amax(0))
    reach = torch.where(reach > 0, reach, reach.amax() if bool(reach.any()) else 1e-3)
    generator = torch.Generator().manual_seed(0)
    steps = torch.rand(STATES, len(start), generator=generator, dtype=torch.float64).to(start)
    return start + reach * (2 * steps - 1)


def _noise_notes(sde: SDE, probe: Probe, states: Tensor) -> Iterator[str]:
    for name, part in parts(sde):
        if part.noise_type != "diagonal":
            continue
        with named(f"{name}g: expected a function of states near x0"):
            here = part.g(probe.t, states)
        for j in range(states.shape[1]):
            moved = states.clone()
            moved[:, j] = states[:, j].flip(0)
            with named(f"{name}g: expected a function of states near x0"):
                change = (part.g(probe.t, moved) - here).abs().amax(0)
            change[j] = 0.0
            beyond = change > torch.finfo(here.dtype).eps ** 0.75 * here.abs().amax(0)
            if bool(beyond.any()):
                i = int(beyond.nonzero()[0])
                yield (
                    f"{name}noise_type: 'diagonal', but g[{i}] depends on x[{j}]. Here the structure of a noise is "
                    "measured; torchsde's milstein and srk take a diagonal noise for elementwise, and are wrong on it"
                )
                break


def _check_derivative(name: str, function: Callable[[Tensor], Tensor], states: Tensor) -> None:
    """Compare derivatives along one direction, by a jet and by torch's forward mode, with central differences.

    The direction is scaled in each coordinate as the states are, and each component of a value is compared relative to
    its own size, since coordinates may have different units.
    """
    generator = torch.Generator().manual_seed(1)
    v = torch.randn(states.shape[1], generator=generator, dtype=torch.float64).to(states)
    v = (v * (states.amax(0) - states.amin(0))).expand_as(states)
    with named(f"{name}: expected a function that jets pass through"), evaluated_on(len(states)):
        # To second order, as in an expansion: torch has no second derivatives of some functions.
        jet = function(Jet(torch.stack([states, v, torch.zeros_like(v)]), JetSpace(1, 2)))
    eps = torch.finfo(states.dtype).eps
    steps = [eps ** (1 / 3) * 4.0**k for k in range(-2, 3)]
    try:
        here = function(states)
        differences = torch.stack([(function(states + h * v) - function(states - h * v)) / (2 * h) for h in steps])
    except FROM_INSIDE:  # outside of the function's domain
        return
    # For each component, the step length whose difference changes least from the one before, at most of the states.
    changes = (differences[1:] - differences[:-1]).abs().nan_to_num(math.inf, math.inf)
    best = changes.median(1, keepdim=True).values.argmin(0, keepdim=True).expand_as(changes[:1])
    change, measured = changes.gather(0, best)[0], differences.gather(0, best)[0]
    noise = 10 * eps / torch.as_tensor(steps).to(here)[best[0]] * here.abs().amax(0)
    slopes = {"jets": jet.derivative((1,)) if isinstance(jet, Jet) else torch.zeros_like(measured)}
    try:
        # Unlike backward mode, forward mode works under torch.no_grad, which code for prediction often has.
        slopes["torch"] = torch.func.jvp(function, (states.clone(),), (v.clone(),))[1]
    except (*FROM_INSIDE, NotImplementedError):  # torch has none
        pass
    for which, slope in slopes.items():
        size = torch.maximum(slope.abs(), measured.abs()).amax(0)
        off = ((slope - measured).abs() > DIFFERENT * size + 10 * change + noise).reshape(len(states), -1)
        # A difference reaches across a kink at few of the states only.
        if int(off.any(1).sum()) > STATES // 2:
            p = int(off.any(1).nonzero()[0])
            i = int(off[p].nonzero()[0])
            found, true = (float(value[p].flatten()[i]) for value in (slope, measured))
            raise ValueError(
                f"{name}: expected the derivative of its values, which is {true:.3g} along one direction at one "
                f"state, got {found:.3g} by {which}. Something is detached, rounded, or has a derivative of its own"
            )
