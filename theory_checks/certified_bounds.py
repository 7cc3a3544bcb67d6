"""Bounds on the divergence of rollouts whose constants are certified; :mod:`sdewm.divergence.bounds` has the proofs.

Theorem 4.1 leaves its constant free. These bounds have no free constant, so that measurements can refute them; the
check also reports how far above the measurements they are. A maximum over sampled Jacobians would be much closer, and
is no bound. Most are certified for all paths. Those along each sampled path hold for the noise that was drawn and no
other: :mod:`sdewm.divergence.path_bounds` has their proof, and how sharp they are is checked too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from sdewm.arrays import Array
from sdewm.divergence.bounds import block_mean_squares, log_gronwall, mean_square, pathwise, supremum_from_mean_square
from sdewm.divergence.distances import distances
from sdewm.divergence.lipschitz import SlopeNetwork
from sdewm.divergence.path_bounds import certify
from sdewm.estimate.estimates import Estimate
from sdewm.estimate.samples import sample
from sdewm.exact import reference
from sdewm.noise.increments import Increments, StoredIncrements
from sdewm.systems.latent import LatentSDE
from sdewm.systems.rollout import LatentRollout
from sdewm.verdicts.judge import Row
from sdewm.verdicts.record import Curve
from sdewm.verification.settings import Settings
from theory_checks.claim import Claim
from theory_checks.rollouts import LADDER, constants, rollout_system, sample_rollouts, through_hidden
from theory_checks.rows import Rows, exact

ADDITIVE = "latent, leak and additive noise"
# The error that saturation is seen with, and the one that the others are linear in.
LARGE, SMALL = LADDER[0], LADDER[-1]
LEAK = 4.0
# ‖ε‖ that bounds along paths are for, how many paths, and what their mean is held to be at most, over what is measured.
ALONG, PATHS, SHARP = (LADDER[-1], LADDER[-1] / 4), 16, 1.5


def check(rows: Rows, settings: Settings) -> Iterator[Row]:
    if rows.system == ADDITIVE:
        yield from _pathwise(rows, settings)
        return
    measured = sample_rollouts(rows.system, settings)
    times = [i for i in measured.system.times if i > 0]

    def row(quantity: str, name: str, bounds: list[float], values: dict[int, Array], delta: float) -> Row:
        # Where the bound is tightest: it holds at every time asked for.
        logs = {i: math.log(float(values[i].mean())) - bounds[i] for i in times}
        i = max(logs, key=lambda k: logs[k])
        ratios = {str(k): -v / math.log(10) for k, v in logs.items()}
        return rows.at_most(
            quantity, "corrected", name, measured.log_estimate(values[i], math.exp(bounds[i])), scale=bounds[i],
            config={**measured.config, "‖ε‖": delta, "tightest after steps": i,
                    "log10 bound/measured by steps": ratios},
        )  # fmt: skip

    for name, (bounds, delta) in _bounds(rows.system).items():
        values = {i: measured.divergence(delta, i) for i in times}
        yield row("log of E sup ‖x^ε − x⁰‖² over its bound", name, bounds, values, delta)
    yield from _along_paths(rows, settings)
    for name, bounds in _mean_square_bounds(rows.system).items():
        values = {i: measured.at_time(i) for i in times}
        yield row("log of E ‖x^ε − x⁰‖² over its bound", name, bounds, values, SMALL)


def curves(rows: Rows, settings: Settings) -> Iterator[Curve]:
    if rows.system == ADDITIVE:
        largest, of = _measure_additive(settings), rollout_system("latent")
        squares = mean_square(_additive_rate(), of.grid.dt, of.grid.steps)
        x = [of.grid.time(i) for i in of.times]
        yield rows.curve("max over paths of ‖x^ε − x⁰‖/‖ε‖", x, [largest[i] for i in of.times])
        yield rows.curve("certified, pathwise", x, [math.sqrt(squares[i]) for i in of.times])
        return
    measured = sample_rollouts(rows.system, settings)
    times, config = measured.system.times, measured.config
    steps = list(map(float, times))
    estimates = [measured.estimate(measured.divergence(SMALL, i)) for i in times]
    logs = [Estimate(math.log10(e.mean), e.stderr / e.mean / math.log(10), e.n) for e in estimates]
    yield rows.curve("log10 E sup ‖x^ε − x⁰‖²/‖ε‖² by steps, measured", steps, logs, config)
    for name, (bounds, _) in _bounds(rows.system).items():
        yield rows.curve(f"log10 bound by steps, {name}", steps, [bounds[i] / math.log(10) for i in times], config)


def _along_paths(rows: Rows, settings: Settings) -> Iterator[Row]:
    """No path is further from its own than its bound says, nor nearer; and the bounds are little above what is met."""
    along, of = _measure_along_paths(rows.system, settings), rollout_system(rows.system)
    config = {
        "statement": "certified on each sampled path",
        "paths": along.paths,
        "steps": of.horizon,
        "bound/measured by ‖ε‖": {str(c): math.exp(v) for c, v in along.sharpness.items()},
    }
    for name, value in (("upper bound", along.beyond), ("lower bound", along.short)):
        yield rows.at_most(
            "log of ‖x^ε − x⁰‖² beyond its bound, most of all paths and steps",
            "corrected",
            name,
            exact(value, along.paths),
            numerical=1e-13,
            scale=1.0,
            config=config,
        )
    yield rows.at_most(
        "log of the mean bound along paths over E sup ‖x^ε − x⁰‖²",
        "corrected",
        f"‖ε‖ = {ALONG[0]:g}",
        exact(along.sharpness[ALONG[0]], along.paths),
        math.log(SHARP),
        scale=1.0,
        config=config,
    )


class AlongPaths(NamedTuple):
    """Bounds along paths beside what is measured on them, from the first step to the horizon.

    ``beyond`` is the largest log of the squared distance over its upper bound, ``short`` that of the lower bound over
    the squared distance; ``sharpness`` is the log of the mean upper bound over the mean squared distance, by ‖ε‖.
    """

    paths: int
    beyond: float
    short: float
    sharpness: dict[float, float]


@cache
def _measure_along_paths(system: str, settings: Settings) -> AlongPaths:
    of = rollout_system(system)
    perturbations = torch.cat([c * of.directions for c in ALONG])
    worst = {"beyond": -math.inf, "short": -math.inf}

    def evaluate(noise: Increments) -> dict[tuple[str, float], Tensor]:
        drawn = StoredIncrements(torch.stack(list(noise)))
        found = certify(of.rollout, of.x0, of.until_horizon, perturbations=perturbations, method=of.method, noise=drawn)
        squared = distances(
            of.rollout, of.x0, of.until_horizon, perturbations=perturbations, method=of.method, noise=drawn
        )
        upper, lower = found.upper.square(), found.lower.square()
        worst["beyond"] = max(worst["beyond"], float((squared / upper)[:, 1:].log().max()))
        worst["short"] = max(worst["short"], float((lower / squared)[:, 1:].log().max()))
        at = {"bound": upper.amax(1), "measured": squared.amax(1)}
        means = {name: value.unflatten(0, (len(ALONG), -1)).mean(1) for name, value in at.items()}
        return {(name, c): value[k] for name, value in means.items() for k, c in enumerate(ALONG)}

    drawn = sample(evaluate, settings.draw(PATHS, 0), of.channels, of.until_horizon, of.x0)
    sharpness = {c: math.log(float(drawn["bound", c].mean()) / float(drawn["measured", c].mean())) for c in ALONG}
    return AlongPaths(drawn.paths, worst["beyond"], worst["short"], sharpness)


@cache
def _bounds(system: str) -> dict[str, tuple[list[float], float]]:
    """Logarithms of the bounds on E sup_{k ≤ n} ‖Δx_k‖²/‖ε‖², n = 0..steps, and the ‖ε‖ that each is held against."""
    of, c = rollout_system(system), constants(system)
    steps, dt = of.grid.steps, of.grid.dt
    blocks = [math.log(b) for b in c.supremum(of)]
    found = {"block by block": (blocks, SMALL)}
    if c.drift is not None and c.diffusion is not None and c.product is not None and c.rate is not None:
        a, b = c.drift, c.diffusion
        squares = mean_square(c.rate, dt, steps)
        found["Gronwall, products of spectral norms"] = (
            [log_gronwall(n * dt, *c.product) for n in range(steps + 1)],
            SMALL,
        )
        found["Gronwall, certified by multipliers"] = ([log_gronwall(n * dt, a, b) for n in range(steps + 1)], SMALL)
        supremum = supremum_from_mean_square(squares, dt, a, b)
        found["from the mean square"] = ([math.log(s) for s in supremum], SMALL)
    if math.isfinite(c.ceiling):
        ceiling = math.log(c.ceiling + LARGE**2) - 2 * math.log(LARGE)
        found["block by block, or what no error exceeds"] = ([min(b, ceiling) for b in blocks], LARGE)
    return found


def _mean_square_bounds(system: str) -> dict[str, list[float]]:
    """Logarithms of the bounds on E‖Δx_n‖²/‖ε‖² at each time by itself."""
    of, c = rollout_system(system), constants(system)
    u, v = block_mean_squares(c.step, of.grid.steps, (0.0, 1.0))
    found = {"block by block": [2 * math.log(math.hypot(*pair)) for pair in zip(u, v, strict=True)]}
    if c.rate is not None:
        found["exp(2νt)"] = [math.log(s) for s in mean_square(c.rate, of.grid.dt, of.grid.steps)]
    return found


def additive_rollout() -> LatentRollout:
    """The reference model with a leak and p̄ constant: what is left of Theorem 4.1 where errors die out."""
    model = reference.latent_model()
    size = model.sizes.z_tilde
    return LatentRollout(LatentSDE(
        q_enc=model.q_enc, q_enc_bar=model.q_enc_bar, f=model.f_seq, p=model.p,
        p_bar=lambda h: torch.full((1, size), 0.4, dtype=torch.float64),
        q_dec=model.q_dec, policy=model.policy, observation=reference.observation, sizes=model.sizes, leak=LEAK,
    ))  # fmt: skip


@cache
def _additive_rate() -> float:
    """ν of the whole state, in the Euclidean metric: a bound on its logarithmic norm, in the limit Δt → 0."""
    model, dt = additive_rollout().model, rollout_system("latent").grid.dt
    net = SlopeNetwork(model.sizes.h + model.sizes.z_tilde)
    x, h = net.inputs, net.inputs[: model.sizes.h]
    f = through_hidden(net, model.f_seq, net.stack(x, through_hidden(net, model.policy, x)))
    drift = net.stack(f, through_hidden(net, model.p, h)) - LEAK * net.pad(x)
    return net.mean_square_rate(drift, dt=dt)


@cache
def _measure_additive(settings: Settings) -> dict[int, float]:
    """The largest ‖x^ε − x⁰‖/‖ε‖ over paths and directions, by steps."""
    of, rollout = rollout_system("latent"), additive_rollout()
    largest: dict[int, float] = {}

    def evaluate(noise: Increments) -> dict[str, Tensor]:
        found = distances(rollout, of.x0, of.grid, perturbations=LARGE * of.directions, noise=noise).sqrt() / LARGE
        for i in of.times:
            largest[i] = max(largest.get(i, 0.0), float(found[:, i].max()))
        return {"end": found[0, -1]}

    sample(evaluate, settings.draw(of.paths, 0), of.channels, of.grid, of.x0)
    return largest


def _pathwise(rows: Rows, settings: Settings) -> list[Row]:
    """‖Δx_n‖ ≤ (1 + 2νΔt)^{n/2} ‖ε‖ on every path, ν < 0: what a bound in ‖∂f‖ cannot say."""
    largest, rate, of = _measure_additive(settings), _additive_rate(), rollout_system("latent")
    squares = mean_square(rate, of.grid.dt, of.grid.steps)
    logs = {i: math.log(v) - 0.5 * math.log(squares[i]) for i, v in largest.items() if i > 0}
    worst = max(logs, key=lambda k: logs[k])
    config = {
        "ν": rate,
        "leak": LEAK,
        "paths": of.paths,
        "after steps": worst,
        "sup over time": pathwise(rate, of.grid.dt, of.grid.steps),
        "log bound/largest by steps": {str(k): -v for k, v in logs.items()},
    }
    return [
        rows.at_most(
            "log of ‖x^ε − x⁰‖ over its bound, largest of all paths", "corrected", "pathwise",
            exact(logs[worst], of.paths), scale=1.0, config=config,
        ),
        rows.at_most(
            "certified rate of growth, negative where errors die out", "corrected", "", exact(rate, of.paths),
            numerical=1e-9, scale=LEAK, config=config,
        ),
    ]  # fmt: skip


CLAIM = Claim(
    "certified_bounds",
    ("Theorem 4.1",),
    ("latent", "trained-step", ADDITIVE),
    check,
    curves,
    quick=("latent", ADDITIVE),
    seconds={"trained-step": 12.0, "latent": 8.0},
)
