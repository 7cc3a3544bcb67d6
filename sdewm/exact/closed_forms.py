"""Closed forms: geometric Brownian motion and the Ornstein–Uhlenbeck process."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from sdewm import arguments
from sdewm.exact.algebra import (
    EPS_A,
    EPS_B,
    ONE,
    Coefficients,
    Polynomial,
    add,
    compose,
    exponential,
    floats,
    product,
    raised,
    reciprocal,
    scale,
)
from sdewm.exact.checks import array, degree_of, horizon_of, real_number, steps_of


def gbm_coefficients(
    *,
    mu: float,
    sigma: float,
    nu: float,
    tau: float,
    x0: float,
    horizon: float,
    power: int = 2,
    steps: int | None = None,
    degree: int = 3,
) -> Coefficients:
    """Coefficients of E x_T^p for dx = (μ + ε_b ν) x dt + (σ + ε_a τ) x dB.

    Continuous time: x0^p exp((p μ + ½ p (p−1) σ²) T). Euler–Maruyama: x0^p (E(1 + μ Δt + σ √Δt Z)^p)^N with a
    standard normal Z, which for p = 2 is x0² ((1 + μ Δt)² + σ² Δt)^N. ``power`` is p ≥ 1.
    """
    power, steps, degree = arguments.integer("power", power, 1), steps_of(steps), degree_of(degree)
    horizon = horizon_of(horizon)
    drift = {ONE: real_number("mu", mu), EPS_B: real_number("nu", nu)}
    noise = {ONE: real_number("sigma", sigma), EPS_A: real_number("tau", tau)}
    start = real_number("x0", x0)
    variance = product(noise, noise, degree)
    if steps is None:
        rate = add((scale(drift, power), scale(variance, power * (power - 1) / 2)))
        mean = exponential(scale(rate, horizon), degree)
    else:
        dt = horizon / steps
        growth = add(({ONE: 1.0}, scale(drift, dt)))
        step = add(
            scale(
                product(raised(growth, power - 2 * j, degree), raised(scale(variance, dt), j, degree), degree),
                math.comb(power, 2 * j) * math.prod(range(1, 2 * j, 2)),  # E Z^2j = (2j − 1)!!
            )
            for j in range(power // 2 + 1)
        )
        mean = raised(step, steps, degree)
    return floats(scale(mean, start**power), degree)


def ou_coefficients(
    *,
    theta: float,
    mean: float,
    s: float,
    drift_error: tuple[float, float],
    noise_error: float,
    x0: float,
    horizon: float,
    loss: Literal["x", "x^2", "cos x"] = "x^2",
    steps: int | None = None,
    degree: int = 3,
) -> Coefficients:
    """Coefficients of E L(x_T) for dx = (−θ (x − mean) + ε_b (d0 + d1 x)) dt + (s + ε_a τ) dB.

    x_T is normal. With κ = θ − ε_b d1 and c = θ mean + ε_b d0, in continuous time r = e^{−κT} and

        E x_T = r x0 + c (1 − r)/κ ,    Var x_T = (s + ε_a τ)² (1 − r²)/(2κ) ,

    and on the Euler–Maruyama grid r = (1 − κ Δt)^N with 2κ − κ² Δt for the 2κ of the variance.

    Parameters
    ----------
    drift_error : (d0, d1). noise_error : τ.
    """
    steps, degree, horizon = steps_of(steps), degree_of(degree), horizon_of(horizon)
    decline, start = real_number("theta", theta), real_number("x0", x0)
    if decline == 0:
        raise ValueError("theta: expected a number other than 0")
    d0, d1 = array("drift_error", drift_error, (2,))
    arguments.choice("loss", loss, ("x", "x^2", "cos x"))
    rate: Polynomial = {ONE: decline, EPS_B: -d1}
    source = {ONE: decline * real_number("mean", mean), EPS_B: d0}
    noise = {ONE: real_number("s", s), EPS_A: real_number("noise_error", noise_error)}
    if steps is None:
        decay = exponential(scale(rate, -horizon), degree)
        twice_rate = scale(rate, 2.0)
    else:
        dt = horizon / steps
        decay = raised(add(({ONE: 1.0}, scale(rate, -dt))), steps, degree)
        twice_rate = add((scale(rate, 2.0), scale(product(rate, rate, degree), -dt)))
    lost = add(({ONE: 1.0}, scale(decay, -1.0)))
    lost_twice = add(({ONE: 1.0}, scale(product(decay, decay, degree), -1.0)))
    average = add((scale(decay, start), product(source, product(lost, reciprocal(rate, degree), degree), degree)))
    variance = product(
        product(noise, noise, degree),
        product(lost_twice, reciprocal(twice_rate, degree), degree),
        degree,
    )
    if loss == "x":
        answer = average
    elif loss == "x^2":
        answer = add((product(average, average, degree), variance))
    else:
        damping = exponential(scale(variance, -0.5), degree)
        phase = average[ONE]
        cosine = [np.cos(phase + j * math.pi / 2) for j in range(degree + 1)]
        answer = product(damping, compose(cosine, average, degree), degree)
    return floats(answer, degree)
