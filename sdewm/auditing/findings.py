"""What an audit of a world model found, and what follows from it, in words."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from sdewm.auditing.over_episodes import bounded
from sdewm.estimate.estimates import Estimate

CONFIDENCE = 0.95  # of every interval
FEW = 10  # episodes: with fewer, intervals are wide
SHARE = 1 / 12  # of the first-order term, that an expansion may be off by within its radius
AGREES = 4.0  # standard errors that two estimates of one number may be apart
ALIKE = 1.5  # times that two factors may differ by
SHOWN = (1, 2, 5, 10, 15, 20, 30, 50, 100)  # steps ahead that are printed


@dataclass(frozen=True)
class ExpandedLoss:
    """E L(x^ε) = loss0 + first ε + second ε² + … from one state of one episode.

    Attributes
    ----------
    episode, time : which of the audited episodes, and when.
    error : "noise", σ̄, or "drift", σ, both the latent's own spread at ε = 1.
    loss : "reconstruction" or "reward", a mean over the steps.
    loss0, first, second : the coefficients, with standard errors over paths.
    radius : up to which |ε| two orders can be trusted; ``nan`` where that is not known.
    kinks : operations met that are not twice continuously differentiable.
    at : the ε at which the change of the loss was also simulated: the radius, but at most 1.
    predicted, simulated : that change, E L(x^ε) − E L(x⁰), by the expansion and by simulation on other noise.
    """

    episode: int
    time: int
    error: str
    loss: str
    loss0: Estimate
    first: Estimate
    second: Estimate
    radius: float
    kinks: tuple[str, ...]
    at: float | None
    predicted: Estimate | None
    simulated: Estimate | None

    @property
    def agrees(self) -> bool | None:
        """Whether prediction and simulation are as near as the radius promises; ``None`` without a simulation."""
        if self.at is None or self.predicted is None or self.simulated is None:
            return None
        apart = abs(self.predicted.mean - self.simulated.mean)
        errors = math.hypot(self.predicted.stderr, self.simulated.stderr)
        return apart <= AGREES * errors + SHARE * abs(self.at * self.first.mean)


@dataclass(frozen=True)
class Findings:
    """The numbers of an audit, and what they say; fields as in :class:`~sdewm.auditing.ModelAudit`."""

    model: str
    against_mean: tuple[Estimate, ...]
    against_last: tuple[Estimate, ...]
    growth: tuple[Estimate, ...]
    small_growth: tuple[Estimate, ...]
    divergence: Estimate
    small_divergence: Estimate
    log_norm: Estimate
    log_sigma: Estimate
    expanding: Estimate
    expansions: tuple[ExpandedLoss, ...]
    left_out: tuple[str, ...]
    episodes: int
    windows: int
    horizon: int
    context: int
    steps: int
    paths: int
    seed: int
    dtype: str
    seconds: float = field(compare=False)

    @property
    def trusted(self) -> bool:
        """Whether the numbers can be trusted at all: more than one episode, and none of them without end."""
        numbers = (*self.against_mean, *self.against_last, *self.growth, *self.small_growth)
        return self.episodes > 1 and all(math.isfinite(e.mean) and math.isfinite(e.stderr) for e in numbers)

    @property
    def better(self) -> tuple[bool, ...]:
        """For each number of steps ahead, whether the model is better than both guesses, at 95 %."""
        return tuple(
            all(e.interval(CONFIDENCE)[1] < 1 for e in pair)
            for pair in zip(self.against_mean, self.against_last, strict=True)
        )

    @property
    def trust_horizon(self) -> int:
        """Up to how many steps ahead predictions beat both guesses without a gap; 0 where there is no such number.

        Steps are asked one after the other, and the first that fails ends it. So the confidence holds for the answer as
        a whole, though there are many steps.
        """
        if not self.trusted:
            return 0
        return next((n for n, better in enumerate(self.better) if not better), self.horizon)

    @property
    def why(self) -> str:
        """Why the trust horizon is what it is."""
        if self.episodes < 2:
            return "There is one episode, and what another one would give is not known."
        if not self.trusted:
            return "Errors are no finite numbers."
        n = self.trust_horizon
        if n == self.horizon:
            return f"Up to {n} steps ahead, the most that was asked, predictions beat both guesses."
        reasons = []
        for name, e in (("the mean observation's", self.against_mean[n]), ("the last frame's", self.against_last[n])):
            low, high = bounded(e, CONFIDENCE, 0.0)
            if high >= 1:
                known = "" if low > 1 else ", so that it is not known to be smaller"
                reasons.append(f"the error is {e.mean:.2g} times {name}, 95 % interval {low:.2g} to {high:.2g}{known}")
        text = f"{_steps(n + 1)} ahead {', and '.join(reasons)}."
        text = text[0].upper() + text[1:]
        later = [k + 1 for k, better in enumerate(self.better) if better and k > n]
        if later:
            text += f" Further on predictions beat both guesses at {len(later)} of {self.horizon - n - 1} steps"
            text += f", {later[0]} to {later[-1]}." if len(later) == later[-1] - later[0] + 1 else "."
        return text

    @property
    def verdict(self) -> str:
        """One plain sentence."""
        if not self.trusted:
            return f"{self.model}: this audit cannot be trusted. {self.why}"
        if self.trust_horizon:
            return f"{self.model}: predictions can be trusted for {_steps(self.trust_horizon)}. {self.why}"
        return f"{self.model}: no trust horizon. {self.why}"

    @property
    def cautions(self) -> tuple[str, ...]:
        """What to know before the numbers are used, in plain words."""
        found = []
        if 1 < self.episodes < FEW:
            found.append(
                f"{self.episodes} episodes: intervals have {self.episodes - 1} degrees of freedom, and are wide. What "
                "differs between episodes is seen through these alone."
            )
        if self.small_growth[-1].interval(CONFIDENCE)[0] > 1:
            found.append(
                f"A small error in z̃ grows: after {self.horizon} steps it is {self.small_growth[-1].mean:.2g} times as "
                "large."
            )
        kinks = sorted({name for e in self.expansions for name in e.kinks})
        if kinks:
            found.append(
                f"The model has kinks ({', '.join(kinks)}), and the theory asks for two derivatives. What paths add "
                "that cross one is left out of the expansion."
            )
        unknown = sum(math.isnan(e.radius) for e in self.expansions)
        if unknown:
            found.append(f"Up to which ε {unknown} of {len(self.expansions)} expansions hold is not known.")
        wrong = [e for e in self.expansions if e.agrees is False]
        if wrong:
            found.append(
                f"{len(wrong)} of {len(self.expansions)} expansions disagree with a simulation at their own radius."
            )
        flagged = sum(any(c.flags for c in (e.loss0, e.first, e.second)) for e in self.expansions)
        if flagged:
            found.append(f"{flagged} of {len(self.expansions)} expansions rest on a few paths: draw more of them.")
        thin = next((n for n, e in enumerate(self.small_growth) if e.flags and self.episodes > 1), None)
        if thin is not None:
            found.append(
                f"After {_steps(thin)} a few pairs of rollouts carry the growth of small errors: larger ones may not "
                "have been seen, and its error bars are too short."
            )
        if not 1 / ALIKE < self.small_divergence.mean / self.divergence.mean < ALIKE:
            found.append(
                "An error of half the latent's spread is no small one: d_ε / E‖ε‖² is "
                f"{self.divergence.mean:.3g} for it, and {self.small_divergence.mean:.3g} in the limit of small "
                "errors, of which Theorem 4.1 speaks."
            )
        if self.dtype != "float64":
            found.append(f"The model is in {self.dtype}: coefficients near its rounding are none.")
        found += [f"Left out: {reason}" for reason in self.left_out]
        return tuple(found)


def steps_shown(horizon: int) -> list[int]:
    """A few numbers of steps up to the horizon, and the horizon."""
    return sorted({n for n in SHOWN if n < horizon} | {horizon})


def radius_in_words(radius: float) -> str:
    """Up to which ε an expansion holds."""
    if math.isnan(radius):
        return "its radius is not known"
    return "good at every ε" if math.isinf(radius) else f"good up to ε = {radius:.2g}"


def _steps(n: int) -> str:
    return f"{n} step" + "s" * (n != 1)
