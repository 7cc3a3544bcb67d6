"""The sensitivities ∂_ε x and ∂²_ε x by their own equations, (34)–(40), and Lemma B.6.

Three ways that share no formula: (38)–(40) as a system of SDEs, jets through the stepper, central differences in ε on
common noise. By one stepper on one grid they are the same map, whatever the stepper. (36) and (37) are the same at
ε ≠ 0. Lemma B.6 says that three suprema are finite, and the number that bounds them is left free.
"""

import time
from collections.abc import Iterator

import torch
from torch import Tensor

from sdewm.estimate.samples import Sample, sample
from sdewm.jets import Jet, JetSpace
from sdewm.noise.brownian import BrownianPath
from sdewm.noise.increments import Increments
from sdewm.noise.samplers import MonteCarlo
from sdewm.sensitivity import SensitivitySDE
from sdewm.solvers.loop import solve, trajectory
from sdewm.solvers.methods import Method
from sdewm.solvers.orders import convergence
from sdewm.verification.settings import Settings
from sdewm.verification.verdicts import Claimed, Form, Inequality
from theory_checks.flows import FLOWS, Flow, exact, row

CLAIM = "sensitivity_sdes"
SYSTEMS = ("gbm", "linear", "circle", "clock", "latent")
QUICK = ("gbm", "clock")
# Other methods where noises do not commute and where coefficients depend on time; orders on the latter.
OTHERS: dict[str, tuple[Method, ...]] = {"linear": ("milstein", "sri2"), "clock": ("milstein", "sri2")}
ORDERS = ("clock",)
PARTS = ("∂x", "∂²x")
ROUNDING = 1e-12
MARGIN = 1e-5
LEVEL = 3
# Where the coefficients are looked at for (36) and (37).
EPS = 0.3
# The drift's part of the error, of order 1, hides the noise's on coarser grids: slopes of 0.62 at levels 3 to 5, 0.53
# at 5 to 7 and 0.51 at 7 to 9.
ORDER_LEVELS = (5, 6, 7)


def check(system: str, settings: Settings) -> list[Claimed]:
    flow = FLOWS[system]()
    rows = list(_agreement_rows(system, flow, settings))
    if system in ORDERS:
        rows += _order_rows(system, flow, settings)
    rows += _lemma_rows(system, flow, settings)
    return rows


def _agreement_rows(system: str, flow: Flow, settings: Settings) -> Iterator[Claimed]:
    paths = 16
    noise = BrownianPath(settings.seed, paths, flow.channels, 0.0, flow.horizon).at(LEVEL, finest=LEVEL)
    for method in ("euler", *OTHERS.get(system, ())):
        started = time.perf_counter()
        solved = _as_system(flow, 0.0, method, noise)
        jets = _by_jets(flow, method, noise)
        differences, errors = _by_differences(flow, 0.0, method, noise)
        for i, part in enumerate(PARTS):
            pairs: tuple[tuple[Form, str, Tensor, Tensor, float], ...] = (
                ("printed", "(38)-(40) as a system, against differences in ε", solved[i], differences[i], errors[i]),
                ("corrected", "(38)-(40) as a system, against jets", solved[i], jets[i], ROUNDING),
                ("corrected", "jets, against differences in ε", jets[i], differences[i], errors[i]),
            )
            for form, reading, value, truth, numerical in pairs:
                margin = 1e-9 if numerical == ROUNDING else MARGIN
                yield row(
                    CLAIM, system, f"{part}, {method}", form, reading,
                    exact(_relative(value, truth), paths, settings.seed), 0.0, numerical, margin, 1.0, started,
                    {"steps": 2**LEVEL, "paths": paths},
                )  # fmt: skip
    started = time.perf_counter()
    solved = _as_system(flow, EPS, "euler", noise)
    differences, errors = _by_differences(flow, EPS, "euler", noise)
    for i, equation in enumerate(("(36)", "(37)")):
        yield row(
            CLAIM, system, f"{PARTS[i]} at ε = {EPS:g}", "printed", f"{equation}, against differences in ε",
            exact(_relative(solved[i], differences[i]), paths, settings.seed), 0.0, errors[i], MARGIN, 1.0, started,
            {"steps": 2**LEVEL, "paths": paths},
        )  # fmt: skip


def _as_system(flow: Flow, eps: float, method: Method, noise: Increments) -> tuple[Tensor, Tensor]:
    system = SensitivitySDE(flow.family, eps)
    grid = flow.grid(noise.steps)
    return system.split(solve(system, system.initial(flow.x0), grid, method=method, noise=noise))[1:]


