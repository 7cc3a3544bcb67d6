"""An audit of TorchRL's modules.

RSSMPrior, RSSMPosterior, ObsEncoder, ObsDecoder and DreamerActor, in float32 and as they are. They are not trained, and
the audit says so: from no step on do predictions beat the mean image. Needs torchrl.
"""

import torch
from torchrl.data import Bounded
from torchrl.modules.models.model_based import DreamerActor, ObsDecoder, ObsEncoder, RSSMPosterior, RSSMPrior

from sdewm.adapters import Recording, from_torchrl
from sdewm.auditing import audit

torch.manual_seed(0)
prior = RSSMPrior(Bounded(-1, 1, (2,)), hidden_dim=16, rnn_hidden_dim=16, state_dim=4)
posterior = RSSMPosterior(hidden_dim=16, state_dim=4)
encoder, decoder, actor = ObsEncoder(channels=4), ObsDecoder(channels=4), DreamerActor(2, depth=2, num_cells=16)

# A square that drifts over an image, pushed by the actions.
episodes = []
for _ in range(4):
    actions, place = 2 * torch.rand(16, 2) - 1, torch.rand(2) * 40
    images = torch.zeros(16, 3, 64, 64)
    for image, action in zip(images, actions, strict=True):
        row, column = (int(x) for x in place)
        image[:, row : row + 16, column : column + 16] = 1.0
        place = (place + 4 * action).clamp(0, 47)
    episodes.append(Recording(images, actions))

with torch.no_grad():  # lazy layers take their sizes from what they meet first
    state, belief = torch.zeros(1, 4), torch.zeros(1, 16)
    prior(state, belief, actions[:1]), posterior(belief, encoder(images[:1]))
    decoder(state, belief), actor(state, belief)

model = from_torchrl(prior, posterior, encoder=encoder, decoder=decoder, actor=actor)
found = audit(model, episodes, horizon=8, context=4, steps=2, paths=32)
print(found)
found.plot()
