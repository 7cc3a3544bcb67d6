"""Verdicts at a significance: the quantiles to the digit, and what it means on claims that are true."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from support import FALSE_FAILURE, judge_all

from sdewm.estimate.estimates import Estimate
from sdewm.verdicts.judge import Comparison, Inequality

DOF = 4  # few, so that Student's t is far from a normal


def comparison(deviation: float, *, margin: float = 1e-9, numerical: float = 0.0) -> Comparison:
    """A statistic with a standard error of 1 that is off by so much; what is compared is far from zero."""
    statistic = Estimate(1e6 + deviation, 1.0, 40, DOF, 0)
    return Comparison("claim", "system", "quantity", "corrected", "", statistic, 1e6, numerical, margin, scale=1e6)


def inequality(excess: float, *, numerical: float = 0.0) -> Inequality:
    statistic = Estimate(1e6 + excess, 1.0, 40, DOF, 0)
    return Inequality("claim", "system", "quantity", "corrected", "", statistic, 1e6, numerical, scale=1e6)


@pytest.mark.parametrize("significance", [0.05, 1e-3, 1e-6])
@pytest.mark.parametrize("numerical", [0.0, 0.7])
def test_a_comparison_is_refuted_beyond_its_two_sided_half_width(significance, numerical):
    """Two-sided: half of the significance to each side; Student's t, for the standard error is an estimate too."""
    half = stats.t.isf(significance / 2, DOF) + numerical
    for sign in (1, -1):
        assert comparison(sign * (half + 1e-3), numerical=numerical).judge(significance).status == "refuted"
        assert comparison(sign * (half - 1e-3), numerical=numerical).judge(significance).status == "inconclusive"


@pytest.mark.parametrize("significance", [0.05, 1e-3, 1e-6])
@pytest.mark.parametrize("numerical", [0.0, 0.7])
def test_an_inequality_is_refuted_beyond_its_one_sided_half_width(significance, numerical):
    half = stats.t.isf(significance, DOF) + numerical
    assert inequality(half + 1e-3, numerical=numerical).judge(significance).status == "refuted"
    assert inequality(half - 1e-3, numerical=numerical).judge(significance).status == "inconclusive"


@pytest.mark.parametrize("numerical", [0.0, 0.7])
def test_what_is_verified_has_its_whole_interval_at_99_9_percent_within(numerical):
    """Half of a thousandth to each side: a hundredth would take a little more than half of this width."""
    half = stats.t.isf(0.0005, DOF) + numerical
    for deviation in (0.0, 0.5, -0.5):
        need = abs(deviation) + half
        assert comparison(deviation, margin=need + 1e-3, numerical=numerical).judge(1e-6).status == "verified"
        assert comparison(deviation, margin=need - 1e-3, numerical=numerical).judge(1e-6).status == "inconclusive"
    assert inequality(-half - 1e-3, numerical=numerical).judge(1e-6).status == "verified"
    assert inequality(-half + 1e-3, numerical=numerical).judge(1e-6).status == "inconclusive"


@pytest.mark.parametrize("make", ["comparison", "inequality"])
def test_a_true_claim_is_refuted_at_its_significance(make):
    """5,000 claims that are true, at their edge, each on five normal replicates; binomial test.

    The rate is 0.05. Significances that are not halved would refute 0.1 of comparisons, normal quantiles 0.12.
    """
    significance, runs = 0.05, 5000
    draws = np.random.default_rng(0).normal(1e6, 1.0, (runs, DOF + 1))
    refuted = 0
    for mean, stderr in zip(draws.mean(1), draws.std(1, ddof=1) / math.sqrt(DOF + 1), strict=True):
        s = Estimate(float(mean), float(stderr), DOF + 1, DOF, 0)
        if make == "comparison":
            claim = Comparison("c", "s", "q", "corrected", "", s, 1e6, 0.0, 1e-9, scale=1e6)
        else:
            claim = Inequality("c", "s", "q", "corrected", "", s, 1e6, 0.0, scale=1e6)
        refuted += claim.judge(significance).status == "refuted"
    assert stats.binomtest(refuted, runs, significance).pvalue > FALSE_FAILURE, refuted


def test_the_significance_of_a_run_is_shared_among_its_claims():
    verdicts = judge_all([comparison(0.0), inequality(0.0), comparison(1.0)], run_significance=3e-3)
    assert [v.significance for v in verdicts] == pytest.approx([1e-3] * 3)


def test_what_would_have_been_seen_is_what_is_seen_with_that_probability():
    """A deviation of ``detectable`` is refuted with probability 0.95 where the standard error is known."""
    significance, n = 0.01, 10**6
    s = Estimate(0.0, 1.0, n, n - 1, 0)
    detectable = Comparison("c", "s", "q", "corrected", "", s, 0.0, 0.0, 1.0, scale=1e6).judge(significance).detectable
    power = stats.norm.sf(stats.norm.isf(significance / 2), loc=detectable)
    assert power == pytest.approx(0.95, abs=1e-3)


@pytest.mark.parametrize(
    "deviation, numerical, stderr, expected",
    [
        (3.0, 0.0, 0.5, 6.0),
        (-3.0, 0.0, 0.5, 6.0),
        (3.0, 1.0, 0.5, 4.0),
        (0.5, 1.0, 0.5, 0.0),
        (1.0, 0.0, 0.0, math.inf),
    ],
)
def test_standard_errors_beyond_the_numerical_error(deviation, numerical, stderr, expected):
    statistic = Estimate(2.0 + deviation, stderr, 40, DOF, 0)
    claim = Comparison("c", "s", "q", "corrected", "", statistic, 2.0, numerical, 1.0, scale=2.0)
    assert claim.judge(1e-6).standard_errors == pytest.approx(expected)
    bound = Inequality("c", "s", "q", "corrected", "", statistic, 2.0, numerical, scale=2.0)
    assert bound.judge(1e-6).standard_errors == pytest.approx(expected if deviation > 0 else 0.0)


def test_what_may_be_zero_for_all_that_is_known_of_it():
    """The quantity's own interval holds 0, or all of it is within the margin: no agreement tells it from 0."""

    def judged(scale: Estimate | float, margin: float = 0.05) -> str:
        statistic = Estimate(0.0, 1e-4, 40, DOF, 0)
        return Comparison("c", "s", "q", "corrected", "", statistic, 0.0, 0.0, margin, scale=scale).judge(1e-6).status

    assert judged(Estimate(0.2, 0.1, 40, DOF, 0)) == "indistinguishable from 0"
    assert judged(Estimate(0.2, 1e-4, 40, DOF, 0)) == "verified"
    assert judged(1e-3) == "indistinguishable from 0"  # the margin is more than half of it
    assert judged(0.0) == "indistinguishable from 0"
