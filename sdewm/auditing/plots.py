"""An audit drawn: errors and their growth against steps ahead."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from sdewm.auditing.findings import CONFIDENCE, ExpandedLoss, Findings
from sdewm.auditing.over_episodes import bounded
from sdewm.drawing import CORRECTED, GUIDE, MEASURED, PRINTED, Look, drawn_on
from sdewm.estimate.estimates import Estimate

POINTS = 33  # of a curve in ε
ABOVE_ZERO = 1e-9  # where a band ends on a logarithmic axis


def draw_errors(found: Findings, axes: Axes | None) -> Axes:
    """The error of predictions over those of the two guesses; see ``ModelAudit.plot``."""
    with drawn_on(axes) as axes:
        ahead = range(1, found.horizon + 1)
        _band(axes, ahead, found.against_mean, CORRECTED, "over the mean observation's")
        _band(axes, ahead, found.against_last, PRINTED, "over the last frame's")
        axes.axhline(1.0, **GUIDE)
        axes.set(xlabel="steps ahead", ylabel="mean squared error, relative")
        axes.set_ylim(0, None)
        axes.legend()
    return axes


def draw_growth(found: Findings, axes: Axes | None) -> Axes:
    """How many times its size an error in z̃ has after so many steps."""
    with drawn_on(axes) as axes:
        steps = range(found.horizon + 1)
        _band(axes, steps, found.small_growth, MEASURED, "a small error")
        _band(axes, steps, found.growth, CORRECTED, "half the latent's spread")
        axes.axhline(1.0, **GUIDE)
        axes.set(xlabel="steps of a rollout", ylabel="times its size, root mean square", yscale="log")
        means = [e.mean for e in (*found.small_growth, *found.growth)]
        axes.set_ylim(min(means) / 2, 4 * max(means))
        axes.legend()
    return axes


def draw_expansion(e: ExpandedLoss, axes: Axes | None) -> Axes:
    """The change of a loss that two orders predict, up to where it was simulated, with that simulation."""
    with drawn_on(axes) as axes:
        if e.at is not None and e.simulated is not None and e.predicted is not None:
            at = [e.at * i / (POINTS - 1) for i in range(POINTS)]
            axes.plot(
                at, [e.first.mean * x + e.second.mean * x * x for x in at], color=CORRECTED.color, label="two orders"
            )
            for estimate, look, label in ((e.predicted, CORRECTED, None), (e.simulated, MEASURED, "simulated")):
                bar = 2 * estimate.stderr
                axes.errorbar(
                    [e.at], [estimate.mean], [bar], label=label, color=look.color, marker=look.marker, ls="none"
                )
            axes.legend()
        axes.axhline(0.0, **GUIDE)
        axes.set(xlabel="ε, in the latent's own spread", ylabel="change of the loss")
    return axes


def _band(axes: Axes, x: Sequence[int], values: Sequence[Estimate], look: Look, label: str) -> None:
    low, high = zip(*(bounded(e, CONFIDENCE, ABOVE_ZERO) for e in values), strict=True)
    axes.fill_between(x, low, high, color=look.color, alpha=0.15, lw=0)
    axes.plot(x, [e.mean for e in values], **look.line(), label=label, ms=2.5)