def _by_jets(flow: Flow, method: Method, noise: Increments) -> tuple[Tensor, Tensor]:
    family = flow.family.at(JetSpace(1, 2).parameter(0))
    x = solve(family, flow.x0, flow.grid(noise.steps), method=method, noise=noise)
    return x.derivative((1,)), x.derivative((2,))  # type: ignore[attr-defined]


def _by_differences(
    flow: Flow, eps: float, method: Method, noise: Increments
) -> tuple[tuple[Tensor, Tensor], tuple[float, float]]:
    """Central differences of sixth order, and how far those of fourth order are off, relative."""
    h = 1e-2

    def at(k: int) -> Tensor:
        return solve(flow.family.at(eps + k * h), flow.x0, flow.grid(noise.steps), method=method, noise=noise)

    x = {k: at(k) for k in range(-3, 4)}
    odd, even = {k: x[k] - x[-k] for k in (1, 2, 3)}, {k: x[k] + x[-k] - 2 * x[0] for k in (1, 2, 3)}
    first = (45 * odd[1] - 9 * odd[2] + odd[3]) / (60 * h)
    second = (270 * even[1] - 27 * even[2] + 2 * even[3]) / (180 * h**2)
    lower = (8 * odd[1] - odd[2]) / (12 * h), (16 * even[1] - even[2]) / (12 * h**2)
    # Rounding of the solutions themselves, magnified by the difference.
    rounding = 1e-14 * float(x[0].abs().max())
    errors = [
        _relative(coarse, fine) + rounding / (h**order * float(fine.square().mean().sqrt()) + 1e-300)
        for order, (coarse, fine) in enumerate(zip(lower, (first, second), strict=True), start=1)
    ]
    return (first, second), (errors[0], errors[1])


def _relative(value: Tensor, truth: Tensor) -> float:
    return float((value - truth).square().mean().sqrt() / truth.square().mean().sqrt())


def _order_rows(system: str, flow: Flow, settings: Settings) -> Iterator[Claimed]:
    """(x, ∂x, ∂²x) by Euler converges like x itself."""
    started, family = time.perf_counter(), SensitivitySDE(flow.family)
    found = convergence(
        family, family.initial(flow.x0), flow.grid(1), method="euler", levels=ORDER_LEVELS,
        paths=settings.rounds * settings.paths(1024),
        reference="euler", refine=2, seed=settings.seed,
    )  # fmt: skip
    yield row(
        CLAIM, system, "strong order of (x, ∂x, ∂²x), euler", "corrected", "(38)-(40) as a system", found.slope, 0.5,
        float(abs(found.rates[-1] - found.slope.mean)), 0.25, 0.5, started, {"levels": list(ORDER_LEVELS)},
    )  # fmt: skip


def _lemma_rows(system: str, flow: Flow, settings: Settings) -> Iterator[Claimed]:
    """E sup_t ‖·‖² of x, ∂x and ∂²x: finite, and no constant is given that it should be within."""
    started = time.perf_counter()
    found = _suprema(flow, settings)
    for name in ("x", *PARTS):
        yield Inequality(
            claim=CLAIM, system=system, quantity=f"Lemma B.6: E sup‖{name}‖² bounded", form="printed", reading="",
            statistic=found.estimate(name), bound=0.0, numerical=0.0, scale=1.0,
            seconds=time.perf_counter() - started, config={"steps": 32}, vacuous=True,
        )  # fmt: skip


def _suprema(flow: Flow, settings: Settings) -> Sample:
    grid = flow.grid(32)

    def evaluate(noise: Increments) -> dict[str, Tensor]:
        largest: dict[str, Tensor] = {}
        family = flow.family.at(JetSpace(1, 2).parameter(0))
        for _, _, x in trajectory(family, flow.x0, grid, "euler", noise):
            # The initial state is not a jet, and has no derivatives.
            parts = [x.derivative((order,)) for order in range(3)] if isinstance(x, Jet) else [x, 0 * x, 0 * x]
            for name, part in zip(("x", *PARTS), parts, strict=True):
                size = part.square().sum(-1)
                largest[name] = torch.maximum(largest.get(name, size), size)
        return largest

    return sample(evaluate, MonteCarlo(settings.paths(2**12), settings.seed), flow.channels, grid, flow.x0)


if __name__ == "__main__":
    import sys

    from theory_checks.run import main

    raise SystemExit(main([CLAIM, *sys.argv[1:]]))
