"""Which areas are drawn, by which algorithm, and what that costs."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from areas import H, areas, critical
from support import F64, refuses, z_value

from sdewm.noise.area_moments import area_variance
from sdewm.noise.area_plan import default_tolerance, plan_areas
from sdewm.noise.levy import (
    ALGORITHMS,
)

NAMES = sorted(ALGORITHMS)


@pytest.mark.parametrize("name", NAMES)
def test_antisymmetric_float64_and_reproducible(name):
    dB = torch.randn(7, 5, generator=torch.Generator().manual_seed(0))
    twice = [areas(dB, H, generator=torch.Generator().manual_seed(1), algorithm=name) for _ in range(2)]
    assert twice[0].dtype == F64 and twice[0].shape == (7, 5, 5)
    assert torch.equal(twice[0], twice[1])
    assert torch.equal(twice[0], -twice[0].mT)


def test_the_global_generator_is_left_alone():
    state = torch.random.get_rng_state()
    areas(torch.ones(3, 2), H, generator=torch.Generator().manual_seed(0))
    assert torch.equal(torch.random.get_rng_state(), state)


def test_one_channel_has_no_area():
    assert torch.equal(
        areas(torch.ones(4, 1), H, generator=torch.Generator().manual_seed(0)), torch.zeros(4, 1, 1, dtype=F64)
    )


# Normals per step for a root-mean-square error of h^{3/2} at h = 1/200, from the published bounds: (m = 2, m = 8).
PUBLISHED = {
    "fourier": (124, 496),
    "milstein": (46, 184),
    "wiktorsson": (21, 172),
    "mrongowius-roessler": (11, 100),
}
OURS = {"fourier": (120, 480), "milstein": (42, 168), "wiktorsson": (5, 60), "mrongowius-roessler": (7, 68)}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("column, m", [(0, 2), (1, 8)])
def test_normals_per_step(name, column, m):
    """The published bounds give others' table; the sharp errors need fewer."""
    h = 1 / 200
    coefficients = {
        "fourier": (3 / 2, 1),
        "milstein": (1 / 2, 1),
        "wiktorsson": (5 * m / 12, 2),
        "mrongowius-roessler": (m / 12, 2),
    }
    coefficient, power = coefficients[name]
    published = math.ceil((coefficient / math.pi**2 / h) ** (1 / power))
    algorithm = ALGORITHMS[name]
    assert algorithm.normals(m, published) == PUBLISHED[name][column]
    assert algorithm.normals(m, algorithm.terms_for(m, h, default_tolerance(h))) == OURS[name][column]
    assert OURS[name][column] < PUBLISHED[name][column]


def test_the_cheapest_is_chosen():
    for m, h in itertools.product((2, 8, 32), (1 / 20, 1 / 200, 1 / 2000)):
        costs = {n: a.normals(m, a.terms_for(m, h, default_tolerance(h))) for n, a in ALGORITHMS.items()}
        plan = plan_areas(m, h)
        assert plan.normals == min(costs.values()) == costs[plan.groups[0].algorithm.name]


def test_the_default_tolerance_never_takes_zero_for_an_area():
    """h^{3/2} would, where h > ¼ in the unit of time."""
    for h in (1e-3, 0.3, 40.0):
        plan = plan_areas(2, h)
        missing = plan.groups[0].algorithm.mean_square_error(2, h, plan.groups[0].terms)
        assert missing <= area_variance(h) / 25
        assert plan.normals > 0


def test_cost_against_channels_and_step():
    """The tail-corrected algorithms need O(m^{3/2} h^{−1/2} + m²) normals, the cut-off ones O(m/h)."""
    normals = {m: plan_areas(m, 1 / 2000).normals for m in (2, 8, 32)}
    assert normals == {2: 15, 8: 132, 32: 1296}
    for name, growth in (("fourier", 16.0), ("milstein", 16.0), ("wiktorsson", 4.0), ("mrongowius-roessler", 4.0)):
        algorithm = ALGORITHMS[name]
        terms = [algorithm.terms_for(8, h, h**1.5) for h in (1e-4, 1e-4 / 16)]
        assert abs(terms[1] / terms[0] / growth - 1) < 0.05


def test_wanted_pairs_only():
    """Channels without a pair are dropped, unconnected ones drawn apart, unwanted pairs zero; the law is the same."""
    pairs = torch.zeros(9, 9, dtype=torch.bool)
    for k, l in ((1, 4), (7, 4), (2, 3)):  # noqa: E741
        pairs[k, l] = True
    plan = plan_areas(9, H, algorithm="wiktorsson", tolerance=0.01, pairs=pairs)
    assert [group.channels for group in plan.groups] == [(1, 4, 7), (2, 3)]
    assert plan.normals < plan_areas(9, H, algorithm="wiktorsson", tolerance=0.01).normals / 3
    generator = torch.Generator().manual_seed(3)
    dB = torch.randn(20_000, 9, generator=generator, dtype=F64) * H**0.5
    A = plan.sample(dB, generator)
    wanted = pairs | pairs.mT
    assert torch.equal(A, -A.mT)
    assert torch.equal(A[:, ~wanted], torch.zeros_like(A[:, ~wanted]))
    w = dB / H**0.5
    statistics = [
        (A[:, 1, 4] ** 2, H**2 / 4),
        (A[:, 2, 3] ** 2, H**2 / 4),
        (A[:, 1, 4] * A[:, 7, 4] * w[:, 1] * w[:, 7], H**2 / 12),
        (A[:, 1, 4] ** 2 * (w[:, 4] ** 2 - 1), H**2 / 6),
    ]
    for values, truth in statistics:
        assert abs(z_value(values, truth)) < critical(len(statistics))


def test_no_pairs_at_all():
    plan = plan_areas(4, H, pairs=torch.eye(4, dtype=torch.bool))
    assert plan.normals == 0
    A = plan.sample(torch.ones(3, 4, dtype=F64), torch.Generator().manual_seed(0))
    assert torch.equal(A, torch.zeros(3, 4, 4, dtype=F64))


ONES = torch.ones(3, 2)


@pytest.mark.parametrize(
    "call, fragments",
    [
        (lambda g: plan_areas(2, H).sample(ONES[0], g), ["dB: expected shape (paths, channels), got (2,)"]),
        (lambda g: plan_areas(2, -1.0), ["h: expected a positive step, got -1.0"]),
        (lambda g: plan_areas(2, H, algorithm="x"), ["algorithm: expected", "fourier", "got 'x'"]),
        (lambda g: plan_areas(2, H, tolerance=0.0), ["tolerance: expected a finite", "got 0.0"]),
        (lambda g: plan_areas(2, H, pairs=torch.ones(3, 3)), ["pairs: expected a bool", "(2, 2)"]),
        (lambda g: plan_areas(2, H).from_normals(ONES, ONES[:, :0]), ["normals: expected shape", "got (3, 0)"]),
        (lambda g: plan_areas(3, H).sample(ONES, g), ["dB: expected shape (paths, 3), got (3, 2)"]),
        (lambda g: plan_areas(0, H), ["m: expected at least one channel, got 0"]),
    ],
)
def test_errors_of_plans(call, fragments):
    with refuses(ValueError, *fragments):
        call(torch.Generator().manual_seed(0))
