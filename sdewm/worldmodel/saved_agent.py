"""An agent in a checkpoint: what is said of it there, and how it is read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sdewm.worldmodel.agent import Agent
from sdewm.worldmodel.checkpoint import CheckpointError, load_checkpoint, restored, with_prefix
from sdewm.worldmodel.config import Config

KIND = "dreamer-1"  # of checkpoint


def load_agent(run: Path | str) -> Agent:
    """The agent of a run's folder, or of its checkpoint file, frozen; :class:`CheckpointError` for anything else."""
    file = checkpoint_of(run)
    tensors, metadata = load_checkpoint(file)
    description = read_description(file, metadata)
    return restored(file, lambda: Agent(*description), with_prefix(tensors, "agent.")).requires_grad_(False)


def configuration(run: Path | str) -> Config:
    """The configuration that the run of a folder or of a checkpoint was trained with."""
    file = checkpoint_of(run)
    config, _, _ = read_description(file, load_checkpoint(file)[1])
    return config


def checkpoint_of(run: Path | str) -> Path:
    """The checkpoint in a run's folder, or the file itself."""
    return Path(run) / "checkpoint.safetensors" if Path(run).is_dir() else Path(run)


def description(agent: Agent) -> dict[str, Any]:
    """What a checkpoint says of its agent: enough to make it again."""
    model = agent.world_model
    return {
        "kind": KIND,
        "config": agent.config.as_dict(),
        "observation_shape": list(model.observation_shape),
        "action_size": model.action_size,
    }


def read_description(path: Path, metadata: dict[str, Any]) -> tuple[Config, tuple[int, ...], int]:
    """Configuration, observation shape and number of actions of :func:`description`; else :class:`CheckpointError`."""
    if metadata.get("kind") != KIND:
        raise CheckpointError(f"{path}: kind {metadata.get('kind')!r}; expected {KIND!r}, an agent's checkpoint")
    try:
        config, shape, actions = (metadata[name] for name in ("config", "observation_shape", "action_size"))
        if not isinstance(shape, list) or len(shape) not in (1, 3):
            raise ValueError(f"observation_shape: expected one or three sizes, got {shape}")
        if not all(type(size) is int and size > 0 for size in (*shape, actions)):
            raise ValueError(f"observation_shape, action_size: expected positive whole numbers, got {shape}, {actions}")
        return Config.from_dict(config), tuple(shape), actions
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{path}: does not describe an agent ({error})") from error
