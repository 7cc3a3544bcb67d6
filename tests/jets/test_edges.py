"""Cuts, poles and the ends of domains: what jumps or has a kink there is said where paths come, and only there."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import pytest
import torch
from support import F64
from torch import Tensor
from torch.nn import functional as F

from sdewm import FunctionSDE, PerturbedSDE, TimeGrid, expand
from sdewm.jets import EdgeWarning, Jet, JetSpace, NonSmoothWarning, edges, nonsmooth_met

pytestmark = pytest.mark.filterwarnings("ignore::sdewm.jets.NonSmoothWarning")
GRID = TimeGrid(0.0, 1.0, 4)
ONES = FunctionSDE(lambda t, x: torch.ones_like(x), lambda t, x: torch.ones_like(x))
BROWNIAN = PerturbedSDE(FunctionSDE(g=lambda t, x: torch.ones_like(x)), ONES)
Loss = Callable[[Tensor], Tensor]


def met(loss: Loss, *x0: float, family: PerturbedSDE = BROWNIAN, paths: int = 4096, seed: int = 0) -> set[str]:
    return set(expand(family, loss, torch.tensor(x0, dtype=F64), GRID, paths=paths, seed=seed).kinks)


def z(x: Tensor) -> Tensor:
    return torch.complex(x[:, 0], x[:, 1])


CUTS: dict[str, tuple[str, Loss]] = {
    **{
        name: (name, lambda x, name=name: getattr(torch, name)(z(x)).imag)
        for name in "sqrt rsqrt log log2 log10 log1p asin acos atan asinh acosh atanh".split()
    },
    "to a half": ("pow", lambda x: (z(x) ** 0.5).imag),
    "to a tensor": ("pow", lambda x: (z(x) ** torch.tensor(1 / 3, dtype=F64)).imag),
    "atan2": ("atan2", lambda x: torch.atan2(x[:, 1], x[:, 0])),
    "a phase": ("angle", lambda x: torch.fft.rfft(x)[:, 1].angle()),
    "logcumsumexp": ("logcumsumexp", lambda x: z(x).unsqueeze(-1).logcumsumexp(-1)[:, 0].imag),
    "logdet": ("logdet", lambda x: torch.logdet(torch.diag_embed(torch.stack([z(x), z(x) + 1], -1))).imag),
}


@pytest.mark.parametrize("name", CUTS)
def test_a_cut_is_said(name: str) -> None:
    said, loss = CUTS[name]
    x0 = (-0.9, 0.2, 0.4, 0.1) if name == "a phase" else (-0.9, 0.2)
    assert said in met(loss, *x0)


@pytest.mark.parametrize(
    "loss",
    [
        lambda x: (z(x) ** 3).imag,
        lambda x: z(x).exp().imag,
        lambda x: (z(x).sin() * z(x).cosh()).real,
        lambda x: torch.full_like(z(x), -1.0 + 0.1j).sqrt().imag * x[:, 0],
    ],
    ids=["a whole power", "exp", "sin", "a constant's root"],
)
def test_what_has_no_cut_in_the_plane_is_not_said_to_have_one(loss: Loss) -> None:
    assert met(loss, -0.9, 0.2) == set()


EDGES: dict[str, tuple[str, Loss]] = {
    "rms": ("sqrt", lambda x: ((x - 1) ** 2).mean(-1).sqrt()),
    "rmse": ("sqrt", lambda x: F.mse_loss(x, torch.ones_like(x), reduction="none").mean(-1).sqrt()),
    "pow and sqrt": ("sqrt", lambda x: x.pow(2).sqrt()[:, 0]),
    "product and pow": ("pow", lambda x: ((x * x) ** 0.5)[:, 0]),
    "a tensor's power": ("pow", lambda x: x.square().pow(torch.tensor(0.75, dtype=F64))[:, 0]),
    "a tiny constant": ("sqrt", lambda x: (x[:, 0] ** 2 + 1e-12).sqrt()),
    "norm": ("norm", lambda x: x.norm(dim=-1)),
    "vector_norm": ("norm", lambda x: torch.linalg.vector_norm(x, dim=-1)),
    "matrix norm": ("norm", lambda x: torch.linalg.matrix_norm(x.unsqueeze(-1))),
    "cdist": ("norm", lambda x: torch.cdist(x.unsqueeze(1), torch.ones(1, 1, 1, dtype=F64))[:, 0, 0]),
    "pairwise": ("norm", lambda x: F.pairwise_distance(x, torch.ones_like(x), eps=0.0)),
    "hypot": ("hypot", lambda x: torch.hypot(x[:, 0], torch.zeros_like(x[:, 0]))),
    "std": ("std", lambda x: torch.cat([x, -x], -1).std(-1)),
    "std_mean": ("std", lambda x: torch.std_mean(torch.cat([x, -x], -1), -1)[0]),
    "normalize": ("norm", lambda x: F.normalize(x)[:, 0]),
    "exp of log": ("log", lambda x: (0.5 * (x**2).log()).exp()[:, 0]),
    "xlogy": ("xlogy", lambda x: torch.xlogy(0.5, x**2).exp()[:, 0]),
    "atan of 1/x": ("div", lambda x: torch.atan(1 / x)[:, 0]),
    "atan of a quotient": ("div", lambda x: torch.atan((1 + x * x) / x)[:, 0]),
    "reciprocal": ("reciprocal", lambda x: torch.atan(x.reciprocal())[:, 0]),
    "to -1": ("pow", lambda x: torch.atan(x**-1)[:, 0]),
    "atan of tan": ("tan", lambda x: torch.atan(torch.tan(2 * x))[:, 0]),
    "asin of sin": ("asin", lambda x: torch.asin(torch.sin(3 * x))[:, 0]),
    "acos of cos": ("acos", lambda x: torch.acos(torch.cos(3 * x))[:, 0]),
    "inv": ("inverse", lambda x: torch.atan(torch.linalg.inv(x.unsqueeze(-1)))[:, 0, 0]),
    "solve": ("inverse", lambda x: torch.atan(torch.linalg.solve(x.unsqueeze(-1), torch.ones_like(x)))[:, 0]),
    "sign of det": ("inverse", lambda x: torch.linalg.slogdet(x.unsqueeze(-1))[0]),
    "cholesky": ("cholesky", lambda x: torch.linalg.cholesky(x.square().unsqueeze(-1))[:, 0, 0]),
    "eigvalsh": ("eigvalsh", lambda x: torch.linalg.eigvalsh(torch.diag_embed(torch.cat([x, 1 - x], -1)))[:, 0]),
}


@pytest.mark.parametrize("name", EDGES)
def test_an_edge_that_paths_come_to_is_said(name: str) -> None:
    said, loss = EDGES[name]
    assert said in met(loss, 0.6)


def test_values_beside_an_edge_are_what_they_were() -> None:
    x = Jet(torch.randn(3, 500, 1, generator=torch.Generator().manual_seed(0), dtype=F64), JetSpace(1, 2))
    torch.testing.assert_close(x.square().sqrt().coefficients, (x * x.value.sign()).coefficients)
    torch.testing.assert_close(x.norm(dim=-1).coefficients, (x * x.value.sign())[:, 0].coefficients)


GEOMETRIC = PerturbedSDE(FunctionSDE(lambda t, x: 0.1 * x, lambda t, x: 0.4 * x), ONES)
COX = PerturbedSDE(FunctionSDE(lambda t, x: 2 * (1 - x), lambda t, x: 0.3 * x.sqrt()), ONES)
AWAY: dict[str, tuple[PerturbedSDE, Loss]] = {
    "sqrt(1 + x²)": (BROWNIAN, lambda x: (1 + x[:, 0] ** 2).sqrt()),
    "GeLU": (BROWNIAN, lambda x: F.gelu(x)[:, 0]),
    "softmax": (BROWNIAN, lambda x: torch.softmax(torch.cat([3 * x, x], -1), -1)[:, 0]),
    "log of a probability": (BROWNIAN, lambda x: torch.sigmoid(8 * x).log()[:, 0]),
    "x/(1 + x²)": (BROWNIAN, lambda x: (x / (1 + x * x))[:, 0]),
    "a layer norm": (BROWNIAN, lambda x: F.layer_norm(torch.cat([x, x**2, x.sin(), x + 1], -1), (4,))[:, 0]),
    "three dimensions": (BROWNIAN, lambda x: torch.cat([x, x.square() - 1, x + 1], -1).norm(dim=-1)),
    "a power above 2": (BROWNIAN, lambda x: x.square().pow(2.5)[:, 0]),
    "log of a geometric motion": (GEOMETRIC, lambda x: x.log()[:, 0]),
    "its root": (GEOMETRIC, lambda x: x.sqrt()[:, 0]),
    "its inverse": (GEOMETRIC, lambda x: (1 / x)[:, 0]),
    "a square-root process": (COX, lambda x: (x**2)[:, 0]),
}


@pytest.mark.parametrize("name", AWAY)
def test_what_stays_away_from_its_edge_is_not_said(name: str) -> None:
    family, loss = AWAY[name]
    assert met(loss, 1.0, family=family) == set()


@pytest.mark.parametrize("paths", [256, 512])
def test_a_few_paths_tell_too(paths: int) -> None:
    """Most of the time: whether any of them comes near an edge is chance."""
    for name in ("rms", "norm", "atan of 1/x", "asin of sin"):
        said, loss = EDGES[name]
        assert sum(said in met(loss, 0.6, paths=paths, seed=seed) for seed in range(8)) >= 6, name
    for name, (family, loss) in AWAY.items():
        if name != "log of a probability":  # which a few paths mistake for one that comes near 0, as is documented
            assert sum(met(loss, 1.0, family=family, paths=paths, seed=seed) != set() for seed in range(8)) <= 1, name


def test_an_edge_is_said_with_where_it_is_and_a_cut_without() -> None:
    x = Jet(torch.stack([torch.linspace(-1, 1, 4001, dtype=F64), torch.ones(4001, dtype=F64)]), JetSpace(1, 1))
    with pytest.warns(
        EdgeWarning, match="^sqrt is not twice continuously differentiable at a pole or where its domain"
    ):
        x.square().sqrt()
    with pytest.warns(NonSmoothWarning, match="^sqrt is not twice continuously differentiable: ") as said:
        torch.complex(x, x).sqrt()
    assert said[0].category is NonSmoothWarning


def test_paths_that_do_not_move_reach_nothing() -> None:
    still = torch.stack([torch.linspace(0, 1, 4001, dtype=F64), torch.zeros(4001, dtype=F64)])
    with nonsmooth_met() as names:
        Jet(still[:, 1:], JetSpace(1, 1)).sqrt()
        1 / Jet(still[:, 1:], JetSpace(1, 1))
        Jet(still[:1], JetSpace(1, 0)).square().sqrt()
    assert names == set()


def test_edges_are_looked_at_under_torchs_transforms_too() -> None:
    space = JetSpace(1, 2)
    rows = torch.randn(3, 50, generator=torch.Generator().manual_seed(0), dtype=F64)

    def root(c: Tensor) -> Tensor:
        return Jet(c, space).square().sqrt().coefficients

    expected = root(rows)
    torch.testing.assert_close(torch.vmap(root, 1, 1)(rows), expected)
    torch.testing.assert_close(torch.func.jvp(root, (rows,), (rows,))[0], expected)


def test_the_pilot_numbers_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Broken on purpose: with no nearness that counts nothing is said, and with one that is too large all of it."""
    monkeypatch.setattr(edges, "NEAR", 0.0)
    monkeypatch.setattr(edges, "FEW", 0.0)
    assert met(EDGES["rms"][1], 0.6) == set()
    monkeypatch.setattr(edges, "NEAR", 10.0)
    monkeypatch.setattr(edges, "ASIDE", 10.0)
    assert met(AWAY["sqrt(1 + x²)"][1], 1.0) == {"sqrt"}


