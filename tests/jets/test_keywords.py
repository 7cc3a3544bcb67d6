"""numpy's names for arguments, which torch takes in place of its own, and so do jets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from support import F64
from torch import Tensor

from sdewm.jets import Jet, JetSpace

pytestmark = pytest.mark.filterwarnings("ignore::sdewm.jets.NonSmoothWarning")
X = Jet(torch.rand(3, 3, 4, 5, generator=torch.Generator().manual_seed(0), dtype=F64) + 0.5, JetSpace(1, 2))
CALLS: dict[str, tuple[Callable[[Tensor], Any], Callable[[Tensor], Any]]] = {
    "sum": (lambda x: x.sum(axis=-1), lambda x: x.sum(-1)),
    "sum, kept": (lambda x: x.sum(axis=(0, 1), keepdims=True), lambda x: x.sum((0, 1), True)),
    "mean": (lambda x: torch.mean(x, axis=1), lambda x: x.mean(1)),
    "prod": (lambda x: x.prod(axis=0, keepdims=True), lambda x: x.prod(0, True)),
    "var": (lambda x: x.var(axis=0), lambda x: x.var(0)),
    "std": (lambda x: torch.std(x, axis=0), lambda x: x.std(0)),
    "max": (lambda x: x.max(axis=1)[0], lambda x: x.max(1)[0]),
    "amin": (lambda x: x.amin(axis=1), lambda x: x.amin(1)),
    "cumsum": (lambda x: torch.cumsum(x, axis=1), lambda x: x.cumsum(1)),
    "cumprod": (lambda x: x.cumprod(axis=1), lambda x: x.cumprod(1)),
    "logsumexp": (lambda x: torch.logsumexp(x, axis=2, keepdims=True), lambda x: x.logsumexp(2, True)),
    "softmax": (lambda x: torch.softmax(x, axis=2), lambda x: x.softmax(2)),
    "stack": (lambda x: torch.stack([x, x], axis=1), lambda x: torch.stack([x, x], 1)),
    "cat": (lambda x: torch.cat([x, x], axis=1), lambda x: torch.cat([x, x], 1)),
    "unbind": (lambda x: x.unbind(axis=1)[0], lambda x: x.unbind(1)[0]),
    "unsqueeze": (lambda x: x.unsqueeze(axis=1), lambda x: x.unsqueeze(1)),
    "norm": (lambda x: torch.linalg.vector_norm(x=x, axis=-1, keepdims=True), lambda x: x.norm(2, -1, True)),
    "linalg.norm": (lambda x: torch.linalg.norm(input=x, axis=-1), lambda x: x.norm(2, -1)),
    "sin": (lambda x: torch.sin(x=x), torch.sin),
    "sqrt": (lambda x: torch.sqrt(a=x), torch.sqrt),
    "asin": (lambda x: torch.asin(input=x / 3), lambda x: torch.asin(x / 3)),
    "add": (lambda x: torch.add(x1=x, x2=2 * x), lambda x: 3 * x),
    "div": (lambda x: torch.div(input=x, other=2 + x), lambda x: x / (2 + x)),
    "mul": (lambda x: x.mul(x2=x), lambda x: x * x),
    "maximum": (lambda x: torch.maximum(x, other=1 - x), lambda x: torch.maximum(x, 1 - x)),
    "type_as": (lambda x: x.type_as(other=x), lambda x: x),
    "pairwise_distance": (
        lambda x: torch.pairwise_distance(x1=x, x2=x.sin()),
        lambda x: (x - x.sin() + 1e-6).norm(2, -1),
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_numpys_names_are_torchs(name: str) -> None:
    alias, plain = CALLS[name]
    torch.testing.assert_close(alias(X.value), plain(X.value))
    torch.testing.assert_close(alias(X).coefficients, plain(X).coefficients)
