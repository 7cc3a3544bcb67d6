"""Matrix products, convolutions, normalisation and recurrent cells on jets."""

from __future__ import annotations

import string
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sdewm.jets.elementwise import product
from sdewm.jets.jet import Jet
from sdewm.jets.norms import count
from sdewm.jets.registry import lift, pair, promoted, rule, space_of


def bilinear(f: Callable[[Tensor, Tensor], Tensor], a: Any, b: Any) -> Jet:
    """A bilinear map of tensors, extended to one or two jets."""
    space = space_of(a, b)
    if not isinstance(b, Jet):
        return Jet(torch.stack([f(row, b) for row in a.coefficients]), space)
    if not isinstance(a, Jet):
        return Jet(torch.stack([f(a, row) for row in b.coefficients]), space)
    return product(space, a.coefficients, b.coefficients, lambda p, q: _pairwise(f, p, q))


def _pairwise(f: Callable[[Tensor, Tensor], Tensor], a: Tensor, b: Tensor) -> Tensor:
    n = max(a.shape[0], b.shape[0])
    rows_a, rows_b = a.expand(n, *a.shape[1:]), b.expand(n, *b.shape[1:])
    return torch.stack([f(p, q) for p, q in zip(rows_a, rows_b, strict=True)])


# products


@rule("matmul", "__matmul__", "mm", "bmm", "mv", "dot")
def matmul(input: Any, other: Any) -> Jet:
    space = space_of(input, other)
    if input.ndim == 1:  # as in torch, a vector is a matrix with one row
        return matmul(input.unsqueeze(0), other).squeeze(-2 if other.ndim > 1 else 0)
    if other.ndim == 1:
        return matmul(input, other.unsqueeze(-1)).squeeze(-1)
    if isinstance(input, Jet) and isinstance(other, Jet):
        return product(space, *pair(input, other), torch.matmul)
    ndim = max(input.ndim, other.ndim)
    if isinstance(input, Jet):
        return Jet(torch.matmul(lift(promoted(input, other), ndim), other), space)
    return Jet(torch.matmul(input, lift(promoted(other, input), ndim)), space)


@rule("__rmatmul__")
def rmatmul(input: Any, other: Any) -> Jet:
    return matmul(other, input)


@rule("linear")
def linear(input: Any, weight: Any, bias: Any = None) -> Jet:
    if not isinstance(input, Jet) and not isinstance(weight, Jet):
        return F.linear(input, weight) + bias
    if isinstance(weight, Jet) or not isinstance(input, Jet):
        out = matmul(input, weight.mT if weight.ndim > 1 else weight)
    else:
        out = Jet(F.linear(input.coefficients, weight), input.space)
    if bias is None:
        return out
    if isinstance(bias, Jet):
        return out + bias
    out.coefficients[0].add_(bias)
    return out


