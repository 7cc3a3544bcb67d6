"""Proven bounds on how far perturbed solutions diverge, given certified Lipschitz constants.

Everything holds for the Euler scheme on its grid, at any step Δt, and for the SDE in the limit Δt → 0: so bounds and
simulated paths can be compared with no discretization error between them. Throughout, x^ε and x⁰ are two solutions on
the same noise, Δ is what differs between them, |x| a Euclidean norm, ‖X‖ = (E X²)^½, and constants are as follows:
|Δf| ≤ a |Δx| for the drift f, ‖Δg‖_F ≤ b |Δx| for the diffusion. Derivatives in the initial value obey the same
inequalities, being limits of quotients, so each bound holds for them with |ε| = 1.

Every function raises ``ValueError`` that names a constant, a time or a number of steps which is not finite, is negative
where it must not be, or is no number, and ``ArithmeticError`` where the bound is too large for a floating-point number.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from sdewm import arguments

# Doob: E sup_{k ≤ n} |M_k|² ≤ 4 E|M_n|² for martingales M. No smaller number will do.
DOOB = 4.0
P = ParamSpec("P")
Bound = TypeVar("Bound", float, list[float], tuple[list[float], list[float]])


def _in_range(bound: Callable[P, Bound]) -> Callable[P, Bound]:
    """A bound that is not finite says nothing: an error that says so in its place."""
    too_large = "bound: expected a floating-point number, got one too large: constants or times are large"

    @functools.wraps(bound)
    def finite(*args: P.args, **given: P.kwargs) -> Bound:
        try:
            found = bound(*args, **given)
        except OverflowError:
            raise ArithmeticError(too_large) from None
        for numbers in found if isinstance(found, tuple) else (found,):
            if not all(map(math.isfinite, numbers if isinstance(numbers, list) else [numbers])):
                raise ArithmeticError(too_large)
        return found

    return finite


@_in_range
def log_gronwall(horizon: float, a: float, b: float) -> float:
    """log 3 + 3 (T a² + 4 b²) T, the logarithm of a bound on E sup_{t ≤ T} |Δx_t|² / E|ε|².

    Proof. Δx_n = ε + Σ Δf_k Δt + M_n with M a martingale, so that sup_{j ≤ n} |Δx_j|² ≤
    3|ε|² + 3 T a² Σ_{k<n} |Δx_k|² Δt + 3 sup |M|², and E sup |M|² ≤ 4 b² Σ E|Δx_k|² Δt by Doob. Gronwall's lemma. ∎
    """
    horizon, a, b = (_constant(name, value) for name, value in (("horizon", horizon), ("a", a), ("b", b)))
    return math.log(3) + 3 * (horizon * a**2 + DOOB * b**2) * horizon


@_in_range
def mean_square(rate: float, dt: float, steps: int) -> list[float]:
    """(1 + 2ν Δt)^n for n = 0..steps, a bound on E|Δx_n|² / E|ε|²; its limit is exp(2νt).

    ν with 2⟨Δx, Δf⟩ + ‖Δg‖_F² + Δt |Δf|² ≤ 2ν |Δx|², as
    :meth:`sdewm.divergence.lipschitz.SlopeNetwork.mean_square_rate` gives.
    In constants, ν = μ + ½ b² + ½ Δt a² with μ a one-sided Lipschitz constant of f. Negative ν is decay.

    Proof. Given the past, E|Δx_{n+1}|² = |Δx_n|² + Δt (2⟨Δx, Δf⟩ + Δt |Δf|² + ‖Δg‖_F²), the increment being
    independent of it. ∎
    """
    rate, dt = arguments.real("rate", rate), _constant("dt", dt)
    steps = arguments.integer("steps", steps, 0)
    factor = max(1 + 2 * rate * dt, 0.0)
    return [factor**n for n in range(steps + 1)]


@_in_range
def supremum_from_mean_square(squares: Sequence[float], dt: float, a: float, b: float) -> list[float]:
    """A bound on E sup_{k ≤ n} |Δx_k|² / E|ε|² for n = 0, 1, …, from one on E|Δx_k|² / E|ε|².

    (1 + a Σ_{k<n} ‖Δx_k‖ Δt + 2b (Σ_{k<n} ‖Δx_k‖² Δt)^½)² by Minkowski's inequality in L² and Doob's: nothing is put
    into an exponential, so that a decaying mean square keeps the supremum bounded for all time.
    """
    squares = [_constant(f"squares[{n}]", value) for n, value in enumerate(arguments.reals("squares", squares))]
    dt, a, b = (_constant(name, value) for name, value in (("dt", dt), ("a", a), ("b", b)))
    found, drift, noise = [], 0.0, 0.0
    for value in squares:
        found.append((1 + a * drift + b * math.sqrt(DOOB * noise)) ** 2)
        drift += math.sqrt(value) * dt
        noise += value * dt
    return found


@_in_range
def pathwise(rate: float, dt: float, steps: int) -> float:
    """A bound on sup_{n ≤ steps} |Δx_n| / |ε| path by path, for additive noise: exp(max(μ, 0) T) as Δt → 0.

    ``rate`` is ν of :func:`mean_square` with b = 0; then |Δx_{n+1}|² ≤ (1 + 2νΔt) |Δx_n|² on every path. ∎
    """
    return max(mean_square(rate, dt, steps)) ** 0.5


@dataclass(frozen=True)
class StepConstants:
    """Certified constants of one step of (19), in which h and z̃ are kept apart.

    u and v being the differences in h and z̃, with h' = h + Δt F(h, z̃) and z̃' = (1 − leak Δt) z̃ + Δt p(h) + p̄(h)
    ΔB:

    - ``state``: Lipschitz constant of h ↦ h + Δt F(h, z̃); ``from_latent``: of z̃ ↦ Δt F(h, z̃);
    - ``predict``: of Δt p; ``noise``: of √Δt p̄ in the Frobenius norm; ``keep``: |1 − leak Δt|, at most 1;
    - ``sequential``: z̃ sees the new h, as in the step of a recurrent state-space model.
    """

    state: float
    from_latent: float
    predict: float
    noise: float
    keep: float
    sequential: bool = False

    def __post_init__(self) -> None:
        for name in ("state", "from_latent", "predict", "noise", "keep"):
            object.__setattr__(self, name, _constant(name, getattr(self, name)))
        arguments.choice("sequential", self.sequential, (False, True))
        if self.keep > 1:
            raise ValueError(f"keep: expected at most 1, got {self.keep}: the step is too long for the leak")


@_in_range
def block_mean_squares(c: StepConstants, steps: int, start: tuple[float, float]) -> tuple[list[float], list[float]]:
    """Bounds on ‖u_n‖ and ‖v_n‖, n = 0..steps, from their values at the start.

    Proof. |u'| ≤ state |u| + from_latent |v| on every path, and by independence of the increment
    E|v'|² = E|keep v + Δt Δp|² + Δt E‖Δp̄‖² ≤ (keep ‖v‖ + predict ‖u‖)² + noise² ‖u‖², with u' for u where the step is
    sequential. Both right-hand sides grow with ‖u‖ and ‖v‖, so they may be replaced by their bounds. ∎
    """
    c, start, steps = _checked(c, start, steps)
    u, v = [start[0]], [start[1]]
    for _ in range(steps):
        new = c.state * u[-1] + c.from_latent * v[-1]
        seen = new if c.sequential else u[-1]
        v.append(math.hypot(c.keep * v[-1] + c.predict * seen, c.noise * seen))
        u.append(new)
    return u, v


@_in_range
def block_supremum(
    c: StepConstants, steps: int, start: tuple[float, float] = (0.0, 1.0), state: Sequence[float] | None = None
) -> list[float]:
    """A bound on E sup_{k ≤ n} (|u_k|² + |v_k|²) for n = 0..steps, with a start of (|u_0|, |v_0|).

    ``state`` are further bounds on ‖u_n‖, such as those of :func:`mean_square` in a weighted metric; the lesser counts.
    With constants that make the step a contraction the bound does not grow with the horizon.

    Proof. Write v_n = r_n + N_n, with N_n = Σ_{k<n} keep^{n−1−k} Δp̄_k ΔB_k and r the rest. keep^n = ⟨e, Uⁿ e⟩ for
    a unitary U and a unit vector e (Sz.-Nagy's dilation), so |N_n| ≤ |Σ_{k<n} U^{−k} e ⊗ Δp̄_k ΔB_k|, a martingale in a
    Hilbert space, and Doob gives E sup |N|² ≤ 4 noise² Σ_{k<n} ‖u_k‖²; the sum over n of E|N_n|² gives 1/(1 − keep²)
    for 4 where that is less. With N* = sup |N|, the inequalities |r'| ≤ keep |r| + predict |u| and |u'| ≤ state |u| +
    from_latent (|r| + N*) hold on every path and are linear, so (|u|, |v|) ≤ (û, v̂) + (ũ, 1 + ṽ) N*, the numbers with
    a hat starting as (u, v) do and those with a tilde at 0. Minkowski's inequality in L²:
    ‖sup |(u, v)|‖ ≤ sup |(û, v̂)| + sup |(ũ, 1 + ṽ)| ‖N*‖. Where it is less, the sum of ‖u_k‖² + ‖v_k‖² will do. ∎
    """
    c, start, steps = _checked(c, start, steps)
    u, v = block_mean_squares(c, steps, start)
    if state is not None:
        state = [_constant(f"state[{n}]", value) for n, value in enumerate(arguments.reals("state", state))]
        if len(state) != len(u):
            raise ValueError(f"state: expected {len(u)} bounds, one for each time, got {len(state)}")
        u = [min(pair) for pair in zip(u, state, strict=True)]
    factor = DOOB if c.keep >= 1 else min(DOOB, 1 / (1 - c.keep**2))
    hat, tilde = start, (0.0, 0.0)
    top_hat, top_tilde = math.hypot(*start), 1.0
    driven, total = 0.0, start[0] ** 2 + start[1] ** 2
    found = [total]
    for n in range(steps):
        hat = _linear_step(c, hat, 0.0)
        tilde = _linear_step(c, tilde, 1.0)
        top_hat = max(top_hat, math.hypot(*hat))
        top_tilde = max(top_tilde, math.hypot(tilde[0], 1 + tilde[1]))
        seen = u[n + 1] if c.sequential else u[n]
        driven += seen * seen
        total += u[n + 1] * u[n + 1] + v[n + 1] * v[n + 1]
        together = top_hat + top_tilde * math.sqrt(factor * driven) * c.noise
        found.append(min(together * together, total))
    return found


@_in_range
def second_derivative_supremum(
    step: float, a: float, b: float, drift_curvature: float, diffusion_curvature: float, dt: float, steps: int
) -> list[float]:
    """A bound on E sup_{k ≤ n} |∂²_ij x_k|² for n = 0..steps.

    ``step`` is a Lipschitz constant of x ↦ x + Δt f(x); the curvatures bound ‖∂²f[y, y']‖ and ‖∂²g[y, y']‖_F by
    H |y||y'|.

    Proof. With y = ∂_i x, a Gaussian increment of covariance Σ, tr Σ ≤ b² Δt |y|², gives E|y'|⁴ ≤ (s⁴ + 6 s² b² Δt +
    3 b⁴ Δt²) E|y|⁴, s = step; so S_n = ‖|∂_i x_n||∂_j x_n|‖ ≤ (E|y_n|⁴)^½. For w = ∂²_ij x, w_0 = 0, likewise ‖w'‖² ≤
    (s ‖w‖ + Δt H_f S)² + Δt (b ‖w‖ + H_g S)², and ‖sup |w|‖ ≤ Σ Δt (a ‖w‖ + H_f S) + 2 (Σ Δt (b ‖w‖ + H_g S)²)^½ as
    in :func:`supremum_from_mean_square`. ∎
    """
    step, a, b = (_constant(name, value) for name, value in (("step", step), ("a", a), ("b", b)))
    drift_curvature = _constant("drift_curvature", drift_curvature)
    diffusion_curvature = _constant("diffusion_curvature", diffusion_curvature)
    dt, steps = _constant("dt", dt), arguments.integer("steps", steps, 0)
    fourth, w, drift, noise = 1.0, 0.0, 0.0, 0.0
    growth = step**4 + 6 * step**2 * b**2 * dt + 3 * b**4 * dt**2
    found = [0.0]
    for _ in range(steps):
        s = math.sqrt(fourth)
        drift += dt * (a * w + drift_curvature * s)
        noise += dt * (b * w + diffusion_curvature * s) ** 2
        w = math.hypot(step * w + dt * drift_curvature * s, math.sqrt(dt) * (b * w + diffusion_curvature * s))
        fourth *= growth
        found.append((drift + math.sqrt(DOOB * noise)) ** 2)
    return found


@_in_range
def saturation(box: float, hidden: int, mean: float, deviations: float, steps: int) -> float:
    """A bound on E sup_{1 ≤ n ≤ steps} (|u_n|² + |v_n|²) that no initial error exceeds, for a model that forgets z̃.

    The step is z̃' = m(h') + s(h') ξ, with h in |h_i| ≤ ``box`` (``hidden`` coordinates). ``mean`` bounds |Δm| on the
    box, and ``deviations`` |(sup |Δs_1|, sup |Δs_2|, …)|.

    Proof. |u|² ≤ 4 box² hidden; |v| ≤ |Δm| + |(sup |Δs_i| |ξ_i|)_i|, and E max_{n ≤ N} ξ_n² ≤ 2 log N + 2, since
    P(ξ² > t) ≤ exp(−t/2); Minkowski's inequality. ∎
    """
    box, mean, deviations = (
        _constant(name, value) for name, value in (("box", box), ("mean", mean), ("deviations", deviations))
    )
    hidden, steps = arguments.integer("hidden", hidden, 0), arguments.integer("steps", steps, 1)
    spread = mean + deviations * math.sqrt(2 * math.log(steps) + 2)
    return 4 * box**2 * hidden + spread**2


def _constant(name: str, value: float) -> float:
    return arguments.real(name, value, least=0.0)


def _checked(
    c: StepConstants, start: tuple[float, float], steps: int
) -> tuple[StepConstants, tuple[float, float], int]:
    c = arguments.instance("c", c, StepConstants, "StepConstants(state, from_latent, …)")
    norms = arguments.reals("start", start)
    if len(norms) != 2:
        raise ValueError(f"start: expected two numbers, |u_0| and |v_0|, got {len(norms)}")
    u, v = (_constant(f"start[{i}]", value) for i, value in enumerate(norms))
    return c, (u, v), arguments.integer("steps", steps, 0)


def _linear_step(c: StepConstants, pair: tuple[float, float], held: float) -> tuple[float, float]:
    u, r = pair
    new = c.state * u + c.from_latent * (r + held)
    return new, c.keep * r + c.predict * (new if c.sequential else u)
