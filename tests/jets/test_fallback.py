"""Operations without a rule of their own."""

from __future__ import annotations

import torch
from jet_oracle import F64, SPACE, assert_is_jet_of, random_jet

from sdewm.jets import Jet


def test_fallback_reaches_through_containers() -> None:
    x = random_jet(SPACE, (3, 3))
    values, indices = torch.topk(x, 2)
    assert isinstance(values, Jet) and not isinstance(indices, Jet)
    assert_is_jet_of(torch.linalg.inv, [random_jet(SPACE, (3, 3), lambda m: m + 4 * torch.eye(3, dtype=F64))])
    assert_is_jet_of(torch.cdist, [x, x * x], lambda a, b: (a[:, None] - b[None]).square().sum(-1).sqrt())
