"""Certified Lipschitz constants of a gated recurrent cell, in float64 as those of networks."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sdewm import arguments
from sdewm.divergence.layers import as_it_is, in_float64, same_values
from sdewm.divergence.lipschitz import PAIRS, hold_certificate, spectral_norm


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
        hold_certificate(constant, float(((end - own(x, h)).norm(dim=-1) / moved.norm(dim=-1)).max()), 1 + constant)


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
