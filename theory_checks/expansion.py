"""What the claims of the expansion share: their systems, and one sample on each."""

from __future__ import annotations

from functools import partial

from sdewm.verification.settings import Settings
from sdewm.verification.system_samples import SystemSamples, sample_system
from theory_checks.claim import Claim
from theory_checks.systems import SYSTEMS, system

# The coefficients that both (10)–(13) and (14)–(17) are about.
FIRST, SECOND = "coefficient of ε", "coefficient of ε²"


def samples_of(name: str, settings: Settings) -> SystemSamples:
    """What is sampled on a system; kept, for the claims that share it."""
    return sample_system(system(name), settings)


def _terms(name: str, settings: Settings) -> list[dict[str, object]]:
    return samples_of(name, settings).terms


expansion_claim = partial(
    Claim,
    systems=tuple(SYSTEMS),
    quick=("gbm", "ou", "circle", "latent", "trained-step"),
    on_request=("trained-constant",),
    seconds={
        "trained": 149.0, "trained-constant": 149.0, "latent": 113.0, "latent-linear": 51.0,
        "trained-step-constant": 47.0, "linear": 45.0, "trained-step": 38.0, "lean-regularized": 24.0, "lean": 21.0,
        "gbm": 18.0, "circle": 16.0,
    },
    samples="expansion",
    terms=_terms,
)  # fmt: skip
