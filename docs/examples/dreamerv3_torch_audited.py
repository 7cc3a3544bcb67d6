"""An audit of a dreamerv3-torch checkpoint.

The weights of an agent with continuous latents (`dyn_discrete: 0`), under the names that they have there. Here they are
random; yours are in `logdir/latest.pt`, which is read with `weights_only=True`.
"""

import torch

from sdewm.adapters import Recording, from_dreamerv3_torch
from sdewm.auditing import audit

STOCH, DETER, HIDDEN, UNITS, NUMBERS, ACTIONS = 4, 16, 16, 16, 3, 1
sizes = {
    "_wm.dynamics._img_in_layers.0": (HIDDEN, STOCH + ACTIONS),
    "_wm.dynamics._cell.layers.GRU_linear": (3 * DETER, HIDDEN + DETER),
    "_wm.dynamics._img_out_layers.0": (HIDDEN, DETER),
    "_wm.dynamics._obs_out_layers.0": (HIDDEN, DETER + UNITS),
    "_wm.dynamics._imgs_stat_layer": (2 * STOCH, HIDDEN),
    "_wm.dynamics._obs_stat_layer": (2 * STOCH, HIDDEN),
    "_wm.encoder._mlp.layers.Encoder_linear0": (UNITS, NUMBERS),
    "_wm.heads.decoder._mlp.layers.Decoder_linear0": (UNITS, STOCH + DETER),
    "_wm.heads.decoder._mlp.mean_layer.position": (NUMBERS, UNITS),
    "_task_behavior.actor.layers.Actor_linear0": (UNITS, STOCH + DETER),
    "_task_behavior.actor.mean_layer": (ACTIONS, UNITS),
    "_task_behavior.actor.std_layer": (ACTIONS, UNITS),
}
torch.manual_seed(0)
state = {}
for name, (rows, columns) in sizes.items():
    state[f"{name}.weight"] = torch.randn(rows, columns, dtype=torch.float64) / columns**0.5
    if name.endswith(("stat_layer", "mean_layer", "std_layer", "position")):
        state[f"{name}.bias"] = torch.zeros(rows, dtype=torch.float64)

model = from_dreamerv3_torch(state)
episodes = []
for _ in range(6):
    t = torch.arange(60, dtype=torch.float64) + 20 * torch.rand(1, dtype=torch.float64)
    waves = torch.stack([torch.sin(0.2 * t), torch.cos(0.2 * t), torch.sin(0.5 * t)], -1)
    episodes.append(Recording(waves, torch.zeros(60, ACTIONS)))

found = audit(model, episodes, horizon=20, paths=64)
print(found)
found.plot()
