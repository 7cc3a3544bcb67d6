"""The policy of Section 4: π(h, z̃), a local maximizer of a value function Q(h, z̃, ·), and its derivatives."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sdewm import arguments
from sdewm.jets import Jet, JetSpace
from sdewm.jets.jet import constant
from sdewm.sensitivity.derivatives import derivatives
from sdewm.systems.checks import named

ValueFunction = Callable[[Tensor, Tensor, Tensor], Tensor]


class NoLocalMaximum(ArithmeticError):
    """Q(h, z̃, ·) has no nondegenerate local maximum where the search ended; the message names a path."""


def _bound(name: str, value: float | Tensor | None, none: float, start: Tensor) -> Tensor:
    """One bound of the box for each action."""
    if value is None:
        return torch.full_like(start, none)
    bound = torch.as_tensor(arguments.tensor(name, value)).to(start)
    if bound.ndim and bound.shape != start.shape:
        raise ValueError(f"{name}: expected a number or shape {tuple(start.shape)}, got {tuple(bound.shape)}")
    return bound.expand_as(start)


class LocalMaximizer:
    """π(h, z̃) = argmax_a Q(h, z̃, a), the local maximum that a safeguarded Newton search reaches from ``start``.

    Parameters
    ----------
    q : ``(h, z, a) -> (paths,)``, twice continuously differentiable, made of operations that jets know.
    start : where every search begins, ``(actions,)``.
    low, high : bounds of a box of actions, numbers or ``(actions,)``. A coordinate that ends on its bound with a
        gradient that points outwards stays there, and does not change with h and z̃.
    tolerance : largest gradient, in units of the curvature, and largest last step.
    iterations : of Newton's method.

    Calling it with tensors ``(paths, ·)`` returns ``(paths, actions)``. With jets it returns the jet of π, whatever its
    order, so that it serves as the ``policy`` of a :class:`~sdewm.systems.latent.LatentSDE`: steps
    a ← a − Q_aa⁻¹ ∂_a Q with the Hessian of the value gain one order each, which is the implicit function
    theorem's recursion.

    Raises
    ------
    NoLocalMaximum : when called, if the search does not end, or ends where ∂²Q/∂a² is not negative definite: singular
        (then there need not be a differentiable maximizer, see the class's text below), or with a positive eigenvalue
        (a saddle point or a minimum); or on a bound of the box with no gradient, where π has a kink.

    A local maximum alone does not make ∂²Q/∂a² negative definite, as the proof of Theorem C.1 has it: Q = −a⁴/4 + a h
    has the maximizer h^{1/3}, which has no derivative at 0.

    >>> policy = LocalMaximizer(lambda h, z, a: -((a - h - z) ** 2).sum(-1), torch.zeros(1, dtype=torch.float64))
    >>> policy(torch.full((1, 1), 0.2, dtype=torch.float64), torch.full((1, 1), 0.1, dtype=torch.float64))
    tensor([[0.3000]], dtype=torch.float64)
    """

    # An eigenvalue this much smaller than the largest curvature met on the way counts as zero.
    singular = 1e-7
    # The longest step, in units of the action; Q need not be concave far from its maximum.
    radius = 2.0

    def __init__(
        self, q: ValueFunction, start: Tensor, *, low: float | Tensor | None = None, high: float | Tensor | None = None,
        tolerance: float = 1e-10, iterations: int = 100,
    ) -> None:  # fmt: skip
        arguments.function("q", q, "(h, z, a)")
        start = arguments.tensor("start", start)
        tolerance, iterations = (
            arguments.real("tolerance", tolerance, above=0.0),
            arguments.integer("iterations", iterations, 1),
        )
        if start.ndim != 1 or not len(start):
            raise ValueError(
                f"start: expected floating-point actions (actions,), got {start.dtype} {tuple(start.shape)}"
            )
        self.q, self.start, self.tolerance, self.iterations = q, start, tolerance, iterations
        self.low = _bound("low", low, -torch.inf, start)
        self.high = _bound("high", high, torch.inf, start)
        if not bool((self.low < self.high).all()):
            raise ValueError(f"low, high: expected low < high, got {self.low.tolist()} and {self.high.tolist()}")

    def __call__(self, h: Tensor, z: Tensor) -> Tensor:
        if not isinstance(h, Jet) and not isinstance(z, Jet):
            return self.solve(h, z)[0]
        a, hessian, free = self.solve(*(x.value if isinstance(x, Jet) else x for x in (h, z)))
        space = h.space if isinstance(h, Jet) else z.space  # type: ignore[attr-defined]
        action = constant(a, space)
        for _ in range(space.order):
            gradient = torch.where(free, self._gradient(h, z, action), 0.0)
            step = torch.linalg.solve(hessian, gradient.unsqueeze(-1)).squeeze(-1)
            action = Jet(torch.cat([a[None], (action.coefficients - step)[1:]]), space)
        return action

    def derivatives(self, h: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """∂π ``(paths, actions, n)`` and ∂²π ``(paths, actions, n, n)`` in x = (h, z̃), by the implicit function.

        With F = ∂_a Q: ∂π = −Q_aa⁻¹ Q_ax, and ∂²π[u, v] = −Q_aa⁻¹ (Q_aaa[∂π u, ∂π v] + Q_aax[∂π u, v] + Q_aax[∂π v, u]
        + Q_axx[u, v]). Calling with jets gives the same, and shares no formula with this.
        """
        a, hessian, free = self.solve(h, z)
        nh, n = h.shape[-1], h.shape[-1] + z.shape[-1]
        _, second, third = derivatives(
            lambda y: self.q(y[..., :nh], y[..., nh:n], y[..., n:]), torch.cat([h, z, a], -1), 3
        )
        mixed = torch.where(free.unsqueeze(-1), second[:, n:, :n], 0.0)
        first = -torch.linalg.solve(hessian, mixed)
        # How (x, π(x)) moves with x: all four terms in one contraction.
        moves = torch.cat([torch.eye(n, dtype=a.dtype, device=a.device).expand(len(a), n, n), first], 1)
        forcing = torch.einsum("paij,piu,pjv->pauv", third[:, n:], moves, moves)
        forcing = torch.where(free[..., None, None], forcing, 0.0)
        return first, -torch.linalg.solve(hessian, forcing.flatten(2)).view_as(forcing)

    def solve(self, h: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """π ``(paths, actions)``, ∂²Q/∂a² ``(paths, actions, actions)``, and which coordinates are free of the box.

        The rows and columns of the Hessian that belong to coordinates held by the box are those of minus the identity.
        """
        paths = max(len(h), len(z))
        start = self.start.to(h).expand(paths, -1)
        with named(f"q: expected a function of (h, z, a), with actions {tuple(start.shape)}"):
            value = arguments.instance("q", self.q(h, z, start), Tensor, "a function that returns a tensor (paths,)")
        if value.shape != (paths,) or not value.is_floating_point():
            raise ValueError(f"q: expected floating-point values of shape {(paths,)}, got {arguments.shown(value)}")
        a = self.start.to(h).expand(paths, -1).clamp(self.low.to(h), self.high.to(h))
        largest = h.new_zeros(paths)
        last = h.new_full((paths,), torch.inf)
        for _ in range(self.iterations):
            gradient, hessian, free = self._local(h, z, a)
            values, vectors = torch.linalg.eigh(-hessian)
            largest = torch.maximum(largest, values.abs().amax(-1))
            ended = (gradient.abs().amax(-1) <= self.tolerance * largest) & (last <= self.tolerance**0.5)
            if bool(ended.all()):
                break
            # Uphill along every eigenvector, also where Q curves upwards.
            size = values.abs().clamp_min(1e-12).maximum(1e-14 * largest[:, None])
            step = (vectors @ ((vectors.mT @ gradient.unsqueeze(-1)) / size.unsqueeze(-1))).squeeze(-1)
            step = step * (self.radius / step.norm(dim=-1, keepdim=True).clamp_min(self.radius))
            moved = self._uphill(h, z, a, step, gradient)
            last = torch.where(ended, last, (moved - a).abs().amax(-1))
            a = torch.where(ended[:, None], a, moved)
        self._judge(h, z, a, largest, ended)
        _, hessian, free = self._local(h, z, a)
        return a, hessian, free

    def _local(self, h: Tensor, z: Tensor, a: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        gradient, hessian = derivatives(lambda b: self.q(h, z, b), a)
        held = ((a <= self.low.to(a)) & (gradient < 0)) | ((a >= self.high.to(a)) & (gradient > 0))
        free = ~held
        both = free.unsqueeze(-1) & free.unsqueeze(-2)
        identity = torch.eye(a.shape[-1], dtype=a.dtype, device=a.device)
        return torch.where(free, gradient, 0.0), torch.where(both, hessian, -identity), free

    def _uphill(self, h: Tensor, z: Tensor, a: Tensor, step: Tensor, gradient: Tensor) -> Tensor:
        """The longest of step, step/2, step/4, … that raises Q enough, path by path."""
        value = self.q(h, z, a)
        slope, slack = (gradient * step).sum(-1), 1e-14 * (1 + value.abs())
        length, moved = torch.ones_like(value), a
        waiting = torch.ones_like(value, dtype=torch.bool)
        for _ in range(40):
            candidate = (a + length[:, None] * step).clamp(self.low.to(a), self.high.to(a))
            enough = waiting & (self.q(h, z, candidate) >= value + 1e-4 * length * slope - slack)
            moved = torch.where(enough[:, None], candidate, moved)
            waiting = waiting & ~enough
            if not bool(waiting.any()):
                break
            length = torch.where(waiting, length / 2, length)
        return moved

    def _judge(self, h: Tensor, z: Tensor, a: Tensor, largest: Tensor, ended: Tensor) -> None:
        [gradient] = derivatives(lambda b: self.q(h, z, b), a, 1)
        _, reduced, free = self._local(h, z, a)
        values = torch.linalg.eigvalsh(reduced)
        closest = values.gather(-1, values.abs().argmin(-1, keepdim=True)).squeeze(-1)
        flat = free.any(-1) & (closest.abs() <= self.singular * largest)
        uphill = free.any(-1) & (values[:, -1] > 0)
        on_bound = (a <= self.low.to(a)) | (a >= self.high.to(a))
        kink = (on_bound & (gradient.abs() <= self.tolerance * largest[:, None])).any(-1)
        for name, bad, number in (
            ("∂²Q/∂a² is singular, its eigenvalue closest to zero being", flat, closest),
            ("the search ends at a saddle point or minimum of Q, the largest eigenvalue of ∂²Q/∂a² being", uphill,
             values[:, -1]),
            ("the action sits on its bound with no gradient, a kink of the policy; the gradient is", kink,
             gradient.abs().amin(-1)),
            (f"no maximum within {self.iterations} iterations; the gradient is", ~ended, gradient.abs().amax(-1)),
        ):  # fmt: skip
            if bool(bad.any()):
                i = int(bad.nonzero()[0])
                raise NoLocalMaximum(
                    f"policy: {name} {float(number[i]):.3g}, on path {i} ({int(bad.sum())} of {len(bad)} paths), "
                    f"at a = {[round(v, 6) for v in a[i].tolist()]}"
                )

    def _gradient(self, h: Tensor, z: Tensor, a: Jet) -> Tensor:
        """The coefficients of ∂_a Q, by a jet in one parameter more: one copy of the paths for each action."""
        space, (paths, actions) = a.space, a.shape
        bigger = JetSpace(space.parameters + 1, space.order + 1)
        rows = torch.tensor([bigger.position((*alpha, 0)) for alpha in space.indices])
        slopes = torch.tensor([bigger.position((*alpha, 1)) for alpha in space.indices])
        direction = bigger.position((*[0] * space.parameters, 1))

        def lifted(x: Tensor) -> Tensor:
            if not isinstance(x, Jet):
                return x.repeat(actions, 1) if len(x) == paths else x
            coefficients = x.coefficients.new_zeros(len(bigger), actions * len(x), x.shape[-1])
            coefficients[rows] = x.coefficients.repeat(1, actions, 1)
            return Jet(coefficients, bigger)

        action = lifted(a)
        identity = torch.eye(actions, dtype=a.dtype, device=a.device)
        action.coefficients[direction] = identity.repeat_interleave(paths, 0)  # type: ignore[attr-defined]
        value = self.q(lifted(h), lifted(z), action)
        if not isinstance(value, Jet):
            raise TypeError("q: expected a value that depends on the action")
        gradient = value.coefficients[slopes].unflatten(1, (actions, paths)).transpose(1, 2)
        return gradient
