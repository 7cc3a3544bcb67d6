"""Theorem 3.6: CNNs whose pushforwards approximate P and Q, with every constant named where that is possible.

On an arc the encoder and the decoder are interpolated by networks of F_CNN: their error falls like the square of the
number of units, whatever the ambient dimension, and the constant is a second derivative of the oracle map. As printed
the bound leaves the networks' size free, so that nothing can refute it; the printed class of networks, whose last layer
is a ReLU, cannot approximate P.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from functools import cache

import numpy as np

from sdewm.approximation.densities import DiskMeasure, IntervalMeasure
from sdewm.approximation.distances import sliced_w1, w1_between, w1_to_measure
from sdewm.approximation.fit import Ridge, interpolation, random_features
from sdewm.approximation.manifolds import Manifold, arc, sphere_cap
from sdewm.approximation.moser import MoserMap
from sdewm.approximation.quantiles import QuantileMap
from sdewm.arrays import Array
from sdewm.estimate.estimates import Estimate
from sdewm.estimate.transport import w1_samples
from sdewm.verdicts.judge import Row
from sdewm.verdicts.record import Curve
from sdewm.verification.settings import Settings
from theory_checks.claim import Claim
from theory_checks.rows import Rows, exact

ENCODER, DECODER, PRINTED, CAP = "encoder of an arc", "decoder of an arc", "the printed class", "sphere cap"
LATENT = IntervalMeasure((1.0, 0.4, 0.2))
STATES = IntervalMeasure((1.0, -0.5, 0.3, 0.4))  # of the arc's coordinate
ANGLE = 1.2
UNITS = (4, 8, 16, 32, 64)
AMBIENT = (16, 64, 256)
ATOMS = 2**16
NODES = 8  # of Gauss's rule between two knots
SMOOTHNESS, THETA = 1, 0.5  # k and θ of the printed bound
POINTS, REPLICATES = 256, 8
FEATURES = 6  # of an encoder that is not good, so that the best assignment is another than its own
STEP = "W1(g_enc# Q, P) − ∫‖g_enc − g*‖ dQ"


def check(rows: Rows, settings: Settings) -> Iterable[Row]:
    match rows.system:
        case "encoder of an arc":
            return _encoder(rows)
        case "decoder of an arc":
            return _decoder(rows)
        case "the printed class":
            return _printed_class(rows)
        case _:
            return _cap(rows, settings)


def curves(rows: Rows, settings: Settings) -> list[Curve]:
    """Errors over the number of units, and how large the printed bound's NM must be to halve it."""
    if rows.system in (ENCODER, DECODER):
        of = encoder_errors if rows.system == ENCODER else decoder_errors
        measured, bounds = zip(*(of(n) for n in UNITS), strict=True)
        return [
            rows.curve("∫‖g − g*‖ over units", map(float, UNITS), measured),
            rows.curve("max‖G″‖ h²/8 over units", map(float, UNITS), bounds),
        ]
    if rows.system == PRINTED:
        sizes = [2.0**i for i in range(4, 15)]
        halved = [printed_dimension(1, d) / (2 * (SMOOTHNESS + 1)) for d in sizes]
        return [rows.curve("log2 NM that halves the printed bound over d_S", sizes, halved)]
    return []


def printed_dimension(intrinsic: int, ambient: float, theta: float = THETA) -> float:
    """d_θ = d_M θ⁻² log(d/θ), with 1 for the constant of its O."""
    return intrinsic * math.log(ambient / theta) / theta**2


# -- an arc


def encoder_oracle() -> QuantileMap:
    return QuantileMap(STATES, LATENT)


def chord(manifold: Manifold) -> Array:
    """The direction along which the arc's points have the places sin(angle·u)."""
    tangent = manifold.tangents(np.zeros((1, 1)))[0, :, 0]
    return tangent / np.linalg.norm(tangent)


def encoder(units: int, ambient: int = AMBIENT[0]) -> Ridge:
    """The oracle encoder interpolated along the chord at equal gaps."""
    end = math.sin(ANGLE)
    knots = np.linspace(-end, end, units + 1)
    return interpolation(chord(arc(ANGLE, ambient)), knots, lambda t: encoder_oracle()(_along(t))[:, None])


def _along(t: Array) -> Array:
    """The arc's coordinate from the place along its chord."""
    return np.clip(np.arcsin(np.clip(t, -1, 1)) / ANGLE, -1, 1)


@cache
def encoder_errors(units: int, ambient: int = AMBIENT[0]) -> tuple[float, float]:
    """∫‖g_enc − g*‖ dQ, and its bound."""
    end, manifold = math.sin(ANGLE), arc(ANGLE, ambient)
    u, weights = _between(_along(np.linspace(-end, end, units + 1)))
    found = encoder(units, ambient)(manifold.chart(u[:, None]))[:, 0]
    error = float(weights @ (STATES.density(u) * np.abs(found - encoder_oracle()(u))))
    t = np.linspace(-end, end, 4001)
    return error, second_derivative(encoder_oracle()(_along(t))[:, None], t) * (2 * end / units) ** 2 / 8


