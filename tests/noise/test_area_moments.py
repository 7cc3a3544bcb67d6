"""Exact moments of Lévy areas agree with each other."""

from __future__ import annotations

import torch
from areas import H, conditional_area_covariance, critical
from support import F64, z_value

from sdewm.noise.area_moments import area_variance, conditional_area_variance


def test_conditional_moments_agree_with_each_other():
    dB = torch.randn(200_000, 3, generator=torch.Generator().manual_seed(1), dtype=F64) * H**0.5
    variance = conditional_area_variance(dB, H)
    assert torch.equal(variance.diagonal(dim1=1, dim2=2), torch.zeros(200_000, 3, dtype=F64))
    assert torch.allclose(torch.einsum("pklkl->pkl", conditional_area_covariance(dB[:50], H)), variance[:50])
    assert abs(z_value(variance[:, 0, 2], area_variance(H))) < critical()
