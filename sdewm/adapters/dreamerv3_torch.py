"""A checkpoint of dreamerv3-torch (github.com/NM512/dreamerv3-torch) with continuous latents, from its weights' names.

None of that project's code is needed or run: a checkpoint is read with ``weights_only=True``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from sdewm import arguments
from sdewm.adapters.gaussian_rssm import GaussianRSSM

EPS = 1e-3  # of every LayerNorm there
UPDATE_BIAS = -1.0  # of the update gate
FIRST = "_img_in_layers.0.weight"
RSSM = (
    FIRST,
    "_cell.layers.GRU_linear.weight",
    "_img_out_layers.0.weight",
    "_obs_out_layers.0.weight",
    "_imgs_stat_layer.weight",
    "_imgs_stat_layer.bias",
    "_obs_stat_layer.weight",
    "_obs_stat_layer.bias",
)
StdAct = Literal["sigmoid2", "sigmoid", "softplus"]
MeanAct = Literal["none", "tanh5"]
STD_ACTS: dict[StdAct, Callable[[Tensor], Tensor]] = {
    "sigmoid2": lambda x: 2 * torch.sigmoid(x / 2),
    "sigmoid": torch.sigmoid,
    "softplus": F.softplus,
}


class DiscreteLatents(ValueError):
    """The checkpoint's latents are categorical, of which the theory does not speak.

    >>> issubclass(DiscreteLatents, ValueError)
    True
    """


def from_dreamerv3_torch(
    checkpoint: Mapping[str, Tensor] | str | os.PathLike[str],
    *,
    embed: Callable[[Tensor], Tensor] | None = None,
    decoder: Callable[[Tensor, Tensor], Tensor] | None = None,
    target: Callable[[Tensor], Tensor] | None = None,
    policy: Callable[[Tensor, Tensor], Tensor] | None = None,
    action_size: int | None = None,
    std_act: StdAct = "sigmoid2",
    mean_act: MeanAct = "none",
    min_std: float = 0.1,
    name: str = "dreamerv3-torch",
) -> GaussianRSSM:
    """The RSSM of a ``latest.pt``, or of a state dict, trained with ``dyn_discrete: 0``.

    Parameters
    ----------
    checkpoint : the file, or a state dict of the agent, its world model or its RSSM; compiled modules' too.
    embed, decoder, target, policy : as for :class:`GaussianRSSM`. By default they are the checkpoint's own networks of
        vectors ("dmc_proprio"): observations are those that the encoder reads, side by side in its order, and targets
        their symlog. For images give the encoder and the decoder that you trained, as functions.
    action_size : needed only where the checkpoint has no actor.
    std_act, mean_act, min_std : ``dyn_std_act``, ``dyn_mean_act`` and ``dyn_min_std`` of the configuration.
    name : what a report calls it.

    The activation is SiLU. There, an action is stored with the observation that it led to; a
    :class:`~sdewm.adapters.Recording` has it with the one that it was chosen at: one place earlier.

    Raises
    ------
    DiscreteLatents : where z is categorical, as by default there.
    ValueError : where tensors are missing, or have shapes that are none of an RSSM's.

    >>> model = from_dreamerv3_torch("logdir/latest.pt")
    >>> model.sizes.z
    4
    """
    arguments.choice("std_act", std_act, get_args(StdAct))
    arguments.choice("mean_act", mean_act, get_args(MeanAct))
    min_std = arguments.real("min_std", min_std, least=0.0)
    whole = _state_dict(checkpoint)
    rssm = _below(whole, _prefix(whole))
    missing = [key for key in RSSM if key not in rssm]
    if missing:
        raise ValueError(f"checkpoint: expected the RSSM of dreamerv3-torch, got one without {', '.join(missing)}")
    actor = _below(whole, "_task_behavior.actor.")
    if action_size is None:
        if "mean_layer.weight" not in actor:
            raise ValueError("action_size: expected a number, as the checkpoint has no actor, got None")
        action_size = len(actor["mean_layer.weight"])
    stoch = _latent_size(rssm, arguments.integer("action_size", action_size, 1))
    deter = len(rssm["_cell.layers.GRU_linear.weight"]) // 3
    enter, leave, see = (_hidden(rssm, part) for part in ("_img_in_layers.", "_img_out_layers.", "_obs_out_layers."))

    def gates(x: Tensor) -> Tensor:
        x = F.linear(x, rssm["_cell.layers.GRU_linear.weight"])
        return _norm(rssm, "_cell.layers.GRU_norm.", x)

    def recurrent(h: Tensor, z: Tensor, a: Tensor) -> Tensor:
        reset, candidate, update = gates(torch.cat([enter(torch.cat([z, a], -1)), h], -1)).chunk(3, -1)
        update = torch.sigmoid(update + UPDATE_BIAS)
        return update * torch.tanh(torch.sigmoid(reset) * candidate) + (1 - update) * h

    def statistics(layer: str, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, std = F.linear(x, rssm[f"{layer}.weight"], rssm[f"{layer}.bias"]).chunk(2, -1)
        mean = 5 * torch.tanh(mean / 5) if mean_act == "tanh5" else mean
        return mean, STD_ACTS[std_act](std) + min_std

    def prior(h: Tensor) -> tuple[Tensor, Tensor]:
        return statistics("_imgs_stat_layer", leave(h))

    def posterior(h: Tensor, e: Tensor) -> tuple[Tensor, Tensor]:
        return statistics("_obs_stat_layer", see(torch.cat([h, e], -1)))

    weight = rssm[FIRST]
    with torch.no_grad():  # the first observation is met after one step from the initial state, without an action
        h = torch.tanh(rssm["W"]) if "W" in rssm else weight.new_zeros(1, deter)
        z = prior(h)[0] if "W" in rssm else weight.new_zeros(1, stoch)
        h0 = recurrent(h, z, weight.new_zeros(1, action_size))[0]
    return GaussianRSSM(
        recurrent=recurrent,
        prior=prior,
        posterior=posterior,
        decoder=decoder or _vector_decoder(_below(whole, "heads.decoder._mlp.")),
        policy=policy or _actor(actor),
        h0=h0,
        embed=embed or _vector_encoder(_below(whole, "encoder._mlp.")),
        target=target or (symlog if decoder is None else lambda s: s.flatten(1)),
        name=name,
    )


def symlog(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """sign(x) log(|x| + 1), in which vectors are read and predicted there."""
    return torch.sign(x) * torch.log1p(torch.abs(x))


def _state_dict(checkpoint: Mapping[str, Tensor] | str | os.PathLike[str]) -> dict[str, Tensor]:
    found: Any = checkpoint
    if not isinstance(checkpoint, Mapping):
        try:
            found = torch.load(checkpoint, map_location="cpu", weights_only=True)
        except OSError:
            raise
        except Exception as error:  # unpickling fails with errors of many kinds
            line = (str(error).splitlines() or [""])[0]
            raise ValueError(
                f"checkpoint: expected weights alone, got a file that cannot be read as such ({line})"
            ) from error
    if isinstance(found, Mapping) and "agent_state_dict" in found:
        found = found["agent_state_dict"]
    if not isinstance(found, Mapping) or not all(isinstance(t, Tensor) for t in found.values()):
        raise ValueError(f"checkpoint: expected a state dict, tensors by name, got {arguments.shown(found)}")
    return {key.replace("_orig_mod.", ""): tensor.detach() for key, tensor in found.items()}


def _prefix(state: Mapping[str, Tensor]) -> str:
    """Of the RSSM's tensors. The behaviour has the world model once more, under a longer name."""
    found = [key.removesuffix(FIRST) for key in state if key.endswith(FIRST)]
    if not found:
        raise ValueError(f"checkpoint: expected the RSSM of dreamerv3-torch, got one without {FIRST}")
    return min(found, key=len)


