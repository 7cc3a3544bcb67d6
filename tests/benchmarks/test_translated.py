"""Coefficients in numpy are those in torch, on every problem; what has no translation is said."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support import F64

from benchmarks.translated import coefficients, translated
from sdewm.exact.hard_problems import HARD_PROBLEMS
from sdewm.exact.strong_problems import STRONG_PROBLEMS
from sdewm.systems.sde import diffusion_matrix

PROBLEMS = {**STRONG_PROBLEMS, **HARD_PROBLEMS}


@pytest.mark.parametrize("name", PROBLEMS)
def test_numbers_are_those_of_torch(name):
    problem = PROBLEMS[name]
    f, g = coefficients(problem.sde, problem.x0, np)
    shift = 0.1 * torch.randn(3, len(problem.x0), generator=torch.Generator().manual_seed(0), dtype=F64)
    for i, x in enumerate(problem.x0 + shift):
        t = torch.tensor(0.2 * i + 0.1, dtype=F64)
        np.testing.assert_allclose(f(0.2 * i + 0.1, x.numpy()), problem.sde.f(t, x[None])[0], rtol=1e-12, atol=1e-13)
        whole = diffusion_matrix(problem.sde, t, x[None])[0]
        np.testing.assert_allclose(g(0.2 * i + 0.1, x.numpy()), whole, rtol=1e-12, atol=1e-13)


def test_what_has_no_translation_is_said():
    with pytest.raises(NotImplementedError, match="'special_bessel_j0' has no translation"):
        translated(lambda t, x: torch.special.bessel_j0(x), torch.ones(2, dtype=F64), np)
