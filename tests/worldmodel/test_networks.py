"""The networks: shapes, and a recurrent state that stays in the unit cube."""

from dataclasses import replace

import pytest
import torch
from support import refuses

from sdewm.worldmodel import PRESETS, WorldModel
from sdewm.worldmodel.networks import CELLS, ImageDecoder, ImageEncoder, LayerNormGRU


def test_table5_has_dreamers_image_networks():
    config = PRESETS["table5"]
    encoder = ImageEncoder(3, 64, config.depth, config.encoder_kernels, config.padding, "silu")
    decoder = ImageDecoder(230, encoder.outputs, 3, 64, config.depth, config.decoder_kernels, config.padding, "silu")
    images, shapes = torch.zeros(1, 3, 64, 64), []
    for module in encoder:
        images = module(images)
        if isinstance(module, torch.nn.Conv2d):
            shapes.append(tuple(images.shape[1:]))
    assert shapes == [(48, 31, 31), (96, 14, 14), (192, 6, 6), (384, 2, 2)]
    assert encoder.outputs == 1536 and decoder(torch.zeros(2, 230)).shape == (2, 3, 64, 64)


def test_a_recurrent_state_stays_in_the_unit_cube():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        cell, h = LayerNormGRU(4, 6), torch.rand(50, 6) * 2 - 1
        for _ in range(30):
            h = cell(10 * torch.randn(50, 4), h)
    assert h.abs().max() <= 1


def test_images_that_do_not_fit_the_kernels_are_refused():
    with refuses(ValueError, "image_size: expected a size that the kernels (4, 4, 4) reach, got 30"):
        WorldModel(replace(PRESETS["lean-pixels"], image_size=30), (1, 30, 30), 1)


@pytest.mark.parametrize("cell", list(CELLS))
def test_a_cell_takes_any_leading_dimensions(cell):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module, x, h = CELLS[cell](4, 6), torch.randn(2, 3, 4), torch.randn(2, 3, 6)
    together = module(x, h)
    assert together.shape == h.shape
    torch.testing.assert_close(together[1, 2], module(x[1, 2:], h[1, 2:])[0])
    torch.testing.assert_close(module(x[0], h[0]), together[0])


def test_a_linear_map_of_the_embedding_leaves_the_decoders_start():
    plain, mapped = (ImageEncoder(1, 8, 2, (4,), 1, "silu", embed) for embed in (0, 5))
    images = torch.zeros(3, 1, 8, 8)
    assert plain(images).shape == (3, 32) and mapped(images).shape == (3, 5)
    assert plain.flat == mapped.flat == plain.outputs == 32 and mapped.outputs == 5