@rule("addbmm")
def addbmm(input: Any, a: Any, b: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    return beta * input + alpha * (a @ b).sum(0)


@rule("addmm", "addmv", "baddbmm")
def addmm(input: Any, a: Any, b: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    return beta * input + alpha * (a @ b)


@rule("outer", "ger")
def outer(input: Any, vec2: Any) -> Any:
    return input.unsqueeze(-1) * vec2


def _output(inputs: list[str]) -> str:
    """The output of an einsum equation that leaves it implicit."""
    letters = "".join(inputs).replace("...", "")
    once = sorted(c for c in set(letters) if letters.count(c) == 1)
    return ("..." if any("..." in part for part in inputs) else "") + "".join(once)


@rule("einsum")
def einsum(equation: Any, *operands: Any) -> Any:
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    jets = [i for i, x in enumerate(operands) if isinstance(x, Jet)]
    if not isinstance(equation, str) or len(jets) > 2:
        from sdewm.jets.fallback import nested

        return nested(torch.einsum, (equation, *operands), {})
    space = space_of(*operands)
    left, arrow, right = equation.replace(" ", "").partition("->")
    parts = left.split(",")
    free = next(c for c in string.ascii_letters if c not in equation)
    for i in jets:
        parts[i] = free + parts[i]
    stacked = f"{','.join(parts)}->{free}{right if arrow else _output(left.split(','))}"

    def contract(*rows: Tensor) -> Tensor:
        plain = list(operands)
        for i, c in zip(jets, rows, strict=True):
            plain[i] = c
        return torch.einsum(stacked, *plain)

    coefficients = [operands[i].coefficients for i in jets]
    if len(jets) == 1:
        return Jet(contract(*coefficients), space)
    first, second = coefficients
    return product(space, first, second, contract)


# convolutions


def _convolution(name: str, spatial: int) -> None:
    plain = getattr(F, name)

    def convolve(input: Any, weight: Any, bias: Any = None, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(input, Jet) and not isinstance(weight, Jet):
            out = plain(input, weight, None, *args, **kwargs)
        elif isinstance(weight, Jet) or not isinstance(input, Jet):
            out = bilinear(lambda x, w: plain(x, w, None, *args, **kwargs), input, weight)
        else:
            c = input.coefficients
            batch = c.shape[: c.ndim - spatial - 1]  # coefficients, and images if they have an axis
            y = plain(c.reshape(-1, *c.shape[c.ndim - spatial - 1 :]), weight, None, *args, **kwargs)
            out = Jet(y.reshape(*batch, *y.shape[1:]), input.space)
        if bias is None:
            return out
        bias = bias.reshape(-1, *(1,) * spatial)
        if isinstance(bias, Jet):
            return out + bias
        out.coefficients[0].add_(bias)
        return out

    rule(name)(convolve)


for _spatial in (1, 2, 3):
    _convolution(f"conv{_spatial}d", _spatial)
    _convolution(f"conv_transpose{_spatial}d", _spatial)


# normalisation


def _normalise(x: Any, dim: Any, eps: float) -> Any:
    centred = x - x.mean(dim, keepdim=True)
    return centred * (centred.square().sum(dim, keepdim=True) / count(x, dim) + eps).rsqrt()


def _affine(x: Any, weight: Any, bias: Any) -> Any:
    if weight is not None:
        x = x * weight
    return x if bias is None else x + bias


@rule("layer_norm")
def layer_norm(input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    return _affine(_normalise(input, tuple(range(-len(normalized_shape), 0)), eps), weight, bias)


@rule("native_layer_norm")
def native_layer_norm(input: Any, normalized_shape: Any, weight: Any, bias: Any, eps: float) -> Any:
    dim = tuple(range(-len(normalized_shape), 0))
    mean = input.mean(dim, keepdim=True)
    scale = ((input - mean).square().mean(dim, keepdim=True) + eps).rsqrt()
    return _affine((input - mean) * scale, weight, bias), mean, scale


@rule("rms_norm")
def rms_norm(input: Any, normalized_shape: Any, weight: Any = None, eps: float | None = None) -> Any:
    dim = tuple(range(-len(normalized_shape), 0))
    scale = (input.square().mean(dim, keepdim=True) + (torch.finfo(input.dtype).eps if eps is None else eps)).rsqrt()
    return _affine(input * scale, weight, None)


def _per_channel(t: Any, ndim: int) -> Any:
    return None if t is None else t.reshape(-1, *(1,) * (ndim - 2))


@rule("group_norm")
def group_norm(input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    if not input.numel():
        return input.clone()
    grouped = input.reshape(input.shape[0], num_groups, -1)
    normal = _normalise(grouped, -1, eps).reshape(input.shape)
    return _affine(normal, _per_channel(weight, input.ndim), _per_channel(bias, input.ndim))


@rule("batch_norm")
def batch_norm(
    input: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    if training:
        from sdewm.jets.fallback import refuse

        refuse("batch_norm in training mode", "it couples the paths of a batch; call .eval() on the module")
    mean, var = (_per_channel(t, input.ndim) for t in (running_mean, running_var))
    return _affine(
        (input - mean) * (var + eps).rsqrt(), _per_channel(weight, input.ndim), _per_channel(bias, input.ndim)
    )


@rule("instance_norm")
def instance_norm(
    input: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    cudnn_enabled: bool = True,
) -> Any:
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    if running_mean is not None or running_var is not None:
        from sdewm.jets.fallback import refuse

        refuse("instance_norm in training mode", "it updates its running statistics; call .eval() on the module")
    normal = _normalise(input, tuple(range(2, input.ndim)), eps)
    return _affine(normal, _per_channel(weight, input.ndim), _per_channel(bias, input.ndim))


@rule("normalize")
def normalize(input: Any, p: float = 2.0, dim: Any = 1, eps: float = 1e-12) -> Any:
    return input / torch.linalg.vector_norm(input, p, dim, keepdim=True).clamp_min(eps).expand_as(input)


@rule(
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "alpha_dropout",
    "feature_dropout",
    "feature_alpha_dropout",
)
def dropout(input: Jet, p: float = 0.5, training: bool = True, train: bool = True) -> Jet:
    if training and train and p > 0:
        from sdewm.jets.fallback import refuse

        refuse("dropout in training mode", "call .eval() on the module, or draw the mask yourself and multiply")
    return input


# recurrent cells


@rule("gru_cell")
def gru_cell(input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Any:
    n = 2 * hx.shape[-1]
    x, h = F.linear(input, w_ih, b_ih), F.linear(hx, w_hh, b_hh)
    reset, update = torch.sigmoid(x[..., :n] + h[..., :n]).chunk(2, -1)
    new = torch.tanh(x[..., n:] + reset * h[..., n:])
    return new + update * (hx - new)


@rule("lstm_cell")
def lstm_cell(input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Any:
    h, c = hx
    gates = F.linear(input, w_ih, b_ih) + F.linear(h, w_hh, b_hh)
    i, f, g, o = gates.chunk(4, -1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


@rule("rnn_tanh_cell")
def rnn_tanh_cell(input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Any:
    return torch.tanh(F.linear(input, w_ih, b_ih) + F.linear(hx, w_hh, b_hh))


@rule("scaled_dot_product_attention")
def attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    if dropout_p:
        dropout(query, dropout_p)
    scores = query @ key.transpose(-2, -1) * (query.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attn_mask, -torch.inf)
    elif attn_mask is not None:
        scores = scores + attn_mask
    return torch.softmax(scores, -1) @ value
