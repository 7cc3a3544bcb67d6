"""Proposition B.1: given h and s, z_t is Gaussian with mean ∫q_enc ds and variance ∫q̄_enc² ds, for z_0 = 0.

It holds for inputs that are known functions of time, as in the proof ("frozen"). It holds for the conditional law given
h and s where these do not depend on z. In (5)–(8) h depends on z, and its path gives information about z: with f̄ = 0
and f one-to-one in z the derivative of h determines z, and the conditional variance is zero. The law of z alone is a
mixture of Gaussians.
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from sdewm.arrays import Array
from sdewm.estimate.estimates import Estimate
from sdewm.estimate.goodness_of_fit import distance, paths_for
from sdewm.estimate.samples import Sample, richardson, sample
from sdewm.exact import reference
from sdewm.exact.known_inputs import KnownInputs, conditional_variance, record_inputs
from sdewm.expansion.forms import Form
from sdewm.noise.grid import TimeGrid
from sdewm.noise.increments import Increments, StoredIncrements
from sdewm.noise.samplers import MonteCarlo
from sdewm.solvers.loop import trajectory
from sdewm.solvers.solve import solve
from sdewm.systems.sde import FunctionSDE
from sdewm.verdicts.judge import Row
from sdewm.verification.settings import Settings, pooled
from theory_checks.claim import Claim
from theory_checks.rows import Rows, exact

SYSTEMS = ("latent-frozen", "random-inputs", "h-drift-depends-on-z", "h-diffusion-depends-on-z", "h-independent-of-z")
STEPS = 64
UNIT = TimeGrid(0.0, 1.0, STEPS)
# A distance between distribution functions of 0.01 is what 3 to 4 % of a standard deviation make.
DEVIATION = 0.01
SIGNIFICANCE = 1e-6


def check(rows: Rows, settings: Settings) -> Iterator[Row]:
    if rows.system == SYSTEMS[0]:
        return _frozen_rows(rows, settings)
    if rows.system == SYSTEMS[1]:
        return _mixture_rows(rows, settings)
    return _conditional_rows(rows, settings)


# -- frozen inputs


def _frozen_rows(rows: Rows, settings: Settings) -> Iterator[Row]:
    """Every one-dimensional law that a Gaussian process has, at three times and across them."""
    inputs, z, times = _frozen_sample(settings)
    deviation = DEVIATION * math.sqrt(settings.precision / 1e-3)
    mean = torch.cat([inputs.mean(i) for i in times]).numpy()
    covariance = np.block([[inputs.covariance(i, j).numpy() for j in times] for i in times])
    config = {"steps": STEPS, "deviation": deviation, "false-failure rate": SIGNIFICANCE, **_bias(settings)}
    names = [f"z{c + 1}({inputs.grid.time(i):g})" for i in times for c in range(inputs.drift.shape[1])]
    weights = np.random.default_rng(settings.seed).standard_normal((2, len(mean)))
    functionals = {
        **{name: unit for name, unit in zip(names, np.eye(len(mean)), strict=True)},
        **{f"linear functional {i + 1} of z at three times": w for i, w in enumerate(weights)},
    }
    for name, w in functionals.items():
        standard = (z @ w - w @ mean) / math.sqrt(w @ covariance @ w)
        yield rows.equal(
            f"law of {name}: distance to the Gaussian",
            "printed",
            "h, s frozen",
            distance(stats.norm.cdf(standard), settings.seed),
            margin=deviation,
            config=config,
        )
    centred = z - mean
    squared = np.einsum("pi,pi->p", centred, np.linalg.solve(covariance, centred.T).T)
    yield rows.equal(
        "joint law at three times: distance of the squared radius to χ²",
        "printed",
        "h, s frozen",
        distance(stats.chi2.cdf(squared, len(mean)), settings.seed),
        margin=deviation,
        config=config,
    )
    size = math.sqrt(covariance[-1, -1])
    n = len(z)
    last = z[:, -1]
    for quantity, estimate, truth, scale in (
        ("mean", Estimate(float(last.mean()), size / n**0.5, n, seed=settings.seed), mean[-1], size),
        (
            "variance",
            Estimate(float(((last - mean[-1]) ** 2).mean()), size**2 * (2 / n) ** 0.5, n, seed=settings.seed),
            size**2,
            size**2,
        ),
    ):
        yield rows.equal(
            f"{quantity} of {names[-1]}",
            "printed",
            "h, s frozen",
            estimate,
            float(truth),
            margin=2 * deviation * scale,
            scale=scale,
            config=config,
        )


@cache
def _inputs() -> KnownInputs:
    """h and s of one run of the reference model, on a grid four times as fine as that of z, with z0 = 0."""
    model, fine = reference.latent_model(), TimeGrid(0.0, reference.HORIZON, 4 * STEPS)
    x0 = reference.initial_state().clone()
    x0[model.block_slices.z] = 0
    channels = model.noise_channels(torch.zeros((), dtype=x0.dtype), x0[None])
    generator = torch.Generator().manual_seed(0)
    noise = fine.dt**0.5 * torch.randn(fine.steps, 1, channels, generator=generator, dtype=x0.dtype)
    return record_inputs(model, x0, fine, noise=noise)


def _bias(settings: Settings) -> dict[str, object]:
    """How far the grid's sums are from the integrals ∫q ds and ∫q̄² ds: those on the grid of the recording."""
    fine, coarse = _inputs(), _inputs().coarsen(4)
    mean = coarse.mean(STEPS) - fine.mean(4 * STEPS)
    variance = coarse.covariance(STEPS, STEPS) - fine.covariance(4 * STEPS, 4 * STEPS)
    return {"bias of the mean": float(mean.abs().max()), "bias of the variance": float(variance.abs().max())}


