"""The full world model and its agent: DreamerV2 with Gaussian latents, of pixels or states, for continuous actions."""

from sdewm.worldmodel.agent import Agent, Learner
from sdewm.worldmodel.behaviour import Actor, Critic, action_value, imagine, lambda_returns, truncated_normal
from sdewm.worldmodel.config import PRESETS, Config, preset
from sdewm.worldmodel.encoder_error import EncoderError
from sdewm.worldmodel.environments import (
    DeepMindControl,
    Environment,
    EnvironmentFailure,
    PointMass,
    Step,
    make_environment,
)
from sdewm.worldmodel.episodes import Evaluation, evaluate, play, random_policy
from sdewm.worldmodel.fit import fit
from sdewm.worldmodel.perturbations import GaussianNoise, MaskedNoise, Perturbation, Rotation, seen_through
from sdewm.worldmodel.prediction import open_loop, open_loop_error, prediction_video, write_gif
from sdewm.worldmodel.replay import Replay, Sequences, to_sequences
from sdewm.worldmodel.runs import load_agent
from sdewm.worldmodel.shipped import load_lean
from sdewm.worldmodel.train import train
from sdewm.worldmodel.world_model import WorldModel

__all__ = [
    "PRESETS",
    "Actor",
    "Agent",
    "Config",
    "Critic",
    "DeepMindControl",
    "EncoderError",
    "Environment",
    "EnvironmentFailure",
    "Evaluation",
    "GaussianNoise",
    "Learner",
    "MaskedNoise",
    "Perturbation",
    "PointMass",
    "Replay",
    "Rotation",
    "Sequences",
    "Step",
    "WorldModel",
    "action_value",
    "evaluate",
    "fit",
    "imagine",
    "lambda_returns",
    "load_agent",
    "load_lean",
    "make_environment",
    "open_loop",
    "open_loop_error",
    "play",
    "prediction_video",
    "preset",
    "random_policy",
    "seen_through",
    "to_sequences",
    "train",
    "truncated_normal",
    "write_gif",
]
