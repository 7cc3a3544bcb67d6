"""A checkpoint with the names of dreamerv3-torch, against modules that have these names."""

from __future__ import annotations

import pickle

import pytest
import torch
from support import refuses
from torch import nn

from sdewm import verify
from sdewm.adapters import DiscreteLatents, Recording, from_dreamerv3_torch

STOCH, DETER, HIDDEN, ACTIONS, UNITS, NUMBERS = 3, 6, 7, 2, 8, 5


def layers(inputs: int, norm: bool) -> nn.Sequential:
    parts = [nn.Linear(inputs, HIDDEN, bias=False)] + [nn.LayerNorm(HIDDEN, eps=1e-3)] * norm + [nn.SiLU()]
    return nn.Sequential(*parts)


class Cell(nn.Module):
    def __init__(self, norm: bool) -> None:
        super().__init__()
        self.layers = nn.Sequential()
        self.layers.add_module("GRU_linear", nn.Linear(HIDDEN + DETER, 3 * DETER, bias=False))
        if norm:
            self.layers.add_module("GRU_norm", nn.LayerNorm(3 * DETER, eps=1e-3))

    def forward(self, x, h):
        reset, new, update = self.layers(torch.cat([x, h], -1)).split(DETER, -1)
        share = torch.sigmoid(update - 1)
        return torch.lerp(h, torch.tanh(torch.sigmoid(reset) * new), share)


class Dynamics(nn.Module):
    def __init__(self, norm: bool, statistics: int = 2 * STOCH, inputs: int = STOCH) -> None:
        super().__init__()
        self._img_in_layers = layers(inputs + ACTIONS, norm)
        self._cell = Cell(norm)
        self._img_out_layers = layers(DETER, norm)
        self._obs_out_layers = layers(DETER + UNITS, norm)
        self._imgs_stat_layer = nn.Linear(HIDDEN, statistics)
        self._obs_stat_layer = nn.Linear(HIDDEN, statistics)
        self.W = nn.Parameter(torch.randn(1, DETER))


def mlp(name: str, inputs: int, norm: bool) -> nn.ModuleDict:
    found = nn.Sequential()
    for i in range(2):
        found.add_module(f"{name}_linear{i}", nn.Linear(UNITS if i else inputs, UNITS, bias=False))
        if norm:
            found.add_module(f"{name}_norm{i}", nn.LayerNorm(UNITS, eps=1e-3))
        found.add_module(f"{name}_act{i}", nn.SiLU())
    return nn.ModuleDict({"layers": found})


def networks(norm: bool) -> dict[str, nn.Module]:
    torch.manual_seed(0)
    encoder, decoder, actor = (
        mlp(name, n, norm) for name, n in (("Encoder", NUMBERS), ("Decoder", STOCH + DETER), ("Actor", STOCH + DETER))
    )
    heads = {"velocity": 2, "position": 3, "reward": 1, "log_success": 1}
    decoder["mean_layer"] = nn.ModuleDict({name: nn.Linear(UNITS, n) for name, n in heads.items()})
    actor["mean_layer"], actor["std_layer"] = nn.Linear(UNITS, ACTIONS), nn.Linear(UNITS, ACTIONS)
    parts = {"dynamics": Dynamics(norm), "encoder": encoder, "decoder": decoder, "actor": actor}
    return {name: part.double() for name, part in parts.items()}


PLACES = {
    "dynamics": ("_wm._orig_mod.dynamics.", "_task_behavior._orig_mod._world_model.dynamics."),
    "encoder": ("_wm._orig_mod.encoder._mlp.",),
    "decoder": ("_wm._orig_mod.heads.decoder._mlp.",),
    "actor": ("_task_behavior._orig_mod.actor.",),
}


def state_of(parts: dict[str, nn.Module]) -> dict[str, torch.Tensor]:
    return {
        place + key: tensor
        for name, part in parts.items()
        for place in PLACES[name]
        for key, tensor in part.state_dict().items()
    }


