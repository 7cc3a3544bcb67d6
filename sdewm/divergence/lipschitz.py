"""Certified Lipschitz constants of networks: proven upper bounds, not maxima over samples.

A network is given as a directed graph of neurons (:class:`SlopeNetwork`), so that composed maps such as
f(h, z̃, π(h, z̃)) are certified as one function; a gated recurrent cell, whose products of gates are no such graph, has
a bound of its own (:func:`sdewm.divergence.gru_cell.gru_lipschitz`). Everything is computed in float64, whose rounding
(about 1e-12) is the only thing not accounted for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sdewm import arguments
from sdewm.divergence.layers import FUNCTIONS, Affine, plain_layers

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

    def __init__(self, size: int) -> None:
        self.size = arguments.integer("size", size, 1)
        self._layers: list[tuple[Tensor, str]] = []

    @property
    def inputs(self) -> Float[Tensor, "inputs inputs"]:
        """The form of the inputs' own increments."""
        return torch.eye(self.size, dtype=torch.float64)

    @property
    def columns(self) -> int:
        return self.size + sum(len(form) for form, _ in self._layers)

    def layer(self, linear_form: Float[Tensor, "neurons _"], activation: str) -> Float[Tensor, "neurons _"]:
        """Add neurons φ(linear_form + bias) and return the form of their increments.

        ``activation`` is a name in :data:`ACTIVATIONS`, or ``ValueError``.
        """
        _activation("activation", activation)
        start, form = self.columns, self.pad(linear_form)
        self._layers.append((form, activation))
        neurons = torch.zeros(len(form), self.columns, dtype=torch.float64)
        neurons[:, start:] = torch.eye(len(form), dtype=torch.float64)
        return neurons

    def pad(self, linear_form: Float[Tensor, "rows _"]) -> Float[Tensor, "rows _"]:
        """A form with a column for every neuron made so far."""
        form = arguments.tensor("linear_form", linear_form)
        if form.ndim != 2 or 0 in form.shape or form.shape[1] > self.columns:
            raise ValueError(
                f"linear_form: expected shape (rows, {self.columns}) or fewer columns, got {tuple(form.shape)}"
            )
        return nn.functional.pad(form.double(), (0, self.columns - form.shape[1]))

    def stack(self, *forms: Float[Tensor, "_ _"]) -> Float[Tensor, "_ _"]:
        """Forms one above the other, as torch.cat does inputs one after the other."""
        if not forms:
            raise ValueError("forms: expected at least one, got none")
        return torch.cat([self.pad(form) for form in forms])

    def sequential(self, modules: Sequence[nn.Module], linear_form: Float[Tensor, "_ _"]) -> Float[Tensor, "_ _"]:
        """The form of ``nn.Sequential(*modules)`` applied to ``linear_form``: linear layers and smooth activations.

        Raises ``TypeError`` or ``ValueError`` that names a module which is of another kind, or computes something else
        than its parameters say, as :func:`~sdewm.divergence.layers.plain_layers` does.
        """
        form = self.pad(linear_form)
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
        hold_certificate(found, largest, found + float(torch.linalg.matrix_norm(whole)))
        return found

    def step_lipschitz(self, drift: Float[Tensor, "rows columns"], dt: float, wrt: slice = slice(None)) -> float:
        """A certified Lipschitz constant of x ↦ x + Δt f(x) in the inputs ``wrt``, (1 + 2νΔt)^½.

        Raises ``ValueError`` as :meth:`mean_square_rate` does.
        """
        dt = arguments.real("dt", dt, least=0.0)
        square = 1 + 2 * dt * self.mean_square_rate(drift, wrt=wrt, dt=dt)
        if not math.isfinite(square):
            raise ValueError(f"dt: expected a step whose constant is a finite number, got {dt:g}")
        return math.sqrt(max(square, 0.0))

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
        hold_certificate(found, largest, abs(found) + float(torch.linalg.matrix_norm(quadratic)))
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


def hold_certificate(certified: float, largest: float, size: float) -> None:
    """``ArithmeticError`` where a quotient that was met is above its certificate, which is wrong, whatever its proof.

    ``size`` is what rounding is a part of.
    """
    if not largest <= certified + ROUNDING * size:
        raise ArithmeticError(f"certificate: expected nothing above {certified:.6g}, got {largest:.6g} at two points")
