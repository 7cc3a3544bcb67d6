"""Jacobian regularization (20), its exact norms, and what of the cell is meant by "the Jacobian".

A recurrent cell is a map h' = f(h, z, a), the "map". Read as an Euler step with Δt = 1 of the sequence model (6), its
coefficient is the "drift" f(h, z, a) − h, whose Jacobian in h is that of the map less the identity. The two have
different norms, and what makes one small can make the other large.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import reduce
from typing import Literal, NamedTuple, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from sdewm import arguments
from sdewm.systems.user_functions import named

PenaltyForm = Literal["norm", "square"]
Wrt = Literal["h", "z", "hz"]
BatchFunction = Callable[..., Float[Tensor, "batch outputs"]]
Inputs = tuple[Float[Tensor, "batch ..."], ...]

INPUTS: dict[Wrt, tuple[int, ...]] = {"h": (0,), "z": (1,), "hz": (0, 1)}  # places among the cell's inputs (h, z, a)
ROUNDINGS = 1e4  # that one value may differ by when it is computed again, as on several threads
FLOOR = 1e-12  # under the root, so that its gradient is finite where the Jacobian vanishes


def jacobian_penalty(
    function: BatchFunction,
    inputs: Inputs,
    wrt: tuple[int, ...],
    generator: torch.Generator,
    form: PenaltyForm = "norm",
) -> Float[Tensor, ""]:
    """‖J‖_F or ½‖J‖_F² of ``function`` at ``inputs``, estimated by a single random projection: a scalar to minimize.

    Hoffman, Roberts and Yaida (2019): with v uniform on the unit sphere of the n outputs, n‖vᵀJ‖² has expectation
    ‖J‖_F². It costs one vector–Jacobian product, whatever n. ``form``:

    - "norm", equation (20): the root of the batch's mean of n‖vᵀJ‖². The root is taken of the mean, not of each
      sample, whose root would be biased low; what is estimated is the root mean square of ‖J‖_F.
    - "square", Hoffman's own: ½ of that mean, which is unbiased.

    ``function`` maps inputs (B, …) to (B, n), each row by itself. J is with respect to the inputs at the places
    ``wrt``, together. The inputs are taken as given numbers: the penalty trains the function, not what led to them.
    ``generator`` draws v.
    """
    arguments.choice("form", form, get_args(PenaltyForm))
    arguments.instance("generator", generator, torch.Generator, "torch.Generator()")
    inputs, outputs = _evaluate(function, inputs, wrt)
    v = torch.randn(outputs.shape, generator=generator, device=generator.device).to(outputs)
    v = v / v.norm(dim=-1, keepdim=True)
    gradients = torch.autograd.grad(outputs, [inputs[i] for i in wrt], v, create_graph=True, materialize_grads=True)
    square = outputs.shape[-1] * reduce(operator.add, (g.square().flatten(1).sum(-1) for g in gradients)).mean()
    return (square + FLOOR).sqrt() if form == "norm" else 0.5 * square


class Norms(NamedTuple):
    """Norms of Jacobians, (B,) each: Frobenius, largest singular value, and logarithmic norm μ₂."""

    frobenius: Float[Tensor, " batch"]
    spectral: Float[Tensor, " batch"]
    logarithmic: Float[Tensor, " batch"]


def exact_norms(function: BatchFunction, inputs: Inputs, wrt: tuple[int, ...]) -> Norms:
    """The norms of the :func:`exact_jacobian` itself. μ₂ is not a number where the matrix is not square.

    Raises what :func:`exact_jacobian` does.
    """
    matrix = exact_jacobian(function, inputs, wrt)
    square = matrix.shape[-1] == matrix.shape[-2]
    return Norms(
        frobenius=torch.linalg.matrix_norm(matrix),
        spectral=torch.linalg.matrix_norm(matrix, 2),
        logarithmic=logarithmic_norm(matrix) if square else matrix.new_full(matrix.shape[:1], torch.nan),
    )


def exact_jacobian(
    function: BatchFunction, inputs: Inputs, wrt: tuple[int, ...], *, create_graph: bool = False
) -> Float[Tensor, "batch outputs inputs"]:
    """J of ``function`` at ``inputs``, (B, n, m), m the size of the inputs ``wrt`` together; n backward passes.

    Arguments as in :func:`jacobian_penalty`. ``create_graph`` keeps what is needed to differentiate J.

    Raises ``ValueError`` where the function gives other values when it is called again (dropout in training), or a row
    depends on another one (batch normalization in training): its J is none of a row by itself.
    """
    inputs, outputs = _evaluate(function, inputs, wrt)
    _by_itself(function, inputs, outputs, wrt)
    rows = []
    for i in range(outputs.shape[-1]):
        gradients = torch.autograd.grad(
            outputs[:, i].sum(),
            [inputs[j] for j in wrt],
            retain_graph=True,
            create_graph=create_graph,
            materialize_grads=True,
        )
        rows.append(torch.cat([g.flatten(1) for g in gradients], -1))
    return torch.stack(rows, 1)


def logarithmic_norm(matrix: Float[Tensor, "... n n"]) -> Float[Tensor, "..."]:
    """μ₂ of square matrices (…, n, n): the largest eigenvalue of the symmetric part ½(A + Aᵀ), (…).

    Solutions of dy = A y dt grow at most like exp(∫μ₂ dt). Unlike a norm it may be negative. Raises ``ValueError`` for
    matrices that are not square or not finite.
    """
    matrix = arguments.tensor("matrix", matrix)
    if matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2] or not matrix.shape[-1]:
        raise ValueError(f"matrix: expected square matrices (…, n, n), got shape {tuple(matrix.shape)}")
    return torch.linalg.eigvalsh(0.5 * (matrix + matrix.mT))[..., -1]


def as_drift(cell: BatchFunction) -> BatchFunction:
    """The drift h, … ↦ cell(h, …) − h of a recurrent cell."""
    return lambda h, *rest: cell(h, *rest) - h


def _evaluate(
    function: BatchFunction, inputs: Inputs, wrt: tuple[int, ...]
) -> tuple[Inputs, Float[Tensor, "batch outputs"]]:
    """Inputs as leaves that require gradients at ``wrt``, and the function's value (B, n) there."""
    arguments.function("function", function, "(inputs, …)")
    if not isinstance(inputs, tuple | list) or not inputs:
        raise ValueError(f"inputs: expected a tuple of tensors (B, …), got {arguments.shown(inputs)}")
    places = arguments.integers("wrt", wrt)
    if not places or len(set(places)) < len(places) or not all(0 <= i < len(inputs) for i in places):
        raise ValueError(f"wrt: expected places among {len(inputs)} inputs, got {wrt}")
    for i, x in enumerate(inputs):
        if (
            not isinstance(x, Tensor)
            or not x.is_floating_point()
            or not x.ndim
            or len(x) != len(inputs[0])
            or not len(x)
        ):
            raise ValueError(f"inputs[{i}]: expected a floating-point tensor (B, …), got {arguments.shown(x)}")
    leaves = tuple(x.detach().requires_grad_(i in wrt) for i, x in enumerate(inputs))
    with torch.enable_grad(), named("function: expected a function of the inputs (B, …)"):
        outputs = function(*leaves)
    arguments.instance("function", outputs, Tensor, "a function that returns a tensor (B, n)")
    if outputs.ndim != 2 or len(outputs) != len(inputs[0]):
        raise ValueError(
            f"function: expected a value of shape (B, n), B = {len(inputs[0])}, got {tuple(outputs.shape)}"
        )
    if not outputs.requires_grad:
        raise ValueError(f"function: expected a value that depends on the inputs {tuple(wrt)}, got a constant")
    return leaves, outputs


def _by_itself(function: BatchFunction, leaves: tuple[Tensor, ...], outputs: Tensor, wrt: tuple[int, ...]) -> None:
    """Calls the function again, and asks for what its first row owes to all others."""
    with torch.no_grad():
        again = function(*leaves)
    close = ROUNDINGS * torch.finfo(outputs.dtype).eps * outputs.detach().abs().amax()
    if not bool(((again - outputs).abs() <= close).all()):
        raise ValueError(
            "function: expected the same values when it is called again, got others; dropout and the like are to be in "
            "evaluation mode"
        )
    # Weights that nothing cancels with; a sum over a normalized row would be 0.
    weights = torch.linspace(1.0, 2.0, outputs.shape[-1], dtype=outputs.dtype, device=outputs.device)
    first = torch.autograd.grad(
        (outputs[0] * weights.square()).sum(), [leaves[i] for i in wrt], retain_graph=True, materialize_grads=True
    )
    if any(bool(g[1:].any()) for g in first):
        raise ValueError(
            "function: expected each row by itself, got one that depends on others; batch normalization is to be in "
            "evaluation mode"
        )
