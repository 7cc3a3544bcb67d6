"""Stochastic differential equations: the protocol, and the perturbed system (32).

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
from torch import Tensor

from sdewm.jets import Parameter

SdeType = Literal["ito", "stratonovich"]
SDE_TYPES: tuple[str, ...] = ("ito", "stratonovich")
NoiseType = Literal["diagonal", "additive", "scalar", "general"]
NOISE_TYPES: tuple[str, ...] = ("diagonal", "additive", "scalar", "general")
Coefficient = Callable[[Tensor, Tensor], Tensor]
Magnitude = float | Tensor | Parameter


@runtime_checkable
class SDE(Protocol):
    """torchsde's protocol for an SDE; see the module's text."""

    noise_type: str
    sde_type: str

    def f(self, t: Tensor, x: Tensor) -> Tensor: ...

    def g(self, t: Tensor, x: Tensor) -> Tensor: ...


class FunctionSDE:
    """An SDE from two functions.

    Parameters
    ----------
    f, g : ``(t, x) -> Tensor``; ``None`` stands for zero. ``g`` has the shape that ``noise_type`` asks for.
    noise_type : "diagonal" (default), "additive", "scalar" or "general".
    sde_type : "ito" (default) or "stratonovich": how the integral of ``g`` is meant.

    >>> gbm = FunctionSDE(lambda t, x: 0.1 * x, lambda t, x: 0.3 * x)
    """

    def __init__(
        self,
        f: Coefficient | None = None,
        g: Coefficient | None = None,
        noise_type: NoiseType = "diagonal",
        sde_type: SdeType = "ito",
    ) -> None:
        if noise_type not in NOISE_TYPES:
            raise ValueError(f"noise_type: expected one of {NOISE_TYPES}, got {noise_type!r}")
        if sde_type not in SDE_TYPES:
            raise ValueError(f"sde_type: expected one of {SDE_TYPES}, got {sde_type!r}")
        self.noise_type: str = noise_type
        self.sde_type: str = sde_type
        self._f, self._g = f, g

    def f(self, t: Tensor, x: Tensor) -> Tensor:
        return torch.zeros_like(x) if self._f is None else self._f(t, x)

    def g(self, t: Tensor, x: Tensor) -> Tensor:
        if self._g is not None:
            return self._g(t, x)
        zero = torch.zeros_like(x)
        return zero if self.noise_type == "diagonal" else zero.unsqueeze(-1)


def diffusion_matrix(sde: SDE, t: Tensor, x: Tensor) -> Tensor:
    """The diffusion as a matrix ``(paths, n, m)``, whatever the noise type."""
    g = sde.g(t, x)
    return torch.diag_embed(g) if sde.noise_type == "diagonal" else g


def diffusion_product(sde: SDE, t: Tensor, x: Tensor, dB: Tensor) -> Tensor:
    """Σ_k g_k(t, x) dB^k, ``(paths, n)``, for increments ``(paths, m)``."""
    return diffusion_at(sde, t, x)(dB)


def diffusion_at(sde: SDE, t: Tensor, x: Tensor) -> Callable[[Tensor], Tensor]:
    """:func:`diffusion_product` at one point, for several increments: the diffusion is evaluated once if it can be."""
    if hasattr(sde, "g_prod"):
        return lambda dB: sde.g_prod(t, x, dB)
    g = sde.g(t, x)
    if sde.noise_type == "diagonal":
        return lambda dB: g * dB
    return lambda dB: (g * dB.unsqueeze(-2)).sum(-1)


def noise_channels(sde: SDE, t: Tensor, x: Tensor) -> int:
    """m, the number of Brownian motions that drive the system."""
    if hasattr(sde, "noise_channels"):
        return sde.noise_channels(t, x)
    return x.shape[-1] if sde.noise_type == "diagonal" else sde.g(t, x[:1]).shape[-1]


class PerturbedSDE:
    """The perturbed system (32) of the paper: dx = Σ_k (g_k + ε η_k)(x, t) dB^k, the drift being k = 0.

    Parameters
    ----------
    base : SDE with drift g_0 and diffusion g_k.
    error : SDE whose drift η_0 (σ in (5)) and diffusion η_k (σ̄ in (5)) perturb it, driven by the *same* noise:
        the error's channel k rides on the base's channel k.

    ``at(eps)`` is an SDE again and runs in ``torchsde.sdeint`` as it is. ``at(eps, eps_drift)`` scales the diffusion
    error by ``eps`` and the drift error by ``eps_drift``; by default both are ``eps``. Either may be a
    :class:`~sdewm.jets.Parameter`, and then a solver carries the ε-sensitivities along.
    """

    def __init__(self, base: SDE, error: SDE) -> None:
        for name, sde in (("base", base), ("error", error)):
            _check_protocol(name, sde)
        self.base, self.error = base, error

    def at(self, eps: Magnitude, eps_drift: Magnitude | None = None) -> SDE:
        return _AtMagnitude(self.base, self.error, eps, eps if eps_drift is None else eps_drift)

    @property
    def unperturbed(self) -> SDE:
        return self.base


class _AtMagnitude:
    """g + ε η at a given ε."""

    sde_type = "ito"

    def __init__(self, base: SDE, error: SDE, eps: Magnitude, eps_drift: Magnitude) -> None:
        self.base, self.error = base, error
        self.eps, self.eps_drift = eps, eps_drift
        same = base.noise_type == error.noise_type
        self.noise_type = base.noise_type if same else "general"
        if hasattr(base, "noise_channels"):
            self.noise_channels = base.noise_channels
        if hasattr(base, "stages"):
            self.stages = base.stages
            self.f_stage, self.g_prod_stage = self._f_stage, self._g_prod_stage

    def f(self, t: Tensor, x: Tensor) -> Tensor:
        return self.base.f(t, x) + _scaled(self.eps_drift, lambda y: self.error.f(t, y), x)

    def g(self, t: Tensor, x: Tensor) -> Tensor:
        if self.noise_type == self.base.noise_type == self.error.noise_type:
            return self.base.g(t, x) + _scaled(self.eps, lambda y: self.error.g(t, y), x)
        matrix = diffusion_matrix(self.base, t, x)
        return matrix + _scaled(self.eps, lambda y: diffusion_matrix(self.error, t, y), x)

    def g_prod(self, t: Tensor, x: Tensor, dB: Tensor) -> Tensor:
        response = _scaled(self.eps, lambda y: diffusion_product(self.error, t, y, dB), x)
        return diffusion_product(self.base, t, x, dB) + response

    def _f_stage(self, stage: int, t: Tensor, x: Tensor) -> Tensor:
        error = _scaled(self.eps_drift, lambda y: stage_drift(self.error, self.stages, stage, t, y), x)
        return self.base.f_stage(stage, t, x) + error  # type: ignore[attr-defined]

    def _g_prod_stage(self, stage: int, t: Tensor, x: Tensor, dB: Tensor) -> Tensor:
        error = _scaled(self.eps, lambda y: stage_diffusion(self.error, self.stages, stage, t, y, dB), x)
        return self.base.g_prod_stage(stage, t, x, dB) + error  # type: ignore[attr-defined]


class Stage:
    """One block of a sequential step: which coordinates it updates, and which end of the step its inputs see."""

    def __init__(self, block: slice, time: Literal["start", "end"]) -> None:
        self.block, self.time = block, time


def stage_drift(sde: SDE, stages: tuple[Stage, ...], stage: int, t: Tensor, x: Tensor) -> Tensor:
    """The drift of one block; computed whole and cut where the SDE cannot do better."""
    if hasattr(sde, "f_stage"):
        return sde.f_stage(stage, t, x)
    return sde.f(t, x)[..., stages[stage].block]


def stage_diffusion(sde: SDE, stages: tuple[Stage, ...], stage: int, t: Tensor, x: Tensor, dB: Tensor) -> Tensor:
    """The diffusion of one block applied to increments."""
    if hasattr(sde, "g_prod_stage"):
        return sde.g_prod_stage(stage, t, x, dB)
    return diffusion_product(sde, t, x, dB)[..., stages[stage].block]


def _scaled(eps: Magnitude, coefficient: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    # A parameter raises the order by one, so the error's coefficient is needed to one order less.
    if isinstance(eps, Parameter):
        return eps * coefficient(eps.lower(x))
    return eps * coefficient(x)


def _check_protocol(name: str, sde: object) -> None:
    missing = [a for a in ("f", "g", "noise_type", "sde_type") if not hasattr(sde, a)]
    if missing:
        raise TypeError(
            f"{name}: expected an SDE with f(t, x), g(t, x), noise_type and sde_type; "
            f"{type(sde).__name__} lacks {', '.join(missing)}"
        )
    if sde.noise_type not in NOISE_TYPES:  # type: ignore[attr-defined]
        raise ValueError(f"{name}.noise_type: expected one of {NOISE_TYPES}, got {sde.noise_type!r}")  # type: ignore[attr-defined]
    if sde.sde_type != "ito":  # type: ignore[attr-defined]
        raise ValueError(
            f"{name}.sde_type: expected 'ito', got {sde.sde_type!r}; the paper's (5)-(8) are Itô equations. "  # type: ignore[attr-defined]
            "Add ½ Σ_k ∂g_k g_k to a Stratonovich drift to convert it, as sdewm.calculus.to_ito does."
        )
