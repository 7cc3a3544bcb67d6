"""Any recurrent state-space model with Gaussian latents, given as functions.

Indices, for the step from t to t + 1: h_{t+1} = recurrent(h_t, z_t, a_t), then z_{t+1} ~ posterior(h_{t+1}, s_{t+1}),
or z̃_{t+1} ~ prior(h_{t+1}) where nothing is seen; decoder and reward head are functions of h and z of one time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Num
from torch import Tensor

from sdewm import arguments
from sdewm.noise.grid import TimeGrid
from sdewm.systems.blocks import BlockSizes
from sdewm.systems.in_time import InTime
from sdewm.systems.latent import LatentSDE
from sdewm.systems.losses import SummedLoss
from sdewm.systems.observations import RecordedObservation
from sdewm.systems.perturbed import PerturbedSDE
from sdewm.systems.user_functions import named
from sdewm.verification.system import System

CHUNK = 64  # frames that are encoded together

MeanAndStd = tuple[Tensor, Tensor]
LossInTime = Callable[[Any, Tensor], Tensor]
Acting = Callable[[Tensor, Tensor], Tensor] | InTime


class Recording(NamedTuple):
    """A recorded episode.

    ``observations`` (T, *shape): uint8 images are brought to [0, 1]; ``actions`` (T, actions): a_t acts between t and
    t + 1, so that the last one is not used; ``rewards`` (T,): collected on the way into t, ``None`` if there are none.

    >>> Recording(torch.zeros(20, 6), torch.zeros(20, 1)).rewards is None
    True
    """

    observations: Tensor
    actions: Float[Tensor, "times actions"]
    rewards: Float[Tensor, " times"] | None = None


class Filtered(NamedTuple):
    """States along an episode: h, and the posterior's mean and standard deviation."""

    h: Float[Tensor, "times h"]
    mean: Float[Tensor, "times z"]
    std: Float[Tensor, "times z"]


def _flat(observations: Tensor) -> Tensor:
    return observations.flatten(1)