ALWAYS: dict[str, tuple[str, Loss]] = {
    "frexp": ("frexp", lambda x: torch.frexp(x + 20)[0]),
    "i0e": ("i0e", lambda x: torch.special.i0e(x + 3)),
    "i1e": ("i1e", lambda x: torch.special.i1e(x + 3)),
    "lu": ("linalg_lu", lambda x: torch.linalg.lu(x)[1]),
    "lu_factor": ("linalg_lu_factor", lambda x: torch.linalg.lu_factor(x)[0]),
    "qr": ("linalg_qr", lambda x: torch.linalg.qr(x)[1]),
    "svd": ("svd", lambda x: torch.linalg.svd(x)[0]),
    "eigh": ("eigh", lambda x: torch.linalg.eigh(x + x.mT)[1]),
    "low softplus": ("softplus", lambda x: F.softplus(x, threshold=1.0)),
    "cosine_similarity": ("cosine_similarity", lambda x: F.cosine_similarity(x, x.sin(), -1)),
}


@pytest.mark.parametrize("name", ALWAYS)
def test_what_is_piecewise_is_said_at_every_call(name: str) -> None:
    """Not only at those at which torch's derivatives are proven."""
    said, function = ALWAYS[name]
    rows = torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(2), dtype=F64)
    for _ in range(4):
        with nonsmooth_met() as names:
            function(Jet(rows, JetSpace(1, 2)))
        assert said in names


