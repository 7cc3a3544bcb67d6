"""Image perturbations at evaluation: noise, rotation, masks (the paper's Section 5 and Appendix D.2).

Images are (channels, size, size) with intensities in [0, 1], and stay there: what a perturbation brings outside is
clipped, unless ``clip=False``. The paper states neither the range of intensities nor whether noise is added or takes
the pixel's place: both are options. Its Table 1 and its appendix disagree on N(0.15, 0.5) and N(0.5, 0.15): mean and
variance are arguments without defaults.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import numpy as np
from jaxtyping import Float
from scipy import ndimage

from sdewm import arguments
from sdewm.worldmodel.environments import Policy

NoiseMode = Literal["add", "replace"]
Image = Float[np.ndarray, "_ rows columns"]


class Perturbation(Protocol):
    """An image to an image, with the randomness that it is given."""

    def __call__(self, image: Image, rng: np.random.Generator) -> Image: ...


@dataclass(frozen=True)
class GaussianNoise:
    """N(mean, variance) at every number of the image, added to it or in its place."""

    mean: float
    variance: float
    mode: NoiseMode = "add"
    clip: bool = True

    def __post_init__(self) -> None:
        _check_noise(self)

    def __call__(self, image: Image, rng: np.random.Generator) -> Image:
        image = _checked(image)
        return _clipped(_noisy(image, self.mean, self.variance, self.mode, rng), self.clip)


@dataclass(frozen=True)
class MaskedNoise:
    """N(mean, variance) at ``percent`` % of the pixels, chosen at random, all channels of a pixel together."""

    percent: float
    mean: float
    variance: float
    mode: NoiseMode = "replace"
    clip: bool = True

    def __post_init__(self) -> None:
        _check_noise(self)
        object.__setattr__(self, "percent", arguments.real("percent", self.percent, least=0.0))
        if self.percent > 100:
            raise ValueError(f"percent: expected a number in [0, 100], got {self.percent!r}")

    def __call__(self, image: Image, rng: np.random.Generator) -> Image:
        image = _checked(image)
        noisy = _noisy(image, self.mean, self.variance, self.mode, rng)
        pixels = image.shape[-2] * image.shape[-1]
        masked = np.zeros(pixels, bool)
        masked[rng.permutation(pixels)[: round(pixels * self.percent / 100)]] = True
        return _clipped(np.where(masked.reshape(image.shape[-2:]), noisy, image), self.clip)


@dataclass(frozen=True)
class Rotation:
    """A rotation by ``degrees`` about the centre, counter-clockwise as the image is seen, interpolated linearly.

    What comes into view from outside continues the image's edge.
    """

    degrees: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "degrees", arguments.real("degrees", self.degrees))

    def __call__(self, image: Image, rng: np.random.Generator) -> Image:
        return ndimage.rotate(_checked(image), self.degrees, axes=(2, 1), reshape=False, order=1, mode="nearest")


# Of what perturbation_of takes: its square is a number.
LARGEST = 1e150
PerturbationKind = Literal["noise", "rotation", "mask"]


def perturbation_of(kind: PerturbationKind, size: float) -> Perturbation:
    """A perturbation by one number: the noise's standard deviation, degrees, or the percentage of pixels masked.

    Noise has mean 0 and is added to intensities in [0, 1]; a mask has N(0.5, 0.15) in a pixel's place. ``ValueError``
    for another kind, or for a size that it cannot have.

    Example: ``perturbation_of("noise", 0.02) == GaussianNoise(0.0, 0.0004)``.
    """
    kind = arguments.choice("kind", kind, get_args(PerturbationKind))
    least = -math.inf if kind == "rotation" else 0.0
    size = arguments.real("size", size, least=least, below=LARGEST)
    if kind == "rotation":
        return Rotation(size)
    return GaussianNoise(0.0, size**2) if kind == "noise" else MaskedNoise(size, 0.5, 0.15)


def seen_through(perturbation: Perturbation, policy: Policy, seed: int) -> Policy:
    """A policy that sees every image (channels, size, size) uint8 of one episode perturbed, as float32 in [0, 1].

    The randomness of frame t depends on (``seed``, t), never on the policy: every model that is evaluated at the same
    seeds meets the same noise.
    """
    arguments.function("perturbation", perturbation, "(image, rng)")
    arguments.function("policy", policy, "(observation)")
    seed = arguments.integer("seed", seed, 0)
    times = itertools.count()

    def act(observation: np.ndarray) -> np.ndarray:
        if observation.ndim != 3:
            raise ValueError(f"perturbation: expected an agent that sees images, got a state {observation.shape}")
        if observation.dtype != np.uint8:
            raise ValueError(f"observation: expected an image of uint8, got {arguments.shown(observation)}")
        rng = np.random.default_rng([seed, next(times)])
        return policy(perturbation(observation.astype(np.float32) / 255, rng).astype(np.float32))

    return act


def _noisy(image: np.ndarray, mean: float, variance: float, mode: str, rng: np.random.Generator) -> np.ndarray:
    noise = rng.normal(mean, variance**0.5, image.shape)
    return image + noise if mode == "add" else noise


def _clipped(image: np.ndarray, clip: bool) -> np.ndarray:
    return image.clip(0, 1) if clip else image


def _check_noise(noise: GaussianNoise | MaskedNoise) -> None:
    object.__setattr__(noise, "mean", arguments.real("mean", noise.mean))
    object.__setattr__(noise, "variance", arguments.real("variance", noise.variance, least=0.0))
    arguments.choice("mode", noise.mode, get_args(NoiseMode))
    arguments.choice("clip", noise.clip, (False, True))


def _checked(image: np.ndarray) -> np.ndarray:
    if not isinstance(image, np.ndarray) or image.ndim != 3 or image.dtype.kind != "f":
        raise ValueError(
            f"image: expected floating-point intensities (channels, height, width), got {arguments.shown(image)}"
        )
    return image
