"""The result of an audit: printed, written, drawn."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdewm.auditing.findings import CONFIDENCE, ExpandedLoss, Findings, radius_in_words, steps_shown
from sdewm.auditing.over_episodes import bounded
from sdewm.estimate.estimates import Estimate
from sdewm.verdicts.record import environment, write_json

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMAT = "sdewm-audit-1"


@dataclass(frozen=True)
class ModelAudit(Findings):
    """The result of :func:`sdewm.auditing.audit`. Printed, its first line is the verdict.

    Attributes
    ----------
    against_mean, against_last : the mean squared error of predictions from actions alone, n = 1, 2, … steps ahead,
        over that of the mean observation, and over that of the last observation seen, left where it is. Below 1 the
        model is the better guess.
    growth, small_growth : n = 0, 1, … steps after an error in z̃, the root mean square distance of two rollouts over
        the size of the error: of one of half the latent's spread, and in the limit of small ones.
    divergence, small_divergence : d_ε / E‖ε‖² of Theorem 4.1 for the same errors. As corrected d_ε is of order E‖ε‖²,
        with the latter as its factor.
    log_norm : mean μ₂ of ∂_h f − I along rollouts: errors in h grow no faster than exp(∫μ₂) in continuous time.
    log_sigma : mean log of ∂_h f's largest singular value: the most that a step can stretch an error in h.
    expanding : the share of states where a step can stretch one at all.
    expansions, left_out : the loss expanded, and what could not be.
    episodes, windows, horizon, context, steps, paths, seed : what the numbers rest on.
    dtype, seconds : of the model; that it took.
    """

    def to_json(self, file: str | os.PathLike[str]) -> None:
        """Write all of it, as ``audit.schema.json`` in this folder describes it."""
        write_json(Path(file), self.as_record())

    def to_html(self, file: str | os.PathLike[str]) -> None:
        """Write all of it as one web page that needs no network."""
        from sdewm.auditing.page import write_audit_page  # takes matplotlib

        write_audit_page(self, Path(file))

    def plot(self, axes: Axes | None = None) -> Axes:
        """Draw the error of predictions against steps ahead, next to the two guesses.

        ``axes`` are matplotlib's; new ones by default. Returns the axes. Bands are of 95 %.

        >>> found.plot().figure.savefig("audit.svg")
        """
        from sdewm.auditing.plots import draw_errors  # takes matplotlib

        return draw_errors(self, axes)

    def as_record(self) -> dict[str, Any]:
        """All of it as what JSON can hold; a number that is none, or without end, is ``None``."""
        return {
            "format": FORMAT,
            "model": self.model,
            "verdict": self.verdict,
            "trusted": self.trusted,
            "trust horizon": self.trust_horizon or None,
            "why": self.why,
            "cautions": list(self.cautions),
            "run": {
                "episodes": self.episodes, "windows": self.windows, "context": self.context, "horizon": self.horizon,
                "steps": self.steps, "paths": self.paths, "seed": self.seed, "confidence": CONFIDENCE,
                "seconds": self.seconds,
            },
            "environment": environment(self.dtype),
            "open loop": {
                "steps ahead": list(range(1, self.horizon + 1)),
                "against mean": [_ratio(e) for e in self.against_mean],
                "against last": [_ratio(e) for e in self.against_last],
            },
            "growth": {
                "steps": list(range(self.horizon + 1)),
                "half the spread": [_ratio(e) for e in self.growth],
                "small": [_ratio(e) for e in self.small_growth],
            },
            "divergence": {
                "half the spread": _ratio(self.divergence),
                "small": _ratio(self.small_divergence),
            },
            "logarithmic norms": {
                "drift": _number(self.log_norm), "map": _number(self.log_sigma),
                "expanding": _number(self.expanding, 0.0, 1.0),
            },
            "expansions": [_expansion(e) for e in self.expansions],
            "left out": list(self.left_out),
        }  # fmt: skip

    def __str__(self) -> str:
        lines = [
            self.verdict,
            f"  {self.windows} predictions in {self.episodes} episodes, seed {self.seed}, {self.dtype}, "
            f"{self.seconds:.1f} s; ± is a standard error over episodes",
            "",
            "steps ahead  error / mean observation's  error / last frame's  growth of small errors in z̃  of large ones",
        ]
        for n in steps_shown(self.horizon):
            row = (self.against_mean[n - 1], self.against_last[n - 1], self.small_growth[n], self.growth[n])
            cells = (f"{format(e, '.3g'):<{width}}" for e, width in zip(row, (26, 20, 28, 0), strict=True))
            lines.append(f"{n:>11}  {'  '.join(cells)}")
        lines += [
            "",
            f"d_ε / E‖ε‖² (Theorem 4.1)      {self.small_divergence:.3g}; of large errors {self.divergence:.3g}",
            f"logarithmic norm of the drift  {self.log_norm:.3g}",
            f"log of the map's norm          {self.log_sigma:.3g}; above 0 at {self.expanding:.3g} of the states",
        ]
        if self.expansions:
            lines += ["", "E L(x^ε) = loss0 + first ε + second ε² + …, ε in the latent's own spread; ± over paths"]
        for e in self.expansions:
            lines.append(
                f"  episode {e.episode}, {e.error}, {e.loss}: {e.loss0:.3g}, {e.first:.3g}, {e.second:.3g}; "
                f"{radius_in_words(e.radius)}"
            )
        lines += [f"caution: {text}" for text in self.cautions]
        return "\n".join(lines)


def _ratio(e: Estimate) -> dict[str, Any]:
    return _number(e, 0.0)


def _number(e: Estimate, least: float = -math.inf, most: float = math.inf) -> dict[str, Any]:
    low, high = bounded(e, CONFIDENCE, least, most)
    found = {"mean": e.mean, "stderr": e.stderr, "low": low, "high": high}
    finite = {name: value if math.isfinite(value) else None for name, value in found.items()}
    return finite | {"n": e.n, "dof": e.dof, "seed": e.seed, "flags": list(e.flags)}


def _expansion(e: ExpandedLoss) -> dict[str, Any]:
    found = {name: value for name, value in asdict(e).items() if name in ("episode", "time", "error", "loss", "at")}
    coefficients: Sequence[tuple[str, Estimate | None]] = (
        ("loss0", e.loss0), ("first", e.first), ("second", e.second), ("predicted", e.predicted),
        ("simulated", e.simulated),
    )  # fmt: skip
    return found | {
        **{name: None if value is None else _number(value) for name, value in coefficients},
        "radius": e.radius if math.isfinite(e.radius) else None,
        "radius in words": radius_in_words(e.radius),
        "kinks": list(e.kinks),
        "agrees": e.agrees,
    }
