"""(18): E sup_t ‖Φ_t‖_F² ≤ Σ_k C exp(C E sup_t ‖∂g_k/∂x‖_F²).

Gronwall's lemma gives E exp(…), or exp(C ess sup …); with the expectation inside the exponential the bound fails for a
C that depends on T alone. Frozen random slopes show it: dx = a x dt, da = 0, x(0) = 0, a = M with probability M⁻² and 0
otherwise. Then ∂g_0 = diag(a, 0), E sup ‖∂g_0‖² = 1 whatever M is, and E sup ‖Φ‖_F² ≥ M⁻² exp(2MT). On one model any
such bound holds with some C. With the essential supremum, or a Lipschitz constant, it holds with constants that are
known.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor

from sdewm.divergence.bounds import log_gronwall, mean_square, supremum_from_mean_square
from sdewm.divergence.distances import fundamental_supremum, jacobian_suprema
from sdewm.divergence.lipschitz import SlopeNetwork
from sdewm.divergence.rollout_terms import smallest
from sdewm.estimate.estimates import Estimate
from sdewm.estimate.samples import Sample, sample
from sdewm.exact import reference
from sdewm.noise.grid import TimeGrid
from sdewm.noise.increments import Increments
from sdewm.solvers.methods import Method
from sdewm.systems.sde import SDE, noise_channels
from sdewm.verdicts.judge import Row
from sdewm.verdicts.record import Curve
from sdewm.verification.settings import Settings, pooled
from theory_checks.claim import Claim
from theory_checks.rollouts import constants, rollout_system
from theory_checks.rows import Rows, exact

FROZEN = "frozen slopes"
SLOPES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
OVER_BOUND = "log of E sup ‖Φ‖² over its bound"
TIMES = {"latent": (1, 2, 5, 10, 20, 35, 50, 70, 100), "trained-step": (1, 2, 3, 5, 10, 15)}


def check(rows: Rows, settings: Settings) -> Iterator[Row]:
    return _frozen(rows) if rows.system == FROZEN else _on_model(rows, settings)


def curves(rows: Rows, settings: Settings) -> Iterator[Curve]:
    if rows.system == FROZEN:
        yield rows.curve("E sup ‖Φ‖² over M", SLOPES, map(frozen_supremum, SLOPES))
        yield rows.curve("E sup ‖∂g‖² over M", SLOPES, [1.0 for _ in SLOPES])
        bound = [math.exp(_log_frozen_bound(m)) for m in SLOPES]
        yield rows.curve("n exp(2 ess sup ‖∂g‖₂ T) over M", SLOPES, bound)
        return
    found, steps, grid = _measure(rows.system, settings), TIMES[rows.system], _problem(rows.system)[2]
    times = [grid.time(i) - grid.t0 for i in steps]
    estimates = [found.estimate(i) for i in steps]
    fitted = _smallest_constant(estimates[-1].mean, *_jacobians(found))
    printed = [_printed(fitted, *_jacobians(found)) for _ in steps]
    yield rows.curve("E sup ‖Φ‖² over T, measured", times, estimates)
    yield rows.curve("E sup ‖Φ‖² over T, (18) with the smallest C for all T", times, printed)
    for name, b in _bounds(rows.system).items():
        yield rows.curve(f"log10 E sup ‖Φ‖² over T, {name}", times, [b[i] / math.log(10) for i in steps])


def _on_model(rows: Rows, settings: Settings) -> Iterator[Row]:
    found, steps, grid = _measure(rows.system, settings), TIMES[rows.system], _problem(rows.system)[2]
    measured = found.estimate(steps[-1])
    drift, diffusion = _jacobians(found)
    constant = _smallest_constant(measured.mean, drift, diffusion)
    beyond = _smallest_constant(measured.mean + measured.stderr, drift, diffusion)
    config = {
        "steps": grid.steps,
        "horizon": grid.t1 - grid.t0,
        "paths": found.paths,
        "E sup ‖Φ‖²": measured.mean,
        "E sup ‖∂g_0‖²": drift,
        "E sup Σ‖∂g_k‖²": diffusion,
        "log10 of (18) with C = 1 over E sup ‖Φ‖²": max(drift, diffusion) / math.log(10) - math.log10(measured.mean),
    }
    smallest_c = Estimate(constant, beyond - constant, found.paths, measured.dof, found.seed)
    yield rows.at_most("smallest C of (18)", "printed", "", smallest_c, vacuous=True, config=config)
    for name, bound in _bounds(rows.system).items():
        # The time at which the bound is tightest; it holds at all of them.
        logs = {i: math.log(found.estimate(i).mean) - bound[i] for i in steps}
        i = max(logs, key=lambda k: logs[k])
        e = found.estimate(i)
        yield rows.at_most(
            OVER_BOUND,
            "corrected",
            name,
            Estimate(logs[i], e.stderr / e.mean, e.n, e.dof, e.seed),
            scale=bound[i],
            config={**config, "after steps": i},
        )


def frozen_supremum(m: float, horizon: float = 1.0, steps: int | None = None) -> float:
    """E sup_{t ≤ T} ‖Φ_t‖_F² of the frozen slopes, exactly; on the Euler grid with so many ``steps``.

    Φ = diag(exp(at), 1), at x = 0.
    """
    top = math.exp(2 * m * horizon) if steps is None else (1 + m * horizon / steps) ** (2 * steps)
    return (top + 1) / m**2 + 2 * (1 - 1 / m**2)


def _log_frozen_bound(m: float) -> float:
    return math.log(2) + 2 * m


def _frozen(rows: Rows) -> Iterator[Row]:
    quotients = [frozen_supremum(m) for m in SLOPES]
    config = {"a": "M with probability M⁻², else 0", "M": SLOPES, "E sup ‖Φ‖²": quotients, "E sup ‖∂g‖²": 1.0}
    # Were there a C, the logarithm would be bounded; between the last two M it rises by this much for each unit.
    rate = exact(math.log(quotients[-1] / quotients[-2]) / (SLOPES[-1] - SLOPES[-2]), len(SLOPES))
    quantity = "growth of log E sup ‖Φ‖² in M, E sup ‖∂g‖² = 1"
    yield rows.at_most(quantity, "printed", "", rate, scale=2.0, config=config)
    for m, value in zip(SLOPES, quotients, strict=True):
        bound = _log_frozen_bound(m)
        yield rows.at_most(
            OVER_BOUND,
            "corrected",
            f"n exp(2 ess sup ‖∂g‖₂ T), M = {m:g}",
            exact(math.log(value) - bound, 2),
            numerical=1e-12,
            scale=bound,
            config=config,
        )


@pooled
def _measure(system: str, settings: Settings, round: int) -> Sample:
    """E sup of the Jacobians' squares, and by step of ‖Φ‖² up to it."""
    sde, x0, grid, method = _problem(system)

    def evaluate(noise: Increments) -> dict[str | int, Tensor]:
        phi = fundamental_supremum(sde, x0, grid, method=method, noise=noise)
        drift, diffusion = jacobian_suprema(sde, x0, grid, method=method, noise=noise)
        return {"drift": drift, "diffusion": diffusion} | {i: phi[i] for i in TIMES[system]}

    channels = noise_channels(sde, torch.as_tensor(grid.t0, dtype=x0.dtype), x0[None])
    return sample(evaluate, settings.draw(settings.paths(2**8), round), channels, grid, x0)


