"""What the agent learns from: λ-returns, imagination, the actor's distribution, imitation."""

import math
from dataclasses import replace

import pytest
import torch
from scipy import integrate, stats
from small_agents import ACTIONS, F64, STATE, WALKER, latents, random_batch, tiny_agent
from support import refuses

from sdewm.worldmodel import Learner, Sequences, action_value, imagine, lambda_returns, preset, truncated_normal
from sdewm.worldmodel.behaviour import imitation, weights
from sdewm.worldmodel.gaussian import Gaussian, kl_divergence


def random_trajectory(steps: int = 6, batch: int = 4) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Rewards, discounts and values at 0, …, steps."""
    generator = torch.Generator().manual_seed(0)
    rewards, discounts, values = torch.rand(3, steps + 1, batch, generator=generator, dtype=F64)
    return rewards, 0.5 + discounts / 2, values


# λ-returns.


def mixture_of_n_step_returns(rewards, discounts, values, trace: float) -> torch.Tensor:
    """(1 − λ) Σ_n λ^{n−1} G^(n) + λ^{N−1} G^(N), G^(n) the return of n rewards and a value: no recursion."""
    last, returns = len(values) - 1, []
    for i in range(last):
        n_step = []
        for n in range(1, last - i + 1):
            reached = [torch.prod(discounts[i + 1 : i + k], 0) for k in range(1, n + 2)]
            total = sum(reached[k - 1] * rewards[i + k] for k in range(1, n + 1))
            n_step.append(total + reached[n] * values[i + n])
        shares = [(1 - trace) * trace**n for n in range(len(n_step) - 1)] + [trace ** (len(n_step) - 1)]
        returns.append(sum(share * part for share, part in zip(shares, n_step, strict=True)))
    return torch.stack(returns)


@pytest.mark.parametrize("trace", [0.0, 0.7, 1.0])
def test_lambda_returns_are_the_mixture_of_n_step_returns(trace):
    trajectory = random_trajectory()
    expected = mixture_of_n_step_returns(*trajectory, trace)
    torch.testing.assert_close(lambda_returns(*trajectory, trace), expected, rtol=1e-12, atol=0)


def test_lambda_returns_of_constants_in_closed_form():
    steps, r, d, v, trace = 5, 2.0, 0.9, 3.0, 0.6
    full = torch.ones(steps + 1, 1, dtype=F64)
    geometric = d * trace
    for i, value in enumerate(lambda_returns(r * full, d * full, v * full, trace)[:, 0].tolist()):
        n = steps - i
        each = r + d * (1 - trace) * v
        assert value == pytest.approx(each * (1 - geometric**n) / (1 - geometric) + geometric**n * v, rel=1e-12)


def off_by_one(rewards, discounts, values, trace, *, reward=1, discount=1, value=1, end=-1):
    """λ-returns whose indices may be shifted."""
    following, returns = values[end], []
    for i in reversed(range(len(values) - 1)):
        ahead = (1 - trace) * values[i + value] + trace * following
        following = rewards[i + reward] + discounts[i + discount] * ahead
        returns.append(following)
    return torch.stack(returns[::-1])


def test_the_checks_of_lambda_returns_see_every_shifted_index():
    trajectory, trace = random_trajectory(), 0.7
    expected = mixture_of_n_step_returns(*trajectory, trace)
    torch.testing.assert_close(off_by_one(*trajectory, trace), expected)
    for mutation in ({"reward": 0}, {"discount": 0}, {"value": 0}, {"end": -2}):
        assert (off_by_one(*trajectory, trace, **mutation) - expected).abs().max() > 0.05, mutation


def test_returns_use_neither_reward_nor_discount_of_their_own_time():
    rewards, discounts, values = random_trajectory()
    rewards.requires_grad_(True), discounts.requires_grad_(True)
    lambda_returns(rewards, discounts, values, 0.7)[2].sum().backward()
    assert rewards.grad.abs().amax(1).gt(0).tolist() == [False] * 3 + [True] * 4
    assert discounts.grad.abs().amax(1).gt(0).tolist() == [False] * 3 + [True] * 4


def test_weights_are_the_chance_of_getting_there():
    _, discounts, _ = random_trajectory(steps=3)
    going_on = torch.tensor([1.0, 1.0, 0.0, 1.0], dtype=F64)
    d = discounts
    expected = torch.stack([going_on, going_on * d[1], going_on * d[1] * d[2]])
    torch.testing.assert_close(weights(discounts, going_on), expected)


# Imagination.


def test_imagination_is_the_model_and_the_actor_step_by_step():
    agent, (h, z) = tiny_agent(), latents(tiny_agent(), 4)
    generator = torch.Generator().manual_seed(3)
    uniform = torch.rand(5, 4, ACTIONS, generator=generator, dtype=F64)
    noise = torch.randn(5, 4, STATE.stoch, generator=generator, dtype=F64)
    imagined = imagine(agent.world_model, agent.actor, h, z, uniform, noise)
    assert torch.equal(imagined.h[0], h) and torch.equal(imagined.z[0], z)
    for i in range(5):
        action, entropy = truncated_normal(agent.actor.distribution(h, z), uniform[i])
        h = agent.world_model.sequence(h, z, action)
        prior = agent.world_model.prior(h)
        z = prior.mean + prior.std * noise[i]
        torch.testing.assert_close(imagined.h[i + 1], h)
        torch.testing.assert_close(imagined.z[i + 1], z)
        torch.testing.assert_close(imagined.entropy[i], entropy)
    assert imagined.h.diff(dim=0).abs().amax((1, 2)).min() > 1e-4


def test_an_action_is_credited_with_what_follows_it():
    agent, (h, z) = tiny_agent(), latents(tiny_agent(), 1)
    uniform = torch.full((4, 1, ACTIONS), 0.3, dtype=F64, requires_grad=True)
    noise = torch.zeros(4, 1, STATE.stoch, dtype=F64)
    imagined = imagine(agent.world_model, agent.actor, h, z, uniform, noise)
    model = agent.world_model
    rewards, discounts = model.reward(imagined.h, imagined.z), model.discount(imagined.h, imagined.z)
    returns = lambda_returns(rewards, discounts, agent.critic(imagined.h, imagined.z), 0.9)
    (last,) = torch.autograd.grad(returns[3].sum(), uniform, retain_graph=True)
    assert last[3].abs().max() > 1e-6  # the last action is credited: not lost by an index
    (first,) = torch.autograd.grad(rewards[0].sum(), uniform)
    assert first.abs().max() == 0  # the reward on the way into the start is no action's


def test_action_value_is_one_step_ahead():
    agent, (h, z) = tiny_agent(), latents(tiny_agent(), 3)
    a = torch.rand(3, ACTIONS, dtype=F64, generator=torch.Generator().manual_seed(0))
    model = agent.world_model
    h1 = model.sequence(h, z, a)
    z1 = model.prior(h1).mean
    expected = model.reward(h1, z1) + model.discount(h1, z1) * agent.critic(h1, z1)
    torch.testing.assert_close(action_value(model, agent.critic, h, z, a), expected)
    torch.testing.assert_close(agent.action_value(h, z, a), expected)


def test_a_truncated_normal_is_scipys():
    generator = torch.Generator().manual_seed(0)
    mean = torch.rand(200, 2, generator=generator, dtype=F64) * 2 - 1
    std = 0.1 + 2 * torch.rand(200, 2, generator=generator, dtype=F64)
    uniform = torch.rand(200, 2, generator=generator, dtype=F64)
    sample, entropy = truncated_normal(Gaussian(mean, std), uniform)
    a, b = ((edge - mean.numpy()) / std.numpy() for edge in (-1, 1))
    reference = stats.truncnorm(a, b, loc=mean.numpy(), scale=std.numpy())
    torch.testing.assert_close(sample, torch.from_numpy(reference.ppf(uniform.numpy())), rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(entropy, torch.from_numpy(reference.entropy()).sum(-1), rtol=1e-8, atol=1e-10)


def test_a_truncated_normal_stays_inside_and_has_finite_gradients_at_its_edges():
    mean = torch.tensor([[0.999999, -1.0, 0.0, 0.3]], requires_grad=True)
    std = torch.tensor([[0.1, 0.1, 2.1, 0.1]], requires_grad=True)
    for u in (0.0, 1 - 2**-24):
        sample, entropy = truncated_normal(Gaussian(mean, std), torch.full((1, 4), u))
        assert sample.abs().max() <= 1
        gradients = torch.autograd.grad(sample.sum() + entropy.sum(), (mean, std))
        assert all(bool(torch.isfinite(g).all()) for g in gradients)


@pytest.mark.parametrize("std", [0.1, 1.0, 1e-3])
@pytest.mark.parametrize("deviations", [3.1, 5.0, 40.0, 3e3, 1.01e4, 1e6])
@pytest.mark.parametrize("side", [1, -1])
def test_a_truncated_normal_with_its_mean_far_outside(std, deviations, side):
    """Held against integrals of its density exp(−dτ − τ²/2) over what is inside, τ deviations from the nearer end."""
    mean = 1 + deviations * std
    d, w = (mean - 1) / std, 2 / std
    end = min(w, 50 / d)

    def density(t: float) -> float:
        return math.exp(-d * t - t * t / 2)

    mass, energy = (
        integrate.quad(f, 0, end, epsrel=1e-12, epsabs=0)[0]
        for f in (density, lambda t: density(t) * (d * t + t * t / 2))
    )
    uniform = torch.tensor([0.0, 0.1, 0.5, 0.999], dtype=F64)
    given = [torch.full((4,), v, dtype=F64) for v in (side * mean, std)]
    sample, entropy = truncated_normal(Gaussian(*given), uniform)
    assert float(entropy) / 4 == pytest.approx(math.log(std * mass) + energy / mass, abs=2e-7)
    for x, u in zip(sample.tolist(), uniform.tolist(), strict=True):
        inside = min((1 - side * x) / std, end)
        below = integrate.quad(density, 0, inside, epsrel=1e-12, epsabs=0)[0] / mass
        expected = 1 - u if side > 0 else u
        assert below == pytest.approx(expected, abs=1e-6 + 4 * math.ulp(1.0) / std * d)
    for dtype in (F64, torch.float32):
        leaves = [v.to(dtype).requires_grad_() for v in given]
        sample, entropy = truncated_normal(Gaussian(*leaves), uniform.to(dtype))
        gradients = torch.autograd.grad(sample.sum() + entropy, leaves)
        assert bool(sample.abs().le(1).all()) and all(bool(v.isfinite().all()) for v in (entropy, *gradients))


def test_a_truncated_normals_two_routes_meet():
    """Three deviations outside, and one mean on each side of that."""
    uniform = torch.tensor([[0.1, 0.5, 0.9]], dtype=F64)
    found = [
        truncated_normal(Gaussian(torch.full_like(uniform, m), torch.full_like(uniform, 0.5)), uniform)
        for m in (2.5 - 1e-9, 2.5 + 1e-9)
    ]
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=1e-8)
    mean = torch.tensor([0.3, 3.0, -4.0], dtype=F64, requires_grad=True)
    std = torch.tensor([0.5, 0.4, 0.2], dtype=F64, requires_grad=True)
    part = torch.tensor([0.3, 0.4, 0.6], dtype=F64)
    assert torch.autograd.gradcheck(lambda m, s: truncated_normal(Gaussian(m, s), part), (mean, std))


def test_bad_distributions_and_returns_are_named():
    one = torch.ones(2, 1)
    for std in (0 * one, -one, one * math.nan, 1e5 * one):
        with refuses(ValueError, "std: expected positive numbers"):
            truncated_normal(Gaussian(one, std), 0.5 * one)
    for mean in (one * math.nan, one * math.inf):
        with refuses(ValueError, "mean: expected finite numbers"):
            truncated_normal(Gaussian(mean, one), 0.5 * one)
    for uniform in (one, -one, one * math.nan):
        with refuses(ValueError, "uniform: expected numbers in [0, 1)"):
            truncated_normal(Gaussian(one, one), uniform)
    for trace in (-0.1, 1.5, math.nan, "a"):
        with refuses(ValueError, "trace"):
            lambda_returns(one, one, one, trace)
    with refuses(ValueError, "rewards, discounts, values", "(2, 1), (1, 1), (2, 1)"):
        lambda_returns(one, one[:1], one, 0.9)
    with refuses(ValueError, "q.std: expected positive"):
        kl_divergence(Gaussian(one, -one), Gaussian(one, one))
    with refuses(ValueError, "p.std: expected positive"):
        kl_divergence(Gaussian(one, one), Gaussian(one, 0 * one))


def test_a_truncated_normals_gradient_is_a_finite_difference():
    mean = torch.tensor([0.2, -0.9], dtype=F64, requires_grad=True)
    std = torch.tensor([0.3, 1.1], dtype=F64, requires_grad=True)
    uniform = torch.tensor([0.4, 0.8], dtype=F64)
    assert torch.autograd.gradcheck(lambda m, s: truncated_normal(Gaussian(m, s), uniform), (mean, std))


def test_behaviour_does_not_train_the_model_nor_the_actor_the_critic():
    config = preset("debug", discount_weight=0.0)
    learner = Learner(config, (2,), 1)
    generator = torch.Generator().manual_seed(0)
    shape = (config.batch, config.length)
    batch = Sequences(
        torch.randn(*shape, 2, generator=generator),
        torch.rand(*shape, 1, generator=generator),
        torch.rand(*shape, generator=generator),
        torch.zeros(shape, dtype=torch.bool),
        torch.zeros(shape, dtype=torch.bool),
    )
    for _ in range(3):  # reward head and critic start at zero: only then has the actor a gradient
        learner.update(batch)
    filtered, _ = learner._update_model(batch)
    before = {name: tensor.clone() for name, tensor in learner.agent.state_dict().items()}
    learner._update_behaviour(batch, filtered)
    after = learner.agent.state_dict()
    moved = {name.split(".")[0] for name in after if not torch.equal(after[name], before[name])}
    assert moved == {"actor", "critic", "return_spread"}
    assert all(parameter.requires_grad for parameter in learner.agent.world_model.parameters())
    slow, fast = learner.agent.slow_critic.parameters, learner.agent.critic.parameters
    was = [parameter.clone() for parameter in slow()]
    learner.update(batch)
    for old, new, target in zip(was, slow(), fast(), strict=True):
        torch.testing.assert_close(new, old + config.slow_fraction * (target - old))


@pytest.mark.parametrize("entropy", [1.0, 0.0])
def test_the_entropy_bonus_spreads_the_actions(entropy):
    """A new model's rewards and values are zero, so that entropy is all that the actor is told about.

    With the sign turned it would fall; with a weight of zero nothing moves.
    """
    learner = Learner(preset("debug", entropy=entropy, actor_rate=1e-2, weight_decay=0.0), (2,), 1)
    config = learner.config
    generator = torch.Generator().manual_seed(0)
    shape = (config.batch, config.length)
    batch = Sequences(
        torch.randn(*shape, 2, generator=generator),
        torch.rand(*shape, 1, generator=generator),
        torch.zeros(shape),
        torch.zeros(shape, dtype=torch.bool),
        torch.zeros(shape, dtype=torch.bool),
    )
    noise = torch.randn(*shape, config.stoch, generator=generator)
    filtered = learner.agent.world_model.observe(batch.observations, batch.actions, batch.first, noise, None)
    seen = [learner._update_behaviour(batch, filtered) for _ in range(20)]
    assert all(float(metrics["return"]) == 0 for metrics in seen)
    if entropy:
        # A uniform action has the most, log 2: most of what is missing is made up for.
        missing = [math.log(2) - float(metrics["entropy"]) for metrics in (seen[0], seen[-1])]
        assert 0 < missing[1] < 0.5 * missing[0]
    else:
        assert all(float(metrics["actor_gradient"]) == 0 for metrics in seen)


# Imitation.


def test_imitation_pairs_a_state_with_the_action_taken_there_and_trains_the_actor_alone():
    learner = Learner(replace(WALKER, actor_rate=1e-2), (1, 8, 8), ACTIONS)
    batch, agent = random_batch(WALKER, batch=3, steps=8), learner.agent
    batch = Sequences(*(part.float() if part.is_floating_point() else part for part in batch))
    h, z = torch.randn(3, 8, WALKER.deter), torch.randn(3, 8, WALKER.stoch)
    other = batch.actions.clone()
    other[:, 5] = 0.25
    before, after = (imitation(agent.actor, h, z, actions) for actions in (batch.actions, other))
    assert ((before != after).any(0)).nonzero().flatten().tolist() == [5]
    batch.actions[:] = 0.5
    learner.optimizers["model"].param_groups[0]["lr"] = 0.0
    frozen = {n: t.clone() for n, t in agent.state_dict().items() if not n.startswith("actor.") and "spread" not in n}
    metrics = [float(learner.update(batch)["policy"]) for _ in range(30)]
    assert metrics[-1] < 0.5 * metrics[0]
    assert all(torch.equal(t, frozen[n]) for n, t in agent.state_dict().items() if n in frozen)
