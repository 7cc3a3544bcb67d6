"""The networks that a world model and its agent are made of; sizes and activation come from the caller."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sdewm.worldmodel.gaussian import Gaussian

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
    "softplus": nn.Softplus,
    "elu": nn.ELU,
}


class LayerNormGRU(nn.Module):
    """A recurrent cell with layer normalization, as DreamerV2's.

        (r, c, u) = LayerNorm(W x + U h)
        h' = σ(u − 1) tanh(σ(r) c) + (1 − σ(u − 1)) h

    The −1 makes an untrained cell mostly remember. |h'| ≤ max(|h|, 1) in each coordinate.
    """

    def __init__(self, inputs: int, size: int) -> None:
        super().__init__()
        self.from_input = nn.Linear(inputs, 3 * size, bias=False)
        self.from_state = nn.Linear(size, 3 * size, bias=False)
        self.norm = nn.LayerNorm(3 * size)

    def forward(self, x: Float[Tensor, "... inputs"], h: Float[Tensor, "... h"]) -> Float[Tensor, "... h"]:
        reset, candidate, update = self.norm(self.from_input(x) + self.from_state(h)).chunk(3, -1)
        candidate = torch.tanh(torch.sigmoid(reset) * candidate)
        return torch.lerp(h, candidate, torch.sigmoid(update - 1))


class GRU(nn.GRUCell):
    """torch's recurrent cell over any leading dimensions: (..., inputs), (..., size) to (..., size).

    h' is a convex combination of h and a tanh: |h'| ≤ max(|h|, 1) in each coordinate.
    """

    def forward(self, x: Float[Tensor, "... inputs"], h: Float[Tensor, "... h"]) -> Float[Tensor, "... h"]:  # type: ignore[override]
        return super().forward(x.reshape(-1, x.shape[-1]), h.reshape(-1, h.shape[-1])).reshape(h.shape)


CELLS: dict[str, Callable[[int, int], nn.Module]] = {"layer-norm-gru": LayerNormGRU, "gru": GRU}


class GaussianHead(nn.Module):
    """A linear map onto a diagonal normal, its standard deviation inside (least, least + 2) and 1 + least at zero."""

    def __init__(self, inputs: int, outputs: int, least: float) -> None:
        super().__init__()
        self.both = nn.Linear(inputs, 2 * outputs)
        self.least = least

    def forward(self, x: Float[Tensor, "... inputs"]) -> Gaussian:
        mean, raw = self.both(x).chunk(2, -1)
        return Gaussian(mean, 2 * torch.sigmoid(raw / 2) + self.least)


def mlp(inputs: int, widths: Sequence[int], outputs: int, activation: str, *, zero: bool = False) -> nn.Sequential:
    """Linear layers with the activation between them; with ``zero`` the last one starts at zero."""
    modules: list[nn.Module] = []
    for before, after in zip([inputs, *widths], widths, strict=False):
        modules += [nn.Linear(before, after), ACTIVATIONS[activation]()]
    last = nn.Linear([inputs, *widths][-1], outputs)
    if zero:
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
    return nn.Sequential(*modules, last)


class ImageEncoder(nn.Sequential):
    """Convolutions of stride 2 over images (N, channels, size, size), flattened: (N, ``outputs``).

    With ``embed`` a linear map onto so many numbers follows. ``flat``: how many the convolutions end with.

    Raises
    ------
    ValueError : if the image is too small for the kernels.
    """

    def __init__(self, channels: int, size: int, depth: int, kernels: Sequence[int], padding: int,
                 activation: str, embed: int = 0) -> None:  # fmt: skip
        modules: list[nn.Module] = []
        side, before = size, channels
        for layer, kernel in enumerate(kernels):
            side, after = (side + 2 * padding - kernel) // 2 + 1, depth * 2**layer
            if side < 1:
                raise ValueError(f"image_size: expected an image large enough for the kernels {kernels}, got {size}")
            modules += [nn.Conv2d(before, after, kernel, stride=2, padding=padding), ACTIVATIONS[activation]()]
            before = after
        flat = before * side**2
        super().__init__(*modules, nn.Flatten(), *([nn.Linear(flat, embed)] if embed else []))
        self.flat, self.outputs = flat, embed or flat


class ImageDecoder(nn.Sequential):
    """From features (N, inputs) to images (N, channels, size, size), starting from ``start`` numbers.

    Raises
    ------
    ValueError : if transposed convolutions of stride 2 with these kernels do not end at ``size``.
    """

    def __init__(self, inputs: int, start: int, channels: int, size: int, depth: int, kernels: Sequence[int],
                 padding: int, activation: str) -> None:  # fmt: skip
        side = size
        for kernel in reversed(kernels):
            side, rest = divmod(side - kernel + 2 * padding, 2)
            side += 1
            if rest or side < 1:
                raise ValueError(f"image_size: expected a size that the kernels {kernels} reach, got {size}")
        if start % side**2:
            raise ValueError(f"decoder_kernels: expected a start of side {side} to divide {start}, got {kernels}")
        before = start // side**2
        modules: list[nn.Module] = [nn.Linear(inputs, start), nn.Unflatten(1, (before, side, side))]
        for layer, kernel in enumerate(kernels):
            last = layer == len(kernels) - 1
            after = channels if last else depth * 2 ** (len(kernels) - 2 - layer)
            modules.append(nn.ConvTranspose2d(before, after, kernel, stride=2, padding=padding))
            modules += [] if last else [ACTIVATIONS[activation]()]
            before = after
        super().__init__(*modules)
