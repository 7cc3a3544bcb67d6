"""What the exact answers take: each function returns it as it is worked with, or names the argument that is wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from sdewm import arguments
from sdewm.arrays import Array
from sdewm.jets.space import MultiIndex
from sdewm.systems.user_functions import named

# The exponential of a generator takes time in proportion to its norm.
LARGEST = 1e5


def array(name: str, value: Any, shape: tuple[int | None, ...]) -> Array:
    """A float64 array of that shape, in which ``None`` is any length but 0."""
    found: Array = arguments.tensor(name, value).detach().cpu().double().numpy()
    if len(shape) != found.ndim or any(n != m and (m or not n) for n, m in zip(found.shape, shape, strict=True)):
        expected = str(tuple("any" if m is None else m for m in shape)).replace("'any'", "any")
        raise ValueError(f"{name}: expected shape {expected}, got {found.shape}")
    return found


def values_at(name: str, function: Callable[[Array], Any], x: Array, shape: tuple[int | None, ...]) -> Array:
    """What a user's function returns at points."""
    with named(f"{name}: expected a function of points, an array of shape {x.shape}"):
        found = function(x)
    return array(name, found, shape)


def real_number(name: str, value: Any, *, least: float = -math.inf) -> np.float64:
    """A finite number, as numpy's: what overflows becomes infinite, which :func:`finite_coefficients` sees."""
    return np.float64(arguments.real(name, value, least=least))


def degree_of(degree: Any) -> int:
    return arguments.integer("degree", degree, 0)


def steps_of(steps: Any) -> int | None:
    """The steps of Euler's scheme, or ``None`` for continuous time."""
    return None if steps is None else arguments.integer("steps", steps, 1)


def horizon_of(horizon: Any, norm: float = 0.0) -> float:
    """The time; ``norm`` is that of the generator in continuous time."""
    found = arguments.real("horizon", horizon, least=0.0)
    if norm * found > LARGEST:
        raise ValueError(f"horizon: expected at most {LARGEST / norm:.3g}, beyond which it takes too long")
    return found


def finite_coefficients(coefficients: dict[MultiIndex, float]) -> dict[MultiIndex, float]:
    """The coefficients; ``ArithmeticError`` where one is not finite."""
    for alpha, value in coefficients.items():
        if not math.isfinite(value):
            raise ArithmeticError(
                f"horizon: the coefficient of {alpha} is {value}, not finite; take a shorter time, or smaller numbers"
            )
    return coefficients
