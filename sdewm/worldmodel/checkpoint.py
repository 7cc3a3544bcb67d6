"""Checkpoints: tensors and JSON in one safetensors file; nothing is executed on load."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from sdewm.files import write_whole

FORMAT = "sdewm-worldmodel-1"
Module = TypeVar("Module", bound=nn.Module)


class CheckpointError(Exception):
    """The file is not a checkpoint of this kind, or it is damaged."""


def save_checkpoint(path: Path | str, tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
    """Write tensors and JSON-able metadata to ``path``, all or nothing: see :func:`write_whole`."""
    tensors = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(metadata)
    header = {"format": FORMAT, "sha256": _digest(tensors, text), "metadata": text}
    data = save(tensors, header)
    write_whole(path, lambda stream: stream.write(data))


def load_checkpoint(path: Path | str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what :func:`save_checkpoint` wrote; any other or damaged file is a :class:`CheckpointError`.

    Nothing is executed, and no more memory is taken than the file is long.
    """
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
    try:
        metadata = json.loads(header["metadata"])
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: its metadata is no JSON ({error})") from error
    if not isinstance(metadata, dict):
        raise CheckpointError(f"{path}: expected its metadata to be a JSON object, got {type(metadata).__name__}")
    return tensors, metadata


def restored(path: Path | str, make: Callable[[], Module], state: dict[str, Tensor]) -> Module:
    """The module that ``make`` makes, with the weights of ``state``; torch's random state is left as it was.

    What the checkpoint says of the module is not trusted: it is first made without memory, on torch's "meta" device,
    and its weights' names and shapes are held against ``state``. :class:`CheckpointError` where they differ, where a
    number is not finite, and where ``make`` fails.
    """
    try:
        with torch.device("meta"):
            expected = make().state_dict()
    except (TypeError, ValueError, OverflowError, RuntimeError, KeyError, ArithmeticError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"{path}: does not describe a model that can be made ({reason})") from error
    for name in sorted(expected.keys() ^ state.keys()):
        wrong = "lacks" if name in expected else "has a foreign"
        raise CheckpointError(f"{path}: does not hold the model that it describes: {wrong} tensor {name}")
    for name, tensor in state.items():
        if tensor.shape != expected[name].shape:
            raise CheckpointError(
                f"{path}: {name}: expected shape {tuple(expected[name].shape)}, got {tuple(tensor.shape)}"
            )
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"{path}: {name}: expected finite numbers, got NaN or infinity")
    with torch.random.fork_rng(devices=[]):
        module = make()
    module.load_state_dict(state)
    return module


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