@cache
def _problem(system: str) -> tuple[SDE, Tensor, TimeGrid, Method]:
    """The whole reference model (5)–(8); the trained model's rollout, whose step is its own."""
    if system == "latent":
        grid = TimeGrid(0.0, reference.HORIZON, reference.STEPS)
        return reference.latent_model(), reference.initial_state(), grid, "euler"
    of = rollout_system(system)
    return of.rollout, of.x0, of.until_horizon, of.method


@cache
def _bounds(system: str) -> dict[str, list[float]]:
    """Logarithms of certified bounds on E sup_{k ≤ n} ‖Φ_k‖_F²: a column of Φ is a limit of difference quotients."""
    _, x0, grid, _ = _problem(system)
    if system == "trained-step":
        of, model = constants(system), rollout_system(system)
        columns = [(model.rollout.model.sizes.h, (1.0, 0.0)), (model.rollout.model.sizes.z_tilde, (0.0, 1.0))]
        totals = [0.0] * (grid.steps + 1)
        for count, start in columns:
            totals = [t + count * b for t, b in zip(totals, of.supremum(model, start), strict=False)]
        return {"block by block": [math.log(t) for t in totals]}
    n = len(x0)
    a, b, rate = _whole_constants(grid.dt)
    squares = mean_square(rate, grid.dt, grid.steps)
    return {
        "3n exp(3 (T a² + 4 b²) T)": [math.log(n) + log_gronwall(i * grid.dt, a, b) for i in range(grid.steps + 1)],
        "from the mean square": [math.log(n * s) for s in supremum_from_mean_square(squares, grid.dt, a, b)],
    }


def _whole_constants(dt: float) -> tuple[float, float, float]:
    """a, b and ν of the whole reference model."""
    model = reference.latent_model()
    net = SlopeNetwork(sum(model.sizes))
    z, h, z_tilde = (net.inputs[s] for s in model.block_slices[:3])

    def through(network: Any, *forms: Tensor) -> Tensor:
        # A map that sees the observation too has more columns than what depends on the state: these are the first.
        first = network.first.weight[:, : sum(map(len, forms))]
        hidden = net.layer(first @ net.stack(*forms), "tanh")
        out = net.sequential([network.last], hidden)
        return 0.5 * net.layer(out, "sigmoid") if network.positive else out

    f = through(model.f_seq, h, z, through(model.policy, h, z))
    drift = net.stack(through(model.q_enc, h), f, through(model.p, h), through(model.q_dec, h, z_tilde))
    diffusion = net.stack(
        through(model.q_enc_bar, h), 0 * h, through(model.p_bar, h), through(model.q_dec_bar, h, z_tilde)
    )
    drift = net.pad(drift)
    return net.lipschitz(drift), net.lipschitz(diffusion), net.mean_square_rate(drift, diffusion, dt=dt)


def _jacobians(found: Sample) -> tuple[float, float]:
    return float(found["drift"].mean()), float(found["diffusion"].mean())


def _printed(constant: float, drift: float, diffusion: float) -> float:
    return constant * (math.exp(min(constant * drift, 700.0)) + math.exp(min(constant * diffusion, 700.0)))


def _smallest_constant(value: float, drift: float, diffusion: float) -> float:
    """The C with Σ_k C exp(C E sup ‖∂g_k‖²) = value."""
    return smallest(lambda c: _printed(c, drift, diffusion) >= value)


CLAIM = Claim(
    "fundamental_matrix_bound",
    ("(18)", "(56)"),
    (*TIMES, FROZEN),
    check,
    curves,
    quick=("latent", FROZEN),
    seconds={"trained-step": 4.0},
)
