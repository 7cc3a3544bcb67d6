"""How an agent's training is one update at a time."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sdewm.worldmodel.agent import Agent
from sdewm.worldmodel.behaviour import RETURN_MOMENTUM, RETURN_QUANTILES, imagine, imitation, lambda_returns, weights
from sdewm.worldmodel.checkpoint import CheckpointError, with_prefix
from sdewm.worldmodel.config import Config
from sdewm.worldmodel.encoder_error import EncoderError
from sdewm.worldmodel.replay import Sequences
from sdewm.worldmodel.seeds import derived_seed
from sdewm.worldmodel.world_model import FilteredStates


class Learner:
    """An agent with what its training needs besides: optimizers and one random generator.

    ``update`` does one update of world model, actor and critic. Everything that the next update depends on is in
    ``tensors``, so that a run resumed from there goes on bitwise as if it had not stopped.
    """

    def __init__(self, config: Config, observation_shape: tuple[int, ...], action_size: int) -> None:
        self.config = config
        self.error = EncoderError.of(config)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.agent = Agent(config, observation_shape, action_size)
        self.generator = torch.Generator().manual_seed(config.seed)
        self.optimizers = {
            "model": self._optimizer(self.agent.world_model, config.model_rate),
            "actor": self._optimizer(self.agent.actor, config.actor_rate),
            "critic": self._optimizer(self.agent.critic, config.critic_rate),
        }
        self.updates = 0

    def update(self, batch: Sequences) -> dict[str, Float[Tensor, ""]]:
        """One update of everything on a batch of the replay; returns scalars worth watching."""
        filtered, metrics = self._update_model(batch)
        imitates = self.config.behaviour == "imitation"
        metrics |= self._imitate(batch, filtered) if imitates else self._update_behaviour(batch, filtered)
        self.updates += 1
        if self.updates % self.config.slow_every == 0:
            with torch.no_grad():
                for slow, fast in zip(self.agent.slow_critic.parameters(), self.agent.critic.parameters(), strict=True):
                    slow.lerp_(fast, self.config.slow_fraction)
        return metrics

    def _update_model(self, batch: Sequences) -> tuple[FilteredStates, dict[str, Tensor]]:
        config, model = self.config, self.agent.world_model
        sequences, steps = batch.rewards.shape
        noise = torch.randn(sequences, steps, config.stoch, generator=self.generator)
        error = self.error.draw(sequences, steps, model.latent_spread, self.generator)
        filtered = model.observe(batch.observations, batch.actions, batch.first, noise, error)
        loss, parts = model.loss(batch, filtered)
        metrics = {name: part.detach().mean() for name, part in parts._asdict().items()}
        if config.jacobian_weight:
            # Projections of their own: runs that differ in λ alone draw the same batches and noise.
            projections = torch.Generator().manual_seed(derived_seed(config.seed, "jacobian", self.updates))
            penalty = model.jacobian_penalty(batch, filtered, projections)
            loss = loss + config.jacobian_weight * penalty
            metrics["jacobian"] = penalty.detach()
        metrics["model_gradient"] = self._step("model", model, loss)
        model.update_spread(filtered)
        return filtered, metrics

    def _update_behaviour(self, batch: Sequences, filtered: FilteredStates) -> dict[str, Tensor]:
        config, agent, model = self.config, self.agent, self.agent.world_model
        h, z = (part.detach().flatten(0, 1) for part in (filtered.h, filtered.z))
        going_on = (~batch.terminal).flatten().to(h.dtype)
        if config.starts:
            chosen = torch.randperm(len(h), generator=self.generator)[: config.starts]
            h, z, going_on = h[chosen], z[chosen], going_on[chosen]
        uniform = torch.rand(config.horizon, len(h), model.action_size, generator=self.generator)
        noise = torch.randn(config.horizon, len(h), config.stoch, generator=self.generator)

        model.requires_grad_(False)  # the actor's gradient goes through the model, not into it
        imagined = imagine(model, agent.actor, h, z, uniform, noise)
        rewards, discounts = model.reward(imagined.h, imagined.z), model.discount(imagined.h, imagined.z)
        values = agent.slow_critic(imagined.h, imagined.z)
        returns = lambda_returns(rewards, discounts, values, config.trace)
        weight = weights(discounts.detach(), going_on)
        objective = returns / self._return_scale(returns.detach()) + config.entropy * imagined.entropy
        actor_gradient = self._step("actor", agent.actor, -(weight * objective).mean())
        model.requires_grad_(True)

        predicted = agent.critic(imagined.h[:-1].detach(), imagined.z[:-1].detach())
        critic_loss = 0.5 * (weight * (predicted - returns.detach()).square()).mean()
        critic_gradient = self._step("critic", agent.critic, critic_loss)
        return {
            "return": returns.detach().mean(),
            "imagined_reward": rewards.detach()[1:].mean(),
            "entropy": imagined.entropy.detach().mean(),
            "critic": critic_loss.detach(),
            "return_spread": agent.return_spread.clone(),
            "actor_gradient": actor_gradient,
            "critic_gradient": critic_gradient,
        }

    def _imitate(self, batch: Sequences, filtered: FilteredStates) -> dict[str, Tensor]:
        loss = imitation(self.agent.actor, filtered.h.detach(), filtered.z.detach(), batch.actions).mean()
        return {"policy": loss.detach(), "actor_gradient": self._step("actor", self.agent.actor, loss)}

    def _return_scale(self, returns: Tensor) -> Tensor | float:
        """The running spread of returns between two quantiles, not below 1: rewards that are tiny stay so."""
        if not self.config.scale_returns:
            return 1.0
        low, high = torch.quantile(returns, torch.tensor(RETURN_QUANTILES, dtype=returns.dtype))
        self.agent.return_spread.lerp_(high - low, 1 - RETURN_MOMENTUM)
        return self.agent.return_spread.clamp(min=1.0)

    def _optimizer(self, module: nn.Module, rate: float) -> torch.optim.Optimizer:
        decay = self.config.weight_decay / rate  # AdamW multiplies it by the rate
        return torch.optim.AdamW(module.parameters(), lr=rate, eps=self.config.adam_eps, weight_decay=decay, fused=True)

    def _step(self, name: str, module: nn.Module, loss: Tensor) -> Tensor:
        """Descend; returns the gradient's norm before clipping."""
        optimizer = self.optimizers[name]
        optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(module.parameters(), self.config.clip)
        optimizer.step()
        return norm.detach()

    # -- checkpoints -------------------------------------------------------------------------------------------------

    def tensors(self) -> dict[str, Tensor]:
        """The state, by name."""
        tensors = {f"agent.{name}": tensor for name, tensor in self.agent.state_dict().items()}
        for name, optimizer in self.optimizers.items():
            for index, state in optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer.{name}.{index}.{key}": tensor for key, tensor in state.items()}
        tensors["generator"] = self.generator.get_state()
        return tensors

    def restore(self, tensors: dict[str, Tensor], updates: int) -> None:
        """Put the state of :meth:`tensors` back; :class:`CheckpointError` where it does not fit."""
        try:
            self.agent.load_state_dict(with_prefix(tensors, "agent."))
            for name, optimizer in self.optimizers.items():
                state: dict[int, dict[str, Any]] = {}
                for entry, tensor in with_prefix(tensors, f"optimizer.{name}.").items():
                    index, key = entry.split(".")
                    state.setdefault(int(index), {})[key] = tensor
                groups = optimizer.state_dict()["param_groups"]
                optimizer.load_state_dict({"state": state, "param_groups": groups})
            self.generator.set_state(tensors["generator"])
        except (KeyError, ValueError, RuntimeError) as error:
            raise CheckpointError(f"checkpoint: does not hold this agent ({error})") from error
        self.updates = updates
