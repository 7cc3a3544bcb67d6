"""The small model in a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sdewm.worldmodel.checkpoint import CheckpointError, load_checkpoint, restored, save_checkpoint, with_prefix
from sdewm.worldmodel.walker_model import ModelConfig, WorldModel


def save_model(path: Path | str, model: WorldModel, metadata: dict[str, Any]) -> None:
    """Write a model's weights, its sizes and further metadata."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    save_checkpoint(path, tensors, metadata | {"model": model.config.as_dict()})


def load_model(path: Path | str) -> tuple[WorldModel, dict[str, Any]]:
    """The model in a checkpoint (a training checkpoint serves too) and the checkpoint's metadata."""
    tensors, metadata = load_checkpoint(path)
    try:
        config = ModelConfig(**metadata["model"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: does not hold a world model ({error})") from error
    return restored(path, lambda: WorldModel(config), with_prefix(tensors, "model.")), metadata