def decoder(units: int) -> Ridge:
    """The oracle decoder interpolated at equal gaps of the latent interval."""
    manifold, g = arc(ANGLE), QuantileMap(LATENT, STATES)
    return interpolation(np.ones(1), np.linspace(-1, 1, units + 1), lambda z: manifold.chart(g(z)[:, None]))


@cache
def decoder_errors(units: int) -> tuple[float, float]:
    """∫‖g_dec − g*‖ dP, and its bound."""
    manifold, g = arc(ANGLE), QuantileMap(LATENT, STATES)
    z, weights = _between(np.linspace(-1, 1, units + 1))
    apart = decoder(units)(z[:, None]) - manifold.chart(g(z)[:, None])
    error = float(weights @ (LATENT.density(z) * np.linalg.norm(apart, axis=1)))
    t = np.linspace(-1, 1, 4001)
    return error, second_derivative(manifold.chart(g(t)[:, None]), t) * (2 / units) ** 2 / 8


def second_derivative(values: Array, t: Array) -> float:
    """The largest ‖f″‖ from values ``(n, …)`` at equal gaps, to about the gap squared."""
    gap = t[1] - t[0]
    return float(np.linalg.norm(values[2:] - 2 * values[1:-1] + values[:-2], axis=1).max() / gap**2)


def _between(knots: Array) -> tuple[Array, Array]:
    """Nodes and weights for functions that are smooth between knots."""
    x, w = np.polynomial.legendre.leggauss(NODES)
    half = np.diff(knots)[:, None] / 2
    return (knots[:-1, None] + half * (x + 1)).ravel(), (half * w).ravel()


def _encoder(rows: Rows) -> Iterator[Row]:
    atoms = STATES.quantile((np.arange(ATOMS) + 0.5) / ATOMS)
    states = arc(ANGLE).chart(atoms[:, None])
    yield from _interpolated(rows, encoder_errors)
    apart = encoder_errors(16, AMBIENT[-1])[0] / encoder_errors(16)[0] - 1
    yield rows.equal(
        "error with d_S = 256 over that with 16, less 1", "corrected", "16 units", apart, numerical=1e-9, margin=1e-3
    )
    # The states are the middles of equal masses, and both maps have slopes below 2.
    cells = 4 / ATOMS
    values, (error, _) = encoder(UNITS[0])(states)[:, 0], encoder_errors(UNITS[0])
    yield rows.equal(
        "W1(g_enc# Q, P) over ∫‖g_enc − g*‖ dQ",
        "corrected",
        f"both maps increase, {UNITS[0]} units",
        w1_to_measure(values, LATENT) / error,
        1.0,
        numerical=cells / error,
        margin=0.05,
    )
    # Reversed, the encoder is wrong in every state, and W1 hardly changes.
    oracle = encoder_oracle()(atoms)
    excess = w1_to_measure(-values, LATENT) - float(np.abs(-values - oracle).mean())
    yield rows.at_most(STEP, "corrected", "the encoder turned around", excess, numerical=cells, scale=1.0)


def _decoder(rows: Rows) -> Iterator[Row]:
    yield from _interpolated(rows, decoder_errors)
    z = np.linspace(-1, 1, 2001)
    frame, values = arc(ANGLE), decoder(UNITS[0])(z[:, None])
    # The arc lies on a circle of radius 1 about φ(0) plus the normal there.
    center = frame.chart(np.zeros((1, 1))) + _normal(frame)
    off = float(np.abs(np.linalg.norm(values - center, axis=1) - 1).max())
    yield rows.equal(
        "farthest that a value of g_dec is from M",
        "printed",
        f"{UNITS[0]} units",
        exact(off, len(z)),
        numerical=1e-12,
        margin=1e-6,
    )


def _normal(manifold: Manifold) -> Array:
    """From the arc's middle to the circle's center."""
    ends = manifold.chart(np.array([[-1.0], [1.0]])).mean(0) - manifold.chart(np.zeros((1, 1)))
    return ends / np.linalg.norm(ends)


