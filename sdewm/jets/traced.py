"""Compiled code of torch.jit on jets, by tracing it into its operations, each of which has its own rule.

torch's own derivatives through torch.jit are wrong from the first order on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.fx import Interpreter
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._pytree import tree_flatten, tree_unflatten

from sdewm.jets.jet import ANSWERS, RULES, Jet
from sdewm.jets.registry import functions

SCRIPTED = (torch.ScriptFunction, torch._C.ScriptMethod)
OPERATIONS = (torch._ops.OpOverload, torch._ops.OpOverloadPacket)
"""Functions of ``torch.ops``, as in the graphs that torch.func.linearize and torch.fx make."""


def _into(grad: Any, sizes: Any, index: Any) -> Any:
    """Zeros of these sizes with ``grad`` at an index: the derivative of reading that part."""
    whole = torch.zeros_like(grad.flatten()[:1]).expand(tuple(sizes)).clone()
    whole[index] = grad
    return whole


def _axis(sizes: Any, dim: int, index: Any) -> tuple[Any, ...]:
    return (*[slice(None)] * (dim % len(sizes)), index)


def _softplus_backward(grad: Any, x: Any, beta: float, threshold: float) -> Any:
    return torch.where(x * beta > threshold, grad, grad * torch.sigmoid(beta * x))


def _threshold_backward(grad: Any, x: Any, threshold: float) -> Any:
    return torch.where(x > threshold, grad, torch.zeros_like(grad))


# Operations of aten for which torch has no function of that name, mostly those of gradients.
INTERNAL: dict[str, Callable[..., Any]] = {
    "_unsafe_view": lambda x, sizes: x.reshape(sizes),
    "_reshape_alias": lambda x, sizes, strides: x.reshape(sizes),
    "alias": lambda x: x,
    "_softmax": lambda x, dim, half_to_float: torch.softmax(x, dim),
    "_log_softmax": lambda x, dim, half_to_float: torch.log_softmax(x, dim),
    "linalg_vector_norm": torch.linalg.vector_norm,
    "select_backward": lambda grad, sizes, dim, index: _into(grad, sizes, _axis(sizes, dim, index)),
    "slice_backward": lambda grad, sizes, dim, start, end, step: _into(
        grad, sizes, _axis(sizes, dim, slice(start, end, step))
    ),
    "sigmoid_backward": lambda grad, y: grad * y * (1 - y),
    "softplus_backward": _softplus_backward,
    "tanh_backward": lambda grad, y: grad * (1 - y * y),
    "threshold_backward": _threshold_backward,
}


class _OnJets(Interpreter):
    """Runs a graph of aten's operations on jets, each by the torch function with that name."""

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        if not any(isinstance(leaf, Jet) for leaf in tree_flatten((args, kwargs))[0]):
            return super().call_function(target, args, kwargs)
        return torch_function(target)(*args, **kwargs)


def torch_function(operation: Any) -> Callable[..., Any]:
    """The torch function for an operation of aten, preferably one with a rule."""
    name = operation._schema.name.split("::")[-1] if hasattr(operation, "_schema") else operation.__name__
    if name in INTERNAL:
        return INTERNAL[name]
    candidates = functions(name)
    return next((f for f in candidates if f in RULES), candidates[0] if candidates else operation)


ANSWERS["named"] = torch_function


def by_parts(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call ``func`` with jets, operation by operation. The values decide which branches are taken."""
    leaves, spec = tree_flatten((args, kwargs))
    tensors = [i for i, leaf in enumerate(leaves) if isinstance(leaf, Tensor)]

    def call(*given: Tensor) -> Any:
        plain = list(leaves)
        for i, tensor in zip(tensors, given, strict=True):
            plain[i] = tensor
        a, k = tree_unflatten(plain, spec)
        return func(*a, **k)

    values = [leaf.value if isinstance(leaf, Jet) else leaf for leaf in (leaves[i] for i in tensors)]
    graph = make_fx(call)(*(value.detach() for value in values))
    return _OnJets(graph).run(*(leaves[i] for i in tensors))
