"""Shapes, indexing, joining, reductions and the questions that a jet answers like its value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sdewm.jets.jet import RULES, Jet, constant, value_of
from sdewm.jets.registry import (
    functions,
    in_place,
    lift,
    property_rule,
    register,
    rule,
    space_of,
    stacked,
    warn_nonsmooth,
)
from sdewm.jets.slopes import look_at_choice
from sdewm.jets.space import JetSpace


def axis(dim: int, ndim: int) -> int:
    """Axis of the stacked coefficients for axis `dim` of a value with `ndim` axes."""
    if not -ndim <= dim < max(ndim, 1):
        raise IndexError(f"dimension out of range: {dim} for a jet with {ndim} axes")
    return dim + 1 if dim >= 0 else dim


def axes(dim: Any, ndim: int) -> tuple[int, ...]:
    """Axes of the stacked coefficients for one axis, several, or all (None)."""
    if dim is None or (not isinstance(dim, int) and len(dim) == 0):
        return tuple(range(1, ndim + 1))
    return (axis(dim, ndim),) if isinstance(dim, int) else tuple(axis(d, ndim) for d in dim)


def _shape(args: tuple[Any, ...]) -> tuple[int, ...]:
    """Sizes given as one sequence or one by one."""
    return tuple(args[0]) if len(args) == 1 and not isinstance(args[0], int) else args


# questions about the value


def _on_value(func: Callable[..., Any]) -> Callable[..., Any]:
    def ask(*args: Any, **kwargs: Any) -> Any:
        return func(*(a.value if isinstance(a, Jet) else a for a in args), **kwargs)

    return ask


for _name in (
    "size",
    "dim",
    "ndimension",
    "numel",
    "nelement",
    "element_size",
    "stride",
    "is_contiguous",
    "get_device",
    "is_floating_point",
    "is_complex",
    "is_conj",
    "is_neg",
    "is_inference",
    "is_signed",
    "is_same_size",
    "type",
    "result_type",
    "__len__",
    "is_pinned",
    "is_shared",
):
    for _func in functions(_name):
        RULES[_func] = _on_value(_func)
for _name in (
    "dtype",
    "device",
    "ndim",
    "layout",
    "is_cuda",
    "is_cpu",
    "is_mps",
    "is_meta",
    "is_sparse",
    "is_sparse_csr",
    "is_quantized",
    "is_nested",
    "is_mkldnn",
    "is_xla",
    "is_xpu",
    "itemsize",
    "nbytes",
):
    property_rule(_on_value(getattr(Tensor, _name).__get__), _name)
property_rule(lambda x: x.coefficients.shape[1:], "shape")
property_rule(lambda x: x.coefficients.requires_grad, "requires_grad")
property_rule(lambda x: x.coefficients.is_leaf, "is_leaf")
property_rule(lambda x: x.coefficients.grad_fn, "grad_fn")
property_rule(lambda x: None, "grad")
RULES[Tensor.__format__] = lambda x, spec="": format(repr(x), spec)


def _like(func: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def make(input: Jet, *args: Any, **kwargs: Any) -> Tensor:
        made = func(input.value, *args, **kwargs)
        return constant(made, input.space) if made.is_floating_point() else made

    return make


for _name in (
    "zeros_like",
    "ones_like",
    "empty_like",
    "full_like",
    "rand_like",
    "randn_like",
    "randint_like",
    "new_zeros",
    "new_ones",
    "new_empty",
    "new_full",
):
    for _func in functions(_name):
        RULES[_func] = _like(_func)
RULES[Tensor.new_tensor] = lambda input, *args, **kwargs: input.value.new_tensor(*args, **kwargs)


# indexing


def _stacked_index(index: Any) -> tuple[Any, ...] | None:
    """The index that acts alike on every coefficient, or None where advanced indexing would reorder axes."""
    parts = index if isinstance(index, tuple) else (index,)
    advanced = [p for p in parts if isinstance(p, (Tensor, Sequence, bool)) or hasattr(p, "__array__")]
    if len(advanced) > 1 or any(isinstance(p, bool) for p in advanced):
        return None
    return (slice(None), *parts)


@rule("__getitem__")
def getitem(input: Any, index: Any) -> Jet:
    if not isinstance(input, Jet):
        from sdewm.jets.fallback import refuse

        refuse("indexing with a jet", "an index is discrete; use index.long(), or sdewm.value_of(index)")
    everywhere = _stacked_index(index)
    if everywhere is None:
        return stacked(input, lambda row: row[index])
    return Jet(input.coefficients[everywhere], input.space)


@rule("__setitem__")
def setitem(input: Any, index: Any, value: Any) -> None:
    if not isinstance(input, Jet):
        raise TypeError(
            "storing a jet into a plain tensor would lose its coefficients; build the result with "
            "torch.stack or torch.cat, or create the target with zeros_like(jet)"
        )
    c = input.coefficients
    if isinstance(value, Jet):
        space_of(input, value)
        for row, new in zip(c, value.coefficients, strict=True):
            row[index] = new
    else:
        c[0][index] = value
        for row in c[1:]:
            row[index] = 0


# one call on all coefficients


def _direct(name: str) -> None:
    """Functions that mean the same on the stacked coefficients."""
    method = getattr(Tensor, name)

    def apply(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        # How memory is laid out changes no number.
        plain = [value_of(a) if isinstance(a, Tensor) else a for a in args if not isinstance(a, torch.memory_format)]
        kwargs.pop("memory_format", None)
        kwargs = {key: value_of(x) if isinstance(x, Tensor) else x for key, x in kwargs.items()}
        if not isinstance(input, Jet):
            return method(input, *plain, **kwargs)
        c = method(input.coefficients, *plain, **kwargs)
        if c.is_floating_point() or c.is_complex():
            return Jet(c, input.space)
        warn_nonsmooth(name)  # whole numbers and truth values have no derivatives
        return c[0]

    register(apply, name)


for _name in (
    "to",
    "double",
    "float",
    "half",
    "bfloat16",
    "cpu",
    "cuda",
    "type_as",
    "detach",
    "requires_grad_",
):
    _direct(_name)


@rule("clone", "contiguous")
def clone(input: Jet, *, memory_format: Any = None) -> Jet:
    return Jet(input.coefficients.clone(), input.space)


RULES[Tensor.contiguous] = lambda input, memory_format=None: Jet(input.coefficients.contiguous(), input.space)
property_rule(lambda x: Jet(x.coefficients.data, x.space), "data")
property_rule(lambda x: Jet(x.coefficients.mT, x.space), "mT")
property_rule(lambda x: Jet(x.coefficients.mH, x.space), "mH")
property_rule(torch.real, "real")
property_rule(torch.imag, "imag")
property_rule(lambda x: permute(x, *reversed(range(x.ndim))), "T")
property_rule(lambda x: adjoint(x), "H")


def _sized(name: str) -> None:
    def apply(input: Jet, *shape: Any, **kwargs: Any) -> Jet:
        c = input.coefficients
        sizes = _shape(shape or tuple(kwargs.values()))
        return Jet(getattr(c, name)(c.shape[0], *sizes), input.space)

    register(apply, name)


_sized("reshape")


@rule("view")
def view(input: Jet, *shape: Any, **kwargs: Any) -> Jet:
    sizes = shape or tuple(kwargs.values())
    if isinstance(sizes[0], torch.dtype):
        from sdewm.jets.fallback import refuse

        refuse("view(dtype)", "it reinterprets bits; use .to(dtype)")
    return Jet(input.coefficients.view(input.coefficients.shape[0], *_shape(sizes)), input.space)


@rule("view_as", "reshape_as")
def view_as(input: Any, other: Tensor) -> Any:
    return input.reshape(other.shape)


@rule("expand", "broadcast_to")
def expand(input: Jet, *shape: Any) -> Jet:
    sizes = _shape(shape)
    return Jet(lift(input.coefficients, len(sizes)).expand(-1, *sizes), input.space)


@rule("expand_as")
def expand_as(input: Any, other: Tensor) -> Any:
    return input.expand(other.shape)


@rule("permute")
def permute(input: Jet, *dims: Any) -> Jet:
    order = [d % max(input.ndim, 1) + 1 for d in _shape(dims)]
    return Jet(input.coefficients.permute(0, *order), input.space)


@rule("transpose", "swapaxes", "swapdims")
def transpose(input: Jet, dim0: int, dim1: int) -> Jet:
    c, n = input.coefficients, input.ndim
    return Jet(c.transpose(axis(dim0, n), axis(dim1, n)) if n else c, input.space)


@rule("t")
def t(input: Jet) -> Jet:
    return transpose(input, -2, -1) if input.ndim > 1 else input


@rule("adjoint")
def adjoint(input: Jet) -> Jet:
    return Jet(input.coefficients.mH if input.ndim > 1 else input.coefficients.conj(), input.space)


@rule("movedim", "moveaxis")
def movedim(input: Jet, source: Any, destination: Any) -> Jet:
    n = input.ndim
    return Jet(input.coefficients.movedim(axes(source, n), axes(destination, n)), input.space)


@rule("flatten")
def flatten(input: Jet, start_dim: int = 0, end_dim: int = -1) -> Jet:
    c, n = input.coefficients, input.ndim
    if n == 0:
        return Jet(c.unsqueeze(1), input.space)
    return Jet(c.flatten(axis(start_dim, n), axis(end_dim, n)), input.space)


@rule("unflatten")
def unflatten(input: Jet, dim: int, sizes: Any) -> Jet:
    return Jet(input.coefficients.unflatten(axis(dim, input.ndim), sizes), input.space)


@rule("ravel")
def ravel(input: Jet) -> Jet:
    return flatten(input)


@rule("unsqueeze")
def unsqueeze(input: Jet, dim: int) -> Jet:
    return Jet(input.coefficients.unsqueeze(axis(dim, input.ndim + 1)), input.space)


@rule("squeeze")
def squeeze(input: Jet, dim: Any = None) -> Jet:
    c = input.coefficients
    if dim is None:
        dims = [d for d in range(1, c.ndim) if c.shape[d] == 1]
    else:
        dims = list(axes(dim, input.ndim)) if input.ndim and dim != () else []
    return Jet(c.squeeze(dims) if dims else c, input.space)


@rule("diagonal")
def diagonal(input: Jet, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Jet:
    n = input.ndim
    return Jet(input.coefficients.diagonal(offset, axis(dim1, n), axis(dim2, n)), input.space)


@rule("linalg_diagonal")
def linalg_diagonal(A: Jet, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Jet:
    return diagonal(A, offset, dim1, dim2)


RULES[torch.linalg.diagonal] = linalg_diagonal


@rule("narrow")
def narrow(input: Jet, dim: int, start: int, length: int) -> Jet:
    return Jet(input.coefficients.narrow(axis(dim, input.ndim), start, length), input.space)


@rule("select")
def select(input: Jet, dim: int, index: int) -> Jet:
    return Jet(input.coefficients.select(axis(dim, input.ndim), index), input.space)


def _parts(name: str, size_name: str | None) -> None:
    """split and its relatives: tuples of jets."""
    method = getattr(Tensor, name)

    def apply(input: Jet, *args: Any, dim: int = 0, **kwargs: Any) -> tuple[Jet, ...]:
        if len(args) > (size_name is not None):
            *args, dim = args  # type: ignore[assignment]
        sizes = [*args, *kwargs.values()]
        pieces = method(input.coefficients, *sizes, dim=axis(dim, input.ndim))
        return tuple(Jet(piece, input.space) for piece in pieces)

    register(apply, name)


_parts("split", "split_size")
_parts("split_with_sizes", "split_sizes")
_parts("chunk", "chunks")
_parts("tensor_split", "indices_or_sections")
_parts("unbind", None)


@rule("cat", "concat", "concatenate")
def cat(tensors: Sequence[Tensor], dim: int = 0) -> Jet:
    space = space_of(*tensors)
    joined = [x for x in tensors if x.shape != (0,)] or tensors[:1]  # torch takes these beside any other shape
    return Jet(torch.cat(_rows(joined, space), dim=axis(dim, joined[0].ndim)), space)


@rule("stack")
def stack(tensors: Sequence[Tensor], dim: int = 0) -> Jet:
    space = space_of(*tensors)
    return Jet(torch.stack(_rows(tensors, space), dim=axis(dim, tensors[0].ndim + 1)), space)


def _rows(tensors: Sequence[Tensor], space: JetSpace) -> list[Tensor]:
    jets = [x if isinstance(x, Jet) else constant(x, space) for x in tensors]
    return [x.coefficients for x in jets]


# reductions


@rule("sum")
def sum(input: Jet, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Jet:
    c = input.coefficients
    dims = axes(dim, input.ndim) if input.ndim else ()
    return Jet(c.sum(dims, keepdim=keepdim, dtype=dtype) if dims else c.to(dtype or c.dtype), input.space)


@rule("mean")
def mean(input: Jet, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Jet:
    c = input.coefficients
    dims = axes(dim, input.ndim) if input.ndim else ()
    return Jet(c.mean(dims, keepdim=keepdim, dtype=dtype) if dims else c.to(dtype or c.dtype), input.space)


@rule("nansum")
def nansum(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """What is not a number is left out with all of its derivatives, whether those are numbers or not."""
    kept = Jet(input.coefficients.masked_fill(input.value.isnan(), 0.0), input.space)
    return kept.sum(dim, keepdim=keepdim, dtype=dtype)


@rule("logsumexp")
def logsumexp(input: Any, dim: Any, keepdim: bool = False) -> Any:
    look_at_choice("logsumexp", input, dim)
    top = torch.amax(input.value, dim, keepdim=True)
    total = (input - top).exp().sum(dim, keepdim=keepdim).log()
    return total + top.reshape(total.shape)


@rule("logaddexp")
def logaddexp(input: Any, other: Any) -> Any:
    return torch.logsumexp(torch.stack(torch.broadcast_tensors(input, other)), 0)


@rule("softmax")
def softmax(input: Any, dim: Any = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    if dtype is not None:
        input = input.to(dtype)
    if not input.numel():
        return input.clone()
    look_at_choice("softmax", input, dim)
    e = (input - torch.amax(input.value, dim, keepdim=True)).exp()
    return e / e.sum(dim, keepdim=True)


@rule("log_softmax")
def log_softmax(input: Any, dim: Any = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    if dtype is not None:
        input = input.to(dtype)
    if not input.numel():
        return input.clone()
    look_at_choice("log_softmax", input, dim)
    shifted = input - torch.amax(input.value, dim, keepdim=True)
    return shifted - shifted.exp().sum(dim, keepdim=True).log()


def _extreme(name: str, better: Callable[..., Any]) -> None:
    def extreme(input: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
        if isinstance(dim, Tensor) or other is not None:
            return getattr(torch, name + "imum")(input, other if other is not None else dim)
        warn_nonsmooth(name)
        if dim is None:
            return input.flatten()[getattr(torch, "arg" + name)(input.value)]
        if input.ndim == 0:
            return extreme(input.unsqueeze(0), dim)
        value = getattr(torch, name)(input.value, dim, keepdim=True)
        picked = torch.take_along_dim(input, value.indices, dim)
        indices = value.indices if keepdim else value.indices.squeeze(dim)
        return better((picked if keepdim else picked.squeeze(dim), indices))

    register(extreme, name)


_extreme("max", torch.return_types.max)
_extreme("min", torch.return_types.min)


# linear in all jets together


def _linear(name: str, *values: str, names: str) -> None:
    """A function that is linear in its arguments `values` together: every coefficient goes by itself."""
    parameters = names.split()
    first = functions(name)

    def apply_to(func: Callable[..., Any]) -> Callable[..., Any]:
        def apply(*args: Any, **kwargs: Any) -> Any:
            given = dict(zip(parameters, args, strict=False)) | kwargs
            extra = args[len(parameters) :]
            space = space_of(*(given.get(v) for v in values))
            rows = []
            for k in range(len(space)):
                row = {n: _row(v, k) if n in values else v for n, v in given.items()}
                positional = [row.pop(n) for n in parameters[: len(args)]]
                rows.append(func(*positional, *extra, **row))
            return Jet(torch.stack(rows), space)

        return apply

    for func in first:
        RULES[func] = apply_to(func)
    for place in (Tensor, torch):
        update = getattr(place, name + "_", None)
        if update is not None:
            RULES[update] = in_place(apply_to(first[0]), name + "_")


def _row(x: Any, k: int) -> Any:
    """Coefficient k of an argument; those of a constant vanish."""
    if isinstance(x, Jet):
        return x.coefficients[k]
    if k == 0 or x is None:
        return x
    return torch.zeros_like(x) if isinstance(x, Tensor) else 0.0


for _name in (
    "repeat",
    "tile",
    "repeat_interleave",
    "roll",
    "flip",
    "fliplr",
    "flipud",
    "rot90",
    "cumsum",
    "gather",
    "index_select",
    "take_along_dim",
    "take",
    "masked_select",
    "tril",
    "triu",
    "diag",
    "diag_embed",
    "diagflat",
    "trace",
    "unfold",
    "pixel_shuffle",
    "pixel_unshuffle",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "fold",
    "squeeze_copy",
    "channel_shuffle",
    "unfold_copy",
):
    if any(hasattr(place, _name) for place in (torch, Tensor, F)):
        _linear(_name, "input", names="input")
del RULES[Tensor.unfold]  # a view, not F.unfold
_linear("diff", "input", "prepend", "append", names="input n dim prepend append")
_linear("where", "input", "other", names="condition input other")
_linear("masked_fill", "input", "value", names="input mask value")
_linear("masked_scatter", "input", "source", names="input mask source")
_linear("index_add", "input", "source", names="input dim index source")
_linear("index_copy", "input", "source", names="input dim index source")
_linear("index_fill", "input", "value", names="input dim index value")
_linear("scatter_add", "input", "src", names="input dim index src")
_linear("select_scatter", "input", "src", names="input src dim index")
_linear("slice_scatter", "input", "src", names="input src dim start end step")


def _tensor_where(input: Any, condition: Any, other: Any) -> Any:
    return torch.where(condition, input, other)


RULES[Tensor.where] = _tensor_where


@rule("interpolate")
def interpolate(
    input: Jet, size: Any = None, scale_factor: Any = None, mode: str = "nearest", *args: Any, **kwargs: Any
) -> Jet:
    return stacked(input, lambda row: F.interpolate(row, size, scale_factor, mode, *args, **kwargs))


@rule("pad")
def pad(input: Jet, pad: Any, mode: str = "constant", value: Any = None) -> Jet:
    rows = input.coefficients
    if mode != "constant":
        return stacked(input, lambda row: F.pad(row, pad, mode))
    head = F.pad(rows[0], pad, mode, value)
    return Jet(torch.cat([head[None], F.pad(rows[1:], pad)]), input.space)


# in-place writes that are not an operation on the old value


def _zero(input: Jet) -> Jet:
    input.coefficients.zero_()
    return input


def _copy(input: Any, src: Any, non_blocking: bool = False) -> Any:
    setitem(input, ..., src)
    return input


RULES[Tensor.zero_] = _zero
RULES[Tensor.fill_] = _copy
RULES[Tensor.copy_] = _copy
