"""The coverage study counts what it says, against truths that it does not make itself."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from benchmarks import coverage
from benchmarks.coverage import QUANTITIES, STEPS, Cell, cases, measure, page, summary
from sdewm.exact.problems import PROBLEMS


def test_truths_are_those_of_the_closed_forms():
    """The cosine's from the referee for this problem; the others by quadrature of the normal law, at one ε."""
    found, exact = cases()["ou"], PROBLEMS["ou"]().euler_truth(STEPS)
    cosine = [sum(c for powers, c in exact.items() if sum(powers) == order) for order in range(4)]
    assert found.losses["cos x"][1] == pytest.approx(cosine, rel=1e-12)
    mean, variance = (float(v[0].real) for v in coverage._chain(PROBLEMS["ou"]()))
    assert coverage.EPS[0] == coverage.RADIUS  # real: ε = 0.1
    nodes, weights = np.polynomial.hermite_e.hermegauss(100)
    x = mean + np.sqrt(variance) * nodes
    for name, closed in (
        ("x²", x**2),
        ("e^x", np.exp(x)),
        ("e^3x", np.exp(3 * x)),
        ("e^6x", np.exp(6 * x)),
        ("likelihood", np.exp(-((x - 0.3) ** 2) / 0.5)),
    ):
        by_quadrature = weights @ closed / weights.sum()
        series = np.polynomial.polynomial.polyval(0.1, found.losses[name][1])
        assert series == pytest.approx(by_quadrature, rel=0.15), name
    values = np.exp(coverage.EPS)
    assert coverage.taylor(values) == pytest.approx([1, 1, 1 / 2, 1 / 6], rel=1e-10)


@pytest.mark.parametrize("sampler", coverage.SAMPLERS)
def test_cells_of_a_few_seeds(sampler):
    """Of 40 intervals of each of four coefficients at 95 % at most 8 miss (false-failure rate 1e-4 each)."""
    cells = measure("gbm", sampler, 256, 40)
    assert [c.quantity for c in cells] == list(QUANTITIES)
    for cell in cells:
        assert cell.missed["0.99"] <= cell.missed["0.95"] <= 8
        assert cell.silent <= cell.missed["0.95"] and cell.silent + cell.flagged <= cell.seeds
        assert 0.5 < cell.width < 3
    assert cells[0].flagged <= 4 < cells[3].flagged


def cell(missed: int, flagged: int = 0, seeds: int = 1000) -> Cell:
    missed_at = {"0.95": missed, "0.99": missed // 5}
    return Cell(
        "ou", "x²", "first", "rqmc", 256, seeds, missed_at, missed - min(missed, flagged), flagged, 1.0, 0.1, 1.0
    )


@pytest.mark.parametrize(
    ("missed", "flagged", "strays"),
    [(50, 0, False), (20, 0, False), (15, 0, True), (85, 0, False), (110, 0, True), (110, 600, False)],
)
def test_what_strays_is_more_than_seeds_explain(missed, flagged, strays):
    found = cell(missed, flagged)
    assert found.strays == strays
    assert found.coverage == 1 - missed / 1000
    low, high = stats.binomtest(missed, 1000).proportion_ci(0.999)
    assert strays == (flagged == 0 and (high < 0.035 or low > 0.065))


def test_the_page_shows_flags_and_counts():
    cells = [cell(50), cell(110, 600), cell(60, 100)]
    found = summary(cells)
    assert found["flagged in most runs"] == 1 and found["mean coverage"] == {"rqmc": 0.945}
    assert found["largest rate of misses without a flag"] == 0.05
    text = page(cells[:2], summary(cells[:2]))
    assert "| ou | x² | first | **89.0 (60)** |" in text
    assert "95.0 % (rqmc)" in text
