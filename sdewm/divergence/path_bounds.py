"""How far perturbed paths are from their own, bounded along each path: Theorem 4.1 with nothing multiplied over steps.

Three kinds of statement are kept apart. *Certified for all paths*: :mod:`sdewm.divergence.bounds`, from constants of
the networks alone. *Certified on each sampled path*: what :func:`certify` gives, for the noise that was drawn.
*Estimated*: a mean over paths, which has an interval and no certificate.

Let x_{n+1} = S_n(x_n) be the scheme's step under the noise of one path, x̄ that path, and x̄ + Δ one that starts off by
σε, |σ| ≤ 1. Then

    Δ_n = σ ℓ_n + σ² q_n + w_n,    ℓ_{n+1} = ∂S_n ℓ_n,    q_{n+1} = ∂S_n q_n + ½ ∂²S_n[ℓ_n, ℓ_n],
    w_{n+1} = ∂S_n w_n + ρ_n,      w_n = Σ_{k<n} ∂S_{n−1} ⋯ ∂S_{k+1} ρ_k.

ℓ and q are exact but for rounding, with their directions. Only ρ_n is bounded, |ρ_n| ≤ R_n in each coordinate: it holds
what S_n has beyond second order, and what w_n does beyond first order. R_n comes from the tube of all these Δ_n, by
:mod:`sdewm.divergence.enclosure`. As the tube is known up to step n before R_n is asked for, no fixed point has to be
found: the bound holds for every ε, and is infinite where the tube leaves all use behind. ∎
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import TracebackType

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sdewm import arguments
from sdewm.divergence.enclosure import Enclosure, NotEnclosed, Tube, carried, enclosed_state
from sdewm.divergence.enclosure_rules import KNOWN, UNIT
from sdewm.noise.grid import TimeGrid
from sdewm.noise.increments import Increments
from sdewm.solvers.loop import checked
from sdewm.solvers.methods import Method, stepper
from sdewm.systems.sde import SDE

# More than what rounding is of sums of up to 2000 numbers, all of one sign.
SLACK = 1e-12
BLOCK = 32  # paths at a time: what they need stays in the processor's cache


@dataclass(frozen=True)
class PathBounds:
    """Certified on each sampled path: bounds on |x^ε_n − x⁰_n|, all ``(perturbations, times, paths)``.

    Attributes
    ----------
    upper : for every perturbation sε, 0 ≤ s ≤ 1, at once; infinite where nothing is certified.
    lower : for ε itself.

    >>> bounds = certify(gbm, x0, grid, perturbations=torch.full((1, 1), 0.01), noise=torch.zeros(grid.steps, 2, 1))
    >>> bounds.divergence.shape == (1, grid.steps + 1, 2)
    True
    """

    upper: Float[Tensor, "perturbations times paths"]
    lower: Float[Tensor, "perturbations times paths"]

    @property
    def divergence(self) -> Float[Tensor, "perturbations times paths"]:
        """A bound on sup_{k ≤ n} |x^{sε}_k − x⁰_k|², what d_ε is the mean of."""
        return self.upper.square().cummax(1).values


def certify(
    sde: SDE,
    x0: Float[Tensor, " n"],
    grid: TimeGrid,
    *,
    perturbations: Float[Tensor, "perturbations n"],
    method: Method = "euler",
    noise: Increments | Float[Tensor, "steps paths channels"],
    tubes: int = 1,
) -> PathBounds:
    """Bounds, proven on each path, of how far the solution from x0 + ε is from that from x0 on the same noise.

    Parameters
    ----------
    sde : its coefficients are run as they are, as far as they are made of linear maps, convolutions, layer norms,
        gated recurrent cells, products and smooth functions; a refusal names all that are known.
    x0 : ``(n,)``, in float64.
    perturbations : ε, each added to x0.
    tubes : how many tubes each segment from x0 to x0 + ε is covered by, of equal length. More of them reach further:
        the remainder is of third order in their length.

    The numbers hold for the scheme on its grid in real arithmetic, for coefficients whose constants are as computed:
    rounding is accounted for. It costs some n solves for each tube.

    Raises :class:`~sdewm.divergence.enclosure.NotEnclosed` that names an operation of which no enclosure is known, such
    as ReLU, and the module that it is in; ``ValueError`` for states that are not in float64, perturbations of another
    shape, and a method that is not one of the explicit steps "euler" and "euler-sequential"; and as
    :func:`sdewm.solve`.

    >>> dB = torch.zeros(grid.steps, 2, 1)
    >>> bounds = certify(gbm, x0, grid, perturbations=1e-2 * torch.eye(len(x0)), noise=dB)
    >>> bool((bounds.lower <= bounds.upper).all())
    True
    """
    x0, tubes = arguments.state(x0), arguments.integer("tubes", tubes, 1)
    if x0.dtype != torch.float64:
        raise ValueError(f"x0: expected float64, whose rounding is accounted for, got {x0.dtype}")
    perturbations = arguments.tensor("perturbations", perturbations).to(x0)
    if perturbations.ndim != 2 or not len(perturbations) or perturbations.shape[-1] != len(x0):
        raise ValueError(f"perturbations: expected shape (perturbations, {len(x0)}), got {tuple(perturbations.shape)}")
    arguments.choice("method", method, ("euler", "euler-sequential"))
    increments = checked(sde, x0, grid, method=method, noise=noise)
    drawn = torch.stack(list(increments)).to(x0)
    try:
        blocks = [_certified(sde, x0, grid, perturbations, method, dB, tubes) for dB in drawn.split(BLOCK, 1)]
    except NotEnclosed as error:
        raise NotEnclosed(f"sde: {error}{_where(error.__traceback__)}. Known are {KNOWN}") from None
    return PathBounds(*(torch.cat(parts, -1) for parts in zip(*blocks, strict=True)))


def _certified(
    sde: SDE, x0: Tensor, grid: TimeGrid, perturbations: Tensor, method: Method, noise: Tensor, tubes: int
) -> tuple[Tensor, Tensor]:
    """Upper and lower bounds for one block of paths, tube after tube."""
    paths, count = noise.shape[1], len(perturbations)
    length = 1 / (2 * tubes - 1)
    # The path itself has a tube too, of no length: how far rounding has carried it from its exact one.
    spans = torch.cat([length * perturbations, torch.zeros_like(perturbations[:1])])[:, None].expand(-1, paths, -1)
    own = _Walk(sde, x0.expand(paths, -1), spans, grid, method, noise)
    rounding = own.box[:, -1:]
    upper, lower = _sizes(own.linear[:, :-1], own.second[:, :-1], own.box[:, :-1] + rounding, 0.0)
    for k in range(1, tubes):
        start = (x0 + 2 * k * length * perturbations).repeat_interleave(paths, 0)
        span = (length * perturbations).repeat_interleave(paths, 0)[None]
        of = _Walk(sde, start, span, grid, method, noise.repeat(1, count, 1))
        centre = of.x.unflatten(1, (count, paths)) - own.x[:, None]
        sizes = of.x.abs().unflatten(1, (count, paths)) + own.x.abs()[:, None]
        linear, second, box = (part[:, 0].unflatten(1, (count, paths)) for part in (of.linear, of.second, of.box))
        above, lower = _sizes(linear, second, box + rounding + 4 * UNIT * sizes, centre)
        upper = torch.maximum(upper, above)
    return upper.transpose(0, 1), lower.transpose(0, 1)


def _sizes(linear: Tensor, second: Tensor, box: Tensor, centre: Tensor | float) -> tuple[Tensor, Tensor]:
    """Of c + σℓ + σ²q + w: a bound on its size for |σ| ≤ 1 (0 ≤ σ ≤ 1 where c = 0), and the least for σ = 1.

    A norm is convex, so that it is largest at a corner where σ and σ² are taken to be free of each other. Without c it
    is σ|ℓ + σq|, which grows with σ ≤ 1 if |q| ≤ ½|ℓ|.
    """
    end = centre + linear + second
    corners = [centre + sign * linear + part for sign in (1, -1) for part in (0 * second, second)]
    above = torch.stack([(corner.abs() + box).norm(dim=-1) for corner in corners]).amax(0)
    if isinstance(centre, float):
        grows = second.norm(dim=-1) <= 0.49 * linear.norm(dim=-1)
        above = torch.where(grows, torch.minimum(above, end.norm(dim=-1) + box.norm(dim=-1)), above)
    least = (end.abs() - box).clamp_min(0).norm(dim=-1)
    above, least = above * (1 + SLACK), least * (1 - SLACK)
    return above.nan_to_num(math.inf, math.inf), least.nan_to_num(0.0, 0.0)


class _Walk:
    """x̄, ℓ, q and b along one block of paths: ``x`` is ``(times, paths, n)``, the others have perturbations second."""

    @torch.no_grad()
    def __init__(self, sde: SDE, start: Tensor, spans: Tensor, grid: TimeGrid, method: Method, noise: Tensor) -> None:
        x, linear = start.clone(), spans
        second, n = torch.zeros_like(spans), x.shape[-1]
        box = 4 * UNIT * (x.abs() + spans.abs())  # by which the start may be off, where it is a sum that was rounded
        chosen = stepper(method, sde).prepare(sde, x, grid).begin()
        unit = torch.eye(n, dtype=x.dtype, device=x.device).expand(len(x), n, n)
        flows, remainders = [unit], [box]
        found = [(x, linear, second, box)]
        for i, dB in enumerate(noise):
            t = torch.full((), grid.time(i), dtype=x.dtype, device=x.device)
            out = chosen.step(sde, t, grid.dt, enclosed_state(x, second, Tube(linear, box)), dB)
            if not isinstance(out, Enclosure):
                raise NotEnclosed("a step that does not depend on the state has no enclosure")
            jacobian = out.jacobian.permute(1, 2, 0)
            # What rounding does to ℓ, and to what is carried from step to step.
            rounding = 2 * (n + 8) * UNIT * _apply(jacobian.abs(), linear.abs() + box)
            remainders.append(carried(out) + rounding)
            flows = [*(jacobian @ flow for flow in flows), unit]
            parts = [_apply(flow.abs(), rest) for flow, rest in zip(flows, remainders, strict=True)]
            box = torch.stack(parts).sum(0)
            box = (box * (1 + SLACK)).nan_to_num(math.inf, math.inf)
            x, linear, second = out.value.detach(), _apply(jacobian, linear), out.second
            found.append((x, linear, second, box))
        self.x, self.linear, self.second, self.box = (torch.stack(part) for part in zip(*found, strict=True))


def _apply(matrices: Tensor, vectors: Tensor) -> Tensor:
    """``(paths, n, n)`` applied to ``(perturbations, paths, n)``."""
    return (vectors.transpose(0, 1) @ matrices.mT).transpose(0, 1)


def _where(trace: TracebackType | None) -> str:
    """The innermost module that an error came through, by its name in the outermost one."""
    modules: list[nn.Module] = []
    while trace is not None:
        own = trace.tb_frame.f_locals.get("self")
        if isinstance(own, nn.Module):
            modules.append(own)
        trace = trace.tb_next
    if not modules:
        return ""
    inner, outer = modules[-1], modules[0]
    name = next((name for name, module in outer.named_modules() if module is inner), "")
    return f", which {type(inner).__name__} asks for" + f" ({name} of {type(outer).__name__})" * bool(name)
