"""Jet rules of all kinds, and modules made of them, against nested forward mode along random directions."""

from __future__ import annotations

import operator
from collections.abc import Callable
from itertools import accumulate
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from jet_oracle import F64, SPACE, V4, assert_is_jet_of, examples, mlp, random_jet, seeds, spaces
from torch import Tensor, nn

from sdewm.jets import JetSpace

M = torch.rand(3, 4, generator=torch.Generator().manual_seed(2)) > 0.5
# name: (function, shapes of its jets or tensors)
TABLE: dict[str, tuple[Callable[..., Any], list[tuple[int, ...]]]] = {
    "getitem int": (lambda x: x[1], [(3, 4)]),
    "getitem slice": (lambda x: x[..., 1:3], [(3, 4)]),
    "getitem none": (lambda x: x[:, None, 2], [(3, 4)]),
    "getitem tensor": (lambda x: x[:, torch.tensor([0, 2, 0])], [(3, 4)]),
    "getitem list": (lambda x: x[[2, 0]], [(3, 4)]),
    "getitem mask": (lambda x: x[M], [(3, 4)]),
    "getitem two tensors": (lambda x: x[torch.tensor([0, 1]), :, torch.tensor([1, 2])], [(2, 3, 4)]),
    "getitem bool": (lambda x: x[True], [(3,)]),
    "iterate": (lambda x: [row * row for row in x], [(3, 4)]),
    "cat": (lambda a, b: torch.cat([a, V4.expand(2, 4), b]), [(3, 4), (1, 4)]),
    "cat last": (lambda a, b: torch.cat((a, b), -1), [(3, 4), (3, 2)]),
    "stack": (lambda a, b: torch.stack([a, b, torch.ones(3, 4, dtype=F64)], -1), [(3, 4), (3, 4)]),
    "stack 1": (lambda a, b: torch.stack([a, b], 1), [(3,), (3,)]),
    "split": (lambda x: x.split(2, -1), [(3, 5)]),
    "torch.split": (lambda x: torch.split(x, [1, 4], dim=1), [(3, 5)]),
    "chunk": (lambda x: x.chunk(2, dim=1), [(3, 5)]),
    "torch.chunk": (lambda x: torch.chunk(x, 3), [(3, 5)]),
    "unbind": (lambda x: x.unbind(1), [(3, 4)]),
    "tensor_split": (lambda x: torch.tensor_split(x, 2, dim=-1), [(3, 5)]),
    "view": (lambda x: x.view(2, -1), [(3, 4)]),
    "view shape": (lambda x: x.view(torch.Size([4, 3])), [(3, 4)]),
    "view_as": (lambda x: x.view_as(torch.zeros(4, 3)), [(3, 4)]),
    "reshape": (lambda x: torch.reshape(x, (6, 2)), [(3, 4)]),
    "reshape method": (lambda x: x.T.reshape(-1), [(3, 4)]),
    "flatten": (lambda x: x.flatten(1), [(2, 3, 4)]),
    "flatten 0-d": (torch.flatten, [()]),
    "unflatten": (lambda x: x.unflatten(-1, (2, 2)), [(3, 4)]),
    "squeeze": (lambda x: x.squeeze(), [(1, 3, 1)]),
    "squeeze dim": (lambda x: x.squeeze(-1), [(1, 3, 1)]),
    "squeeze dims": (lambda x: torch.squeeze(x, (0, 1)), [(1, 3, 1)]),
    "unsqueeze": (lambda x: x.unsqueeze(0).unsqueeze(-1).unsqueeze(2), [(3, 4)]),
    "unsqueeze first": (lambda x: x.unsqueeze(-3), [(3, 4)]),
    "transpose": (lambda x: x.transpose(0, -1), [(2, 3, 4)]),
    "permute": (lambda x: x.permute(2, 0, -2), [(2, 3, 4)]),
    "permute tuple": (lambda x: torch.permute(x, (1, 0)), [(3, 4)]),
    "movedim": (lambda x: x.movedim(0, -1), [(2, 3, 4)]),
    "movedim tuples": (lambda x: x.movedim((0, 1), (2, 0)), [(2, 3, 4)]),
    "T": (lambda x: x.T, [(3, 4)]),
    "mT": (lambda x: x.mT, [(2, 3, 4)]),
    "t()": (lambda x: x.t(), [(3, 4)]),
    "expand": (lambda x: x.expand(2, -1, 4), [(3, 1)]),
    "expand_as": (lambda x: x.expand_as(torch.zeros(3, 4)), [(4,)]),
    "broadcast_to": (lambda x: torch.broadcast_to(x, (2, 3, 4)), [(4,)]),
    "repeat": (lambda x: x.repeat(2, 1, 3), [(3, 4)]),
    "repeat_interleave": (lambda x: x.repeat_interleave(2, dim=0), [(3, 4)]),
    "tile": (lambda x: torch.tile(x, (2,)), [(3, 4)]),
    "contiguous": (lambda x: x.T.contiguous(), [(3, 4)]),
    "clone": (lambda x: x.clone(), [(3, 4)]),
    "narrow": (lambda x: x.narrow(-1, 1, 2), [(3, 4)]),
    "select": (lambda x: x.select(1, 2), [(3, 4)]),
    "sum": (lambda x: x.sum(), [(3, 4)]),
    "sum dim": (lambda x: x.sum(-1, keepdim=True), [(3, 4)]),
    "sum dims": (lambda x: torch.sum(x, dim=(0, 2)), [(2, 3, 4)]),
    "sum 0-d": (lambda x: x.sum(), [()]),
    "mean": (lambda x: x.mean(), [(3, 4)]),
    "mean dim": (lambda x: x.mean(dim=0), [(3, 4)]),
    "var": (lambda x: x.var(), [(3, 4)]),
    "var dim": (lambda x: x.var(-1, unbiased=False), [(3, 4)]),
    "var correction": (lambda x: torch.var(x, dim=0, correction=0, keepdim=True), [(3, 4)]),
    "std": (lambda x: x.std(1), [(3, 4)]),
    "norm": (lambda x: x.norm(), [(3, 4)]),
    "norm dim": (lambda x: torch.norm(x, dim=1), [(3, 4)]),
    "norm p=3": (lambda x: x.norm(3, dim=1), [(3, 4)]),
    "linalg.norm": (lambda x: torch.linalg.norm(x), [(3, 4)]),
    "linalg.vector_norm": (lambda x: torch.linalg.vector_norm(x, dim=-1, keepdim=True), [(3, 4)]),
    "logsumexp": (lambda x: torch.logsumexp(x, -1), [(3, 4)]),
    "logsumexp keep": (lambda x: x.logsumexp(dim=0, keepdim=True), [(3, 4)]),
    "softmax": (lambda x: F.softmax(x, dim=-1), [(3, 4)]),
    "x.softmax": (lambda x: x.softmax(0), [(3, 4)]),
    "log_softmax": (lambda x: F.log_softmax(x, dim=0), [(3, 4)]),
    "prod": (lambda x: x.prod(-1), [(3, 4)]),
    "cumprod": (lambda x: x.cumprod(-1), [(3, 4)]),
    "cumsum": (lambda x: x.cumsum(-1), [(3, 4)]),
    "diff": (lambda x: torch.diff(x, dim=0), [(3, 4)]),
    "flip": (lambda x: x.flip(0), [(3, 4)]),
    "flip dims": (lambda x: torch.flip(x, (0, 1)), [(3, 4)]),
    "roll": (lambda x: x.roll(1, 1), [(3, 4)]),
    "tril": (torch.tril, [(3, 4)]),
    "diagonal": (lambda x: x.diagonal(), [(3, 4)]),
    "diag_embed": (torch.diag_embed, [(3, 4)]),
    "trace": (torch.trace, [(3, 3)]),
    "index_select": (lambda x: x.index_select(1, torch.tensor([2, 0])), [(3, 4)]),
    "gather": (lambda x: x.gather(1, torch.tensor([[1], [0], [3]])), [(3, 4)]),
    "masked_select": (lambda x: x.masked_select(M), [(3, 4)]),
    "masked_fill": (lambda x: x.masked_fill(M, 2.0), [(3, 4)]),
    "where scalar": (lambda x: torch.where(M, x, 0.5), [(3, 4)]),
    "where tensor": (lambda x: torch.where(M, V4, x), [(4,)]),
    "x.where": (lambda x: x.where(M, V4), [(3, 4)]),
    "index_add": (lambda a, b: a.index_add(0, torch.tensor([2, 0]), b), [(3, 4), (2, 4)]),
    "scatter_add": (lambda a, b: a.scatter_add(0, torch.tensor([[2, 0, 1, 1]]), b), [(3, 4), (1, 4)]),
    "pad": (lambda x: F.pad(x, (1, 2), value=3.0), [(3, 4)]),
    "max": (lambda x: x.max(), [(3, 4)]),
    "max dim": (lambda x: x.max(dim=1).values, [(3, 4)]),
    "amax": (lambda x: x.amax(0), [(3, 4)]),
    "sort": (lambda x: x.sort(dim=1).values, [(3, 4)]),
    "max_pool2d": (lambda x: F.max_pool2d(x, 2), [(2, 1, 4, 4)]),
    "matmul": (lambda a, b: a @ b, [(3, 4), (4, 5)]),
    "matmul vector": (lambda a, b: a @ b, [(3, 4), (4,)]),
    "vector matmul": (lambda a, b: a @ b, [(4,), (4, 5)]),
    "vector batch": (lambda a, b: a @ b, [(4,), (2, 4, 5)]),
    "vector vector": (lambda a, b: a @ b, [(4,), (4,)]),
    "dot": (torch.dot, [(4,), (4,)]),
    "matmul batch": (lambda a, b: torch.matmul(a, b), [(3, 4), (2, 1, 4, 5)]),
    "batch matmul": (lambda a, b: torch.matmul(a, b), [(2, 3, 4), (4, 5)]),
    "batch matmul vector": (lambda a, b: torch.matmul(a, b), [(2, 3, 4), (4,)]),
    "mm": (torch.mm, [(3, 4), (4, 5)]),
    "mv": (torch.mv, [(3, 4), (4,)]),
    "bmm": (torch.bmm, [(2, 3, 4), (2, 4, 5)]),
    "linear": (F.linear, [(3, 4), (5, 4), (5,)]),
    "linear no bias": (F.linear, [(4,), (5, 4)]),
    "addmm": (lambda a, b, c: torch.addmm(a, b, c, beta=0.5, alpha=2.0), [(5,), (3, 4), (4, 5)]),
    "baddbmm": (torch.baddbmm, [(2, 3, 5), (2, 3, 4), (2, 4, 5)]),
    "outer": (torch.outer, [(3,), (4,)]),
    "einsum 1": (lambda a: torch.einsum("ij->j", a), [(3, 4)]),
    "einsum implicit": (lambda a, b: torch.einsum("ij,jk", a, b), [(3, 4), (4, 5)]),
    "einsum ellipsis": (lambda a, b: torch.einsum("...i,ki->...k", a, b), [(2, 3, 4), (5, 4)]),
    "einsum batch": (lambda a, b: torch.einsum("bi,bi->b", a, b), [(3, 4), (3, 4)]),
    "einsum three": (lambda a, b, c: torch.einsum("ij,jk,k->i", a, b, c), [(3, 4), (4, 5), (5,)]),
    "bilinear by fallback": (F.bilinear, [(3, 2), (3, 4), (5, 2, 4)]),
    "conv1d": (F.conv1d, [(2, 3, 6), (4, 3, 2), (4,)]),
    "conv2d": (lambda x, w, b: F.conv2d(x, w, b, stride=2, padding=1), [(2, 3, 5, 5), (4, 3, 3, 3), (4,)]),
    "conv2d image": (lambda x, w: F.conv2d(x, w), [(3, 5, 5), (4, 3, 3, 3)]),
    "conv_transpose2d": (
        lambda x, w, b: F.conv_transpose2d(x, w, b, stride=2),
        [(2, 3, 3, 3), (3, 2, 2, 2), (2,)],
    ),
    "avg_pool2d": (lambda x: F.avg_pool2d(x, 2), [(2, 1, 4, 4)]),
    "interpolate nearest": (lambda x: F.interpolate(x, scale_factor=2), [(2, 1, 3, 3)]),
    "interpolate bilinear": (lambda x: F.interpolate(x, size=(5, 5), mode="bilinear"), [(2, 1, 3, 3)]),
    "layer_norm": (lambda x, w, b: F.layer_norm(x, (4,), w, b), [(3, 4), (4,), (4,)]),
    "layer_norm 2": (lambda x: F.layer_norm(x, (3, 4)), [(2, 3, 4)]),
    "group_norm": (lambda x, w, b: F.group_norm(x, 2, w, b), [(3, 4, 5), (4,), (4,)]),
    "batch_norm eval": (lambda x: F.batch_norm(x, V4, 2 * V4, V4, -V4), [(3, 4)]),
    "rms_norm": (lambda x: F.rms_norm(x, (4,)), [(3, 4)]),
    "normalize": (lambda x: F.normalize(x, dim=-1), [(3, 4)]),
    "dropout eval": (lambda x: F.dropout(x, 0.5, training=False), [(3, 4)]),
    "attention": (lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True), [(2, 3, 4)] * 3),
    "mse_loss": (lambda a, b: F.mse_loss(a, b), [(3, 4), (3, 4)]),
    "x.to": (lambda x: x.to(torch.float64).double(), [(3, 4)]),
    "x.type": (lambda x: x.type(torch.float64) * x.type("torch.DoubleTensor"), [(3, 4)]),
    "setitem": (lambda x: assign(torch.zeros_like(x), x), [(3, 4)]),
    "in place": (lambda x: x.clone().mul_(2.0).add_(x).tanh_(), [(3, 4)]),
    "augmented": (lambda x: augmented(x), [(3, 4)]),
}


