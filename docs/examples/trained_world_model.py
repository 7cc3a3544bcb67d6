"""A trained world model.

A small model of a walker, trained from pixels, under an error in its encoder that is as large as the latents' own
spread at ε = 1. The loss is that of the decoded images over eight steps.
"""

import torch

from sdewm import PerturbedSDE, SummedLoss, TimeGrid, expand
from sdewm.worldmodel import initial_state, load_trained, reconstruction_loss, to_sequences

agent, episodes = load_trained()
episode = to_sequences(episodes[0][None], torch.float64)
images, actions = episode.observations[0], episode.actions[0]
model = agent.as_sde(images)
spread = agent.world_model.latent_spread

error = model.encoder_error(sigma_bar=lambda h, s: spread.expand(*h.shape[:-1], -1))
x0 = initial_state(agent.world_model, images, actions, t=10)
loss = SummedLoss(reconstruction_loss(agent.world_model, episode), times=[float(t) for t in range(11, 19)])
grid = TimeGrid(10.0, 18.0, 8)

expand(PerturbedSDE(model, error), loss, x0, grid, method="euler-sequential", paths=512).plot()
