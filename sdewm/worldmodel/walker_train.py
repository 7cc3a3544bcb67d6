"""Train the world model on recorded episodes: one loop, from top to bottom.

What is paired with what (columns are times; a_t acts between t and t + 1):

    recorded      s_0, r_0        s_1, r_1        s_2, r_2
                      a_0 ----↘       a_1 ----↘
    state         h_0 = 0         h_1 = f(h_0, z_0, a_0)   h_2 = f(h_1, z_1, a_1)
    posterior     z_0 | h_0, s_0  z_1 | h_1, s_1           z_2 | h_2, s_2
    prior         p(· | h_0)      p(· | h_1)               p(· | h_2)
    targets       s_0, r_0, a_0   s_1, r_1, a_1            s_2, r_2, a_2

The targets are those of decoder, reward head and policy head, each a function of (h_t, z_t).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor

from sdewm.worldmodel.checkpoint import CheckpointError, load_checkpoint, save_checkpoint, with_prefix
from sdewm.worldmodel.files import cut_back
from sdewm.worldmodel.gaussian import Gaussian, kl_divergence
from sdewm.worldmodel.jacobian import INPUTS, Form, Target, Wrt, as_drift, jacobian_penalty
from sdewm.worldmodel.run_folder import RunFolder
from sdewm.worldmodel.walker_checkpoint import load_model, save_model
from sdewm.worldmodel.walker_model import ModelConfig, WorldModel
from sdewm.worldmodel.walker_record import Episode, load_episodes, save_episodes
from sdewm.worldmodel.world_model import Rollout

MOVING_STD = 0.02  # a pixel moves if its intensity varies by more than this over the frames looked at


@dataclass(frozen=True)
class TrainConfig:
    """How a world model is trained. Nats are per step."""

    updates: int = 5000
    batch: int = 16
    length: int = 32  # steps of a training sequence
    learning_rate: float = 1e-3
    adam_eps: float = 1e-5
    clip: float = 100.0  # gradient norm
    kl_balance: float = 0.8  # share of the KL's gradient that trains the prior
    free_nats: float = 0.1  # KL below this, averaged over the batch, is not pushed down
    jacobian_weight: float = 0.0  # λ of (20), on the mean over batch and time; 0 leaves the penalty out
    jacobian_form: Form = "norm"  # of the penalty, see sdewm.worldmodel.jacobian
    jacobian_target: Target = "map"  # whose Jacobian: the cell's as a map, or its drift's
    jacobian_wrt: Wrt = "hz"  # with respect to h, z or both
    evaluate_every: int = 250
    log_every: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.jacobian_weight < float("inf"):
            raise ValueError(f"jacobian_weight: expected a finite number of at least 0, got {self.jacobian_weight}")
        for name, kind in (("jacobian_form", Form), ("jacobian_target", Target), ("jacobian_wrt", Wrt)):
            if getattr(self, name) not in get_args(kind):
                choice = ", ".join(map(repr, get_args(kind)))
                raise ValueError(f"{name}: expected one of {choice}, got {getattr(self, name)!r}")


class Batch(NamedTuple):
    """Frames (B, T, size, size) in [0, 1], actions (B, T, action_size) and rewards (B, T) of B sequences."""

    frames: Tensor
    actions: Tensor
    rewards: Tensor


class Terms(NamedTuple):
    """The parts of the objective at each step, all (B, T), in nats and without constants.

    ``reconstruction``: ½ of the squared standardized-pixel error, summed over pixels; ``reward`` and
    ``policy``: ½ squared errors; ``kl``: KL(q ‖ p). The negative evidence lower bound is
    reconstruction + reward + kl; the policy only imitates, and trains nothing but itself.
    """

    reconstruction: Tensor
    reward: Tensor
    kl: Tensor
    policy: Tensor


def to_batch(episodes: Sequence[Episode], dtype: torch.dtype = torch.float32) -> Batch:
    """Episodes of one length as a batch."""
    return Batch(
        torch.from_numpy(np.stack([e.frames for e in episodes])).to(dtype) / 255,
        torch.from_numpy(np.stack([e.actions for e in episodes])).to(dtype),
        torch.from_numpy(np.stack([e.rewards for e in episodes])).to(dtype),
    )


def sample_batch(episodes: Sequence[Episode], config: TrainConfig, generator: torch.Generator) -> Batch:
    """Random windows of random episodes."""
    windows = []
    for _ in range(config.batch):
        episode = episodes[int(torch.randint(len(episodes), (), generator=generator))]
        start = int(torch.randint(len(episode) - config.length + 1, (), generator=generator))
        windows.append(episode.window(start, start + config.length))
    return to_batch(windows)


def terms(model: WorldModel, batch: Batch, rollout: Rollout) -> Terms:
    """The objective's parts along a rollout of :meth:`WorldModel.observe` over the same batch."""
    h, z = rollout.h, rollout.z
    pixels = model.standardize(batch.frames)
    target = model.coordinates(pixels)
    unreachable = pixels.square().flatten(-2).mean(-1) - target.square().sum(-1)
    squared_error = (model.decode(h, z) - target).square().sum(-1) + unreachable
    action = model.policy(h.detach(), z.detach())
    return Terms(
        reconstruction=0.5 * model.config.pixels * squared_error,
        reward=0.5 * (model.reward(h, z) - batch.rewards).square(),
        kl=kl_divergence(rollout.posterior, model.prior(h)),
        policy=0.5 * (action - batch.actions).square().sum(-1),
    )


