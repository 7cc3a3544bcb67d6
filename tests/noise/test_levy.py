"""Lévy areas: their law, given the increments and not, the declared errors, and the mistakes of others.

Statistical tests have the false-failure rate of ``support`` (z- and Kolmogorov–Smirnov tests, several in one test
sharing it); numbers of paths are computed from what they are to see.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from areas import WRONG_VARIANCES, H, conditional_area_covariance, critical, paths_to_see
from scipy.special import polygamma
from scipy.stats import kstest
from support import F64, FALSE_FAILURE, refuses, sech_law, z_value
from torch import Tensor

from sdewm.noise.area_moments import area_variance
from sdewm.noise.levy import (
    ALGORITHMS,
    FourierAreas,
    LevyAlgorithm,
    MilsteinAreas,
    MrongowiusRoesslerAreas,
    WiktorssonAreas,
)

NAMES = sorted(ALGORITHMS)
# Terms after which the law is the exact one for all the tests can see; the cut-off series' missing variance is known.
ENOUGH = {"fourier": 50, "milstein": 20, "wiktorsson": 3, "mrongowius-roessler": 3}


def trigamma(x: float) -> float:
    return float(polygamma(1, x))


def logistic_law(x: np.ndarray) -> np.ndarray:
    """Distribution function of A/h given ΔB = 0: characteristic function (u/2)/sinh(u/2)."""
    return 0.5 * (1 + np.tanh(math.pi * x))


def missing_variance(name: str, terms: int) -> float:
    """The variance that a cut-off series lacks, in units of h²; the others have it all."""
    return ALGORITHMS[name].mean_square_error(3, 1.0, terms) if name in ("fourier", "milstein") else 0.0


# A²/h² has standard deviation ½ (E A⁴ = 5h⁴/16); the nearer of the wrong variances is 0.0315h² off.
PATHS = paths_to_see(0.0315, 0.5, comparisons=9)


@pytest.fixture(scope="module", params=NAMES)
def drawn(request) -> tuple[str, Tensor, Tensor]:
    """An algorithm's name, w = ΔB/√h and A/h for three channels."""
    generator = torch.Generator().manual_seed(11)
    w = torch.randn(PATHS, 3, generator=generator, dtype=F64)
    area = ALGORITHMS[request.param].sample(w * H**0.5, H, ENOUGH[request.param], generator)
    return request.param, w, area / H


def test_moments(drawn):
    """Mean 0, variance ¼, no correlation with increments or other areas; conditional moments by products with w."""
    name, w, A = drawn
    lost = missing_variance(name, ENOUGH[name])
    # What each squared increment's coefficient in the conditional variance loses: as much as the constant, or nothing.
    linear = lost / 3 if name == "fourier" else 0.0
    a, b = A[:, 0, 1], A[:, 0, 2]
    truths = {
        "mean": (a, 0.0),
        "variance": (a**2, area_variance(1.0) - lost),
        "with its increment": (a * w[:, 0], 0.0),
        "with another's increment": (a * w[:, 2], 0.0),
        "of two areas": (a * b, 0.0),
        "conditional variance on w_0²": (a**2 * (w[:, 0] ** 2 - 1), 1 / 6 - 2 * linear),
        "conditional variance on w_1²": (a**2 * (w[:, 1] ** 2 - 1), 1 / 6 - 2 * linear),
        "conditional variance on w_2²": (a**2 * (w[:, 2] ** 2 - 1), 0.0),
        "conditional covariance on w_1 w_2": (a * b * w[:, 1] * w[:, 2], 1 / 12 - linear),
    }
    for what, (values, truth) in truths.items():
        assert abs(z_value(values, truth)) < critical(len(truths)), what


def test_the_density_is_sech(drawn):
    name, _, A = drawn
    for k, l in ((0, 1), (0, 2), (1, 2)):  # noqa: E741
        scale = math.sqrt(1 - missing_variance(name, ENOUGH[name]) / 0.25)
        assert kstest(A[:, k, l].numpy() / scale, sech_law).pvalue > FALSE_FAILURE / 3


def test_wrong_variances_are_seen(drawn):
    """Those of torchsde's Davie and Foster areas, by the test of the variance; the former by the law as well."""
    _, _, A = drawn
    for variance in WRONG_VARIANCES:
        mutant = A[:, 0, 1] * math.sqrt(variance / 0.25)
        assert abs(z_value(mutant**2, area_variance(1.0))) > critical(9)
    mutant = A[:, 0, 1].numpy() * math.sqrt(WRONG_VARIANCES[0] / 0.25)
    assert kstest(mutant, sech_law).pvalue < FALSE_FAILURE / 3


