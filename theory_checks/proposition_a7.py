"""Proposition A.7: the map that carries P to Q, built in one and two dimensions, and what the proof needs for it.

On an interval it is the quantile map, on a disk the flow of Dacorogna and Moser, on the circle a covering of two sheets
followed by an increasing map. The other systems each lack a hypothesis that the proof uses: a density vanishes, the
manifold has two parts, there is no local diffeomorphism, or there is one that is no covering.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from functools import cache

import numpy as np

from sdewm.approximation.circle import TURN, CircleMeasure, CircleOracle
from sdewm.approximation.coverings import annulus, immersed_disk
from sdewm.approximation.densities import DiskMeasure, IntervalMeasure
from sdewm.approximation.manifolds import sphere_cap
from sdewm.approximation.moser import MoserMap
from sdewm.approximation.quantiles import QuantileMap
from sdewm.approximation.smoothness import derivative, jacobians, order_of_kink, third_derivatives
from sdewm.arrays import Array
from sdewm.estimate.goodness_of_fit import distance, distance_between
from sdewm.expansion.forms import Form
from sdewm.verdicts.judge import Comparison, Inequality, Row
from sdewm.verdicts.record import Curve
from sdewm.verification.settings import Settings
from theory_checks.claim import Claim, Part
from theory_checks.rows import Rows, exact

DISK, COVERS = "disk to sphere cap", {"annulus": annulus(0.5), "immersed disk": immersed_disk(4.0)}
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


def check(rows: Rows, settings: Settings) -> Iterable[Row]:
    match rows.system:
        case "interval":
            return _interval(rows, settings)
        case "kinks":
            return [_kink(rows, k, power) for k, power in KINKS.items()]
        case "q vanishes" | "p vanishes":
            return _vanishing(rows)
        case "two parts":
            return _two_parts(rows)
        case "circle to interval":
            return _folded(rows)
        case "two sheets":
            return _two_sheets(rows)
        case "annulus":
            return _no_covering(rows)
        case "immersed disk":
            return [*_no_covering(rows), *_sheet_masses(rows)]
        case _:
            return _disk(rows, settings)


def curves(rows: Rows, settings: Settings) -> list[Curve]:
    """The paper's Figure 2, computed: points of Q, where the encoder sends them, and a grid decoded."""
    if rows.system != DISK:
        return []
    u = _oracle().target.sample(POINTS, np.random.default_rng(settings.seed))
    found = {"points of Q, seen from the side": seen(u), "points of Q, encoded": _oracle().inverse(u)}
    for i, line in enumerate(_polar_grid()):
        found |= {f"latent line {i}": line, f"latent line {i}, decoded": seen(_oracle()(line))}
    edge = _polar_grid()[RINGS - 1]
    found["edge of the cap"] = seen(edge)
    return [rows.curve(label, *at.T.tolist()) for label, at in found.items()]


def _zero(rows: Rows, quantity: str, reading: str, value: float, numerical: float) -> Comparison:
    return rows.equal(quantity, "corrected", reading, value, numerical=numerical, margin=1e-5)


def _preserves_orientation(rows: Rows, reading: str, least: float, left: float) -> Inequality:
    return rows.at_most("−min det dg", "corrected", reading, -least, numerical=left)


def _distance(rows: Rows, quantity: str, reading: str, probabilities: Array, settings: Settings) -> Comparison:
    return rows.equal(quantity, "corrected", reading, distance(probabilities, settings.seed), margin=0.08)


def largest(values: Array) -> float:
    return float(np.abs(values).max())


# -- one dimension


def _interval(rows: Rows, settings: Settings) -> list[Row]:
    g = QuantileMap(LATENT, POSITIVE)
    slope, left = derivative(g, INSIDE, STEP)
    sample = LATENT.sample(SAMPLE[1], np.random.default_rng(settings.seed))
    reading = "quantile map"
    ends = np.array([-1.0, 1.0])
    return [
        _zero(rows, "largest |p − q(g) det dg|", reading, density_gap(g, LATENT, POSITIVE, INSIDE, slope), left),
        _zero(rows, "farthest that g moves the boundary", reading, largest(g(ends) - ends), 1e-12),
        _preserves_orientation(rows, reading, float(slope.min()), left),
        _distance(rows, "distance of g(X), X of P, from Q", reading, POSITIVE.cdf(g(sample)), settings),
        _zero(rows, "largest |g⁻¹(g(x)) − x|", reading, largest(g.inverse(g(INSIDE)) - INSIDE), 1e-12),
    ]