def _interpolated(rows: Rows, errors: Callable[[int], tuple[float, float]]) -> Iterator[Row]:
    measured, bounds = (np.array(v) for v in zip(*(errors(n) for n in UNITS), strict=True))
    slopes = np.diff(np.log(measured)) / np.diff(np.log(UNITS))
    worst = float(np.log(measured / bounds).max())
    exponent = 2 * (SMOOTHNESS + 1) / printed_dimension(1, AMBIENT[0])
    smallest = float((measured * np.array(UNITS) ** exponent).max())
    yield rows.equal(
        "rate of ∫‖g − g*‖ in the number of units",
        "corrected",
        "interpolation",
        float(slopes[-1]),
        -2.0,
        numerical=float(abs(slopes[-1] - slopes[-2])),
        margin=0.1,
        scale=2.0,
    )
    yield rows.at_most(
        "log of ∫‖g − g*‖ over max‖G″‖ h²/8", "corrected", "interpolation", worst, numerical=1e-4, scale=1.0
    )
    yield rows.at_most(
        "W1 ≤ d_M C (NM)^{−2(k+1)/d_θ}",
        "printed",
        "NM the number of units, k = 1, θ = ½",
        exact(smallest, len(UNITS)),
        vacuous=True,
    )


# -- the printed class, and two dimensions


def _printed_class(rows: Rows) -> list[Row]:
    """Its networks have no negative value: W1 is at least the mass of P below 0 times its distance from there."""
    x, w = np.polynomial.legendre.leggauss(NODES)
    below = (x - 1) / 2
    least = float(w / 2 @ (LATENT.density(below) * -below))
    atoms = STATES.quantile((np.arange(ATOMS) + 0.5) / ATOMS)
    # A ReLU on top of the encoder with the most units.
    values = np.maximum(encoder(UNITS[-1])(arc(ANGLE).chart(atoms[:, None]))[:, 0], 0)
    found = w1_to_measure(values, LATENT)
    quantity = "least W1(g_enc# Q, P) of networks that end in a ReLU"
    error = encoder_errors(UNITS[-1])[0] + 2 * ANGLE / ATOMS
    return [
        rows.at_most(quantity, "printed", "", found, numerical=error),
        rows.equal(quantity, "corrected", "∫ max(−z, 0) dP", found, least, numerical=error, margin=0.01, scale=least),
    ]


def _cap(rows: Rows, settings: Settings) -> list[Row]:
    """An encoder from random features: both sides of the proof's inequality, and W1 by assignment with its bias."""
    rng = np.random.default_rng(settings.seed)
    cap = sphere_cap(0.7)
    latent = DiskMeasure(lambda x: 1 + 0.3 * x[:, 0])
    states = DiskMeasure(lambda u: (1 - 0.2 * u[:, 0]) * cap.volume(u))
    psi = MoserMap(latent, states, degree=20)
    u = states.sample(1024 + 2 * POINTS, rng)
    x, z = cap.chart(u), psi.inverse(u)
    found = random_features(x[:1024], z[:1024], FEATURES, rng)
    test, oracle = x[1024:], z[1024:]
    apart = np.linalg.norm(found(test) - oracle, axis=1)
    distance = w1_samples(found(test), oracle)
    error = Estimate(float(apart.mean()), float(apart.std(ddof=1)) / math.sqrt(len(apart)), len(apart), len(apart) - 1)
    bracket = w1_between(lambda n, rng: found(cap.chart(states.sample(n, rng))), latent.sample, POINTS, REPLICATES, rng)
    least = Estimate(
        bracket.lower.mean - error.mean, math.hypot(bracket.lower.stderr, error.stderr), bracket.lower.n, REPLICATES - 1
    )
    shift = np.array([0.03, 0.04])
    cloud = latent.sample(POINTS, rng)
    moved = w1_samples(cloud, cloud + shift)
    apart_by = w1_between(latent.sample, lambda n, rng: latent.sample(n, rng) + shift, POINTS, REPLICATES, rng)
    sliced = sliced_w1(found(test), oracle, 64, rng)
    translated = "W1 of a measure and its translate"
    return [
        rows.at_most(STEP, "corrected", "both on one sample", distance - error.mean, numerical=1e-12, scale=error.mean),
        rows.at_most(
            STEP, "corrected", "W1 from below, bias removed", least, scale=error.mean,
            config={"units": FEATURES, "bias": bracket.bias.mean},
        ),
        rows.at_most(
            "sliced W1 − W1", "corrected", "64 directions", sliced - distance, numerical=1e-12, scale=distance
        ),
        rows.equal(
            "W1 of a sample and its translate", "corrected", "by assignment", moved, 0.05, numerical=1e-12, margin=1e-6,
            scale=0.05,
        ),
        rows.at_most(
            f"{translated}, less its upper bound", "corrected", "two samples", _less(0.05, apart_by.upper), scale=0.05
        ),
        rows.at_most(
            f"lower bound of {translated}, less W1", "corrected", "two samples",
            _less(0.0, _less(0.05, apart_by.lower)), scale=0.05,
        ),
    ]  # fmt: skip


def _less(value: float, estimate: Estimate) -> Estimate:
    """``value`` less the estimate."""
    return Estimate(value - estimate.mean, estimate.stderr, estimate.n, estimate.dof)


CLAIM = Claim("theorem_3_6", ("Theorem 3.6", "Theorem A.6"), (ENCODER, DECODER, PRINTED, CAP), check, curves)
