"""Observation paths s_t that drive the encoder of a latent model."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from sdewm import arguments


class RecordedObservation:
    """A recorded observation path, interpolated linearly in time.

    Parameters
    ----------
    times : increasing, ``(T,)``.
    values : ``(T, *shape)``.

    Calling it outside ``[times[0], times[-1]]`` raises ``ValueError``.

    >>> s = RecordedObservation(torch.tensor([0.0, 1.0]), torch.tensor([[0.0], [2.0]]))
    >>> s(0.25)
    tensor([0.5000])
    """

    def __init__(self, times: Float[Tensor, " times"], values: Float[Tensor, "times ..."]) -> None:
        # A time that is not finite is named by its place.
        times = times if isinstance(times, Tensor) else torch.tensor(arguments.reals("times", times))
        if times.dtype == torch.bool or times.is_complex():
            raise ValueError(f"times: expected increasing numbers, got {arguments.shown(times)}")
        values = arguments.tensor("values", values) if not isinstance(values, Tensor) else values
        if values.ndim < 1 or not values.is_floating_point():
            raise ValueError(f"values: expected floating-point numbers (T, *shape), got {arguments.shown(values)}")
        if times.ndim != 1 or len(times) < 2:
            raise ValueError(f"times: expected at least two increasing numbers, got shape {tuple(times.shape)}")
        finite_and_increasing = torch.isfinite(times[1:]) & (times.diff() > 0)
        if not bool(finite_and_increasing.all()):
            i = int((~finite_and_increasing).nonzero()[0])
            raise ValueError(
                f"times: expected finite, increasing numbers, got {float(times[i])}, {float(times[i + 1])} at index {i}"
            )
        if len(values) != len(times):
            raise ValueError(f"values: expected {len(times)} entries, one per time, got {len(values)}")
        if not bool(torch.isfinite(values).all()):
            first = int((~torch.isfinite(values)).nonzero()[0][0])
            raise ValueError(f"values: expected finite numbers, got a non-finite one at time {float(times[first]):g}")
        self.times, self.values = times, values

    def __call__(self, t: Float[Tensor, ""] | float) -> Float[Tensor, "..."]:
        t = arguments.real("t", t)
        first, last = float(self.times[0]), float(self.times[-1])
        # A grid accumulates its times, and a last step may overshoot by rounding alone.
        slack = 1e-9 * (last - first)
        if not first - slack <= t <= last + slack:
            raise ValueError(f"t: expected a time in the recorded [{first:g}, {last:g}], got {t:g}")
        i = int(torch.searchsorted(self.times, t, right=True).clamp(1, len(self.times) - 1))
        left, right = float(self.times[i - 1]), float(self.times[i])
        weight = min(max((t - left) / (right - left), 0.0), 1.0)
        return self.values[i - 1] + weight * (self.values[i] - self.values[i - 1])
