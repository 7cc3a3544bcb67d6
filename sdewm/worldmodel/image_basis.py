"""A linear basis of images, in whose coordinates a decoder may speak."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


class ImageBasis(nn.Module):
    """Leading principal components of the training images, orthonormal per pixel: V Vᵀ / pixels is the identity.

    ``vectors`` (size, pixels) is V; images are standardized and flat, (..., pixels). So for an image s with
    ``coordinates(s)`` = c, and for any s̃,

        mean over pixels of (s̃ V − s)²  =  |s̃ − c|² + (mean of s² − |c|²),

    where the last bracket is what no s̃ can reach.
    """

    vectors: Float[Tensor, "size pixels"]

    def __init__(self, size: int, pixels: int) -> None:
        super().__init__()
        self.register_buffer("vectors", _orthonormal(torch.randn(size, pixels)))

    def coordinates(self, images: Float[Tensor, "... pixels"]) -> Float[Tensor, "... size"]:
        """Of images (..., pixels): (..., size)."""
        return images @ self.vectors.T / self.vectors.shape[1]

    def images(self, coordinates: Float[Tensor, "... size"]) -> Float[Tensor, "... pixels"]:
        """The inverse on the span: (..., size) to (..., pixels)."""
        return coordinates @ self.vectors

    @torch.no_grad()
    def fit(self, images: Float[Tensor, "count pixels"]) -> None:
        """Take the basis from centred training images (N, pixels)."""
        _, vectors = torch.linalg.eigh(images.T @ images)
        self.vectors.copy_(_orthonormal(vectors.T.flip(0)[: len(self.vectors)]))

    @torch.no_grad()
    def orthonormalize(self) -> None:
        """To the rounding of the present dtype, after a coarser one."""
        for _ in range(2):  # Newton's iteration: each step squares the error
            gram = self.vectors @ self.vectors.T / self.vectors.shape[1]
            self.vectors.copy_(1.5 * self.vectors - 0.5 * gram @ self.vectors)


def _orthonormal(rows: Tensor) -> Tensor:
    """Rows of the same span, orthonormal per pixel."""
    return torch.linalg.qr(rows.T).Q.T * rows.shape[-1] ** 0.5
