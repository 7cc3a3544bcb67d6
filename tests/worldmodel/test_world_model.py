"""The world model: time indices, masks, objective, standardization, and the Jacobian penalty."""

from dataclasses import replace

import pytest
import torch
from small_agents import ACTIONS, F64, PIXELS, STATE, WALKER, latents, observe, random_batch, tiny_agent, zeros
from support import agrees, convicts

from sdewm import Estimate
from sdewm.worldmodel import Config, Learner, Sequences, WorldModel, preset, world_model
from sdewm.worldmodel.jacobian import INPUTS, as_drift, exact_norms

# Time indices.


@pytest.mark.parametrize("config", [STATE, PIXELS, WALKER], ids=["state", "pixels", "walker"])
def test_what_drives_what(config):
    model, batch, t = tiny_agent(config).world_model, random_batch(config, batch=1, steps=12), 5

    def changed(part: str) -> tuple[list[int], list[int]]:
        """The times at which h and z change when ``part`` is changed at time t alone."""
        other = getattr(batch, part).clone()
        other[:, t] = 1
        before, after = observe(model, batch), observe(model, batch._replace(**{part: other}))
        h, z = ((x - y).abs().amax((0, 2)) > 0 for x, y in zip(before[:2], after[:2], strict=True))
        return h.nonzero().flatten().tolist(), z.nonzero().flatten().tolist()

    later, from_t = list(range(t + 1, 12)), list(range(t, 12))
    assert changed("actions") == (later, later)  # a_t first shows in h_{t+1}
    assert changed("observations") == (later, from_t)  # s_t in z_t, and through it in h_{t+1}


def test_the_filter_is_the_model_step_by_step():
    model, batch = tiny_agent().world_model, random_batch()
    noise, error = torch.randn(2, 2, 9, STATE.stoch, generator=torch.Generator().manual_seed(1), dtype=F64)
    filtered = observe(model, batch, noise, shift=error)
    h = torch.zeros(2, STATE.deter, dtype=F64)
    for t in range(9):
        if t > 0:
            h = model.sequence(h, z, batch.actions[:, t - 1])  # noqa: F821
        mean, std = model.posterior(h, model.embed(batch.observations[:, t]))
        z = mean + std * noise[:, t] + error[:, t]
        torch.testing.assert_close(filtered.h[:, t], h, rtol=1e-12, atol=1e-13)
        torch.testing.assert_close(filtered.z[:, t], z, rtol=1e-12, atol=1e-13)
        torch.testing.assert_close(filtered.posterior.mean[:, t], mean, rtol=1e-12, atol=1e-13)


def test_what_is_before_a_first_step_does_not_matter_after_it():
    model, batch, t = tiny_agent().world_model, random_batch(batch=2, steps=10), 4
    first = batch.first.clone()
    first[0, t] = True  # the first sequence begins anew, the second goes on
    batch = batch._replace(first=first)
    whole = observe(model, batch)
    assert whole.h[0, t].abs().max() == 0 and whole.h[1, t].abs().max() > 0
    before = batch._replace(
        observations=torch.cat([batch.observations[:, :t] + 1, batch.observations[:, t:]], 1),
        actions=torch.cat([-batch.actions[:, :t], batch.actions[:, t:]], 1),
    )
    other = observe(model, before)
    assert torch.equal(other.h[0, t:], whole.h[0, t:]) and torch.equal(other.z[0, t:], whole.z[0, t:])
    assert not torch.equal(other.h[1, t:], whole.h[1, t:])
    fresh = observe(model, Sequences(*(part[:, t:] for part in batch)))
    torch.testing.assert_close(fresh.h[0], whole.h[0, t:], rtol=1e-12, atol=1e-13)


def test_an_error_in_z_goes_wherever_z_goes():
    model, batch, t = tiny_agent().world_model, random_batch(batch=1), 4
    error = zeros(batch)
    error[:, t] = 0.5
    clean, wrong = observe(model, batch), observe(model, batch, shift=error)
    torch.testing.assert_close(wrong.z[:, t], clean.z[:, t] + 0.5)
    assert torch.equal(wrong.h[:, : t + 1], clean.h[:, : t + 1])
    assert (wrong.h[:, t + 1] - clean.h[:, t + 1]).abs().max() > 1e-3
    assert torch.equal(wrong.posterior.mean[:, t], clean.posterior.mean[:, t])


@pytest.mark.parametrize(
    ("part", "term", "value"),
    [("observations", "reconstruction", 0.25), ("rewards", "reward", 7.0), ("terminal", "discount", True)],
)
def test_targets_stand_at_their_own_time(part, term, value):
    model, batch = tiny_agent().world_model, random_batch(batch=1, steps=12)
    filtered = observe(model, batch)
    other = getattr(batch, part).clone()
    other[:, 5] = value
    before, after = (getattr(model.terms(b, filtered), term) for b in (batch, batch._replace(**{part: other})))
    assert (before != after).nonzero().tolist() == [[0, 5]]


