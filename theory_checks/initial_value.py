"""Derivatives in the initial value: (52), (53), and the expansion (54) that Theorem 4.1 rests on.

(52) holds. (53) has the wrong right-hand side and the wrong initial value: what holds is d∂²_ij x = (∂g_k ∂²_ij x +
∂²g_k[∂_i x, ∂_j x]) dB^k from 0. With it the remainder of (54) is of third order, with the third derivative for its
coefficient.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from sdewm.estimate.estimates import Estimate
from sdewm.estimate.samples import richardson
from sdewm.expansion.forms import Form
from sdewm.expansion.taylor import taylor_tests
from sdewm.noise.grid import TimeGrid
from sdewm.paper.flow import SECOND_READINGS, PrintedSecondVariationSDE
from sdewm.sensitivity import SecondVariationSDE, ShiftedStart, initial_value_derivatives
from sdewm.solvers.solve import solve
from sdewm.verdicts.judge import Row
from sdewm.verdicts.record import Curve
from sdewm.verification.pathwise import relative
from sdewm.verification.settings import Settings
from theory_checks.claim import Claim
from theory_checks.flows import FLOWS, Flow
from theory_checks.rows import Rows, exact

# On one grid, to the error of differences; and for the flow of the ordinary equation, extrapolated from three.
MARGIN = 1e-5
STEPS = 16
GROUPS = 32


def check(rows: Rows, settings: Settings) -> Iterator[Row]:
    flow = FLOWS[rows.system]()
    if rows.system == "sine":
        yield from _closed_form_rows(rows, flow, settings)
    else:
        yield from _grid_rows(rows, flow, settings)
        yield from _expansion_rows(rows, flow, settings)


def curves(rows: Rows, settings: Settings) -> Iterator[Curve]:
    """The second derivative of the flow of dx = sin x dt against time: true, and as printed in each reading."""
    if rows.system != "sine":
        return
    flow = FLOWS[rows.system]()
    grid = TimeGrid(0.0, 2.0, 128)
    times = [grid.time(i) for i in range(0, grid.steps + 1, 2)]
    yield rows.curve("true", times, [_second_of_sine(float(flow.x0), t) for t in times])
    for label, second in _systems(flow).items():
        start = second.initial(flow.x0, *_directions(flow, 1))
        noise = torch.zeros(grid.steps, 1, 1, dtype=flow.x0.dtype)
        path = second.split(solve(second, start, grid, noise=noise, save="path"))[3]
        yield rows.curve(label, times, path[::2, 0, 0].tolist())


def _systems(flow: Flow) -> dict[str, SecondVariationSDE | PrintedSecondVariationSDE]:
    found: dict[str, SecondVariationSDE | PrintedSecondVariationSDE] = {}
    for reading in SECOND_READINGS:
        found[reading] = PrintedSecondVariationSDE(flow.base, reading)
    return {**found, "(53) corrected": SecondVariationSDE(flow.base)}


def _form(label: str) -> Form:
    return "printed" if label in SECOND_READINGS else "corrected"


def _directions(flow: Flow, seed: int) -> tuple[Tensor, Tensor]:
    """Two unit vectors; in one dimension 1 and 1."""
    if len(flow.x0) == 1:
        one = torch.ones(1, dtype=flow.x0.dtype)
        return one, one
    generator = torch.Generator().manual_seed(seed)
    u, v = torch.randn(2, len(flow.x0), generator=generator, dtype=flow.x0.dtype)
    return u / u.norm(), v / v.norm()


def _second_of_sine(x0: float, t: float) -> float:
    """∂²/∂x0² of 2 atan(e^t tan(x0/2))."""
    e, sine, cosine = math.exp(t), math.sin(x0), math.cos(x0)
    # The first derivative is e^t / (cos² + e^2t sin²) of x0/2.
    denominator = 0.5 * (1 + cosine) + 0.5 * e**2 * (1 - cosine)
    return -e * 0.5 * sine * (e**2 - 1) / denominator**2


def _closed_form_rows(rows: Rows, flow: Flow, settings: Settings) -> Iterator[Row]:
    truth = _second_of_sine(float(flow.x0), flow.horizon)
    steps = (128, 64, 32)
    u, v = _directions(flow, 0)
    for label, second in _systems(flow).items():
        values = []
        for n in steps:
            noise = torch.zeros(n, 1, 1, dtype=flow.x0.dtype)
            found = second.split(solve(second, second.initial(flow.x0, u, v), flow.grid(n), noise=noise))[3]
            values.append(found[0].numpy())
        limit, change = richardson(values)
        yield rows.equal(
            "second derivative of the flow", _form(label), label, exact(float(limit[0]), 1, settings.seed), truth,
            numerical=change, margin=1e-3 * abs(truth), scale=truth, config={"steps": list(steps)},
        )  # fmt: skip


def _grid_rows(rows: Rows, flow: Flow, settings: Settings) -> Iterator[Row]:
    """On one grid and common noise: ∂x[u] and ∂²x[u, v] against differences in the initial value, root mean square."""
    paths, grid = 256, flow.grid(STEPS)
    noise = flow.increments(grid, paths, settings.seed)
    u, v = _directions(flow, settings.seed)
    (first, second), (error1, error2) = _differences(flow, grid, noise, u, v)
    config = {"steps": STEPS, "paths": paths}
    found = {
        label: s.split(solve(s, s.initial(flow.x0, u, v), grid, noise=noise))[1:] for label, s in _systems(flow).items()
    }
    jets = initial_value_derivatives(flow.base, flow.x0, grid, directions=torch.stack([u, v]), noise=noise)
    firsts: Sequence[tuple[Form, str, Tensor]] = (
        ("printed", "(52) as a system", found["literal"][0]),
        ("corrected", "jets", jets.first[..., 0]),
    )
    for form, label, value in firsts:
        gap = exact(relative(value, first), paths, settings.seed)
        yield rows.equal("∂x[u]", form, label, gap, numerical=error1, margin=MARGIN, config=config)
    for label, value in {**{k: p[2] for k, p in found.items()}, "jets": jets.second[..., 0, 1]}.items():
        apart = _relative_estimate(value, second, settings)
        yield rows.equal("∂²x[u, v]", _form(label), label, apart, numerical=error2, margin=MARGIN, config=config)


def _relative_estimate(value: Tensor, truth: Tensor, settings: Settings) -> Estimate:
    """Root mean square of the difference over that of the truth, with its spread over groups of paths."""
    groups = [relative(a, b) for a, b in zip(value.chunk(GROUPS), truth.chunk(GROUPS), strict=True)]
    spread = float(np.std(groups, ddof=1) / GROUPS**0.5)
    return Estimate(float(np.mean(groups)), spread, len(value), GROUPS - 1, settings.seed)


def _differences(
    flow: Flow, grid: TimeGrid, noise: Tensor, u: Tensor, v: Tensor
) -> tuple[tuple[Tensor, Tensor], tuple[float, float]]:
    """∂x[u] and ∂²x[u, v] by central differences of fourth order, and how far they are off, relative."""

    def end(a: float, b: float) -> Tensor:
        return solve(flow.base, flow.x0 + a * u + b * v, grid, noise=noise)

    def central(h: float) -> tuple[Tensor, Tensor]:
        first = (end(h, 0) - end(-h, 0)) / (2 * h)
        return first, (end(h, h) - end(h, -h) - end(-h, h) + end(-h, -h)) / (4 * h * h)

    coarse, middle, fine = (central(h) for h in (2e-2, 1e-2, 5e-3))
    lower = [(4 * b - a) / 3 for a, b in zip(coarse, middle, strict=True)]
    upper = [(4 * b - a) / 3 for a, b in zip(middle, fine, strict=True)]
    errors = [relative(a, b) + 1e-11 for a, b in zip(lower, upper, strict=True)]
    return (upper[0], upper[1]), (errors[0], errors[1])


def _expansion_rows(rows: Rows, flow: Flow, settings: Settings) -> Iterator[Row]:
    """The remainder of (54) along one direction: sup_t ‖·‖ falls like ε³, and over ε³ it tends to ∂³x[u, u, u]/6."""
    u, _ = _directions(flow, settings.seed)
    family = ShiftedStart(flow.base, u)
    weights = torch.linspace(1.0, 2.0, len(u), dtype=u.dtype)
    # A linear function of X = x^ε − εu has the higher derivatives of x^ε itself.
    tests = taylor_tests(
        family, {"x": lambda x: x @ weights}, flow.x0, flow.grid(STEPS), paths=settings.paths(2**9), seed=settings.seed
    )
    test = tests["x", "corrected"]
    rate = test.rates["strong", 2]
    yield rows.equal(
        "rate of (54)'s remainder",
        "printed",
        "with the true derivatives",
        Estimate(rate.value, rate.stderr, test.sample.paths, rate.dof, settings.seed),
        3.0,
        numerical=rate.numerical + rate.rounding,
        margin=0.5,
        scale=3.0,
        config={"steps": STEPS},
    )
    size = test.size(3)
    yield rows.equal(
        "remainder/ε³ − third derivative",
        "corrected",
        "jets",
        test.third["difference"],
        numerical=test.third_numerical,
        margin=10 * settings.precision * size,
        scale=test.third["predicted"],
        config={"steps": STEPS},
    )


CLAIM = Claim(
    "initial_value",
    ("(52)", "(53)", "(54)"),
    ("sine", "circle", "time-dependent", "latent"),
    check,
    curves,
    quick=("sine", "time-dependent"),
    seconds={"sine": 13.0, "latent": 6.0},
)
