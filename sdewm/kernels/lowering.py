"""From a step of torch's to a program: each operation of ATen on one path becomes rows.

The step is run once, on one path, so that a tensor ``(1, n)`` is n rows. Every tensor that it makes has a shadow, which
holds the numbers of its elements' rows: what moves elements or writes them into others is done to the shadows by the
same operation, and whoever shares memory shares it there too.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.weak import WeakIdKeyDictionary

from sdewm.kernels.program import BINARY, UNARY, Builder


class NotLowered(RuntimeError):
    """The step has an operation that the machine does not have; the message names it."""


# Operations that move elements, by ATen's names. Some share the memory of what they are given.
MOVES = {
    "alias", "as_strided", "cat", "clone", "constant_pad_nd", "detach", "diag_embed", "diagonal", "expand", "flip",
    "gather", "index", "index_select", "lift_fresh", "permute", "repeat", "roll", "scatter", "select", "slice", "split",
    "split_with_sizes", "squeeze", "stack", "t", "transpose", "tril", "triu", "unbind", "unfold", "unsqueeze", "view",
    "_unsafe_view", "_reshape_alias", "contiguous", "index_put", "index_copy", "unsafe_split", "select_backward",
    "slice_backward", "select_scatter", "slice_scatter", "diagonal_scatter", "diagonal_copy", "masked_scatter",
}  # fmt: skip
# Of these, what puts in zeros of its own.
WITH_ZEROS = {"constant_pad_nd", "diag_embed", "tril", "triu", "select_backward", "slice_backward"}
MADE = {
    "new_zeros", "new_ones", "new_full", "new_empty", "new_empty_strided", "zeros_like", "ones_like", "full_like",
    "empty_like",
}  # fmt: skip

# Numbers of one tensor of weights beyond which tracing takes minutes and gigabytes, and saves little: torch's own
# products of large matrices are nearly as fast.
LARGEST = 2**21


def lower(
    step: Callable[..., Tensor], example: Sequence[Tensor], inputs: Sequence[Tensor], builder: Builder
) -> tuple[Tensor, list[Tensor]]:
    """Write a step's rows into a builder.

    ``inputs`` are the numbers of the inputs' rows, int64 of the shapes of ``example``. Returns those of the result, and
    the tensors of weights, ``torch.nn.Parameter``, whose elements are scalars that a walk reads afresh.
    """
    shadows = _Shadows(builder, example[0].dtype)
    example = [one.clone() for one in example]
    for tensor, numbers in zip(example, inputs, strict=True):
        shadows.of[tensor] = numbers.clone()
    with torch.no_grad(), shadows, _Outward(shadows):
        out = step(*example)
    return shadows.numbers(out), shadows.weights


class _Shadows(TorchDispatchMode):
    """Runs operations, and does to their operands' shadows what they do."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Torch would load its compiler, which takes seconds, to keep it away from here."""
        return False

    def __init__(self, builder: Builder, dtype: torch.dtype) -> None:
        super().__init__()
        self.builder, self.dtype = builder, dtype
        self.of = WeakIdKeyDictionary()
        self.weights: list[Tensor] = []
        self._there = WeakIdKeyDictionary()  # shadows of tensors that were there before

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        plain = name.rstrip("_") if name.endswith("_") and not name.endswith("__") else name
        if name == "_local_scalar_dense":
            if not self.fixed(args[0]):
                raise NotLowered(
                    "a number that Python looks at, as in a branch or a loop: it differs from path to path"
                )
            return func(*args, **kwargs)
        if plain in MADE or not any(isinstance(a, Tensor) for a in _flat(args, kwargs)):
            return self._valued(func(*args, **kwargs))
        lowering = LOWERINGS.get(plain)
        if plain not in MOVES and lowering is None:
            if name == plain and all(
                self._fixed(self.numbers(x)) for x in _flat(args, kwargs) if isinstance(x, Tensor)
            ):
                return self._valued(func(*args, **kwargs))
            for instead in (func.decompose, _decompositions().get(func)):
                if instead is not None:
                    with self:
                        out = instead(*args, **kwargs)
                    if out is not NotImplemented:
                        return out
            raise NotLowered(f"aten.{name}")
        if plain in MOVES:
            shadow = self._moved(func, name, args, kwargs)
        else:
            assert lowering is not None
            shadow = lowering(self.builder, *self._shadowed(args), **self._shadowed(kwargs))
        out = func(*args, **kwargs)
        if name != plain:
            if args[0] not in self.of:
                raise NotLowered("a write into a tensor that was there before")
            if plain not in MOVES:
                self.of[args[0]].copy_(shadow)
            return out
        several = isinstance(out, list | tuple)
        for one, its in zip(out, shadow, strict=True) if several else ((out, shadow),):
            # Whole numbers that come of truth values are exact in any precision.
            cut = (plain == "_to_copy" and args[0].is_floating_point()) or plain.startswith("bitwise")
            other = one.dtype != self.dtype if one.is_floating_point() else cut and one.dtype != torch.bool
            if other and not self._fixed(its):
                raise NotLowered(f"aten.{name} in {one.dtype}, where states are {self.dtype}")
            self.of[one] = its
        return out

    def numbers(self, tensor: Tensor) -> Tensor:
        """A tensor's shadow: the numbers of its elements, int64 of its shape. One from outside gets its own here."""
        if tensor not in self.of:
            if tensor.numel() > LARGEST:
                raise NotLowered(f"a tensor {tuple(tensor.shape)}, with which torch is as fast")
            if isinstance(tensor, torch.nn.Parameter):
                places = [self.builder.weight(len(self.weights), i) for i in range(tensor.numel())]
                self.weights.append(tensor)
                return self._outside(torch.tensor(places, dtype=torch.int64).reshape(tensor.shape), tensor)
            return self._outside(self._constants(tensor), tensor)
        return self.of[tensor]

    def fixed(self, tensor: Tensor) -> bool:
        """Whether a tensor is the same whatever the state."""
        return self._fixed(self.numbers(tensor))

    def _fixed(self, numbers: Tensor) -> bool:
        """Whether all are constants, whatever the state."""
        return all(self.builder.known(n) is not None for n in numbers.flatten().tolist())

    def _outside(self, numbers: Tensor, tensor: Tensor) -> Tensor:
        return self._there.setdefault(tensor, numbers)

    def _constants(self, tensor: Tensor) -> Tensor:
        if tensor.is_complex():
            raise NotLowered("complex numbers")
        numbers = [self.builder.constant(float(v)) for v in tensor.flatten().tolist()]
        return torch.tensor(numbers, dtype=torch.int64).reshape(tensor.shape)

    def _valued(self, out: Any) -> Any:
        """What looks at no number of the step's has values of its own."""
        for one in _flat((out,), {}):
            if isinstance(one, Tensor):
                self.of[one] = self._constants(one)
        return out

    def _shadowed(self, value: Any) -> Any:
        return tree_map_only(Tensor, self.numbers, value)

    def _moved(self, func: Any, name: str, args: Any, kwargs: Any) -> Any:
        # What torch puts in as 0 shall be the number of the constant 0.
        shift = self.builder.zero if name in WITH_ZEROS else 0

        def moved(tensor: Tensor) -> Tensor:
            return self.numbers(tensor) - shift if shift else self.numbers(tensor)

        def beside(tensor: Tensor) -> Tensor:
            if tensor.is_floating_point():
                return moved(tensor)
            if not self.fixed(tensor):
                raise NotLowered(f"aten.{name} with an index that differs from path to path")
            return tensor

        rest = tree_map_only(Tensor, beside, (args[1:], kwargs))
        out = func(tree_map_only(Tensor, moved, args[0]), *rest[0], **rest[1])
        return tree_map_only(Tensor, lambda o: o + shift, out) if shift else out