def layer_norm(x: Tensor, axes: Any, w: Any = 1.0, b: Any = 0.0) -> Tensor:
    c = x - x.mean(axes, keepdim=True)
    return c / torch.sqrt((c * c).mean(axes, keepdim=True) + 1e-5) * w + b


REFERENCE = {
    # nested forward mode through torch's fused layer_norm gives a wrong second derivative (torch 2.13)
    "layer_norm": lambda x, w, b: layer_norm(x, -1, w, b),
    "layer_norm 2": lambda x: layer_norm(x, (-2, -1)),
    "max_pool2d": lambda x: x.reshape(2, 1, 2, 2, 2, 2).amax((3, 5)),
    # torch divides by factors that may be near zero
    "prod": lambda x: x[..., 0] * x[..., 1] * x[..., 2] * x[..., 3],
    "cumprod": lambda x: torch.stack(list(accumulate(x.unbind(-1), operator.mul)), -1),
    "attention": lambda q, k, v: (
        torch.softmax((q @ k.mT / 2.0).masked_fill(~torch.ones(3, 3, dtype=torch.bool).tril(), -torch.inf), -1) @ v
    ),
}


def assign(out: Tensor, x: Tensor) -> Tensor:
    out = out.clone()
    out[:, 0] = x[:, 1] * x[:, 2]
    out[1:, 2] = 3.0
    out[0, 1:3] = x[0, :2]
    out[..., 3] = torch.linspace(0, 1, 3, dtype=F64)
    return out


