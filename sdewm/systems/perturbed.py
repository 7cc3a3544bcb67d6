"""The perturbed system (32): a base SDE, with an error in drift and diffusion of magnitude ε."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from sdewm import arguments
from sdewm.jets import Jet, Parameter, shape_of
from sdewm.systems.calculus import Converted
from sdewm.systems.sde import SDE, FunctionSDE, check_protocol, diffusion_matrix, diffusion_product, noise_channels
from sdewm.systems.stages import stage_diffusion, stage_drift

Magnitude = float | Tensor | Parameter


class PerturbedSDE:
    """The perturbed system (32) of the paper: dx = Σ_k (g_k + ε η_k)(x, t) dB^k, the drift being k = 0.

    Parameters
    ----------
    base : SDE with drift g_0 and diffusion g_k.
    error : SDE whose drift η_0 (σ in (5)) and diffusion η_k (σ̄ in (5)) perturb it, driven by the *same* noise:
        the error's channel k rides on the base's channel k. The noise types may differ, the numbers of channels may
        not; that is checked when the family is first used with a state.

    Both are Itô SDEs, as the paper's, or both Stratonovich SDEs, which methods for such take, with jets as ever; what
    the paper says of Itô equations refuses those. An error without diffusion goes with either.

    ``at(eps)`` is an SDE again and runs in ``torchsde.sdeint`` as it is. ``at(eps, eps_drift)`` scales the diffusion
    error by ``eps`` and the drift error by ``eps_drift``; by default both are ``eps``. Either is a finite number, a
    tensor with one element, or a :class:`~sdewm.jets.Parameter`, and then a solver carries the ε-sensitivities along.

    Raises ``TypeError`` and ``ValueError`` that name the part: no SDE, of another calculus than the base, or an error
    that :func:`sdewm.to_ito` or :func:`sdewm.to_stratonovich` made. Converting is not linear: of a family its
    correction has the terms ½ ε Σ_k (∂g_k[η_k] + ∂η_k[g_k]), which neither of two converted parts has.

    >>> family = PerturbedSDE(gbm, FunctionSDE(lambda t, x: torch.sin(x), lambda t, x: x))
    >>> solve(family.at(0.1), x0, grid, paths=16).shape
    torch.Size([16, 1])
    """

    def __init__(self, base: SDE, error: SDE) -> None:
        for name, sde in (("base", base), ("error", error)):
            check_protocol(name, sde)
        if isinstance(error, Converted):
            raise ValueError(
                "error: expected one that is written in the family's calculus, got one that was converted by itself. "
                "The correction of a family has a term of base and error together, linear in ε, that would be lost. "
                "Give base and error as they were: two Stratonovich SDEs make a family that method='heun' and "
                "'milstein' walk"
            )
        if error.sde_type != base.sde_type and not (_silent(base) or _silent(error)):
            raise ValueError(
                f"error.sde_type: expected {base.sde_type!r}, as the base has, got {error.sde_type!r}; a family has "
                "one calculus. Write the error in the base's, or convert the base by to_ito or to_stratonovich"
            )
        self.base = base if _silent(error) else _in_channels_of(error, base)
        self.error = _in_channels_of(self.base, error)

    @property
    def sde_type(self) -> str:
        """ "ito" or "stratonovich"."""
        return self.base.sde_type

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

    def __init__(self, base: SDE, error: SDE, eps: Magnitude, eps_drift: Magnitude) -> None:
        self.base, self.error = base, error
        self.eps, self.eps_drift = eps, eps_drift
        same = base.noise_type == error.noise_type
        self.sde_type, self.noise_type = base.sde_type, base.noise_type if same else "general"
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
        return _sum("f_stage", stage_drift(self.base, self.stages, stage, t, x), error)

    def _g_prod_stage(self, stage: int, t: Tensor, x: Tensor, dB: Tensor) -> Tensor:
        error = _scaled(self.eps, lambda y: stage_diffusion(self.error, self.stages, stage, t, y, dB), x)
        return _sum("g_prod_stage", stage_diffusion(self.base, self.stages, stage, t, x, dB), error)


class _Silent:
    """A drift alone, with zeros for a diffusion in the channels, and in the calculus, of another SDE."""

    def __init__(self, drift: SDE, other: SDE) -> None:
        self.f, self.other = drift.f, other
        self.noise_type, self.sde_type = other.noise_type, other.sde_type

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


def _scaled(eps: Magnitude, coefficient: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    # A parameter raises the order by one, so the error's coefficient is needed to one order less.
    if isinstance(eps, Parameter):
        return eps * coefficient(eps.lower(x))
    return eps * coefficient(x)


def _sum(name: str, base: Tensor, error: Tensor) -> Tensor:
    if type(base) is type(error) is Tensor and base.shape == error.shape and base.dtype is error.dtype:
        return base + error
    # Broadcasting would add another error than the one that was written, and could change the base itself.
    if shape_of(base) != shape_of(error):
        raise ValueError(f"error.{name}: expected shape {tuple(base.shape)}, as the base's, got {tuple(error.shape)}")
    one, two = (y.coefficients if isinstance(y, Jet) else y for y in (base, error))
    if one.dtype is not two.dtype:
        raise ValueError(f"error.{name}: expected {base.dtype}, as the base has, got {error.dtype}")
    return base + error


def _magnitude(name: str, eps: Any) -> Magnitude:
    if isinstance(eps, Parameter | Jet):
        return eps
    if isinstance(eps, Tensor) and eps.is_floating_point() and eps.numel() == 1:
        arguments.tensor(name, eps)
        return eps.reshape(())  # without axes it has no say in shapes and dtypes
    return arguments.real(name, eps)
