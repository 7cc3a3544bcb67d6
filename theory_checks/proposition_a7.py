"""Proposition A.7: the map that carries P to Q, built in one and two dimensions, and what the proof needs for it.

On an interval it is the quantile map, on a disk the flow of Dacorogna and Moser, on the circle a covering of two sheets
followed by an increasing map. Where a hypothesis is missing that the proof uses, a case shows it: a density that
vanishes, a manifold in two parts, no local diffeomorphism at all, and two that are no coverings.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np

from sdewm.approximation.circle import TURN, CircleMeasure, CircleOracle
from sdewm.approximation.coverings import PlaneMap, annulus, immersed_disk
from sdewm.approximation.densities import DiskMeasure, IntervalMeasure
from sdewm.approximation.manifolds import Array, sphere_cap
from sdewm.approximation.moser import MoserMap
from sdewm.approximation.quantiles import QuantileMap
from sdewm.approximation.smoothness import derivative, jacobians, order_of_kink, third_derivatives
from sdewm.estimate.estimates import Estimate
from sdewm.estimate.goodness_of_fit import distance, distance_between
from sdewm.verification.report import Curve
from sdewm.verification.settings import Settings
from sdewm.verification.verdicts import Claimed, Comparison, Form, Inequality

CLAIM = "proposition_a7"
DISK, COVERS = "disk to sphere cap", {"annulus": annulus(0.5), "immersed disk": immersed_disk(4.0)}
SYSTEMS = QUICK = (
    "interval", "kinks", "q vanishes", "p vanishes", "two parts", "circle to interval", "two sheets", *COVERS, DISK,
)  # fmt: skip
LATENT = IntervalMeasure((1.0, 0.4, 0.2))
POSITIVE = IntervalMeasure((1.0, -0.5, 0.3, 0.4))
VANISHING = IntervalMeasure((0.0, 0.0, 1.0))
UNIFORM = IntervalMeasure()
KINKS = {1: 1.5, 2: 2.5, 3: 3.5}  # k, and k + α for α = ½
INSIDE = np.linspace(-0.9, 0.9, 61)
STEP = 1e-2
SAMPLE = {1: 2**15, 2: 2**13}
HALVINGS = (1e-3, 1e-4)
CAP_SIZE = 0.7
CAP = sphere_cap(CAP_SIZE, ambient=16)
POINTS, RINGS = 400, 4  # of the figure
CELLS, DEPTH = 100, 8.0  # to the side of a grid of rings, whose smallest has the radius exp(−DEPTH)


def check(system: str, settings: Settings) -> list[Claimed]:
    match system:
        case "interval":
            return _interval(settings)
        case "kinks":
            return [_kink(k, power) for k, power in KINKS.items()]
        case "q vanishes" | "p vanishes":
            return _vanishing(system)
        case "two parts":
            return _two_parts()
        case "circle to interval":
            return _folded()
        case "two sheets":
            return _two_sheets()
        case "annulus":
            return _no_covering(COVERS[system])
        case "immersed disk":
            return _no_covering(COVERS[system]) + _sheet_masses(COVERS[system])
        case _:
            return _disk(settings)


def curves(system: str, settings: Settings) -> list[Curve]:
    """The paper's Figure 2, computed: points of Q, where the encoder sends them, and a grid decoded."""
    if system != DISK:
        return []
    u = _oracle().target.sample(POINTS, np.random.default_rng(settings.seed))
    found = {"points of Q, seen from the side": seen(u), "points of Q, encoded": _oracle().inverse(u)}
    for i, line in enumerate(_polar_grid()):
        found |= {f"latent line {i}": line, f"latent line {i}, decoded": seen(_oracle()(line))}
    edge = _polar_grid()[RINGS - 1]
    found["edge of the cap"] = seen(edge)
    return [Curve(CLAIM, system, label, *at.T.tolist()) for label, at in found.items()]


# -- one dimension


def _interval(settings: Settings) -> list[Claimed]:
    g = QuantileMap(LATENT, POSITIVE)
    slope, left = derivative(g, INSIDE, STEP)
    sample = LATENT.sample(SAMPLE[1], np.random.default_rng(settings.seed))
    reading = "quantile map"
    ends = np.array([-1.0, 1.0])
    return [
        _zero("interval", "largest |p − q(g) det dg|", reading, density_gap(g, LATENT, POSITIVE, INSIDE, slope), left),
        _zero("interval", "farthest that g moves the boundary", reading, largest(g(ends) - ends), 1e-12),
        _at_most("interval", "−min det dg", "corrected", reading, -float(slope.min()), 0.0, left),
        _distance("interval", "distance of g(X), X of P, from Q", reading, POSITIVE.cdf(g(sample)), settings),
        _zero("interval", "largest |g⁻¹(g(x)) − x|", reading, largest(g.inverse(g(INSIDE)) - INSIDE), 1e-12),
    ]


