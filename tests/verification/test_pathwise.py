"""Two routes to one number on each path, and the gap between them."""

from __future__ import annotations

import warnings

import torch

from sdewm.verification.pathwise import relative


def test_numbers_that_parameters_made_are_compared_without_a_warning():
    weight = torch.nn.Parameter(torch.ones(3))
    torch.set_warn_always(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert relative(3 * weight, 2 * weight) == 0.5
    finally:
        torch.set_warn_always(False)
