"""Kinks of operations that have no rule of their own: seen in the elementary operations of plain calls."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sdewm.jets.edges import CUTS, EDGES, meets_kink
from sdewm.jets.paths import arrangements

# Elementary operations (ATen's names) that are not twice continuously differentiable somewhere inside their domain. Of
# factorizations, some choose a pivot, an order or a sign anew for every matrix.
KINKED = frozenset(
    "relu leaky_relu prelu elu celu selu hardtanh hardswish hardsigmoid hardshrink softshrink threshold maximum "
    "minimum fmax fmin max min amax amin aminmax sort topk kthvalue median nanmedian cummax cummin sign sgn heaviside "
    "floor ceil round trunc frac fmod remainder copysign renorm grid_sampler_2d grid_sampler_3d scatter_reduce "
    "index_reduce huber_loss smooth_l1_loss atan2 angle frexp special_i0e special_i1e linalg_eig linalg_qr linalg_lu "
    "linalg_lu_factor_ex linalg_ldl_factor_ex".split()
)
GUARD = 1e-3  # of the smallest number that a bound is to guard
STEP = 0.05  # an ε at which arguments show how fast they move

# Those whose kinks nobody can see from outside: why they have some, and what to do.
HIDDEN = {
    "linalg_qr": "the signs of its rows are chosen anew for every matrix. What does not depend on them is smooth where "
    "columns are independent: take it from torch.linalg.cholesky of AᵀA, which says no more than it must",
    "linalg_eig": "the order and the phases of eigenvectors are chosen anew for every matrix. Traces, determinants and "
    "torch.linalg.matrix_exp are smooth",
    "linalg_lu": "rows are exchanged anew for every matrix. torch.linalg.solve and torch.linalg.det are smooth",
}
HIDDEN |= dict.fromkeys(("linalg_lu_factor_ex", "linalg_ldl_factor_ex"), HIDDEN["linalg_lu"])
# Norms, and where among their arguments the exponent stands: |x|^p has a kink for p ≤ 2 other than 2 itself.
EXPONENT = {"linalg_vector_norm": 1, "norm": 1, "dist": 2, "cdist_forward": 2, "pdist_forward": 1}


class Side(NamedTuple):
    """What vanishes at a kink, ``(paths, …)``, and whether it is a guard: a bound near 0 of what is larger by far."""

    values: Tensor
    guard: bool = False


def _clamped(x: Tensor, low: Any = None, high: Any = None) -> list[Side]:
    return [Side(x - bound, _guards(x, bound)) for bound in (low, high) if bound is not None]


def _guards(x: Tensor, bound: Any) -> bool:
    try:
        return bool(((0 < torch.as_tensor(bound)) & (bound <= GUARD * x)).all())
    except RuntimeError:  # under vmap
        return False


def _difference(x: Any, other: Any) -> list[Side]:
    return [Side(torch.as_tensor(x, dtype=torch.float64) - other)]


# What vanishes where these have a kink: a call keeps clear of it where that has one sign on all paths.
SIDES: dict[str, Callable[..., list[Side]]] = {
    "abs": lambda x: [Side(x.abs() if x.is_complex() else x)],
    "clamp": _clamped,
    "clamp_min": lambda x, low: _clamped(x, low),
    "clamp_max": lambda x, high: _clamped(x, None, high),
    **dict.fromkeys(("lt", "le", "gt", "ge"), _difference),
}


class Kinks(TorchDispatchMode):
    """Notes what has a kink among all that is called inside.

    Names of which no more is known are in ``always``; of each call of the others ``sides`` has what vanishes at its
    kink.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Torch would load its compiler, which takes seconds, to keep it away from here."""
        return False

    def __init__(self) -> None:
        super().__init__()
        self.always: set[str] = set()
        self.sides: list[tuple[str, Side]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__.strip("_")
        if name in SIDES:
            self.sides += [(name, Side(s.values.detach(), s.guard)) for s in SIDES[name](*args, **kwargs)]
        elif _is_kinked(name, args):
            self.always.add(name)
        return func(*args, **kwargs)


class Leaving(TorchDispatchMode):
    """Notes, in ``names``, what takes numbers out of its domain: it makes of finite ones what is no number.

    What is infinite at a pole counts too, and what is too large to be a number does not.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """As for :class:`Kinks`."""
        return False

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor) and x.is_floating_point()]
        lost = sum(int((~torch.isfinite(x)).sum()) for x in given)
        result = func(*args, **kwargs)
        name = func.overloadpacket.__name__.strip("_").removeprefix("special_")
        for y in tree_leaves(result):
            if given and not lost and isinstance(y, Tensor) and y.is_floating_point():
                out = ~torch.isfinite(y) if name in EDGES else torch.isnan(y)
                if bool(out.any()):
                    self.names.add(name)
        return result


def kinks_along(call: Callable[[float], Any]) -> set[str]:
    """The operations in ``call(eps)`` whose kinks ε carries paths to; ``call(0.0)`` is the call itself.

    How fast their arguments move shows at two small ε; where nothing differs, between these and between paths, it is a
    constant, which meets no kink.
    """
    runs = [Kinks()]
    with torch.no_grad(), runs[0]:
        call(0.0)
    always, sides = runs[0].always, runs[0].sides
    if not sides:
        return always
    try:
        for eps in (STEP, -STEP):
            runs.append(Kinks())
            with torch.no_grad(), runs[-1]:
                call(eps)
        return always.union(*(_met(*calls) for calls in zip(*(run.sides for run in runs), strict=True)))
    except (ArithmeticError, RuntimeError, ValueError):  # out of the domain, into another branch, or under vmap
        return always.union(name for name, _ in sides)


def _met(here: tuple[str, Side], *moved: tuple[str, Side]) -> set[str]:
    name, (sides, guard) = here
    changes = [(other.values - sides).abs() for _, other in moved]
    if not any(bool(change.any()) for change in changes):
        if not any(bool((arrange(sides) != arrange(sides)[:1]).any()) for arrange in arrangements(sides)):
            return set()
    return {name} if meets_kink(sides, torch.maximum(*changes) / STEP, guard) else set()


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
