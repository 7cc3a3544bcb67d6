"""SDEs whose solution is a known function of time, Brownian motion and its Lévy areas.

With A_kl = ½∫(W_k dW_l − W_l dW_k), the free nilpotent lift (W, A) of Brownian motion solves a Stratonovich SDE; any
smooth change of its coordinates is a solution too, path by path, of the SDE that the change carries over. Where areas
come in, the diffusion vectors do not commute, and a scheme of strong order 1 has to have its areas right. Every problem
is there in both calculi.

>>> problem = STRONG_PROBLEMS["heisenberg, ito"]
>>> found = convergence(problem.sde, problem.x0, (0.0, 1.0), method="milstein", reference=problem.reference)
>>> found.contains(1.0)
True
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sdewm.systems.calculus import to_ito
from sdewm.systems.sde import SDE, Diffusion, Drift, FunctionSDE, NoiseType, SdeType

RealFunction = Callable[[Tensor], Tensor]
Solution = Callable[
    [Float[Tensor, "paths 1"], Float[Tensor, "paths channels"], Float[Tensor, "paths channels channels"]],
    Float[Tensor, "paths n"],
]


@dataclass(frozen=True)
class StrongProblem:
    """An SDE from time 0 to 1 with its solution.

    Parameters
    ----------
    name : a key of :data:`STRONG_PROBLEMS`; it ends with the calculus, "ito" or "stratonovich".
    sde, x0 : the SDE, and its initial state ``(n,)``; float64.
    solution : of times ``(paths, 1)``, W there ``(paths, m)`` and areas ``(paths, m, m)``; returns ``(paths, n)``.
    commuting : whether the diffusion vectors commute; the solution then looks at no area.
    """

    name: str
    sde: SDE
    x0: Float[Tensor, " n"]
    solution: Solution
    commuting: bool

    @property
    def reference(self) -> Callable[..., Float[Tensor, "paths n"]]:
        """The solution at time 1, as :func:`sdewm.convergence` takes it."""
        if self.commuting:
            return lambda W: self.solution(torch.ones_like(W[:, :1]), W, _no_area(W))
        return lambda W, A: self.solution(torch.ones_like(W[:, :1]), W, A)


def _no_area(W: Tensor) -> Tensor:
    return W.new_zeros(()).expand(*W.shape, W.shape[-1])


def _row(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


# -- one state, one noise: dx = α b dt + β b ∘dW, of which y = ∫ dx/b is α t + β W


@dataclass(frozen=True)
class _Curve:
    """x as a function of y with dx/dy = b(x); ``slope`` is b'."""

    x_of: RealFunction
    b: RealFunction
    slope: RealFunction
    y0: float
    rate: float = 0.2
    size: float = 0.5


CURVES = {
    "exponential": _Curve(torch.exp, lambda x: x, torch.ones_like, 0.0),
    "sinh": _Curve(torch.sinh, lambda x: (1 + x * x).sqrt(), lambda x: x / (1 + x * x).sqrt(), 0.3),
    "tanh": _Curve(torch.tanh, lambda x: 1 - x * x, lambda x: -2 * x, 0.2),
    "arctan": _Curve(torch.atan, lambda x: x.cos() ** 2, lambda x: -torch.sin(2 * x), 0.5),
    "logistic": _Curve(torch.sigmoid, lambda x: x * (1 - x), lambda x: 1 - 2 * x, -0.4, size=1.0),
    "arsinh": _Curve(torch.asinh, lambda x: 1 / x.cosh(), lambda x: -x.tanh() / x.cosh(), 0.4, size=1.0),
    "gudermann": _Curve(lambda y: 2 * torch.atan(torch.tanh(y / 2)), torch.cos, lambda x: -x.sin(), 0.3, size=0.7),
    "softplus": _Curve(lambda y: (1 + y.exp()).log(), lambda x: 1 - (-x).exp(), lambda x: (-x).exp(), 0.5, size=0.7),
    "square": _Curve(torch.square, lambda x: 2 * x.sqrt(), lambda x: 1 / x.sqrt(), 5.0, size=0.7),
    "cube": _Curve(lambda y: y**3, lambda x: 3 * x ** (2 / 3), lambda x: 2 * x ** (-1 / 3), 3.0, size=0.3),
    "logarithm": _Curve(torch.log, lambda x: (-x).exp(), lambda x: -(-x).exp(), 4.0, size=0.7),
    "reciprocal": _Curve(torch.reciprocal, lambda x: -x * x, lambda x: -2 * x, 4.0, size=0.7),
}


