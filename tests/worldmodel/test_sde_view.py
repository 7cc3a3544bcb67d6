"""A world model as the SDE (5)–(8): its step is the model's own, its losses are the objective's, jets go through."""

import pytest
import torch
from small_agents import F64, PIXELS, STATE, WALKER, latents, observe, random_batch, tiny_agent
from support import FALSE_FAILURE, refuses

from sdewm import PerturbedSDE, TimeGrid, expand
from sdewm.jets import JetSpace, Parameter
from sdewm.solvers.schemes.euler_sequential import SequentialEuler
from sdewm.worldmodel import (
    block_sizes,
    consistency_loss,
    initial_state,
    load_trained,
    reconstruction_loss,
    recorded_observation,
    reward_loss,
    to_sequences,
)
from sdewm.worldmodel.shipped import LEAN
from sdewm.worldmodel.shipped import WALKER as WALKER_WALK


@pytest.mark.parametrize("config", [STATE, PIXELS, WALKER], ids=["state", "pixels", "walker"])
def test_one_sequential_euler_step_is_the_models_own_step(config):
    agent, batch, paths, t = tiny_agent(config), random_batch(config, batch=1), 5, 4
    model, sizes = agent.world_model, block_sizes(agent.world_model)
    sde = agent.as_sde(batch.observations[0])
    h, z = latents(agent, paths)
    x = sde.state(z, h, torch.zeros_like(z), torch.zeros(paths, sizes.s_tilde, dtype=F64))
    dB = torch.randn(paths, 2 * config.stoch, generator=torch.Generator().manual_seed(1), dtype=F64)
    noise, noise_tilde = dB.split(config.stoch, -1)

    h = model.sequence(h, z, agent.actor.mode(h, z))
    q = model.posterior(h, model.embed(batch.observations[:, t + 1]))
    p = model.prior(h)
    z_tilde = p.mean + p.std * noise_tilde
    own = sde.state(q.mean + q.std * noise, h, z_tilde, model.s_tilde(h, z_tilde))
    step = SequentialEuler().step(sde, torch.tensor(float(t), dtype=F64), 1.0, x, dB)
    torch.testing.assert_close(step, own, rtol=1e-12, atol=1e-12)


def test_an_initial_state_is_the_filters():
    agent, batch = tiny_agent(), random_batch(batch=1)
    model, filtered = agent.world_model, observe(agent.world_model, batch)
    z, h, z_tilde, s_tilde = agent.as_sde(batch.observations[0]).blocks(
        initial_state(model, batch.observations[0], batch.actions[0], t=5)
    )
    torch.testing.assert_close(h, filtered.h[0, 5])
    torch.testing.assert_close(z, filtered.posterior.mean[0, 5])
    torch.testing.assert_close(z_tilde, model.prior(h).mean)
    torch.testing.assert_close(s_tilde, model.decode(h, z_tilde))
    with refuses(ValueError, "t: expected a time of the episode, 0 to 8, got 9"):
        initial_state(model, batch.observations[0], batch.actions[0], t=9)


