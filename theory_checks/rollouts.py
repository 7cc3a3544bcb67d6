"""The rollouts (19) that the claims of Section 4 are checked on: what is sampled on them, and what is certified."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from sdewm.arrays import Array
from sdewm.divergence.bounds import StepConstants, block_supremum, mean_square, saturation
from sdewm.divergence.distances import distances, sensitivity_suprema
from sdewm.divergence.gru_cell import gru_lipschitz
from sdewm.divergence.interval import interval
from sdewm.divergence.lipschitz import SlopeNetwork, curvature, spectral_product
from sdewm.divergence.rollout_terms import hessian_terms, jacobian_terms, suprema
from sdewm.estimate.estimates import Estimate
from sdewm.estimate.samples import Sample, sample
from sdewm.exact import reference
from sdewm.noise.grid import TimeGrid
from sdewm.noise.increments import Increments, StoredIncrements
from sdewm.solvers.methods import Method
from sdewm.systems.latent import LatentSDE
from sdewm.systems.rollout import LatentRollout
from sdewm.systems.sde import noise_channels
from sdewm.verification.settings import Settings, pooled

# ‖ε‖, the largest first. ε is c times one of ±e_i in z̃, all equally likely, so that δ = c and E‖ε‖² = c².
LADDER = (0.1, 0.05, 0.025, 0.0125, 0.00625)
SCALES = (0.5, 1.0, 1.5, 2.0)


@dataclass(frozen=True)
class Constants:
    """Certified constants of a rollout on its grid, as :mod:`sdewm.divergence.bounds` wants them.

    ``step`` is block by block. Of the whole state: ``drift`` (a) and ``diffusion`` (b), ``product``, the same two by
    products of spectral norms, ``rate`` (ν), ``whole_step`` and the ``curvatures`` of f and g. ``weighted`` are m and ν
    in the metric m |u|² + |v|². ``ceiling`` is what no error exceeds. ``None`` where a model is not certified so far.
    """

    step: StepConstants
    drift: float | None = None
    diffusion: float | None = None
    product: tuple[float, float] | None = None
    rate: float | None = None
    whole_step: float | None = None
    curvatures: tuple[float, float] | None = None
    weighted: tuple[float, float] | None = None
    ceiling: float = math.inf

    def supremum(self, system: RolloutSystem, start: tuple[float, float] = (0.0, 1.0)) -> list[float]:
        """The certified bound on E sup_{k ≤ n} |Δx_k|² / E|ε|² for n = 0..steps."""
        steps, state = system.grid.steps, None
        if self.weighted is not None:
            m, rate = self.weighted
            size = m * start[0] ** 2 + start[1] ** 2
            state = [math.sqrt(size * s / m) for s in mean_square(rate, system.grid.dt, steps)]
        return block_supremum(self.step, steps, start, state)


@dataclass(frozen=True)
class RolloutSystem:
    """A rollout, where it starts, the grid and the method that walk it, and how finely it is sampled.

    ``horizon`` is the index of the time that single numbers are for, ``times`` the indices that curves are for.
    """

    name: str
    rollout: LatentRollout
    x0: Tensor
    grid: TimeGrid
    method: Method
    horizon: int
    times: tuple[int, ...]
    paths: int
    hessian_paths: int
    hessian_every: int

    @property
    def until_horizon(self) -> TimeGrid:
        return TimeGrid(self.grid.t0, self.grid.time(self.horizon), self.horizon)

    @property
    def directions(self) -> Tensor:
        """The unit vectors of z̃, ``(z̃, n)``."""
        size = self.rollout.model.sizes.z_tilde
        return self.rollout.perturbation(torch.eye(size, dtype=self.x0.dtype))

    @property
    def channels(self) -> int:
        return noise_channels(self.rollout, torch.as_tensor(self.grid.t0, dtype=self.x0.dtype), self.x0[None])


def scaled_latent(scale: float) -> LatentSDE:
    """The reference model with the last weights of f and p scaled: their Jacobians, and nothing else, scale with it."""
    model = reference.latent_model()
    networks: tuple[Any, ...] = (model.f_seq, model.p)
    for network in networks:
        network.last.weight.mul_(scale)
    return model


@cache
def rollout_system(name: str, scale: float = 1.0) -> RolloutSystem:
    """ "latent", the reference model refined to continuous time, or "trained-step", the trained model's own steps."""
    if name == "latent":
        rollout = LatentRollout(scaled_latent(scale))
        return RolloutSystem(
            name,
            rollout,
            rollout.state(reference.initial_state()),
            TimeGrid(0.0, reference.HORIZON, reference.STEPS),
            "euler",
            horizon=100,
            times=(0, 1, 2, 3, 5, 10, 20, 35, 50, 70, 100),
            paths=2**9,
            hessian_paths=2**7,
            hessian_every=10,
        )
    from theory_checks.systems import trained_family

    family, _, x0 = trained_family()
    assert isinstance(family.base, LatentSDE)
    rollout = LatentRollout(family.base)
    return RolloutSystem(
        name, rollout, rollout.state(x0), TimeGrid(10.0, 60.0, 50), "euler-sequential",
        horizon=15, times=(0, 1, 2, 3, 5, 10, 15, 20, 30, 40, 50), paths=2**8, hessian_paths=2**5, hessian_every=15,
    )  # fmt: skip