class _Outward(TorchFunctionMode):
    """Refuses what hands a path's numbers to Python or numpy, which no operation of ATen's does."""

    def __init__(self, shadows: _Shadows) -> None:
        super().__init__()
        self.shadows = shadows

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name in ("numpy", "tolist", "__array__") and type(args[0]) is Tensor and not self.shadows.fixed(args[0]):
            raise NotLowered(f"numbers that leave torch by {name}: they differ from path to path")
        return func(*args, **(kwargs or {}))


@functools.cache
def _decompositions() -> dict[Any, Callable[..., Any]]:
    """What torch takes operations apart into; made when it is first asked for, which takes a second."""
    from torch._decomp import decomposition_table

    return dict(decomposition_table)


def _flat(args: Any, kwargs: Any) -> list[Any]:
    return torch.utils._pytree.tree_leaves((args, kwargs))


def _numbers(b: Builder, value: Any) -> Tensor:
    """A shadow as it is; a Python number, which is not rounded to the default dtype, as that of a constant."""
    return value if isinstance(value, Tensor) else torch.tensor(b.constant(float(value)))


def _each(builder: Builder, function: Callable[..., int], *operands: Any) -> Tensor:
    """Element by element, with broadcasting."""
    parts = torch.broadcast_tensors(*(_numbers(builder, o) for o in operands))
    made = [function(*one) for one in zip(*(p.flatten().tolist() for p in parts), strict=True)]
    return torch.tensor(made, dtype=torch.int64).reshape(parts[0].shape)


