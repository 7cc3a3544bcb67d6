"""The derivative of a function of many variables along one direction, for tensors and jets alike."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sdewm.jets.forward_mode import load_forward_mode
from sdewm.jets.jet import Jet, constant
from sdewm.jets.paths import evaluated_on
from sdewm.jets.space import JetSpace


def directional(function: Callable[[Tensor], Tensor], x: Tensor, v: Tensor) -> Tensor:
    """∂function(x)[v], of function's shape, for tensors and jets: exact, by forward differentiation.

    ``function`` maps states ``(paths, n)``, each path by itself; ``v`` has the shape of x. For jets the result is the
    jet of ∂function(x)[v]: the coefficients of function(x), differentiated along the coefficients of v.
    """
    if isinstance(x, Jet) or isinstance(v, Jet):
        space = next(y.space for y in (x, v) if isinstance(y, Jet))
        point, direction = (y.coefficients if isinstance(y, Jet) else constant(y, space).coefficients for y in (x, v))

        def coefficients(c: Tensor) -> Tensor:
            with evaluated_on(len(x)):
                out = function(Jet(c, space))
            return out.coefficients if isinstance(out, Jet) else constant(out, space).coefficients

        load_forward_mode()
        return Jet(torch.func.jvp(coefficients, (point,), (direction,))[1], space)
    with evaluated_on(len(x)):
        out = function(Jet(torch.stack([x, v]), JetSpace(1, 1)))
    return out.coefficients[1] if isinstance(out, Jet) else torch.zeros_like(out)