def test_open_loop_prediction_advances_the_state():
    model, batch = tiny_agent().world_model, random_batch()
    filtered = observe(model, batch)
    h, z = filtered.h[:, 3], filtered.z[:, 3]
    hs, zs = model.predict(h, z, batch.actions[:, 3:8])
    for n, t in enumerate(range(3, 8)):
        h = model.sequence(h, z, batch.actions[:, t])
        z = model.prior(h).mean
        torch.testing.assert_close(hs[:, n], h)
        torch.testing.assert_close(zs[:, n], z)
    assert hs.diff(dim=1).abs().amax((0, 2)).min() > 1e-4


# The objective.


def test_terms_against_torch_distributions():
    model, batch = tiny_agent().world_model, random_batch()
    terminal = batch.terminal.clone()
    terminal[0, 3] = True
    batch = batch._replace(terminal=terminal)
    filtered = observe(model, batch)
    parts = model.terms(batch, filtered)
    normal, prior = torch.distributions.Normal, model.prior(filtered.h)
    kl = torch.distributions.kl_divergence(normal(*filtered.posterior), normal(*prior)).sum(-1)
    torch.testing.assert_close(parts.kl, kl, rtol=1e-12, atol=0)
    constant = normal(0.0, 1.0).log_prob(torch.zeros((), dtype=F64))
    seen = normal(model.decode(filtered.h, filtered.z), 1.0).log_prob(model.standardize(batch.observations))
    torch.testing.assert_close(parts.reconstruction, (constant - seen).sum(-1), rtol=1e-10, atol=1e-12)
    reward = normal(model.reward(filtered.h, filtered.z), 1.0).log_prob(batch.rewards)
    torch.testing.assert_close(parts.reward, constant - reward, rtol=1e-10, atol=1e-12)
    going_on = model.discount(filtered.h, filtered.z) / STATE.discount
    chance = torch.where(terminal, 1 - going_on, going_on)
    torch.testing.assert_close(parts.discount, -chance.log(), rtol=1e-10, atol=1e-12)


def gradients(config: Config) -> tuple[float, torch.Tensor, torch.Tensor]:
    """Value and gradients of the objective without its errors: at the prior's head, at the posterior's."""
    model = tiny_agent(config).world_model.requires_grad_(True)
    model.config = replace(config, reward_weight=0.0)
    batch = random_batch()
    filtered = observe(model, batch)
    loss, parts = model.loss(batch, filtered)
    kl = loss - (parts.reconstruction + parts.discount).mean()
    kl.backward()
    return float(kl.detach()), model.prior_head.both.bias.grad, model.posterior_head.both.bias.grad


def test_balanced_kl_has_the_plain_value_and_shares_the_gradient():
    values, prior, _ = zip(*(gradients(replace(STATE, free_nats=0.0, kl_balance=b)) for b in (0.2, 0.8)), strict=True)
    model, batch = tiny_agent().world_model, random_batch()
    plain = float(model.terms(batch, observe(model, batch)).kl.mean())
    assert values == pytest.approx((plain, plain), rel=1e-10)
    torch.testing.assert_close(prior[1], 4 * prior[0], rtol=1e-8, atol=1e-12)
    assert prior[0].abs().max() > 1e-3


def test_free_nats_bound_the_average_and_not_each_step():
    model, batch = tiny_agent().world_model, random_batch()
    kl = model.terms(batch, observe(model, batch)).kl
    low, mean, high = float(kl.min()), float(kl.mean()), float(kl.max())
    assert low < 0.9 * mean and high > 1.1 * mean
    below, above = (low + mean) / 2, (mean + high) / 2
    # Between the smallest step and the average nothing is bound: clamping each step would change value and gradient.
    value, prior, _ = gradients(replace(STATE, free_nats=below))
    assert value == pytest.approx(mean, rel=1e-10)
    torch.testing.assert_close(prior, gradients(replace(STATE, free_nats=0.0))[1], rtol=1e-8, atol=1e-12)
    # Between the average and the largest step everything is: no step is pushed.
    value, prior, posterior = gradients(replace(STATE, free_nats=above))
    assert value == pytest.approx(above, rel=1e-10)
    assert prior is None or prior.abs().max() == 0
    assert posterior is None or posterior.abs().max() < 1e-12


# Observations and sizes.


def test_standardization_is_the_datas_and_is_undone():
    generator = torch.Generator().manual_seed(0)
    states = 5 + torch.tensor([1.0, 10.0, 0.0]) * torch.randn(4000, 3, generator=generator)
    model = WorldModel(replace(STATE, unit=0.3), (3,), ACTIONS)
    model.fit_observations(states)
    standardized = model.standardize(states)
    torch.testing.assert_close(standardized.std(0)[:2], torch.full((2,), 1 / 0.3))
    assert standardized.abs().max() < 50  # the coordinate that never varies is not blown up
    torch.testing.assert_close(model.observations(standardized), states, rtol=1e-5, atol=1e-5)

    images = torch.randint(0, 256, (50, 1, 8, 8), generator=generator, dtype=torch.uint8)
    model = WorldModel(replace(PIXELS, unit=0.1), (1, 8, 8), ACTIONS)
    model.fit_observations(images)
    torch.testing.assert_close(model.standardize(images), (images / 255 - (images / 255.0).mean(0)) / 0.1)
    torch.testing.assert_close(model.standardize(images.float() / 255), model.standardize(images))
    unfitted = WorldModel(replace(PIXELS, unit=1.0, standardize=False), (1, 8, 8), ACTIONS)
    unfitted.fit_observations(images)
    torch.testing.assert_close(unfitted.standardize(images), images / 255 - 0.5)


