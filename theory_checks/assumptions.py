"""Assumptions 3.1 and 3.2 on the systems that the paper is about: are coefficients bounded, and of class C³?

Sampling finds violations and never proves that there are none; a row that is verified says that none was found. As
corrected: linear growth, which is what the proofs use, and activations that are smooth.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from sdewm.divergence.assumptions import AssumptionReport, check_assumptions
from sdewm.exact import reference
from sdewm.exact.problems import PROBLEMS
from sdewm.systems.sde import FunctionSDE
from sdewm.verdicts.judge import Row
from sdewm.verification.claims.assumptions import growth_row, smooth_row
from sdewm.verification.settings import Settings
from theory_checks.claim import Claim
from theory_checks.rows import Rows
from theory_checks.systems import trained_family

# Section 3.1's encoders have ReLU, the DreamerV2 of Section 5 has ELU; beside each its smooth neighbour.
ACTIVATIONS: dict[str, tuple[type[nn.Module], type[nn.Module]]] = {"relu": (nn.ReLU, nn.GELU), "elu": (nn.ELU, nn.SiLU)}


def check(rows: Rows, settings: Settings) -> list[Row]:
    claim, system = rows.claim, rows.system
    if system in ACTIVATIONS:
        kink, smooth = ACTIVATIONS[system]
        return [
            smooth_row(claim, system, "printed", f"C³, with {kink.__name__}", _network(kink, settings)),
            smooth_row(claim, system, "corrected", f"C³, with {smooth.__name__}", _network(smooth, settings)),
        ]
    report = _report(system, settings)
    return [
        growth_row(claim, system, "printed", "bounded", report, 0.0),
        growth_row(claim, system, "corrected", "linear growth", report, 1.0),
        smooth_row(claim, system, "printed", "C³", report),
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


CLAIM = Claim(
    "assumptions",
    ("Assumption 3.1", "Assumption 3.2", "Assumption B.2", "Assumption B.3"),
    (*ACTIVATIONS, "gbm", "circle", "latent", "trained"),
    check,
    quick=(*ACTIVATIONS, "gbm", "latent"),
    seconds={"trained": 15.0},
)
