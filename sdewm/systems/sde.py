"""Stochastic differential equations: the protocol.

An SDE is any object that meets torchsde's protocol::

    sde.f(t, x)  -> drift,      (paths, n)
    sde.g(t, x)  -> diffusion,  (paths, n, m); for ``noise_type = "diagonal"`` (paths, n)
    sde.noise_type in {"diagonal", "additive", "scalar", "general"}
    sde.sde_type in {"ito", "stratonovich"}

``t`` is a 0-dimensional tensor. Functions are batched over paths. Optional methods save work and change nothing:
``g_prod(t, x, dB)`` is the diffusion applied to increments ``(paths, m)``, and ``noise_channels(t, x)`` is m.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from sdewm import arguments
from sdewm.jets import Jet, shape_of

SdeType = Literal["ito", "stratonovich"]
SDE_TYPES: tuple[str, ...] = ("ito", "stratonovich")
NoiseType = Literal["diagonal", "additive", "scalar", "general"]
NOISE_TYPES: tuple[str, ...] = ("diagonal", "additive", "scalar", "general")
Drift = Callable[[Float[Tensor, ""], Float[Tensor, "paths n"]], Float[Tensor, "paths n"]]
Diffusion = Callable[[Float[Tensor, ""], Float[Tensor, "paths n"]], Float[Tensor, "paths n *channels"]]


@runtime_checkable
class SDE(Protocol):
    """torchsde's protocol for an SDE: any object that has these is one.

    Attributes
    ----------
    f : ``(t, x) -> drift``, both ``(paths, n)``; t is a 0-dimensional tensor.
    g : ``(t, x) -> diffusion``, ``(paths, n, m)`` for m noises; ``(paths, n)`` where ``noise_type`` is "diagonal".
    noise_type : "diagonal", "additive", "scalar" or "general".
    sde_type : "ito" or "stratonovich".

    >>> class OrnsteinUhlenbeck:
    ...     noise_type, sde_type = "diagonal", "ito"
    ...
    ...     def f(self, t, x):
    ...         return -x
    ...
    ...     def g(self, t, x):
    ...         return 0.5 * torch.ones_like(x)
    >>> isinstance(OrnsteinUhlenbeck(), SDE)
    True
    """

    noise_type: str
    sde_type: str

    def f(self, t: Float[Tensor, ""], x: Float[Tensor, "paths n"]) -> Float[Tensor, "paths n"]: ...

    def g(self, t: Float[Tensor, ""], x: Float[Tensor, "paths n"]) -> Float[Tensor, "paths n *channels"]: ...


class FunctionSDE:
    """An SDE from two functions.

    Parameters
    ----------
    f, g : ``(t, x) -> Tensor``; ``None`` stands for zero. ``g`` has the shape that ``noise_type`` asks for. In a
        :class:`PerturbedSDE` a part with ``g=None`` has zeros in the channels that the other part has.
    noise_type : "diagonal" (default), "additive", "scalar" or "general".
    sde_type : "ito" (default) or "stratonovich": how the integral of ``g`` is meant.

    >>> gbm = FunctionSDE(lambda t, x: 0.1 * x, lambda t, x: 0.3 * x)
    """

    def __init__(
        self,
        f: Drift | None = None,
        g: Diffusion | None = None,
        noise_type: NoiseType = "diagonal",
        sde_type: SdeType = "ito",
    ) -> None:
        self.noise_type: str = arguments.choice("noise_type", noise_type, NOISE_TYPES)
        self.sde_type: str = arguments.choice("sde_type", sde_type, SDE_TYPES)
        self._f = arguments.function("f", f, "(t, x)", optional=True)
        self._g = arguments.function("g", g, "(t, x)", optional=True)

    @property
    def silent(self) -> bool:
        """Whether there is no diffusion at all."""
        return self._g is None

    def f(self, t: Float[Tensor, ""], x: Float[Tensor, "paths n"]) -> Float[Tensor, "paths n"]:
        return torch.zeros_like(x) if self._f is None else self._f(t, x)

    def g(self, t: Float[Tensor, ""], x: Float[Tensor, "paths n"]) -> Float[Tensor, "paths n *channels"]:
        if self._g is not None:
            return self._g(t, x)
        zero = torch.zeros_like(x)
        return zero if self.noise_type == "diagonal" else zero.unsqueeze(-1)


def drift(sde: SDE, t: Float[Tensor, ""], x: Float[Tensor, "paths n"]) -> Float[Tensor, "paths n"]:
    """f(t, x), which is to have the shape and the dtype of the states: another shape would be broadcast over paths."""
    return _fitting("f", sde.f(t, x), t, x)


def _fitting(name: str, value: Tensor, t: Tensor, x: Tensor, channels: bool = False) -> Tensor:
    """A coefficient's value; ``ValueError`` where it has not the states' shape and dtype. Done at every step."""
    if not channels and type(value) is type(x) is Tensor and value.shape == x.shape and value.dtype is x.dtype:
        return value
    if isinstance(value, Tensor):
        found, given = (y.coefficients if isinstance(y, Jet) else y for y in (value, x))
        shape = shape_of(value)[:-1] if channels else shape_of(value)
        if shape == shape_of(x) and found.dtype is given.dtype:
            return value
    wanted = f"{tuple(shape_of(x))}{' and an axis of channels' * channels}"
    raise ValueError(
        f"{name}: expected {wanted} of {x.dtype}, as the states have, got {arguments.shown(value)} at t = {float(t):g}"
    )


def diffusion_matrix(sde: SDE, t: Float[Tensor, ""], x: Float[Tensor, "paths n"]) -> Float[Tensor, "paths n channels"]:
    """The diffusion as a matrix ``(paths, n, m)``, whatever the noise type."""
    g = sde.g(t, x)
    return torch.diag_embed(g) if sde.noise_type == "diagonal" else g


def diffusion_product(
    sde: SDE, t: Float[Tensor, ""], x: Float[Tensor, "paths n"], dB: Float[Tensor, "paths channels"]
) -> Float[Tensor, "paths n"]:
    """Σ_k g_k(t, x) dB^k, ``(paths, n)``, for increments ``(paths, m)``."""
    return diffusion_at(sde, t, x)(dB)


def diffusion_at(
    sde: SDE, t: Float[Tensor, ""], x: Float[Tensor, "paths n"]
) -> Callable[[Float[Tensor, "paths channels"]], Float[Tensor, "paths n"]]:
    """:func:`diffusion_product` at one point, for several increments: the diffusion is evaluated once if it can be."""
    if hasattr(sde, "g_prod"):
        return lambda dB: _fitting("g_prod", sde.g_prod(t, x, dB), t, x)
    diagonal = sde.noise_type == "diagonal"
    g = _fitting("g", sde.g(t, x), t, x, channels=not diagonal)

    def product(dB: Tensor) -> Tensor:
        # One channel would be broadcast over many, and be another diffusion.
        if shape_of(g)[-1] != shape_of(dB)[-1]:
            raise ValueError(f"dB: expected increments of {g.shape[-1]} channels, got {dB.shape[-1]}")
        return g * dB if diagonal else (g * dB.unsqueeze(-2)).sum(-1)

    return product


def noise_channels(sde: SDE, t: Float[Tensor, ""], x: Float[Tensor, "paths n"]) -> int:
    """m, the number of Brownian motions that drive the system."""
    if hasattr(sde, "noise_channels"):
        return sde.noise_channels(t, x)
    return x.shape[-1] if sde.noise_type == "diagonal" else sde.g(t, x[:1]).shape[-1]


def check_protocol(name: str, sde: object) -> None:
    """Hold an object against torchsde's protocol; ``TypeError`` or ``ValueError`` where it does not meet it."""
    missing = [a for a in ("f", "g", "noise_type", "sde_type") if not hasattr(sde, a)]
    if missing and callable(getattr(sde, "at", None)):
        raise TypeError(f"{name}: expected an SDE, got a {type(sde).__name__}; its .at(eps) is an SDE")
    if missing:
        raise TypeError(
            f"{name}: expected an SDE with f(t, x), g(t, x), noise_type and sde_type; "
            f"{type(sde).__name__} lacks {', '.join(missing)}"
        )
    for attribute, allowed in (("noise_type", NOISE_TYPES), ("sde_type", SDE_TYPES)):
        arguments.choice(f"{name}.{attribute}", getattr(sde, attribute), allowed)
    for attribute in ("f", "g"):
        arguments.function(f"{name}.{attribute}", getattr(sde, attribute), "(t, x)")


def one_channel(dB: Float[Tensor, "paths channels"], k: int) -> Float[Tensor, "paths channels"]:
    """Increments ``(paths, m)`` with a one in channel k and zeros elsewhere: they pick diffusion vector k."""
    unit = torch.zeros_like(dB)
    unit[:, k] = 1
    return unit
