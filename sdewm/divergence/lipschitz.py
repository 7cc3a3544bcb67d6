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
from jaxtyping import Float
from torch import Tensor, nn

from sdewm import arguments
from sdewm.divergence.layers import FUNCTIONS, Affine, as_it_is, in_float64, plain_layers, same_values

# Pairs of points that a certificate is held against, and the part of itself that rounding may add to a slope.
PAIRS, ROUNDING = 256, 1e-9


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


def _activation(name: str, value: object) -> Activation:
    if not isinstance(value, str) or value not in ACTIVATIONS:
        raise ValueError(f"{name}: expected one of {sorted(ACTIVATIONS)}, got {arguments.shown(value)}")
    return ACTIVATIONS[value]


def _matrix(name: str, value: Tensor) -> Tensor:
    matrix = arguments.tensor(name, value)
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise ValueError(f"{name}: expected a matrix (rows, columns), got shape {tuple(matrix.shape)}")
    return matrix.detach().double()


def spectral_norm(matrix: Float[Tensor, "rows columns"]) -> float:
    """The largest singular value. Raises ``ValueError`` for what is not a matrix of finite numbers."""
    return float(torch.linalg.matrix_norm(_matrix("matrix", matrix), 2))


def curvature(
    outer: Float[Tensor, "outputs neurons"], activation: str, inner: Float[Tensor, "neurons inputs"]
) -> float:
    """A certified bound H of ‖∂²f[u, v]‖ ≤ H |u||v| for f(x) = outer φ(inner x + b).

    ∂²f[u, v] = outer (φ'' ⊙ inner u ⊙ inner v), and |a ⊙ b| ≤ max_i |a_i| |b| with |(inner u)_i| ≤ ‖row i‖ |u|.
    ``outer`` is ``(outputs, neurons)``, ``inner`` ``(neurons, inputs)``. Raises ``ValueError`` for other shapes, and
    for an activation that is not in :data:`ACTIVATIONS`.
    """
    bend = _activation("activation", activation).curvature
    outer, inner = _matrix("outer", outer), _matrix("inner", inner)
    if outer.shape[1] != len(inner):
        raise ValueError(f"outer: expected {len(inner)} columns, one for each row of inner, got {outer.shape[1]}")
    return bend * spectral_norm(outer) * float(inner.norm(dim=1).max()) * spectral_norm(inner)


