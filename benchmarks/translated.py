"""Coefficients that are written in torch, as functions of one state in numpy or in jax.numpy.

torch traces them to a list of its elementary operations; each has its like in numpy's language, which JAX speaks too.
So peers that take no torch get the same formulas, and no problem is written twice. An operation that is not in
:data:`OPERATIONS` is an error.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx

from sdewm.systems.calculus import Converted
from sdewm.systems.sde import SDE, diffusion_matrix, drift

OfTorch = Callable[[Tensor, Tensor], Tensor]
OfOneState = Callable[[Any, Any], Any]


def coefficients(sde: SDE, x0: Tensor, xp: types.ModuleType) -> tuple[OfOneState, OfOneState]:
    """Drift ``(t, x) -> (n,)`` and diffusion matrix ``(t, x) -> (n, m)`` of one state ``(n,)``, in ``xp``."""
    return translated(_drift(sde), x0, xp), translated(lambda t, x: diffusion_matrix(sde, t, x), x0, xp)


def _drift(sde: SDE) -> OfTorch:
    """The drift; of an SDE that was converted, with derivatives that torch traces through."""
    if not isinstance(sde, Converted):
        return lambda t, x: drift(sde, t, x)
    given, sign = sde.sde, sde.sign

    def corrected(t: Tensor, x: Tensor) -> Tensor:
        total, columns = drift(given, t, x), diffusion_matrix(given, t, x)
        for k in range(columns.shape[-1]):
            along = torch.func.jvp(lambda y, k=k: diffusion_matrix(given, t, y)[..., k], (x,), (columns[..., k],))[1]
            total = total + sign * along
        return total

    return corrected


def translated(function: OfTorch, x0: Tensor, xp: types.ModuleType) -> OfOneState:
    """``function`` of t and a batch of states, as a function of t and one state like ``x0`` ``(n,)`` in ``xp``."""

    def plain(t: Tensor, x: Tensor) -> Tensor:
        return torch.func.functionalize(function)(t, x)

    traced = make_fx(plain)(torch.zeros((), dtype=x0.dtype), x0[None].clone())
    traced.graph.eliminate_dead_code()
    steps = [(node.name, *_operation(node, traced, xp)) for node in traced.graph.nodes if node.op == "call_function"]
    constants = {
        node.name: xp.asarray(getattr(traced, str(node.target)).numpy())
        for node in traced.graph.nodes
        if node.op == "get_attr"
    }
    t_name, x_name = (node.name for node in traced.graph.nodes if node.op == "placeholder")
    [result] = next(iter(reversed(traced.graph.nodes))).args

    def of_one_state(t: Any, x: Any) -> Any:
        values = {**constants, t_name: xp.asarray(t, dtype="float64"), x_name: x[None]}
        for name, operation, args in steps:
            values[name] = operation(xp, *(_filled(arg, values) for arg in args))
        return values[result.name][0]

    return of_one_state


class _Of(str):
    """The name of another step's value, among arguments that are values themselves."""


def _operation(node: torch.fx.Node, traced: GraphModule, xp: types.ModuleType) -> tuple[Callable[..., Any], list[Any]]:
    name = node.target._schema.name.removeprefix("aten::")  # type: ignore[union-attr]
    if name not in OPERATIONS:
        raise NotImplementedError(f"coefficients: {name!r} has no translation in benchmarks/translated.py")
    return OPERATIONS[name], [_named(arg) for arg in node.args]


def _named(arg: Any) -> Any:
    if isinstance(arg, list | tuple):
        return [_named(one) for one in arg]
    return _Of(arg.name) if isinstance(arg, torch.fx.Node) else arg


def _filled(arg: Any, values: dict[str, Any]) -> Any:
    if isinstance(arg, _Of):
        return values[arg]
    return [_filled(one, values) for one in arg] if isinstance(arg, list) else arg


def _expanded(xp: types.ModuleType, x: Any, shape: list[int]) -> Any:
    lead = len(shape) - x.ndim
    return xp.broadcast_to(x, [x.shape[i - lead] if size == -1 else size for i, size in enumerate(shape)])


def _diagonal(xp: types.ModuleType, x: Any, *_: int) -> Any:
    return x[..., None] * xp.eye(x.shape[-1])


# Each takes numpy or jax.numpy, and then what torch's operation takes by position.
OPERATIONS: dict[str, Callable[..., Any]] = {
    **{name: lambda xp, x, name=name: getattr(xp, name)(x) for name in ("abs", "cos", "cosh", "exp", "sin", "sqrt")},
    **{name: lambda xp, x, name=name: getattr(xp, name)(x) for name in ("ones_like", "tanh", "zeros_like")},
    "_new_zeros_with_same_feature_meta": lambda xp, x, other: xp.zeros(other.shape),
    "_to_copy": lambda xp, x: x,
    "add": lambda xp, x, y: x + y,
    "alias": lambda xp, x: x,
    "asinh": lambda xp, x: xp.arcsinh(x),
    "copy": lambda xp, x, source: xp.broadcast_to(source, x.shape),
    "diag_embed": _diagonal,
    "div": lambda xp, x, y: x / y,
    "expand": _expanded,
    "full_like": lambda xp, x, value: xp.full(x.shape, value),
    "mm": lambda xp, x, y: x @ y,
    "mul": lambda xp, x, y: x * y,
    "neg": lambda xp, x: -x,
    "pow": lambda xp, x, power: x**power,
    "reciprocal": lambda xp, x: 1 / x,
    "rsqrt": lambda xp, x: 1 / xp.sqrt(x),
    "rsub": lambda xp, x, y: y - x,
    "select": lambda xp, x, axis, i: x[(slice(None),) * (axis % x.ndim) + (i,)],
    "stack": lambda xp, parts, axis=0: xp.stack(parts, axis),
    "sub": lambda xp, x, y: x - y,
    "transpose": lambda xp, x, a, b: xp.swapaxes(x, a, b),
    "unsqueeze": lambda xp, x, axis: xp.expand_dims(x, axis),
    "zeros": lambda xp, shape: xp.zeros(shape),
}
