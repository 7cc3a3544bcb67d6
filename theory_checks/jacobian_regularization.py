"""Equation (20) and Section 4: training with λ‖J‖_F lowers the Jacobian terms, the divergence and the bias R̃.

World models trained alike but for λ, in pairs that share data and seed; the seed is the unit. A printed row says that
what it names falls from λ = 0 to λ = 10; its statistic is the mean over seeds of the change of the logarithm. The pair
of larger models, agents from pixels, is a single seed: its intervals are over noises.
"""

from sdewm.verdicts.judge import Row
from sdewm.verdicts.record import Curve
from sdewm.verification.settings import Settings
from theory_checks.claim import Claim
from theory_checks.lean_pair import SYSTEM as PAIR
from theory_checks.lean_pair import pair_rows
from theory_checks.regularized import SYSTEM, change_row, curve, record_rows
from theory_checks.rows import Rows

# Quantity, reading, and the name under which it is measured. d_ε is in units of E|ε|².
PRINTED = (
    ("‖∂_h f‖_F falls", "f the map", "map_h"),
    ("‖∂_h f‖_F falls", "f the drift, map less h", "drift_h"),
    ("‖∂_z f‖_F falls", "as it is", "map_z"),
    ("‖∂_z f‖_F falls", "in the latent's own units", "map_z_spread"),
    ("E sup‖Φ‖²_F falls, (18)", "", "sup_phi"),
    ("d_ε falls, Theorem 4.1", "as printed", "divergence"),
    ("d_ε falls, Theorem 4.1", "h alone", "divergence_h"),
    ("d_ε falls, Theorem 4.1", "after 15 steps", "growth_15"),
    ("|R̃| falls, Corollary 3.8", "", "bias"),
    ("|E L(x^ε) − E L(x⁰)| falls", "drift error", "increase"),
    ("reconstruction is no worse, Table 2", "", "reconstruction"),
)


def check(rows: Rows, settings: Settings) -> list[Row]:
    if rows.system == PAIR:
        return pair_rows(rows)
    return [
        *(change_row(rows, quantity, "printed", reading, name) for quantity, reading, name in PRINTED),
        change_row(rows, "log J₀ falls, Theorem 4.1", "printed", "𝓕_h of the map", "log_j0_map", of=float),
        change_row(rows, "log J₀ falls, Theorem 4.1", "printed", "𝓕_h of the drift", "log_j0", of=float),
        change_row(rows, "what is penalized falls, ‖(∂_h f, ∂_z f)‖_F", "corrected", "", "penalized"),
        change_row(rows, "the leak grows: ‖∂_h f‖_F of the drift", "corrected", "", "drift_h", falls=False),
        change_row(rows, "μ₂ of the drift falls", "corrected", "", "mu_h", of=float),
        *record_rows(rows, settings),
    ]


def curves(rows: Rows, settings: Settings) -> list[Curve]:
    if rows.system == PAIR:
        return []
    return [
        curve(rows, label, name)
        for label, name in (
            ("|R̃|", "bias"),
            ("|E L(x^ε) − E L(x⁰)|", "increase"),
            ("d_ε / E|ε|²", "divergence"),
            ("E sup|h^ε − h⁰|² / E|ε|²", "divergence_h"),
            ("error after 15 steps / ε", "growth_15"),
            ("E sup‖Φ‖²_F", "sup_phi"),
            ("‖∂_z f‖_F", "map_z"),
            ("reconstruction, nats", "reconstruction"),
        )
    ]


CLAIM = Claim(
    "jacobian_regularization",
    ("(20)",),
    (SYSTEM, PAIR),
    check,
    curves,
    quick=(SYSTEM,),
    seconds={SYSTEM: 66.0, PAIR: 21.0},
)