def density_gap(
    g: Callable[[Array], Array], source: IntervalMeasure, target: IntervalMeasure, x: Array, jacobian: Array
) -> float:
    """The largest |p − q(g) det dg| at ``x``: 0 where g carries ``source`` to ``target`` and is one-to-one."""
    return largest(source.density(x) - target.density(g(x)) * jacobian)


def _kink(k: int, power: float) -> Claimed:
    """q of class C^{k,α} and no smoother at 0: g is of class C^{k+1,α}, and no smoother, where it is 0."""
    target = IntervalMeasure((1.0, 0.3), kink=1.0, power=power)
    g = QuantileMap(LATENT, target)
    order, left = order_of_kink(g, float(g.inverse(np.array(0.0))))
    return Comparison(
        CLAIM, "kinks", f"Hölder order of g for q of order {power:g}", "printed", f"k + 1 + α, k = {k}, α = ½",
        Estimate(order, 0.0, 18), power + 1, left, 0.05, power + 1,
    )  # fmt: skip


def _vanishing(system: str) -> list[Claimed]:
    source, target = (UNIFORM, VANISHING) if system == "q vanishes" else (VANISHING, UNIFORM)
    g = QuantileMap(source, target)
    far, near = (float(g(np.array(h)) - g(np.array(0.0))) / h for h in HALVINGS)
    rate = math.log(near / far) / math.log(HALVINGS[0] / HALVINGS[1])
    quantity = "rate at which |g(x) − g(0)|/|x| grows as x → 0"
    if system == "p vanishes":
        # That the proof has p > 0 is not needed: g′ = p/q(g), whatever p is.
        slope, left = derivative(g, INSIDE, STEP)
        gap = density_gap(g, source, target, INSIDE, slope)
        return [
            _at_most(system, quantity, "corrected", "q > 0", rate, 0.0, 1e-9),
            _zero(system, "largest |p − q(g) det dg|", "q > 0", gap, left),
        ]
    exact = Comparison(
        CLAIM, system, quantity, "corrected", "g = x^{1/3}", Estimate(rate, 0.0, 2), 2 / 3, 1e-6, 1e-3, 2 / 3
    )
    return [_at_most(system, quantity, "printed", "", rate, 0.0, 1e-6), exact]


def _two_parts() -> list[Claimed]:
    """M = [−1, −½] ∪ [½, 1], Q uniform, N an interval: a continuous g stays in one part, and the other is ½ + away."""
    nodes, weights = np.polynomial.legendre.leggauss(8)
    left = -0.75 + 0.25 * nodes
    # Of Q's mass on the left half, each point is at least that far from the part on the right; and the other way round.
    least = float(0.25 * weights @ (0.5 - left))
    quantity = "least W1(g_# P, Q) over continuous g"
    return [
        _at_most("two parts", quantity, "printed", "", least, 0.0, 1e-12),
        Comparison(
            CLAIM, "two parts", quantity, "corrected", "mass times distance to the other part",
            Estimate(least, 0.0, 1), 0.625, 1e-12, 1e-9, 0.625,
        ),
    ]  # fmt: skip


def _folded() -> list[Claimed]:
    """N the circle, M an interval: at its maximum any C¹ map has g′ = 0, so that g_# P has no bounded density.

    Measured on g = cos; a flatter maximum is worse.
    """
    near, far = (math.acos(1 - h) / math.pi / h for h in (1e-6, 1e-5))
    rate = math.log10(near / far)
    quantity = "rate at which g_# P of the h next to the maximum of g, over h, grows as h → 0"
    return [
        _at_most("circle to interval", quantity, "printed", "g = cos", rate, 0.0, 1e-6),
        Comparison(
            CLAIM, "circle to interval", quantity, "corrected", "½ at a maximum that is not flat",
            Estimate(rate, 0.0, 2), 0.5, 1e-6, 1e-3, 0.5,
        ),
    ]  # fmt: skip


# -- coverings, and what is none


