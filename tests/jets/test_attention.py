"""Attention and transformer layers on jets, against torch's own layers on curves through parameter space."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sdewm.jets import Jet, JetSpace, NotDifferentiable, attention, linear

F64 = torch.float64
RADIUS = 0.004  # of the polynomials in ε: small against the way to kinks and to the singularities of layer norms
SPACE = JetSpace(2, 2)
LENGTH, BATCH, WIDTH, HEADS = 3, 2, 4, 2


def jet(*shape: int, seed: int = 0) -> Jet:
    return Jet(0.6 * torch.randn(len(SPACE), *shape, dtype=F64, generator=torch.Generator().manual_seed(seed)), SPACE)


def at(x: Any, eps: tuple[float, float]) -> Any:
    powers = [math.prod(e**a for e, a in zip(eps, alpha, strict=True)) for alpha in SPACE.indices]
    return torch.tensordot(torch.tensor(powers, dtype=F64), x.coefficients, 1) if isinstance(x, Jet) else x


def assert_is_jet_of(f: Callable[..., Tensor], *inputs: Any) -> None:
    """The jet of f against polynomials in t through plain calls at ε = t v, which use none of torch's derivatives."""
    found = f(*inputs)
    nodes = RADIUS * np.cos((2 * np.arange(9) + 1) * np.pi / 18)
    for v in ((1.0, 0.0), (0.6, -0.8), (0.5, 0.9)):
        with torch.no_grad():
            values = torch.stack([f(*(at(x, (t * v[0], t * v[1])) for x in inputs)) for t in nodes])
        fit = np.polynomial.polynomial.polyfit(nodes / RADIUS, values.flatten(1).numpy(), 8)
        for degree in range(3):
            rows = [i for i, alpha in enumerate(SPACE.indices) if sum(alpha) == degree]
            mine = sum(
                found.coefficients[i] * math.prod(w**a for w, a in zip(v, SPACE.indices[i], strict=True)) for i in rows
            )
            expected = torch.as_tensor(fit[degree] / RADIUS**degree).reshape(mine.shape)
            torch.testing.assert_close(mine.detach(), expected, rtol=1e-8, atol=1e-8)


def layer(**kwargs: Any) -> nn.MultiheadAttention:
    torch.manual_seed(1)
    return nn.MultiheadAttention(WIDTH, HEADS, **kwargs).double().eval()


X = jet(LENGTH, BATCH, WIDTH)
Y = jet(LENGTH + 1, BATCH, WIDTH, seed=1)
CAUSAL = nn.Transformer.generate_square_subsequent_mask(LENGTH, dtype=F64)
PADDED = torch.tensor([[False, False, True], [False, True, False]])
PER_HEAD = torch.randn(BATCH * HEADS, LENGTH, LENGTH, dtype=F64, generator=torch.Generator().manual_seed(3))
ATTENTION: dict[str, tuple[nn.MultiheadAttention, list[Any], dict[str, Any]]] = {
    "self": (layer(), [X, X, X], {}),
    "cross": (layer(), [X, Y, Y], {}),
    "query alone is a jet": (layer(), [X, Y.value, Y.value], {}),
    "key alone is a jet": (layer(), [X.value, Y, Y.value], {}),
    "batch first": (layer(batch_first=True), [X, X, X], {}),
    "one sequence": (layer(), [X[:, 0], Y[:, 0], Y[:, 0]], {}),
    "no bias": (layer(bias=False), [X, Y, Y], {}),
    "biases of keys, zero attention": (layer(add_bias_kv=True, add_zero_attn=True), [X, Y, Y], {}),
    "other widths": (layer(kdim=3, vdim=5), [X, jet(2, BATCH, 3), jet(2, BATCH, 5)], {}),
    "additive mask": (layer(), [X, X, X], {"attn_mask": CAUSAL}),
    "causal": (layer(), [X, X, X], {"attn_mask": CAUSAL, "is_causal": True}),
    "Boolean mask, zero attention": (layer(add_zero_attn=True), [X, X, X], {"attn_mask": CAUSAL != 0}),
    "mask per head": (layer(), [X, X, X], {"attn_mask": PER_HEAD}),
    "padding": (layer(add_bias_kv=True), [X, X, X], {"key_padding_mask": PADDED}),
    "padding and mask": (layer(), [X, X, X], {"key_padding_mask": PADDED, "attn_mask": CAUSAL != 0}),
}


@pytest.mark.parametrize("name", ATTENTION)
def test_attention(name: str) -> None:
    module, inputs, options = ATTENTION[name]
    assert_is_jet_of(lambda *x: module(*x, need_weights=False, **options)[0], *inputs)
    assert_is_jet_of(lambda *x: module(*x, **options)[0], *inputs)
    assert_is_jet_of(lambda *x: module(*x, average_attn_weights=False, **options)[1], *inputs)
    assert_is_jet_of(lambda *x: module(*x, **options)[1], *inputs)
    assert module(*inputs, need_weights=False, **options)[1] is None


torch.manual_seed(4)
LAYERS: dict[str, nn.Module] = {
    "with its ReLU": nn.TransformerEncoderLayer(WIDTH, HEADS, 8, batch_first=True),
    "encoder layer": nn.TransformerEncoderLayer(WIDTH, HEADS, 8, activation="gelu", batch_first=True),
    "norm first": nn.TransformerEncoderLayer(WIDTH, HEADS, 8, activation="gelu", norm_first=True),
    "encoder": nn.TransformerEncoder(
        nn.TransformerEncoderLayer(WIDTH, HEADS, 8, activation="gelu", batch_first=True), 2
    ),
}


@pytest.mark.filterwarnings("ignore:enable_nested_tensor", "ignore::sdewm.jets.NonSmoothWarning")
@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("name", LAYERS)
def test_transformer_layers_and_their_fast_paths(name: str, grad: bool) -> None:
    """Without gradients torch takes fused code in evaluation mode, which must not be offered a jet."""
    module = copy.deepcopy(LAYERS[name]).double().eval().requires_grad_(grad)
    with torch.set_grad_enabled(grad):
        assert_is_jet_of(module, X)


def test_decoder_layer() -> None:
    torch.manual_seed(2)
    module = nn.TransformerDecoderLayer(WIDTH, HEADS, 8, activation="gelu").double().eval()
    assert_is_jet_of(module, X, Y)


def test_dropout_in_training_is_refused() -> None:
    with pytest.raises(NotDifferentiable, match="dropout in training mode"):
        nn.MultiheadAttention(WIDTH, HEADS, dropout=0.1).double()(X, X, X)


def test_a_wrong_scale_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "math", type("halved", (), {"sqrt": staticmethod(lambda n: 0.5 * n**0.5)}))
    with pytest.raises(AssertionError):
        test_attention("self")


def test_attention_of_jets_goes_through_matrix_products_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nested derivatives would be thirty times dearer than a recurrent cell; the rule is four products."""
    count = 0
    product = linear.product

    def counted(*args: Any) -> Jet:
        nonlocal count
        count += 1
        return product(*args)

    monkeypatch.setattr(linear, "product", counted)
    layer()(X, X, X)
    assert count == 2  # scores, and weights times values: the projections are linear in the jet
