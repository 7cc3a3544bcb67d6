"""What a Taylor test says: in words, and pooled with others."""

from __future__ import annotations

from dataclasses import replace

import torch
from support import F64, refuses
from taylor_tests import CIRCLE, CONFIDENCE, GRID, ORDERS, constant, ladder, run_circle

from sdewm.expansion.rates import ADVICE, KINDS
from sdewm.expansion.remainders import OF_STATE, POWERS
from sdewm.expansion.taylor import pool_tests, taylor_test
from sdewm.expansion.taylor_result import Units
from sdewm.noise.grid import TimeGrid
from sdewm.systems.perturbed import PerturbedSDE
from sdewm.systems.sde import FunctionSDE

# -- what it prints


def test_the_first_line_is_the_verdict():
    result = run_circle()
    first, *lines = str(result).splitlines()
    assert first == result.verdict == "passed: all remainders fall as fast as the expansion says"
    for kind, meaning in KINDS.items():
        assert f"  {kind:<6}  {meaning}" in lines
    table = [line for line in lines if line.endswith("as expected")]
    assert [tuple(line.split()[:2]) for line in table] == [(kind, str(order)) for kind, order in ORDERS]
    for line, ((kind, order), rate) in zip(table, result.rates.items(), strict=True):
        low, high = rate.interval(CONFIDENCE)
        assert line.split()[2:6] == [f"{rate.value:.3f}", f"[{low:.3f},", f"{high:.3f}]", str(order + 1)], kind
    assert f"{100 * CONFIDENCE:.6g} % interval" in str(result)
    assert [line.split()[0] for line in lines[-3:]] == list(result.third)
    assert str(result).count("third") == 1 and "Coefficient of ε³" in str(result)
    assert max(map(len, lines)) <= 120


def test_a_failure_and_what_hides_are_said_in_words():
    failed = run_circle(form="printed")
    advice = ADVICE["derivative wrong"]
    assert failed.verdict == f"failed: derivative wrong at strong 2, loss 2, weak 2 – {advice}"
    hidden = run_circle(eps=ladder(1e-7))
    where = ", ".join(f"{kind} 1 and 2" for kind in KINDS)
    assert hidden.verdict == (
        f"undecided, nothing failed: below roundoff at {where} – rounding in float64 hides it: take larger ε"
    )
    assert "nan" not in str(hidden) and str(hidden).count("no rate") == 6


def test_exact_is_no_rate_but_passes():
    family = PerturbedSDE(FunctionSDE(lambda t, x: -x, constant(0.4)), FunctionSDE(constant(0.3), constant(0.7)))
    result = taylor_test(
        family, lambda x: x.sum(-1), torch.tensor([1.0], dtype=F64), GRID, paths=256, confidence=CONFIDENCE
    )
    assert result.verdict == "passed: all remainders fall as fast as the expansion says or are zero"
    assert str(result).count("nothing left but rounding") == 6 and "inf" not in str(result)


def test_tests_in_different_precision_are_not_pooled():
    eps = ladder(0.1)
    starts = (CIRCLE.x0, CIRCLE.x0.float())
    one, other = (taylor_test(CIRCLE.family, CIRCLE.loss, x0, GRID, eps=eps, paths=64) for x0 in starts)
    with refuses(ValueError, "tests", "dtype"):
        pool_tests([one, other])


# -- scales


def test_tests_whose_units_differ_are_pooled():
    family = PerturbedSDE(FunctionSDE(lambda t, x: torch.sin(x), lambda t, x: 0.3 + 0 * x), FunctionSDE(lambda t, x: x))
    grid, x0 = TimeGrid(0.0, 1.0, 8), torch.tensor([0.8], dtype=F64)
    tests = [
        taylor_test(family, lambda x: x.sum(-1), x0, grid, paths=256, seed=s, eps=[0.08, 0.04, 0.02, 0.01])
        for s in (0, 1)
    ]
    units, factors = tests[1].units, {1: (2.0, 0.25), 2: (4.0, 0.0625)}
    values = {}
    for name, value in tests[1].sample.values.items():
        kind = name.partition("/")[0]
        values[name] = value * factors[POWERS[kind]][kind not in OF_STATE]
    elsewhere = replace(
        tests[1], units=Units(units.state / 2, units.loss * 4), sample=replace(tests[1].sample, values=values)
    )
    assert pool_tests([tests[0], elsewhere]).rates == pool_tests(tests).rates
