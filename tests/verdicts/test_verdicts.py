"""What a verdict may be called: within a part of the quantity, never on a flagged estimate, and counted as it is."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from scipy import stats
from support import FALSE_FAILURE

from sdewm.estimate.estimates import Estimate
from sdewm.verdicts.judge import LARGEST_PART, NEAR_ZERO, Comparison, Inequality, LeftOut, Verdict, share_of_look
from sdewm.verdicts.record import as_record, write_json
from sdewm.verdicts.words import failures, in_words, overall, summary
from sdewm.verification.tables import print_claims, print_table

SIGNIFICANCE = 1e-6


def comparison(
    deviation: float, stderr: float, *, margin: float, scale: float | Estimate, numerical: float = 0.0, **names: str
) -> Comparison:
    about = {"claim": "claim", "system": "system", "quantity": "quantity", "form": "corrected", "reading": ""} | names
    statistic = Estimate(deviation, stderr, 1600, 15, 0)
    return Comparison(**about, statistic=statistic, expected=0.0, numerical=numerical, margin=margin, scale=scale)


# -- a part of the quantity itself


def test_a_formula_that_gives_zero_is_not_verified_by_a_margin_above_the_quantity():
    """The coefficient 4.5e-4 at a margin of 1.3e-3: what is claimed is 0, and nothing tells it from the truth."""
    truth = Estimate(4.54e-4, 1.1e-4, 128, 15, 0)
    claimed_zero = comparison(-4.54e-4, 1.1e-4, margin=1.3e-3, scale=truth)
    assert claimed_zero.judge(SIGNIFICANCE).status == NEAR_ZERO
    # The right formula cannot be told from 0 by that sample either, however close it comes.
    assert comparison(1e-6, 1e-6, margin=1.3e-3, scale=truth).judge(SIGNIFICANCE).status == NEAR_ZERO


def test_the_right_formula_is_verified_where_the_quantity_is_seen():
    seen = Estimate(4.54e-4, 1e-6, 128, 15, 0)
    assert comparison(1e-6, 1e-6, margin=1.3e-3, scale=seen).judge(SIGNIFICANCE).status == "verified"
    # … and 0 in its place is refuted.
    assert comparison(-4.54e-4, 1e-6, margin=1.3e-3, scale=seen).judge(SIGNIFICANCE).status == "refuted"


def test_between_the_part_and_the_margin_a_quantity_that_is_larger_than_the_margin_is_open():
    """It is not near 0, and not within the part that verifies: more paths are wanted."""
    verdict = comparison(0.0, 0.2, margin=1.0, scale=1.2).judge(SIGNIFICANCE)
    assert 1.2 * LARGEST_PART < verdict.reach <= 1.0 and verdict.status == "inconclusive"
    assert verdict.sampling_decides


def test_a_quantity_whose_own_interval_holds_zero_is_not_told_from_it_however_well_a_formula_meets_it():
    """On common paths a difference can be tiny where the quantity itself is lost in the noise."""
    for stderr, status in ((1.1e-4, NEAR_ZERO), (1.0e-4, "verified")):  # 4.1 of them are half of 99.9 %
        truth = Estimate(4.3e-4, stderr, 1600, 15, 0)
        assert comparison(1e-13, 1e-13, margin=1e-5, scale=truth).judge(SIGNIFICANCE).status == status
    wide = comparison(0.0, 1e-3, margin=1e-5, scale=Estimate(0.0, 1.0, 1600, 15, 0)).judge(SIGNIFICANCE)
    assert wide.status == "inconclusive" and wide.sampling_decides


@pytest.mark.parametrize("sign", [1, -1])
def test_only_what_the_estimate_of_the_quantity_is_sure_of_counts(sign):
    """The near end of its 99.9 % interval, of either sign."""
    truth = Estimate(sign * 1.0, 0.1, 1600, 15, 0)
    sure = 1.0 - stats.t.isf(0.0005, 15) * 0.1
    for off, status in ((-1e-6, "verified"), (1e-6, "indistinguishable from 0")):
        row = comparison(0.0, 0.0, margin=10.0, scale=truth, numerical=LARGEST_PART * sure + off)
        assert row.judge(SIGNIFICANCE).status == status
    verdict = comparison(0.0, 0.0, margin=10.0, scale=truth).judge(SIGNIFICANCE)
    assert verdict.margin == pytest.approx(LARGEST_PART * sure)


sizes = st.floats(1e-6, 1e6)


@given(deviation=sizes, stderr=sizes, numerical=sizes, margin=sizes, scale=sizes, sign=st.sampled_from([-1, 1]))
def test_a_verified_row_never_has_a_margin_above_its_quantity(deviation, stderr, numerical, margin, scale, sign):
    """Nor does its interval reach further, and with 0 in place of what is claimed it would not be verified."""
    row = comparison(sign * deviation, stderr, margin=margin, scale=scale, numerical=numerical)
    verdict = row.judge(SIGNIFICANCE)
    if verdict.status == "verified":
        assert verdict.reach <= verdict.margin <= LARGEST_PART * scale
        zero = replace(row, statistic=replace(row.statistic, mean=scale))
        assert zero.judge(SIGNIFICANCE).status != "verified"
    if verdict.status == NEAR_ZERO:  # the quantity is known here
        assert scale <= margin and LARGEST_PART * scale < verdict.reach <= margin


# -- flags


@pytest.mark.parametrize("deviation", [0.0, 100.0])
def test_a_flagged_estimate_is_inconclusive_and_says_why(deviation):
    flags = ("a few paths carry the mean", "its halves disagree")
    row = comparison(deviation, 0.1, margin=1.0, scale=10.0)
    bound = Inequality("c", "s", "q", "printed", "", Estimate(deviation - 50, 0.1, 1600, 15, 0), 0.0, 0.0, 1.0)
    constant = replace(bound, vacuous=True)
    for claimed in (row, bound, constant):
        assert claimed.judge(SIGNIFICANCE).status != "inconclusive"
        flagged = replace(claimed, statistic=replace(claimed.statistic, flags=flags))
        verdict = flagged.judge(SIGNIFICANCE)
        assert verdict.status == "inconclusive" and not verdict.sampling_decides
        assert verdict.reason == "a few paths carry the mean; its halves disagree"


# -- looks


def test_the_shares_of_all_looks_add_up_to_no_more_than_the_significance():
    shares = [share_of_look(k) for k in range(60)]
    assert shares[0] == 0.5 and sum(shares) <= 1.0
    assert all(later == earlier / 2 for earlier, later in itertools.pairwise(shares))


def test_a_look_judges_at_its_share_of_the_significance_and_of_the_doubt():
    significance, share = 0.01, 0.25
    half = stats.t.isf(share * significance / 2, 15)
    for off, status in ((-1e-3, "inconclusive"), (1e-3, "refuted")):
        assert comparison(half + off, 1.0, margin=1e-9, scale=1.0).judge(significance, share).status == status
    need = stats.t.isf(share * 0.0005, 15)
    for off, status in ((1e-3, "verified"), (-1e-3, "inconclusive")):
        assert comparison(0.0, 1.0, margin=need + off, scale=100.0).judge(significance, share).status == status
    one_sided = stats.t.isf(share * significance, 15)
    for off, status in ((-1e-3, "inconclusive"), (1e-3, "refuted")):
        excess = Estimate(one_sided + off, 1.0, 1600, 15, 0)
        row = Inequality("c", "s", "q", "printed", "", excess, 0.0, 0.0, 1.0)
        assert row.judge(significance, share).status == status


def refuted_in_some_look(significance: float, runs: int, share) -> int:
    """True claims looked at five times, on 5, 10, … 80 normal replicates, until one look refutes them."""
    rng, refuted = np.random.default_rng(0), 0
    for draws in rng.normal(0.0, 1.0, (runs, 80)):
        for look in range(5):
            v = draws[: 5 * 2**look]
            s = Estimate(float(v.mean()), float(v.std(ddof=1) / math.sqrt(len(v))), len(v), len(v) - 1, 0)
            row = Comparison("c", "s", "q", "corrected", "", s, 0.0, 0.0, 1e-9, 1.0)
            if row.judge(significance, share(look)).status == "refuted":
                refuted += 1
                break
    return refuted


def test_sampling_on_until_a_true_claim_is_refuted_does_so_at_the_significance_at_most():
    """600 claims at 5 %; looks that spend all of it each would refute 15 %. One-sided binomial test."""
    significance, runs = 0.05, 600
    refuted = refuted_in_some_look(significance, runs, share_of_look)
    assert stats.binomtest(refuted, runs, significance, alternative="greater").pvalue > FALSE_FAILURE, refuted
    greedy = refuted_in_some_look(significance, runs, lambda look: 1.0)
    assert stats.binomtest(greedy, runs, significance, alternative="greater").pvalue < FALSE_FAILURE, greedy


# -- counted as what it is


def verified(**names: str) -> Verdict:
    return comparison(0.0, 1e-3, margin=0.1, scale=1.0, **names).judge(SIGNIFICANCE)


def refuted(**names: str) -> Verdict:
    return comparison(1.0, 1e-3, margin=0.1, scale=1.0, **names).judge(SIGNIFICANCE)


def near_zero_rows() -> list[Verdict]:
    row = comparison(0.9e-4, 0.0, margin=1.3e-3, scale=4.5e-4, numerical=2.5e-4)
    return [row.judge(SIGNIFICANCE), replace(row, form="printed").judge(SIGNIFICANCE)]


def test_readings_and_routes_together():
    near = near_zero_rows()[0]
    assert near.status == NEAR_ZERO
    for form in ("printed", "corrected"):
        assert overall([near], form) == overall([near, near], form) == NEAR_ZERO
    assert overall([near, verified()], "printed") == "verified"  # one reading is
    assert overall([near, verified()], "corrected") == NEAR_ZERO  # not every route is
    assert overall([near, refuted()], "printed") == NEAR_ZERO  # not every reading is refuted
    assert overall([near, refuted()], "corrected") == "refuted"  # one route is


def test_the_summary_counts_and_names_what_is_neither_verified_nor_refuted_and_what_is_left_out():
    near = near_zero_rows()
    rows = [verified(), refuted(form="printed", quantity="other"), *near]
    left_out = [LeftOut("claim", "elsewhere", "weak rate", "corrected", "", "the rate is below noise")]
    counts, *named = summary(rows, left_out)
    assert counts == (
        "1 of 2 corrected statements verified, 1 indistinguishable from 0; "
        "1 of 2 printed ones refuted in every reading, 1 indistinguishable from 0; 1 rows left out"
    )
    assert named == [
        "  indistinguishable from 0, corrected: claim on system, quantity",
        "  indistinguishable from 0, printed: claim on system, quantity",
        "  left out: claim on elsewhere, weak rate, corrected: the rate is below noise",
    ]


def test_a_quantity_near_zero_fails_a_run_where_nothing_verifies_its_claim():
    near = near_zero_rows()[0]
    assert failures([near]) == [near]
    assert failures([near, verified(quantity="another")]) == []
    assert failures([near, verified(claim="another")]) == [near]
    assert failures([near, verified(system="another")]) == []
    assert failures([near, refuted(form="printed"), verified(system="another")]) == []
    wrong = refuted(system="third")
    assert failures([near, wrong, verified(system="another")]) == [wrong]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([("printed", "refuted"), ("corrected", "verified")], "wrong as printed; holds as corrected"),
        ([("printed", "refuted"), ("printed", "vacuous")], "wrong in part as printed"),
        ([("printed", "vacuous")], "cannot be wrong as printed: a constant is free"),
        (
            [("printed", "verified"), ("printed", "vacuous"), ("corrected", "verified")],
            "holds as printed; holds as corrected",
        ),
        ([("printed", "inconclusive"), ("corrected", "refuted")], "undecided as printed; wrong as corrected"),
        ([("corrected", "inconclusive"), ("corrected", "verified")], "undecided as corrected"),
        ([], ""),
    ],
)
def test_what_a_claims_rows_say_in_words(rows, words):
    found = [replace(verified(), quantity=str(i), form=f, status=s) for i, (f, s) in enumerate(rows)]
    assert in_words(found) == words


def test_one_row_for_each_claim(tmp_path):
    rows = [verified(), replace(refuted(form="printed"), reading="a"), replace(refuted(form="printed"), reading="b")]
    left_out = [LeftOut("another", "elsewhere", "weak rate", "corrected", "", "the rate is below noise")]
    console = Console(width=200, record=True, file=(tmp_path / "out").open("w"))
    print_claims(rows, left_out, {"claim": ("(1)", "(2)", "(3)", "(4)", "(5)")}, {"claim": 1.25}, console)
    first, second = [line for line in console.export_text().splitlines() if line.startswith("│")]
    for cell in ("claim", "(1), (2), (3) and 2 more", "1 refuted", "1 verified", "1.2", "holds as corrected"):
        assert cell in first
    assert "another" in second and " 1 " in second and "–" in second


def test_the_table_and_the_record_have_the_status_of_its_own(tmp_path):
    rows = [verified(system="one"), *near_zero_rows()]
    console = Console(width=200, record=True, file=(tmp_path / "out").open("w"))
    print_table(rows, console)
    text = console.export_text()
    assert text.count("≈ indistinguishable from 0") == 2 and "✓ verified" in text
    assert "0.4 %" in text  # what the verified one reaches to
    left_out = [LeftOut("claim", "elsewhere", "weak rate", "corrected", "", "the rate is below noise")]
    write_json(tmp_path / "report.json", as_record(rows, left_out, [], [], {}))
    written = json.loads((tmp_path / "report.json").read_text())
    assert [r["status"] for r in written["records"]] == ["verified", NEAR_ZERO, NEAR_ZERO]
    assert written["left out"][0]["reason"] == "the rate is below noise"