@pytest.mark.parametrize("name", ["wiktorsson", "mrongowius-roessler", "milstein"])
def test_law_given_zero_increments(name):
    """Variance h²/12, fourth moment 7h⁴/240, the logistic law. Few terms miss a fourth cumulant of order terms⁻³."""
    paths = paths_to_see(0.1 / 12, 0.15, comparisons=3)
    terms = 100 if name == "milstein" else 6
    dB = torch.zeros(paths, 2, dtype=F64)
    A = ALGORITHMS[name].sample(dB, H, terms, torch.Generator().manual_seed(2))[:, 0, 1] / H
    lost = missing_variance(name, terms)
    assert abs(z_value(A**2, 1 / 12 - lost)) < critical(3)
    assert abs(z_value(A**4, 7 / 240 - 6 * lost / 12)) < critical(3)
    assert kstest(A.numpy(), logistic_law).pvalue > FALSE_FAILURE / 3
    assert kstest(1.1 * A.numpy(), logistic_law).pvalue < FALSE_FAILURE / 3


@pytest.mark.parametrize("name", ["wiktorsson", "mrongowius-roessler"])
def test_characteristic_function_given_the_increments(name):
    """E[exp(iuA) | ΔB] = y/sinh(y) exp(−|ΔB|²(y coth(y) − 1)/(2h)) with y = uh/2, for two channels (Lévy)."""
    dB = torch.tensor([0.9, -0.4], dtype=F64)
    A = ALGORITHMS[name].sample(dB.expand(40_000, 2), H, 4, torch.Generator().manual_seed(4))[:, 0, 1]
    frequencies = [2.0, 8.0, 20.0]
    for u in frequencies:
        y = u * H / 2
        truth = y / math.sinh(y) * math.exp(-float(dB @ dB) / (2 * H) * (y / math.tanh(y) - 1))
        assert abs(z_value((u * A).cos(), truth)) < critical(2 * len(frequencies))
        assert abs(z_value((u * A).sin(), 0.0)) < critical(2 * len(frequencies))


@pytest.mark.parametrize("terms", [0, 1, 3])
@pytest.mark.parametrize("name", ["wiktorsson", "mrongowius-roessler"])
def test_conditional_covariance_with_any_number_of_terms(name, terms):
    """Z-tests for all ten covariances of four channels' areas (0,1), (0,2), (1,2), (2,3) at one increment."""
    dB = torch.tensor([0.9, -0.4, 0.3, 1.2], dtype=F64) * H**0.5
    A = ALGORITHMS[name].sample(dB.expand(20_000, 4), H, terms, torch.Generator().manual_seed(5))
    truth = conditional_area_covariance(dB[None], H)[0]
    pairs = [(0, 1), (0, 2), (1, 2), (2, 3)]
    for (k, l), (i, j) in itertools.combinations_with_replacement(pairs, 2):  # noqa: E741
        assert abs(z_value(A[:, k, l] * A[:, i, j], float(truth[k, l, i, j]))) < critical(10)


@pytest.mark.parametrize("name", ["milstein", "wiktorsson", "mrongowius-roessler"])
def test_covariance_of_the_rest_is_exact(name):
    """The rest is linear in its normals, so its covariance can be had without sampling."""
    m, terms = 4, 3
    algorithm = ALGORITHMS[name]
    dB = torch.randn(m, generator=torch.Generator().manual_seed(0), dtype=F64)
    extra = algorithm.extra_normals(m)
    series = torch.zeros(extra, 2 * m * terms, dtype=F64)
    unit = torch.eye(extra, dtype=F64)
    columns = algorithm.from_normals(dB.expand(extra, m), H, terms, torch.cat([series, unit], 1))
    covariance = torch.einsum("nkl,nij->klij", columns, columns)
    share = trigamma(terms + 1) / (math.pi**2 / 6)
    truth = conditional_area_covariance(dB[None], H)[0]
    if name == "milstein":
        truth = truth - conditional_area_covariance(torch.zeros(1, m, dtype=F64), H)[0]
    assert torch.allclose(covariance, share * truth, rtol=1e-12, atol=1e-15)


