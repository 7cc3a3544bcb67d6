"""Assumptions 3.1 and 3.2 on the systems that the paper is about: are coefficients bounded, and of class C³?

Sampling finds violations and never proves that there are none; a row that is verified says that none was found. As
corrected: linear growth, which is what the proofs use, and activations that are smooth.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from sdewm.divergence.assumptions import JUMP, NO_GROWTH, AssumptionReport, check_assumptions
from sdewm.estimate.estimates import Estimate
from sdewm.exact import reference
from sdewm.exact.problems import PROBLEMS
from sdewm.systems.sde import FunctionSDE
from sdewm.verification.settings import Settings
from sdewm.verification.verdicts import Claimed, Form, Inequality
from theory_checks.systems import trained_family

CLAIM = "assumptions"
# Section 3.1's encoders have ReLU, the DreamerV2 of Section 5 has ELU; beside each its smooth neighbour.
ACTIVATIONS: dict[str, tuple[type[nn.Module], type[nn.Module]]] = {"relu": (nn.ReLU, nn.GELU), "elu": (nn.ELU, nn.SiLU)}
SYSTEMS = ("relu", "elu", "gbm", "circle", "latent", "trained")
QUICK = ("relu", "elu", "gbm", "latent")
GROWTH, SMOOTH = "growth of the coefficients", "largest jump of a derivative"


def check(system: str, settings: Settings) -> list[Claimed]:
    if system in ACTIVATIONS:
        kink, smooth = ACTIVATIONS[system]
        return [
            _smooth(system, "printed", f"C³, with {kink.__name__}", _network(kink, settings)),
            _smooth(system, "corrected", f"C³, with {smooth.__name__}", _network(smooth, settings)),
        ]
    report = _report(system, settings)
    return [
        _growth(system, "printed", "bounded", report, 0.0),
        _growth(system, "corrected", "linear growth", report, 1.0),
        _smooth(system, "printed", "C³", report),
    ]


def _report(system: str, settings: Settings) -> AssumptionReport:
    if system == "trained":
        family, _, x0 = trained_family()
        return check_assumptions(family, x0, t=10.0, seed=settings.seed)
    if system == "latent":
        return check_assumptions(reference.latent_family(), reference.initial_state(), seed=settings.seed)
    problem = PROBLEMS[system]()
    return check_assumptions(problem.family, problem.x0, seed=settings.seed)


def _network(activation: Callable[[], nn.Module], settings: Settings) -> AssumptionReport:
    """A drift with one hidden layer of that activation, 4 – 32 – 4."""
    generator = torch.Generator().manual_seed(settings.seed)
    net = nn.Sequential(nn.Linear(4, 32), activation(), nn.Linear(32, 4)).double().requires_grad_(False)
    for parameter in net.parameters():
        parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))

    def drift(t: Tensor, x: Tensor) -> Tensor:
        return net(x)

    return check_assumptions(FunctionSDE(drift), torch.zeros(4, dtype=torch.float64), seed=settings.seed)


def _growth(system: str, form: Form, reading: str, report: AssumptionReport, power: float) -> Claimed:
    largest = max(0.0, *report.growth.values())
    return _row(system, GROWTH, form, reading, largest, power + NO_GROWTH, report)


def _smooth(system: str, form: Form, reading: str, report: AssumptionReport) -> Claimed:
    return _row(system, SMOOTH, form, reading, max(report.jumps.values()), JUMP, report)


def _row(
    system: str, quantity: str, form: Form, reading: str, value: float, bound: float, report: AssumptionReport
) -> Claimed:
    config = {"lines": report.lines, "violations": [str(v) for v in report.violations]}
    return Inequality(
        CLAIM, system, quantity, form, reading, Estimate(value, 0.0, report.lines), bound, 0.0, value, config=config
    )


if __name__ == "__main__":
    import sys

    from theory_checks.run import main

    raise SystemExit(main([CLAIM, *sys.argv[1:]]))
