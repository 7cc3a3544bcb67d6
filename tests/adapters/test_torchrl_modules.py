"""TorchRL's modules are taken as they are; where TorchRL is absent, modules with the same parts stand in."""

from __future__ import annotations

import pytest
import torch
from support import refuses
from torch import nn

from sdewm import expand
from sdewm.adapters import Recording, from_torchrl

STATE, BELIEF, ACTIONS, NUMBERS = 3, 8, 2, 5


class Normal(nn.Module):
    def forward(self, x):
        mean, raw = x.chunk(2, -1)
        return mean, nn.functional.softplus(raw) + 0.1


class StandInPrior(nn.Module):
    def __init__(self):
        super().__init__()
        self.action_state_projector = nn.Sequential(nn.Linear(STATE + ACTIONS, 8), nn.ELU())
        self.rnn = nn.GRUCell(8, BELIEF)
        self.rnn_to_prior_projector = nn.Sequential(nn.Linear(BELIEF, 2 * STATE), Normal())


class StandInPosterior(nn.Module):
    def __init__(self):
        super().__init__()
        self.obs_rnn_to_post_projector = nn.Sequential(nn.Linear(BELIEF + NUMBERS, 2 * STATE), Normal())


def parts() -> dict:
    torch.manual_seed(0)
    decode, act = nn.Linear(STATE + BELIEF, NUMBERS), nn.Linear(STATE + BELIEF, ACTIONS)
    return {
        "prior": StandInPrior(),
        "posterior": StandInPosterior(),
        "encoder": nn.Identity(),
        "decoder": lambda state, belief: decode(torch.cat([state, belief], -1)),
        "actor": lambda state, belief: (act(torch.cat([state, belief], -1)), torch.ones(len(state), ACTIONS)),
    }


def test_states_and_beliefs_keep_their_places():
    given = parts()
    model = from_torchrl(**given)
    belief, state, action = torch.randn(4, BELIEF), torch.randn(4, STATE), torch.randn(4, ACTIONS)
    prior = given["prior"]
    expected = prior.rnn(prior.action_state_projector(torch.cat([state, action], -1)), belief)
    torch.testing.assert_close(model.recurrent(belief, state, action), expected)
    torch.testing.assert_close(model.decoder(belief, state), given["decoder"](state, belief))
    torch.testing.assert_close(model.policy(belief, state), torch.tanh(given["actor"](state, belief)[0]))
    assert model.h0.dtype == torch.float32 and tuple(model.sizes) == (STATE, BELIEF, STATE, NUMBERS)


def test_modules_that_are_not_ready_are_named():
    given = parts()
    with refuses(ValueError, "posterior: expected an RSSMPosterior of TorchRL, with obs_rnn_to_post_projector"):
        from_torchrl(**{**given, "posterior": nn.Linear(2, 2)})
    with refuses(ValueError, "encoder: expected a module that has been run once, got one with lazy weights"):
        from_torchrl(**{**given, "encoder": nn.LazyLinear(3)})


def test_torchrls_own_modules():
    """Unmodified, in float32: what they say when they are called whole is what the model says."""
    pytest.importorskip("torchrl")
    from torchrl.data import Bounded
    from torchrl.modules.models.model_based import DreamerActor, ObsDecoder, ObsEncoder, RSSMPosterior, RSSMPrior

    torch.manual_seed(0)
    prior = RSSMPrior(Bounded(-1, 1, (ACTIONS,)), hidden_dim=BELIEF, rnn_hidden_dim=BELIEF, state_dim=STATE)
    posterior = RSSMPosterior(hidden_dim=BELIEF, state_dim=STATE)
    encoder, decoder, actor = ObsEncoder(channels=2), ObsDecoder(channels=2), DreamerActor(ACTIONS, 2, 8)
    images, actions = torch.rand(12, 3, 64, 64), 2 * torch.rand(12, ACTIONS) - 1
    state, belief = torch.randn(12, STATE), torch.rand(12, BELIEF)
    with torch.no_grad():
        mean, std, _, later = prior(state, belief, actions)
        seen = posterior(belief, encoder(images))
        loc, _ = actor(state, belief)
        said = decoder(state, belief)
    model = from_torchrl(prior, posterior, encoder=encoder, decoder=decoder, actor=actor)
    torch.testing.assert_close(model.recurrent(belief, state, actions), later)
    for found, expected in zip(model.prior(later), (mean, std), strict=True):
        torch.testing.assert_close(found, expected)
    for found, expected in zip(model.posterior(belief, encoder(images)), seen[:2], strict=True):
        torch.testing.assert_close(found, expected)
    torch.testing.assert_close(model.policy(belief, state), torch.tanh(loc))
    torch.testing.assert_close(model.decoder(belief, state), said)
    system = model.system(Recording(images, actions), start=2, steps=2)
    loss = system.losses[""]
    with pytest.warns(UserWarning, match="elu"):
        found = expand(system.family, loss, system.x0, system.grid, method=system.method, paths=32)
    assert found.loss0.mean > 0 and "elu" in found.kinks