def _of_one_curve() -> Iterator[StrongProblem]:
    for name, curve in CURVES.items():

        def solution(t: Tensor, W: Tensor, A: Tensor, c: _Curve = curve) -> Tensor:
            return c.x_of(c.y0 + c.rate * t + c.size * W)

        def g(t: Tensor, x: Tensor, c: _Curve = curve) -> Tensor:
            return c.size * c.b(x)

        def straight(t: Tensor, x: Tensor, c: _Curve = curve) -> Tensor:
            return c.rate * c.b(x)

        def corrected(t: Tensor, x: Tensor, c: _Curve = curve) -> Tensor:
            return c.b(x) * (c.rate + 0.5 * c.size**2 * c.slope(x))

        x0 = curve.x_of(_row(curve.y0))
        drifts: dict[SdeType, Drift] = {"stratonovich": straight, "ito": corrected}
        for calculus, f in drifts.items():
            sde = FunctionSDE(f, g, "diagonal", calculus)
            yield StrongProblem(f"{name}, {calculus}", sde, x0, solution, True)


# -- several noises


def _in_both(
    name: str,
    f: Drift | None,
    g: Diffusion,
    noise: NoiseType,
    x0: Tensor,
    solution: Solution,
    commuting: bool = True,
) -> Iterator[StrongProblem]:
    sde = FunctionSDE(f, g, noise, "stratonovich")
    yield StrongProblem(f"{name}, stratonovich", sde, x0, solution, commuting)
    yield StrongProblem(f"{name}, ito", to_ito(sde), x0, solution, commuting)


def _linear(name: str, drift: Tensor, matrices: list[Tensor], x0: Tensor) -> Iterator[StrongProblem]:
    """dx = M x dt + Σ B_k x ∘dW_k with matrices that all commute: x = exp(M t + Σ B_k W_k) x0."""

    def solution(t: Tensor, W: Tensor, A: Tensor) -> Tensor:
        exponent = t[..., None] * drift + torch.einsum("pk,kij->pij", W, torch.stack(matrices))
        return torch.linalg.matrix_exp(exponent) @ x0

    noise: NoiseType = "scalar" if len(matrices) == 1 else "general"
    yield from _in_both(
        name,
        lambda t, x: x @ drift.mT,
        lambda t, x: torch.stack([x @ B.mT for B in matrices], -1),
        noise,
        x0,
        solution,
    )


def _commuting() -> Iterator[StrongProblem]:
    turn, one = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64), torch.eye(2, dtype=torch.float64)
    yield from _linear("rotation", 0.2 * one, [turn], _row(1.0, 0.0))
    yield from _linear("spiral", 0.5 * turn - 0.2 * one, [0.8 * turn, 0.3 * one], _row(0.6, -0.8))
    shear = torch.tensor([[0.4, 1.0, 0.3], [0.0, 0.4, 1.0], [0.0, 0.0, 0.4]], dtype=torch.float64)
    yield from _linear("Jordan block", -0.5 * shear, [0.5 * shear, 0.3 * shear @ shear], _row(0.3, -0.5, 1.0))
    around = torch.tensor([[0.0, -0.6, 0.8], [0.6, 0.0, 0.0], [-0.8, 0.0, 0.0]], dtype=torch.float64)
    yield from _linear("turn about an axis", 0.3 * around, [around], _row(0.0, 0.6, 0.8))
    weights = _row(0.4, -0.3)
    yield from _in_both(
        "exponential of two noises",
        lambda t, x: 0.1 * x,
        lambda t, x: x.unsqueeze(-1) * weights,
        "general",
        _row(1.0),
        lambda t, W, A: torch.exp(0.1 * t + (W @ weights).unsqueeze(-1)),
    )
    yield from _in_both(
        "sinh of two noises",
        lambda t, x: 0.2 * (1 + x * x).sqrt(),
        lambda t, x: (1 + x * x).sqrt().unsqueeze(-1) * weights,
        "general",
        _row(0.0),
        lambda t, W, A: torch.sinh(0.2 * t + (W @ weights).unsqueeze(-1)),
    )
    yield from _in_both(
        "two curves",
        None,
        lambda t, x: torch.stack([0.6 * (1 - x[:, 0] ** 2), 0.8 * x[:, 1].cos()], -1),
        "diagonal",
        _row(0.0, 0.0),
        lambda t, W, A: torch.stack([torch.tanh(0.6 * W[:, 0]), 2 * torch.atan(torch.tanh(0.4 * W[:, 1]))], -1),
    )
    yield from _in_both(
        "change of coordinates",
        lambda t, x: torch.stack([torch.zeros_like(x[:, 0]), torch.full_like(x[:, 1], 0.3)], -1),
        lambda t, x: _columns(
            [(1 + x[:, 0] ** 2).sqrt(), 0.5 * torch.cos(torch.asinh(x[:, 0]))],
            [0 * x[:, 0], torch.ones_like(x[:, 0])],
        ),
        "general",
        _row(0.0, 0.0),
        lambda t, W, A: torch.stack([torch.sinh(W[:, 0]), W[:, 1] + 0.5 * W[:, 0].sin() + 0.3 * t[:, 0]], -1),
    )
    yield from _in_both(
        "square root of time",
        lambda t, x: 0.5 / (1 + t).sqrt() - x / (2 * (1 + t)),
        lambda t, x: (0.4 / (1 + t).sqrt()).expand(x.shape),
        "diagonal",
        _row(1.0),
        lambda t, W, A: (1 + 0.5 * t + 0.4 * W) / (1 + t).sqrt(),
    )
    yield from _in_both(
        "square of time",
        lambda t, x: 2 * x / (1 + t) + 0.3 * (1 + t) ** 2,
        lambda t, x: (0.5 * (1 + t) ** 2).expand(x.shape),
        "diagonal",
        _row(1.0),
        lambda t, W, A: (1 + t) ** 2 * (1 + 0.3 * t + 0.5 * W),
    )