def density_gap(
    g: Callable[[Array], Array], source: IntervalMeasure, target: IntervalMeasure, x: Array, jacobian: Array
) -> float:
    """The largest |p − q(g) det dg| at ``x``: 0 where g carries ``source`` to ``target`` and is one-to-one."""
    return largest(source.density(x) - target.density(g(x)) * jacobian)


def _kink(rows: Rows, k: int, power: float) -> Row:
    """q of class C^{k,α} and no smoother at 0: g is of class C^{k+1,α}, and no smoother, where it is 0."""
    target = IntervalMeasure((1.0, 0.3), kink=1.0, power=power)
    g = QuantileMap(LATENT, target)
    order, left = order_of_kink(g, float(g.inverse(np.array(0.0))))
    return rows.equal(
        f"Hölder order of g for q of order {power:g}",
        "printed",
        f"k + 1 + α, k = {k}, α = ½",
        exact(order, 18),
        power + 1,
        numerical=left,
        margin=0.05,
        scale=power + 1,
    )


def _vanishing(rows: Rows) -> list[Row]:
    source, target = (UNIFORM, VANISHING) if rows.system == "q vanishes" else (VANISHING, UNIFORM)
    g = QuantileMap(source, target)
    far, near = (float(g(np.array(h)) - g(np.array(0.0))) / h for h in HALVINGS)
    rate = math.log(near / far) / math.log(HALVINGS[0] / HALVINGS[1])
    quantity = "rate at which |g(x) − g(0)|/|x| grows as x → 0"
    if rows.system == "p vanishes":
        # That the proof has p > 0 is not needed: g′ = p/q(g), whatever p is.
        slope, left = derivative(g, INSIDE, STEP)
        gap = density_gap(g, source, target, INSIDE, slope)
        return [
            rows.at_most(quantity, "corrected", "q > 0", rate, numerical=1e-9),
            _zero(rows, "largest |p − q(g) det dg|", "q > 0", gap, left),
        ]
    return [
        rows.at_most(quantity, "printed", "", rate, numerical=1e-6),
        rows.equal(
            quantity, "corrected", "g = x^{1/3}", exact(rate, 2), 2 / 3, numerical=1e-6, margin=1e-3, scale=2 / 3
        ),
    ]


def _two_parts(rows: Rows) -> list[Row]:
    """M = [−1, −½] ∪ [½, 1], Q uniform, N an interval: the image of a continuous g is in one part."""
    nodes, weights = np.polynomial.legendre.leggauss(8)
    left = -0.75 + 0.25 * nodes
    # The distance of Q's left half to the part on the right, on average; by symmetry also that of its right half.
    least = float(0.25 * weights @ (0.5 - left))
    quantity = "least W1(g_# P, Q) over continuous g"
    return [
        rows.at_most(quantity, "printed", "", least, numerical=1e-12),
        rows.equal(
            quantity,
            "corrected",
            "mass times distance to the other part",
            least,
            0.625,
            numerical=1e-12,
            margin=1e-9,
            scale=0.625,
        ),
    ]


def _folded(rows: Rows) -> list[Row]:
    """N the circle, M an interval: at its maximum any C¹ map has g′ = 0, so that g_# P has no bounded density.

    Measured on g = cos; a flatter maximum is worse.
    """
    near, far = (math.acos(1 - h) / math.pi / h for h in (1e-6, 1e-5))
    rate = math.log10(near / far)
    quantity = "rate at which g_# P of the h next to the maximum of g, over h, grows as h → 0"
    return [
        rows.at_most(quantity, "printed", "g = cos", rate, numerical=1e-6),
        rows.equal(
            quantity,
            "corrected",
            "½ at a maximum that is not flat",
            exact(rate, 2),
            0.5,
            numerical=1e-6,
            margin=1e-3,
            scale=0.5,
        ),
    ]


# -- coverings, and what is none


def _two_sheets(rows: Rows) -> list[Row]:
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
        _zero(rows, "largest |∫f∘g dP − ∫f dQ|", "Σ", max(map(abs, moments)), 1e-11),
        rows.equal("largest |g*η − ω|", "printed", "Σ", exact(pulled_back, 512), numerical=left, margin=1e-6),
    ]


