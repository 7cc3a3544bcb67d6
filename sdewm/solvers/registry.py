"""The methods by name: each scheme's file enters its own; lists, messages and documentation are made from here."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from sdewm.solvers.base import Stepper

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


def table() -> list[str]:
    """A line for each method, from what it declares."""
    return [
        f'"{name}" : {stepper.summary}{"." * bool(stepper.summary)} '
        f"{' or '.join(CALCULI[t] for t in stepper.sde_types)}, strong order {stepper.strong_order:g}, weak order "
        f"{stepper.weak_order:g}{', Lévy areas where the noise needs them' * stepper.may_need_areas}"
        f"{', time areas' * stepper.needs_time_areas}."
        for name, stepper in sorted(METHODS.items())
    ]


def lists_methods(function: F) -> F:
    """Put :func:`table` in place of ``{methods}`` in a function's docstring."""
    if function.__doc__:  # python -OO has none
        before, _, _ = function.__doc__.partition("{methods}")
        indent = " " * (len(before) - len(before.rstrip(" ")))
        function.__doc__ = function.__doc__.replace("{methods}", f"\n{indent}".join(f"- {line}" for line in table()))
    return function
