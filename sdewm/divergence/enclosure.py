"""Values on a whole tube around a path, enclosed: the kind of tensor that coefficients are run on to certify them.

A path x̄ is given, and others x̄ + Δ with Δ = σℓ + σ²q + w: ℓ and q are known, |σ| ≤ 1, and |w_i| ≤ b_i. For each number
y that a function makes of its state an :class:`Enclosure` holds ȳ, a Jacobian D, a vector Q and r ≥ 0 with

    |y(x̄ + Δ) − (ȳ + D(σℓ + w) + σ²Q)| ≤ r    for every such Δ.

That is a theorem on real numbers: ȳ, D and Q are what the computer found, and what rounding did to them is in r. As Q
is what there is of second order in σ, r is of third order but for rounding, by Taylor's theorem, rule by rule.

Sizes alone would make r too large: through one layer after another it would grow with Σ_j |W_ij|, where signs cancel.
So each r is also kept as a sum of what single operations added, its sources, which :func:`carried` brings to the end of
the function by its transposed Jacobian, signs and all.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

EnclosureRule = Callable[..., Any]
ENCLOSURE_RULES: dict[Callable[..., Any], EnclosureRule] = {}
"""torch function -> the same function of enclosures; filled by :mod:`sdewm.divergence.enclosure_rules`."""
Parts = Float[Tensor, "perturbations paths ..."]
# By what part of itself a source may be wrong that one operation carries on: see :func:`carried`.
CARRYING = 4e-9

_QUESTIONS = (
    {
        getattr(Tensor, name).__get__
        for name in ("shape", "ndim", "dtype", "device", "layout", "requires_grad", "is_sparse", "is_nested", "is_leaf")
    }
    | {
        getattr(Tensor, name)
        for name in ("size", "dim", "ndimension", "numel", "nelement", "__len__", "is_floating_point", "is_complex")
    }
    | {torch.is_floating_point, torch.is_complex, torch.numel}
)


class NotEnclosed(ValueError):
    """An operation of which no enclosure is known: the message names it, and the module that asks for it.

    No ``TypeError``: Python would say that operands are not supported, and the message would be lost.
    """


@dataclass(frozen=True)
class Tube:
    """What is known of Δ = σℓ + σ²q + w, for several perturbations at once.

    ``linear`` is ℓ, and ``box`` is b, a bound on |w|; both ``(perturbations, paths, n)``. ``sources`` are what
    operations add to r: zeros that were added to the operation's value, ``(paths, *shape)``, and a bound on what
    belongs in their place, ``(perturbations, paths, *shape)``.
    """

    linear: Float[Tensor, "perturbations paths n"]
    box: Float[Tensor, "perturbations paths n"]
    sources: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    def along(self, jacobian: Float[Tensor, "n paths ..."]) -> Parts:
        """D ℓ, ``(perturbations, paths, *shape)``."""
        return _contract(jacobian, self.linear)

    def around(self, jacobian: Float[Tensor, "n paths ..."]) -> Parts:
        """|D| b, ``(perturbations, paths, *shape)``, a bound on |D w|."""
        return _contract(jacobian.abs(), self.box)


class Enclosure(torch.Tensor):
    """ȳ with D, Q and r for a batch of paths and several perturbations, as this module's text says.

    Attributes
    ----------
    value : ȳ, ``(paths, *shape)``, which is the shape of the enclosure itself; it remembers how it was made.
    jacobian : D, ``(n, paths, *shape)``.
    second, rest : Q and r, ``(perturbations, paths, *shape)``.
    reach : a bound on |D|(|ℓ| + b) + |Q| + r, shaped as these: what rounding is a part of, beside |ȳ|.
    tube : what is known of Δ.

    The first axis is that of the paths and stays so: operations that would mix paths raise :class:`NotEnclosed`, as do
    those that no rule is known of.
    """

    value: Tensor
    jacobian: Tensor
    second: Tensor
    rest: Tensor
    reach: Tensor
    tube: Tube

    @staticmethod
    def __new__(
        cls, value: Tensor, jacobian: Tensor, second: Tensor, rest: Tensor, reach: Tensor, tube: Tube
    ) -> Enclosure:
        made = torch.Tensor._make_wrapper_subclass(cls, value.shape, dtype=value.dtype, device=value.device)
        made.value, made.jacobian, made.second, made.rest = value, jacobian, second, rest
        made.reach, made.tube = reach, tube
        return made

    def __repr__(self) -> str:  # type: ignore[override]
        return f"Enclosure(shape={tuple(self.value.shape)}, perturbations={len(self.rest)})"

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in _QUESTIONS:
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args, **(kwargs or {}))
        rule = ENCLOSURE_RULES.get(func)
        if rule is None:
            raise NotEnclosed(f"{getattr(func, '__name__', func)} has no enclosure")
        with torch.no_grad():
            return rule(*args, **(kwargs or {}))

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        raise NotEnclosed(f"{func} has no enclosure")


def enclosed_state(
    x: Float[Tensor, "paths n"], second: Float[Tensor, "perturbations paths n"], tube: Tube
) -> Enclosure:
    """The enclosure of the state itself: x̄ ``(paths, n)``, q for Q, D the identity and nothing left."""
    paths, n = x.shape
    jacobian = torch.eye(n, dtype=x.dtype, device=x.device)[:, None].expand(n, paths, n)
    reach = tube.linear.abs() + tube.box + second.abs()
    return Enclosure(x, jacobian, second, torch.zeros_like(second), reach, tube)


def carried(out: Enclosure) -> Float[Tensor, "perturbations paths n"]:
    """A bound on what r stands for in a function's last value ``(paths, n)``, by all of its sources.

    Proof. To what one operation adds, all later ones apply their linear parts; that product's transpose, applied to the
    unit vectors, is what reverse mode gives. It is computed with slopes that are wrong by 64 units in the last place of
    their ``terms``, or by e⁻²⁰ where torch takes softplus to be linear. ``rest`` is carried with slopes that are larger
    by 1e-4 ``terms``, so that of its own each operation's error is a part of at most :data:`CARRYING`. ∎
    """
    value, tube = out.value, out.tube
    paths, n = value.shape
    unit = torch.eye(n, dtype=value.dtype, device=value.device)[:, None].expand(n, paths, n)
    marks = [mark for mark, _ in tube.sources]
    found = torch.autograd.grad(value, marks, unit, is_grads_batched=True, allow_unused=True)
    total = math.expm1(CARRYING * len(marks)) * out.rest
    for adjoint, (_, bound) in zip(found, tube.sources, strict=True):
        if adjoint is not None:
            sizes = adjoint.abs().flatten(2).permute(1, 2, 0)
            total = total + (bound.flatten(2).transpose(0, 1) @ sizes).transpose(0, 1)
    return total.nan_to_num(math.inf, math.inf)  # infinities may meet zeros: nothing is known


def _contract(jacobian: Tensor, vectors: Tensor) -> Tensor:
    """Σ_j D_j v_j path by path: ``(n, paths, *shape)`` and ``(perturbations, paths, n)``."""
    flat = jacobian.flatten(2).transpose(0, 1)
    return (vectors.transpose(0, 1) @ flat).transpose(0, 1).unflatten(2, jacobian.shape[2:])
