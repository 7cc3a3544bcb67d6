"""Certified Lipschitz constants of networks: proven upper bounds, not maxima over samples.

A network is given as a directed graph of neurons (:class:`SlopeNetwork`), so that composed maps such as
f(h, z̃, π(h, z̃)) are certified as one function; a gated recurrent cell, whose products of gates are no such graph, has
a bound of its own (:func:`gru_lipschitz`). Everything is computed in float64, whose rounding (about 1e-12) is the only
thing not accounted for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sdewm import arguments


@dataclass(frozen=True)
class Activation:
    """What is known of a scalar activation φ: ``low`` ≤ φ' ≤ ``high`` and |φ''| ≤ ``curvature``."""

    low: float
    high: float
    curvature: float


# tanh'' is largest in size at tanh² = 1/3, σ'' at σ = ½ ± 1/√12. silu' = σ + xσ(1−σ) has its extremes, which add to 1,
# at the roots ±2.39936 of 2 + x(1−2σ), rounded outwards here; |silu''| = σ(1−σ)|2 + x(1−2σ)| is largest at 0.
ACTIVATIONS = {
    "tanh": Activation(0.0, 1.0, 4 / (3 * math.sqrt(3))),
    "sigmoid": Activation(0.0, 0.25, 1 / (6 * math.sqrt(3))),
    "silu": Activation(-0.099840, 1.099840, 0.5),
    "softplus": Activation(0.0, 1.0, 0.25),
}
MODULES: dict[type[nn.Module], str] = {
    nn.Tanh: "tanh", nn.Sigmoid: "sigmoid", nn.SiLU: "silu", nn.Softplus: "softplus",
}  # fmt: skip


def spectral_norm(matrix: Tensor) -> float:
    """The largest singular value."""
    return float(torch.linalg.matrix_norm(matrix.detach().double(), 2))


def curvature(outer: Tensor, activation: str, inner: Tensor) -> float:
    """A certified bound H of ‖∂²f[u, v]‖ ≤ H |u||v| for f(x) = outer φ(inner x + b).

    ∂²f[u, v] = outer (φ'' ⊙ inner u ⊙ inner v), and |a ⊙ b| ≤ max_i |a_i| |b| with |(inner u)_i| ≤ ‖row i‖ |u|.
    """
    row = float(inner.detach().double().norm(dim=1).max())
    return ACTIVATIONS[activation].curvature * spectral_norm(outer) * row * spectral_norm(inner)


def spectral_product(weights: Sequence[Tensor], activations: Sequence[str]) -> float:
    """The classical bound of W_l φ(… φ(W_1 x)): the product of spectral norms and of largest slopes."""
    slopes = (max(abs(ACTIVATIONS[a].low), abs(ACTIVATIONS[a].high)) for a in activations)
    return math.prod(map(spectral_norm, weights)) * math.prod(slopes)