@cache
def _frozen_sample(settings: Settings) -> tuple[KnownInputs, Array, tuple[int, ...]]:
    inputs = _inputs().coarsen(4)
    times = (STEPS // 4, STEPS // 2, STEPS)
    n, m = inputs.diffusion.shape[1:]
    paths = settings.paths(paths_for(DEVIATION, SIGNIFICANCE))
    generator = torch.Generator().manual_seed(settings.seed)
    start, parts = torch.zeros(n, dtype=inputs.drift.dtype), []
    for first in range(0, paths, 2**14):
        count = min(2**14, paths - first)
        noise = inputs.grid.dt**0.5 * torch.randn(STEPS, count, m, generator=generator, dtype=start.dtype)
        path = solve(inputs, start, inputs.grid, noise=noise, save="path")
        parts.append(torch.cat([path[i] for i in times], -1))
    return inputs, torch.cat(parts).numpy(), times


# -- random inputs that do not depend on z


def _mixture_rows(rows: Rows, settings: Settings) -> Iterator[Row]:
    """dz = q̄(h) dB, dh = −h dt + dW: Gaussian given h, a mixture without."""
    found = _mixture_sample(rows.system, settings)
    measured = found["z⁴"] / found["z²"].mean() ** 2 - 3
    predicted = 3 * (found["v²"] / found["v"].mean() ** 2 - 1)
    size, kurtosis, config = float(predicted.mean()), _kurtosis(found), {"steps": STEPS}
    yield rows.at_most(
        "z is not Gaussian: minus its excess kurtosis below 0",
        "printed",
        "z without h and s",
        replace(kurtosis, mean=-kurtosis.mean),
        scale=size,
        config=config,
    )
    yield rows.equal(
        "excess kurtosis of z less 3 Var(∫q̄²)/(E∫q̄²)²",
        "corrected",
        "mixture over h",
        found.estimate(measured - predicted),
        margin=0.5 * size,
        scale=size,
        config=config,
    )
    generator = torch.Generator().manual_seed(settings.seed)
    shape = (STEPS, settings.paths(2**16), 2)
    noise = UNIT.dt**0.5 * torch.randn(shape, generator=generator, dtype=torch.float64)
    z, variance = _mixture(StoredIncrements(noise))
    yield rows.equal(
        "law of z/√∫q̄²: distance to the Gaussian",
        "printed",
        "given h, which does not hear from z",
        distance(stats.norm.cdf((z / variance.sqrt()).numpy()), settings.seed),
        margin=2 * DEVIATION * math.sqrt(settings.precision / 1e-3),
        config=config,
    )


@pooled
def _mixture_sample(system: str, settings: Settings, round: int) -> Sample:
    def evaluate(noise: Increments) -> dict[str, Tensor]:
        z, variance = _mixture(noise)
        return {"z²": z**2, "z⁴": z**4, "v": variance, "v²": variance**2}

    # A fourth moment of a mixture needs them even where the precision asks for less.
    drawn = MonteCarlo(max(2**17, settings.paths(2**17)), settings.stream(round))
    return sample(evaluate, drawn, 2, UNIT, torch.zeros(2, dtype=torch.float64))


def _mixture(noise: Increments) -> tuple[Tensor, Tensor]:
    """z at the end, and ∫q̄² ds along its own h."""
    mixture = FunctionSDE(
        lambda t, x: torch.stack([torch.zeros_like(x[:, 0]), -x[:, 1]], -1),
        lambda t, x: torch.stack([_spread(x[:, 1]), torch.ones_like(x[:, 1])], -1),
    )
    variance = torch.zeros(noise.paths, dtype=torch.float64)
    start = x = torch.zeros(2, dtype=torch.float64)
    for i, _, x in trajectory(mixture, start, UNIT, method="euler", noise=noise):
        if i < STEPS:
            variance = variance + _spread(x[:, 1]) ** 2 * UNIT.dt
    return x[:, 0], variance


def _spread(h: Tensor) -> Tensor:
    """q̄(h)."""
    return 0.2 + torch.sigmoid(2 * h)


def _kurtosis(found: Sample) -> Estimate:
    """The excess kurtosis, by the jackknife over replicates."""
    second, fourth = found["z²"], found["z⁴"]
    n = len(second)

    def left_out(v: Array) -> Array:
        return (v.sum() - v) / (n - 1)

    values = left_out(fourth) / left_out(second) ** 2 - 3
    stderr = math.sqrt((n - 1) / n * float(((values - values.mean()) ** 2).sum()))
    return Estimate(float(fourth.mean() / second.mean() ** 2 - 3), stderr, found.paths, n - 1, found.seed)


# -- the conditional law, read literally


def _conditional_rows(rows: Rows, settings: Settings) -> Iterator[Row]:
    """Var(z_T | h) for dz = dB, exact on three grids and extrapolated; as printed ∫q̄² ds = T.

    h is dh = z dt, the same with a noise ½ dW of its own, or dh = −h dt + dW with dz = h dt + dB. With noise c dW the
    filter's Riccati equation P' = 1 − P²/c² gives c tanh(T/c).
    """
    horizon, c = 1.0, 0.5
    heard = np.array([[0.0, 0.0], [1.0, 0.0]])
    drift, diffusion, truth = {
        SYSTEMS[2]: (heard, np.array([[1.0], [0.0]]), 0.0),
        SYSTEMS[3]: (heard, np.array([[1.0, 0.0], [0.0, c]]), c * math.tanh(horizon / c)),
        SYSTEMS[4]: (np.array([[0.0, 1.0], [0.0, -1.0]]), np.eye(2), horizon),
    }[rows.system]
    steps = (64, 32, 16)
    limit, change = richardson([np.array([conditional_variance(drift, diffusion, horizon, n)]) for n in steps])
    value = exact(float(limit[0]), 1, settings.seed)
    readings: tuple[tuple[Form, str, float], ...] = (
        ("printed", "conditional law given h", horizon),
        ("corrected", "filter", truth),
    )
    for form, reading, expected in readings:
        yield rows.equal(
            "Var(z | h)", form, reading, value, expected, numerical=change + 1e-12, margin=1e-3,
            scale=horizon, config={"steps": list(steps)},
        )  # fmt: skip


CLAIM = Claim("proposition_b1", ("Proposition B.1", "(27)"), SYSTEMS, check, seconds={"random-inputs": 4.0})
