"""A neural SDE as torchsde's documentation writes one, with float32 weights."""

import torch
from torch import nn

from sdewm import PerturbedSDE, System, TimeGrid


class NeuralSDE(nn.Module):
    noise_type = "diagonal"
    sde_type = "ito"

    def __init__(self, state_size, scale):
        super().__init__()
        self.mu = nn.Sequential(nn.Linear(state_size, 32), nn.Tanh(), nn.Linear(32, state_size))
        self.sigma = nn.Sequential(nn.Linear(state_size, 32), nn.Softplus(), nn.Linear(32, state_size))
        self.scale = scale

    def f(self, t, y):
        return self.scale * self.mu(y)

    def g(self, t, y):
        return self.scale * torch.sigmoid(self.sigma(y))


def system():
    torch.manual_seed(0)
    family = PerturbedSDE(NeuralSDE(4, 1.0), NeuralSDE(4, 0.5))
    x0 = torch.tensor([0.5, -0.2, 0.1, 0.8])  # float32
    return System(family, lambda y: (y**2).sum(-1), x0, TimeGrid(0.0, 1.0, 32), name="torchsde module, float32")