def balanced_kl(model: WorldModel, rollout: Rollout, config: TrainConfig) -> Tensor:
    """The KL term with its gradient shared between prior and posterior; the value is the plain KL's mean."""
    posterior, prior = rollout.posterior, model.prior(rollout.h)
    to_prior = kl_divergence(Gaussian(*(part.detach() for part in posterior)), prior).mean()
    to_posterior = kl_divergence(posterior, Gaussian(*(part.detach() for part in prior))).mean()
    to_prior, to_posterior = (kl.clamp(min=config.free_nats) for kl in (to_prior, to_posterior))
    return config.kl_balance * to_prior + (1 - config.kl_balance) * to_posterior


def jacobian_term(model: WorldModel, batch: Batch, rollout: Rollout, config: TrainConfig, update: int) -> Tensor:
    """The penalty of (20), without its weight, at every step of the rollout that has a next one.

    Its projections depend on (seed, update) alone, so that runs that differ in λ see the same batches and noise.
    """
    seed = int(np.random.SeedSequence([config.seed, update]).generate_state(1, np.uint64)[0])
    steps = tuple(part[:, :-1].flatten(0, 1) for part in (rollout.h, rollout.z, batch.actions))
    function = as_drift(model.sequence) if config.jacobian_target == "drift" else model.sequence
    generator = torch.Generator().manual_seed(seed)
    return jacobian_penalty(function, steps, INPUTS[config.jacobian_wrt], generator, config.jacobian_form)


