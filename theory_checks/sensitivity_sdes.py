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
from sdewm.jets import Jet, JetSpace, Parameter
from sdewm.noise.brownian import BrownianPath
from sdewm.noise.increments import Increments
from sdewm.noise.samplers import MonteCarlo
from sdewm.sensitivity import SensitivitySDE
from sdewm.solvers.loop import trajectory
from sdewm.solvers.methods import Method
from sdewm.solvers.orders import convergence
from sdewm.verification.claims.sensitivities import EQUATIONS, PARTS, by_differences, by_equations, by_jets
from sdewm.verification.pathwise import relative
from sdewm.verification.settings import Settings
from sdewm.verification.verdicts import Claimed, Form, Inequality
from theory_checks.flows import FLOWS, Flow, exact, row

CLAIM = "sensitivity_sdes"
SYSTEMS = ("gbm", "linear", "circle", "clock", "latent")
QUICK = ("gbm", "clock")
# Other methods where noises do not commute and where coefficients depend on time; orders on the latter.
OTHERS: dict[str, tuple[Method, ...]] = {"linear": ("milstein", "sri2"), "clock": ("milstein", "sri2")}
ORDERS = ("clock",)
# Of differences in ε.
STEP = 1e-2
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
    grid = flow.grid(noise.steps)
    for method in ("euler", *OTHERS.get(system, ())):
        started = time.perf_counter()
        solved = by_equations(flow.family, 0.0, flow.x0, grid, method, noise)
        jets = by_jets(flow.family, flow.x0, grid, method, noise)
        differences, errors = by_differences(flow.family, 0.0, flow.x0, grid, method, noise, STEP)
        for i, part in enumerate(PARTS):
            pairs: tuple[tuple[Form, str, Tensor, Tensor, float], ...] = (
                ("printed", f"{EQUATIONS}, against differences in ε", solved[i], differences[i], errors[i]),
                ("corrected", f"{EQUATIONS}, against jets", solved[i], jets[i], ROUNDING),
                ("corrected", "jets, against differences in ε", jets[i], differences[i], errors[i]),
            )
            for form, reading, value, truth, numerical in pairs:
                margin = 1e-9 if numerical == ROUNDING else MARGIN
                yield row(
                    CLAIM, system, f"{part}, {method}", form, reading,
                    exact(relative(value, truth), paths, settings.seed), 0.0, numerical, margin, 1.0, started,
                    {"steps": 2**LEVEL, "paths": paths},
                )  # fmt: skip
    started = time.perf_counter()
    solved = by_equations(flow.family, EPS, flow.x0, grid, "euler", noise)
    differences, errors = by_differences(flow.family, EPS, flow.x0, grid, "euler", noise, STEP)
    for i, equation in enumerate(("(36)", "(37)")):
        yield row(
            CLAIM, system, f"{PARTS[i]} at ε = {EPS:g}", "printed", f"{equation}, against differences in ε",
            exact(relative(solved[i], differences[i]), paths, settings.seed), 0.0, errors[i], MARGIN, 1.0, started,
            {"steps": 2**LEVEL, "paths": paths},
        )  # fmt: skip


def _order_rows(system: str, flow: Flow, settings: Settings) -> Iterator[Claimed]:
    """(x, ∂x, ∂²x) by Euler converges like x itself."""
    started, family = time.perf_counter(), SensitivitySDE(flow.family)
    found = convergence(
        family, family.initial(flow.x0), flow.grid(1), method="euler", levels=ORDER_LEVELS,
        paths=settings.rounds * settings.paths(1024),
        reference="euler", refine=2, seed=settings.seed,
    )  # fmt: skip
    yield row(
        CLAIM, system, "strong order of (x, ∂x, ∂²x), euler", "corrected", EQUATIONS, found.slope, 0.5,
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
        family = flow.family.at(Parameter(JetSpace(1, 2), 0))
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
