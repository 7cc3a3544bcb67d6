"""Samples that grow until a row is decided: what each look draws, what it keeps, and where it stops."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from sdewm.estimate.estimates import Estimate
from sdewm.estimate.samples import Sample, pool, sample
from sdewm.exact.problems import PROBLEMS
from sdewm.expansion.taylor import pool_tests, taylor_test
from sdewm.noise.grid import TimeGrid
from sdewm.noise.samplers import AntitheticMonteCarlo, MonteCarlo, QuasiMonteCarlo
from sdewm.verdicts.judge import Comparison, LeftOut, Verdict
from sdewm.verification.looks import LOOKS, SIGNIFICANCE, decide
from sdewm.verification.settings import Settings, pooled

FIRST = Settings(seed=3)


# -- rounds


def drawn(name: str, settings: Settings, round: int) -> Sample:
    values = np.random.default_rng(settings.stream(round)).normal(size=16)
    return Sample({"x": values, "y": values**2}, 160, settings.seed)


def test_each_look_keeps_what_the_one_before_drew_and_doubles_it():
    calls: list[int] = []

    @pooled
    def sampled(name: str, settings: Settings, round: int) -> Sample:
        calls.append(round)
        return drawn(name, settings, round)

    looks = [sampled("system", FIRST.at_look(k)) for k in range(4)]
    assert calls == list(range(8))  # each round once
    assert [s.paths for s in looks] == [160, 320, 640, 1280]
    for before, after in itertools.pairwise(looks):
        for name in ("x", "y"):
            assert len(after[name]) == 2 * len(before[name])
            assert np.array_equal(after[name][: len(before[name])], before[name])
    last = looks[-1]["x"]
    assert len(set(last)) == len(last)  # no replicate comes twice
    # The seed alone repeats each look, whatever came before it.
    sampled.cache_clear()
    assert np.array_equal(sampled("system", FIRST.at_look(3))["x"], last)


def test_streams_differ_between_seeds_rounds_and_purposes():
    streams = {
        Settings(seed=seed).stream(round, purpose) for seed in range(10) for round in range(16) for purpose in range(3)
    }
    assert len(streams) == 10 * 16 * 3


@pytest.mark.parametrize(
    ("sampler", "kind"), [("rqmc", QuasiMonteCarlo), ("mc", MonteCarlo), ("antithetic", AntitheticMonteCarlo)]
)
def test_the_sampler_is_the_one_asked_for(sampler, kind):
    settings = Settings(sampler=sampler)
    first, second = settings.draw(2**12, 0), settings.draw(2**12, 1)
    assert type(first) is type(second) is kind
    assert first.paths == second.paths == 2**12 and first.per_replicate == second.per_replicate
    assert first.seed != second.seed


def test_taylor_tests_of_rounds_are_the_test_of_all_their_replicates():
    problem = PROBLEMS["ou"]()
    grid = TimeGrid(0.0, problem.horizon, 4)
    first = taylor_test(problem.family, problem.loss, problem.x0, grid, paths=64, seed=0)
    second = taylor_test(problem.family, problem.loss, problem.x0, grid, paths=64, seed=1, eps=first.eps)
    both = pool_tests([first, second])
    assert both.sample.paths == 128
    a, b = (t.third["predicted"].mean for t in (first, second))
    assert both.third["predicted"].mean == pytest.approx((a + b) / 2, rel=1e-12)
    for key, remainder in both.remainders.items():
        low, high = np.sort([first.remainders[key], second.remainders[key]], axis=0)
        assert (low * (1 - 1e-9) <= remainder).all() and (remainder <= high * (1 + 1e-9)).all(), key
    other = taylor_test(problem.family, problem.loss, problem.x0, grid, paths=64, eps=[e / 2 for e in first.eps])
    with pytest.raises(ValueError, match="tests"):
        pool_tests([first, other])


# -- looks


class Check:
    """A claim whose rows are made of the settings; it counts how often it is asked, and with how many rounds."""

    def __init__(self, *rows) -> None:
        self.rows, self.asked = rows, []

    def __call__(self, settings: Settings) -> list:
        self.asked.append(settings.rounds)
        return [row(settings.rounds) for row in self.rows]


def a_row(
    deviation: float = 0.0,
    stderr: float = 1.0,
    numerical: float = 0.0,
    form: str = "corrected",
    name: str = "row",
    grows: bool = True,
    margin: float = 1.0,
):
    """A row whose standard error falls with the number of paths; within the margin it needs 1/10 of it and less."""

    def made(rounds: int) -> Comparison:
        more = rounds if grows else 1
        statistic = Estimate(deviation, stderr / more**0.5, 100 * more, 16 * more - 1, 0)
        return Comparison("claim", "system", name, form, "", statistic, 0.0, numerical, margin, scale=10.0)

    return made


def decided(check: Check, seconds: float | None = None) -> dict[str, Verdict | LeftOut]:
    return {row.quantity: row for row in decide(check, FIRST, seconds)}


def test_a_decided_run_looks_once():
    check = Check(a_row(stderr=0.05), a_row(deviation=20.0, name="wrong"))
    found = decided(check)
    assert check.asked == [1]
    assert found["row"].status == "verified" and found["wrong"].status == "refuted"


def test_sampling_goes_on_for_what_is_open_and_keeps_what_is_decided():
    check = Check(a_row(stderr=0.5), a_row(stderr=0.05, name="at once"))
    found = decided(check)
    assert check.asked == [1, 2, 4, 8][: len(check.asked)] and len(check.asked) > 1
    assert found["row"].status == "verified" and found["row"].paths == 100 * check.asked[-1]
    assert found["at once"].paths == 100  # decided at the first look, whatever the later ones would have said


def test_the_budget_ends_it():
    check = Check(a_row(stderr=100.0))
    assert decided(check)["row"].status == "inconclusive"
    assert check.asked == [2**k for k in range(LOOKS)]


@pytest.mark.parametrize(
    "row",
    [
        a_row(numerical=2.0, stderr=0.5),  # its numerical error alone is above the margin
        a_row(stderr=0.5, form="printed"),  # no corrected statement hangs on it
        a_row(deviation=float("nan")),
    ],
    ids=["numerical", "printed", "nan"],
)
def test_sampling_does_not_go_on_for_what_it_cannot_decide(row):
    check = Check(row)
    assert decided(check)["row"].status == "inconclusive"
    assert check.asked == [1]


def test_sampling_stops_where_the_sample_does_not_grow():
    check = Check(a_row(stderr=0.5, grows=False))
    assert decided(check)["row"].status == "inconclusive"
    assert check.asked == [1, 2]


def test_a_row_that_was_left_out_is_taken_in_once_it_can_be_made():
    made = a_row(stderr=0.05, name="rate")

    def below_noise_at_first(rounds: int):
        return made(rounds) if rounds > 1 else LeftOut("claim", "system", "rate", "corrected", "", "below noise")

    check = Check(below_noise_at_first)
    assert isinstance(decided(check)["rate"], LeftOut)  # nothing else is open
    check = Check(below_noise_at_first, a_row(stderr=0.5))
    assert decided(check)["rate"].status == "verified"


def test_two_rows_of_one_name_are_an_error():
    check = Check(a_row(), a_row())
    with pytest.raises(ValueError, match="one row for each"):
        decided(check)


def test_each_look_is_judged_at_its_share_of_the_significance(monkeypatch):
    """Half of it at the first look, though one look is all there is."""
    shares: list[float] = []
    judge = Comparison.judge

    def noted(self, significance, share=1.0):
        shares.append(share)
        assert significance == SIGNIFICANCE
        return judge(self, significance, share)

    monkeypatch.setattr(Comparison, "judge", noted)
    check = Check(a_row(stderr=100.0))
    decided(check)
    assert shares == [2.0 ** -(k + 1) for k in range(LOOKS)]


def test_pooled_samples_keep_the_moments_that_flags_come_from():
    """Values path by path in two rounds, of which one holds a path that carries all the spread."""
    problem = PROBLEMS["ou"]()
    grid = TimeGrid(0.0, problem.horizon, 4)

    def round_of(seed: int) -> Sample:
        return sample(
            lambda noise: {"loss": next(iter(noise.coarsen(4)))[:, 0] ** 2}, MonteCarlo(512, seed), 1, grid, problem.x0
        )

    rounds = [round_of(0), round_of(1)]
    both = pool(rounds, 0)
    assert both.moments["loss"].n == 1024 and both.paths == 1024
    n = [r.moments["loss"].n for r in rounds]
    assert both.moments["loss"].mean == pytest.approx(np.average([r.moments["loss"].mean for r in rounds], weights=n))
    assert both.estimate("loss").flags == ()
    spike = replace(rounds[1].moments["loss"], second=1e12, fourth=1e24)  # 1 of 512 carries it
    flagged = pool([rounds[0], replace(rounds[1], moments={"loss": spike})], 0)
    assert flagged.estimate("loss").flags


def test_no_look_is_taken_that_would_go_beyond_the_seconds():
    check = Check(a_row(stderr=100.0))
    assert decided(check, seconds=0.0)["row"].status == "inconclusive"
    assert check.asked == [1]
