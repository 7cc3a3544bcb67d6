"""A world model and its agent, learned from pixels or states; any of them is the SDE (5)–(8)."""

from sdewm.worldmodel.agent import Agent
from sdewm.worldmodel.behaviour import Actor, Critic, action_value, imagine, lambda_returns
from sdewm.worldmodel.checkpoint import CheckpointError
from sdewm.worldmodel.collect import collect
from sdewm.worldmodel.config import PRESETS, Config, preset
from sdewm.worldmodel.encoder_error import EncoderError
from sdewm.worldmodel.environments import (
    DeepMindControl,
    Environment,
    EnvironmentFailure,
    PointMass,
    TimeStep,
    make_environment,
)
from sdewm.worldmodel.episodes import play, random_policy
from sdewm.worldmodel.evaluation import Evaluation, evaluate
from sdewm.worldmodel.fit import fit
from sdewm.worldmodel.gaussian import Gaussian, kl_divergence
from sdewm.worldmodel.held_out_error import HeldOut, held_out
from sdewm.worldmodel.jacobian import Norms, as_drift, exact_norms, jacobian_penalty, logarithmic_norm
from sdewm.worldmodel.learner import Learner
from sdewm.worldmodel.loss_prediction import LossPrediction, PredictedIncrease, Windows, predict_losses
from sdewm.worldmodel.measured_increase import measure_losses
from sdewm.worldmodel.open_loop_loss import open_loop_loss
from sdewm.worldmodel.perturbations import (
    GaussianNoise,
    MaskedNoise,
    Perturbation,
    Rotation,
    perturbation_of,
    seen_through,
)
from sdewm.worldmodel.pictures import prediction_video, write_gif
from sdewm.worldmodel.prediction import heldout_scores, open_loop, open_loop_error
from sdewm.worldmodel.replay import Replay, Sequences, to_sequences
from sdewm.worldmodel.representation_error import (
    EpisodeError,
    ErrorCoefficients,
    RepresentationError,
    representation_error,
)
from sdewm.worldmodel.run import Run
from sdewm.worldmodel.saved_agent import load_agent
from sdewm.worldmodel.sde import as_sde, block_sizes, initial_state, recorded_actions, recorded_observation
from sdewm.worldmodel.sde_losses import consistency_loss, reconstruction_loss, reward_loss
from sdewm.worldmodel.shipped import load_trained
from sdewm.worldmodel.train import train
from sdewm.worldmodel.truncated_normal import truncated_normal
from sdewm.worldmodel.world_model import FilteredStates, WorldModel

__all__ = [
    "PRESETS",
    "Actor",
    "Agent",
    "CheckpointError",
    "Config",
    "Critic",
    "DeepMindControl",
    "EncoderError",
    "Environment",
    "EnvironmentFailure",
    "EpisodeError",
    "ErrorCoefficients",
    "Evaluation",
    "FilteredStates",
    "Gaussian",
    "GaussianNoise",
    "HeldOut",
    "Learner",
    "LossPrediction",
    "MaskedNoise",
    "Norms",
    "Perturbation",
    "PointMass",
    "PredictedIncrease",
    "Replay",
    "RepresentationError",
    "Rotation",
    "Run",
    "Sequences",
    "TimeStep",
    "Windows",
    "WorldModel",
    "action_value",
    "as_drift",
    "as_sde",
    "block_sizes",
    "collect",
    "consistency_loss",
    "evaluate",
    "exact_norms",
    "fit",
    "held_out",
    "heldout_scores",
    "imagine",
    "initial_state",
    "jacobian_penalty",
    "kl_divergence",
    "lambda_returns",
    "load_agent",
    "load_trained",
    "logarithmic_norm",
    "make_environment",
    "measure_losses",
    "open_loop",
    "open_loop_error",
    "open_loop_loss",
    "perturbation_of",
    "play",
    "predict_losses",
    "prediction_video",
    "preset",
    "random_policy",
    "reconstruction_loss",
    "recorded_actions",
    "recorded_observation",
    "representation_error",
    "reward_loss",
    "seen_through",
    "to_sequences",
    "train",
    "truncated_normal",
    "write_gif",
]
