"""Results that are computed once for each system, and kept on the system itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from sdewm.verification.system import System

Args = ParamSpec("Args")
Found = TypeVar("Found")


def once_for_system(function: Callable[Concatenate[System, Args], Found]) -> Callable[Concatenate[System, Args], Found]:
    """Decorate ``function(system, …)`` so that it runs once for each system object and arguments.

    A change of a model's weights is not noticed. So each call of :func:`sdewm.verify` makes a new system object.
    """

    @wraps(function)
    def shared(system: System, *args: Args.args, **kwargs: Args.kwargs) -> Found:
        key = (function, args, *sorted(kwargs.items()))
        if key not in system.found:
            system.found[key] = function(system, *args, **kwargs)
        return system.found[key]

    return shared