def augmented(x: Tensor) -> Tensor:
    y = x.clone()
    y += x
    y *= x
    y -= 1.5
    y[:, 0] += x[:, 1]
    y /= 2 + x * x
    return y


@pytest.mark.parametrize("name", TABLE)
@examples
@given(space=spaces, seed=seeds, data=st.data())
def test_operation(name: str, space: JetSpace, seed: int, data: st.DataObject) -> None:
    torch.manual_seed(seed)
    f, shapes = TABLE[name]
    args: list[Any] = [random_jet(space, shape) for shape in shapes]
    jets = data.draw(st.sets(st.integers(0, len(args) - 1), min_size=1), label="jets")
    args = [a if i in jets else a.value for i, a in enumerate(args)]
    assert_is_jet_of(f, args, REFERENCE.get(name))


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(4, 12)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, -1)
        weights = torch.softmax(torch.einsum("bid,bjd->bij", q, k) / 2, -1)
        return torch.einsum("bij,bjd->bid", weights, v)


class MyLayerNorm(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return layer_norm(x, -1)


ACTIVATIONS = [
    nn.Tanh(),
    nn.Sigmoid(),
    nn.Softplus(),
    nn.ELU(),
    nn.SiLU(),
    nn.GELU(),
    nn.GELU("tanh"),
    nn.ReLU(),
    nn.LogSigmoid(),
    nn.LeakyReLU(),
    nn.Hardtanh(),
    nn.Softmax(-1),
    nn.LogSoftmax(-1),
]
MODULES: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    **{f"MLP {a}": (mlp(a), (5, 4)) for a in ACTIVATIONS},
    "convolutional encoder": (
        nn.Sequential(nn.Conv2d(2, 3, 3, stride=2), nn.SiLU(), nn.Conv2d(3, 2, 2), nn.Flatten(), nn.Linear(8, 3)),
        (3, 2, 7, 7),
    ),
    "convolutional decoder": (
        nn.Sequential(
            nn.Linear(3, 8),
            nn.Unflatten(-1, (2, 2, 2)),
            nn.ConvTranspose2d(2, 3, 3, 2),
            nn.Tanh(),
            nn.ConvTranspose2d(3, 1, 2),
        ),
        (3, 3),
    ),
    "attention": (Attention(), (2, 3, 4)),
    "GroupNorm": (nn.Sequential(nn.Linear(4, 4), nn.GroupNorm(2, 4)), (3, 4)),
    "BatchNorm": (nn.BatchNorm1d(4).eval(), (3, 4)),
    "Dropout": (nn.Dropout(0.3).eval(), (3, 4)),
    "RNNCell": (nn.RNNCell(4, 3), (5, 4)),
}


