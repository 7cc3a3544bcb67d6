"""The remainders of the expansion along sample paths: perturbed solutions and losses less their Taylor polynomials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from sdewm.estimate.samples import Sample
from sdewm.expansion.forms import FORMS, Form
from sdewm.jets import Jet, JetSpace, Parameter, constant
from sdewm.noise.grid import TimeGrid
from sdewm.noise.increments import Increments
from sdewm.solvers.loop import trajectory
from sdewm.solvers.methods import Method
from sdewm.systems.losses import SummedLoss
from sdewm.systems.perturbed import Magnitude, PerturbedSDE

# The power of the unit, the state's or the loss's, that each kind of quantity is measured in.
POWERS = {"state scale": 2, "strong": 2, "loss scale": 2, "loss": 2, "weak": 1, "coefficient": 1}
OF_STATE = ("state scale", "strong")


class Quantity(NamedTuple):
    """The name of a number per path: of a loss expanded in one form, or of the state where ``loss`` is ``None``."""

    loss: str | None
    form: Form
    name: str

    def __str__(self) -> str:
        return f"{self.name} of " + ("the state" if self.loss is None else f"loss {self.loss}")


@dataclass(frozen=True, eq=False)
class LargestCoefficients:
    """Of each path, the largest coefficient up to ε³ of the state and of each loss. Called with a block of noise."""

    family: PerturbedSDE
    losses: Mapping[str, SummedLoss]
    x0: Float[Tensor, " n"]
    grid: TimeGrid
    method: Method

    def __call__(self, noise: Increments) -> dict[Quantity, Float[Tensor, " paths"]]:
        weights = {name: loss.on(self.grid) for name, loss in self.losses.items()}
        largest: dict[Quantity, Tensor] = {}
        for i, t, x in trajectory(
            self.family.at(Parameter(_space(), 0)), self.x0, self.grid, method=self.method, noise=noise
        ):
            found = {Quantity(None, "corrected", "coefficients"): _series(x).abs().amax((0, 2))}
            for name, loss in self.losses.items():
                if i in weights[name]:
                    value = (weights[name][i] * _series(loss.at(t, x))).abs().amax(0)
                    found[Quantity(name, "corrected", "coefficients")] = value
            for of, value in found.items():
                _keep_largest(largest, of, value)
        return largest


@dataclass(frozen=True, eq=False)
class Remainders:
    """Remainders along paths: the jet and all perturbed solutions walk side by side on the same increments.

    Called with a block of noise. Solutions are computed in x0's dtype and subtracted in double precision, so that the
    only rounding is that of the solutions. States are divided by ``units[None]``, and each loss by its own unit.
    """

    family: PerturbedSDE
    losses: Mapping[str, SummedLoss]
    x0: Float[Tensor, " n"]
    grid: TimeGrid
    method: Method
    units: Mapping[str | None, float]
    ladder: tuple[float, ...]
    order: int

    def __call__(self, noise: Increments) -> dict[Quantity, Float[Tensor, " paths"]]:
        # Order 1 is always needed at the last rung, which measures rounding.
        orders = range(max(self.order, 1) + 1)
        weights = {name: loss.on(self.grid) for name, loss in self.losses.items()}
        magnitudes: list[Magnitude] = [Parameter(_space(), 0), *self.ladder]
        walks = [trajectory(self.family.at(e), self.x0, self.grid, method=self.method, noise=noise) for e in magnitudes]
        values: dict[Quantity, Tensor] = {}
        series: dict[tuple[str, Form], Tensor] = {}
        perturbed: dict[tuple[str, int], Tensor] = {}
        for steps in zip(*walks, strict=True):
            i, t, x = steps[0]
            states = [x_eps for _, _, x_eps in steps[1:]]
            far = [x_eps.to(torch.float64) / self.units[None] for x_eps in states]
            for form in FORMS:
                c = self._state_series(x, form).to(torch.float64) / self.units[None]
                for k in range(4):
                    _keep_largest(values, Quantity(None, form, f"state scale/{k}"), (c[k] ** 2).sum(-1))
                for j, (e, rest) in enumerate(zip(self.ladder, far, strict=True)):
                    for k in orders:
                        rest = rest - e**k * c[k]
                        _keep_largest(values, Quantity(None, form, f"strong/{k}/{j}"), (rest**2).sum(-1))
            for name, loss in self.losses.items():
                if i not in weights[name]:
                    continue
                weight = weights[name][i] / self.units[name]
                for form in FORMS:
                    c = weight * self._loss_series(loss, t, x, form).to(torch.float64)
                    series[name, form] = series.get((name, form), 0.0) + c
                for j, x_eps in enumerate(states):
                    perturbed[name, j] = perturbed.get((name, j), 0.0) + weight * loss.at(t, x_eps).to(torch.float64)
        for (name, form), c in series.items():
            for k in range(4):
                values[Quantity(name, form, f"loss scale/{k}")] = c[k] ** 2
                values[Quantity(name, form, f"coefficient/{k}")] = c[k]
            for j, e in enumerate(self.ladder):
                rest = perturbed[name, j]
                for k in orders:
                    rest = rest - e**k * c[k]
                    values[Quantity(name, form, f"loss/{k}/{j}")] = rest**2
                    values[Quantity(name, form, f"weak/{k}/{j}")] = rest
        return values

    def _state_series(self, x: Tensor, form: Form) -> Tensor:
        c = _series(x)
        if form == "printed":
            c = torch.stack([c[0], c[1], 2 * c[2], c[3]])  # Lemma B.7: ε²∂²x, where Taylor has ½ε²∂²x
        return c

    def _loss_series(self, loss: SummedLoss, t: Tensor, x: Tensor, form: Form) -> Tensor:
        c = _series(loss.at(t, x))
        if form == "printed" and isinstance(x, Jet):
            bare = x.coefficients.clone()
            bare[1] = 0
            gradient_part = _series(loss.at(t, Jet(bare, _space())))[2]
            c = torch.stack([c[0], c[1], c[2] + gradient_part, c[3]])  # (33): ε²∇f·∂²x, likewise
        return c


def _keep_largest(values: dict[Quantity, Tensor], name: Quantity, value: Tensor) -> None:
    values[name] = torch.maximum(values[name], value) if name in values else value


def quantities_of(found: Sample, loss: str, form: Form) -> Sample:
    """The quantities of one loss and of the state, by name."""
    values = {of.name: v for of, v in found.values.items() if of.form == form and of.loss in (loss, None)}
    return Sample(values, found.paths, found.seed)


def _space() -> JetSpace:
    """To ε³. Not made at import: the first space changes how the process keeps memory."""
    return JetSpace(1, 3)


def _series(value: Tensor) -> Tensor:
    return (value if isinstance(value, Jet) else constant(value, _space())).coefficients
