"""Systems with one mistake each, as users make them. Each has to be refused, or refuted."""

import torch
from torch import nn

from sdewm import FunctionSDE, PerturbedSDE, System, TimeGrid

X0 = torch.tensor([0.8, -0.3], dtype=torch.float64)
GRID = TimeGrid(0.0, 1.0, 32)


def base(**kwargs):
    return FunctionSDE(lambda t, x: torch.sin(x.flip(-1)), lambda t, x: 0.3 + 0.1 * torch.cos(x), **kwargs)


def error():
    return FunctionSDE(lambda t, x: torch.cos(x) * x, lambda t, x: torch.tanh(x))


def square(x):
    return (x**2).sum(-1)


class Detached(nn.Module):
    """An error that a network makes, whose input was detached so that training would not reach it."""

    noise_type, sde_type = "diagonal", "ito"

    def f(self, t, x):
        return torch.cos(x.detach()) * x.detach()

    def g(self, t, x):
        return torch.tanh(x.detach())


def dropped_gradient():
    return System(PerturbedSDE(base(), Detached()), square, X0, GRID, name="error's gradient dropped")


def wrong_noise_type():
    sde = FunctionSDE(
        lambda t, x: torch.sin(x), lambda t, x: torch.diag_embed(0.3 + 0.1 * torch.cos(x)), noise_type="additive"
    )
    return System(
        PerturbedSDE(sde, FunctionSDE(lambda t, x: torch.cos(x))),
        square,
        X0,
        GRID,
        name="multiplicative noise, declared additive",
    )


def random_loss():
    return System(
        PerturbedSDE(base(), error()),
        lambda x: square(x + 0.1 * torch.randn_like(x)),
        X0,
        GRID,
        name="loss draws random numbers",
    )


def mixing_loss():
    return System(PerturbedSDE(base(), error()), lambda x: square(x - x.mean(0)), X0, GRID, name="loss mixes paths")


def loss_with_another_derivative():
    def loss(x):
        rounded = x + (torch.round(10 * x) / 10 - x).detach()  # a straight-through estimator
        return square(rounded)

    return System(PerturbedSDE(base(), error()), loss, X0, GRID, name="loss with a straight-through gradient")


MISTAKES = (dropped_gradient, wrong_noise_type, random_loss, mixing_loss, loss_with_another_derivative)
