"""Modules with the interface of TorchRL's RSSMPrior and RSSMPosterior: GRUCell, ELU and softplus, in float32."""

import torch
from torch import nn

from sdewm import FunctionSDE, PerturbedSDE, System, TimeGrid

STATE, BELIEF, OBS = 4, 16, 6


class RSSMPrior(nn.Module):
    def __init__(self, hidden=16, scale_lb=0.1):
        super().__init__()
        self.action_state_projector = nn.Sequential(nn.Linear(STATE + 1, hidden), nn.ELU())
        self.rnn = nn.GRUCell(hidden, BELIEF)
        self.rnn_to_prior_projector = nn.Sequential(nn.Linear(BELIEF, hidden), nn.ELU(), nn.Linear(hidden, 2 * STATE))
        self.scale_lb = scale_lb

    def forward(self, state, belief, action):
        belief = self.rnn(self.action_state_projector(torch.cat([state, action], -1)), belief)
        mean, std = self.rnn_to_prior_projector(belief).chunk(2, -1)
        return mean, nn.functional.softplus(std) + self.scale_lb, belief


class RSSMPosterior(nn.Module):
    def __init__(self, hidden=16, scale_lb=0.1):
        super().__init__()
        self.obs_rnn_to_post_projector = nn.Sequential(
            nn.Linear(BELIEF + OBS, hidden), nn.ELU(), nn.Linear(hidden, 2 * STATE)
        )
        self.scale_lb = scale_lb

    def forward(self, belief, obs_embedding):
        mean, std = self.obs_rnn_to_post_projector(torch.cat([belief, obs_embedding], -1)).chunk(2, -1)
        return mean, nn.functional.softplus(std) + self.scale_lb


def system():
    torch.manual_seed(0)
    prior, posterior, decoder = RSSMPrior(), RSSMPosterior(), nn.Linear(BELIEF + STATE, OBS)
    embeddings, goal = 0.5 * torch.randn(8, OBS), torch.randn(OBS)

    # x = (state, belief); with Δt = 1 a step of Euler's scheme is a step of the model.
    def step(t, x):
        state, belief = x[..., :STATE], x[..., STATE:]
        _, _, belief_next = prior(state, belief, torch.tanh(state[..., :1]))
        embedding = embeddings[int(t)].expand(*belief.shape[:-1], OBS)
        mean, std = posterior(belief_next, embedding)
        return mean, std, belief_next

    def drift(t, x):
        mean, _, belief_next = step(t, x)
        return torch.cat([mean, belief_next], -1) - x

    def diffusion(t, x):
        std = step(t, x)[1]
        return torch.cat([std, torch.zeros_like(x[..., STATE:])], -1)

    def sigma(t, x):
        return torch.cat([0.5 * torch.tanh(x[..., :STATE]), torch.zeros_like(x[..., STATE:])], -1)

    def sigma_bar(t, x):
        return torch.cat([0.3 * torch.ones_like(x[..., :STATE]), torch.zeros_like(x[..., STATE:])], -1)

    family = PerturbedSDE(FunctionSDE(drift, diffusion), FunctionSDE(sigma, sigma_bar))
    x0 = torch.zeros(STATE + BELIEF)

    def loss(x):
        return ((decoder(torch.cat([x[:, STATE:], x[:, :STATE]], -1)) - goal) ** 2).mean(-1)

    return System(family, loss, x0, TimeGrid(0.0, 8.0, 8), continuous=False, name="RSSM as in TorchRL, float32")