# -- lowerings, by ATen's names; in core ATen, so that what is not here has been taken apart before


def _unary(name: str) -> Callable[..., Tensor]:
    return lambda b, x: _each(b, lambda n: b.unary(name, n), x)


def _binary(name: str) -> Callable[..., Tensor]:
    return lambda b, x, y: _each(b, lambda m, n: b.binary(name, m, n), x, y)


def _scaled(name: str) -> Callable[..., Tensor]:
    """x ± alpha·y."""

    def lowering(b: Builder, x: Any, y: Any, *, alpha: float = 1) -> Tensor:
        factor = b.constant(alpha)
        return _each(b, lambda m, n: b.binary(name, m, b.binary("mul", factor, n)), x, y)

    return lowering


def _square(b: Builder, x: Any, exponent: Any) -> Tensor:
    """Powers with small whole exponents, ½ and −½ by products and roots, as torch takes them."""

    def power(n: int, e: int) -> int:
        value = b.known(e)
        if value is not None and value == int(value) and 1 <= abs(value) <= 4:
            found = n
            for _ in range(int(abs(value)) - 1):
                found = b.binary("mul", found, n)
            return found if value > 0 else b.binary("div", b.one, found)
        if value is not None and abs(value) == 0.5:
            root = b.unary("sqrt", n)
            return root if value > 0 else b.binary("div", b.one, root)
        return b.binary("pow", n, e)

    return _each(b, power, x, exponent)


def _matrix(b: Builder, x: Any, y: Any) -> Tensor:
    """Of matrices, or of batches of them."""
    left, right = _numbers(b, x), _numbers(b, y)
    if left.ndim == 3:
        return torch.stack([_matrix(b, one, other) for one, other in zip(left, right, strict=True)])
    columns = right.T.tolist()
    made = [[b.dot(row, column) for column in columns] for row in left.tolist()]
    return torch.tensor(made, dtype=torch.int64).reshape(left.shape[0], right.shape[1])


def _addmm(b: Builder, bias: Any, x: Any, y: Any, *, beta: float = 1, alpha: float = 1) -> Tensor:
    product = LOWERINGS["mul"](b, _matrix(b, x, y), alpha)
    return LOWERINGS["add"](b, product, LOWERINGS["mul"](b, bias, beta))


def _reduced(b: Builder, x: Any, dims: Any, keepdim: bool, of: Callable[[list[int]], int]) -> Tensor:
    numbers = _numbers(b, x)
    every = list(range(numbers.ndim))
    axes = (
        every
        if dims is None or dims == []
        else sorted(d % numbers.ndim for d in ([dims] if isinstance(dims, int) else dims))
    )
    rest = [d for d in every if d not in axes]
    table = numbers.permute([*rest, *axes]).reshape(math.prod(numbers.shape[d] for d in rest), -1)
    made = torch.tensor([of(row) for row in table.tolist()], dtype=torch.int64)
    shape = [1 if d in axes else numbers.shape[d] for d in every] if keepdim else [numbers.shape[d] for d in rest]
    return made.reshape(shape)