def test_series_of_a_given_path_is_its_area():
    """The formula and its signs: a fine path's own Fourier coefficients give its own area, up to the declared error.

    400 paths; the error's mean square is within a factor 1.5 of the declared one (about 6 standard errors), and the
    area with either index or the increments' sign wrong is many times as far off.
    """
    paths, steps, terms = 400, 4096, 40
    generator = torch.Generator().manual_seed(3)
    dB = torch.randn(steps, paths, 2, generator=generator, dtype=F64) * (H / steps) ** 0.5
    path = torch.cat([torch.zeros(1, paths, 2, dtype=F64), dB.cumsum(0)])
    middle = 0.5 * (path[1:] + path[:-1])
    area = 0.5 * (middle[..., 0] * dB[..., 1] - middle[..., 1] * dB[..., 0]).sum(0)
    times = (torch.arange(steps, dtype=F64) + 0.5) / steps
    bridge = middle - times[:, None, None] * path[-1]
    r = torch.arange(1, terms + 1, dtype=F64)
    angle = 2 * math.pi * r[:, None] * times
    scale = (2 / steps * r * math.pi * (2 / H) ** 0.5)[:, None]
    x, y = (torch.einsum("rs,spm->prm", scale * wave, bridge) for wave in (angle.cos(), angle.sin()))
    normals = torch.stack([x, y], 2).flatten(1)
    declared = FourierAreas().mean_square_error(2, H, terms)

    def distance(increment: Tensor) -> float:
        return float(((FourierAreas().from_normals(increment, H, terms, normals)[:, 0, 1] - area) ** 2).mean())

    assert declared / 1.5 < distance(path[-1]) < declared * 1.5
    assert distance(-path[-1]) > 20 * declared
    assert distance(path[-1].flip(1)) > 20 * declared

    # Its integral over time: what the series lacks of it has the variance h³/(2π²) Σ_{r>terms} r⁻².
    integral, lacking = middle.sum(0) * H / steps, H**3 / (2 * math.pi**2) * polygamma(1, terms + 1)
    found = MilsteinAreas().time_integrals(path[-1], H, terms, torch.cat([normals, 0 * path[-1]], 1))
    assert lacking / 1.5 < float(((found - integral) ** 2).mean()) < lacking * 1.5
    turned = MilsteinAreas().time_integrals(path[-1], H, terms, torch.cat([-normals, 0 * path[-1]], 1))
    assert float(((turned - integral) ** 2).mean()) > 20 * lacking


@pytest.mark.parametrize("name", NAMES)
def test_brownian_scaling(name):
    """The areas of c·ΔB over c²h are c² times those of ΔB over h."""
    generators = [torch.Generator().manual_seed(1) for _ in range(2)]
    dB = torch.randn(20, 3, generator=torch.Generator().manual_seed(0), dtype=F64)
    one, other = (ALGORITHMS[name].sample(c * dB, c**2 * H, 3, g) for c, g in zip((1.0, 3.0), generators, strict=True))
    assert torch.allclose(9 * one, other)


@pytest.mark.parametrize("algorithm", [FourierAreas(), MilsteinAreas()], ids=lambda a: a.name)
def test_error_of_the_cut_off_series(algorithm: LevyAlgorithm):
    """The same normals with many more terms: the mean square of the difference is that of the declared errors."""
    m, paths, many = 2, 4000, 256
    generator = torch.Generator().manual_seed(12)
    dB = torch.randn(paths, m, generator=generator, dtype=F64) * H**0.5
    normals = torch.randn(paths, algorithm.normals(m, many), generator=generator, dtype=F64)
    series, extra = normals[:, : 2 * m * many], normals[:, 2 * m * many :]
    reference = algorithm.from_normals(dB, H, many, normals)
    x = series.unflatten(1, (many, 2, m))[:, :, 0] / torch.arange(1, many + 1, dtype=F64)[:, None]
    sizes, measured = [1, 4, 16, 64], []
    for terms in sizes:
        if algorithm.extra_normals(m):
            # The exactly known sum Σ_{r>n} X_r/r, in the algorithm's units.
            rest = x[:, terms:].sum(1) + math.sqrt(trigamma(many + 1)) * extra
            extra_here = rest / math.sqrt(trigamma(terms + 1))
        else:
            extra_here = extra
        coarse = algorithm.from_normals(dB, H, terms, torch.cat([series[:, : 2 * m * terms], extra_here], 1))
        squares = (coarse - reference)[:, 0, 1] ** 2
        declared = algorithm.mean_square_error(m, H, terms) - algorithm.mean_square_error(m, H, many)
        assert abs(z_value(squares, declared)) < critical(len(sizes))
        measured.append(float(squares.mean()) + algorithm.mean_square_error(m, H, many))
    slope = np.polyfit(np.log(np.array(sizes) + 0.5), 0.5 * np.log(measured), 1)[0]
    assert abs(slope + algorithm.order) < 0.05


