"""The image basis: orthonormal, of the training images, and errors in its coordinates are those of pixels."""

import torch
from small_agents import F64, WALKER, random_batch, tiny_agent

from sdewm.worldmodel.image_basis import ImageBasis


def test_coordinate_error_is_pixel_error_but_for_what_no_coordinates_reach():
    model = tiny_agent(WALKER).world_model
    basis, pixels = model.basis, model.standardize(random_batch(WALKER).observations[0]).flatten(1)
    target = basis.coordinates(pixels)
    guess = torch.randn(len(pixels), 4, dtype=F64, generator=torch.Generator().manual_seed(0))
    in_pixels = (basis.images(guess) - pixels).square().mean(-1)
    unreachable = pixels.square().mean(-1) - target.square().sum(-1)
    torch.testing.assert_close(in_pixels, (guess - target).square().sum(-1) + unreachable, rtol=1e-11, atol=0)
    assert unreachable.min() > 0.1 * pixels.square().mean()


def test_it_spans_the_leading_components_and_stays_orthonormal_in_float64():
    generator = torch.Generator().manual_seed(0)
    directions = torch.randn(3, 16, generator=generator)
    images = torch.randn(200, 3, generator=generator) @ directions + 1e-3 * torch.randn(200, 16, generator=generator)
    basis = ImageBasis(3, 16)
    basis.fit(images)
    torch.testing.assert_close(basis.images(basis.coordinates(directions)), directions, rtol=0, atol=0.01)
    basis.double()
    assert (basis.vectors @ basis.vectors.T / 16 - torch.eye(3, dtype=F64)).abs().max() > 1e-12
    basis.orthonormalize()
    torch.testing.assert_close(basis.vectors @ basis.vectors.T / 16, torch.eye(3, dtype=F64), rtol=0, atol=1e-13)


def test_an_agent_in_float64_has_an_orthonormal_basis():
    vectors = tiny_agent(WALKER).world_model.basis.vectors
    torch.testing.assert_close(vectors @ vectors.T / 64, torch.eye(4, dtype=F64), rtol=0, atol=1e-13)
