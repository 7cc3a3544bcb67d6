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

from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

from sdewm import arguments
from sdewm.jets import Jet, Parameter

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
    f, g : ``(t, x) -> Tensor``; ``None`` stands for zero. ``g`` has the shape that ``noise_type`` asks for. In a
        :class:`PerturbedSDE` a part with ``g=None`` has zeros in the channels that the other part has.
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
        self.noise_type: str = arguments.choice("noise_type", noise_type, NOISE_TYPES)
        self.sde_type: str = arguments.choice("sde_type", sde_type, SDE_TYPES)
        self._f = arguments.function("f", f, "(t, x)", optional=True)
        self._g = arguments.function("g", g, "(t, x)", optional=True)

    @property
    def silent(self) -> bool:
        """Whether there is no diffusion at all."""
        return self._g is None

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
    diagonal = sde.noise_type == "diagonal"

    def product(dB: Tensor) -> Tensor:
        # One channel would be broadcast over many, and be another diffusion.
        if _shape(g)[-1] != _shape(dB)[-1]:
            raise ValueError(f"dB: expected increments of {g.shape[-1]} channels, got {dB.shape[-1]}")
        return g * dB if diagonal else (g * dB.unsqueeze(-2)).sum(-1)

    return product


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
        the error's channel k rides on the base's channel k. The noise types may differ, the numbers of channels may
        not; that is checked when the family is first used with a state.

    ``at(eps)`` is an SDE again and runs in ``torchsde.sdeint`` as it is. ``at(eps, eps_drift)`` scales the diffusion
    error by ``eps`` and the drift error by ``eps_drift``; by default both are ``eps``. Either is a finite number, a
    tensor with one element, or a :class:`~sdewm.jets.Parameter`, and then a solver carries the ε-sensitivities along.

    Raises ``TypeError`` and ``ValueError`` that name the part that is no Itô SDE.
    """

    def __init__(self, base: SDE, error: SDE) -> None:
        for name, sde in (("base", base), ("error", error)):
            check_protocol(name, sde)
            if sde.sde_type != "ito":
                raise ValueError(
                    f"{name}.sde_type: expected 'ito', got {sde.sde_type!r}; the paper's (5)-(8) are Itô equations. "
                    "Add ½ Σ_k ∂g_k g_k to a Stratonovich drift to convert it, as sdewm.calculus.to_ito does."
                )
        self.base = base if _silent(error) else _in_channels_of(error, base)
        self.error = _in_channels_of(self.base, error)

    def at(self, eps: Magnitude, eps_drift: Magnitude | None = None) -> SDE:
        eps = _magnitude("eps", eps)
        return _AtMagnitude(
            self.base, self.error, eps, eps if eps_drift is None else _magnitude("eps_drift", eps_drift)
        )

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

    @property
    def parts(self) -> Mapping[str, SDE]:
        """What is to be checked by itself before it is used."""
        return {"base": self.base, "error": self.error}

    def f(self, t: Tensor, x: Tensor) -> Tensor:
        return _sum("f", self.base.f(t, x), _scaled(self.eps_drift, lambda y: self.error.f(t, y), x))

    def g(self, t: Tensor, x: Tensor) -> Tensor:
        if self.noise_type == self.base.noise_type == self.error.noise_type:
            return _sum("g", self.base.g(t, x), _scaled(self.eps, lambda y: self.error.g(t, y), x))
        matrix = diffusion_matrix(self.base, t, x)
        return _sum("g", matrix, _scaled(self.eps, lambda y: diffusion_matrix(self.error, t, y), x))

    def g_prod(self, t: Tensor, x: Tensor, dB: Tensor) -> Tensor:
        response = _scaled(self.eps, lambda y: diffusion_product(self.error, t, y, dB), x)
        return _sum("g_prod", diffusion_product(self.base, t, x, dB), response)

    def _f_stage(self, stage: int, t: Tensor, x: Tensor) -> Tensor:
        error = _scaled(self.eps_drift, lambda y: stage_drift(self.error, self.stages, stage, t, y), x)
        return _sum("f_stage", self.base.f_stage(stage, t, x), error)  # type: ignore[attr-defined]

    def _g_prod_stage(self, stage: int, t: Tensor, x: Tensor, dB: Tensor) -> Tensor:
        error = _scaled(self.eps, lambda y: stage_diffusion(self.error, self.stages, stage, t, y, dB), x)
        return _sum("g_prod_stage", self.base.g_prod_stage(stage, t, x, dB), error)  # type: ignore[attr-defined]


class _Silent:
    """A drift alone, with zeros for a diffusion in the channels of another SDE."""

    sde_type = "ito"

    def __init__(self, drift: SDE, other: SDE) -> None:
        self.f, self.other, self.noise_type = drift.f, other, other.noise_type

    def g(self, t: Tensor, x: Tensor) -> Tensor:
        return torch.zeros_like(self.other.g(t, x))

    def g_prod(self, t: Tensor, x: Tensor, dB: Tensor) -> Tensor:
        return torch.zeros_like(x)

    def noise_channels(self, t: Tensor, x: Tensor) -> int:
        return noise_channels(self.other, t, x)


def _silent(sde: SDE) -> bool:
    return isinstance(sde, FunctionSDE) and sde.silent


def _in_channels_of(other: SDE, sde: SDE) -> SDE:
    return _Silent(sde, other) if _silent(sde) else sde


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


def _sum(name: str, base: Tensor, error: Tensor) -> Tensor:
    # Broadcasting would add another error than the one that was written, and could change the base itself.
    if _shape(base) != _shape(error):
        raise ValueError(f"error.{name}: expected shape {tuple(base.shape)}, as the base's, got {tuple(error.shape)}")
    return base + error


def _shape(x: Tensor) -> torch.Size:
    # Asking a jet itself goes through torch's dispatch, which would be felt at every step.
    return x.coefficients.shape[1:] if isinstance(x, Jet) else x.shape


def _magnitude(name: str, eps: Any) -> Magnitude:
    if isinstance(eps, Parameter | Jet):
        return eps
    if isinstance(eps, Tensor) and eps.is_floating_point() and eps.numel() == 1:
        arguments.tensor(name, eps)
        return eps.reshape(())  # without axes it has no say in shapes and dtypes
    return arguments.real(name, eps)


def check_protocol(name: str, sde: object) -> None:
    """Hold an object against torchsde's protocol; ``TypeError`` or ``ValueError`` where it does not meet it."""
    if isinstance(sde, PerturbedSDE):
        raise TypeError(f"{name}: expected an SDE, got a PerturbedSDE; its .at(eps) is an SDE")
    missing = [a for a in ("f", "g", "noise_type", "sde_type") if not hasattr(sde, a)]
    if missing:
        raise TypeError(
            f"{name}: expected an SDE with f(t, x), g(t, x), noise_type and sde_type; "
            f"{type(sde).__name__} lacks {', '.join(missing)}"
        )
    for attribute, allowed in (("noise_type", NOISE_TYPES), ("sde_type", SDE_TYPES)):
        arguments.choice(f"{name}.{attribute}", getattr(sde, attribute), allowed)
    for attribute in ("f", "g"):
        arguments.function(f"{name}.{attribute}", getattr(sde, attribute), "(t, x)")
