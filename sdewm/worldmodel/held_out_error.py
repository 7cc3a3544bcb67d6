"""Is a representation error what it says, on episodes that it was not fitted on?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sdewm import arguments
from sdewm.worldmodel.replay import Episode
from sdewm.worldmodel.representation_error import RepresentationError, representation_error


class HeldOut(NamedTuple):
    """What fresh draws on other episodes say.

    ``off``: root mean square difference of two fits of the drift with disjoint draws, over frames and coordinates, in
    their own standard errors: 1 where these are right. ``off_stderr`` is of it, over frames. ``nan`` where all draws of
    a perturbation are one, which has no standard error; then ``same`` says whether both fits agree to rounding.

    ``drift_explained``, ``variance_explained``: the part of the held-out frames' drift, squared, and of the variance
    that is beyond the clean posterior's, squared, that constants fitted on the other episodes explain. Near 1 a
    constant does; near 0, or below, the coefficient has to see the frame.
    """

    off: float
    off_stderr: float
    same: bool
    drift_explained: float
    variance_explained: float


def held_out(error: RepresentationError, episodes: Sequence[Episode], seed: int) -> HeldOut:
    """Hold an error against fresh draws on episodes that it was not fitted on.

    ``ValueError`` where ``seed`` is the fit's own, as the draws then would be.

    Example: ``held_out(representation_error(model, Rotation(2.0), episodes[:2]), episodes[2:], seed=1)``.
    """
    seed = arguments.integer("seed", seed, 0)
    if seed == error.seed:
        raise ValueError(f"seed: expected another than the fit's, so that its draws are fresh, got {seed}")
    fit, fresh = (
        representation_error(error.model, error.perturbation, episodes, draws=error.draws, seed=s)
        for s in (error.seed, seed)
    )
    squares, same = [], True
    for a, b in zip(fit.episodes, fresh.episodes, strict=True):
        bar = a.drift_stderr.square() + b.drift_stderr.square()
        difference = (a.drift - b.drift).square()
        seen = bar > 0
        same = same and bool((difference[~seen] < 1e-20).all())
        squares += [float((d[s] / v[s]).mean()) for d, v, s in zip(difference, bar, seen, strict=True) if bool(s.any())]
    drift, variance = error.constant
    drifts = torch.cat([e.drift for e in fresh.episodes])
    noise = torch.cat([e.drift_stderr.square() for e in fresh.episodes])
    variances = torch.cat([e.variance for e in fresh.episodes])
    mean = float(np.mean(squares)) if squares else math.nan
    spread = float(np.std(squares, ddof=1)) / len(squares) ** 0.5 if len(squares) > 1 else math.nan
    return HeldOut(
        off=math.sqrt(mean),
        off_stderr=spread / (2 * math.sqrt(mean)),
        same=same,
        drift_explained=_explained(drifts, drift, noise, error.model.latent_spread),
        variance_explained=_explained(
            variances, variance, torch.zeros_like(variances), error.model.latent_spread.square()
        ),
    )


def _explained(found: Tensor, constant: Tensor, noise: Tensor, unit: Tensor) -> float:
    """1 − Σ|found − constant|²/Σ|found|², without what noise adds to either."""
    left = (((found - constant).square() - noise) / unit.square()).sum()
    whole = ((found.square() - noise) / unit.square()).sum()
    return float(1 - left / whole)
