"""Bounds on the divergence of rollouts whose constants are certified; :mod:`sdewm.divergence.bounds` has the proofs.

Theorem 4.1 leaves its constant free. These leave nothing free, so that they can be held against what is measured, and
the check says how far each is from it. A maximum over sampled Jacobians would look far better, and is no bound.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor

from sdewm.divergence.bounds import block_mean_squares, log_gronwall, mean_square, pathwise, supremum_from_mean_square
from sdewm.divergence.distances import distances
from sdewm.divergence.lipschitz import SlopeNetwork
from sdewm.estimate.estimates import Estimate, Values
from sdewm.estimate.samples import sample
from sdewm.exact import reference
from sdewm.noise.increments import Increments
from sdewm.systems.latent import LatentSDE
from sdewm.systems.rollout import LatentRollout
from sdewm.verification.report import Curve
from sdewm.verification.settings import Settings
from sdewm.verification.verdicts import Claimed, Inequality
from theory_checks.rollouts import LADDER, constants, measure, rollout_system, through_hidden

CLAIM = "certified_bounds"
ADDITIVE = "latent, leak and additive noise"
SYSTEMS = ("latent", "trained-step", ADDITIVE)
QUICK = ("latent", ADDITIVE)
# The error that saturation is seen with, and the one that the others are linear in.
LARGE, SMALL = LADDER[0], LADDER[-1]
LEAK = 4.0


def check(system: str, settings: Settings) -> list[Claimed]:
    if system == ADDITIVE:
        return _pathwise(settings)
    measured = measure(system, settings)
    times = [i for i in measured.system.times if i > 0]
    rows: list[Claimed] = []

    def add(quantity: str, name: str, bounds: list[float], values: dict[int, Values], delta: float) -> None:
        # Where the bound is tightest: it holds at every time asked for.
        logs = {i: math.log(float(values[i].mean())) - bounds[i] for i in times}
        i = max(logs, key=lambda k: logs[k])
        statistic = measured.log_estimate(values[i], math.exp(bounds[i]))
        ratios = {str(k): -v / math.log(10) for k, v in logs.items()}
        rows.append(Inequality(
            claim=CLAIM, system=system, quantity=quantity, form="corrected", reading=name, statistic=statistic,
            bound=0.0,
            numerical=0.0, scale=bounds[i],
            config={**measured.config, "‖ε‖": delta, "tightest after steps": i,
            "log10 bound/measured by steps": ratios},
        ))  # fmt: skip

    for name, (bounds, delta) in _bounds(system).items():
        values = {i: measured.divergence(delta, i) for i in times}
        add("log of E sup ‖x^ε − x⁰‖² over its bound", name, bounds, values, delta)
    for name, bounds in _mean_square_bounds(system).items():
        add("log of E ‖x^ε − x⁰‖² over its bound", name, bounds, {i: measured.at_time(i) for i in times}, SMALL)
    return rows


def curves(system: str, settings: Settings) -> list[Curve]:
    if system == ADDITIVE:
        largest, of = _measure_additive(settings), rollout_system("latent")
        squares = mean_square(_additive_rate(), of.grid.dt, of.grid.steps)
        x = [of.grid.time(i) for i in of.times]
        return [
            Curve(CLAIM, system, "max over paths of ‖x^ε − x⁰‖/‖ε‖", x, [largest[i] for i in of.times]),
            Curve(CLAIM, system, "certified, pathwise", x, [math.sqrt(squares[i]) for i in of.times]),
        ]
    measured = measure(system, settings)
    x = [float(i) for i in measured.system.times]
    estimates = [measured.estimate(measured.divergence(SMALL, i)) for i in measured.system.times]
    found_curves = [Curve(CLAIM, system, "log10 E sup ‖x^ε − x⁰‖²/‖ε‖² by steps, measured", x,
                          [math.log10(e.mean) for e in estimates],
                          [e.stderr / e.mean / math.log(10) for e in estimates], measured.config)]  # fmt: skip
    for name, (bounds, _) in _bounds(system).items():
        y = [bounds[i] / math.log(10) for i in measured.system.times]
        found_curves.append(Curve(CLAIM, system, f"log10 bound by steps, {name}", x, y, None, measured.config))
    return found_curves


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
            [log_gronwall(n * dt, *c.product) for n in range(steps + 1)], SMALL)  # fmt: skip
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
        found = distances(rollout, of.x0, LARGE * of.directions, of.grid, noise=noise).sqrt() / LARGE
        for i in of.times:
            largest[i] = max(largest.get(i, 0.0), float(found[:, i].max()))
        return {"end": found[0, -1]}

    sample(evaluate, settings.draw(of.paths, 0), of.channels, of.grid, of.x0)
    return largest


def _pathwise(settings: Settings) -> list[Claimed]:
    """‖Δx_n‖ ≤ (1 + 2νΔt)^{n/2} ‖ε‖ on every path, ν < 0: what a bound in ‖∂f‖ cannot say."""
    largest, rate, of = _measure_additive(settings), _additive_rate(), rollout_system("latent")
    squares = mean_square(rate, of.grid.dt, of.grid.steps)
    logs = {i: math.log(v) - 0.5 * math.log(squares[i]) for i, v in largest.items() if i > 0}
    worst = max(logs, key=lambda k: logs[k])
    config = {"ν": rate, "leak": LEAK, "paths": of.paths, "after steps": worst,
              "sup over time": pathwise(rate, of.grid.dt, of.grid.steps),
              "log bound/largest by steps": {str(k): -v for k, v in logs.items()}}  # fmt: skip
    return [
        Inequality(
            claim=CLAIM, system=ADDITIVE, quantity="log of ‖x^ε − x⁰‖ over its bound, largest of all paths",
            form="corrected", reading="pathwise", statistic=Estimate(logs[worst], 0.0, of.paths), bound=0.0,
            numerical=0.0, scale=1.0, config=config,
        ),
        Inequality(
            claim=CLAIM, system=ADDITIVE, quantity="certified rate of growth, negative where errors die out",
            form="corrected", reading="", statistic=Estimate(rate, 0.0, of.paths), bound=0.0, numerical=1e-9,
            scale=LEAK,
            config=config,
        ),
    ]  # fmt: skip


if __name__ == "__main__":
    import sys

    from theory_checks.run import main

    raise SystemExit(main([CLAIM, *sys.argv[1:]]))