def _two_sheets() -> list[Claimed]:
    p, q = CircleMeasure((0.5,), (0.0, 0.3)), CircleMeasure((0.3, 0.1), (-0.2,))
    g = CircleOracle(p, q, 2)
    # Equal angles integrate smooth periodic functions to rounding.
    theta = TURN * np.arange(512) / 512
    weights = TURN * p.density(theta)
    moments = [
        float(np.mean(weights * f(n * g(theta))) - TURN * np.mean(q.density(theta) * f(n * theta)))
        for n in (1, 2, 3)
        for f in (np.cos, np.sin)
    ]
    slope, left = derivative(g, theta, STEP)
    pulled_back = largest(q.density(g(theta)) * slope - p.density(theta))
    return [
        _zero("two sheets", "largest |∫f∘g dP − ∫f dQ|", "Σ", max(map(abs, moments)), 1e-11),
        Comparison(
            CLAIM, "two sheets", "largest |g*η − ω|", "printed", "Σ", Estimate(pulled_back, 0.0, 512), 0.0, left,
            1e-6, 1.0,
        ),
    ]  # fmt: skip


def _no_covering(f: PlaneMap) -> list[Claimed]:
    """F into the disk with det dF > 0: how many preimages points have, and the mass of (22) with and without |D|."""
    side = (np.arange(60) + 0.5) / 60
    # Off the axes, at which the overlap's edges lie.
    r, phi = np.meshgrid(side, TURN * (side + 0.123))
    at = np.stack([r * np.cos(phi), r * np.sin(phi)], -1).reshape(-1, 2)
    sheets = f.sheets(at)
    x = np.stack([0.8 * np.cos(TURN * side), 0.8 * np.sin(TURN * side)], -1)
    spread = Estimate(float(sheets.max() - sheets.min()), 0.0, len(at))
    return [
        _at_most(f.name, "−min det dF", "corrected", "a local diffeomorphism", -float(f.jacobian(x).min()), 0.0, 0.0),
        Comparison(
            CLAIM, f.name, "most preimages of F less fewest", "printed", "", spread, 0.0, 0.0, 0.5, 1.0,
            config={"points": len(at), "counts": sorted(set(sheets.tolist()))},
        ),
    ]  # fmt: skip


def _sheet_masses(f: PlaneMap) -> list[Claimed]:
    """∫ η̄ by (22), over rings whose radii have equal ratios, for η̄ is largest next to 0."""
    middles = (np.arange(CELLS) + 0.5) / CELLS
    r, phi = np.meshgrid(np.exp(-DEPTH * middles), TURN * middles)
    at = np.stack([r * np.cos(phi), r * np.sin(phi)], -1).reshape(-1, 2)
    area = (at**2).sum(1) * DEPTH * TURN / CELLS**2
    masses = f.pushforward_density(DiskMeasure(latent_weight).density, at) * area
    averages = masses / np.maximum(f.sheets(at), 1)
    # The edges of the overlap cut some cells: in parts of all, twice the number in a row over the number at all.
    cut = 2 / CELLS
    rows: list[tuple[Form, str, Array]] = [("printed", "1/|D| Σ", averages), ("corrected", "Σ", masses)]
    return [
        Comparison(
            CLAIM, f.name, "∫η̄ − 1", form, reading, Estimate(float(values.sum()) - 1, 0.0, len(at)), 0.0, cut, 0.05, 1.0
        )
        for form, reading, values in rows
    ]


# -- two dimensions


def latent_weight(x: Array) -> Array:
    """The latent measure's, on the disk."""
    return 1 + 0.6 * x[:, 0]


def state_weight(u: Array) -> Array:
    """The state measure's in the cap's coordinates: a density on the cap, times its volume form."""
    return state_density(u) * CAP.volume(u)


def state_density(u: Array) -> Array:
    """q over the cap's own area, in proportion."""
    return 1 - 0.6 * u[:, 0]


@cache
def _oracle() -> MoserMap:
    return MoserMap(DiskMeasure(latent_weight), DiskMeasure(state_weight), degree=20)


def determinant(jacobian: Array) -> Array:
    """Of ``(n, 2, 2)``."""
    return np.linalg.det(jacobian)


