"""Jets: tensors that carry their Taylor coefficients in a few parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sdewm.jets.space import JetSpace, MultiIndex

# torch function -> the same function on jets. Filled by the rule modules.
RULES: dict[Callable[..., Any], Callable[..., Any]] = {}
# What handles other calls: "called" of calls.py and "named" of traced.py. Those modules add themselves.
ANSWERS: dict[str, Callable[..., Any]] = {}


class NotDifferentiable(TypeError):
    """The operation has no derivatives for jets. The message names it and says what to do."""


class NonSmoothWarning(UserWarning):
    """The operation is not twice continuously differentiable, so that its jet is right almost everywhere only."""


class EdgeWarning(NonSmoothWarning):
    """The operation is smooth except at a pole or the end of its domain, and paths come near that."""


class SlopeWarning(NonSmoothWarning):
    """The operation is smooth, and so steep that paths are on its two sides and hardly any is where it turns."""


class Jet(torch.Tensor):
    """A tensor as a truncated Taylor polynomial `Σ_α c_α ε^α`; torch functions on it act on all coefficients.

    `coefficients` is floating point with shape (len(space), *shape), in the order of `space.indices`; the jet
    has the shape, dtype and device of its value. The coefficients are shared, not copied. Raises TypeError or
    ValueError when they do not fit. An operation between jets of different spaces raises ValueError, one that
    cannot be differentiated raises NotDifferentiable.
    """

    coefficients: Tensor
    space: JetSpace

    @staticmethod
    def __new__(cls, coefficients: Tensor, space: JetSpace) -> Jet:
        if isinstance(coefficients, Jet) or not isinstance(coefficients, Tensor):
            raise TypeError(f"the coefficients of a jet are a plain tensor, not {type(coefficients).__name__}")
        if not (coefficients.is_floating_point() or coefficients.is_complex()):
            raise TypeError(f"a jet needs floating-point coefficients, got {coefficients.dtype}")
        shape = coefficients.shape
        if not shape or shape[0] != len(space):
            raise ValueError(f"{space} has {len(space)} coefficients, got a stack of shape {tuple(shape)}")
        jet = torch.Tensor._make_wrapper_subclass(cls, shape[1:], dtype=coefficients.dtype, device=coefficients.device)
        jet.coefficients = coefficients
        jet.space = space
        return jet

    @property
    def value(self) -> Tensor:
        """The zeroth coefficient: the tensor at parameters zero."""
        return self.coefficients[0]

    def coefficient(self, alpha: MultiIndex) -> Tensor:
        """Taylor coefficient ∂^α/α! at zero, of the jet's shape. Raises KeyError beyond the space."""
        return self.coefficients[self.space.position(alpha)]

    def derivative(self, alpha: MultiIndex) -> Tensor:
        """Partial derivative ∂^α at zero, of the jet's shape. Raises KeyError beyond the space."""
        row = self.space.position(alpha)
        return self.space.factorials[row] * self.coefficients[row]

    def truncate(self, order: int) -> Jet:
        """The same jet without its terms above total degree `order` (shares memory). Raises ValueError."""
        if not 0 <= order <= self.space.order:
            raise ValueError(f"cannot truncate a jet of order {self.space.order} to order {order}")
        lower = self.space.lower(order)
        return Jet(self.coefficients[: len(lower)], lower)

    def __repr__(self) -> str:  # type: ignore[override]
        name = str(self.dtype).removeprefix("torch.")
        space = self.space
        return f"Jet(shape={tuple(self.shape)}, {name}, parameters={space.parameters}, order={space.order})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Jet:
        return Jet(self.coefficients.clone(), self.space)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return Jet, (self.coefficients, self.space)

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        rule = RULES.get(func)
        try:
            if rule is not None and not kwargs:
                return rule(*args)
            return ANSWERS["called"](func, rule, args, kwargs or {})
        except RuntimeError as error:
            # torch 2.6 raises an error without a class of its own.
            missing = isinstance(error, NotImplementedError) or "not implemented for 'Complex" in str(error)
            if not missing or not any(isinstance(x, Jet) and x.is_complex() for x in args):
                raise
            name = getattr(func, "__name__", str(func))  # such as a minimum or a comparison
            raise NotDifferentiable(f"{name} of a complex jet: {str(error).splitlines()[0]}") from error

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        function = ANSWERS["named"](func)
        if function is func:
            # Not a TypeError: torch's operators turn that into "unsupported operand", and the advice would be lost.
            raise RuntimeError(
                f"{func} of a jet: there is no rule for it; write it with functions of torch. For the gradient of a "
                "potential U(x), (paths, n) -> (paths,), use sdewm.gradient(U)(x) or torch.autograd.grad in place of "
                "torch.func.grad"
            )
        return function(*args, **(kwargs or {}))


