"""The small model of a scripted walker: recorded from pixels, trained, shipped, and read as the SDE (5)–(8)."""

from sdewm.worldmodel.checkpoint import CheckpointError
from sdewm.worldmodel.gaussian import Gaussian, kl_divergence
from sdewm.worldmodel.jacobian import Norms, as_drift, exact_norms, jacobian_penalty, logarithmic_norm
from sdewm.worldmodel.walker_checkpoint import load_model, save_model
from sdewm.worldmodel.walker_environment import EnvironmentConfig, TimeStep, WalkerEnvironment
from sdewm.worldmodel.walker_model import ModelConfig, WorldModel
from sdewm.worldmodel.walker_record import Episode, ScriptedGait, load_episodes, record, save_episodes
from sdewm.worldmodel.walker_sde import (
    as_sde,
    block_sizes,
    consistency_loss,
    initial_state,
    latent_spread,
    load_trained,
    reconstruction_loss,
    recorded_frames,
    reward_loss,
)
from sdewm.worldmodel.walker_train import Batch, TrainConfig, evaluate, open_loop, release, to_batch, train
from sdewm.worldmodel.world_model import Rollout

__all__ = [
    "Batch",
    "CheckpointError",
    "EnvironmentConfig",
    "Episode",
    "Gaussian",
    "ModelConfig",
    "Norms",
    "Rollout",
    "ScriptedGait",
    "TimeStep",
    "TrainConfig",
    "WalkerEnvironment",
    "WorldModel",
    "as_drift",
    "as_sde",
    "block_sizes",
    "consistency_loss",
    "evaluate",
    "exact_norms",
    "initial_state",
    "jacobian_penalty",
    "kl_divergence",
    "latent_spread",
    "load_episodes",
    "load_model",
    "load_trained",
    "logarithmic_norm",
    "open_loop",
    "reconstruction_loss",
    "record",
    "recorded_frames",
    "release",
    "reward_loss",
    "save_episodes",
    "save_model",
    "to_batch",
    "train",
]