class SlopeNetwork:
    """Increments of a network between any two inputs, and what can be proven of them.

    A *form* is a matrix ``(rows, columns)`` that gives a linear combination of the increments of the inputs and of the
    neurons made so far; matrices and forms multiply as usual.

    >>> net = SlopeNetwork(2)
    >>> hidden = net.layer(torch.eye(2, dtype=torch.float64) @ net.inputs, "tanh")
    >>> round(net.lipschitz(0.5 * hidden), 3)
    0.5

    Proof of every bound here. Let w = φ(y) be the increments of a neuron with input y = N ξ, ξ = (x, w), x the
    increments of the inputs. As φ' lies in [α, β], (w − αy)(w − βy) ≤ 0, so for any λ ≥ 0

        s(ξ) := Σ_i λ_i (w_i − α_i y_i)(w_i − β_i y_i) ≤ 0.

    - :meth:`lipschitz`: if Q(ξ) = |x|² + s(ξ) is positive definite, then |C ξ|² ≤ λ_max(C Q⁻¹ Cᵀ) Q(ξ) ≤ L² |x|².
    - :meth:`mean_square_rate`: if ν|x|² − x·Cξ − ½|Dξ|² − ½ Δt |Cξ|² + s(ξ) ≥ 0 for all ξ, then
      2 x·Cξ + |Dξ|² + Δt |Cξ|² ≤ 2ν|x|²; the least ν for given λ is an eigenvalue of a Schur complement.

    The multipliers λ are started layer by layer from the closed form of ECLipsE-Fast (Xu & Sivaranjani 2024,
    extended here to slopes that may be negative) and improved by gradient steps: for every λ the bound holds, so the
    search decides how sharp it is and nothing else. The best λ gives the bound of LipSDP-Neuron (Fazlyab et al. 2019).
    """

    def __init__(self, inputs: int) -> None:
        inputs = arguments.integer("inputs", inputs)
        if inputs < 1:
            raise ValueError(f"inputs: expected at least one, got {inputs}")
        self.size = inputs
        self._layers: list[tuple[Tensor, Activation]] = []

    @property
    def inputs(self) -> Tensor:
        """The form of the inputs' own increments."""
        return torch.eye(self.size, dtype=torch.float64)

    @property
    def columns(self) -> int:
        return self.size + sum(len(form) for form, _ in self._layers)

    def layer(self, form: Tensor, activation: str) -> Tensor:
        """Add neurons φ(form + bias) and return the form of their increments."""
        if not isinstance(activation, str) or activation not in ACTIVATIONS:
            raise ValueError(f"activation: expected one of {sorted(ACTIVATIONS)}, got {activation!r}")
        start = self.columns
        self._layers.append((self.pad(form), ACTIVATIONS[activation]))
        neurons = torch.zeros(len(form), self.columns, dtype=torch.float64)
        neurons[:, start:] = torch.eye(len(form), dtype=torch.float64)
        return neurons

    def pad(self, form: Tensor) -> Tensor:
        """A form with a column for every neuron made so far."""
        form = arguments.tensor("form", form)
        if form.ndim != 2 or form.shape[1] > self.columns:
            raise ValueError(f"form: expected shape (rows, {self.columns}) or fewer columns, got {tuple(form.shape)}")
        return nn.functional.pad(form.double(), (0, self.columns - form.shape[1]))

    def stack(self, *forms: Tensor) -> Tensor:
        """Forms one above the other, as torch.cat does inputs one after the other."""
        return torch.cat([self.pad(form) for form in forms])

    def sequential(self, modules: Sequence[nn.Module], form: Tensor) -> Tensor:
        """The form of ``nn.Sequential(*modules)`` applied to ``form``: linear layers and smooth activations.

        Raises ``TypeError`` that names a module of another kind.
        """
        for module in modules:
            if isinstance(module, nn.Linear):
                form = module.weight.detach().double() @ self.pad(form)
            elif type(module) in MODULES:
                form = self.layer(form, MODULES[type(module)])
            else:
                known = ", ".join(sorted(["Linear", *(m.__name__ for m in MODULES)]))
                raise TypeError(f"modules: expected one of {known}, got {type(module).__name__}")
        return form

    def lipschitz(self, out: Tensor, wrt: slice = slice(None), search: int = 100) -> float:
        """A certified Lipschitz constant, in the Euclidean norm, of ``out`` in the inputs ``wrt``, the others fixed."""
        out, system = self._restrict(out, wrt)

        def squared(multipliers: list[Tensor]) -> Tensor | None:
            form = system.sector(multipliers) + system.identity
            root, info = torch.linalg.cholesky_ex(form)
            if int(info):
                return None
            half = torch.linalg.solve_triangular(root, out.mT, upper=False)
            return torch.linalg.matrix_norm(half, 2) ** 2

        return math.sqrt(_search(squared, system.start(), search))

    def step_lipschitz(self, drift: Tensor, dt: float, wrt: slice = slice(None)) -> float:
        """A certified Lipschitz constant of x ↦ x + Δt f(x) in the inputs ``wrt``, (1 + 2νΔt)^½."""
        return math.sqrt(max(1 + 2 * dt * self.mean_square_rate(drift, wrt=wrt, dt=dt), 0.0))

    def mean_square_rate(
        self, drift: Tensor, diffusion: Tensor | None = None, wrt: slice = slice(None), *, dt: float = 0.0,
        metric: Tensor | None = None, search: int = 150,
    ) -> float:  # fmt: skip
        """A certified ν with 2⟨x, Δf⟩ + ‖Δg‖_F² + Δt|Δf|² ≤ 2ν|x|² in the norm |x|² = Σ m_i x_i².

        ``drift`` is the form of f, with one row for each input in ``wrt``; ``diffusion`` one of all entries of g that
        are not constant, one row for each input again (row i is what stands in row i of a diagonal g). With
        ``diffusion=None`` and ``dt=0`` it is a one-sided Lipschitz constant of f, and bounds the logarithmic norm
        μ₂(∂f). ``metric`` is m, positive, by default ones. The mean square then grows at most like exp(2νt), on the
        Euler grid with steps ``dt`` too.
        """
        rows = torch.arange(self.size)[wrt]
        if len(drift) != len(rows):
            raise ValueError(f"drift: expected {len(rows)} rows, one for each input, got {len(drift)}")
        m = torch.ones(len(rows), dtype=torch.float64) if metric is None else metric.double()
        if m.shape != (len(rows),) or not bool((m > 0).all()):
            raise ValueError(f"metric: expected {len(rows)} positive numbers, got {metric}")
        scale = m.sqrt()
        f, system = self._restrict(drift, wrt, scale)
        f = scale[:, None] * f
        quadratic = _symmetric(system.identity[: len(rows)].mT @ f) + 0.5 * dt * f.mT @ f
        if diffusion is not None:
            g = scale[:, None] * self._restrict(diffusion, wrt, scale)[0]
            quadratic = quadratic + 0.5 * g.mT @ g
        k = len(rows)

        def rate(multipliers: list[Tensor]) -> Tensor | None:
            form = system.sector(multipliers) - quadratic
            root, info = torch.linalg.cholesky_ex(form[k:, k:])
            if int(info):
                return None
            half = torch.linalg.solve_triangular(root, form[k:, :k], upper=False)
            return torch.linalg.eigvalsh(half.mT @ half - form[:k, :k])[-1]

        start = system.start()
        candidates = [[10.0**power * part for part in start] for power in (-1, -0.5, 0, 0.5, 1, 1.5, 2)]
        rated = [(float(r), c) for c in candidates if (r := rate(c)) is not None]
        if not rated:
            raise ArithmeticError("multipliers: none of the starting values certifies a rate")
        return _search(rate, min(rated, key=lambda pair: pair[0])[1], search)

    def _restrict(self, out: Tensor, wrt: slice, scale: Tensor | None = None) -> tuple[Tensor, _System]:
        inputs = torch.arange(self.size)[wrt]
        keep = torch.cat([inputs, torch.arange(self.size, self.columns)])
        # In the variable √m x, of unit metric, the columns of the inputs are divided by √m.
        divide = torch.ones(len(keep), dtype=torch.float64)
        if scale is not None:
            divide[: len(inputs)] = scale
        layers = [(self.pad(form)[:, keep] / divide, activation) for form, activation in self._layers]
        return self.pad(out)[:, keep] / divide, _System(len(inputs), layers)