class Distance(NamedTuple):
    """E sup ‖x^ε − x⁰‖² for ‖ε‖ = ``size``, up to the step ``time``."""

    size: float
    time: int


class DistanceAt(NamedTuple):
    """E ‖x^ε − x⁰‖² for the smallest ‖ε‖, at the step ``time``."""

    time: int


class Derivative(NamedTuple):
    """E sup ‖∂_i x‖² or ‖∂²_ij x‖² up to the horizon, by the coordinates of z̃ that are differentiated in."""

    coordinates: tuple[int, ...]

    def __str__(self) -> str:
        return f"{'first' if len(self.coordinates) == 1 else 'second'}|{','.join(map(str, self.coordinates))}"


@dataclass(frozen=True)
class Measured:
    """What was sampled on a rollout: replicate means of suprema over time."""

    system: RolloutSystem
    settings: Settings
    sample: Sample

    def divergence(self, delta: float, time: int) -> Array:
        """E sup ‖x^ε − x⁰‖² over ‖ε‖², up to the step ``time``."""
        return self.sample[Distance(delta, time)] / delta**2

    def at_time(self, time: int) -> Array:
        """E ‖x^ε − x⁰‖² over ‖ε‖² at the step ``time``, for the smallest ‖ε‖."""
        return self.sample[DistanceAt(time)] / LADDER[-1] ** 2

    def estimate(self, values: Array) -> Estimate:
        return self.sample.estimate(values)

    def log_estimate(self, values: Array, bound: float = 1.0) -> Estimate:
        return self.sample.log_estimate(values, bound)

    @property
    def config(self) -> dict[str, object]:
        grid = self.system.grid
        return {
            "steps": grid.steps,
            "horizon": grid.t1 - grid.t0,
            "method": self.system.method,
            "paths": self.sample.paths,
            "ε": "c·(±e_i), each i and sign alike likely",
        }


def sample_rollouts(name: str, settings: Settings, scale: float = 1.0) -> Measured:
    """E sup of the divergence along the ladder of ‖ε‖, and of the Jacobian terms, at every time asked for."""
    return Measured(rollout_system(name, scale), settings, _suprema(name, settings, scale))


@pooled
def _suprema(name: str, settings: Settings, round: int, scale: float) -> Sample:
    system = rollout_system(name, scale)
    rollout, directions = system.rollout, system.directions
    both = torch.cat([directions, -directions])

    def evaluate(noise: Increments) -> dict[Distance | DistanceAt | str, Tensor]:
        perturbations = torch.cat([c * both for c in LADDER])
        squared = distances(
            rollout, system.x0, system.grid, perturbations=perturbations, method=system.method, noise=noise
        )
        by_size = squared.cummax(1).values.unflatten(0, (len(LADDER), -1)).mean(1)
        at_time = squared[-len(both) :].mean(0)
        values: dict[Distance | DistanceAt | str, Tensor] = {DistanceAt(i): at_time[i] for i in system.times}
        values |= {Distance(c, i): by_size[k, i] for k, c in enumerate(LADDER) for i in system.times}
        until_horizon = StoredIncrements(torch.stack([*islice(noise, system.horizon)]))
        return values | suprema(
            lambda x: jacobian_terms(rollout, x),
            rollout,
            system.x0,
            system.until_horizon,
            method=system.method,
            noise=until_horizon,
        )

    drawn = settings.draw(settings.paths(system.paths), round)
    return sample(evaluate, drawn, system.channels, system.grid, system.x0)


