"""Bounds of a network's values on a box, by interval arithmetic."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sdewm import arguments
from sdewm.divergence.layers import Affine, plain_layers


def interval(
    modules: Sequence[nn.Module], low: Float[Tensor, " inputs"], high: Float[Tensor, " inputs"]
) -> tuple[Float[Tensor, " outputs"], Float[Tensor, " outputs"]]:
    """Bounds of ``nn.Sequential(*modules)`` on the box low ≤ x ≤ high, by interval arithmetic, layer by layer.

    Linear layers, and activations that are monotone (tanh, sigmoid, softplus) or SiLU, which has one minimum. The box
    is ``(inputs,)`` each. Raises ``ValueError`` for a box of another shape or with low > high, and what
    :func:`~sdewm.divergence.layers.plain_layers` raises for the modules.

    >>> low, high = interval([nn.Tanh()], torch.tensor([0.0]), torch.tensor([100.0]))
    >>> float(low), float(high)
    (0.0, 1.0)
    """
    low, high = (arguments.tensor(name, end).double() for name, end in (("low", low), ("high", high)))
    if low.ndim != 1 or not len(low) or low.shape != high.shape or not bool((low <= high).all()):
        raise ValueError(
            f"low, high: expected low ≤ high, both (inputs,), got shapes {tuple(low.shape)} and {tuple(high.shape)}"
            + " with low > high" * (low.shape == high.shape)
        )
    for i, layer in enumerate(plain_layers(modules)):
        if isinstance(layer, Affine):
            if layer.weight.shape[1] != len(low):
                raise ValueError(f"modules[{i}]: expected {len(low)} inputs, got {layer.weight.shape[1]}")
            middle, radius = layer((low + high) / 2), layer.weight.abs() @ ((high - low) / 2)
            low, high = middle - radius, middle + radius
        elif layer.activation == "silu":
            ends = torch.stack([layer(low), layer(high)])
            # silu has its minimum, above −0.27847, at −1.27847 and is monotone on either side.
            inside = (low < -1.2784) & (high > -1.2785)
            low = torch.where(inside, torch.full_like(low, -0.27847), ends.amin(0))
            high = ends.amax(0)
        else:
            low, high = layer(low), layer(high)
    return low, high
