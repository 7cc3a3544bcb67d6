"""The integrals of the noise over time that a step of strong order 1.5 takes."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def time_means(area: Float[Tensor, "paths channels"] | None, dt: float) -> Float[Tensor, "paths channels"]:
    """The mean of B(s) − B(t) over a step of length ``dt``, from its integral; ``ValueError`` where there is none."""
    if area is None:
        raise ValueError("area: expected (paths, m), the integrals of the noise over the step, got None")
    return area / dt
