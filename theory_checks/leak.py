"""Theorem 4.1 as a reason for (20): does a smaller ‖∂_h f‖_F of the drift make errors grow less?

The drift of a recurrent cell is GRU − h, and its Jacobian is ∂GRU − I. Where ∂GRU is small the Jacobian is close to
−I: its norm is large, and errors decay. So as λ grows the norm rises while the growth of errors falls. The logarithmic
norm μ₂ moves with the growth, and bounds it: d/dt |y| ≤ μ₂ |y| for the flow, |y'| ≤ σ_max |y| for the cell's own step.
"""

import math
from collections.abc import Callable, Iterator

import torch

from sdewm.expansion.forms import Form
from sdewm.verdicts.judge import Row
from sdewm.verdicts.record import Curve
from sdewm.verification.settings import Settings
from sdewm.worldmodel import load_trained
from sdewm.worldmodel.error_growth import flow_contraction, jacobian_statistics
from sdewm.worldmodel.ladder import SHIPPED_SEEDS, SHIPPED_WEIGHTS, model_name, over_seeds, read_record, slopes
from sdewm.worldmodel.latent_rollout import dynamics, starting_states
from theory_checks.claim import Claim
from theory_checks.regularized import SYSTEM, curve, seeds_row
from theory_checks.rows import Rows, exact

ROUNDING = 1e-9


def check(rows: Rows, settings: Settings) -> list[Row]:
    errors = "growth of errors in h"
    return [
        _rises(rows, errors, "printed", "with ‖∂_h f‖_F, the flow", "drift_h", "flow_log_growth"),
        _rises(rows, errors, "printed", "with ‖∂_h f‖_F, the own step", "drift_h", "map_log_growth"),
        _rises(rows, "log E‖Φ_N‖²_F", "printed", "with ‖∂_h f‖_F", "drift_h", "final_phi", of=math.log),
        _rises(rows, "log d_ε", "printed", "with ‖∂_h f‖_F, as printed", "drift_h", "divergence", of=math.log),
        _rises(rows, "log d_ε", "printed", "with ‖∂_h f‖_F, h alone", "drift_h", "divergence_h", of=math.log),
        _rises(rows, "log d_ε", "printed", "with ‖∂_h f‖_F, after 15 steps", "drift_h", "growth_15", of=math.log),
        _rises(rows, errors, "corrected", "with μ₂, the flow", "flow_bound", "flow_log_growth"),
        _rises(rows, errors, "corrected", "with log σ_max, the own step", "map_bound", "map_log_growth"),
        *_bounds(rows, settings),
    ]


def _rises(
    rows: Rows, quantity: str, form: Form, reading: str, x: str, y: str, of: Callable[[float], float] = float
) -> Row:
    """That y rises with x over the weights, within a seed: minus its slope is at most 0."""
    record = read_record()
    minus = {seed: -slope for seed, slope in slopes(record, x, y, of).items()}
    size = over_seeds([of(r.measured[y]) for r in record]).mean
    return seeds_row(rows, f"{quantity} rises", form, reading, minus, size, {"x": x, "y": y})


def _bounds(rows: Rows, settings: Settings) -> Iterator[Row]:
    """Along paths measured now, of the shipped models: the largest excess of what is bounded over its bound."""
    seeds = SHIPPED_SEEDS[: 1 if settings.precision > 1e-3 else None]
    found: dict[str, list[float]] = {"flow": [], "own step": [], "mean square": []}
    for weight in SHIPPED_WEIGHTS:
        for seed in seeds:
            agent, episodes = load_trained(model_name(weight, seed))
            model, start = dynamics(agent), starting_states(agent, episodes)
            generator = torch.Generator().manual_seed(settings.seed)
            terms = jacobian_statistics(model, start, agent.world_model.latent_spread, generator)
            found["flow"].append(flow_contraction(model, start, generator)["flow_excess"])
            found["own step"].append(terms["map_excess"])
            found["mean square"].append(math.log(terms["bound_used"]))
    statements = {
        "flow": "log‖Ψ‖ ≤ ∫μ₂ dt, the flow",
        "own step": "log‖Ψ‖ ≤ Σ log σ_max, the own step",
        "mean square": "E[ |y_N|² / Π ρ_n ] ≤ |y_1|², (19)",
    }
    for name, excesses in found.items():
        yield rows.at_most(
            statements[name],
            "corrected",
            "",
            exact(max(excesses), len(excesses), settings.seed),
            numerical=ROUNDING,
            scale=1.0,
            config={"models": len(excesses), "by model": excesses},
        )


def curves(rows: Rows, settings: Settings) -> list[Curve]:
    return [
        curve(rows, label, name)
        for label, name in (
            ("‖∂_h f‖_F of the map", "map_h"),
            ("‖∂_h f‖_F of the drift", "drift_h"),
            ("μ₂ of the drift", "mu_h"),
            ("log σ_max of the map", "log_sigma_h"),
            ("log growth of the flow", "flow_log_growth"),
            ("∫μ₂ of the flow", "flow_bound"),
            ("log growth of the own step", "map_log_growth"),
            ("½ log ρ", "log_rho"),
        )
    ]


CLAIM = Claim("leak", ("Theorem 4.1",), (SYSTEM,), check, curves, seconds={SYSTEM: 10.0})
