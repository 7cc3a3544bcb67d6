"""The blocks z, h, z̃ and s̃ of a latent state: their sizes, their parts of a state, and values of their shapes."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from sdewm import arguments

Block = Float[Tensor, "paths size"]
BlockNoise = Float[Tensor, " size"] | Float[Tensor, "paths size *channels"]


class BlockSizes(NamedTuple):
    """Dimensions of z, h, z̃ and s̃.

    >>> sum(BlockSizes(z=8, h=32, z_tilde=8, s_tilde=24))
    72
    """

    z: int
    h: int
    z_tilde: int
    s_tilde: int


class Blocks(NamedTuple):
    """The four parts of a state, each ``(paths, size)``."""

    z: Float[Tensor, "*paths z"]
    h: Float[Tensor, "*paths h"]
    z_tilde: Float[Tensor, "*paths z_tilde"]
    s_tilde: Float[Tensor, "*paths s_tilde"]


class BlockSlices(NamedTuple):
    """Where the four parts are in a state."""

    z: slice
    h: slice
    z_tilde: slice
    s_tilde: slice


def apply_block(
    g: Float[Tensor, " size"] | Float[Tensor, "paths size *channels"], dB: Float[Tensor, "paths channels"]
) -> Float[Tensor, "paths size"]:
    """A block's diffusion, ``(size,)``, ``(paths, size)`` or ``(paths, size, channels)``, applied to its increments."""
    return (g * dB.unsqueeze(-2)).sum(-1) if g.ndim == 3 else g * dB


def plain_zeros(like: Float[Tensor, "..."], *shape: int) -> Float[Tensor, "..."]:
    """Zeros of a tensor's dtype and device. They are a plain tensor even where it is a jet, whose cost they save."""
    return torch.zeros(shape, dtype=like.dtype, device=like.device)


def check_block(name: str, value: object, allowed: list[tuple[int, ...]]) -> None:
    """Refuse, with ``ValueError``, the value of a coefficient that is no tensor of one of the allowed shapes."""
    expected = " or ".join(_shape_text(a) for a in allowed)
    if not isinstance(value, Tensor):
        raise ValueError(f"{name}: expected a tensor of shape {expected}, got {arguments.shown(value)}")
    got = value.shape
    if tuple(got) not in allowed:
        raise ValueError(f"{name}: expected shape {expected}, got {_shape_text(tuple(got))}")


def _shape_text(shape: tuple[int, ...]) -> str:
    return f"(paths, {', '.join(map(str, shape[1:]))})" if len(shape) > 1 else str(shape)