def _below(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Tensors under a prefix, which the world model's own may come before."""
    for before in ("", "_wm."):
        found = {k.removeprefix(before + prefix): t for k, t in state.items() if k.startswith(before + prefix)}
        if found:
            return found
    return {}


def _latent_size(rssm: Mapping[str, Tensor], action_size: int) -> int:
    """Of z; :class:`DiscreteLatents` where z is categorical."""
    rows, columns = len(rssm["_imgs_stat_layer.weight"]), rssm[FIRST].shape[1]
    if columns == rows + action_size:
        raise DiscreteLatents(
            f"checkpoint: expected continuous latents (dyn_discrete: 0), got {rows} logits of categorical ones. The "
            "theory expands in the size ε of an error in z, by derivatives in ε. A categorical z has no small error: "
            "it stays in its category or jumps to another one, so that neither the derivatives nor (5)'s diffusion "
            "exist."
        )
    if rows % 2 or columns != rows // 2 + action_size:
        raise ValueError(
            f"checkpoint: expected {rows // 2} latents and {action_size} actions side by side in {FIRST}, got "
            f"{columns} columns"
        )
    return rows // 2


def _norm(state: Mapping[str, Tensor], prefix: str, x: Tensor) -> Tensor:
    """The LayerNorm under a prefix; none where there is none."""
    if prefix + "weight" not in state:
        return x
    weight = state[prefix + "weight"]
    return F.layer_norm(x, weight.shape, weight, state[prefix + "bias"], EPS)


def _hidden(state: Mapping[str, Tensor], part: str) -> Callable[[Tensor], Tensor]:
    """A linear map, LayerNorm, SiLU."""
    return lambda x: F.silu(_norm(state, f"{part}1.", F.linear(x, state[f"{part}0.weight"])))


def _mlp(state: Mapping[str, Tensor]) -> Callable[[Tensor], Tensor]:
    """The hidden layers of an MLP there, ``layers.NAME_linear0``, ``layers.NAME_norm0`` and so on."""
    linear = {int(m[2]): m[1] for key in state if (m := re.fullmatch(r"layers\.(\w+)_linear(\d+)\.weight", key))}

    def network(x: Tensor) -> Tensor:
        for i in sorted(linear):
            x = F.linear(x, state[f"layers.{linear[i]}_linear{i}.weight"])
            x = F.silu(_norm(state, f"layers.{linear[i]}_norm{i}.", x))
        return x

    return network


def _vector_encoder(state: Mapping[str, Tensor]) -> Callable[[Tensor], Tensor]:
    if not state:
        raise ValueError("embed: expected your encoder, as the checkpoint has none of vectors alone, got None")
    network = _mlp(state)
    return lambda s: network(symlog(s.flatten(1)))


def _vector_decoder(state: Mapping[str, Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    heads = [key.removesuffix(".weight") for key in state if re.fullmatch(r"mean_layer\..+\.weight", key)]
    # The encoder reads neither of these, though they are predicted.
    heads = [head for head in heads if not head.startswith(("mean_layer.reward", "mean_layer.log_"))]
    if not heads:
        raise ValueError("decoder: expected your decoder, as the checkpoint has none of vectors, got None")
    network = _mlp(state)

    def decode(h: Tensor, z: Tensor) -> Tensor:
        x = network(torch.cat([z, h], -1))
        return torch.cat([F.linear(x, state[f"{head}.weight"], state[f"{head}.bias"]) for head in heads], -1)

    return decode


def _actor(state: Mapping[str, Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    if "std_layer.weight" not in state:
        raise ValueError("policy: expected yours, as the checkpoint has no actor with continuous actions, got None")
    network = _mlp(state)

    def mode(h: Tensor, z: Tensor) -> Tensor:
        x = network(torch.cat([z, h], -1))
        return torch.tanh(F.linear(x, state["mean_layer.weight"], state["mean_layer.bias"]))

    return mode
