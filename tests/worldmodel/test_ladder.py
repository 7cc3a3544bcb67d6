"""The ladder of λ: pairs and slopes within a seed."""

import math

import pytest

from sdewm.worldmodel.ladder import Rung, over_seeds, paired, slopes


def rung(weight: float, seed: int, **measured: float) -> Rung:
    return Rung(weight, seed, measured)


def test_pairs_and_slopes_are_within_seeds():
    record = [rung(w, s, x=(1 + s) * math.exp(w), y=s + 3 * w) for w in (0.0, 1.0, 2.0) for s in (0, 1)]
    record += [rung(0.0, 7, x=1.0, y=0.0), rung(2.0, 7, x=math.exp(5.0), y=0.0)]
    assert paired(record, "x", 2.0) == {0: pytest.approx(2), 1: pytest.approx(2), 7: pytest.approx(5)}
    assert paired(record, "y", 1.0, float) == {0: 3.0, 1: 3.0}
    found = slopes([r for r in record if r.seed < 7], "y", "x", math.log)
    assert found == {0: pytest.approx(1 / 3), 1: pytest.approx(1 / 3)}
    estimate = over_seeds([1.0, 2.0, 3.0])
    assert (estimate.mean, estimate.stderr, estimate.n, estimate.dof) == (2.0, pytest.approx(3**-0.5), 3, 2)
