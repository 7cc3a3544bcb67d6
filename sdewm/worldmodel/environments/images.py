"""From what a renderer returns to what an agent sees."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8

GREY_WEIGHTS = np.array([0.299, 0.587, 0.114])  # luma of red, green and blue


def as_observation(
    colour: UInt8[np.ndarray, "rows columns 3"], channels: int, supersample: int = 1
) -> UInt8[np.ndarray, "_ rows columns"]:
    """An image (height, width, 3) uint8 as an observation (channels, height', width') uint8.

    ``channels`` is 1 for grey, 3 for colour. Squares of ``supersample`` pixels a side are averaged to one.
    """
    image = (colour @ GREY_WEIGHTS)[..., None] if channels == 1 else colour
    if supersample > 1:
        height, width = image.shape[0] // supersample, image.shape[1] // supersample
        image = image.reshape(height, supersample, width, supersample, -1).mean(axis=(1, 3))
    return np.ascontiguousarray(np.round(image).astype(np.uint8).transpose(2, 0, 1))
