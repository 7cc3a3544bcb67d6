"""Section 3.1: W1² ≤ C·KL, by which a small KL divergence is said to make the representation error small.

With C = diam²/2 it holds on a bounded set (Pinsker), with C = 2σ² where KL's second argument is a Gaussian
(Talagrand). No single C works for all measures. And a small W1 of pushforwards bounds no error state by state.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from scipy import stats

from sdewm.estimate.transport import kl_discrete, kl_gaussians, w1_discrete, w1_gaussians, w1_quantiles, w1_samples
from sdewm.verdicts.judge import Row
from sdewm.verdicts.record import Curve
from sdewm.verification.settings import Settings
from theory_checks.claim import Claim
from theory_checks.rows import Rows

FAR = (2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
Ratios = list[tuple[float, float]]  # a parameter of a family, and W1²/KL


def check(rows: Rows, settings: Settings) -> list[Row]:
    match rows.system:
        case "bounded":
            return _with_constant(rows, list(_on_an_interval()), 0.5, 1e-6)
        case "gaussian":
            shift = w1_gaussians(3.0, 1.0, 0.0, 1.0) ** 2 / kl_gaussians(3.0, 1.0, 0.0, 1.0)
            return [
                *_with_constant(rows, list(_gaussians()), 2.0, 1e-12),
                # No smaller constant will do: shifts attain it.
                rows.equal("W1²/(C·KL) of shifts", "corrected", "C = 2", shift / 2, 1.0, numerical=1e-12, margin=1e-9),
            ]
        case "reversed":
            # Talagrand's inequality is about the other direction of KL, whose second argument is the Gaussian.
            largest = max(ratio / 2 for _, ratio in _mixtures(forward=True))
            other = rows.at_most("W1²/(C·KL)", "corrected", "KL the other way, C = 2", largest, 1.0, numerical=1e-6)
            return [_without_constant(rows, list(_mixtures(forward=False)), 1e-6), other]
        case "two-point":
            # On {0, M} Pinsker's constant is M²/2: with it the ratio is bounded whatever M is.
            largest = max(ratio / (m**2 / 2) for m, ratio in _two_points())
            bounded = rows.at_most("W1²/(C·KL)", "corrected", "C = diam²/2", largest, 1.0, numerical=1e-12)
            return [_without_constant(rows, list(_two_points()), 1e-12), bounded]
        case _:
            return _reflection(rows, settings)


def curves(rows: Rows, settings: Settings) -> list[Curve]:
    """W1²/KL as mass moves away from that of the reference."""
    if rows.system not in ("reversed", "two-point"):
        return []
    family = _two_points() if rows.system == "two-point" else _mixtures(forward=False)
    away, ratios = zip(*family, strict=True)
    return [rows.curve("W1²/KL", away, ratios)]


def _with_constant(rows: Rows, ratios: Ratios, constant: float, numerical: float) -> list[Row]:
    largest = max(ratio for _, ratio in ratios)
    return [
        # As printed the constant is free: the number is the smallest that will do on this family.
        rows.at_most("W1² ≤ C·KL", "printed", "a constant for this set", largest, numerical=numerical, vacuous=True),
        rows.at_most(
            "W1²/(C·KL)", "corrected", f"C = {constant:g}", largest / constant, 1.0, numerical=numerical / constant
        ),
    ]


def _without_constant(rows: Rows, ratios: Ratios, numerical: float) -> Row:
    (m, before), (m_last, last) = ratios[-2:]
    growth = math.log(last / before) / math.log(m_last / m)
    return rows.at_most("growth of W1²/KL with M", "printed", "one constant for all", growth, numerical=numerical)


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


def _reflection(rows: Rows, settings: Settings) -> list[Row]:
    """P uniform on a square and g_enc = −g: the pushforwards agree, the encoder is wrong in every state."""
    side = np.linspace(-1.0, 1.0, 21)
    oracle = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)
    error = float(np.linalg.norm(-oracle - oracle, axis=1).mean())
    distance = w1_samples(-oracle, oracle)
    perturbed = oracle + 0.1 * np.random.default_rng(settings.seed).uniform(-1, 1, oracle.shape)
    excess = w1_samples(perturbed, oracle) - float(np.linalg.norm(perturbed - oracle, axis=1).mean())
    return [
        # W1 is zero to rounding: no constant makes a bound of it, and a million stands for them all.
        rows.at_most("∫‖g_enc − g‖ dQ − 10⁶ W1", "printed", "", error - 1e6 * distance, numerical=1e-9),
        # The direction that the proof of Theorem A.6 uses.
        rows.at_most("W1 − ∫‖g_enc − g‖ dQ", "corrected", "", excess, numerical=1e-9),
    ]


CLAIM = Claim("w1_kl", ("KL bound",), ("bounded", "gaussian", "reversed", "two-point", "reflection"), check, curves)
