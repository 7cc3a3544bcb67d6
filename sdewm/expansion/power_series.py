"""The expected loss as a power series in ε, the magnitude of the error."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar, overload

import numpy as np
from jaxtyping import Float, Float64
from torch import Tensor

from sdewm import arguments
from sdewm.arrays import Array
from sdewm.estimate.estimates import Estimate
from sdewm.estimate.samples import Sample
from sdewm.expansion.forms import Form

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Value = TypeVar("Value", Tensor, Array)
# Within the radius each term of the series is at most this fraction of the one before. If later terms shrink as fast,
# those past the second order add up to at most TRUST²/(1 - TRUST) = 1/12 of the first-order term.
TRUST = 0.25
# With kinks, later coefficients can be missing. So a series is not trusted where its radius would allow a first-order
# change of the loss by more than this many times the loss itself.
ENDLESS = 1e3
# What each term is, in printed results.
MEANINGS = {
    "P": "L's slope along ∂x, for the error in the diffusion",
    "Q": "L's slope along ∂²x, for the error in the diffusion",
    "S": "L's curvature along ∂x, for the error in the diffusion",
    "P~": "what the error in the drift adds to P",
    "Q~": "what the error in the drift adds to Q, alone and with the other",
    "S~": "what the error in the drift adds to S, alone and with the other",
}


class BeyondRadius(UserWarning):
    """Warns of a prediction at an error so large that the terms left out may not be small.

    >>> with warnings.catch_warnings(record=True) as met:
    ...     warnings.simplefilter("always")
    ...     far = expansion.predict(10.0)
    >>> met[0].category.__name__
    'BeyondRadius'
    """


@dataclass(frozen=True)
class Expansion:
    """E L(x^ε) = loss0 + first ε + second ε² + third ε³ + …

    Attributes
    ----------
    loss0, first, second, third : the coefficients; ``third`` is ``None`` unless asked for.
    terms : "P", "Q", "S", "P~", "Q~", "S~". Corrected: first = P + P~, second = ½(Q + S) + Q~ + S~. As printed:
        second = Q + ½S + Q~ + S~.
    bias : for each coefficient and term the discretization error on the finest grid, as the extrapolation estimates
        it. Empty with one grid: then the coefficients are exactly those of the solver's steps on this grid.
    bias_left : how much the last grid changed the extrapolated value, which is about the size of the remaining bias.
    kinks : the names of the operations met that are not twice continuously differentiable. They have a kink or a jump
        inside their domain, or paths come near the end of their domain or a pole, as √ of a square does at 0.
        Each path is differentiated on the smooth piece that it is on. So what paths that cross a kink contribute to
        the second coefficient is missing, and at a jump what they contribute to the first.

    A coefficient whose spread rests on few paths is flagged, and so is a prediction from it.

    >>> expansion = expand(family, loss, x0, grid)
    >>> expansion.predict(0.1).n
    16384
    """

    form: Form
    reading: str
    loss0: Estimate
    first: Estimate
    second: Estimate
    third: Estimate | None
    terms: dict[str, Estimate]
    bias: dict[str, float]
    bias_left: dict[str, float]
    kinks: tuple[str, ...]
    sample: Sample = field(repr=False)

    @property
    def radius(self) -> float:
        """The largest |ε| for which the second-order prediction can be trusted.

        Up to this |ε| each term is at most a quarter of the one before, in root mean square over paths. If later terms
        shrink as fast, the terms left out add up to at most a twelfth of the first-order term. Root mean squares show
        what means hide: odd orders that cancel, and heavy tails. The first three terms are used. With ``order=2`` the
        size of the third is estimated on a few more paths; the printed form has no third term, and uses two.

        It is ``inf`` where the series ends on every path, and ``nan`` where too few terms are known, as without moments
        or where the first-order term is zero. It is ``nan`` too where the series seems to end but there are
        :attr:`kinks`, or where a few walks at an error that is not small give other losses, or where all paths are
        equal: coefficients that vanish at one state need not vanish elsewhere.
        """
        moments = self.sample.moments
        if self.form == "corrected" and "third" not in moments:
            return math.nan
        sizes = [moments[name].rms for name in ("loss0", "first", "second", "third") if name in moments]
        if len(sizes) < 3:
            return math.nan
        nothing = 1e-13 * sizes[0]
        ratios = [
            before / after if after > nothing else math.inf
            for before, after in itertools.pairwise(sizes[1:])
            if before > nothing
        ]
        found = TRUST * min(ratios) if ratios else (math.inf if max(sizes[1:]) <= nothing else math.nan)
        alike = all(moments[name].spread <= nothing for name in moments)
        # Near 0, the computed second and third derivatives of √(x²) = |x| are made of rounding alone.
        second = TRUST * ratios[0] if ratios else found
        ends = math.isinf(found) or (bool(self.kinks) and second * sizes[1] > ENDLESS * sizes[0])
        goes_on = "rest" in moments and moments["rest"].rms > 0
        return math.nan if ends and (self.kinks or alike or goes_on) else found

    @overload
    def predict(self, eps: float) -> Estimate: ...

    @overload
    def predict(
        self, eps: Sequence[float] | Float64[np.ndarray, " points"] | Float[Tensor, " points"]
    ) -> list[Estimate]: ...

    def predict(
        self, eps: float | Sequence[float] | Float64[np.ndarray, " points"] | Float[Tensor, " points"]
    ) -> Estimate | list[Estimate]:
        """E L(x^ε) to second order, with the error bar of the whole sum.

        ``eps`` is one number, or several of shape ``(k,)``, which give a list of k estimates. Raises ``ValueError`` if
        it is not finite or has more axes. Warns with :class:`BeyondRadius` where |ε| exceeds :attr:`radius`.

        >>> [round(e.mean, 2) for e in expansion.predict([0.0, 0.1])]
        [0.87, 0.96]
        """
        try:
            values = np.asarray(eps.detach().cpu() if isinstance(eps, Tensor) else eps, dtype=np.float64)
        except (TypeError, ValueError):
            raise ValueError(f"eps: expected a finite number, or several, got {arguments.shown(eps)}") from None
        if values.ndim > 1 or not np.isfinite(values).all():
            raise ValueError(f"eps: expected a finite number, or several in one dimension, got {eps!r}")
        largest = float(np.abs(values).max(initial=0.0))
        if largest > 0 and not largest <= self.radius:
            warnings.warn(self._beyond(largest), BeyondRadius, stacklevel=2)
        found = [self._predict(float(e)) for e in values.ravel()]
        return found if values.ndim else found[0]

    def _predict(self, eps: float) -> Estimate:
        s = self.sample
        powers = {"loss0": 1.0, "first": eps, "second": eps**2}
        # Flags of coefficients that hardly matter at this ε are left out; how much doubtful ones do nobody knows.
        errors = {name: abs(power) * s.estimate(name).stderr for name, power in powers.items()}
        large = 0.1 * max(errors.values())
        matter = [name for name, error in errors.items() if error >= large or (powers[name] and name in s.doubts)]
        return s.estimate(s["loss0"] + eps * s["first"] + eps**2 * s["second"], of=matter)

    def _beyond(self, eps: float) -> str:
        if math.isnan(self.radius):
            return f"eps: {eps:g}, and up to where this prediction holds is not known. Solve at this ε."
        return (
            f"eps: {eps:g} is beyond {self.radius:.2g}, up to which each term of the expansion is at most {TRUST:g} of "
            "the one before: what is left out may exceed what is predicted. Solve at this ε, or take a smaller one."
        )

    def plot(self, axes: Axes | None = None, *, largest: float | None = None) -> Axes:
        """Draw E L(x^ε) against ε, to each order, and mark where the prediction can no longer be trusted.

        ``axes`` are matplotlib's; new ones by default. ``largest`` is the largest |ε|: by default a quarter more than
        :attr:`radius`, or 1 where the radius is unknown or infinite. Returns the axes. The band shows two standard
        errors.

        >>> expansion.plot().figure.savefig("loss.svg")
        """
        from sdewm.expansion.loss_plot import draw_loss  # takes matplotlib

        if largest is not None:
            largest = arguments.real("largest", largest, above=0.0)
        names = ["loss0", "first", "second"] + ["third"] * (self.third is not None)
        return draw_loss(self.sample, names, self.radius, axes, largest)

    def __str__(self) -> str:
        q = "½(Q + S)" if self.form == "corrected" else "Q + ½S"
        sums = {"loss0": "", "first": "P + P~", "second": f"{q} + Q~ + S~", "third": ""}
        series = {"loss0": self.loss0, "first": self.first, "second": self.second}
        if self.third is not None:
            series["third"] = self.third
        lines = [
            "E L(x^ε) = loss0 + first ε + second ε² + third ε³ + …",
            f"mean ± standard error of {self.sample.paths} paths; ∂x, ∂²x: derivatives of x^ε in ε at 0",
            *(_row(name, value, sums[name]) for name, value in series.items()),
            *(_row(name, value, MEANINGS[name]) for name, value in self.terms.items()),
            self._reach(),
        ]
        if self.kinks:
            lines.append(f" kinks  {', '.join(self.kinks)}: what paths add that cross a kink or a jump is left out")
        return "\n".join(lines)

    def _reach(self) -> str:
        """The radius in words."""
        if math.isnan(self.radius):
            return "radius  not known: up to which |ε| predict(ε) can be trusted"
        if math.isinf(self.radius):
            return "radius  predict(ε) can be trusted at every ε: the series ends"
        return f"radius  predict(ε) can be trusted for |ε| up to {self.radius:.2g}"


def _row(name: str, value: Estimate, meaning: str) -> str:
    """An estimate with what it is, and its flags below."""
    first, *flags = str(value).splitlines()
    return "\n".join([f"{name:>6}  {first:<24}  {meaning}".rstrip(), *flags])


def second_coefficient(values: Mapping[str, Value], form: Form, half_q: bool = False) -> Value:
    """The coefficient of ε²: ½(Q + S) + Q~ + S~, or as printed Q + ½S + Q~ + S~.

    ``half_q`` takes ½Q in the printed form too: erratum E1 corrected.
    """
    q = values["Q"] if form == "printed" and not half_q else 0.5 * values["Q"]
    return q + 0.5 * values["S"] + values["Q~"] + values["S~"]
