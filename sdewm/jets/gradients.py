"""Gradients of jets: ∇U of a potential, as jets of the same order.

The coefficients of U are functions of those of x, and ∂U_α/∂x_β = (∂U)_{α−β}: a reverse pass through the arithmetic
of a coefficient of top degree gives all coefficients of the gradient that lie below it. One parameter has one such
coefficient; several parameters need one pass for each coefficient of top degree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sdewm.jets.jet import RULES, Jet, constant
from sdewm.jets.registry import space_of, unwrapped
from sdewm.jets.space import JetSpace, MultiIndex

Pullback = Callable[[Tensor], Sequence[Tensor | None]]


def gradient(
    potential: Callable[[Float[Tensor, "paths n"]], Float[Tensor, " paths"]],
) -> Callable[[Float[Tensor, "paths n"]], Float[Tensor, "paths n"]]:
    """x -> ∇U(x), on tensors and jets alike: the drift of a Langevin equation is `-gradient(U)(x)`.

    `potential` maps states ``(paths, n)`` to ``(paths,)``, each path by itself; it is made of torch functions. The
    result has the shape and dtype of x, and can be differentiated again. It works inside `torch.no_grad()`.
    Raises TypeError where `potential` is no function and where x or U(x) is no tensor of floating-point numbers, and
    ValueError where U(x) is not one number for each path.

    >>> drift = gradient(lambda x: (0.25 * x**4 - 0.5 * x**2).sum(-1))
    >>> drift(torch.tensor([[2.0]]))
    tensor([[6.]])
    """

    if not callable(potential):
        raise TypeError(f"potential: expected a function of states, got {type(potential).__name__}")

    def gradient_of_potential(x: Tensor) -> Tensor:
        if not isinstance(x, Tensor):
            raise TypeError(f"x: expected a tensor or a jet, got {type(x).__name__}")
        if not x.dtype.is_floating_point:
            raise TypeError(f"x: expected floating-point numbers, got {x.dtype}")
        space = x.space if isinstance(x, Jet) else None

        def coefficients(c: Tensor) -> Tensor:
            at = c if space is None else Jet(c, space)
            u = potential(at)
            if not isinstance(u, Tensor):
                raise TypeError(f"potential: expected a tensor of one number for each path, got {type(u).__name__}")
            if not u.dtype.is_floating_point:
                raise TypeError(f"potential: expected floating-point numbers, got {u.dtype}")
            if u.shape != x.shape[:-1]:
                raise ValueError(
                    f"potential: expected one number for each path, shape {tuple(x.shape[:-1])}, got {tuple(u.shape)}"
                )
            if space is None:
                return u
            return u.coefficients if isinstance(u, Jet) else constant(u, space).coefficients

        plain = x.coefficients if isinstance(x, Jet) else x
        u, pull = torch.func.vjp(coefficients, plain)  # type: ignore[misc]
        if space is None:
            return pull(torch.ones_like(u))[0]
        ones = torch.zeros_like(u)
        ones[0] = 1.0
        return _assembled(space, ones, lambda weights: pull(weights))[0]

    return gradient_of_potential


def _assembled(space: JetSpace, weights: Tensor, pull: Pullback) -> list[Any]:
    """The jets of the gradients Σ_j w_j ∂y_j, where w are coefficients of jets, from pullbacks to coefficients."""
    rows: list[dict[MultiIndex, Tensor]] | None = None
    for top in space.indices[space.size(space.order - 1) if space.order else 0 :]:
        seed = torch.zeros_like(weights)
        for i, beta in enumerate(space.indices):  # the coefficient α of Σ_j w_j y_j, as a function of the y_β
            rest = tuple(a - b for a, b in zip(top, beta, strict=True))
            if min(rest) >= 0:
                seed[i] = weights[space.position(rest)]
        slopes = pull(seed)
        rows = [{} for _ in slopes] if rows is None else rows
        for found, slope in zip(rows, slopes, strict=True):
            for i, beta in enumerate(space.indices):
                rest = tuple(a - b for a, b in zip(top, beta, strict=True))
                if slope is not None and min(rest) >= 0:
                    found.setdefault(rest, slope[i])
    assert rows is not None
    return [Jet(torch.stack([found[a] for a in space.indices]), space) if found else None for found in rows]


def _autograd_grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
    only_inputs: bool = True,
) -> tuple[Any, ...]:
    """torch.autograd.grad of jets with respect to jets, through the graph of their coefficients."""
    from sdewm.jets.fallback import refuse

    ys: list[Any] = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    xs: list[Any] = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    ws = [grad_outputs] * len(ys) if grad_outputs is None or isinstance(grad_outputs, Tensor) else list(grad_outputs)
    if is_grads_batched or len(ys) != 1 or not all(isinstance(x, Jet) for x in [*ys, *xs]):
        refuse(
            "autograd.grad", "it takes one jet and differentiates with respect to jets; use sdewm.gradient(potential)"
        )
    [y], [w] = ys, ws
    if w is None:
        if y.numel() != 1:
            raise RuntimeError("grad can be implicitly created only for scalar outputs")
        w = torch.ones_like(y.value)
    weights = (w if isinstance(w, Jet) else constant(w.to(y.dtype), y.space)).coefficients

    def pull(seed: Tensor) -> Sequence[Tensor | None]:
        return torch.autograd.grad(
            y.coefficients,
            [x.coefficients for x in xs],
            seed,
            retain_graph=True,
            create_graph=create_graph,
            allow_unused=allow_unused or materialize_grads,
        )

    found = _assembled(y.space, weights, pull)
    if materialize_grads:
        found = [torch.zeros_like(x) if g is None else g for x, g in zip(xs, found, strict=True)]
    return tuple(found)


def _make_dual(tensor: Tensor, tangent: Tensor, level: int) -> Jet:
    """A dual number of torch's forward mode from jets: each coefficient gets its tangent."""
    from sdewm.jets.fallback import refuse

    for x in (tensor, tangent):
        if not isinstance(x, Jet) and isinstance(unwrapped(x), Jet):
            # torch.func's transforms wrap a jet, so that its coefficients cannot be reached.
            refuse(
                "forward-mode differentiation",
                "it is inside another of torch.func's transforms; use torch.func.vjp, "
                "torch.func.jacrev or sdewm.gradient",
            )
    space = space_of(tensor, tangent)
    rows, slopes = ((x if isinstance(x, Jet) else constant(x, space)).coefficients for x in (tensor, tangent))
    return Jet(torch._make_dual(rows, slopes, level=level), space)


def _unpack_dual(tensor: Jet, level: int) -> tuple[Jet, Jet | None]:
    rows, slopes = torch._unpack_dual(tensor.coefficients, level=level)
    return Jet(rows, tensor.space), None if slopes is None else Jet(slopes, tensor.space)


RULES[torch.autograd.grad] = _autograd_grad
RULES[torch._make_dual] = _make_dual
RULES[torch._unpack_dual] = _unpack_dual