@dataclass(frozen=True, kw_only=True, eq=False)
class GaussianRSSM:
    """A recurrent state-space model with Gaussian latents, from its parts. Nothing is trained or changed.

    All parts but ``embed``, ``target`` and ``to_observation`` take rows ``(batch, ·)`` and work on each by itself.

    Parameters
    ----------
    recurrent : ``(h, z, a) -> h``, the next memory.
    prior : ``h -> (mean, std)`` of z̃.
    posterior : ``(h, e) -> (mean, std)`` of z, e the embedding of the observation.
    decoder : ``(h, z) -> `` the mean of the observation, as ``target`` has it; of any shape beyond the rows.
    policy : ``(h, z) -> a``, without randomness, such as an actor's mode. A constant is a policy too.
    h0 : the memory ``(h,)`` at the first observation; zeros in most models. All is computed in its dtype.
    embed : ``(batch, *shape) -> (batch, embedding)`` of observations; flat by default.
    target : ``(batch, *shape) -> (batch, …)``, what the decoder predicts; the observation itself by default.
    to_observation : from what the decoder says to what ``target`` says, where the decoder speaks in coordinates.
    reward : ``(h, z) -> (batch,)`` or ``(batch, 1)``; ``None`` where the model has none.
    name : what a report calls it.

    Raises ``ValueError`` where a part returns another shape or dtype than the other parts take; the part is named.

    >>> model = GaussianRSSM(
    ...     recurrent=lambda h, z, a: torch.tanh(h + z + a),
    ...     prior=lambda h: (torch.sin(h), 0.1 + 0 * h),
    ...     posterior=lambda h, e: (torch.tanh(h + e), 0.1 + 0 * h),
    ...     decoder=lambda h, z: h + z,
    ...     policy=lambda h, z: torch.sin(z),
    ...     h0=torch.zeros(2, dtype=torch.float64),
    ... )
    >>> sum(model.sizes)
    8
    """

    recurrent: Callable[[Tensor, Tensor, Tensor], Tensor]
    prior: Callable[[Tensor], MeanAndStd]
    posterior: Callable[[Tensor, Tensor], MeanAndStd]
    decoder: Callable[[Tensor, Tensor], Tensor]
    policy: Callable[[Tensor, Tensor], Tensor]
    h0: Float[Tensor, " h"]
    embed: Callable[[Tensor], Tensor] = _flat
    target: Callable[[Tensor], Tensor] = _flat
    to_observation: Callable[[Tensor], Tensor] | None = None
    reward: Callable[[Tensor, Tensor], Tensor] | None = None
    name: str = "model"
    sizes: BlockSizes = field(init=False)
    action_size: int = field(init=False)

    def __post_init__(self) -> None:
        for name in ("recurrent", "prior", "posterior", "decoder", "policy", "embed", "target"):
            arguments.function(name, getattr(self, name), "tensors")
        for name in ("to_observation", "reward"):
            arguments.function(name, getattr(self, name), "tensors", optional=True)
        h0 = arguments.tensor("h0", self.h0).detach()
        if h0.ndim != 1 or not h0.is_floating_point():
            raise ValueError(f"h0: expected floating-point numbers (h,), got {arguments.shown(h0)}")
        object.__setattr__(self, "h0", h0)
        with torch.no_grad():
            h = h0.expand(3, -1)  # rows, so that a part that mixes them up is seen by its shape
            z, _ = self._gaussian("prior", self.prior, h)
            action = self._rows("policy", self.policy, h, z)
            if action.ndim != 2:
                raise ValueError(f"policy: expected (3, actions), got {arguments.shown(action)}")
            following = self._rows("recurrent", self.recurrent, h, z, action)
            if following.shape != h.shape:
                raise ValueError(f"recurrent: expected the shape of h, {tuple(h.shape)}, got {tuple(following.shape)}")
            decoded = self._rows("decoder", self.decoder, h, z).flatten(1)
            if self.reward is not None:
                rewards = self._rows("reward", self.reward, h, z)
                if rewards.numel() != len(h):
                    raise ValueError(f"reward: expected one number a row, got shape {tuple(rewards.shape)}")
        sizes = BlockSizes(z=z.shape[-1], h=len(h0), z_tilde=z.shape[-1], s_tilde=decoded.shape[-1])
        object.__setattr__(self, "sizes", sizes)
        object.__setattr__(self, "action_size", action.shape[-1])

    def recording(self, episode: Recording) -> Recording:
        """An episode in the model's dtype, images in [0, 1]; ``ValueError`` where it does not fit the model."""
        if not isinstance(episode, tuple) or len(episode) not in (2, 3):
            raise ValueError(f"episode: expected a Recording, got {arguments.shown(episode)}")
        images = isinstance(episode[0], Tensor) and episode[0].dtype == torch.uint8
        observations = arguments.tensor("observations", episode[0]).to(self.h0) / (255 if images else 1)
        actions = arguments.tensor("actions", episode[1]).to(self.h0)
        if actions.ndim != 2 or actions.shape[1] != self.action_size:
            expected = f"(times, {self.action_size}), as the policy's"
            raise ValueError(f"actions: expected shape {expected}, got {tuple(actions.shape)}")
        if observations.ndim < 2 or len(observations) != len(actions):
            raise ValueError(
                f"observations: expected {len(actions)} of them, as there are actions, got "
                f"{arguments.shown(observations)}"
            )
        rewards = episode[2] if len(episode) == 3 else None
        if rewards is not None:
            rewards = arguments.tensor("rewards", rewards).to(self.h0)
            if rewards.shape != actions.shape[:1]:
                raise ValueError(f"rewards: expected {len(actions)}, one a time, got {arguments.shown(rewards)}")
        for name, value in (("observations", observations), ("actions", actions), ("rewards", rewards)):
            if value is not None and not bool(torch.isfinite(value).all()):
                raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")
        return Recording(observations, actions, rewards)

    @torch.no_grad()
    def embeddings(self, observations: Num[Tensor, "times ..."]) -> Float[Tensor, "times embedding"]:
        """What ``embed`` makes of observations (T, *shape)."""
        parts = [self._rows("embed", self.embed, chunk) for chunk in observations.split(CHUNK)]
        return torch.cat(parts).flatten(1)

    @torch.no_grad()
    def targets(self, observations: Num[Tensor, "times ..."]) -> Float[Tensor, "times numbers"]:
        """What the decoder should have said of observations (T, *shape), flat."""
        found = torch.cat([self._rows("target", self.target, chunk).flatten(1) for chunk in observations.split(CHUNK)])
        said = self.observed(torch.zeros(1, self.sizes.s_tilde).to(found)).shape[-1]
        if said != found.shape[-1]:
            raise ValueError(f"target: expected {said} numbers, as the decoder gives, got {found.shape[-1]}")
        return found

    def decoded(self, h: Float[Tensor, "batch h"], z: Float[Tensor, "batch z"]) -> Float[Tensor, "batch s_tilde"]:
        """What the decoder says, flat: s̃."""
        return self.decoder(h, z).flatten(1)

    def observed(self, s_tilde: Float[Tensor, "batch s_tilde"]) -> Float[Tensor, "batch numbers"]:
        """From s̃ to what :meth:`targets` gives, flat."""
        return s_tilde if self.to_observation is None else self.to_observation(s_tilde).flatten(1)

    @torch.no_grad()
    def filter(self, episode: Recording) -> Filtered:
        """The states along an episode, z at the posterior's mean."""
        e = self.embeddings(episode.observations)
        h = self.h0.unsqueeze(0)
        states: list[tuple[Tensor, Tensor, Tensor]] = []
        for t in range(len(e)):
            if t:
                h = self.recurrent(h, states[-1][1], episode.actions[t - 1 : t])
            mean, std = self._gaussian("posterior", self.posterior, h, e[t : t + 1])
            states.append((h, mean, std))
        return Filtered(*(torch.cat(parts) for parts in zip(*states, strict=True)))

    @torch.no_grad()
    def predict(
        self, h: Float[Tensor, "batch h"], z: Float[Tensor, "batch z"], actions: Float[Tensor, "batch steps actions"]
    ) -> Float[Tensor, "batch steps numbers"]:
        """Observations after each action, as :meth:`targets` has them, from the actions alone; z̃ at its mean."""
        said = []
        for action in actions.unbind(1):
            h = self.recurrent(h, z, action)
            z, _ = self.prior(h)
            said.append(self.observed(self.decoded(h, z)))
        return torch.stack(said, 1)

    def as_sde(self, episode: Recording, policy: Acting | None = None) -> LatentSDE:
        """The model as (5)–(8) along an episode of :meth:`recording`; ``policy`` is the model's own by default.

        A loss along recorded frames asks for ``sdewm.worldmodel.sde.recorded_actions(episode.actions)``: under a policy
        of its own the model acts otherwise than in the frames that it is held against.

        Each observation is embedded once, and s_t is its embedding. Time is counted in the model's steps; with the
        method "euler-sequential" and Δt = 1 a step of the solver is a step of the model, and nothing is approximated.
        """
        embedded = self.embeddings(episode.observations)
        return LatentSDE(
            q_enc=lambda h, e: self.posterior(h, e)[0],
            q_enc_bar=lambda h, e: self.posterior(h, e)[1],
            f=self.recurrent,
            p=lambda h: self.prior(h)[0],
            p_bar=lambda h: self.prior(h)[1],
            q_dec=self.decoded,
            policy=policy or self.policy,
            observation=_in_time(embedded),
            sizes=self.sizes,
            leak=1.0,
        )

    @torch.no_grad()
    def x0(self, filtered: Filtered, t: int) -> Float[Tensor, " n"]:
        """The state (z, h, z̃, s̃) of :meth:`as_sde` at time t of an episode; z and z̃ at their means."""
        t = arguments.integer("t", t, 0, len(filtered.h) - 1)
        h, z = filtered.h[t : t + 1], filtered.mean[t : t + 1]
        z_tilde, _ = self.prior(h)
        return torch.cat([z, h, z_tilde, self.decoded(h, z_tilde)], -1)[0]

    def losses(self, episode: Recording) -> dict[str, LossInTime]:
        """Functions (t, x) -> (paths,) of states x of :meth:`as_sde`, by name.

        "reconstruction": ½ · mean over the observation's numbers of (s̃ − s_t)²; and where model and episode have
        rewards "reward": ½ (r̂(h, z̃) − r_t)².
        """
        _, h, z_tilde, s_tilde = _slices(self.sizes)
        seen = _in_time(self.targets(episode.observations))

        def reconstruction(t: Any, x: Tensor) -> Tensor:
            error = self.observed(x[:, s_tilde]) - seen(t)
            return 0.5 * (error * error).mean(-1)

        found: dict[str, LossInTime] = {"reconstruction": reconstruction}
        if self.reward is not None and episode.rewards is not None:
            head, collected = self.reward, _in_time(episode.rewards)

            def reward(t: Any, x: Tensor) -> Tensor:
                error = head(x[:, h], x[:, z_tilde]).reshape(len(x)) - collected(t)
                return 0.5 * (error * error)

            found["reward"] = reward
        return found

    def system(
        self,
        episode: Recording,
        *,
        start: int = 10,
        steps: int = 8,
        sigma: Float[Tensor, " z"] | None = None,
        sigma_bar: Float[Tensor, " z"] | None = None,
        policy: Acting | None = None,
    ) -> System:
        """What :func:`sdewm.verify` takes: the model under an error of its encoder, along a stretch of an episode.

        Parameters
        ----------
        start, steps : the SDE starts at the filtered state of time ``start``, and makes so many steps.
        sigma, sigma_bar : the error, ε ``sigma`` in the mean of z and ε ``sigma_bar`` in its spread; each ``(z,)``. By
            default ``sigma_bar`` is the latent's own spread along the episode, so that ε = 1 is an error as large as
            what it falsifies, and there is no ``sigma``.

        policy : as for :meth:`as_sde`. The claim on rollouts needs one that does not follow the time.

        The losses are those of :meth:`losses`, in the mean over the steps.

        >>> system = model.system(episode, start=4, steps=8)
        >>> system.method, len(system.x0)
        ('euler-sequential', 8)
        """
        episode = self.recording(episode)
        steps = arguments.integer("steps", steps, 1)
        start = arguments.integer("start", start, 0)
        if start + steps >= len(episode.actions):
            raise ValueError(
                f"start, steps: expected at most {len(episode.actions) - 1} together, got {start} and {steps}"
            )
        filtered = self.filter(episode)
        if sigma is None and sigma_bar is None:
            sigma_bar = latent_spread([filtered])
        sde = self.as_sde(episode, policy)
        error = sde.encoder_error(self._constant("sigma", sigma), self._constant("sigma_bar", sigma_bar))
        times = tuple(float(t) for t in range(start + 1, start + steps + 1))
        losses = {name: SummedLoss(fn, times, (1 / steps,) * steps) for name, fn in self.losses(episode).items()}
        return System(
            PerturbedSDE(sde, error),
            losses if len(losses) > 1 else losses["reconstruction"],
            self.x0(filtered, start),
            TimeGrid(float(start), float(start + steps), steps),
            method="euler-sequential",
            name=self.name,
        )

    def _constant(self, name: str, value: Tensor | None) -> Callable[[Tensor, Tensor], Tensor] | None:
        if value is None:
            return None
        row = arguments.tensor(name, value).to(self.h0)
        if row.shape != (self.sizes.z,):
            raise ValueError(f"{name}: expected shape ({self.sizes.z},), as z has, got {tuple(row.shape)}")
        return lambda h, e: row.expand(len(h), -1)

    def _gaussian(self, name: str, part: Callable[..., MeanAndStd], *inputs: Tensor) -> MeanAndStd:
        with named(f"{name}: expected a function that returns (mean, std)"):
            found = part(*inputs)
        if not isinstance(found, tuple | list) or len(found) != 2:
            raise ValueError(f"{name}: expected (mean, std), got {arguments.shown(found)}")
        mean, std = found
        for value in (mean, std):
            if not isinstance(value, Tensor) or value.ndim != 2 or len(value) != len(inputs[0]):
                raise ValueError(f"{name}: expected rows ({len(inputs[0])}, z), got {arguments.shown(value)}")
        if mean.shape != std.shape:
            raise ValueError(f"{name}: expected mean and std alike, got {tuple(mean.shape)} and {tuple(std.shape)}")
        if not bool((std > 0).all()):
            raise ValueError(f"{name}: expected positive standard deviations, got {float(std.min()):g}")
        return mean, std

    def _rows(self, name: str, part: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        with named(f"{name}: expected a function of {self.h0.dtype} rows"):
            found = part(*inputs)
        if not isinstance(found, Tensor) or found.ndim < 1 or len(found) != len(inputs[0]):
            raise ValueError(f"{name}: expected {len(inputs[0])} rows, got {arguments.shown(found)}")
        if found.dtype != self.h0.dtype:
            raise ValueError(f"{name}: expected {self.h0.dtype}, as h0 has, got {found.dtype}")
        return found


def latent_spread(filtered: list[Filtered]) -> Float[Tensor, " z"]:
    """Standard deviation of each coordinate of z over filtered episodes, the posterior's own included."""
    means, stds = (torch.cat([getattr(f, name) for f in filtered]) for name in ("mean", "std"))
    return (means.var(0, correction=0) + stds.square().mean(0)).sqrt()


def _in_time(values: Tensor) -> RecordedObservation:
    return RecordedObservation(torch.arange(len(values), dtype=torch.float64), values)


def _slices(sizes: BlockSizes) -> tuple[slice, ...]:
    ends = torch.tensor(sizes).cumsum(0).tolist()
    return tuple(slice(end - size, end) for end, size in zip(ends, sizes, strict=True))
