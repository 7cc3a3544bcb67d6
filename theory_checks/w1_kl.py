"""Section 3.1: W1² ≤ C·KL, by which a small KL divergence is said to make the representation error small.

With C = diam²/2 it holds on a bounded set (Pinsker), with C = 2σ² where KL's second argument is a Gaussian
(Talagrand). No C serves all measures. And a small W1 of pushforwards bounds no error state by state.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from scipy import stats

from sdewm.estimate.estimates import Estimate
from sdewm.estimate.transport import kl_discrete, kl_gaussians, w1_discrete, w1_gaussians, w1_quantiles, w1_samples
from sdewm.verification.report import Curve
from sdewm.verification.settings import Settings
from sdewm.verification.verdicts import Claimed, Comparison, Form, Inequality

CLAIM = "w1_kl"
SYSTEMS = QUICK = ("bounded", "gaussian", "reversed", "two-point", "reflection")
FAR = (2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
Ratios = list[tuple[float, float]]  # a parameter of a family, and W1²/KL


def check(system: str, settings: Settings) -> list[Claimed]:
    match system:
        case "bounded":
            return _with_constant(system, list(_on_an_interval()), 0.5, 1e-6)
        case "gaussian":
            shift = w1_gaussians(3.0, 1.0, 0.0, 1.0) ** 2 / kl_gaussians(3.0, 1.0, 0.0, 1.0)
            return [
                *_with_constant(system, list(_gaussians()), 2.0, 1e-12),
                # No smaller constant will do: shifts attain it.
                Comparison(
                    CLAIM, system, "W1²/(C·KL) of shifts", "corrected", "C = 2", Estimate(shift / 2, 0.0, 1), 1.0,
                    1e-12, 1e-9, 1.0,
                ),
            ]  # fmt: skip
        case "reversed":
            # Talagrand's inequality is about the other direction of KL, whose second argument is the Gaussian.
            largest = max(ratio / 2 for _, ratio in _mixtures(forward=True))
            rows = [_row(system, "W1²/(C·KL)", "corrected", "KL the other way, C = 2", largest, 1.0, 1e-6)]
            return _without_constant(system, list(_mixtures(forward=False)), 1e-6) + rows
        case "two-point":
            # On {0, M} Pinsker's constant is M²/2: with it the ratio is bounded whatever M is.
            largest = max(ratio / (m**2 / 2) for m, ratio in _two_points())
            rows = [_row(system, "W1²/(C·KL)", "corrected", "C = diam²/2", largest, 1.0, 1e-12)]
            return _without_constant(system, list(_two_points()), 1e-12) + rows
        case _:
            return _reflection(settings)


def curves(system: str, settings: Settings) -> list[Curve]:
    """W1²/KL as mass goes away from the reference's."""
    if system not in ("reversed", "two-point"):
        return []
    family = _two_points() if system == "two-point" else _mixtures(forward=False)
    x, y = (list(values) for values in zip(*family, strict=True))
    return [Curve(CLAIM, system, "W1²/KL", x, y)]


def _with_constant(system: str, ratios: Ratios, constant: float, numerical: float) -> list[Claimed]:
    largest = max(ratio for _, ratio in ratios)
    return [
        # As printed the constant is free: the number is the smallest that will do on this family.
        _row(system, "W1² ≤ C·KL", "printed", "a constant for this set", largest, 0.0, numerical, vacuous=True),
        _row(system, "W1²/(C·KL)", "corrected", f"C = {constant:g}", largest / constant, 1.0, numerical / constant),
    ]


def _without_constant(system: str, ratios: Ratios, numerical: float) -> list[Claimed]:
    (m, before), (m_last, last) = ratios[-2:]
    growth = math.log(last / before) / math.log(m_last / m)
    return [_row(system, "growth of W1²/KL with M", "printed", "one constant for all", growth, 0.0, numerical)]


