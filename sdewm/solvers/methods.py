"""A method as a stepper: by its name, or a stepper itself."""

from __future__ import annotations

from sdewm import arguments
from sdewm.solvers import schemes  # noqa: F401 (every scheme enters its name)
from sdewm.solvers.base import Stepper
from sdewm.solvers.registry import CALCULI, METHODS, names, taking
from sdewm.systems.sde import SDE

# What a function's argument ``method`` takes: a key of METHODS, or a stepper of one's own.
Method = str | Stepper


def stepper(method: Method, sde: SDE) -> Stepper:
    """The stepper of that name, or the one given, having checked that it can take the SDE.

    Raises ``ValueError`` for a name that no method has, and for an SDE of another type than the method is for;
    ``TypeError`` for what is neither a name nor a :class:`Stepper`.
    """
    if isinstance(method, str):
        if method not in METHODS:
            raise ValueError(f"method: expected one of {names()}, got {method!r}")
        chosen = METHODS[method]
    else:
        if not isinstance(method, Stepper):
            raise TypeError(
                f"method: expected one of {names()} or a sdewm.solvers.Stepper, got {arguments.shown(method)}"
            )
        declared = ("strong_order", "weak_order", "sde_types")
        chosen = arguments.has("method", method, declared, "a Stepper that declares its orders and SDEs")
    if sde.sde_type not in chosen.sde_types:
        convert = "to_ito" if sde.sde_type == "stratonovich" else "to_stratonovich"
        others = taking(sde, lambda other: True)
        raise ValueError(
            f"method: {method!r} is for {' and '.join(CALCULI[t] for t in chosen.sde_types)} SDEs, got one of sde_type "
            f"{sde.sde_type!r}. Use one of {others}; what is no family can be converted by sdewm.{convert}."
        )
    if sde.noise_type not in chosen.noise_types:
        others = taking(sde, lambda other: True)
        raise ValueError(
            f"method: {method!r} is for noise of type {' or '.join(map(repr, chosen.noise_types))}, got an SDE of "
            f"noise_type {sde.noise_type!r}. Use one of {others}."
        )
    chosen.check(sde)
    return chosen


def carrying_jets(method: Method, sde: SDE) -> Stepper:
    """:func:`stepper` for a method that is to carry jets; ``ValueError`` if it does not."""
    chosen = stepper(method, sde)
    if not chosen.carries_jets:
        others = taking(sde, lambda other: other.carries_jets)
        raise ValueError(
            f"method: {method!r} does not carry jets, which derivatives are taken with here. Use one of {others}."
        )
    return chosen
