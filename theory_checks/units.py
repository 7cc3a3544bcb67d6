"""What one worker does at a time: claims that share what is sampled, on one system, looked at until decided."""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType

import torch

from sdewm.verification.evidence import gather
from sdewm.verification.looks import decide
from sdewm.verification.report import Curve
from sdewm.verification.settings import Settings
from sdewm.verification.verdicts import LeftOut, Verdict
from theory_checks.systems import SYSTEMS, system

# In the order of the paper. Those of the expansion share what is sampled on a system.
EXPANSION = ("prop_b5", "lemma_b7", "theorem_3_7", "corollary_3_8")
CLAIMS = (
    "one_step",
    "assumptions",
    "w1_kl",
    "theorem_3_6",
    "covering_map",
    "proposition_a7",
    "proposition_b1",
    *EXPANSION,
    "lemma_b7_steps",
    "sensitivity_sdes",
    "fundamental_matrix",
    "smoothness",
    "convex_loss",
    "ablation",
    "fundamental_matrix_bound",
    "theorem_4_1",
    "initial_value",
    "certified_bounds",
    "corollary_4_2",
    "policy_maximizer",
    "jacobian_regularization",
    "leak",
    "tables",
)
# Of a whole run on two busy cores, in which a unit that is not named here took one on average. They order the queue, so
# that no worker is left with a long unit at the end, and tell the time left until there is something better to go by.
SECONDS = {
    ("expansion", "trained"): 149.0,
    ("expansion", "trained-constant"): 149.0,
    ("expansion", "latent"): 113.0,
    ("jacobian_regularization", "ladder"): 66.0,
    ("sensitivity_sdes", "clock"): 59.0,
    ("expansion", "latent-linear"): 51.0,
    ("expansion", "trained-step-constant"): 47.0,
    ("expansion", "linear"): 45.0,
    ("expansion", "trained-step"): 38.0,
    ("fundamental_matrix", "clock"): 34.0,
    ("expansion", "lean-regularized"): 24.0,
    ("expansion", "lean"): 21.0,
    ("jacobian_regularization", "lean-pair"): 21.0,
    ("ablation", "latent-linear"): 20.0,
    ("expansion", "gbm"): 18.0,
    ("expansion", "circle"): 16.0,
    ("theorem_4_1", "latent"): 16.0,
    ("assumptions", "trained"): 15.0,
    ("ablation", "latent-f-bar"): 15.0,
    ("theorem_4_1", "trained-step"): 14.0,
    ("initial_value", "sine"): 13.0,
    ("ablation", "latent"): 11.0,
    ("leak", "ladder"): 10.0,
    ("fundamental_matrix", "gbm"): 10.0,
    ("sensitivity_sdes", "latent"): 8.0,
    ("certified_bounds", "trained-step"): 6.0,
    ("initial_value", "latent"): 6.0,
    ("fundamental_matrix", "latent"): 5.0,
    ("convex_loss", "trained-step"): 5.0,
    ("ablation", "circle"): 4.0,
    ("proposition_b1", "random-inputs"): 4.0,
    ("fundamental_matrix_bound", "trained-step"): 4.0,
}
TYPICAL = 1.0


@dataclass(frozen=True)
class Unit:
    """What one worker does at a time: claims that share what is sampled, on one system."""

    claims: tuple[str, ...]
    system: str

    @property
    def cost(self) -> float:
        """About how many seconds it takes at the default precision."""
        claim = "expansion" if self.claims[0] in EXPANSION else self.claims[0]
        return SECONDS.get((claim, self.system), TYPICAL)

    def __str__(self) -> str:
        return f"{', '.join(self.claims)} on {self.system}"


@dataclass(frozen=True)
class Finished:
    """What a unit contributes to the report, and the seconds that it took."""

    verdicts: list[Verdict]
    left_out: list[LeftOut]
    terms: list[dict[str, object]]
    curves: list[Curve]
    seconds: float


def module(claim: str) -> ModuleType:
    """A claim's file: ``CLAIM``, ``SYSTEMS`` and ``QUICK``, ``check``, and ``curves`` where it has any for figures."""
    return importlib.import_module(f"theory_checks.{claim}")


def units(claims: Sequence[str], systems: Sequence[str] | None, quick: bool) -> list[Unit]:
    """Every claim on every system asked for: those named, or those that its file says."""

    def asked(claim: str) -> Iterator[str]:
        if systems:
            yield from (s for s in known_systems(claim) if s in systems)
        else:
            yield from module(claim).QUICK if quick else module(claim).SYSTEMS

    shared = tuple(c for c in claims if c in EXPANSION)
    found = [Unit(shared, system) for system in (asked(shared[0]) if shared else ())]
    return found + [Unit((c,), system) for c in claims if c not in EXPANSION for system in asked(c)]


def known_systems(claim: str) -> tuple[str, ...]:
    """The systems that a claim can be checked on."""
    return tuple(SYSTEMS) if claim in EXPANSION else tuple(module(claim).SYSTEMS)


def work(unit: Unit, settings: Settings) -> Finished:
    """A unit's share of the report, from its settings alone."""
    torch.set_num_threads(1)
    started = time.perf_counter()
    rows = decide(
        lambda look: (row for claim in unit.claims for row in module(claim).check(unit.system, look)), settings
    )
    curves: list[Curve] = []
    for claim in unit.claims:
        if hasattr(module(claim), "curves"):
            curves += module(claim).curves(unit.system, settings)
    terms = gather(system(unit.system), settings).terms if set(unit.claims) & set(EXPANSION) else []
    verdicts = [row for row in rows if isinstance(row, Verdict)]
    left_out = [row for row in rows if isinstance(row, LeftOut)]
    return Finished(verdicts, left_out, terms, curves, time.perf_counter() - started)
