"""The shipped pair of agents as evidence on (20): trained alike but for λ, with one seed.

Intervals are over noises, starting states or held-out episodes, as each row's configuration says; one pair says nothing
about other seeds of training, which the ladder of :mod:`theory_checks.regularized` is for.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from sdewm.estimate.estimates import Estimate
from sdewm.expansion.forms import Form
from sdewm.verdicts.judge import Row
from sdewm.worldmodel import load_trained
from sdewm.worldmodel.robustness import measure_replicates
from sdewm.worldmodel.shipped import LEAN, LEAN_REGULARIZED
from theory_checks.rows import Rows
from theory_checks.systems import error_weights, state_dependent

SYSTEM = "lean-pair"
READING = "one training seed"

# Quantity, part of the reading, the name under which it is measured, and what its values are.
PRINTED = (
    ("E‖Φ_N‖²_F falls, (18)", "15 steps", "final_phi", "noises"),
    ("d_ε falls, Theorem 4.1", "as printed", "divergence", "noises"),
    ("d_ε falls, Theorem 4.1", "h alone", "divergence_h", "noises"),
    ("d_ε falls, Theorem 4.1", "after 15 steps", "growth_15", "noises"),
    ("|R̃| falls, Corollary 3.8", "", "bias", "noises"),
    ("|E L(x^ε) − E L(x⁰)| falls", "drift error", "increase", "noises"),
    ("reconstruction is no worse, Table 2", "", "reconstruction", "held-out episodes"),
)
PENALIZED = ("what is penalized falls, ‖(∂_h f, ∂_z f)‖_F", "", "penalized", "starting states")


def pair_rows(rows: Rows) -> list[Row]:
    """That each quantity falls from λ = 0 to the regularized agent: the mean change of its logarithm is at most 0."""
    measured = []
    for name in (LEAN, LEAN_REGULARIZED):
        agent, episodes = load_trained(name)
        model = agent.world_model
        weights = error_weights(model.config.deter, model.config.stoch)
        measured.append(measure_replicates(agent, episodes, partial(state_dependent, weights, model.latent_spread, 0)))

    def row(form: Form, quantity: str, part: str, name: str, over: str) -> Row:
        plain, regularized = (m[name] for m in measured)
        change = np.log(regularized / plain)
        statistic = Estimate(
            float(change.mean()), float(change.std(ddof=1) / math.sqrt(len(change))), len(change), len(change) - 1
        )
        config = {
            "measured": name,
            "λ": agent.config.jacobian_weight,
            "ratio": math.exp(statistic.mean),
            "training seeds": 1,
            "interval": f"over {over}",
            "without": float(plain.mean()),
            "regularized": float(regularized.mean()),
        }
        reading = ", ".join(filter(None, (part, READING)))
        return rows.at_most(quantity, form, reading, statistic, scale=float(plain.mean()), config=config)

    return [*(row("printed", *entry) for entry in PRINTED), row("corrected", *PENALIZED)]
