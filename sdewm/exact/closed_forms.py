"""Closed forms: geometric Brownian motion and the Ornstein–Uhlenbeck process."""

from __future__ import annotations

import math
from typing import Literal

from sdewm.exact.algebra import (
    EPS_A,
    EPS_B,
    ONE,
    Coefficients,
    Polynomial,
    add,
    check_steps,
    compose,
    exponential,
    floats,
    product,
    raised,
    reciprocal,
    scale,
)


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
    if power < 1:
        raise ValueError(f"power: expected a number ≥ 1, got {power}")
    check_steps(steps)
    drift, noise = {ONE: mu, EPS_B: nu}, {ONE: sigma, EPS_A: tau}
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
    return floats(scale(mean, x0**power), degree)


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
    if theta == 0:
        raise ValueError("theta: expected a number other than 0")
    check_steps(steps)
    rate: Polynomial = {ONE: theta, EPS_B: -drift_error[1]}
    source = {ONE: theta * mean, EPS_B: drift_error[0]}
    noise = {ONE: s, EPS_A: noise_error}
    if steps is None:
        decay = exponential(scale(rate, -horizon), degree)
        twice_rate = scale(rate, 2.0)
    else:
        dt = horizon / steps
        decay = raised(add(({ONE: 1.0}, scale(rate, -dt))), steps, degree)
        twice_rate = add((scale(rate, 2.0), scale(product(rate, rate, degree), -dt)))
    lost = add(({ONE: 1.0}, scale(decay, -1.0)))
    lost_twice = add(({ONE: 1.0}, scale(product(decay, decay, degree), -1.0)))
    average = add((scale(decay, x0), product(source, product(lost, reciprocal(rate, degree), degree), degree)))
    variance = product(
        product(noise, noise, degree),
        product(lost_twice, reciprocal(twice_rate, degree), degree),
        degree,
    )
    if loss == "x":
        answer = average
    elif loss == "x^2":
        answer = add((product(average, average, degree), variance))
    elif loss == "cos x":
        damping = exponential(scale(variance, -0.5), degree)
        phase = average[ONE]
        cosine = [math.cos(phase + j * math.pi / 2) for j in range(degree + 1)]
        answer = product(damping, compose(cosine, average, degree), degree)
    else:
        raise ValueError(f"loss: expected 'x', 'x^2' or 'cos x', got {loss!r}")
    return floats(answer, degree)