def spectral_product(weights: Sequence[Float[Tensor, "_ _"]], activations: Sequence[str]) -> float:
    """The classical bound of W_l φ(… φ(W_1 x)): the product of spectral norms and of largest slopes.

    One activation between every two weights, perhaps one after the last. Raises ``ValueError`` for weights that do not
    follow each other, and for activations that are not in :data:`ACTIVATIONS` or of another number.
    """
    if isinstance(weights, str) or not isinstance(weights, Sequence) or not weights:
        raise ValueError(f"weights: expected a sequence of matrices, got {arguments.shown(weights)}")
    if isinstance(activations, str) or not isinstance(activations, Sequence):
        raise ValueError(f"activations: expected a sequence of names, got {arguments.shown(activations)}")
    matrices = [_matrix(f"weights[{i}]", weight) for i, weight in enumerate(weights)]
    for i in range(1, len(matrices)):
        if matrices[i].shape[1] != len(matrices[i - 1]):
            rows = len(matrices[i - 1])
            raise ValueError(f"weights[{i}]: expected {rows} columns, as rows before it, got {matrices[i].shape[1]}")
    if len(activations) not in (len(matrices) - 1, len(matrices)):
        raise ValueError(f"activations: expected one between every two weights, got {len(activations)}")
    known = [_activation(f"activations[{i}]", one) for i, one in enumerate(activations)]
    slopes = (max(abs(one.low), abs(one.high)) for one in known)
    return math.prod(map(spectral_norm, matrices)) * math.prod(slopes)


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

    Each bound is held against increments between random points, of neurons with random biases, before it is returned:
    ``ArithmeticError`` where one is larger, which says that the certificate is wrong.
    """

    def __init__(self, inputs: int) -> None:
        self.size = arguments.integer("inputs", inputs, 1)
        self._layers: list[tuple[Tensor, str]] = []

    @property
    def inputs(self) -> Float[Tensor, "inputs inputs"]:
        """The form of the inputs' own increments."""
        return torch.eye(self.size, dtype=torch.float64)

    @property
    def columns(self) -> int:
        return self.size + sum(len(form) for form, _ in self._layers)

    def layer(self, form: Float[Tensor, "neurons _"], activation: str) -> Float[Tensor, "neurons _"]:
        """Add neurons φ(form + bias) and return the form of their increments.

        ``activation`` is a name in :data:`ACTIVATIONS`, or ``ValueError``.
        """
        _activation("activation", activation)
        start, form = self.columns, self.pad(form)
        self._layers.append((form, activation))
        neurons = torch.zeros(len(form), self.columns, dtype=torch.float64)
        neurons[:, start:] = torch.eye(len(form), dtype=torch.float64)
        return neurons

    def pad(self, form: Float[Tensor, "rows _"]) -> Float[Tensor, "rows _"]:
        """A form with a column for every neuron made so far."""
        form = arguments.tensor("form", form)
        if form.ndim != 2 or 0 in form.shape or form.shape[1] > self.columns:
            raise ValueError(f"form: expected shape (rows, {self.columns}) or fewer columns, got {tuple(form.shape)}")
        return nn.functional.pad(form.double(), (0, self.columns - form.shape[1]))

    def stack(self, *forms: Float[Tensor, "_ _"]) -> Float[Tensor, "_ _"]:
        """Forms one above the other, as torch.cat does inputs one after the other."""
        if not forms:
            raise ValueError("forms: expected at least one, got none")
        return torch.cat([self.pad(form) for form in forms])

    def sequential(self, modules: Sequence[nn.Module], form: Float[Tensor, "_ _"]) -> Float[Tensor, "_ _"]:
        """The form of ``nn.Sequential(*modules)`` applied to ``form``: linear layers and smooth activations.

        Raises ``TypeError`` or ``ValueError`` that names a module which is of another kind, or computes something else
        than its parameters say, as :func:`~sdewm.divergence.layers.plain_layers` does.
        """
        form = self.pad(form)
        for i, layer in enumerate(plain_layers(modules)):
            if isinstance(layer, Affine):
                if layer.weight.shape[1] != len(form):
                    raise ValueError(f"modules[{i}]: expected {len(form)} inputs, got {layer.weight.shape[1]}")
                form = layer.weight @ self.pad(form)
            else:
                form = self.layer(form, layer.activation)
        return form

    def lipschitz(self, out: Float[Tensor, "rows columns"], wrt: slice = slice(None), search: int = 100) -> float:
        """A certified Lipschitz constant, in the Euclidean norm, of ``out`` in the inputs ``wrt``, the others fixed.

        ``search`` gradient steps look for the sharpest bound. Raises ``ValueError`` for a form of other columns, and
        for a ``wrt`` that is no slice of the inputs.
        """
        inputs, search = self._inputs(wrt), arguments.integer("search", search, 0)
        whole = self.pad(out)
        out, system = self._restrict(whole, inputs)

        def squared(multipliers: list[Tensor]) -> Tensor | None:
            form = system.sector(multipliers) + system.identity
            root, info = torch.linalg.cholesky_ex(form)
            if int(info):
                return None
            half = torch.linalg.solve_triangular(root, out.mT, upper=False)
            return torch.linalg.matrix_norm(half, 2) ** 2

        found = math.sqrt(_search(squared, system.start(), search))
        moves = self._sampled(inputs)
        largest = float(((moves @ whole.mT).norm(dim=-1) / moves[:, : self.size].norm(dim=-1)).max())
        _hold(found, largest, found + float(torch.linalg.matrix_norm(whole)))
        return found

    def step_lipschitz(self, drift: Float[Tensor, "rows columns"], dt: float, wrt: slice = slice(None)) -> float:
        """A certified Lipschitz constant of x ↦ x + Δt f(x) in the inputs ``wrt``, (1 + 2νΔt)^½.

        Raises ``ValueError`` as :meth:`mean_square_rate` does.
        """
        dt = arguments.real("dt", dt, least=0.0)
        return math.sqrt(max(1 + 2 * dt * self.mean_square_rate(drift, wrt=wrt, dt=dt), 0.0))

    def mean_square_rate(
        self,
        drift: Float[Tensor, "rows _"],
        diffusion: Float[Tensor, "_ _"] | None = None,
        wrt: slice = slice(None),
        *,
        dt: float = 0.0,
        metric: Float[Tensor, " rows"] | None = None,
        search: int = 150,
    ) -> float:
        """A certified ν with 2⟨x, Δf⟩ + ‖Δg‖_F² + Δt|Δf|² ≤ 2ν|x|² in the norm |x|² = Σ m_i x_i².

        ``drift`` is the form of f, with one row for each input in ``wrt``; ``diffusion`` one of all entries of g that
        are not constant, one row for each input again (row i is what stands in row i of a diagonal g). With
        ``diffusion=None`` and ``dt=0`` it is a one-sided Lipschitz constant of f, and bounds the logarithmic norm
        μ₂(∂f). ``metric`` is m, positive, by default ones. The mean square then grows at most like exp(2νt), on the
        Euler grid with steps ``dt`` too.

        Raises ``ValueError`` for a form without one row for each input, a negative step, a metric that is not as many
        positive numbers, and a ``wrt`` that is no slice of the inputs.
        """
        rows, dt = self._inputs(wrt), arguments.real("dt", dt, least=0.0)
        search, k = arguments.integer("search", search, 0), len(rows)
        forms = {"drift": drift} if diffusion is None else {"drift": drift, "diffusion": diffusion}
        for name, form in forms.items():
            forms[name] = self.pad(form)
            if len(forms[name]) != k:
                raise ValueError(f"{name}: expected {k} rows, one for each input, got {len(forms[name])}")
        m = torch.ones(k, dtype=torch.float64) if metric is None else arguments.tensor("metric", metric).double()
        if m.shape != (k,) or not bool((m > 0).all()):
            raise ValueError(f"metric: expected {k} positive numbers, got {metric}")
        scale = m.sqrt()
        f, system = self._restrict(forms["drift"], rows, scale)
        f = scale[:, None] * f
        quadratic = _symmetric(system.identity[:k].mT @ f) + 0.5 * dt * f.mT @ f
        if diffusion is not None:
            g = scale[:, None] * self._restrict(forms["diffusion"], rows, scale)[0]
            quadratic = quadratic + 0.5 * g.mT @ g

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
        found = _search(rate, min(rated, key=lambda pair: pair[0])[1], search)
        moves = self._sampled(rows)
        x, df = moves[:, rows], moves @ forms["drift"].mT
        growth = (m * (2 * x * df + dt * df.square())).sum(-1)
        if diffusion is not None:
            growth = growth + (m * (moves @ forms["diffusion"].mT).square()).sum(-1)
        largest = float((growth / (m * x.square()).sum(-1)).max()) / 2
        _hold(found, largest, abs(found) + float(torch.linalg.matrix_norm(quadratic)))
        return found

    def _inputs(self, wrt: slice) -> Tensor:
        """The places of the inputs that are meant."""
        if not isinstance(wrt, slice):
            raise ValueError(f"wrt: expected a slice of the {self.size} inputs, got {arguments.shown(wrt)}")
        try:
            chosen = list(range(self.size))[wrt]
        except (TypeError, ValueError):
            raise ValueError(f"wrt: expected a slice of the {self.size} inputs, got {wrt}") from None
        ends = [end for end in (wrt.start, wrt.stop) if end is not None]
        if not chosen or any(abs(end) > self.size for end in ends):
            raise ValueError(f"wrt: expected a slice of the {self.size} inputs, with one of them at least, got {wrt}")
        return torch.tensor(chosen)

    def _sampled(self, inputs: Tensor) -> Tensor:
        """Increments ``(PAIRS, columns)`` between random points that differ in these inputs, at random biases."""
        generator = torch.Generator().manual_seed(0)

        def drawn(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        moves = torch.zeros(PAIRS, self.size, dtype=torch.float64)
        # Short steps meet the steepest slopes, long ones all others.
        moves[:, inputs] = drawn(PAIRS, len(inputs)) * torch.logspace(-2, 0.5, PAIRS, dtype=torch.float64)[:, None]
        for form, activation in self._layers:
            start = 2 * drawn(PAIRS, len(form))
            end = start + moves @ form[:, : moves.shape[1]].mT
            moves = torch.cat([moves, FUNCTIONS[activation](end) - FUNCTIONS[activation](start)], 1)
        return moves

    def _restrict(self, out: Tensor, inputs: Tensor, scale: Tensor | None = None) -> tuple[Tensor, _System]:
        keep = torch.cat([inputs, torch.arange(self.size, self.columns)])
        # In the variable √m x, of unit metric, the columns of the inputs are divided by √m.
        divide = torch.ones(len(keep), dtype=torch.float64)
        if scale is not None:
            divide[: len(inputs)] = scale
        layers = [(self.pad(form)[:, keep] / divide, ACTIVATIONS[activation]) for form, activation in self._layers]
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
            q = torch.cat(
                [
                    torch.cat([q + corner, -weight * middle * known.mT], 1),
                    torch.cat([-weight * middle * known, weight * torch.eye(len(form), dtype=torch.float64)], 1),
                ]
            )
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


def _hold(certified: float, largest: float, size: float) -> None:
    """A certificate that is below a quotient that was met is wrong, whatever its proof."""
    if not largest <= certified + ROUNDING * size:
        raise ArithmeticError(f"certificate: expected nothing above {certified:.6g}, got {largest:.6g} at two points")


def interval(
    modules: Sequence[nn.Module], low: Float[Tensor, " inputs"], high: Float[Tensor, " inputs"]
) -> tuple[Float[Tensor, " outputs"], Float[Tensor, " outputs"]]:
    """Bounds of ``nn.Sequential(*modules)`` on the box low ≤ x ≤ high, by interval arithmetic, layer by layer.

    Linear layers, and activations that are monotone (tanh, sigmoid, softplus) or SiLU, which has one minimum. The box
    is ``(inputs,)`` each. Raises ``ValueError`` for a box of another shape or with low > high, and what
    :func:`~sdewm.divergence.layers.plain_layers` raises for the modules.

    >>> low, high = interval([nn.Tanh()], torch.tensor([0.0]), torch.tensor([100.0]))
    >>> float(low), float(high)
    (0.0, 1.0)
    """
    low, high = (arguments.tensor(name, end).double() for name, end in (("low", low), ("high", high)))
    if low.ndim != 1 or not len(low) or low.shape != high.shape or not bool((low <= high).all()):
        raise ValueError(
            f"low, high: expected low ≤ high, both (inputs,), got shapes {tuple(low.shape)} and {tuple(high.shape)}"
            + " with low > high" * (low.shape == high.shape)
        )
    for i, layer in enumerate(plain_layers(modules)):
        if isinstance(layer, Affine):
            if layer.weight.shape[1] != len(low):
                raise ValueError(f"modules[{i}]: expected {len(low)} inputs, got {layer.weight.shape[1]}")
            middle, radius = layer((low + high) / 2), layer.weight.abs() @ ((high - low) / 2)
            low, high = middle - radius, middle + radius
        elif layer.activation == "silu":
            ends = torch.stack([layer(low), layer(high)])
            # silu has its minimum, above −0.27847, at −1.27847 and is monotone on either side.
            inside = (low < -1.2784) & (high > -1.2785)
            low = torch.where(inside, torch.full_like(low, -0.27847), ends.amin(0))
            high = ends.amax(0)
        else:
            low, high = layer(low), layer(high)
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
    bound. The weights are searched for; whatever they are, the bound holds.

    Raises ``TypeError`` for another module, also a subclass, or one with hooks; ``ValueError`` for a box below 1, which
    is left, for parameters that are not finite, and for a cell whose values are not those of its parameters.
    """
    as_it_is("cell", cell, (nn.GRUCell,))
    box, search = arguments.real("box", box, least=1.0), arguments.integer("search", search, 0)
    size = cell.hidden_size
    exact = in_float64("cell", cell)
    weight_h, weight_x, no_bias = exact.weight_hh, exact.weight_ih, torch.zeros(3 * size, dtype=torch.float64)
    bias, bias_x = (exact.bias_hh, exact.bias_ih) if exact.bias else (no_bias, no_bias)
    reset_h, update_h, new_h = weight_h.split(size)
    reset_x, update_x, new_x = weight_x.split(size)
    largest = box * new_h.abs().sum(1) + bias[2 * size :].abs()
    identity = torch.eye(size, dtype=torch.float64)
    state = _row_weighted([identity, update_h, new_h, reset_h], lambda cells: _gates(cells, largest, box)[:4], search)

    def of_input(cells: int) -> list[Tensor]:
        _, update, _, reset, new = _gates(cells, largest, box)
        return [update, new, reset]

    found = CellConstants(state, _row_weighted([update_x, new_x, reset_x], of_input, search))
    _hold_cell(exact, found, box, lambda x, h: _gru(x @ weight_x.mT + bias_x, h @ weight_h.mT + bias, h))
    return found


def _gru(from_input: Tensor, from_state: Tensor, h: Tensor) -> Tensor:
    """The cell's own formula, from both linear maps."""
    (reset_x, update_x, new_x), (reset_h, update_h, new_h) = from_input.chunk(3, -1), from_state.chunk(3, -1)
    update = torch.sigmoid(update_x + update_h)
    new = torch.tanh(new_x + torch.sigmoid(reset_x + reset_h) * new_h)
    return (1 - update) * new + update * h


def _hold_cell(cell: nn.GRUCell, found: CellConstants, box: float, own: Callable[[Tensor, Tensor], Tensor]) -> None:
    """The cell computes the formula, and no two points are further apart after it than the constants say."""
    generator = torch.Generator().manual_seed(0)
    x, step = torch.randn(2, PAIRS, cell.input_size, generator=generator, dtype=torch.float64)
    h, other = box * (2 * torch.rand(2, PAIRS, cell.hidden_size, generator=generator, dtype=torch.float64) - 1)
    x = 3 * x
    # Arguments of gates are sums of products, no gate is steeper than 1, and one of them multiplies such a sum.
    size = 1 + sum(w.abs().sum(1).max() for w in (cell.weight_ih, cell.weight_hh)) * (x.abs().max() + box)
    same_values("cell", "GRUCell", cell(x, h), own(x, h), (cell.input_size + cell.hidden_size) * size**2)
    x_moved = x + step * torch.logspace(-2, 0, PAIRS, dtype=torch.float64)[:, None]
    h_moved = h + (other - h) * torch.logspace(-2, 0, PAIRS, dtype=torch.float64)[:, None]
    for constant, end, moved in (
        (found.state, own(x, h_moved), h_moved - h),
        (found.input, own(x_moved, h), x_moved - x),
    ):
        _hold(constant, float(((end - own(x, h)).norm(dim=-1) / moved.norm(dim=-1)).max()), 1 + constant)


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