class _System:
    """The sector form s(ξ) of a network as a function of its multipliers."""

    def __init__(self, inputs: int, layers: list[tuple[Tensor, Activation]]) -> None:
        self.inputs, self.layers = inputs, layers
        columns = inputs + sum(len(form) for form, _ in layers)
        self.identity = torch.zeros(columns, columns, dtype=torch.float64)
        self.identity[:inputs, :inputs] = torch.eye(inputs, dtype=torch.float64)

    def sector(self, multipliers: list[Tensor]) -> Tensor:
        total = torch.zeros_like(self.identity)
        position = self.inputs
        for (form, activation), weight in zip(self.layers, multipliers, strict=True):
            neurons = torch.zeros_like(form)
            neurons[:, position : position + len(form)] = torch.eye(len(form), dtype=torch.float64)
            below, above = neurons - activation.low * form, neurons - activation.high * form
            total = total + _symmetric(below.mT @ (weight[:, None] * above))
            position += len(form)
        return total

    def start(self) -> list[Tensor]:
        """ECLipsE-Fast: one number for each layer, that which leaves the most to the next.

        With Q the form so far and σ = ‖N Q⁻¹ Nᵀ‖, λ = t/σ leaves t (1 − t (α+β)²/4 / (1 + αβ t)) / σ at least.
        """
        multipliers: list[Tensor] = []
        q = self.identity[: self.inputs, : self.inputs]
        for form, activation in self.layers:
            known = form[:, : len(q)]
            sigma = float(torch.linalg.eigvalsh(known @ torch.linalg.solve(q, known.mT))[-1])
            product, middle = activation.low * activation.high, (activation.low + activation.high) / 2
            t = torch.linspace(0.01, 20.0, 2000, dtype=torch.float64)
            left = torch.where(1 + product * t > 0, t * (1 - t * middle**2 / (1 + product * t)), -math.inf)
            weight = float(t[left.argmax()]) / max(sigma, 1e-12)
            multipliers.append(torch.full((len(form),), weight, dtype=torch.float64))
            corner = weight * product * known.mT @ known
            q = torch.cat([
                torch.cat([q + corner, -weight * middle * known.mT], 1),
                torch.cat([-weight * middle * known, weight * torch.eye(len(form), dtype=torch.float64)], 1),
            ])  # fmt: skip
        return multipliers