def test_coefficients_and_action_value_take_jets():
    agent, batch = tiny_agent(PIXELS), random_batch(PIXELS, batch=1)
    sde, space, t = agent.as_sde(batch.observations[0]), JetSpace(1, 2), torch.tensor(3.5, dtype=F64)
    h, z = latents(agent, 3)
    x = sde.state(z, h, z, torch.zeros(3, 64, dtype=F64))
    v = torch.randn(x.shape, generator=torch.Generator().manual_seed(2), dtype=F64)

    def value(t: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        blocks = sde.blocks(x)
        return agent.action_value(blocks.h, blocks.z_tilde, agent.actor.mode(blocks.h, blocks.z_tilde))

    for function in (sde.f, sde.g, value):
        jet = function(t, x + Parameter(space, 0) * v)
        expected, slope = torch.func.jvp(lambda y, f=function: f(t, y), (x,), (v,))
        torch.testing.assert_close(jet.value, expected, rtol=1e-11, atol=1e-11)
        torch.testing.assert_close(jet.derivative((1,)), slope, rtol=1e-9, atol=1e-11)


def test_a_model_expands_in_its_encoders_error():
    agent, batch = tiny_agent(), random_batch(batch=1)
    sde = agent.as_sde(batch.observations[0])
    family = PerturbedSDE(sde, sde.encoder_error(lambda h, s: torch.ones_like(h[:, :3]), None))
    h, z = latents(agent, 1)
    x0 = sde.state(z, h, z, torch.zeros(1, 3, dtype=F64))[0]
    expansion = expand(
        family,
        lambda x: sde.blocks(x).h.square().sum(-1),
        x0,
        TimeGrid(0.0, 4.0, 4),
        method="euler-sequential",
        paths=64,
        seed=0,
    )
    assert abs(expansion.first.mean) > expansion.first.half_width(1 - FALSE_FAILURE)


# Its losses, of the agents that ship.


@pytest.fixture(scope="module", params=[WALKER_WALK, LEAN])
def shipped(request):
    agent, episodes = load_trained(request.param)
    return agent, to_sequences(episodes[0][None], F64)


def test_the_losses_of_a_filtered_state_are_the_objectives(shipped):
    """J_O, J_R and J_D, in the SDE's own layout, are the terms that training adds up."""
    agent, episode = shipped
    model, t = agent.world_model, 12
    filtered = model.filter(episode)
    terms = model.terms(episode, filtered)
    h, z = filtered.h[0, t : t + 1], filtered.z[0, t : t + 1]
    x = torch.cat([z, h, z, model.s_tilde(h, z)], -1)
    expected = {
        reconstruction_loss: terms.reconstruction / model.observation_mean.numel(),
        reward_loss: terms.reward,
        consistency_loss: terms.kl,
    }
    for make, term in expected.items():
        loss = make(model, episode)
        torch.testing.assert_close(loss(float(t), x), term[0, t : t + 1], rtol=1e-9, atol=1e-12)
        changes = not torch.allclose(loss(t + 0.5, x), term[0, t : t + 1], rtol=1e-3)
        assert changes or make is reward_loss


def test_the_reconstruction_loss_is_that_of_the_pixels(shipped):
    agent, episode = shipped
    model, sizes = agent.world_model, block_sizes(agent.world_model)
    x = torch.randn(4, sum(sizes), generator=torch.Generator().manual_seed(1), dtype=F64)
    s_tilde = x[:, -sizes.s_tilde :]
    image = s_tilde if model.basis is None else model.basis.images(s_tilde)
    frames = recorded_observation(model, episode.observations[0])
    for t in (12, 12.5):
        error = image - model.standardize(frames(t)).flatten()
        expected = 0.5 * error.square().mean(-1)
        torch.testing.assert_close(reconstruction_loss(model, episode)(t, x), expected, rtol=1e-11, atol=0)


def test_coefficients_and_losses_of_what_ships_take_jets(shipped):
    agent, episode = shipped
    model, observations = agent.world_model, episode.observations[0]
    sde, space, t = agent.as_sde(observations), JetSpace(1, 2), torch.tensor(12.5, dtype=F64)
    x = initial_state(model, observations, episode.actions[0], 12).repeat(3, 1)
    v = torch.randn(x.shape, generator=torch.Generator().manual_seed(2), dtype=x.dtype)
    losses = (make(model, episode) for make in (reconstruction_loss, reward_loss, consistency_loss))
    for function in [sde.f, sde.g, *losses]:
        jet = function(t, x + Parameter(space, 0) * v)
        value, slope = torch.func.jvp(lambda y, f=function: f(t, y), (x,), (v,))
        torch.testing.assert_close(jet.value, value, rtol=1e-11, atol=1e-11)
        torch.testing.assert_close(jet.derivative((1,)), slope, rtol=1e-9, atol=1e-11)


def test_recorded_actions_are_followed():
    """The SDE's step under the record's actions is the filter's own, whatever the actor would do."""
    agent, batch = tiny_agent(), random_batch(batch=1)
    model, t = agent.world_model, 4
    sde = agent.as_sde(batch.observations[0], actions=batch.actions[0])
    x = initial_state(model, batch.observations[0], batch.actions[0], t)[None]
    silent = torch.zeros(1, 2 * model.config.stoch, dtype=F64)
    step = sde.blocks(SequentialEuler().step(sde, torch.tensor(float(t), dtype=F64), 1.0, x, silent))
    filtered = observe(model, batch)
    torch.testing.assert_close(step.h[0], filtered.h[0, t + 1])
    torch.testing.assert_close(step.z[0], filtered.z[0, t + 1])
    with refuses(ValueError, "t: expected a time of the recorded actions, 0 to 8, got 9"):
        sde.policy(torch.tensor(9.0, dtype=F64), step.h, step.z)
