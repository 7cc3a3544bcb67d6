"""Everything that decides a run, in one flat configuration, and the named presets to start from."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, get_args, get_origin, get_type_hints

MOST_LAYERS = 64  # of any network: each layer is an object, so that a damaged number could fill the memory


def _setting(default: Any, meaning: str) -> Any:
    return field(default=default, metadata={"help": meaning})


@dataclass(frozen=True)
class Config:
    """One run: environment, model, objective, behaviour, errors, schedule. The defaults are the preset "lean-proprio".

    A step is an agent's step: ``action_repeat`` frames of the simulator. Nats are per step.

    Raises
    ------
    ValueError : ``name: expected …, got …`` for a value of the wrong type or out of range.
    """

    # Environment.
    task: str = _setting(
        "cartpole-swingup", "DOMAIN-TASK of dm_control, gymnasium:ID, MODULE:FUNCTION of yours, or point-mass"
    )
    observation: Literal["state", "pixels"] = _setting("state", "what the agent sees")
    action_repeat: int = _setting(8, "simulator steps for which an action is held")
    image_size: int = _setting(32, "pixels per side")
    channels: Literal[1, 3] = _setting(1, "1: grey, 3: red, green and blue")
    supersample: int = _setting(1, "images are rendered so many times larger and averaged down")
    rendering: Literal["fast", "default"] = _setting("fast", "fast: without shadows, reflections and multisampling")

    # World model.
    deter: int = _setting(128, "size of h")
    stoch: int = _setting(16, "size of z")
    cell: Literal["layer-norm-gru", "gru"] = _setting("layer-norm-gru", "the recurrent cell: DreamerV2's, or torch's")
    hidden: int = _setting(128, "width inside the recurrent model")
    layers: int = _setting(2, "hidden layers of every head, of actor and critic, and of a state's encoder and decoder")
    units: int = _setting(128, "width of those layers")
    depth: int = _setting(8, "channels of the image encoder's first layer; they double with each layer")
    encoder_kernels: tuple[int, ...] = _setting((4, 4, 4), "kernel sizes of the image encoder, all of stride 2")
    embed: int = _setting(0, "width of a linear map after the image encoder's convolutions; 0: none")
    image_basis: int = _setting(0, "the decoder speaks in so many principal components of images; 0: by convolutions")
    decoder_kernels: tuple[int, ...] = _setting((4, 4, 4), "kernel sizes of the image decoder, all of stride 2")
    padding: int = _setting(1, "padding of every convolution")
    activation: Literal["silu", "gelu", "tanh", "softplus", "elu"] = _setting(
        "silu", "all are C^∞ but elu, which is only C¹: the theorems then do not apply"
    )
    min_std: float = _setting(0.1, "the least standard deviation of z")
    standardize: bool = _setting(True, "take the prefill's mean off observations (and divide states by its spread)")
    unit: float = _setting(0.3, "an error of this size costs ½ nat: in [0, 1] for pixels, in spreads for states")

    # Objective of the world model.
    batch: int = _setting(16, "training sequences in a batch")
    length: int = _setting(32, "steps of a training sequence")
    kl_scale: float = _setting(1.0, "weight of the KL term")
    kl_balance: float = _setting(0.8, "share of the KL's gradient that trains the prior")
    free_nats: float = _setting(0.1, "KL below this, averaged over the batch, is not pushed down")
    reward_weight: float = _setting(1.0, "weight of the reward's term")
    discount_weight: float = _setting(1.0, "weight of the discount's term; 0: the discount is constant")
    reward_scale: float = _setting(0.125, "rewards are multiplied by this")
    reward_clip: Literal["identity", "tanh"] = _setting("identity", "then go through this function")
    model_rate: float = _setting(6e-4, "learning rate of the world model")
    jacobian_weight: float = _setting(0.0, "λ of the Jacobian penalty (20), mean over batch and time; 0: left out")
    jacobian_form: Literal["norm", "square"] = _setting(
        "norm", "norm: ‖J‖_F as in (20); square: ½‖J‖_F² as in Hoffman et al."
    )
    jacobian_target: Literal["map", "drift"] = _setting("map", "the recurrent cell, or drift: the cell less h")
    jacobian_wrt: Literal["h", "z", "hz"] = _setting("hz", "what the Jacobian is with respect to")

    # Behaviour.
    behaviour: Literal["imagination", "imitation"] = _setting(
        "imagination", "the actor learns in imagination, with a critic, or imitates the actions recorded"
    )
    horizon: int = _setting(15, "imagined steps")
    starts: int = _setting(128, "states of a batch from which imagination starts; 0: all of them")
    discount: float = _setting(0.99, "γ, per agent step")
    trace: float = _setting(0.95, "λ of the λ-returns")
    entropy: float = _setting(3e-4, "weight of the actor's entropy")
    scale_returns: bool = _setting(True, "divide returns by their spread in the actor's objective (as DreamerV3)")
    actor_rate: float = _setting(3e-4, "learning rate of the actor")
    critic_rate: float = _setting(3e-4, "learning rate of the critic")
    slow_every: int = _setting(1, "updates between updates of the slow critic")
    slow_fraction: float = _setting(0.02, "how far the slow critic then moves towards the critic")
    min_action_std: float = _setting(0.1, "the least standard deviation of an action")

    # Optimization, all three optimizers.
    adam_eps: float = _setting(1e-5, "of Adam")
    weight_decay: float = _setting(0.0, "decoupled weight decay per unit of learning rate (AdamW)")
    clip: float = _setting(100.0, "gradient norm")

    # Errors injected into z, in training and while data are collected.
    error: Literal["none", "zero-drift", "non-zero-drift"] = _setting("none", "law of the error added to z")
    error_variance: float = _setting(0.0, "zero-drift: σ². non-zero-drift: σ² ~ U[0, this]")
    error_mean: float = _setting(0.0, "non-zero-drift: μ ~ U[0, this]")
    error_redraw: Literal["step", "episode"] = _setting("step", "non-zero-drift: how often μ and σ² are drawn")
    error_unit: Literal["absolute", "spread"] = _setting("absolute", "spread: in units of each latent's own spread")

    # Schedule.
    frames: int = _setting(30_000, "simulator steps to collect, prefill included")
    prefill: int = _setting(5, "episodes of random actions before training")
    pretrain: int = _setting(200, "updates on the prefill alone")
    train_every: float = _setting(1.0, "agent steps for each update")
    capacity: int = _setting(1_000_000, "agent steps that the replay keeps on disk")
    log_every: int = _setting(50, "updates between lines of metrics")
    evaluate_every: int = _setting(1000, "updates between evaluations; 0: never")
    evaluate_episodes: int = _setting(2, "episodes of an evaluation")
    checkpoint_every: int = _setting(500, "updates between checkpoints")
    max_failures: int = _setting(10, "episodes in a row that may be discarded before the run stops")
    seed: int = _setting(0, "of weights, environments, actions, batches and all noise")

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(Config).items():
            object.__setattr__(self, name, _checked(name, kind, getattr(self, name)))
        positive = (
            "supersample action_repeat image_size deter stoch hidden layers units depth unit batch reward_scale "
            "model_rate horizon discount actor_rate critic_rate slow_every slow_fraction min_std min_action_std "
            "adam_eps clip frames prefill train_every capacity log_every evaluate_episodes checkpoint_every "
            "max_failures"
        )
        for name in positive.split():
            self._require(name, getattr(self, name) > 0, "a positive number")
        not_negative = (
            "embed image_basis padding kl_scale free_nats reward_weight discount_weight jacobian_weight starts entropy "
            "weight_decay error_variance error_mean pretrain evaluate_every seed"
        )
        for name in not_negative.split():
            self._require(name, getattr(self, name) >= 0, "a number not below 0")
        for name in ("kl_balance", "discount", "trace", "slow_fraction"):
            self._require(name, 0 <= getattr(self, name) <= 1, "a number in [0, 1]")
        for name in ("layers", "encoder_kernels", "decoder_kernels"):
            value = getattr(self, name)
            count = value if name == "layers" else len(value)
            self._require(name, count <= MOST_LAYERS, f"at most {MOST_LAYERS} layers")
        for name in ("embed", "image_basis"):
            self._require(name, self.observation == "pixels" or getattr(self, name) == 0, "0 for states")
        self._require("length", self.length >= 2, "at least 2 steps")
        self._require("starts", self.starts <= self.batch * self.length, "at most batch · length")
        self._require("capacity", self.capacity >= self.length, "at least the length of a training sequence")
        self._require("error_mean", self.error == "non-zero-drift" or self.error_mean == 0, "0 without a drift")
        self._require("error_variance", self.error != "none" or self.error_variance == 0, "0 without an error")

    def _require(self, name: str, holds: bool, expected: str) -> None:
        if not holds:
            raise ValueError(f"{name}: expected {expected}, got {getattr(self, name)!r}")

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)

    @staticmethod
    def from_dict(options: dict[str, Any]) -> Config:
        """The inverse of :meth:`as_dict`, also after JSON; unknown names are a ``ValueError``."""
        known = {f.name for f in fields(Config)}
        unknown = sorted(set(options) - known)
        if unknown:
            raise ValueError(f"configuration: expected the names of Config, got {', '.join(unknown)}")
        return Config(**options)


def _checked(name: str, kind: Any, value: Any) -> Any:
    """The value, as its declared type."""
    if get_origin(kind) is Literal:
        if not any(type(value) is type(one) and value == one for one in get_args(kind)):
            raise ValueError(f"{name}: expected one of {', '.join(map(str, get_args(kind)))}, got {value!r}")
        return value
    if get_origin(kind) is tuple:
        if not isinstance(value, (list, tuple)) or not value or not all(type(v) is int and v > 0 for v in value):
            raise ValueError(f"{name}: expected positive whole numbers, got {value!r}")
        return tuple(value)
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind or (kind is float and not math.isfinite(value)):
        article = {int: "a whole number", float: "a finite number", bool: "true or false", str: "a name"}[kind]
        raise ValueError(f"{name}: expected {article}, got {value!r}")
    return value


_LEAN_PROPRIO = Config()

_LEAN_PIXELS = replace(_LEAN_PROPRIO, observation="pixels", model_rate=1e-3, unit=0.1)

# The paper's Table 5: deter and hidden 200, model rate 3e-4, actor rate 8e-5, batch 16, depth 48, γ = 0.99, one update
# for 5 agent steps, capacity 2e6, evaluation every 1e4 steps, KL scale 1, rewards clipped by tanh, prefill of 1000
# steps. Where it is silent, DreamerV2's own values for dm_control from pixels, except for:
#   stoch 30              Gaussian latents, as the theory has them; DreamerV2's are categorical (32 × 32);
#   activation silu       C^∞; DreamerV2's elu is only C¹;
#   float32               the paper trains with 16 bits;
#   whole episodes        an episode is collected, then its updates are done; DreamerV2 interleaves them;
#   jacobian_weight 0     the baseline; the paper's regularized runs have 0.01 (0.05 and 0.1 at length 100);
#   pretrain 100          as the defaults of DreamerV2; its dm_control preset has 1;
#   prefill 2             episodes, which are 1000 steps at dm_control's length and action repeat 2;
#   evaluate_every 2000   updates, which are 1e4 steps.
# DreamerV2's own values used: length 50, horizon 15, λ 0.95, free nats 1 (after averaging), KL balance 0.8, 4 × 400
# units, kernels 4 4 4 4 and 5 5 6 6, critic rate 8e-5, entropy 1e-4, slow critic copied every 100 updates, Adam's
# eps 1e-5, weight decay 1e-6, clip 100, action repeat 2, no discount head, pixels less ½ in their own units, all states
# of a batch as starts.
_TABLE5 = Config(
    task="walker-walk", observation="pixels", action_repeat=2, image_size=64, channels=3, rendering="default",
    deter=200, stoch=30, hidden=200, layers=4, units=400, depth=48, encoder_kernels=(4, 4, 4, 4),
    decoder_kernels=(5, 5, 6, 6), padding=0, standardize=False, unit=1.0, batch=16, length=50, free_nats=1.0,
    discount_weight=0.0, reward_scale=1.0, reward_clip="tanh", model_rate=3e-4, starts=0, entropy=1e-4,
    scale_returns=False, actor_rate=8e-5, critic_rate=8e-5, slow_every=100, slow_fraction=1.0, weight_decay=1e-6,
    frames=1_000_000, prefill=2, pretrain=100, train_every=5.0, capacity=2_000_000, evaluate_every=2000,
)  # fmt: skip

# A small model of pixels, for theory: smooth, with an s̃ of 24 numbers, fitted to episodes of a scripted gait (see
# sdewm.worldmodel.gait), whose actions its actor imitates. One agent step is 0.05 simulated seconds.
_WALKER = replace(
    _LEAN_PIXELS, task="walker-walk", action_repeat=2, supersample=2, deter=32, stoch=8, cell="gru", hidden=64,
    layers=1, units=64, embed=64, image_basis=24, discount_weight=0.0, reward_scale=1.0, behaviour="imitation",
    actor_rate=1e-3, evaluate_every=250, checkpoint_every=250,
)  # fmt: skip

PRESETS: dict[str, Config] = {
    "lean-proprio": _LEAN_PROPRIO,
    "lean-pixels": _LEAN_PIXELS,
    "walker": _WALKER,
    "table5": _TABLE5,
    # Seconds, not minutes: to see that everything runs.
    "debug": replace(
        _LEAN_PROPRIO, task="point-mass", action_repeat=1, reward_scale=1.0, deter=8, stoch=4, hidden=8, layers=1,
        units=8, depth=2, batch=4, length=8, starts=8, horizon=4, frames=320, prefill=2, pretrain=2, train_every=8.0,
        log_every=5, evaluate_every=10, evaluate_episodes=1, checkpoint_every=5,
    ),
}  # fmt: skip


def preset(name: str, **changes: Any) -> Config:
    """A preset by name, with changes.

    Example: ``preset("lean-pixels", task="walker-walk", action_repeat=2, length=64)``.
    """
    if not isinstance(name, str) or name not in PRESETS:
        raise ValueError(f"preset: expected one of {', '.join(PRESETS)}, got {name!r}")
    return Config.from_dict(PRESETS[name].as_dict() | changes)
