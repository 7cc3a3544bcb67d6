"""The operator database's judge tells right from wrong; slow: the whole database, none wrong."""

from __future__ import annotations

from itertools import islice
from types import SimpleNamespace

import pytest
import torch
from support import F64
from torch.testing._internal.common_methods_invocations import op_db

from benchmarks.operators import outcome, run, samples
from sdewm.jets import Jet


def judge(function, x: torch.Tensor) -> str:
    sample = SimpleNamespace(input=x, args=(), kwargs={}, output_process_fn_grad=lambda y: y)
    return outcome(function, sample, 0)[0]


X = torch.tensor([0.3, 0.7, 1.1], dtype=F64)


@pytest.mark.parametrize("order", range(4))
def test_a_coefficient_that_is_off_is_wrong(order):
    def function(x):
        y = torch.exp(x)
        if isinstance(y, Jet):
            y.coefficients[order] *= 1.1
        return y

    assert judge(function, X) == "wrong"
    assert judge(torch.exp, X) == "right"


def test_another_pivot_nearby_is_not_mistaken_for_a_wrong_derivative():
    """Wide fits straddle it, and agree with each other on something else."""
    op = next(op for op in op_db if op.name == "lu")
    assert outcome(op.op, next(islice(samples(op), 26, None)), 26)[0] != "wrong"


def test_other_shapes_plain_tensors_and_raw_errors_are_wrong():
    assert judge(lambda x: x.exp()[:2] if isinstance(x, Jet) else x.exp(), X) == "wrong"
    assert judge(lambda x: x.value.exp() if isinstance(x, Jet) else x.exp(), X) == "wrong"

    def raises(x):
        if isinstance(x, Jet):
            raise RuntimeError("raw")
        return x.exp()

    assert judge(raises, X) == "wrong"


@pytest.mark.slow
def test_no_operator_is_wrong():
    """An hour: every sample of every operator."""
    record = run([], 0, None)
    wrong = {name: row["reasons"]["wrong"] for name, row in record["table"].items() if row["counts"].get("wrong")}
    assert wrong == {} and record["samples"]["right"] > 10_000
