"""The ladder of sizes: slopes of known laws, what is done is not done again, and a small run of it."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from benchmarks import approximation
from benchmarks.approximation import CASES, Case, measure, networks, of, points, slope, summary


def row(case: Case, network: str, units: int, seed: int, error: float) -> dict:
    return {
        "manifold": case.manifold,
        "k": case.k,
        "D": case.ambient,
        "network": network,
        "units": units,
        "seed": seed,
        "error": error,
    }


def law(case: Case, power: float, spread: float = 0.0) -> list[dict]:
    """Errors of every network that fall like a power, times noise from size to size."""
    g = np.random.default_rng(0)
    return [
        row(case, network, n, seed, 0.3 * n**power * math.exp(spread * g.normal()))
        for network in approximation.NETWORKS
        for n in approximation.UNITS
        for seed in range(6)
    ]


def test_the_slope_of_a_power_law_is_its_power():
    mean, low, high = slope(CASES[0], "trained", law(CASES[0], -2.0))
    assert (mean, low, high) == pytest.approx((-2.0, -2.0, -2.0))


def test_the_interval_holds_the_slope_and_grows_with_noise():
    narrow, wide = (slope(CASES[0], "trained", law(CASES[0], -1.5, s)) for s in (0.05, 0.3))
    assert narrow[1] <= -1.5 <= narrow[2]
    assert wide[2] - wide[1] > 2 * (narrow[2] - narrow[1])


def test_implied_dimension_and_printed_slopes_by_hand():
    rows = [r for case in CASES for r in law(case, -2.0)]
    found = {(r["manifold"], r["k"], r["D"], r["network"]): r for r in summary(rows)}
    first = found["arc", 3, 16, "trained"]
    assert first["implied d_θ"] == pytest.approx(4.0)
    assert first["printed slope, θ = ½"] == pytest.approx(-8 / (4 * math.log(32)))
    assert first["printed slope, θ → 1"] == pytest.approx(-8 / math.log(16))
    assert first["optimization error of training"] == pytest.approx(0.0, abs=1e-15)
    # The slope that is printed is flatter the more pixels there are.
    assert found["arc", 3, 256, "trained"]["printed slope, θ → 1"] > first["printed slope, θ → 1"]


@pytest.mark.parametrize(
    "case", [CASES[0], Case("rotating bar", 3, 225), Case("sphere cap", 3, 16)], ids=lambda case: case.name
)
def test_points_are_of_q_and_their_images_of_p(case):
    x, z = points(case, 400, np.random.default_rng(0))
    assert x.shape == (400, case.ambient) and z.shape == (400, case.dim)
    assert np.linalg.norm(z, axis=1).max() <= 1 + 1e-8
    # ∫ z p dz for the latent densities 1 + 0.4 z + 0.2 z² and 1 + 0.3 z₁, in parts of their mass.
    truth = (0.4 * 2 / 3) / (2 + 0.2 * 2 / 3) if case.dim == 1 else 0.3 / 4
    assert abs(z[:, 0].mean() - truth) <= 4 * z[:, 0].std() / 20


def test_training_is_better_than_features_and_every_network_is_in_the_class():
    found = dict(networks(Case("arc", 1, 16), 8, np.random.default_rng(0)))
    assert list(found) == list(approximation.NETWORKS)
    assert all(net.units == 8 and net.cnn().size[0] == 2 for net in found.values())
    errors = {r["network"]: r["error"] for r in measure(Case("arc", 1, 16), 8, 0)}
    assert errors["trained"] < errors["features"]
    (one,) = [r for r in measure(Case("arc", 1, 16), 8, 0) if r["network"] == "interpolated"]
    assert one["W1"] <= one["error"] + 4 * one["stderr"] + 0.05


def test_what_is_done_is_taken_up(tmp_path, monkeypatch):
    monkeypatch.setattr(approximation, "CASES", (Case("arc", 1, 16),))
    monkeypatch.setattr(approximation, "UNITS", (4, 8))
    path = tmp_path / "record.json"
    first = approximation.run(path, 2, lambda name: None)
    monkeypatch.setattr(approximation, "measure", lambda *args: pytest.fail("measured again"))
    again = approximation.run(path, 2, lambda name: None)
    assert json.loads(path.read_text())["rows"] == first["rows"] == again["rows"]
    assert len(of(Case("arc", 1, 16), None, first["rows"])) == 2 * 2 * 3
