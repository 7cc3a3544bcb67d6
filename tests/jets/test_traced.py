"""Operations of torch.ops on jets: by the rules of torch's own functions; none writes a jet into a plain tensor."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from support import F64
from torch import Tensor

from sdewm.jets import Jet, JetSpace, NotDifferentiable

ATEN = torch.ops.aten
X = Jet(torch.tensor([[1.0, 2.0], [1.0, -1.0], [0.5, 0.0]], dtype=F64), JetSpace(1, 2))


def plain() -> Tensor:
    return torch.zeros(2, dtype=F64)


@pytest.mark.parametrize(
    "write",
    [
        lambda: ATEN.copy_.default(plain(), X),
        lambda: ATEN.copy_(plain(), X),
        lambda: ATEN.add_.Tensor(plain(), X),
        lambda: ATEN.addcmul_.default(plain(), X, X),
        lambda: ATEN.index_put_.default(plain(), [torch.tensor([0])], X[:1]),
        lambda: ATEN.fill_.Tensor(plain(), X[0]),
        lambda: ATEN.mul.out(X, X, out=plain()),
        lambda: ATEN._foreach_add_.List([plain()], [X]),
    ],
)
def test_no_operation_loses_a_jet_in_a_plain_tensor(write: Callable[[], object]) -> None:
    with pytest.raises((TypeError, NotDifferentiable), match=r"plain tensor|writes in"):
        write()


def test_what_is_written_into_a_jet_is_what_the_function_gives() -> None:
    assert torch.equal(ATEN.add_.Tensor(X + 0, X).coefficients, (X + X).coefficients)
    assert torch.equal(ATEN.sin.default(X).coefficients, torch.sin(X).coefficients)


def test_a_linearized_function_is_linear_in_the_jet() -> None:
    _, slope = torch.func.linearize(torch.sin, torch.ones(2, dtype=F64))
    expected = torch.cos(torch.ones((), dtype=F64)) * X
    torch.testing.assert_close(slope(X).coefficients, expected.coefficients)
