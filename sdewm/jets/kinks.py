"""Kinks of operations that have no rule of their own: seen in the elementary operations of a plain call."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from sdewm.jets.edges import CUTS

# Elementary operations (ATen's names) that are not twice continuously differentiable somewhere inside their domain. Of
# factorizations, some choose a pivot, an order or a sign anew for every matrix.
KINKED = frozenset(
    "abs relu leaky_relu prelu elu celu selu hardtanh hardswish hardsigmoid hardshrink softshrink threshold clamp "
    "clamp_min clamp_max maximum minimum fmax fmin max min amax amin aminmax sort topk kthvalue median nanmedian "
    "cummax cummin sign sgn heaviside floor ceil round trunc frac fmod remainder copysign renorm grid_sampler_2d "
    "grid_sampler_3d scatter_reduce index_reduce huber_loss smooth_l1_loss atan2 angle frexp special_i0e special_i1e "
    "lt le gt ge linalg_eig linalg_qr linalg_lu linalg_lu_factor_ex linalg_ldl_factor_ex".split()
)
# Norms, and where among their arguments the exponent stands: |x|^p has a kink for p ≤ 2 other than 2 itself.
EXPONENT = {"linalg_vector_norm": 1, "norm": 1, "dist": 2, "cdist_forward": 2, "pdist_forward": 1}


class Kinks(TorchDispatchMode):
    """Notes, in ``found``, whether anything that is called inside has a kink."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Torch would load its compiler, which takes seconds, to keep it away from here."""
        return False

    def __init__(self) -> None:
        super().__init__()
        self.found = False

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        self.found = self.found or _is_kinked(func.overloadpacket.__name__.strip("_"), args)
        return func(*args, **kwargs)


def _is_kinked(name: str, args: tuple[Any, ...]) -> bool:
    if name in CUTS and any(isinstance(x, Tensor) and x.is_complex() for x in args):
        return True
    if name == "logit":  # which is clamped where there is an eps
        return len(args) > 1 and args[1] is not None
    if name in EXPONENT:
        place = EXPONENT[name]
        exponent = args[place] if len(args) > place else 2
        return exponent is not None and not (exponent == 2 or 2 < exponent < math.inf)
    return name in KINKED
