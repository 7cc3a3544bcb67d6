"""The normal distribution truncated to [−1, 1]: samples and entropies, also where nearly nothing of it is inside."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from sdewm.worldmodel.gaussian import Gaussian, positive

SQRT_2, SQRT_2_PI = math.sqrt(2), math.sqrt(2 * math.pi)
# With both ends more than this many deviations to one side, the quantile function is followed from the nearer end.
FAR = 3.0
# From here on what is left of the normal is an exponential distribution, to a part of 1 / FARTHEST².
FARTHEST = 1e4
# With deviations larger than this, differences of the distribution function are rounding.
WIDEST = 1e4


def truncated_normal(
    gaussian: Gaussian, uniform: Float[Tensor, "... n"]
) -> tuple[Float[Tensor, "... n"], Float[Tensor, "..."]]:
    """A sample of a normal truncated to [−1, 1], and the entropy, summed over the last dimension.

    ``uniform`` in [0, 1), of the mean's shape, is pushed through the quantile function, so that gradients reach mean
    and standard deviation. Raises ``ValueError`` for a mean that is not finite, a standard deviation that is not in
    (0, 1e4], or numbers outside [0, 1).
    """
    mean, std = gaussian
    if not bool(mean.isfinite().all()):
        raise ValueError("mean: expected finite numbers, got a non-finite one")
    positive("std", std, most=WIDEST)
    if not bool(((uniform >= 0) & (uniform < 1)).all()):
        raise ValueError("uniform: expected numbers in [0, 1), got others")
    far = (mean.detach().abs() - 1) / std.detach() > FAR
    if not bool(far.any()):
        sample, entropy = _near(mean, std, uniform)
    else:
        # Where one route is meant the other gets numbers that it can do with, for its gradient is multiplied by zero.
        near = _near(torch.where(far, 0.0, mean), torch.where(far, 1.0, std), uniform)
        edge = torch.where(mean > 0, 1.0, -1.0).to(mean)
        beyond = _beyond(
            torch.where(far, mean * edge, 5.0), torch.where(far, std, 1.0), torch.where(edge > 0, 1 - uniform, uniform)
        )
        sample, entropy = torch.where(far, edge * beyond[0], near[0]), torch.where(far, beyond[1], near[1])
    # Rounding may leave the interval; its gradient is kept.
    return sample + (sample.clamp(-1, 1) - sample).detach(), entropy.sum(-1)


def _near(mean: Tensor, std: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
    low, high = (-1 - mean) / std, (1 - mean) / std
    below, above = torch.special.ndtr(low), torch.special.ndtr(high)
    mass = above - below
    limit = 1 - torch.finfo(mean.dtype).eps  # the quantile of 0 and 1 is infinite
    sample = mean + std * torch.special.ndtri((below + uniform * mass).clamp(1 - limit, limit))
    density_low, density_high = ((-0.5 * x * x).exp() / SQRT_2_PI for x in (low, high))
    entropy = (SQRT_2_PI * std * mass).log() + 0.5 + (low * density_low - high * density_high) / (2 * mass)
    return sample, entropy


def _beyond(mean: Tensor, std: Tensor, part: Tensor) -> tuple[Tensor, Tensor]:
    """Of a mean far above 1. What is inside begins d = (mean − 1)/std deviations below the mean and is w = 2/std long.

    A sample is 1 − std τ, where τ in [0, w] has a density like exp(−dτ − ½τ²), and P(τ < its value) is ``part``. With
    E(x) = erfcx(x/√2) the chance of τ > t is as E(d + t) exp(−dt − ½t²) less its value at w: no number is extreme.
    """
    dtype = mean.dtype
    # All of it lies before the far end, which may be infinitely unlikely.
    mean, std, part = mean.double(), std.double(), part.double().clamp_max(1 - torch.finfo(dtype).eps)
    d, w = (mean - 1) / std, 2 / std
    # The exponential distribution of rate d, truncated at w.
    k = (d * w).clamp_min(1e-12)
    simple = -torch.log1p(part * torch.expm1(-k)) / d
    simple_entropy = (-torch.expm1(-k) / d).log() + 1 - k / torch.expm1(k.clamp_max(700.0))
    farthest = d.detach() > FARTHEST
    d = torch.where(farthest, 10.0, d)
    w = torch.where(farthest, 1.0, w)

    def left(t: Tensor) -> Tensor:
        """log P(τ > t) for no end at w."""
        return (torch.special.erfcx((d + t) / SQRT_2) / torch.special.erfcx(d / SQRT_2)).log() - d * t - 0.5 * t * t

    def hazard(t: Tensor) -> Tensor:
        return 2 / SQRT_2_PI / torch.special.erfcx((d + t) / SQRT_2)

    wanted = torch.log1p(part * torch.expm1(left(w)))
    with torch.no_grad():
        tau = torch.where(farthest, 0.1, simple)
        for _ in range(8):  # concave, so that Newton's method converges from either side
            tau = (tau + (left(tau) - wanted) / hazard(tau)).clamp_min(0.0)
    # One more step, through which gradients go.
    tau = tau + (left(tau) - wanted) / hazard(tau).detach()
    ratio = (-d * w - 0.5 * w * w).exp()
    mass = 0.5 * (torch.special.erfcx(d / SQRT_2) - ratio * torch.special.erfcx((d + w) / SQRT_2))
    # E log density, with E T² / 2 = ½ + (d − (d + w) ratio) / (2 √(2π) mass) for T = d + τ.
    entropy = (SQRT_2_PI * mass).log() - 0.5 * d * d + 0.5 + (d - (d + w) * ratio) / (2 * SQRT_2_PI * mass)
    tau, entropy = torch.where(farthest, simple, tau), torch.where(farthest, simple_entropy, entropy)
    return (1 - std * tau).to(dtype), (entropy + std.log()).to(dtype)