def _columns(*columns: list[Tensor]) -> Tensor:
    """A diffusion matrix ``(paths, n, m)`` from the components of its columns."""
    return torch.stack([torch.stack(column, -1) for column in columns], -1)


# -- noises that do not commute: coordinates of (W, A)


def _not_commuting() -> Iterator[StrongProblem]:
    def area(A: Tensor) -> Tensor:
        return A[:, 0, 1]

    def integral(W: Tensor, A: Tensor) -> Tensor:
        """∫W_1 ∘dW_2."""
        return A[:, 0, 1] + 0.5 * W[:, 0] * W[:, 1]

    yield from _in_both(
        "heisenberg",
        lambda t, x: torch.stack([0 * x[:, 0], 0 * x[:, 0], torch.full_like(x[:, 0], 0.3)], -1),
        lambda t, x: _columns(
            [torch.ones_like(x[:, 0]), 0 * x[:, 0], -0.5 * x[:, 1]],
            [0 * x[:, 0], torch.ones_like(x[:, 0]), 0.5 * x[:, 0]],
        ),
        "general",
        _row(0.0, 0.0, 0.0),
        lambda t, W, A: torch.stack([W[:, 0], W[:, 1], area(A) + 0.3 * t[:, 0]], -1),
        commuting=False,
    )
    yield from _in_both(
        "grushin",
        None,
        lambda t, x: _columns([torch.ones_like(x[:, 0]), 0 * x[:, 0]], [0 * x[:, 0], x[:, 0]]),
        "general",
        _row(0.0, 0.0),
        lambda t, W, A: torch.stack([W[:, 0], integral(W, A)], -1),
        commuting=False,
    )
    yield from _in_both(
        "grushin, diagonal",
        None,
        lambda t, x: torch.stack([torch.ones_like(x[:, 0]), 1 + 0.5 * x[:, 0]], -1),
        "diagonal",
        _row(0.0, 0.0),
        lambda t, W, A: torch.stack([W[:, 0], W[:, 1] + 0.5 * integral(W, A)], -1),
        commuting=False,
    )
    yield from _in_both(
        "exponential of an integral",
        lambda t, x: torch.stack([0 * x[:, 0], 0.2 * x[:, 1]], -1),
        lambda t, x: _columns([torch.ones_like(x[:, 0]), 0 * x[:, 0]], [0 * x[:, 0], 0.4 * x[:, 0] * x[:, 1]]),
        "general",
        _row(0.0, 1.0),
        lambda t, W, A: torch.stack([W[:, 0], torch.exp(0.2 * t[:, 0] + 0.4 * integral(W, A))], -1),
        commuting=False,
    )
    yield from _in_both(
        "sinh of an integral",
        None,
        lambda t, x: _columns(
            [(1 + x[:, 0] ** 2).sqrt(), 0 * x[:, 0]],
            [0 * x[:, 0], 0.5 * torch.asinh(x[:, 0]) * (1 + x[:, 1] ** 2).sqrt()],
        ),
        "general",
        _row(0.0, 0.0),
        lambda t, W, A: torch.stack([torch.sinh(W[:, 0]), torch.sinh(0.5 * integral(W, A))], -1),
        commuting=False,
    )

    # x = (sinh W_1, W_2 + ½ sin W_1, exp ½(0.3 t + ½ W_1 W_2 + A)), and W_1, W_2 from x.
    def back(x: Tensor) -> tuple[Tensor, Tensor]:
        first = torch.asinh(x[:, 0])
        return first, x[:, 1] - 0.5 * first.sin()

    def twisted(t: Tensor, x: Tensor) -> Tensor:
        first, _ = back(x)
        zero = 0 * first
        return _columns(
            [(1 + x[:, 0] ** 2).sqrt(), 0.5 * first.cos(), zero],
            [zero, zero + 1, 0.5 * first * x[:, 2]],
        )

    yield from _in_both(
        "twisted coordinates",
        lambda t, x: torch.stack([0 * x[:, 0], 0 * x[:, 0], 0.15 * x[:, 2]], -1),
        twisted,
        "general",
        _row(0.0, 0.0, 1.0),
        lambda t, W, A: torch.stack(
            [
                torch.sinh(W[:, 0]),
                W[:, 1] + 0.5 * W[:, 0].sin(),
                torch.exp(0.5 * (0.3 * t[:, 0] + integral(W, A))),
            ],
            -1,
        ),
        commuting=False,
    )
    first, second = torch.zeros(3, 3, dtype=torch.float64), torch.zeros(3, 3, dtype=torch.float64)
    first[0, 1], second[1, 2] = 1.0, 1.0
    yield from _in_both(
        "unipotent matrices",
        None,
        lambda t, x: torch.stack([x @ first.mT, x @ second.mT], -1),
        "general",
        _row(0.5, -0.3, 1.0),
        # dx_2 = x_3 ∘dW_2 and dx_1 = x_2 ∘dW_1, with ∫W_2 ∘dW_1 = ½ W_1 W_2 − A.
        lambda t, W, A: torch.stack(
            [
                0.5 - 0.3 * W[:, 0] + 0.5 * W[:, 0] * W[:, 1] - area(A),
                -0.3 + W[:, 1],
                torch.ones_like(W[:, 0]),
            ],
            -1,
        ),
        commuting=False,
    )

    def contact(t: Tensor, x: Tensor) -> Tensor:
        zero = 0 * x[:, 0]
        one = zero + 1
        return _columns(
            [one, zero, zero, zero, -0.5 * x[:, 1]],
            [zero, one, zero, zero, 0.5 * x[:, 0]],
            [zero, zero, one, zero, -0.25 * x[:, 3]],
            [zero, zero, zero, one, 0.25 * x[:, 2]],
        )

    yield from _in_both(
        "four noises, two areas",
        None,
        contact,
        "general",
        _row(0.0, 0.0, 0.0, 0.0, 0.0),
        lambda t, W, A: torch.cat([W, (A[:, 0, 1] + 0.5 * A[:, 2, 3]).unsqueeze(-1)], -1),
        commuting=False,
    )

    def free(t: Tensor, x: Tensor) -> Tensor:
        zero = 0 * x[:, 0]
        one = zero + 1
        return 0.7 * _columns(
            [one, zero, zero, -0.5 * x[:, 1], -0.5 * x[:, 2], zero],
            [zero, one, zero, 0.5 * x[:, 0], zero, -0.5 * x[:, 2]],
            [zero, zero, one, zero, 0.5 * x[:, 0], 0.5 * x[:, 1]],
        )

    yield from _in_both(
        "three noises, all areas",
        None,
        free,
        "general",
        _row(0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
        lambda t, W, A: torch.cat([0.7 * W, 0.49 * torch.stack([A[:, 0, 1], A[:, 0, 2], A[:, 1, 2]], -1)], -1),
        commuting=False,
    )


STRONG_PROBLEMS: dict[str, StrongProblem] = {
    problem.name: problem for problem in (*_of_one_curve(), *_commuting(), *_not_commuting())
}
