"""Taylor tests that several files make."""

from __future__ import annotations

import torch
from support import FALSE_FAILURE, grid_of
from torch import nn

from sdewm.exact import reference
from sdewm.exact.problems import PROBLEMS
from sdewm.expansion.rates import KINDS
from sdewm.expansion.taylor import taylor_test
from sdewm.expansion.taylor_result import TaylorTest
from sdewm.noise.grid import TimeGrid
from sdewm.systems.blocks import BlockSizes
from sdewm.systems.latent import LatentSDE
from sdewm.systems.perturbed import PerturbedSDE
from sdewm.systems.sde import FunctionSDE

GRID = TimeGrid(0.0, 1.0, 8)
ORDERS = [(kind, order) for kind in KINDS for order in range(3)]
# Nine rates at once in each test share the false-failure rate.
CONFIDENCE = 1 - FALSE_FAILURE / len(ORDERS)
CIRCLE = PROBLEMS["circle"]()


def constant(value: float):
    return lambda t, x: torch.zeros_like(x) + value


def ladder(top: float, rungs: int = 6) -> list[float]:
    return [top / 2**j for j in range(rungs)]


def run_circle(**options) -> TaylorTest:
    return taylor_test(
        CIRCLE.family, CIRCLE.loss, CIRCLE.x0, GRID, **{"paths": 256, "confidence": CONFIDENCE} | options
    )


def outcomes(result: TaylorTest, kind: str) -> list[str]:
    return [result.rates[kind, order].outcome for order in range(3)]


def expected(result: TaylorTest, kind: str) -> list[int]:
    return [result.rates[kind, order].expected for order in range(3)]


def in_float32(family: PerturbedSDE) -> PerturbedSDE:
    for part in (family.base, family.error):
        for module in vars(part).values():
            if isinstance(module, nn.Module):
                module.float()
    return family


class Blocks(nn.Module):
    """A network of its inputs side by side; ``positive`` makes a diffusion of it."""

    def __init__(self, inputs: int, outputs: int, positive: bool = False) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(inputs, 16), nn.SiLU(), nn.Linear(16, outputs))
        self.positive = positive

    def forward(self, *inputs):
        paths = max(len(x) for x in inputs if x.ndim == 2)
        value = self.net(torch.cat([x if x.ndim == 2 else x.expand(paths, -1) for x in inputs], -1))
        return 0.1 + 0.3 * nn.functional.softplus(value) if self.positive else value


class Cell(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(4, 8)

    def forward(self, h, z, action):
        return self.cell(torch.cat([z, action], -1), h)


def recurrent() -> tuple:
    """A recurrent state-space model with a GRU cell, in float32, under an error of its encoder."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LatentSDE(
            q_enc=Blocks(10, 3), q_enc_bar=Blocks(10, 3, True), f=Cell(), p=Blocks(8, 3), p_bar=Blocks(8, 3, True),
            q_dec=Blocks(11, 2), policy=Blocks(11, 1), sizes=BlockSizes(z=3, h=8, z_tilde=3, s_tilde=2), leak=1.0,
            observation=lambda t: torch.stack([torch.sin(t), torch.cos(t)]),
        )  # fmt: skip
        family = PerturbedSDE(model, model.encoder_error(Blocks(10, 3), Blocks(10, 3)))
    for part in (family.base, family.error):
        for module in vars(part).values():
            if isinstance(module, nn.Module):
                module.requires_grad_(False)
    loss = lambda x: (x * x).mean(-1)  # noqa: E731
    return family, loss, torch.zeros(16), TimeGrid(0.0, 6.0, 6), {"method": "euler-sequential"}


def linear() -> tuple:
    """The linear system of PROBLEMS with its numbers in float32."""
    problem = PROBLEMS["linear"]()

    def of(model) -> FunctionSDE:
        A, a, B, b = (torch.tensor(part, dtype=torch.float32) for part in (model.A, model.a, model.B, model.b))
        # Rows of g are coordinates, columns are channels.
        wide, offset = B.transpose(0, 1).reshape(-1, B.shape[-1]), b.mT.reshape(-1)
        return FunctionSDE(
            lambda t, x: x @ A.mT + a, lambda t, x: (x @ wide.mT + offset).unflatten(-1, (3, 2)), "general"
        )

    base, error = problem.model
    family = PerturbedSDE(of(base), of(error))
    return family, lambda x: (x * x).sum(-1) + x.sum(-1), problem.x0.float(), grid_of(problem, 16), {}


def float32_case(name: str) -> tuple:
    if name == "reference":
        return in_float32(reference.latent_family()), reference.loss, reference.initial_state().float(), GRID, {}
    if name == "recurrent":
        return recurrent()
    if name == "linear":
        return linear()
    problem = PROBLEMS[name]()
    return problem.family, problem.loss, problem.x0.float(), grid_of(problem, 16), {}


def run_float32(name: str, **options) -> TaylorTest:
    *arguments, more = float32_case(name)
    return taylor_test(*arguments, **{"paths": 2**10, "confidence": CONFIDENCE} | more | options)