def _on_an_interval() -> Iterator[tuple[float, float]]:
    """Measures on [0, 1]: masses at its ends, which come closest to Pinsker's constant, and Beta densities."""
    for shift in (0.01, 0.1, 0.3, 0.49):
        p, q = np.array([0.5, 0.5]), np.array([0.5 + shift, 0.5 - shift])
        yield shift, w1_discrete([0.0, 1.0], p, q) ** 2 / kl_discrete(q, p)
    uniform = stats.uniform()
    for a in (2.0, 5.0, 20.0):
        beta = stats.beta(a, 1.0)
        w1, _ = w1_quantiles(beta, uniform)
        # KL against the uniform is minus the entropy.
        yield a, w1**2 / -float(beta.entropy())


def _gaussians() -> Iterator[tuple[float, float]]:
    """N(m, s²) against the reference N(0, 1), of other widths."""
    for mean, std in ((1.0, 0.9), (5.0, 1.1), (0.0, 0.1), (0.0, 3.0), (2.0, 0.5), (3.0, 2.0)):
        yield mean, w1_gaussians(mean, std, 0.0, 1.0) ** 2 / kl_gaussians(mean, std, 0.0, 1.0)


def _mixtures(forward: bool) -> Iterator[tuple[float, float]]:
    """Q = 0.9 N(0, 1) + 0.1 N(M, 1) and P = N(0, 1): W1 = 0.1 M; KL(Q‖P) if ``forward``, else KL(P‖Q) ≤ −log 0.9."""
    x = np.linspace(-12.0, FAR[-1] + 12.0, 40_001)
    log_p = stats.norm.logpdf(x)
    for m in FAR:
        log_q = np.logaddexp(math.log(0.9) + log_p, math.log(0.1) + stats.norm.logpdf(x, m))
        integrand = np.exp(log_q) * (log_q - log_p) if forward else np.exp(log_p) * (log_p - log_q)
        yield m, (0.1 * m) ** 2 / float(np.trapezoid(integrand, x))


def _two_points() -> Iterator[tuple[float, float]]:
    """Mass 1/M and 2/M at M, the rest at 0: the second moments grow like M, W1 is 1, and KL falls like 1/M."""
    for m in FAR[1:]:
        p, q = np.array([1 - 1 / m, 1 / m]), np.array([1 - 2 / m, 2 / m])
        yield m, w1_discrete([0.0, m], p, q) ** 2 / kl_discrete(q, p)


def _reflection(settings: Settings) -> list[Claimed]:
    """P uniform on a square and g_enc = −g: the pushforwards agree, the encoder is wrong in every state."""
    side = np.linspace(-1.0, 1.0, 21)
    oracle = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)
    error = float(np.linalg.norm(-oracle - oracle, axis=1).mean())
    distance = w1_samples(-oracle, oracle)
    perturbed = oracle + 0.1 * np.random.default_rng(settings.seed).uniform(-1, 1, oracle.shape)
    excess = w1_samples(perturbed, oracle) - float(np.linalg.norm(perturbed - oracle, axis=1).mean())
    return [
        # W1 is zero to rounding: no constant makes a bound of it, and a million stands for them all.
        _row("reflection", "∫‖g_enc − g‖ dQ − 10⁶ W1", "printed", "", error - 1e6 * distance, 0.0, 1e-9),
        # The direction that the proof of Theorem A.6 uses.
        _row("reflection", "W1 − ∫‖g_enc − g‖ dQ", "corrected", "", excess, 0.0, 1e-9),
    ]


def _row(
    system: str, quantity: str, form: Form, reading: str, value: float, bound: float, numerical: float,
    vacuous: bool = False,
) -> Claimed:  # fmt: skip
    return Inequality(
        CLAIM,
        system,
        quantity,
        form,
        reading,
        Estimate(value, 0.0, 1),
        bound,
        numerical,
        abs(value),
        vacuous=vacuous,
    )


if __name__ == "__main__":
    import sys

    from theory_checks.run import main

    raise SystemExit(main([CLAIM, *sys.argv[1:]]))
