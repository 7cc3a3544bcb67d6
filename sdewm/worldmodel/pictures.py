"""Pictures of episodes and of what a model predicts, and videos of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image

from sdewm import arguments
from sdewm.worldmodel.prediction import open_loop
from sdewm.worldmodel.replay import Episode, to_sequences
from sdewm.worldmodel.world_model import WorldModel

ENLARGED = 192  # pixels per side of a picture in a video, at least


def prediction_video(model: WorldModel, episode: Episode, context: int) -> list[UInt8[np.ndarray, "rows columns 3"]]:
    """Pictures (size, 2 size, 3) of an episode's images: the truth on the left, the model's on the right.

    The model's picture is the reconstruction while it sees, and the prediction, in a white frame, after ``context``
    images. ``ValueError`` for a model of states.
    """
    if not model.images:
        raise ValueError("prediction_video: expected a model that sees images, got one that sees states")
    batch = to_sequences(episode[None])
    with torch.no_grad():
        filtered = model.filter(batch)
        reconstructed = model.decode(filtered.h[:, :context], filtered.z[:, :context])
        shown = model.observations(torch.cat([reconstructed, open_loop(model, batch, context)], 1))[0]
    predicted = (255 * shown.clamp(0, 1)).round().to(torch.uint8).numpy()
    pictures = []
    for t, (truth, guess) in enumerate(zip(episode["observation"], predicted, strict=True)):
        right = picture(guess)
        if t >= context:
            right[[0, -1], :] = right[:, [0, -1]] = 255
        pictures.append(np.concatenate([picture(truth), right], 1))
    return pictures


def picture(image: UInt8[np.ndarray, "_ rows rows"]) -> UInt8[np.ndarray, "columns columns 3"]:
    """An observation (1 or 3, size, size) uint8 as (size', size', 3), each pixel enlarged to a square."""
    colour = np.repeat(image, 3, 0) if len(image) == 1 else image
    factor = -(-ENLARGED // image.shape[-1])
    return colour.transpose(1, 2, 0).repeat(factor, 0).repeat(factor, 1)


def write_gif(
    file: Path | str, pictures: Sequence[UInt8[np.ndarray, "rows columns 3"]], frames_per_second: float = 20.0
) -> None:
    """Pictures (height, width, 3) uint8 as an animated GIF that repeats; ``ValueError`` for what is none."""
    if not isinstance(pictures, Iterable) or not len(pictures := list(pictures)):
        raise ValueError(f"pictures: expected at least one, got {arguments.shown(pictures)}")
    for i, picture in enumerate(pictures):
        if (
            not isinstance(picture, np.ndarray)
            or picture.dtype != np.uint8
            or picture.shape[2:] != (3,)
            or not picture.size
        ):
            raise ValueError(
                f"pictures[{i}]: expected uint8 of shape (rows, columns, 3), got {arguments.shown(picture)}"
            )
    frames_per_second = arguments.real("frames_per_second", frames_per_second, least=0.01)
    first, *rest = [Image.fromarray(p) for p in pictures]
    first.save(file, save_all=True, append_images=rest, duration=round(1000 / frames_per_second), loop=0)