def train(
    out: Path | str,
    episodes: Sequence[Episode],
    heldout: Sequence[Episode],
    config: TrainConfig,
    model_config: ModelConfig | None = None,
    *,
    environment: dict[str, Any] | None = None,
    report: Callable[[dict[str, Any]], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> WorldModel:
    """Train to ``config.updates`` updates in the folder ``out``; a run found there is resumed, bitwise.

    Writes ``out``/metrics.jsonl (a line per evaluation on ``heldout`` and per ``log_every`` updates) and
    ``out``/checkpoint.safetensors (weights, optimizer and random state, after each evaluation).
    ``environment``, the recordings' configuration, travels with the checkpoint. ``report`` is given every
    line of metrics. ``stop`` is asked between updates; once it says yes, the checkpoint is
    written and the model returned as it is.

    Raises
    ------
    ValueError : the folder holds something else than a run.
    RunInUse : another process is training in the folder.
    CheckpointError : the checkpoint is missing, damaged, foreign or of other settings.
    """
    with RunFolder(out) as folder:
        return _train(folder, episodes, heldout, config, model_config, environment or {}, report, stop)


def _train(
    folder: RunFolder,
    episodes: Sequence[Episode],
    heldout: Sequence[Episode],
    config: TrainConfig,
    model_config: ModelConfig | None,
    environment: dict[str, Any],
    report: Callable[[dict[str, Any]], None] | None,
    stop: Callable[[], bool],
) -> WorldModel:
    checkpoint, metrics = folder.checkpoint, folder.metrics
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = WorldModel(model_config)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate, eps=config.adam_eps)
    generator = torch.Generator().manual_seed(config.seed)
    update, seconds = 0, 0.0
    if checkpoint.exists():
        progress = _resume(checkpoint, model, optimizer, generator, config)
        update, seconds = progress["update"], progress["seconds"]
        cut_back(metrics, progress["metrics_bytes"])  # lines written after the checkpoint are written again
    else:
        frames = np.concatenate([episode.frames for episode in episodes])
        model.fit_pixels(torch.from_numpy(frames).float() / 255)
        metrics.write_text("")

    def log(line: dict[str, Any]) -> None:
        with open(metrics, "a") as stream:
            stream.write(json.dumps(line) + "\n")
        if report:
            report(line)

    def keep() -> None:
        progress = {
            "update": update,
            "seconds": round(time.perf_counter() - began, 1),
            "metrics_bytes": metrics.stat().st_size,
            "environment": environment,
        }
        _save(checkpoint, model, optimizer, generator, config, progress)
        folder.saved()

    began = time.perf_counter() - seconds
    while update < config.updates and not stop():
        batch = sample_batch(episodes, config, generator)
        noise = torch.randn(*batch.rewards.shape, model.config.stoch, generator=generator)
        rollout = model.observe(batch.frames, batch.actions, noise)
        parts = terms(model, batch, rollout)
        errors = (parts.reconstruction + parts.reward + parts.policy).mean()
        loss = errors + balanced_kl(model, rollout, config)
        logged = parts._asdict()
        if config.jacobian_weight > 0:
            logged["jacobian"] = penalty = jacobian_term(model, batch, rollout, config, update)
            loss = loss + config.jacobian_weight * penalty
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
        optimizer.step()
        update += 1

        if update % config.log_every == 0:
            summary = {name: round(float(part.detach().mean()), 5) for name, part in logged.items()}
            log({"update": update, "split": "train", **summary, "gradient_norm": round(float(norm), 4)})
        if update % config.evaluate_every == 0 or update == config.updates:
            scores = {name: round(score, 5) for name, score in evaluate(model, heldout).items()}
            log({"update": update, "split": "heldout", **scores, "seconds": round(time.perf_counter() - began, 1)})
            keep()
    if stop():
        keep()
    return model


@torch.no_grad()
def evaluate(model: WorldModel, episodes: Sequence[Episode], *, length: int = 32, context: int = 5,
             horizons: Sequence[int] = (1, 5, 15)) -> dict[str, float]:  # fmt: skip
    """Scores on windows of ``length`` steps, half overlapping, z at the posterior's mean (no randomness).

    The objective's parts and their sum, the negative bound, in nats per step; and shares of the moving
    pixels' variance explained: ``explained`` by the reconstruction, ``explained_basis`` by the image basis
    at its best, ``explained_open_N`` by predicting N steps past ``context`` frames from actions alone,
    ``explained_hold_N`` by leaving the last frame seen where it is.
    """
    windows = [
        episode.window(start, start + length)
        for episode in episodes
        for start in range(0, len(episode) - length + 1, length // 2)
    ]
    reference = next(model.parameters())
    batch = to_batch(windows, reference.dtype)
    rollout = model.observe(batch.frames, batch.actions, reference.new_zeros(*batch.rewards.shape, model.config.stoch))
    scores = {name: float(part.mean()) for name, part in terms(model, batch, rollout)._asdict().items()}
    scores["negative_bound"] = scores["reconstruction"] + scores["reward"] + scores["kl"]

    frames = batch.frames
    reconstructed = model.intensities(model.decode(rollout.h, rollout.z))
    projected = model.intensities(model.coordinates(model.standardize(frames)))
    scores["explained"] = explained_variance(model, frames, reconstructed)
    scores["explained_basis"] = explained_variance(model, frames, projected)
    last = context - 1
    predicted = open_loop(model, batch, context)
    for horizon in horizons:
        seen = frames[:, last + horizon]
        scores[f"explained_open_{horizon}"] = explained_variance(model, seen, predicted[:, horizon - 1])
        scores[f"explained_hold_{horizon}"] = explained_variance(model, seen, frames[:, last])
    return scores


@torch.no_grad()
def open_loop(model: WorldModel, batch: Batch, context: int) -> Tensor:
    """Frames predicted from the actions alone after ``context`` frames: (B, T − context, size, size)."""
    seen = Batch(*(part[:, :context] for part in batch))
    noise = batch.frames.new_zeros(*seen.rewards.shape, model.config.stoch)
    rollout = model.observe(seen.frames, seen.actions, noise)
    h, z = model.imagine(rollout.h[:, -1], rollout.z[:, -1], batch.actions[:, context - 1 : -1])
    return model.intensities(model.decode(h, z))


def explained_variance(model: WorldModel, frames: Tensor, predicted: Tensor) -> float:
    """1 − squared error / squared deviation from the mean image, over moving pixels of (..., size, size)."""
    size = model.config.image_size
    moving = frames.reshape(-1, size, size).std(0, correction=0) > MOVING_STD
    error = (frames - predicted)[..., moving].square().sum()
    deviation = (frames - model.mean_image)[..., moving].square().sum()
    return float(1 - error / deviation)


def split_recordings(folder: Path | str, heldout: int) -> tuple[list[Episode], list[Episode], dict[str, Any]]:
    """All but the last ``heldout`` recorded episodes of a folder, those last ones, and their environment."""
    files = sorted(Path(folder).glob("episode_*.npz"))
    if not 0 < heldout < len(files):
        raise ValueError(f"{folder}: {len(files)} recorded episodes, of which {heldout} cannot be held out")
    loaded = [load_episodes(file) for file in files]
    environments = [environment for _, environment in loaded]
    if any(environment != environments[0] for environment in environments):
        raise ValueError(f"{folder}: the episodes were not all recorded in the same environment")
    episodes = [episode for recorded, _ in loaded for episode in recorded]
    return episodes[:-heldout], episodes[-heldout:], environments[0]


def release(run: Path | str, heldout: Sequence[Episode], environment: dict[str, Any], out: Path | str,
            name: str, *, windows: int = 3, length: int = 100) -> list[Path]:  # fmt: skip
    """Write a finished run as package data (model, held-out windows, training curve); return the files.

    One window of ``length`` steps is kept of each of the first ``windows`` held-out episodes: of those that
    start at a multiple of length / 2, the one in which the pixels change most from frame to frame.
    """
    run, out = Path(run), Path(out)
    out.mkdir(parents=True, exist_ok=True)
    model, metadata = load_model(run / "checkpoint.safetensors")
    paths = [out / f"{name}{end}" for end in (".safetensors", "_heldout.npz", "_training.jsonl")]
    save_model(paths[0], model, {name: metadata[name] for name in ("train", "update", "environment")})
    chosen = [
        max(
            (e.window(start, start + length) for start in range(0, len(e) - length + 1, length // 2)),
            key=lambda window: np.abs(np.diff(window.frames.astype(float), axis=0)).mean(),
        )
        for e in heldout[:windows]
    ]
    save_episodes(paths[1], chosen, environment)
    paths[2].write_text((run / "metrics.jsonl").read_text())
    return paths


def _save(path: Path, model: WorldModel, optimizer: torch.optim.Optimizer, generator: torch.Generator,
          config: TrainConfig, progress: dict[str, Any]) -> None:  # fmt: skip
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": tensor for name, tensor in state.items()}
    tensors["generator"] = generator.get_state()
    save_checkpoint(path, tensors, {"model": model.config.as_dict(), "train": asdict(config), **progress})


def _resume(path: Path, model: WorldModel, optimizer: torch.optim.Optimizer, generator: torch.Generator,
            config: TrainConfig) -> dict[str, Any]:  # fmt: skip
    """Put a checkpoint's state into model, optimizer and generator; return its metadata."""
    tensors, metadata = load_checkpoint(path)
    ours = asdict(config) | {"model": model.config.as_dict()}
    theirs = asdict(TrainConfig()) | metadata["train"] | {"model": metadata["model"]}
    changed = sorted(name for name in ours if name != "updates" and ours[name] != theirs.get(name))
    if changed:
        raise CheckpointError(f"{path}: was trained with other settings, differing in: {', '.join(changed)}")
    model.load_state_dict(with_prefix(tensors, "model."))
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in with_prefix(tensors, "optimizer.").items():
        index, key = name.split(".")
        state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    generator.set_state(tensors["generator"])
    return metadata
