"""Derivatives of an ordinary function as tensors, from one jet."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from sdewm.jets import Jet, JetSpace
from sdewm.sensitivity import along


def derivatives(
    function: Callable[[Float[Tensor, "paths n"]], Float[Tensor, "paths ..."]],
    x: Float[Tensor, "paths n"],
    order: int = 2,
) -> list[Float[Tensor, "paths ..."]]:
    """The first, second, … derivative of a batched function at ``x`` ``(paths, n)``.

    A value ``(paths, *out)`` gives ``(paths, *out, n)``, ``(paths, *out, n, n)`` and so on.
    """
    n = x.shape[-1]
    value = function(along(x, [e.expand(x.shape) for e in torch.eye(n, dtype=x.dtype, device=x.device)], order))
    if not isinstance(value, Jet):
        return [value.new_zeros(*value.shape, *[n] * degree) for degree in range(1, order + 1)]
    found = []
    for degree in range(1, order + 1):
        rows = _rows(value.space, n, degree)
        factor = torch.tensor(value.space.factorials, dtype=x.dtype, device=x.device)[rows]
        tensor = value.coefficients[rows].unflatten(0, (n,) * degree)
        axes = tuple(range(degree))
        found.append(tensor.movedim(axes, tuple(a - degree for a in axes)) * factor.view((n,) * degree))
    return found


def _rows(space: JetSpace, n: int, degree: int) -> Tensor:
    indices = torch.cartesian_prod(*[torch.arange(n)] * degree).view(-1, degree).tolist()
    return torch.tensor([space.position(tuple(chosen.count(i) for i in range(n))) for chosen in indices])