def test_rules_for_distances_have_torchs_values() -> None:
    x = Jet(torch.randn(3, 6, 3, generator=torch.Generator().manual_seed(3), dtype=F64), JetSpace(1, 2))
    y = x.value.flip(0) + 1
    for function in (
        lambda x: torch.dist(x, y),
        lambda x: torch.dist(x, y, 3),
        lambda x: F.pdist(x),
        torch.linalg.cond,
        lambda x: F.pairwise_distance(x, y, keepdim=True),
        lambda x: torch.hypot(x, y),
        torch.linalg.svdvals,
        lambda x: torch.mvlgamma(x.abs() + 2, 3),
        lambda x: torch.std_mean(x, -1)[0],
        lambda x: torch.linalg.matrix_norm(x, "nuc", keepdim=True),
        lambda x: torch.linalg.norm(x, "nuc"),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = function(x)
        torch.testing.assert_close(found.value, function(x.value))
    slope = torch.func.jvp(
        lambda t: torch.hypot(x.value + t * x.coefficients[1], y),
        (torch.tensor(0.0, dtype=F64),),
        (torch.tensor(1.0, dtype=F64),),
    )[1]
    torch.testing.assert_close(torch.hypot(x, y).coefficients[1], slope)


@pytest.mark.parametrize("name", ["rms", "norm", "cdist", "asin of sin"])
def test_the_radius_of_a_hidden_modulus_is_not_known(name: str) -> None:
    found = expand(BROWNIAN, EDGES[name][1], torch.tensor([0.6], dtype=F64), GRID, paths=4096)
    assert math.isnan(found.radius) and EDGES[name][0] in str(found)


def test_eigenvalues_are_held_against_each_other_and_not_against_other_paths() -> None:
    """Paths whose matrices are alike, and move apart, have no eigenvalues that meet."""
    values = torch.linspace(0.0, 1.0, 64, dtype=F64).repeat_interleave(2)
    speeds = torch.randn(128, generator=torch.Generator().manual_seed(0), dtype=F64)
    for gap, said in ((3.0, set()), (0.0, {"eigvalsh"})):
        diagonal = torch.stack([values, gap + 1e-4 + 0 * values], -1)
        rows = torch.stack([torch.diag_embed(diagonal), torch.diag_embed(torch.stack([speeds, 0 * speeds], -1))])
        with nonsmooth_met() as names:
            torch.linalg.eigvalsh(Jet(rows, JetSpace(1, 1)))
        assert set(names) == said