def operator(S: Tensor) -> Tensor:
    """The matrices ``(…, pairs, pairs)`` of G → SG + GS on antisymmetric matrices."""
    m = S.shape[-1]
    k, l = torch.triu_indices(m, m, 1)  # noqa: E741
    basis = torch.zeros(len(k), m, m, dtype=F64)
    index = torch.arange(len(k))
    basis[index, k, l], basis[index, l, k] = 1.0, -1.0
    S = S[:, None]
    return (S @ basis + basis @ S)[..., k, l].mT


def root(V: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(V)
    return (vectors * values.clamp_min(0).sqrt()[..., None, :]) @ vectors.mT


def error_by_simulation(algorithm: LevyAlgorithm, m: int, terms: int, paths: int) -> Tensor:
    """Squared error of the best coupling that keeps X or Z: given it the rest is normal with covariance V, and is
    replaced by a normal with covariance EV driven by the same standard normals. ``(paths,)``, h = 1.
    """
    generator = torch.Generator().manual_seed(m + 100 * terms)
    w = torch.randn(paths, m, generator=generator, dtype=F64)
    shift = -math.sqrt(2) * w if isinstance(algorithm, WiktorssonAreas) else torch.zeros_like(w)
    mean = torch.eye(m, dtype=F64) + shift[:, :, None] * shift[:, None, :]
    last = terms + 60
    r = torch.arange(terms + 1, last + 1, dtype=F64)[:, None]
    z = (torch.randn(paths, last - terms, m, generator=generator, dtype=F64) + shift[:, None]) / r
    S = z.mT @ z + trigamma(last + 1) * mean
    difference = root(operator(S)) - root(operator(trigamma(terms + 1) * mean))
    return (difference**2).sum((1, 2)) / difference.shape[-1] / (4 * math.pi**2)


@pytest.mark.parametrize("algorithm", [WiktorssonAreas(), MrongowiusRoesslerAreas()], ids=lambda a: a.name)
def test_error_of_the_replaced_rest(algorithm: LevyAlgorithm):
    """At most the declared one, by a one-sided z-test, and at least 0.7 of it; far below the published bounds."""
    cases = [(2, 0), (2, 1), (2, 4), (2, 16), (3, 1), (3, 4), (5, 1), (5, 4)]
    factor = 5 if isinstance(algorithm, WiktorssonAreas) else 1
    means = {}
    for m, terms in cases:
        errors = error_by_simulation(algorithm, m, terms, paths=2000 if m < 5 else 800)
        declared = algorithm.mean_square_error(m, 1.0, terms)
        assert z_value(errors, declared) < critical(len(cases)), (m, terms)
        assert errors.mean() > 0.7 * declared, (m, terms)
        means[m, terms] = float(errors.mean())
        if terms:
            published = factor * m / (12 * math.pi**2 * terms**2)
            assert published > 3 * errors.mean()
    # Terms and standard deviations of the means (about 3 %) leave ±0.05 in the slope.
    slope = 0.5 * math.log(means[2, 16] / means[2, 4]) / math.log(16.5 / 4.5)
    assert abs(slope + algorithm.order) < 0.1


@pytest.mark.parametrize("name", NAMES)
def test_terms_for_is_the_least_that_suffices(name):
    algorithm = ALGORITHMS[name]
    for m, h, tolerance in itertools.product((2, 5, 32), (0.5, 0.01), (1e-1, 1e-3, 1e-5)):
        terms = algorithm.terms_for(m, h, tolerance)
        assert algorithm.mean_square_error(m, h, terms) <= tolerance**2
        assert terms == 0 or algorithm.mean_square_error(m, h, terms - 1) > tolerance**2


ONES = torch.ones(3, 2)


@pytest.mark.parametrize(
    "call, fragments",
    [
        (lambda g: FourierAreas().sample(ONES, H, -1, g), ["terms: expected a non-negative integer, got -1"]),
        (lambda g: FourierAreas().from_normals(ONES, H, 1, ONES), ["normals: expected shape (3, 4), got (3, 2)"]),
    ],
)
def test_errors(call, fragments):
    with refuses(ValueError, *fragments):
        call(torch.Generator().manual_seed(0))