def _no_covering(rows: Rows) -> list[Row]:
    """F into the disk with det dF > 0: how many preimages points have, and the mass of (22) with and without |D|."""
    f, side = COVERS[rows.system], (np.arange(60) + 0.5) / 60
    # Off the axes, at which the overlap's edges lie.
    r, phi = np.meshgrid(side, TURN * (side + 0.123))
    at = np.stack([r * np.cos(phi), r * np.sin(phi)], -1).reshape(-1, 2)
    sheets = f.sheets(at)
    x = np.stack([0.8 * np.cos(TURN * side), 0.8 * np.sin(TURN * side)], -1)
    spread = exact(float(sheets.max() - sheets.min()), len(at))
    return [
        rows.at_most("−min det dF", "corrected", "a local diffeomorphism", -float(f.jacobian(x).min())),
        rows.equal(
            "most preimages of F less fewest",
            "printed",
            "",
            spread,
            margin=0.5,
            config={"points": len(at), "counts": sorted(set(sheets.tolist()))},
        ),
    ]


def _sheet_masses(rows: Rows) -> list[Row]:
    """∫ η̄ by (22), over rings whose radii have equal ratios, for η̄ is largest next to 0."""
    f, middles = COVERS[rows.system], (np.arange(CELLS) + 0.5) / CELLS
    r, phi = np.meshgrid(np.exp(-DEPTH * middles), TURN * middles)
    at = np.stack([r * np.cos(phi), r * np.sin(phi)], -1).reshape(-1, 2)
    area = (at**2).sum(1) * DEPTH * TURN / CELLS**2
    masses = f.pushforward_density(DiskMeasure(latent_weight).density, at) * area
    averages = masses / np.maximum(f.sheets(at), 1)
    # The edges of the overlap cut some cells: in parts of all, twice the number in a row over the number at all.
    cut = 2 / CELLS
    readings: list[tuple[Form, str, Array]] = [("printed", "1/|D| Σ", averages), ("corrected", "Σ", masses)]
    return [
        rows.equal("∫η̄ − 1", form, reading, exact(float(v.sum()) - 1, len(at)), numerical=cut, margin=0.05)
        for form, reading, v in readings
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


def _disk(rows: Rows, settings: Settings) -> list[Row]:
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
        _zero(rows, "largest |p − q(g) det dg|", reading, gap, 10 * left + cut),
        _zero(rows, "farthest that g moves the boundary off itself", reading, moved, cut + 1e-9),
        _preserves_orientation(rows, reading, float(det.min()), left),
        _zero(rows, "largest |g⁻¹(g(x)) − x|", reading, largest(psi.inverse(psi(inside)) - inside), cut + 1e-9),
        rows.at_most(
            "third derivatives of g: what halving the step changes, in parts", "corrected", reading,
            largest(fine - coarse) / largest(fine), 0.05,
        ),
        *_on_the_cap(rows, image, rng, settings),
        *(
            _distance(rows, f"distance of {name} of g(X), X of P, from Q's", reading,
                      psi.target.marginal_cdf(e, image @ e), settings)
            for name, e in directions.items()
        ),
    ]  # fmt: skip


def _on_the_cap(rows: Rows, image: Array, rng: np.random.Generator, settings: Settings) -> Iterator[Row]:
    """Decoded points against points of Q that no chart has drawn, by two of their coordinates in R³."""
    decoded, drawn = sphere_cap(CAP_SIZE, ambient=3).chart(image), points_of_q(len(image), rng)
    frame = sphere_cap(CAP_SIZE, ambient=3).chart(np.array([[0.0, 0.0], [1.0, 0.0]]))
    for name, e in (("its axis", frame[0]), ("the edge at u₁ = 1", frame[1])):
        gap = distance_between(decoded @ e, drawn @ e, settings.seed)
        quantity = f"distance of g(X), X of P, from a sample of Q, towards {name}"
        yield rows.equal(quantity, "corrected", "two samples", gap, margin=0.1)


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


CLAIM = Claim(
    "proposition_a7",
    (
        "Proposition A.7",
        *(Part(s, system) for s in ("Assumption 3.3", "Assumption A.3") for system in ("two parts", DISK)),
        *(Part(s, system) for s in ("Assumption 3.4", "Assumption A.4") for system in ("kinks", "q vanishes")),
        *(Part(s, system) for s in ("Assumption 3.5", "Assumption A.5") for system in COVERS),
    ),
    ("interval", "kinks", "q vanishes", "p vanishes", "two parts", "circle to interval", "two sheets", *COVERS, DISK),
    check,
    curves,
)