def test_rewards_are_scaled_then_clipped():
    model = WorldModel(replace(STATE, reward_scale=0.5, reward_clip="tanh"), (3,), ACTIONS)
    torch.testing.assert_close(model.reward_target(torch.tensor([0.0, 4.0])), torch.tanh(torch.tensor([0.0, 2.0])))


# The Jacobian penalty.


@pytest.mark.parametrize("target", ["map", "drift"])
@pytest.mark.parametrize("wrt", ["h", "z", "hz"])
def test_the_jacobian_penalty_is_the_cells_own_norm_at_the_rollouts_steps(target, wrt):
    """Its mean over projections is the exact mean of ½‖J‖_F² over the steps within an episode."""
    config = replace(STATE, jacobian_form="square", jacobian_target=target, jacobian_wrt=wrt)
    model, batch = tiny_agent(config).world_model, random_batch()
    batch.first[0, 4] = True
    filtered = observe(model, batch)
    function = as_drift(model.sequence) if target == "drift" else model.sequence
    inside = [(b, t) for b in range(2) for t in range(8) if not batch.first[b, t + 1]]
    assert len(inside) == 15
    rows = (torch.stack([x[b, t] for b, t in inside]) for x in (filtered.h, filtered.z, batch.actions))
    exact = 0.5 * exact_norms(function, tuple(rows), INPUTS[wrt]).frobenius.square().mean()
    generator, n = torch.Generator().manual_seed(0), 400
    estimates = torch.stack([model.jacobian_penalty(batch, filtered, generator).detach() for _ in range(n)])
    estimate = Estimate(float(estimates.mean()), float(estimates.std() / n**0.5), n, n - 1)
    assert agrees(estimate, float(exact), comparisons=6)
    later = tuple(x[:, 1:].flatten(0, 1) for x in (filtered.h, filtered.z, batch.actions))
    one_step_later = 0.5 * exact_norms(function, later, INPUTS[wrt]).frobenius.square().mean()
    assert convicts(estimate, float(one_step_later))


def test_the_jacobian_penalty_leaves_out_the_step_over_an_episodes_end(monkeypatch):
    """That one, exactly: from the last time of an episode to the first of the next."""
    model, batch = tiny_agent().world_model, random_batch()
    batch.first[0, 4] = True
    filtered = observe(model, batch)
    given: list[tuple[torch.Tensor, ...]] = []
    monkeypatch.setattr(world_model, "jacobian_penalty", lambda function, inputs, *rest: given.append(inputs))
    model.jacobian_penalty(batch, filtered, torch.Generator())
    inside = [(b, t) for b in range(2) for t in range(8) if (b, t) != (0, 3)]
    for rows, whole in zip(given[0], (filtered.h, filtered.z, batch.actions), strict=True):
        assert torch.equal(rows, torch.stack([whole[b, t] for b, t in inside]))


def test_the_jacobian_penalty_is_trained_down():
    batch = random_batch()
    norms = []
    for weight in (0.0, 1.0):
        learner = Learner(preset("debug", jacobian_weight=weight, model_rate=1e-2), (3,), ACTIONS)
        batch = Sequences(*(part.float() if part.is_floating_point() else part for part in batch))
        metrics = [learner.update(batch) for _ in range(20)]
        model = learner.agent.world_model
        noise = torch.zeros(*batch.rewards.shape, model.config.stoch)
        filtered = model.observe(batch.observations, batch.actions, batch.first, noise)
        norms.append(float(model.jacobian_penalty(batch, filtered, torch.Generator().manual_seed(0)).detach()))
    assert norms[1] < 0.8 * norms[0]
    assert "jacobian" in metrics[0]


def test_a_basis_is_taken_from_the_standardized_images():
    generator = torch.Generator().manual_seed(0)
    model = tiny_agent(WALKER).world_model.float()
    directions = torch.randn(4, 64, generator=generator)
    images = 0.5 + 0.01 * (torch.randn(300, 4, generator=generator) @ directions).unflatten(1, (1, 8, 8))
    model.fit_observations(images)
    standardized = model.standardize(images).flatten(1)
    back = model.basis.images(model.basis.coordinates(standardized))
    torch.testing.assert_close(back, standardized, rtol=0, atol=1e-3 * float(standardized.abs().max()))


def test_without_a_discount_head_the_discount_is_constant():
    model = tiny_agent(replace(STATE, discount_weight=0.0)).world_model
    h, z = latents(tiny_agent(), 3)
    torch.testing.assert_close(model.discount(h, z), torch.full((3,), STATE.discount, dtype=F64))