def _search(bound: Callable[[list[Tensor]], Tensor | None], start: list[Tensor], steps: int) -> float:
    """The least bound met by gradient steps on log λ; an infeasible step is undone and the next ones are halved."""
    value = bound(start)
    if value is None:
        raise ArithmeticError("multipliers: the starting values certify nothing")
    best = float(value)
    if not start or steps == 0:
        return best
    logs = torch.cat([part.log() for part in start])
    sizes = [len(part) for part in start]
    rate, best_logs = 0.1, logs
    momentum, spread = torch.zeros_like(logs), torch.zeros_like(logs)
    with torch.enable_grad():
        for step in range(1, steps + 1):
            logs = logs.detach().requires_grad_(True)
            value = bound(list(logs.exp().split(sizes)))
            if value is None or not bool(value.isfinite()):
                logs, rate = best_logs, rate / 2
                momentum, spread = torch.zeros_like(momentum), torch.zeros_like(spread)
                continue
            if float(value.detach()) < best:
                best, best_logs = float(value.detach()), logs.detach()
            [gradient] = torch.autograd.grad(value, logs)
            momentum = 0.9 * momentum + 0.1 * gradient
            spread = 0.99 * spread + 0.01 * gradient**2
            corrected = (momentum / (1 - 0.9**step)) / ((spread / (1 - 0.99**step)).sqrt() + 1e-12)
            logs = logs.detach() - rate * (1 - step / (steps + 1)) * corrected
    return best


def _symmetric(matrix: Tensor) -> Tensor:
    return 0.5 * (matrix + matrix.mT)


