"""Diagonal normal distributions."""

import torch

from sdewm.worldmodel.gaussian import Gaussian, kl_divergence


def test_gaussian_kl_in_closed_form():
    q, p = (
        Gaussian(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.5, 2.0]])),
        Gaussian(torch.zeros(1, 2), torch.ones(1, 2)),
    )
    expected = 0.5 * ((0.25 + 1 - 1 - 2 * torch.tensor(0.5).log()) + (4 + 4 - 1 - 2 * torch.tensor(2.0).log()))
    torch.testing.assert_close(kl_divergence(q, p), expected.unsqueeze(0))


def test_kl_equals_torch_distributions():
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(11, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    s, r = (torch.rand(11, 4, generator=generator, dtype=torch.float64) + 0.1 for _ in range(2))
    normal = torch.distributions.Normal
    expected = torch.distributions.kl_divergence(normal(a, s), normal(b, r)).sum(-1)
    torch.testing.assert_close(kl_divergence(Gaussian(a, s), Gaussian(b, r)), expected, rtol=1e-12, atol=0)
