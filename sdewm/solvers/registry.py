"""The methods by name: each scheme's file enters its own; lists, messages and documentation are made from here."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from sdewm.solvers.base import Hardship, Stepper
from sdewm.solvers.structure import NoiseStructure
from sdewm.systems.sde import SDE

F = TypeVar("F", bound=Callable)
METHODS: dict[str, Stepper] = {}
CALCULI = {"ito": "Itô", "stratonovich": "Stratonovich"}


def register(name: str, stepper: Stepper) -> None:
    """Let ``stepper`` be had as ``method=name``. Raises ``ValueError`` if the name is taken.

    >>> register("ode", Ode())
    """
    if name in METHODS:
        raise ValueError(f"name: expected one that no method has yet, got {name!r}")
    METHODS[name] = stepper


def names(which: Callable[[Stepper], bool] = lambda stepper: True) -> list[str]:
    """The names of the methods of which ``which`` holds, in order."""
    return sorted(name for name, stepper in METHODS.items() if which(stepper))


def quoted(found: list[str]) -> str:
    """Names for a sentence: "one", "another" and "a third"."""
    listed = [f'"{name}"' for name in found]
    return " and ".join([", ".join(listed[:-1]), listed[-1]] if len(listed) > 1 else listed)


def without_areas(sde_type: str) -> list[str]:
    """The methods for an SDE of any noise that make do with increments, and update all coordinates at once."""
    return names(
        lambda s: (
            sde_type in s.sde_types
            and not (s.needs_areas or s.may_need_areas or s.needs_time_areas or s.sequential)
            and "general" in s.noise_types
        )
    )


def fitting(used: Stepper, sde: SDE, structure: NoiseStructure) -> NoiseStructure:
    """The structure of an SDE's noise, if the method is for such; else ``ValueError``, which names methods that are."""
    if structure.kind in used.structures:
        return structure
    others = taking(sde, lambda s: structure.kind in s.structures and s.strong_order >= 1)
    raise ValueError(
        f"method: expected {' or '.join(used.structures)} noise for {type(used).__name__}, found {structure.kind} "
        f"noise along pilot paths. Use {quoted(others)}."
    )


def taking(sde: SDE, which: Callable[[Stepper], bool]) -> list[str]:
    """The names of the methods for SDEs of these types, of which ``which`` holds."""
    return names(lambda s: sde.sde_type in s.sde_types and sde.noise_type in s.noise_types and which(s))


def remedy(sde: SDE, used: Stepper) -> str:
    """What helps where the steps of a method leave the numbers: which methods suit such a drift, in a sentence."""

    def suiting(hardship: Hardship) -> str:
        return quoted(taking(sde, lambda s: hardship in s.suits and hardship not in used.suits))

    stiff, growing = suiting("stiff"), suiting("super-linear")
    others = [
        *([f"a stiff drift takes {stiff}"] if stiff else []),
        *([f"one that grows faster than linearly {growing}"] if growing else []),
    ]
    first = "A smaller step, or coefficients of at most linear growth, would help"
    return f"{first}; {', '.join(others)}." if others else f"{first}."


def table() -> list[str]:
    """A line for each method, from what it declares."""
    return [
        f'"{name}" : {stepper.summary}{"." * bool(stepper.summary)} '
        f"{' or '.join(CALCULI[t] for t in stepper.sde_types)}, strong order {strong_order(stepper)}, weak order "
        f"{stepper.weak_order:g}{', Lévy areas where the noise needs them' * stepper.may_need_areas}"
        f"{', time areas' * stepper.needs_time_areas}."
        for name, stepper in sorted(METHODS.items())
    ]


def strong_order(stepper: Stepper) -> str:
    """The strong order that a method declares, in words."""
    more = "" if stepper.commuting_order is None else f" ({stepper.commuting_order:g} where noises commute)"
    return f"{stepper.strong_order:g}{more}"


def lists_methods(function: F) -> F:
    """Put :func:`table` in place of ``{methods}`` in a function's docstring."""
    if function.__doc__:  # python -OO has none
        before, _, _ = function.__doc__.partition("{methods}")
        indent = " " * (len(before) - len(before.rstrip(" ")))
        function.__doc__ = function.__doc__.replace("{methods}", f"\n{indent}".join(f"- {line}" for line in table()))
    return function