def interval(modules: Sequence[nn.Module], low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Bounds of ``nn.Sequential(*modules)`` on the box low ≤ x ≤ high, by interval arithmetic, layer by layer.

    Linear layers, and activations that are monotone (tanh, sigmoid, softplus) or SiLU, which has one minimum.
    """
    low, high = low.double(), high.double()
    for module in modules:
        if isinstance(module, nn.Linear):
            weight, bias = module.weight.detach().double(), module.bias.detach().double()
            middle, radius = weight @ ((low + high) / 2) + bias, weight.abs() @ ((high - low) / 2)
            low, high = middle - radius, middle + radius
        elif isinstance(module, nn.SiLU):
            ends = torch.stack([module(low), module(high)])
            # silu has its minimum, above −0.27847, at −1.27847 and is monotone on either side.
            inside = (low < -1.2784) & (high > -1.2785)
            low = torch.where(inside, torch.full_like(low, -0.27847), ends.amin(0))
            high = ends.amax(0)
        elif type(module) in MODULES:
            low, high = module(low), module(high)
        else:
            raise TypeError(f"modules: expected linear layers and smooth activations, got {type(module).__name__}")
    return low, high


@dataclass(frozen=True)
class CellConstants:
    """Certified Lipschitz constants of a recurrent cell in its state and in its input, each with the other fixed."""

    state: float
    input: float


def gru_lipschitz(cell: nn.GRUCell, box: float = 1.0, search: int = 150) -> CellConstants:
    """Certified constants of ``nn.GRUCell`` on states |h_i| ≤ ``box``, for any input.

    h' = (1−u) n + u h is a mean of n in (−1, 1) and h, so that the box is never left if box ≥ 1. The Jacobians are

        ∂h'/∂h = D(u) I + D((h−n) u(1−u)) W_hu + D((1−u)(1−n²) r) W_hn + D((1−u)(1−n²) k r(1−r)) W_hr
        ∂h'/∂x =          D((h−n) u(1−u)) W_iu + D((1−u)(1−n²))   W_in + D((1−u)(1−n²) k r(1−r)) W_ir

    with k = W_hn h + b_hn, |k_i| ≤ K_i := box ‖row i of W_hn‖₁ + |b_i|. Proof of the bound: for M = Σ_j D(d_j) W_j and
    any positive weights w_ij, Cauchy–Schwarz gives (Mx)_i² ≤ (Σ_j d_ij²/w_ij) Σ_j w_ij (W_j x)_i², hence

        ‖M‖² ≤ λ_max(Σ_j W_jᵀ D(w_j ⊙ m) W_j),   m_i = sup Σ_j d_ij²/w_ij   over u, r in (0, 1) and n in (−1, 1).

    The supremum is bounded on cells of a grid over (u, |n|, r), on each of which every |d_ij| has an obvious upper
    bound. The weights are searched for; whatever they are, the bound holds. Raises ``ValueError`` for a box below 1.
    """
    if box < 1:
        raise ValueError(f"box: expected at least 1, a smaller one is left, got {box}")
    size = cell.hidden_size
    weight_h, weight_x = cell.weight_hh.detach().double(), cell.weight_ih.detach().double()
    bias = cell.bias_hh.detach().double() if cell.bias else torch.zeros(3 * size, dtype=torch.float64)
    reset_h, update_h, new_h = weight_h.split(size)
    reset_x, update_x, new_x = weight_x.split(size)
    largest = box * new_h.abs().sum(1) + bias[2 * size :].abs()
    identity = torch.eye(size, dtype=torch.float64)
    state = _row_weighted([identity, update_h, new_h, reset_h], lambda cells: _gates(cells, largest, box)[:4], search)

    def of_input(cells: int) -> list[Tensor]:
        _, update, _, reset, new = _gates(cells, largest, box)
        return [update, new, reset]

    return CellConstants(state, _row_weighted([update_x, new_x, reset_x], of_input, search))


def _gates(cells: int, largest: Tensor, box: float) -> list[Tensor]:
    """Upper bounds, cell by cell, of u, |h−n| u(1−u), (1−u)(1−n²) r, (1−u)(1−n²)|k| r(1−r) and (1−u)(1−n²)."""
    edges = torch.linspace(0.0, 1.0, cells + 1, dtype=torch.float64)
    low, high = edges[:-1], edges[1:]
    # s(1−s) rises to ½ and falls: over a cell it is largest at the point nearest to ½.
    nearest = torch.minimum(torch.maximum(torch.full_like(low, 0.5), low), high)
    bump = nearest * (1 - nearest)
    u, n, r = torch.meshgrid(*[torch.arange(cells)] * 3, indexing="ij")
    u, n, r = u.flatten(), n.flatten(), r.flatten()
    open_new = (1 - low[u]) * (1 - low[n] ** 2)
    of_update = (box + high[n]) * bump[u]
    parts = [high[u], of_update, open_new * high[r], open_new * bump[r], open_new]
    scaled = [part[:, None].expand(-1, len(largest)) for part in parts]
    scaled[3] = scaled[3] * largest
    return scaled


def _row_weighted(matrices: list[Tensor], coefficients: Callable[[int], list[Tensor]], search: int) -> float:
    present = [i for i, matrix in enumerate(matrices) if bool(matrix.any())]
    if not present:
        return 0.0
    kept = [matrices[i] for i in present]

    def largest(cells: int) -> list[Tensor]:
        of = coefficients(cells)
        return [of[i] for i in present]

    def bound(d: list[Tensor]) -> Callable[[list[Tensor]], Tensor]:
        squared = torch.stack([part**2 for part in d])

        def of(weights: list[Tensor]) -> Tensor:
            w = torch.stack(weights)
            m = (squared / w[:, None]).sum(0).amax(0)
            gram = torch.stack([part.mT @ ((weight * m)[:, None] * part) for part, weight in zip(kept, w, strict=True)])
            return torch.linalg.eigvalsh(gram.sum(0))[-1]

        return of

    coarse, fine = bound(largest(8)), bound(largest(32))
    start = [
        part.amax(0).clamp_min(1e-9) / spectral_norm(matrix) for part, matrix in zip(largest(8), kept, strict=True)
    ]
    return math.sqrt(min(float(fine(_argmin(coarse, start, search))), float(fine(start))))


def _argmin(bound: Callable[[list[Tensor]], Tensor], start: list[Tensor], steps: int) -> list[Tensor]:
    logs = torch.stack([part.log() for part in start]).requires_grad_(True)
    optimizer = torch.optim.Adam([logs], lr=0.05)
    with torch.enable_grad():
        for _ in range(steps):
            optimizer.zero_grad()
            bound(list(logs.exp())).log().backward()
            optimizer.step()
    return list(logs.detach().exp())
