"""A jet is used like a tensor; what has no derivative, or is misuse, is said."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from jet_oracle import F64, SPACE, W, mlp, random_jet
from torch import Tensor, nn
from torch.func import jvp

from sdewm.jets import Jet, JetSpace, NonSmoothWarning, NotDifferentiable, Parameter, constant


def test_jet_reads_like_a_tensor() -> None:
    c = torch.randn(6, 3, 4, dtype=F64)
    x = Jet(c, SPACE)
    assert isinstance(x, Tensor) and x.coefficients is c and x.space is SPACE
    assert x.shape == (3, 4) == x.size() and x.size(1) == 4 and x.ndim == x.dim() == 2 and x.numel() == 12
    assert len(x) == 3 and x.dtype == F64 and x.device.type == "cpu" and x.is_floating_point()
    assert repr(x) == f"{x}" == "Jet(shape=(3, 4), float64, parameters=2, order=2)"
    torch.testing.assert_close(x.value, c[0])
    torch.testing.assert_close(x.coefficient((2, 0)), c[3])
    torch.testing.assert_close(x.derivative((2, 0)), 2 * c[3])
    assert x.truncate(1).space is SPACE.lower(1) and torch.equal(x.truncate(1).coefficients, c[:3])
    for twin in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert torch.equal(twin.coefficients, c)
    assert x.float().dtype == torch.float32 and (x.float() + x).dtype == F64
    assert x.type() == "torch.DoubleTensor" and x.type(torch.int64).dtype == torch.int64


@pytest.mark.parametrize(
    "make",
    [
        torch.zeros_like,
        torch.ones_like,
        torch.rand_like,
        torch.randn_like,
        torch.empty_like,
        lambda x: torch.full_like(x, 2.0),
        lambda x: x.new_zeros(3, 4),
        lambda x: x.new_ones((3, 4)),
    ],
)
def test_factories_make_constant_jets(make: Callable[[Tensor], Tensor]) -> None:
    y = make(random_jet(SPACE, (3, 4)))
    assert isinstance(y, Jet) and y.shape == (3, 4) and not y.coefficients[1:].any()


def test_gradient_through_coefficients() -> None:
    c = torch.randn(6, 2, 3, dtype=F64, requires_grad=True)
    net = mlp(nn.SiLU()).double()

    def curvature(c: Tensor) -> Tensor:
        return (F.linear(torch.tanh(Jet(c, SPACE)) ** 2, W[:4, :3]).softmax(-1)).derivative((1, 1)).sum(-1)

    assert torch.autograd.gradcheck(curvature, (c,))
    loss = net(Jet(torch.randn(6, 5, 4, dtype=F64), SPACE)).derivative((2, 0)).square().sum()
    loss.backward()
    assert all(p.grad is not None for p in net.parameters() if p.ndim == 2)


def test_jets_inside_forward_mode() -> None:
    c, dc = torch.randn(6, 3, dtype=F64), torch.randn(6, 3, dtype=F64)

    def f(c: Tensor) -> Tensor:
        return (torch.tanh(Jet(c, SPACE)) * Jet(c, SPACE)).coefficients

    h = 1e-6
    torch.testing.assert_close(jvp(f, (c,), (dc,))[1], (f(c + h * dc) - f(c - h * dc)) / (2 * h), rtol=1e-7, atol=1e-7)


def test_inplace_modules_write_to_their_argument() -> None:
    x = random_jet(SPACE, (3,))
    with pytest.warns(NonSmoothWarning):
        y = nn.ReLU(inplace=True)(x)
    assert y is x and bool((x.value >= 0).all())


@pytest.mark.parametrize(
    "name, f",
    [
        ("relu", torch.relu),
        ("abs", abs),
        ("clamp", lambda x: x.clamp(0, 1)),
        ("elu", F.elu),
        ("max", torch.max),
        ("maximum", lambda x: torch.maximum(x, x.value)),
        ("amax", lambda x: x.amax(0)),
        ("sort", torch.sort),
        ("leaky_relu", F.leaky_relu),
        ("hardtanh", F.hardtanh),
        ("relu6", F.relu6),
        ("hardswish", F.hardswish),
    ],
)
def test_one_warning_names_the_nonsmooth_operation(name: str, f: Callable[[Tensor], Any]) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        f(random_jet(SPACE, (3,)))
    messages = [str(w.message) for w in caught if issubclass(w.category, NonSmoothWarning)]
    assert len(messages) == 1 and messages[0].startswith(f"{name} is not twice") and "C²" in messages[0]


@pytest.mark.parametrize(
    "name, advice, f",
    [
        ("float", "sdewm.value_of(x)", float),
        ("item", "sdewm.value_of(x)", lambda x: x.item()),
        ("numpy", "sdewm.value_of(x)", lambda x: x.numpy()),
        ("tolist", "sdewm.value_of(x)", lambda x: x.tolist()),
        ("backward", "coefficient", lambda x: x.backward()),
        ("dropout in training mode", "eval", F.dropout),
        ("view(dtype)", "to(dtype)", lambda x: x.view(torch.int64)),
        ("batch_norm in training mode", "eval", lambda x: F.batch_norm(x, None, None, training=True)),
        ("gru", "nn.GRUCell", lambda x: nn.GRU(4, 2).double()(x.expand(3, 4))),
        ("lstm", "nn.LSTMCell", lambda x: nn.LSTM(4, 2).double()(x.expand(3, 4))),
        ("indexing with a jet", "value", lambda x: torch.zeros(3)[x]),
        ("matrix_rank", "sdewm.value_of(x)", lambda x: torch.linalg.matrix_rank(x.expand(3, 3))),
        ("zeta", "differentiable", lambda x: torch.special.zeta(x * 0 + 2, 2.0)),
    ],
)
def test_refusals_name_the_operation(name: str, advice: str, f: Callable[[Tensor], Any]) -> None:
    with pytest.raises(NotDifferentiable) as caught:
        f(random_jet(SPACE, ()))
    assert name in str(caught.value) and advice in str(caught.value)


@pytest.mark.parametrize(
    "error, message, f",
    [
        (ValueError, "different spaces", lambda x: x + random_jet(JetSpace(2, 1), (3,))),
        (ValueError, "different spaces", lambda x: torch.stack([x, random_jet(JetSpace(1, 2), (3,))])),
        (ValueError, "cannot multiply", lambda x: Parameter(JetSpace(2, 4), 0) * x),
        (ValueError, "cannot truncate", lambda x: x.truncate(3)),
        (ValueError, "change the shape", lambda x: x.add_(torch.zeros(2, 3))),
        (ValueError, "stack of shape", lambda x: Jet(torch.zeros(5, 3), SPACE)),
        (KeyError, "not a multi-index", lambda x: x.coefficient((3, 0))),
        (IndexError, "no parameter 2", lambda x: Parameter(SPACE, 2)),
        (IndexError, "dimension out of range", lambda x: x.sum(-2)),
        (TypeError, "plain tensor", lambda x: Jet(x, SPACE)),
        (TypeError, "floating-point", lambda x: Jet(torch.zeros(6, dtype=torch.int64), SPACE)),
        (TypeError, "constant", lambda x: constant(x, SPACE)),
        (TypeError, "multiplies a tensor", lambda x: Parameter(SPACE, 0) * "y"),
        (TypeError, "zeros_like", lambda x: torch.zeros(2, 3).__setitem__(0, x)),
        (TypeError, "zeros_like", lambda x: torch.zeros(3).add_(x)),
        (TypeError, "out=", lambda x: torch.asinh(x, out=torch.zeros(3))),
    ],
)
def test_misuse(error: type[Exception], message: str, f: Callable[[Jet], Any]) -> None:
    with pytest.raises(error, match=message):
        f(random_jet(SPACE, (3,)))