def value_of(x: Tensor) -> Tensor:
    """The value of a tensor or a jet as a plain tensor, so that a coefficient need not ask which of them it was given.

    A tensor is returned as it is. For a jet the value (its zeroth coefficient) is returned, without derivatives. The
    result shares memory with `x`, and has its shape, dtype and device. Raises TypeError for anything else.

    >>> value_of(torch.ones(2))
    tensor([1., 1.])

    Use it where no derivatives are wanted: for an index, a fixed threshold, a number to print. A branch does not need
    it: `torch.where(x > 0, a, b)` works on tensors and on jets alike.
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"x: expected a tensor or a jet, got {type(x).__name__}")
    return x.value if isinstance(x, Jet) else x


def shape_of(x: Tensor) -> torch.Size:
    """The shape of a tensor or a jet, without torch's dispatch, which makes `jet.shape` slow."""
    return x.coefficients.shape[1:] if isinstance(x, Jet) else x.shape


def constant(tensor: Tensor, space: JetSpace) -> Jet:
    """`tensor` as a jet with zero higher coefficients (a copy, so that it may be written to)."""
    if isinstance(tensor, Jet):
        raise TypeError("constant() takes a plain tensor; for a jet, use x.value")
    rest = tensor.new_zeros((len(space) - 1, *tensor.shape))
    return Jet(torch.cat([tensor[None], rest]), space)


class Parameter:
    """One expansion parameter ε_i of a space. `param * y` is the jet of ε_i·y: a shift of the coefficients.

    `y` is a tensor, a jet of the same space, or a jet of one order less. The product drops the top degree of `y`, so
    that one order less is enough: evaluate the coefficients of an error at `param.lower(x)`.
    Raises IndexError for a parameter that the space lacks, ValueError for a jet of another space.
    """

    def __init__(self, space: JetSpace, i: int) -> None:
        if not 0 <= i < space.parameters:
            raise IndexError(f"{space} has no parameter {i}")
        self.space = space
        self.index = i

    def __mul__(self, y: Tensor) -> Jet:
        if not isinstance(y, Tensor):
            raise TypeError(f"a jet parameter multiplies a tensor or a jet, not {type(y).__name__}")
        space = self.space
        if isinstance(y, Jet):
            if y.space not in (space, JetSpace(space.parameters, max(space.order - 1, 0))):
                raise ValueError(f"a parameter of {space} cannot multiply a jet of {y.space}")
            source = y.coefficients
        else:
            source = y[None]
        if not source.is_floating_point():
            raise TypeError(f"a jet parameter multiplies floating-point tensors, not {source.dtype}")
        out = source.new_zeros((len(space), *source.shape[1:]))
        for rows, target in space.shift(self.index):
            if rows.start < source.shape[0]:
                kept = source[rows]
                out[target.start : target.start + kept.shape[0]] = kept
        return Jet(out, space)

    __rmul__ = __mul__

    def lower(self, x: Tensor) -> Tensor:
        """`x` truncated to one order less than the space if it is a jet, else `x` itself."""
        return x.truncate(min(x.space.order, max(self.space.order - 1, 0))) if isinstance(x, Jet) else x

    def __repr__(self) -> str:
        return f"Parameter({self.index}, {self.space})"
