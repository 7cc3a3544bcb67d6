"""Perturbed images: noise, masks and rotations, the same for every policy."""

import math

import numpy as np
import pytest
from support import refuses

from sdewm.worldmodel import GaussianNoise, MaskedNoise, Rotation, perturbation_of, seen_through

IMAGE = np.random.default_rng(0).uniform(0.2, 0.8, (3, 16, 16)).astype(np.float32)


def test_noise_is_added_or_takes_the_pixels_place():
    rng = lambda: np.random.default_rng(1)  # noqa: E731
    noise = rng().normal(0.5, 0.15**0.5, IMAGE.shape)
    np.testing.assert_allclose(GaussianNoise(0.5, 0.15, clip=False)(IMAGE, rng()), IMAGE + noise)
    np.testing.assert_allclose(GaussianNoise(0.5, 0.15, "replace", clip=False)(IMAGE, rng()), noise)
    np.testing.assert_allclose(GaussianNoise(0.5, 0.15)(IMAGE, rng()), (IMAGE + noise).clip(0, 1))


def test_a_mask_covers_its_share_of_the_pixels_in_all_channels():
    perturbed = MaskedNoise(25, 5.0, 0.01, clip=False)(IMAGE, np.random.default_rng(0))
    changed = perturbed != IMAGE
    assert changed.any(0).sum() == 64 and (changed.all(0) == changed.any(0)).all()
    assert perturbed[changed].min() > 4
    np.testing.assert_array_equal(MaskedNoise(0, 5.0, 1.0)(IMAGE, np.random.default_rng(0)), IMAGE)


def test_a_rotation_by_90_degrees_is_numpys_counter_clockwise_one():
    rotated = Rotation(90)(IMAGE, np.random.default_rng(0))
    np.testing.assert_allclose(rotated, np.rot90(IMAGE, axes=(1, 2)), atol=1e-5)
    np.testing.assert_array_equal(Rotation(0)(IMAGE, np.random.default_rng(0)), IMAGE)


def test_every_policy_is_shown_the_same_noise():
    frames = np.random.default_rng(0).integers(0, 256, (4, 1, 8, 8), dtype=np.uint8)

    def shown(seed: int) -> np.ndarray:
        seen: list[np.ndarray] = []

        def policy(image: np.ndarray) -> np.ndarray:
            np.random.default_rng().normal(size=7)  # a policy's own randomness
            seen.append(image)
            return np.zeros(1)

        act = seen_through(GaussianNoise(0.0, 0.1), policy, seed)
        for frame in frames:
            act(frame)
        return np.stack(seen)

    np.testing.assert_array_equal(shown(3), shown(3))
    assert not np.array_equal(shown(3), shown(4))
    assert not np.array_equal(shown(3)[0] - frames[0] / 255, shown(3)[1] - frames[1] / 255)
    assert shown(3).dtype == np.float32 and shown(3).min() >= 0 and shown(3).max() <= 1


def test_bad_perturbations_are_refused():
    with refuses(ValueError, "variance: expected a finite number of at least 0, got -1"):
        GaussianNoise(0.0, -1.0)
    with refuses(ValueError, "percent: expected a number in [0, 100], got 120"):
        MaskedNoise(120, 0.0, 1.0)
    with refuses(ValueError, "mode: expected 'add' or 'replace', got 'multiply'"):
        GaussianNoise(0.0, 1.0, "multiply")
    with refuses(ValueError, "perturbation: expected an agent that sees images, got a state (2,)"):
        seen_through(Rotation(3), lambda s: s, 0)(np.zeros(2))
    for value in (math.nan, math.inf, "a", None):
        for name, make in {
            "mean": lambda v: GaussianNoise(v, 0.1),
            "variance": lambda v: MaskedNoise(50, 0.0, v),
            "percent": lambda v: MaskedNoise(v, 0.0, 1.0),
            "degrees": Rotation,
        }.items():
            with refuses(ValueError, f"{name}: expected"):
                make(value)
    with refuses(ValueError, "clip", "'no'"):
        GaussianNoise(0.0, 1.0, clip="no")
    for perturbation in (GaussianNoise(0.0, 0.1), MaskedNoise(50, 0.0, 1.0), Rotation(3)):
        for image in (np.full((3, 4, 4), 200, np.uint8), np.zeros((4, 4)), [[[0.0]]]):
            with refuses(ValueError, "image: expected floating-point intensities"):
                perturbation(image, np.random.default_rng(0))
    with refuses(ValueError, "observation: expected an image of uint8"):
        seen_through(Rotation(3), lambda s: s, 0)(np.zeros((1, 4, 4)))
    for given, name in (
        ((3, len, 0), "perturbation"),
        ((Rotation(3), 3, 0), "policy"),
        ((Rotation(3), len, -1), "seed"),
    ):
        with pytest.raises((ValueError, TypeError), match=f"^{name}: expected"):
            seen_through(*given)


def test_a_size_whose_square_is_no_number_is_named():
    """It was Python's OverflowError."""
    for kind in ("noise", "mask", "rotation"):
        with pytest.raises(ValueError, match=r"^size: expected a finite number .*, got 1e\+308"):
            perturbation_of(kind, 1e308)