def _disk(settings: Settings) -> list[Claimed]:
    psi, reading = _oracle(), "Dacorogna and Moser's flow"
    rng = np.random.default_rng(settings.seed)
    inside = 0.9 * psi.source.sample(40, rng)
    jacobian, left = jacobians(psi, inside, 0.5 * STEP)
    det = determinant(jacobian)
    gap = largest(psi.source.density(inside) - psi.target.density(psi(inside)) * det)
    angles = TURN * np.arange(32) / 32
    circle = np.stack([np.cos(angles), np.sin(angles)], -1)
    moved = largest(np.linalg.norm(psi(circle), axis=1) - 1)
    image = psi(psi.source.sample(SAMPLE[2], rng))
    fine, coarse = (third_derivatives(psi, inside, step) for step in (0.02, 0.04))
    directions = {"u₁": np.array([1.0, 0.0]), "u₁ + u₂": np.array([1.0, 1.0]) / math.sqrt(2)}
    # The potential's polynomial is cut off: what its tail is worth, ten times over, is the numerical error.
    cut = 10 * psi.tail
    return [
        _zero(DISK, "largest |p − q(g) det dg|", reading, gap, 10 * left + cut),
        _zero(DISK, "farthest that g moves the boundary off itself", reading, moved, cut + 1e-9),
        _at_most(DISK, "−min det dg", "corrected", reading, -float(det.min()), 0.0, left),
        _zero(DISK, "largest |g⁻¹(g(x)) − x|", reading, largest(psi.inverse(psi(inside)) - inside), cut + 1e-9),
        _at_most(
            DISK, "third derivatives of g: what halving the step changes, in parts", "corrected", reading,
            largest(fine - coarse) / largest(fine), 0.05, 0.0,
        ),
        *_on_the_cap(image, rng, settings),
        *(
            _distance(DISK, f"distance of {name} of g(X), X of P, from Q's", reading,
                      psi.target.marginal_cdf(e, image @ e), settings)
            for name, e in directions.items()
        ),
    ]  # fmt: skip


def _on_the_cap(image: Array, rng: np.random.Generator, settings: Settings) -> list[Claimed]:
    """Decoded points against points of Q that no chart has drawn, by two of their coordinates in R³."""
    decoded, drawn = sphere_cap(CAP_SIZE, ambient=3).chart(image), points_of_q(len(image), rng)
    frame = sphere_cap(CAP_SIZE, ambient=3).chart(np.array([[0.0, 0.0], [1.0, 0.0]]))
    found: list[Claimed] = []
    for name, e in (("its axis", frame[0]), ("the edge at u₁ = 1", frame[1])):
        gap = distance_between(decoded @ e, drawn @ e, settings.seed)
        quantity = f"distance of g(X), X of P, from a sample of Q, towards {name}"
        found.append(Comparison(CLAIM, DISK, quantity, "corrected", "two samples", gap, 0.0, 0.0, 0.1, 1.0))
    return found


def points_of_q(n: int, rng: np.random.Generator) -> Array:
    """Points ``(n, 3)`` of the cap: even on the sphere, kept where the cap is, and in proportion to q."""
    cap = sphere_cap(CAP_SIZE, ambient=3)
    found = np.empty((0, 3))
    while len(found) < n:
        x = rng.normal(size=(8 * n, 3))
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        u = cap.coordinates(x)
        kept = ((u**2).sum(1) <= 1) & (rng.uniform(0, 1.6, len(x)) < state_density(u))
        found = np.concatenate([found, x[kept]])
    return found[:n]


def _polar_grid() -> list[Array]:
    angles, radii = TURN * np.linspace(0, 1, 61), np.linspace(0, 1, 21)
    circles = [r * np.stack([np.cos(angles), np.sin(angles)], -1) for r in (np.arange(RINGS) + 1) / RINGS]
    spokes = [np.outer(radii, [math.cos(a), math.sin(a)]) for a in TURN * np.arange(12) / 12]
    return circles + spokes


def seen(u: Array) -> Array:
    """The cap at coordinates ``(n, 2)`` on the page ``(n, 2)``: in R³, from above and at an angle."""
    w = CAP_SIZE * u
    square = (w**2).sum(1, keepdims=True)
    x = np.concatenate([2 * w, 1 - square], 1) / (1 + square)
    up = math.radians(65)
    return x @ np.array([[1.0, 0.0], [0.0, math.sin(up)], [0.0, math.cos(up)]])


# -- rows


def largest(values: Array) -> float:
    return float(np.abs(values).max())


def _zero(system: str, quantity: str, reading: str, value: float, numerical: float) -> Claimed:
    return Comparison(CLAIM, system, quantity, "corrected", reading, Estimate(value, 0.0, 1), 0.0, numerical, 1e-5, 1.0)


def _at_most(
    system: str, quantity: str, form: Form, reading: str, value: float, bound: float, numerical: float
) -> Claimed:
    return Inequality(CLAIM, system, quantity, form, reading, Estimate(value, 0.0, 1), bound, numerical, abs(value))


def _distance(system: str, quantity: str, reading: str, probabilities: Array, settings: Settings) -> Claimed:
    return Comparison(
        CLAIM, system, quantity, "corrected", reading, distance(probabilities, settings.seed), 0.0, 0.0, 0.08, 1.0
    )


if __name__ == "__main__":
    import sys

    from theory_checks.run import main

    raise SystemExit(main([CLAIM, *sys.argv[1:]]))
