"""Derivatives of one coefficient, and of one step, in the state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sdewm import arguments
from sdewm.jets import Jet, JetSpace
from sdewm.jets.directional import directional
from sdewm.jets.paths import evaluated_on
from sdewm.systems.sde import SDE, diffusion_product


def along(x: Float[Tensor, "*paths n"], directions: Sequence[Float[Tensor, "*paths n"]], order: int) -> Jet:
    """x + Σ_i p_i v_i, a jet in as many parameters as there are directions ``(paths, n)``."""
    space = JetSpace(len(directions), order)
    coefficients = x.new_zeros(len(space), *x.shape)
    coefficients[0] = x
    for i, direction in enumerate(directions):
        coefficients[1 + i] = direction
    return Jet(coefficients, space)


def step_jacobians(
    sde: SDE, t: Float[Tensor, ""], x: Float[Tensor, "paths n"], dB: Float[Tensor, "paths channels"]
) -> tuple[Float[Tensor, "paths n n"], Float[Tensor, "paths n n"]]:
    """∂f and Σ_k ∂g_k dB^k at states ``(paths, n)``, each ``(paths, n, n)``."""
    return jacobian(lambda p: sde.f(t, p), x), jacobian(lambda p: diffusion_product(sde, t, p, dB), x)


def jacobian(
    function: Callable[[Float[Tensor, "paths n"]], Float[Tensor, "paths ..."]], x: Float[Tensor, "paths n"]
) -> Float[Tensor, "paths ... n"]:
    """∂function(x), ``(paths, …, n)`` for a function ``(paths, n) -> (paths, …)`` of tensors and of jets."""
    _check(function, x)
    directions = [e.expand(x.shape) for e in torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)]
    if isinstance(x, Jet):
        return torch.stack([directional(function, x, e) for e in directions], -1)
    with evaluated_on(len(x)):
        value = _tensor(function(along(x, directions, order=1)))
    if isinstance(value, Jet):
        return first_derivatives(value)
    return value.new_zeros(*value.shape, x.shape[-1])


def second_derivative(
    function: Callable[[Float[Tensor, "paths n"]], Float[Tensor, "paths ..."]],
    x: Float[Tensor, "paths n"],
    u: Float[Tensor, "paths n"],
    v: Float[Tensor, "paths n"],
) -> Float[Tensor, "paths ..."]:
    """∂²function(x)[u, v], of function's shape, for tensors and jets."""
    _check(function, x)
    for name, w in (("u", u), ("v", v)):
        if not isinstance(w, Tensor) or (w.shape, w.dtype) != (x.shape, x.dtype):
            raise ValueError(f"{name}: expected {x.dtype} of shape {tuple(x.shape)}, as x, got {arguments.shown(w)}")
    return directional(lambda p: directional(lambda q: _tensor(function(q)), p, v), x, u)


def _check(function: object, x: object) -> None:
    arguments.function("function", function, "states")
    if not isinstance(x, Tensor) or not x.is_floating_point() or x.ndim < 1 or not x.shape[-1]:
        raise TypeError(f"x: expected states (paths, n), a floating-point tensor or a jet, got {arguments.shown(x)}")


def _tensor(value: Any) -> Tensor:
    if not isinstance(value, Tensor) or not value.is_floating_point():
        raise TypeError(f"function: expected one that returns a floating-point tensor, got {arguments.shown(value)}")
    return value


def first_derivatives(
    value: Float[Tensor, "*paths n"], like: Float[Tensor, "*paths n"] | None = None
) -> Float[Tensor, "*paths n parameters"]:
    """The first derivatives of a jet ``(paths, n)`` as a matrix ``(paths, n, parameters)``."""
    if isinstance(value, Jet):
        return value.coefficients[1 : 1 + value.space.parameters].movedim(0, -1)
    assert like is not None
    return value.new_zeros(*like.shape, like.shape[-1])
