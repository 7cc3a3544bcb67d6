"""Comparison of torch's derivatives with plain calls, before they are used.

torch's nested differentiation is wrong for a number of operations, without an error. So the coefficients of a function
are compared with those of polynomials fitted to plain calls along a random line: the first time that it is called with
arguments of some kind, and again whenever the number of such calls has doubled.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import Tensor

Line = Callable[[Tensor], tuple[Tensor, ...]]
Derivatives = list[tuple[Tensor, ...]]  # by order, then by output

Fits = list[list[Tensor] | None]  # by radius, then by output

NODES = 9  # of a fit
RADII = (0.3, 0.1, 0.03, 0.01, 0.003, 0.001)  # of the fits, relative to the size of the arguments
LOOSE = 1e-4  # the largest error of a derivative, relative to its own size and to the fit's error
RESOLVED = 1e-2  # a fit with a larger relative error decides nothing
RARE = 0.01  # the largest part of the paths that may be next to several kinks
TINY = 1e-12  # absolute errors below this are ignored

_calls: dict[Hashable, int] = {}


def is_due(signature: Hashable) -> bool:
    """Whether this call of a function on arguments of this kind must be proven: the first, second, fourth, …"""
    count = _calls[signature] = _calls.get(signature, 0) + 1
    return count & (count - 1) == 0


def forget(signature: Hashable) -> None:
    """Do not count the last call, so that the next one is proven again."""
    _calls.pop(signature, None)


def disagreement(line: Line, claimed: Derivatives, kinked: bool = False) -> str | None:
    """In words, what is wrong with derivatives at t = 0 along a line; ``None`` if they are right.

    ``claimed[k]`` are the k-th derivatives of the outputs. Polynomials are fitted to plain calls at several radii. The
    fit that changes least from its neighbours is used, and the change is its error. If a plain call raises, the fit
    reaches beyond the domain and is left out. If no fit is good enough for half of the numbers (at a singularity, or at
    the edge of the domain), the derivatives count as unproven, and the answer says so.

    If a function is known to be ``kinked``, some of many numbers lie next to a kink, and a fit across the kink agrees
    with neither side. Such numbers are right if they agree with the plain calls on one side. Next to several kinks even
    the fits on the two sides fail; a small part of the paths, along the first axis, may be there.
    """
    order = len(claimed) - 1
    fits = [_fit(line, radius, order) for radius in RADII]
    one_sided: list[Fits] = []
    for which in range(len(claimed[0])):
        ours = torch.stack([claimed[k][which] for k in range(order + 1)])
        shapes = {fit[which].shape for fit in fits if fit is not None} - {ours.shape}
        if shapes:
            return f"its shape {tuple(ours.shape[1:])} is not that of a plain call, {tuple(shapes.pop()[1:])}"
        if not ours.numel():
            continue
        fit, undecided, wrong = _held(ours, fits, which, kinked)
        if kinked and bool(wrong.any()):
            one_sided = one_sided or [[_fit(line, radius, order, side) for radius in RADII] for side in (-1, 1)]
            (left, *before), (other, *after) = (_held(ours, side, which, kinked) for side in one_sided)
            wrong = wrong & (before[0] | before[1]) & (after[0] | after[1])
            bent = wrong & ~((left - other).abs() <= LOOSE * ours.abs().nan_to_num(nan=0.0, posinf=0.0).max())
            few = bent.any(0).double().mean(0) <= RARE if ours.ndim > 1 else False
            wrong = wrong & ~(bent.any(0) & few)
        if bool(wrong.any()):
            place = tuple(wrong.nonzero()[0].tolist())
            got, right = complex(ours[place]), complex(fit[place])
            return f"derivative {place[0]} is {got.real:.6g} where plain calls have {right.real:.6g}"
        if bool((undecided.flatten(1).double().mean(1) > 0.5).any() if undecided.ndim > 1 else undecided.any()):
            return "plain calls are too rough here to confirm them"
    return None


def _held(ours: Tensor, fits: Fits, which: int, kinked: bool) -> tuple[Tensor, Tensor, Tensor]:
    """For each number of an output: the best fit, whether it is too inexact to decide, and whether the claim is wrong.

    A fit across a kink can have huge derivatives, relative to which any error would look small.
    """
    candidates = torch.stack([torch.full_like(ours, math.nan) if fit is None else fit[which] for fit in fits])
    change = (candidates[1:] - candidates[:-1]).abs().nan_to_num(nan=math.inf)
    error, best = torch.maximum(change[1:], change[:-1]).min(0)  # near a kink two fits can agree by chance
    fit = candidates[1:-1].gather(0, best.unsqueeze(0))[0]
    size = fit.abs().nan_to_num(nan=0.0, posinf=0.0).max()
    if kinked:
        size = torch.minimum(size, ours.abs().nan_to_num(nan=0.0, posinf=0.0).max())
    undecided = (error > RESOLVED * size + TINY) | ~torch.isfinite(fit)
    return fit, undecided, ~undecided & ~((ours - fit).abs() <= 30 * error + LOOSE * size + TINY)


def _fit(line: Line, radius: float, order: int, side: int = 0) -> list[Tensor] | None:
    """Derivatives to ``order`` at 0 of each output, stacked, from a polynomial through Chebyshev nodes on both sides of
    0, or on one; ``None`` where the line leaves the domain."""
    k = torch.arange(NODES, dtype=torch.float64)
    nodes = torch.cos((2 * k + 1) * math.pi / (2 * NODES)) + side
    try:
        values = [line(radius * node) for node in nodes]
    except (ArithmeticError, RuntimeError, ValueError):
        return None
    inverse = torch.linalg.inv(torch.linalg.vander(nodes))[: order + 1]
    scale = torch.tensor([math.factorial(j) / radius**j for j in range(order + 1)], dtype=torch.float64)
    weights = inverse * scale[:, None]
    return [torch.tensordot(weights.to(y[0].dtype), torch.stack(list(y)), 1) for y in zip(*values, strict=True)]


def writes_into(arguments: list[Any], before: list[Any]) -> bool:
    """Whether a call changed one of its tensors."""
    return any(
        isinstance(old, Tensor) and not (old.shape == new.shape and _same(old, new))
        for old, new in zip(before, arguments, strict=True)
    )


def differ(first: list[Any], second: list[Any]) -> bool:
    """Whether two calls on the same arguments returned different numbers."""
    if len(first) != len(second):
        return True
    return any(
        isinstance(a, Tensor) and not (isinstance(b, Tensor) and a.shape == b.shape and _same(a, b))
        for a, b in zip(first, second, strict=True)
    )


def _same(a: Tensor, b: Tensor) -> bool:
    if a.layout != torch.strided:
        return True
    if a.is_floating_point() or a.is_complex():
        return bool(((a == b) | ((a != a) & (b != b))).all())
    return torch.equal(a, b)