def _sum(b: Builder, x: Any, dims: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    return _reduced(b, x, dims, keepdim, b.total)


def _mean(b: Builder, x: Any, dims: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    return _reduced(b, x, dims, keepdim, lambda row: b.binary("div", b.total(row), b.constant(float(len(row)))))


def _variance(
    b: Builder, x: Any, dims: Any = None, unbiased: bool = True, keepdim: bool = False, *, correction: Any = None
) -> Tensor:
    correction = float(unbiased) if correction is None else correction
    centred = LOWERINGS["sub"](b, x, _mean(b, x, dims, keepdim=True))
    count = _numbers(b, x).numel() / max(1, _mean(b, x, dims).numel())
    return _binary("div")(b, _sum(b, _binary("mul")(b, centred, centred), dims, keepdim), count - correction)


def _layer_norm(b: Builder, x: Any, shape: Any, weight: Any, bias: Any, eps: float) -> list[Tensor]:
    dims = [-1 - i for i in range(len(shape))]
    mean = _mean(b, x, dims, keepdim=True)
    spread = LOWERINGS["add"](b, _variance(b, x, dims, False, keepdim=True), eps)
    scale = LOWERINGS["rsqrt"](b, spread)
    out = _binary("mul")(b, LOWERINGS["sub"](b, x, mean), scale)
    out = out if weight is None else _binary("mul")(b, out, weight)
    return [out if bias is None else LOWERINGS["add"](b, out, bias), mean, scale]


def _folded(name: str) -> Callable[..., Tensor]:
    """A maximum or minimum over axes."""

    def lowering(b: Builder, x: Any, dims: Any = None, keepdim: bool = False) -> Tensor:
        def fold(row: list[int]) -> int:
            found = row[0]
            for n in row[1:]:
                found = b.binary(name, found, n)
            return found

        return _reduced(b, x, dims, keepdim, fold)

    return lowering


def _any(b: Builder, x: Any, dims: Any = None, keepdim: bool = False) -> Tensor:
    return _folded("maximum")(b, _binary("ne")(b, x, 0.0), dims, keepdim)


def _cumsum(b: Builder, x: Any, dim: int, *, dtype: Any = None) -> Tensor:
    parts = list(_numbers(b, x).unbind(dim))
    for i in range(1, len(parts)):
        parts[i] = LOWERINGS["add"](b, parts[i - 1], parts[i])
    return torch.stack(parts, dim)


def _clamp(b: Builder, x: Any, least: Any = None, most: Any = None) -> Tensor:
    out = _numbers(b, x)
    if least is not None:
        out = _binary("maximum")(b, out, least)
    return out if most is None else _binary("minimum")(b, out, most)


def _sign(b: Builder, x: Any) -> Tensor:
    return LOWERINGS["sub"](b, _binary("gt")(b, x, 0.0), _binary("lt")(b, x, 0.0))


def _not(b: Builder, x: Any) -> Tensor:
    return _binary("eq")(b, x, 0.0)


def _true(b: Builder, x: Any) -> Tensor:
    """1 where a number is not 0, as any such one is true."""
    return _binary("ne")(b, x, 0.0)


def _converted(b: Builder, x: Any, *, dtype: Any = None, **kwargs: Any) -> Tensor:
    return _true(b, x) if dtype == torch.bool else _numbers(b, x)


LOWERINGS: dict[str, Callable[..., Any]] = {
    **{name: _unary(name) for name in UNARY},
    **{name: _binary(name) for name in BINARY},
    "add": _scaled("add"),
    "sub": _scaled("sub"),
    "rsub": lambda b, x, y, *, alpha=1: LOWERINGS["sub"](b, y, x, alpha=alpha),
    "reciprocal": lambda b, x: _binary("div")(b, 1.0, x),
    "rsqrt": lambda b, x: _binary("div")(b, 1.0, _unary("sqrt")(b, x)),
    "square": lambda b, x: _binary("mul")(b, x, x),
    "pow": _square,
    "relu": lambda b, x: _binary("maximum")(b, x, 0.0),
    "clamp": _clamp,
    "sign": _sign,
    "sgn": _sign,
    "where": lambda b, c, x, y: _each(b, b.where, c, x, y),
    "mm": _matrix,
    "bmm": _matrix,
    "addmm": _addmm,
    "addcdiv": lambda b, x, y, z, *, value=1: LOWERINGS["add"](b, x, _binary("div")(b, y, z), alpha=value),
    "addcmul": lambda b, x, y, z, *, value=1: LOWERINGS["add"](b, x, LOWERINGS["mul"](b, y, z), alpha=value),
    "sum": _sum,
    "mean": _mean,
    "var": _variance,
    "native_layer_norm": _layer_norm,
    "amax": _folded("maximum"),
    "amin": _folded("minimum"),
    "any": _any,
    "cumsum": _cumsum,
    "logical_not": _not,
    "bitwise_not": _not,  # of truth values alone: whole numbers do not become rows
    "logical_and": lambda b, x, y: _binary("mul")(b, _true(b, x), _true(b, y)),
    "bitwise_and": _binary("mul"),
    "logical_or": lambda b, x, y: _binary("maximum")(b, _true(b, x), _true(b, y)),
    "bitwise_or": _binary("maximum"),
    "copy": lambda b, x, y, non_blocking=False: _numbers(b, y).expand(_numbers(b, x).shape),
    "_to_copy": _converted,
    "scalar_tensor": lambda b, x, **kwargs: _numbers(b, x),
}  # fmt: skip
