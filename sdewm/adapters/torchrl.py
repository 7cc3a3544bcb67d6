"""TorchRL's RSSM modules as they are. TorchRL itself is not imported: the modules bring what they need."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from sdewm import arguments
from sdewm.adapters.gaussian_rssm import GaussianRSSM

PRIOR = ("action_state_projector", "rnn", "rnn_to_prior_projector")
POSTERIOR = ("obs_rnn_to_post_projector",)


def from_torchrl(
    prior: nn.Module,
    posterior: nn.Module,
    *,
    encoder: Callable[[Tensor], Tensor],
    decoder: Callable[[Tensor, Tensor], Tensor],
    actor: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
    reward: Callable[[Tensor, Tensor], Tensor] | None = None,
    name: str = "TorchRL RSSM",
) -> GaussianRSSM:
    """A model of ``torchrl.modules``: RSSMPrior, RSSMPosterior, ObsEncoder, ObsDecoder and DreamerActor.

    Parameters
    ----------
    prior, posterior : an ``RSSMPrior`` and an ``RSSMPosterior``. They are called part by part, since their ``forward``
        draws a state; the values are the same.
    encoder : ``ObsEncoder``, or another module from observations (batch, *shape) to embeddings.
    decoder : ``ObsDecoder``, or another function of (state, belief).
    actor : ``DreamerActor``, or another function (state, belief) -> (loc, scale). The action is tanh(loc), the mode of
        its ``TanhNormal`` before it is squashed.
    reward : a function of (state, belief); ``None`` for none.
    name : what a report calls it.

    TorchRL calls h the belief and z the state. It counts observations from the first action on; here the first one is
    encoded too, with a belief of zeros, so that states differ from TorchRL's by what the memory keeps of its start.

    Raises ``ValueError`` for modules of another kind, and for lazy ones that have not been run yet.

    >>> model = from_torchrl(prior, posterior, encoder=encoder, decoder=decoder, actor=actor)
    >>> model.h0.dtype
    torch.float32
    """
    for argument, module, parts in (("prior", prior, PRIOR), ("posterior", posterior, POSTERIOR)):
        missing = [part for part in parts if not hasattr(module, part)]
        if missing:
            raise ValueError(
                f"{argument}: expected an RSSM{argument.capitalize()} of TorchRL, with {', '.join(missing)}, "
                f"got {type(module).__name__}"
            )
    modules = {"prior": prior, "posterior": posterior, "encoder": encoder, "decoder": decoder, "actor": actor}
    for argument, part in modules.items():
        arguments.function(argument, part, "tensors")
        if isinstance(part, nn.Module) and any(isinstance(p, nn.UninitializedParameter) for p in part.parameters()):
            raise ValueError(f"{argument}: expected a module that has been run once, got one with lazy weights")
    project, cell, to_prior = (getattr(prior, part) for part in PRIOR)
    to_posterior = getattr(posterior, POSTERIOR[0])

    def recurrent(belief: Tensor, state: Tensor, action: Tensor) -> Tensor:
        return cell(project(torch.cat([state, action], -1)), belief)

    def posterior_of(belief: Tensor, embedding: Tensor) -> tuple[Tensor, Tensor]:
        mean, std = to_posterior(torch.cat([belief, embedding], -1))
        return mean, std

    def prior_of(belief: Tensor) -> tuple[Tensor, Tensor]:
        mean, std = to_prior(belief)
        return mean, std

    def policy(belief: Tensor, state: Tensor) -> Tensor:
        loc, _ = actor(state, belief)
        return torch.tanh(loc)

    weight = next(cell.parameters())
    return GaussianRSSM(
        recurrent=recurrent,
        prior=prior_of,
        posterior=posterior_of,
        decoder=lambda belief, state: decoder(state, belief),
        policy=policy,
        h0=torch.zeros(cell.hidden_size, dtype=weight.dtype, device=weight.device),
        embed=encoder,
        reward=None if reward is None else lambda belief, state: reward(state, belief),
        name=name,
    )
