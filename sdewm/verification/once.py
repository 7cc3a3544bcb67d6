"""What was found on a system, kept on the system itself: it is shared while that is there, and gone when it goes."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from sdewm.verification.system import System

Args = ParamSpec("Args")
Found = TypeVar("Found")


def once_for_system(function: Callable[Concatenate[System, Args], Found]) -> Callable[Concatenate[System, Args], Found]:
    """``function(system, …)``, which is run once for the same object and arguments.

    An object cannot tell that a model's weights have changed: each call of :func:`sdewm.verify` makes one of its own.
    """

    @wraps(function)
    def shared(system: System, *args: Args.args, **kwargs: Args.kwargs) -> Found:
        key = (function, args, *sorted(kwargs.items()))
        if key not in system.found:
            system.found[key] = function(system, *args, **kwargs)
        return system.found[key]

    return shared