@pytest.mark.parametrize("norm", [True, False])
def test_a_checkpoint_says_what_its_modules_say(norm, tmp_path):
    parts = networks(norm)
    torch.save({"agent_state_dict": state_of(parts), "optims_state_dict": {}}, tmp_path / "latest.pt")
    model, d = from_dreamerv3_torch(tmp_path / "latest.pt"), parts["dynamics"]
    assert tuple(model.sizes) == (STOCH, DETER, STOCH, NUMBERS)
    h, z, a, s = (torch.randn(4, n, dtype=torch.float64) for n in (DETER, STOCH, ACTIONS, NUMBERS))

    def gaussian(x):
        mean, raw = x.split(STOCH, -1)
        return mean, 2 * torch.sigmoid(raw / 2) + 0.1

    close = torch.testing.assert_close
    close(model.recurrent(h, z, a), d._cell(d._img_in_layers(torch.cat([z, a], -1)), h))
    close(model.prior(h), gaussian(d._imgs_stat_layer(d._img_out_layers(h))))
    symlog = s.sign() * (s.abs() + 1).log()
    e = parts["encoder"]["layers"](symlog)
    close(model.embed(s), e)
    close(model.target(s), symlog)
    close(model.posterior(h, e), gaussian(d._obs_stat_layer(d._obs_out_layers(torch.cat([h, e], -1)))))
    heads = parts["decoder"]["mean_layer"]
    x = parts["decoder"]["layers"](torch.cat([z, h], -1))
    close(model.decoder(h, z), torch.cat([heads["velocity"](x), heads["position"](x)], -1))
    x = parts["actor"]["layers"](torch.cat([z, h], -1))
    close(model.policy(h, z), parts["actor"]["mean_layer"](x).tanh())
    start = torch.tanh(d.W)
    first = model.recurrent(start, model.prior(start)[0], torch.zeros(1, ACTIONS, dtype=torch.float64))
    close(model.h0, first[0].detach())


def test_it_is_held_against_the_theory():
    model = from_dreamerv3_torch(state_of(networks(True)))
    episode = Recording(torch.randn(10, NUMBERS), torch.rand(10, ACTIONS))
    assert verify(model.system(episode, start=3, steps=3), ["expansion"]).ok


def test_discrete_latents_are_refused_with_the_reason():
    state = Dynamics(True, statistics=24, inputs=24).state_dict()
    with refuses(DiscreteLatents, "got 24 logits of categorical ones", "no small error"):
        from_dreamerv3_torch(state, action_size=ACTIONS)


def test_what_is_no_checkpoint_of_that_kind_is_named(tmp_path):
    state = state_of(networks(True))
    with refuses(ValueError, "got one without _img_in_layers.0.weight"):
        from_dreamerv3_torch({"weight": torch.zeros(2)})
    with refuses(ValueError, "got one without _obs_stat_layer.bias"):
        from_dreamerv3_torch({k: t for k, t in state.items() if not k.endswith("_obs_stat_layer.bias")})
    with refuses(ValueError, "action_size: expected a number, as the checkpoint has no actor"):
        from_dreamerv3_torch({k: t for k, t in state.items() if ".actor." not in k})
    with refuses(ValueError, "expected 3 latents and 5 actions side by side"):
        from_dreamerv3_torch(state, action_size=5)
    with refuses(ValueError, "embed: expected your encoder"):
        from_dreamerv3_torch({k: t for k, t in state.items() if ".encoder." not in k})
    with refuses(ValueError, "decoder: expected your decoder"):
        from_dreamerv3_torch({k: t for k, t in state.items() if ".decoder." not in k})
    with refuses(ValueError, "std_act: expected"):
        from_dreamerv3_torch(state, std_act="abs")
    with refuses(FileNotFoundError, "latest.pt"):
        from_dreamerv3_torch(tmp_path / "latest.pt")


class Harmful:
    def __reduce__(self):
        return (exec, ("raise SystemExit('executed')",))


def test_nothing_in_a_file_is_executed(tmp_path):
    (tmp_path / "latest.pt").write_bytes(pickle.dumps({"agent_state_dict": Harmful()}))
    with refuses(ValueError, "checkpoint: expected weights alone"):
        from_dreamerv3_torch(tmp_path / "latest.pt")