@cache
def sample_hessians(name: str, settings: Settings, scale: float = 1.0) -> Measured:
    """E sup of the second-order terms of C.1, at a part of the times, on fewer paths."""
    system = rollout_system(name, scale)

    def evaluate(noise: Increments) -> dict[str, Tensor]:
        return suprema(
            lambda x: hessian_terms(system.rollout, x),
            system.rollout,
            system.x0,
            system.until_horizon,
            method=system.method,
            noise=noise,
            every=system.hessian_every,
        )

    drawn = settings.draw(system.hessian_paths, 0)
    return Measured(system, settings, sample(evaluate, drawn, system.channels, system.until_horizon, system.x0))


def sample_sensitivities(name: str, settings: Settings) -> Measured:
    """E sup of ‖∂_i x‖² and ‖∂²_ij x‖² in the coordinates of z̃, up to the horizon."""
    return Measured(rollout_system(name), settings, _sensitivity_suprema(name, settings))


@pooled
def _sensitivity_suprema(name: str, settings: Settings, round: int) -> Sample:
    system = rollout_system(name)
    k = len(system.directions)

    def evaluate(noise: Increments) -> dict[Derivative, Tensor]:
        first, second = sensitivity_suprema(
            system.rollout,
            system.x0,
            system.until_horizon,
            directions=system.directions,
            method=system.method,
            noise=noise,
        )
        values = {Derivative((i,)): first[-1, i] for i in range(k)}
        return values | {Derivative((i, j)): second[-1, i, j] for i in range(k) for j in range(i, k)}

    drawn = settings.draw(settings.paths(max(system.paths // 2, 2**7)), round)
    return sample(evaluate, drawn, system.channels, system.until_horizon, system.x0)


def terms_at_horizon(name: str, settings: Settings, scale: float = 1.0) -> dict[str, float]:
    """E sup of every term of C.1 up to the system's horizon."""
    first, second = sample_rollouts(name, settings, scale).sample, sample_hessians(name, settings, scale).sample
    values = {k: float(v.mean()) for k, v in second.values.items()}
    return values | {k: float(v.mean()) for k, v in first.values.items() if isinstance(k, str)}


@cache
def constants(name: str, scale: float = 1.0) -> Constants:
    """Certified by :mod:`sdewm.divergence.lipschitz`, in a few seconds."""
    return _of_latent(scale) if name == "latent" else _of_trained()


def _of_latent(scale: float) -> Constants:
    model = scaled_latent(scale)
    dt = reference.HORIZON / reference.STEPS
    nh, nz = model.sizes.h, model.sizes.z_tilde
    net = SlopeNetwork(nh + nz)
    x, h = net.inputs, net.inputs[:nh]
    f = through_hidden(net, model.f_seq, net.stack(x, through_hidden(net, model.policy, x)))
    p = through_hidden(net, model.p, h)
    p_bar = 0.5 * net.layer(through_hidden(net, model.p_bar, h), "sigmoid")
    f, p, p_bar = (net.pad(form) for form in (f, p, p_bar))
    drift, diffusion = net.stack(f, p), net.stack(0 * net.pad(h), p_bar)
    wrt_h, wrt_z = slice(0, nh), slice(nh, nh + nz)
    step = StepConstants(
        state=net.step_lipschitz(f, dt, wrt_h),
        from_latent=dt * net.lipschitz(f, wrt_z),
        predict=dt * net.lipschitz(p, wrt_h),
        noise=dt**0.5 * net.lipschitz(p_bar, wrt_h),
        keep=1.0,
    )
    # For the supremum it is E|u|² that matters, which m |u|² + |v|² ≤ |ε|² (1 + 2νΔt)^n bounds by (…)/m.
    candidates = []
    for m in (1.0, 4.0):
        metric = torch.tensor([m] * nh + [1.0] * nz)
        candidates.append((m, net.mean_square_rate(drift, diffusion, dt=dt, metric=metric)))
    weighted = min(candidates, key=lambda c: max(1 + 2 * c[1] * dt, 1.0) ** reference.STEPS / c[0])
    networks: dict[str, Any] = {"f": model.f_seq, "π": model.policy, "p": model.p, "p̄": model.p_bar}
    weights = {name: (network.first.weight, network.last.weight) for name, network in networks.items()}
    f1, f2 = weights["f"]
    bend = {k: curvature(b, "tanh", a) for k, (a, b) in weights.items()}
    slope = {k: spectral_product([a, b], ["tanh"]) for k, (a, b) in weights.items()}
    through_policy = spectral_product([f1[:, nh + nz :], f2], ["tanh"])
    # ∂²[f(x, π(x))] = ∂²f[(1, ∂π), (1, ∂π)] + ∂_a f ∂²π, and p̄ = 0.2 + ½ σ(o).
    bend_f = bend["f"] * (1 + slope["π"] ** 2) + through_policy * bend["π"]
    bend_bar = 0.5 * (slope["p̄"] ** 2 / (6 * 3**0.5) + 0.25 * bend["p̄"])
    product_f = slope["f"] * (1 + slope["π"] ** 2) ** 0.5
    return Constants(
        drift=net.lipschitz(drift),
        diffusion=net.lipschitz(p_bar),
        product=((product_f**2 + slope["p"] ** 2) ** 0.5, 0.125 * slope["p̄"]),
        rate=candidates[0][1],
        step=step,
        weighted=weighted,
        whole_step=net.step_lipschitz(drift, dt),
        curvatures=((bend_f**2 + bend["p"] ** 2) ** 0.5, bend_bar),
    )


def through_hidden(net: SlopeNetwork, network: Any, form: Tensor) -> Tensor:
    """The form of one of the reference model's networks, without its last sigmoid."""
    return net.sequential([network.first, nn.Tanh(), network.last], form)


def _of_trained() -> Constants:
    from sdewm.worldmodel import load_trained

    agent, _ = load_trained()
    model = agent.world_model
    nh, nz = model.config.deter, model.config.stoch
    *layers, last = agent.actor.network
    assert isinstance(model.cell, nn.GRUCell) and isinstance(last, nn.Linear)
    cell = gru_lipschitz(plain_cell(model.cell))
    net = SlopeNetwork(nh + nz)
    mode = rows(last, slice(0, model.action_size))
    action = net.sequential([*layers, mode, nn.Tanh()], net.inputs)
    from_z = torch.cat([model.cell_from_z.weight, model.cell_from_a.weight], 1)
    cell_input = net.sequential([linear(from_z, model.cell_from_z.bias), nn.SiLU()], net.stack(net.inputs[nh:], action))
    # A standard deviation is 2 σ(r / 2) + least, r and the mean being the two halves of one linear map.
    prior, first, both = SlopeNetwork(nh), model.prior_hidden, model.prior_head.both
    to_mean, to_raw = rows(both, slice(0, nz)), rows(both, slice(nz, 2 * nz))
    hidden = prior.sequential([first, nn.SiLU()], prior.inputs)
    mean = prior.sequential([to_mean], hidden)
    std = 2.0 * prior.sequential([linear(0.5 * to_raw.weight, 0.5 * to_raw.bias), nn.Sigmoid()], hidden)
    box = torch.ones(nh, dtype=torch.float64)
    low, high = interval([first, nn.SiLU(), to_mean], -box, box)
    predict = prior.lipschitz(mean)
    # A standard deviation lies in (0.1, 2.1), whatever h.
    ceiling = saturation(1.0, nh, min(float((high - low).norm()), predict * 2 * nh**0.5), 2.0 * nz**0.5, 50)
    return Constants(
        step=StepConstants(
            state=cell.state + cell.input * net.lipschitz(cell_input, slice(0, nh)),
            from_latent=cell.input * net.lipschitz(cell_input, slice(nh, nh + nz)),
            predict=predict,
            noise=prior.lipschitz(std),
            keep=0.0,
            sequential=True,
        ),
        ceiling=ceiling,
    )


def plain_cell(cell: nn.GRUCell) -> nn.GRUCell:
    """torch's own cell with another's parameters: the model's differs from it in the axes that it takes."""
    plain = nn.utils.skip_init(nn.GRUCell, cell.input_size, cell.hidden_size, dtype=cell.weight_hh.dtype)
    plain.load_state_dict(cell.state_dict())
    return plain


def rows(layer: nn.Linear, which: slice) -> nn.Linear:
    """The linear layer that gives only some of another's outputs."""
    return linear(layer.weight[which], layer.bias[which])


def linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    """The linear layer of given numbers."""
    layer = nn.utils.skip_init(nn.Linear, weight.shape[1], weight.shape[0], dtype=weight.dtype)
    layer.load_state_dict({"weight": weight, "bias": bias})
    return layer
