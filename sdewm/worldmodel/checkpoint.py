"""Checkpoints: tensors and JSON in one safetensors file; nothing is executed on load."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from sdewm.worldmodel.model import ModelConfig, WorldModel

FORMAT = "sdewm-worldmodel-1"


class CheckpointError(Exception):
    """The file is not a checkpoint of this kind, or it is damaged."""


def save_checkpoint(path: Path | str, tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
    """Write tensors and JSON-able metadata to ``path``, all or nothing: a temporary file is renamed.

    Where the disk is full, what was at ``path`` is still there, and the ``OSError`` is raised.
    """
    path = Path(path)
    aside = path.with_suffix(".partial")
    tensors = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(metadata)
    header = {"format": FORMAT, "sha256": _digest(tensors, text), "metadata": text}
    data = save(tensors, header)
    try:
        with open(aside, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(aside, path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise


def load_checkpoint(path: Path | str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what :func:`save_checkpoint` wrote; any other or damaged file is a :class:`CheckpointError`."""
    if not Path(path).is_file():
        raise CheckpointError(f"{path}: no such checkpoint")
    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except SafetensorError as error:
        raise CheckpointError(f"{path}: damaged, or not a safetensors file ({error})") from error
    if header.get("format") != FORMAT:
        raise CheckpointError(f"{path}: format {header.get('format')!r}; expected {FORMAT!r}")
    if header.get("sha256") != _digest(tensors, header.get("metadata", "")):
        raise CheckpointError(f"{path}: damaged, its contents do not match its checksum")
    return tensors, json.loads(header["metadata"])


def save_model(path: Path | str, model: WorldModel, metadata: dict[str, Any]) -> None:
    """Write a model's weights, its sizes and further metadata."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    save_checkpoint(path, tensors, metadata | {"model": model.config.as_dict()})


def load_model(path: Path | str) -> tuple[WorldModel, dict[str, Any]]:
    """The model in a checkpoint (a training checkpoint serves too) and the checkpoint's metadata."""
    tensors, metadata = load_checkpoint(path)
    try:
        model = WorldModel(ModelConfig(**metadata["model"]))
        model.load_state_dict(with_prefix(tensors, "model."))
    except (KeyError, TypeError, RuntimeError) as error:
        raise CheckpointError(f"{path}: does not hold a world model ({error})") from error
    return model, metadata


def with_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names start with ``prefix``, under the rest of their names."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _digest(tensors: dict[str, Tensor], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