@pytest.mark.parametrize("name", MODULES)
@examples
@given(space=st.sampled_from([JetSpace(2, 2), JetSpace(1, 3)]), seed=seeds)
def test_module(name: str, space: JetSpace, seed: int) -> None:
    torch.manual_seed(seed)
    module, shape = MODULES[name]
    assert_is_jet_of(module.double(), [random_jet(space, shape)])


def test_layer_norm_module() -> None:
    module = nn.LayerNorm(4).double()
    assert_is_jet_of(module, [random_jet(SPACE, (3, 4))], MyLayerNorm())


def gru_by_hand(x: Tensor, h: Tensor, w: nn.GRUCell) -> Tensor:
    a, b = F.linear(x, w.weight_ih, w.bias_ih).chunk(3, -1), F.linear(h, w.weight_hh, w.bias_hh).chunk(3, -1)
    r, z = torch.sigmoid(a[0] + b[0]), torch.sigmoid(a[1] + b[1])
    return (1 - z) * torch.tanh(a[2] + r * b[2]) + z * h


def lstm_by_hand(x: Tensor, h: Tensor, c: Tensor, w: nn.LSTMCell) -> tuple[Tensor, Tensor]:
    i, f, g, o = (F.linear(x, w.weight_ih, w.bias_ih) + F.linear(h, w.weight_hh, w.bias_hh)).chunk(4, -1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


@pytest.mark.parametrize("plain", [None, 0, 1])
@pytest.mark.parametrize("batch", [(), (5,)])
def test_recurrent_cells(plain: int | None, batch: tuple[int, ...]) -> None:
    args: list[Any] = [random_jet(SPACE, (*batch, n)) for n in (4, 3, 3)]
    if plain is not None:
        args[plain] = args[plain].value
    g, cell = nn.GRUCell(4, 3).double(), nn.LSTMCell(4, 3).double()
    assert_is_jet_of(g, args[:2], lambda x, h: gru_by_hand(x, h, g))
    assert_is_jet_of(lambda x, h, c: cell(x, (h, c)), args, lambda x, h, c: lstm_by_hand(x, h, c, cell))


def test_oracle_notices_a_dropped_product(monkeypatch: pytest.MonkeyPatch) -> None:
    complete = JetSpace.inner
    monkeypatch.setattr(JetSpace, "inner", lambda space, degree: complete(space, degree)[:-1])
    x = random_jet(SPACE, (3,))
    for f in (torch.square, torch.exp):
        with pytest.raises(AssertionError, match="degree 2"):
            assert_is_jet_of(f, [x])
