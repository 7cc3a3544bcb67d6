"""The policy of Section 4: π(h, z̃), a local maximizer of a value function Q(h, z̃, ·), and its derivatives."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sdewm import arguments
from sdewm.jets import Jet, JetSpace
from sdewm.jets.jet import constant
from sdewm.sensitivity.derivatives import derivatives
from sdewm.systems.user_functions import named

ValueFunction = Callable[
    [Float[Tensor, "paths h"], Float[Tensor, "paths z_tilde"], Float[Tensor, "paths actions"]], Float[Tensor, " paths"]
]


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
    """π(h, z̃) = argmax_a Q(h, z̃, a), the local maximum that a safeguarded Newton search reaches from ``guess``.

    Parameters
    ----------
    q : ``(h, z, a) -> (paths,)``, twice continuously differentiable, made of operations that jets know.
    guess : where every search begins, ``(actions,)``.
    low, high : bounds of a box of actions, numbers or ``(actions,)``. A coordinate that ends on its bound with a
        gradient that points outwards stays there, and does not change with h and z̃.
    tolerance : the largest last step of the search, in parts of how large the action is or how far it went. No less
        than 64 roundings of the states' dtype; where Q's derivatives are not that precise, as far as they go.
    iterations : of Newton's method.

    Units do not matter: neither those of Q, nor those of each action by itself.

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
    # A step is at most this many times as long as the longest one before: Q need not be concave far from its maximum.
    growth = 4.0
    # How many roundings of Q, or of an action, are none.
    roundings = 64

    def __init__(
        self,
        q: ValueFunction,
        guess: Float[Tensor, " actions"],
        *,
        low: float | Float[Tensor, " *actions"] | None = None,
        high: float | Float[Tensor, " *actions"] | None = None,
        tolerance: float = 1e-10,
        iterations: int = 100,
    ) -> None:
        arguments.function("q", q, "(h, z, a)")
        guess = arguments.tensor("guess", guess)
        tolerance, iterations = (
            arguments.real("tolerance", tolerance, above=0.0),
            arguments.integer("iterations", iterations, 1),
        )
        if guess.ndim != 1 or not len(guess):
            raise ValueError(
                f"guess: expected floating-point actions (actions,), got {guess.dtype} {tuple(guess.shape)}"
            )
        self.q, self.guess, self.tolerance, self.iterations = q, guess, tolerance, iterations
        self.low = _bound("low", low, -torch.inf, guess)
        self.high = _bound("high", high, torch.inf, guess)
        if not bool((self.low < self.high).all()):
            raise ValueError(f"low, high: expected low < high, got {self.low.tolist()} and {self.high.tolist()}")

    def __call__(
        self, h: Float[Tensor, "paths h"], z: Float[Tensor, "paths z_tilde"]
    ) -> Float[Tensor, "paths actions"]:
        if not isinstance(h, Jet) and not isinstance(z, Jet):
            return self.solve(h, z)[0]
        a, hessian, free = self.solve(*(x.value if isinstance(x, Jet) else x for x in (h, z)))
        space = next(x.space for x in (h, z) if isinstance(x, Jet))
        action = constant(a, space)
        for _ in range(space.order):
            gradient = torch.where(free, self._gradient(h, z, action), 0.0)
            step = torch.linalg.solve(hessian, gradient.unsqueeze(-1)).squeeze(-1)
            action = Jet(torch.cat([a[None], (action.coefficients - step)[1:]]), space)
        return action

    def derivatives(
        self, h: Float[Tensor, "paths h"], z: Float[Tensor, "paths z_tilde"]
    ) -> tuple[Float[Tensor, "paths actions n"], Float[Tensor, "paths actions n n"]]:
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

    def solve(
        self, h: Float[Tensor, "paths h"], z: Float[Tensor, "paths z_tilde"]
    ) -> tuple[Float[Tensor, "paths actions"], Float[Tensor, "paths actions actions"], Bool[Tensor, "paths actions"]]:
        """π ``(paths, actions)``, ∂²Q/∂a² ``(paths, actions, actions)``, and which coordinates are free of the box.

        The rows and columns of the Hessian that belong to coordinates held by the box are those of minus the identity.
        """
        paths = max(len(h), len(z))
        start = self.guess.to(h).expand(paths, -1)
        with named(f"q: expected a function of (h, z, a), with actions {tuple(start.shape)}"):
            value = arguments.instance("q", self.q(h, z, start), Tensor, "a function that returns a tensor (paths,)")
        if value.shape != (paths,) or not value.is_floating_point():
            raise ValueError(f"q: expected floating-point values of shape {(paths,)}, got {arguments.shown(value)}")
        if not arguments.finite(value):
            raise ValueError(f"q: expected finite values at the guess, got a non-finite one at {self.guess.tolist()}")
        a = start.clamp(self.low.to(h), self.high.to(h))
        track = _Track(a)
        rounding = self.roundings * torch.finfo(a.dtype).eps
        tolerance = max(self.tolerance, rounding)
        previous = longest = a.new_full((paths,), torch.inf)
        for _ in range(self.iterations):
            value = self.q(h, z, a)
            gradient, free, whole = self._local(h, z, a)
            track.see(a, value, gradient, whole)
            scale = track.scale()
            values, vectors = torch.linalg.eigh(-_free_part(scale.unsqueeze(-1) * whole * scale.unsqueeze(-2), free))
            # Uphill along every eigenvector, also where Q curves upwards.
            along = (vectors.mT @ (scale * gradient).unsqueeze(-1)).squeeze(-1)
            scaled = (vectors @ (along / values.abs().clamp_min(self.flat(a))).unsqueeze(-1)).squeeze(-1)
            length = scaled.norm(dim=-1)
            step = scale * scaled
            small = (step.abs() <= tolerance * track.unit).all(-1)
            # Newton's steps shrink until they are rounding, and Q does not tell where they lead any more.
            stalled = (length >= previous) & ((gradient * step).sum(-1) <= rounding * track.size)
            ended = small | stalled
            if bool(ended.all()):
                a = torch.where(small[:, None], (a + step).clamp(self.low.to(a), self.high.to(a)), a)
                break
            step = step * (self.growth * longest / length.clamp_min(torch.finfo(a.dtype).tiny)).clamp_max(1.0)[:, None]
            moved = self._uphill(h, z, a, step, gradient, value, rounding * track.size)
            previous, taken = length, ((moved - a) / scale).norm(dim=-1)
            longest = torch.where(longest.isinf(), taken.where(taken > 0, longest), torch.maximum(longest, taken))
            track.move(moved - a)
            a = torch.where(ended[:, None], a, moved)
        self._judge(h, z, a, track, tolerance, ended)
        _, free, whole = self._local(h, z, a)
        return a, _free_part(whole, free), free

    def flat(self, a: Float[Tensor, "paths actions"]) -> float:
        """The part of the largest curvature that counts as none."""
        return max(self.singular, self.roundings * torch.finfo(a.dtype).eps)

    def _local(self, h: Tensor, z: Tensor, a: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """∂_a Q without what the box holds, which coordinates are free of it, and ∂²_a Q."""
        gradient, hessian = derivatives(lambda b: self.q(h, z, b), a)
        if not (arguments.finite(gradient) and arguments.finite(hessian)):
            i = int((~(gradient.isfinite().all(-1) & hessian.isfinite().all(-1).all(-1))).nonzero()[0])
            raise ValueError(f"q: expected finite derivatives, got non-finite ones on path {i} at a = {a[i].tolist()}")
        held = ((a <= self.low.to(a)) & (gradient < 0)) | ((a >= self.high.to(a)) & (gradient > 0))
        return torch.where(held, 0.0, gradient), ~held, hessian

    def _uphill(
        self, h: Tensor, z: Tensor, a: Tensor, step: Tensor, gradient: Tensor, value: Tensor, slack: Tensor
    ) -> Tensor:
        """The longest of step, step/2, step/4, … that raises Q enough, path by path."""
        slope = (gradient * step).sum(-1)
        length, moved = torch.ones_like(value), a
        waiting = torch.ones_like(value, dtype=torch.bool)
        for _ in range(60):
            candidate = (a + length[:, None] * step).clamp(self.low.to(a), self.high.to(a))
            reached = self.q(h, z, candidate)
            enough = waiting & (reached >= value + 1e-4 * length * slope - slack) & reached.isfinite()
            moved = torch.where(enough[:, None], candidate, moved)
            waiting = waiting & ~enough
            if not bool(waiting.any()):
                break
            length = torch.where(waiting, length / 2, length)
        return moved

    def _judge(self, h: Tensor, z: Tensor, a: Tensor, track: _Track, tolerance: float, ended: Tensor) -> None:
        [gradient] = derivatives(lambda b: self.q(h, z, b), a, 1)
        _, free, whole = self._local(h, z, a)
        scale = track.scale()
        scaled = torch.linalg.eigvalsh(_free_part(scale.unsqueeze(-1) * whole * scale.unsqueeze(-2), free))
        values = torch.linalg.eigvalsh(_free_part(whole, free))
        closest = values.gather(-1, values.abs().argmin(-1, keepdim=True)).squeeze(-1)
        flat = scaled.abs().amin(-1) <= self.flat(a)
        uphill = scaled[:, -1] > 0
        on_bound = (a <= self.low.to(a)) | (a >= self.high.to(a))
        kink = (on_bound & (gradient.abs() * scale.square() <= tolerance * track.unit)).any(-1)
        for name, bad, number in (
            ("∂²Q/∂a² is singular, its eigenvalue closest to zero being", flat, closest),
            (
                "the search ends at a saddle point or minimum of Q, the largest eigenvalue of ∂²Q/∂a² being",
                uphill,
                values[:, -1],
            ),
            (
                "the action sits on its bound with no gradient, a kink of the policy; the gradient is",
                kink,
                gradient.abs().amin(-1),
            ),
            (f"no maximum within {self.iterations} iterations; the gradient is", ~ended, gradient.abs().amax(-1)),
        ):
            if bool(bad.any()):
                i = int(bad.nonzero()[0])
                raise NoLocalMaximum(
                    f"policy: {name} {float(number[i]):.3g}, on path {i} ({int(bad.sum())} of {len(bad)} paths), "
                    f"at a = {[float(f'{v:.6g}') for v in a[i].tolist()]}"
                )

    def _gradient(self, h: Tensor, z: Tensor, a: Jet) -> Tensor:
        """The coefficients of ∂_a Q, by a jet in one parameter more: one copy of the paths for each action."""
        space, (paths, actions) = a.space, a.shape
        bigger = JetSpace(space.parameters + 1, space.order + 1)
        rows = torch.tensor([bigger.position((*alpha, 0)) for alpha in space.indices])
        slopes = torch.tensor([bigger.position((*alpha, 1)) for alpha in space.indices])
        direction = bigger.position((*[0] * space.parameters, 1))

        def raised(x: Jet) -> Jet:
            coefficients = x.coefficients.new_zeros(len(bigger), actions * len(x), x.shape[-1])
            coefficients[rows] = x.coefficients.repeat(1, actions, 1)
            return Jet(coefficients, bigger)

        def lifted(x: Tensor) -> Tensor:
            if isinstance(x, Jet):
                return raised(x)
            return x.repeat(actions, 1) if len(x) == paths else x

        action = raised(a)
        identity = torch.eye(actions, dtype=a.dtype, device=a.device)
        action.coefficients[direction] = identity.repeat_interleave(paths, 0)
        value = self.q(lifted(h), lifted(z), action)
        if not isinstance(value, Jet):
            raise TypeError("q: expected a value that depends on the action")
        gradient = value.coefficients[slopes].unflatten(1, (actions, paths)).transpose(1, 2)
        return gradient


def _free_part(hessian: Tensor, free: Tensor) -> Tensor:
    """A Hessian whose rows and columns that belong to held coordinates are those of minus the identity."""
    both = free.unsqueeze(-1) & free.unsqueeze(-2)
    return torch.where(both, hessian, -torch.eye(free.shape[-1], dtype=hessian.dtype, device=hessian.device))


class _Track:
    """What a search has met so far, path by path: by this sizes are told without knowing units.

    ``curvature`` and ``unit`` are of each action: the largest |∂²Q/∂a_i²|, and the largest |a_i| or step in a_i;
    ``size`` is that of the terms that Q is made of, as far as |Q|, |∂_i Q a_i| and |∂²_i Q a_i²| tell it.
    """

    def __init__(self, a: Tensor) -> None:
        self.curvature, self.unit, self.size = torch.zeros_like(a), a.abs(), a.new_zeros(len(a))

    def see(self, a: Tensor, value: Tensor, gradient: Tensor, hessian: Tensor) -> None:
        self.curvature = torch.maximum(self.curvature, hessian.diagonal(dim1=-2, dim2=-1).abs())
        self.unit = torch.maximum(self.unit, a.abs())
        self.hessian = hessian.abs()
        terms = (gradient.abs() * self.unit).sum(-1), (self.curvature * self.unit.square()).sum(-1)
        for one in (value.abs(), *terms):
            self.size = torch.maximum(self.size, one)

    def move(self, step: Tensor) -> None:
        self.unit = torch.maximum(self.unit, step.abs())

    def scale(self) -> Tensor:
        """The length of each action in which its own curvature is 1 at most, ``(paths, actions)``."""
        rows = self.hessian.amax(-1)
        curvature = self.curvature
        for instead in (rows, rows.amax(-1, keepdim=True), torch.ones_like(curvature)):
            curvature = torch.where(curvature > 0, curvature, instead)
        return curvature.rsqrt()
