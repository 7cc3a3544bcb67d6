"""Rows of the report from samples: one comparison for each coefficient, form and reading."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from sdewm.arrays import Array
from sdewm.estimate.estimates import Estimate
from sdewm.estimate.samples import richardson
from sdewm.expansion.forms import Form
from sdewm.expansion.rates import ADVICE, Rate
from sdewm.verdicts.judge import LARGEST_PART, Comparison, LeftOut
from sdewm.verification.samples import VARIATION
from sdewm.verification.system_samples import RouteCoefficients, SystemSamples

if TYPE_CHECKING:  # importing it imports scipy
    from sdewm.exact import Coefficients

ErrorCase = Literal["zero drift", "full"]
ORDERS = ("first", "second")
POWERS = {"first": "coefficient of ε", "second": "coefficient of ε²", "third": "coefficient of ε³"}
# The margin of a coefficient that is exactly zero is relative to its size over paths. Its row has this name.
IS_ZERO = ", which is 0, in parts of its root mean square over paths"


def coefficient_rows(claim: str, samples: SystemSamples, case: ErrorCase) -> Iterator[Comparison | LeftOut]:
    """Rows for the coefficients of ε and ε², against exact values where the system has them, else measured ones."""
    if samples.system.truth is not None:
        yield from _against_exact(claim, samples, case)
    else:
        yield from _against_measured(claim, samples, case)


def rate_rows(
    claim: str, samples: SystemSamples, case: ErrorCase, kind: str, form: Form
) -> Iterator[Comparison | LeftOut]:
    """Rows for the rate of the second-order remainder.

    A row is left out if sampling noise hides the ε³ term of a mean, or rounding hides the remainder: then no rate can
    be measured.
    """
    quantity = f"{kind} rate of the remainder past ε²"
    for loss in samples.system.losses:
        rate = samples.taylor[loss, case, form].rates[kind, 2]
        if rate.outcome in ("below noise", "below roundoff") and (kind == "weak" or not rate.rungs):
            yield LeftOut(claim, samples.system.named(loss), quantity, form, "", f"the rate is {rate.outcome}")
            continue
        yield _comparison(
            claim, samples, loss, quantity, form, "", _as_estimate(rate, samples),
            expected=float(rate.expected), numerical=rate.numerical + rate.rounding, margin=0.5,
            scale=float(rate.expected), part="taylor",
        )  # fmt: skip


def third_order_rows(claim: str, samples: SystemSamples, case: ErrorCase) -> Iterator[Comparison | LeftOut]:
    """Rows for the weak remainder over ε³ against the predicted third coefficient; left out if rounding hides it."""
    for loss in samples.system.losses:
        test = samples.taylor[loss, case, "corrected"]
        third, quantity = test.third["predicted"], "remainder/ε³ − predicted third coefficient"
        size, zero = samples.size(loss, case, 3)
        margin = samples.system.third_factor * samples.settings.precision * size
        # A row must be verified to half of the coefficient or better, which single precision seldom allows.
        within = margin if test.dtype == torch.float64 else min(margin, LARGEST_PART * abs(third.mean))
        if test.third_rounding > within:
            yield LeftOut(claim, samples.system.named(loss), quantity, "corrected", "", hidden(test.dtype))
            continue
        yield _comparison(
            claim, samples, loss, quantity + IS_ZERO * zero, "corrected", "",
            test.third["difference"], expected=0.0, numerical=test.third_numerical + test.third_rounding,
            margin=margin, scale=size if zero else third, part="taylor",
        )  # fmt: skip


def _against_exact(claim: str, samples: SystemSamples, case: ErrorCase) -> Iterator[Comparison]:
    system = samples.system
    assert system.truth is not None
    for order in ORDERS:
        truth = _exact(system.truth, case, order)
        on_grids = [np.array([_exact(t, case, order)]) for t in system.euler_truths]
        pick = ORDERS.index(order)
        for loss in system.losses:
            quantity, scale = POWERS[order], abs(truth)
            if truth == 0:
                quantity, scale = quantity + IS_ZERO, samples.size(loss, case, pick + 1)[0]
            margin = samples.settings.precision * scale
            of = _terms(loss, case, order)
            on_grid = _pick(samples.corrected_on_grid[loss], case)[pick]
            yield _comparison(
                claim, samples, loss, f"{quantity}, on the Euler grid", "corrected", "jets",
                samples.large.estimate(on_grid - on_grids[0], of), 0.0, 0.0, margin, scale, part="large",
            )  # fmt: skip
            limit = _pick(samples.corrected[loss], case)[pick]
            # Here the error of the extrapolation is known without sampling. It counts once, as numerical error.
            known = float(richardson(on_grids)[0][0])
            left = abs(known - truth)
            yield _comparison(
                claim, samples, loss, quantity, "corrected", "jets",
                samples.large.estimate(limit - known, of), 0.0, left, margin, scale, part="large",
            )  # fmt: skip
            # The jets are a control variate whose mean is known exactly, discretization included.
            control = _pick(samples.paired[loss]["jets"], case)[pick] - known
            for route in (VARIATION, *_printed(samples)):
                value = _pick(samples.paired[loss][route], case)[pick]
                yield _comparison(
                    claim, samples, loss, quantity, _form(route), route,
                    samples.small.estimate(value - control - truth), 0.0,
                    samples.numerical[loss, route][f"{case} {order}"], system.formula_factor * margin, scale,
                    part="small",
                )  # fmt: skip


def _against_measured(claim: str, samples: SystemSamples, case: ErrorCase) -> Iterator[Comparison | LeftOut]:
    settings, system = samples.settings, samples.system
    for order in ORDERS:
        pick = ORDERS.index(order)
        for loss in system.losses:
            size, zero = samples.size(loss, case, pick + 1)
            quantity = POWERS[order] + IS_ZERO * zero
            # Euler's scheme may fail on the coarser grids, as for a stiff drift. Then there is nothing to extrapolate.
            lost = not samples.numerical[loss, "measured"][f"{case} {order}"] <= size
            error = f"{case} {order} difference" + " on the grid" * lost
            difference = samples.numerical[loss, "measured"][error]
            routes = (samples.paired_on_grid if lost else samples.paired)[loss]
            measured = _pick(routes["measured"], case)[pick]
            for route in ("jets", *((VARIATION, *_printed(samples)) if system.has_limit else ())):
                if lost and route != "jets":
                    reason = "the coarser grids are too coarse for it: Δt → 0 is not to be seen. Take more steps"
                    yield LeftOut(claim, system.named(loss), quantity, _form(route), route, reason)
                    continue
                value = _pick(routes[route], case)[pick]
                precision = settings.precision * (1 if route == "jets" else system.formula_factor)
                # Jets and differences in ε are on the same grid and have the same bias; the formulas have another.
                left = 0.0 if route == "jets" else _left(samples, loss, route, case, order)
                yield _comparison(
                    claim, samples, loss, quantity, _form(route), route,
                    samples.small.estimate(value - measured), 0.0, difference + left, precision * size,
                    size if zero else samples.small.estimate(measured), part="small",
                )  # fmt: skip


def _left(samples: SystemSamples, loss: str, route: str, case: ErrorCase, order: str) -> float:
    """How much the last grid changed the difference between a formula and the measured coefficient."""
    key = f"{case} {order}"
    return samples.numerical[loss, route][key] + samples.numerical[loss, "measured"][key]


def _comparison(
    claim: str,
    samples: SystemSamples,
    loss: str,
    quantity: str,
    form: Form,
    reading: str,
    statistic: Estimate,
    expected: float,
    numerical: float,
    margin: float,
    scale: float | Estimate,
    part: str,
) -> Comparison:
    return Comparison(
        claim=claim,
        system=samples.system.named(loss),
        quantity=quantity,
        form=form,
        reading=reading,
        statistic=statistic,
        expected=expected,
        numerical=numerical,
        margin=margin,
        scale=scale,
        seconds=samples.seconds[part],
        config=samples.config,
        excuse=excuse(samples.kinks),
    )


def hidden(dtype: torch.dtype) -> str:
    """The reason for leaving out a row whose numbers consist of rounding."""
    name = str(dtype).removeprefix("torch.")
    return f"rounding in {name} hides it" + "; .double() on the model and x0 shows it" * (dtype != torch.float64)


def excuse(kinks: frozenset[str]) -> str:
    """Why a deviation does not refute a claim, given the operations with kinks that were met; empty without any."""
    if not kinks:
        return ""
    names = ", ".join(sorted(kinks))
    return f"not twice continuously differentiable, as the claim assumes ({names}): smooth ones, such as SiLU, decide"


def _terms(loss: str, case: ErrorCase, order: str) -> list[str]:
    """The names of the terms in the large sample that the coefficient is a sum of. It gets their flags."""
    terms = ["P"] if order == "first" else ["Q", "S"]
    if case == "full":
        terms += [f"{term}~" for term in terms]
    return [f"{loss}|jets|{term}/0" for term in terms]


def _pick(coefficients: RouteCoefficients, case: ErrorCase) -> tuple[Array, Array]:
    return coefficients.zero_drift if case == "zero drift" else coefficients.full


def _form(route: str) -> Form:
    return "corrected" if route in ("jets", VARIATION) else "printed"


def _printed(samples: SystemSamples) -> list[str]:
    first = next(iter(samples.paired.values()))
    return [route for route in first if route not in ("jets", VARIATION, "measured")]


def _exact(truth: Coefficients, case: ErrorCase, order: str) -> float:
    if case == "zero drift":
        return truth[1, 0] if order == "first" else truth[2, 0]
    if order == "first":
        return truth[1, 0] + truth[0, 1]
    return truth[2, 0] + truth[1, 1] + truth[0, 2]


def _as_estimate(rate: Rate, samples: SystemSamples) -> Estimate:
    if rate.outcome == "exact":
        # The remainder is zero: the expansion is the function itself, which agrees with every rate.
        return Estimate(float(rate.expected), 0.0, samples.small.paths, rate.dof, samples.settings.seed)
    flags = (ADVICE[rate.outcome],) if rate.outcome == "ε too large" else ()
    return Estimate(rate.value, rate.stderr, samples.small.paths, rate.dof, samples.settings.seed, flags)
