"""Kinks inside of operations and guards: said where paths come near, and only there; right on both of their sides."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Callable

import pytest
import torch
from support import F64, refuses
from torch import Tensor
from torch.distributions import Weibull
from torch.nn import functional as F

from sdewm import FunctionSDE, PerturbedSDE, TimeGrid, check_sde, expand
from sdewm.jets import Jet, JetSpace, NonSmoothWarning, NotDifferentiable, fallback, nonsmooth_met
from sdewm.jets.edges import nearly_met

pytestmark = pytest.mark.filterwarnings("ignore::sdewm.jets.NonSmoothWarning")
LINE = JetSpace(1, 2)
Function = Callable[[Tensor], Tensor]


def states(mean: float, paths: int = 256, columns: int = 2, seed: int = 0) -> Jet:
    generator = torch.Generator().manual_seed(seed)
    c = torch.randn(3, paths, columns, generator=generator, dtype=F64)
    c[0] += mean
    return Jet(c, LINE)


def met(function: Function, x: Jet) -> set[str]:
    with nonsmooth_met() as names:
        function(x)
    return names


def like(x: Tensor, value: float) -> Tensor:
    return torch.full(x.shape, value, dtype=F64)


# Each with states that keep clear of its kink, and others that do not.
GUARDS: dict[str, tuple[Function, float, float, str]] = {
    "abs": (torch.abs, 10.0, 1.0, "abs"),
    "clamp": (lambda x: x.clamp(min=-9.0, max=99.0), 1.0, -9.0, "clamp"),
    "clamp to a tensor": (lambda x: torch.clamp(x, max=like(x, 9.0)), 0.0, 9.0, "clamp"),
    "cosine_similarity": (
        lambda x: F.cosine_similarity(x, like(x, 1.0), eps=1.0),
        20.0,
        0.0,
        "cosine_similarity",
    ),
    "Weibull": (lambda x: Weibull(x.square(), 1.5, validate_args=False).log_prob(like(x, 1.0)), 30.0, 0.0, "abs"),
    "modulus of a transform": (lambda x: torch.fft.fft(x).abs().square(), 30.0, 0.0, "abs"),
}


@pytest.mark.parametrize("name", GUARDS)
def test_a_guard_is_said_where_paths_come_to_it_and_only_there(name: str) -> None:
    function, clear, near, said = GUARDS[name]
    apart = states(clear)
    if name == "modulus of a transform":  # the second component is a difference
        apart.coefficients[0, :, 1] *= 4
    assert met(function, apart) == set()
    assert said in met(function, states(near))


def test_a_variance_is_clamped_where_it_is_small_and_there_torch_is_wrong() -> None:
    def loss(x: Tensor) -> Tensor:
        return F.gaussian_nll_loss(x, like(x, 0.0), x.square(), eps=0.1, reduction="none")

    assert met(loss, states(30.0)) == set()
    with refuses(NotDifferentiable, "gaussian_nll_loss of a jet"):
        loss(states(0.0))


def test_a_mask_that_nothing_moves_has_no_kink() -> None:
    counts = torch.arange(4, dtype=F64).expand(256, 4)
    x = states(1.0, columns=4)
    assert met(lambda y: F.poisson_nll_loss(y, counts, full=True, reduction="none"), x) == set()
    assert "poisson_nll_loss" in met(lambda y: F.poisson_nll_loss(counts, y.square(), full=True, reduction="none"), x)


@pytest.mark.parametrize("paths", [16, 64, 256, 2048])
@pytest.mark.parametrize("deviations", [2.0, 3.0, 4.0, 5.0])
@pytest.mark.parametrize("function", [torch.abs, lambda x: x.clamp(min=0.0), lambda x: x.clamp(min=1e-9)])
def test_a_kink_in_the_tail_is_said_though_no_path_has_come_there(function, deviations, paths):
    """Of n paths some n φ(z) Δ are within Δ of it: its part of the second coefficient may be there when no path is."""
    for seed in range(5):
        x = states(0.0, paths, columns=1, seed=seed)
        x.coefficients[0] = 1 + x.coefficients[0] / deviations
        x.coefficients[1:] = torch.tensor([1.0, 0.0]).reshape(2, 1, 1)
        assert met(function, x) in ({"abs"}, {"clamp"})


def test_of_few_paths_and_in_compiled_walks_every_kink_is_said() -> None:
    assert met(torch.abs, states(10.0, paths=32)) == {"abs"}
    with nearly_met():
        assert met(torch.abs, states(10.0)) == {"abs"}


def test_a_kink_is_said_that_epsilon_carries_paths_to_though_none_is_there() -> None:
    still = torch.stack([like(torch.empty(64, 1), 1e-9), like(torch.empty(64, 1), 1.0), torch.zeros(64, 1, dtype=F64)])
    assert met(torch.abs, Jet(still, LINE)) == {"abs"}


def test_paths_on_both_sides_of_a_kink_are_said_however_far() -> None:
    x = states(0.0)
    x.coefficients[0] = 100.0 * x.coefficients[0].sign()
    assert met(torch.abs, x) == {"abs"}


@pytest.mark.parametrize("name", ["qr", "eig", "lu_factor"])
def test_what_cannot_be_seen_says_how_to_check(name: str) -> None:
    x = states(5.0, columns=1)
    matrix = torch.stack([torch.cat([2 + x, x], -1), torch.cat([x - 1, 3 * x], -1)], -1)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", NonSmoothWarning)
        with contextlib.suppress(NotDifferentiable):  # of some, torch has no derivatives that can be trusted
            getattr(torch.linalg, name)(matrix)
    assert any("anew for every matrix" in str(w.message) and "smooth" in str(w.message) for w in said)


ONE = torch.ones(4096, 2, dtype=F64)
KINKED: dict[str, Function] = {
    "l1_loss": lambda x: F.l1_loss(x, 0 * ONE, reduction="none"),
    "huber_loss": lambda x: F.huber_loss(x, 0 * ONE, reduction="none"),
    "smooth_l1_loss": lambda x: F.smooth_l1_loss(x, 0 * ONE, reduction="none"),
    "hinge_embedding_loss": lambda x: F.hinge_embedding_loss(x, -ONE, reduction="none"),
    "margin_ranking_loss": lambda x: F.margin_ranking_loss(x, 0 * ONE, ONE, reduction="none"),
    "triplet_margin_loss": lambda x: F.triplet_margin_loss(x, 0 * ONE, ONE, reduction="none"),
    "softshrink": F.softshrink,
    "hardsigmoid": F.hardsigmoid,
    "prelu": lambda x: F.prelu(x, ONE[0, :1] / 5),
    "amax": lambda x: x.amax(-1),
    "sort": lambda x: x.sort(-1).values,
    "median": lambda x: torch.cat([x, x.square()], -1).median(-1).values,
    "norm of ones": lambda x: torch.cat([x, x.square()], -1).norm(1, -1),
    "svdvals": lambda x: torch.linalg.svdvals(torch.stack([x, 1 + x.flip(-1)], -1)),
}


@pytest.mark.parametrize("name", KINKED)
def test_of_thousands_of_paths_some_are_next_to_a_kink_and_none_is_refused(name: str) -> None:
    """The jet is that of the side a path is on: differences over a step that crosses nothing agree."""
    x = states(0.0, paths=4096)
    jet = KINKED[name](x)
    h = 1e-7
    c = x.coefficients
    ahead, behind = (KINKED[name](c[0] + e * c[1]) for e in (h, -h))
    slope = (ahead - behind) / (2 * h)
    off = (slope - jet.coefficients[1]).abs() > 1e-5 * (1 + slope.abs())
    assert off.double().mean() < 1e-3
    assert met(KINKED[name], x)


def test_a_wrong_derivative_of_a_function_with_a_kink_is_refused_all_the_same() -> None:
    class Wrong(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(x: Tensor) -> Tensor:
            return x.abs()

        @staticmethod
        def setup_context(ctx, inputs, output) -> None:
            ctx.save_for_backward(*inputs)
            ctx.save_for_forward(*inputs)

        @staticmethod
        def backward(ctx, grad: Tensor) -> Tensor:
            return 1.01 * grad * ctx.saved_tensors[0].sign()

        @staticmethod
        def jvp(ctx, tangent: Tensor) -> Tensor:
            return 1.01 * tangent * ctx.saved_tensors[0].sign()

    def wrong(x: Tensor) -> Tensor:
        return Wrong.apply(x)

    with refuses(NotDifferentiable, "wrong of a jet", "cannot be trusted"):
        fallback.nested(wrong, (states(0.0, paths=4096),), {})


def test_a_constant_target_made_like_the_state_is_no_direction() -> None:
    x = states(0.0)
    made = F.soft_margin_loss(x, torch.ones_like(x), reduction="none")
    given = F.soft_margin_loss(x, torch.ones(x.shape, dtype=F64), reduction="none")
    torch.testing.assert_close(made.coefficients, given.coefficients)


@pytest.mark.parametrize("loss", [F.huber_loss, F.smooth_l1_loss, F.l1_loss])
def test_an_expansion_takes_the_losses_that_a_check_passes(loss: Callable[..., Tensor]) -> None:
    family = PerturbedSDE(FunctionSDE(g=lambda t, x: torch.ones_like(x)), FunctionSDE(lambda t, x: torch.ones_like(x)))
    x0, grid = torch.zeros(1, dtype=F64), TimeGrid(0.0, 1.0, 4)
    found = expand(family, lambda x: loss(x, torch.zeros_like(x) + 0.3, reduction="none").sum(-1), x0, grid)
    assert found.kinks == (loss.__name__,) and math.isfinite(found.second.mean)


def test_a_check_refuses_what_an_expansion_cannot_take_either() -> None:
    def drift(t: Tensor, x: Tensor) -> Tensor:
        target = torch.zeros(len(x), dtype=torch.int64)
        return F.multi_margin_loss(torch.cat([x, -x], -1), target, reduction="none")[:, None]

    sde = FunctionSDE(drift, lambda t, x: torch.ones_like(x))
    with refuses(NotDifferentiable, "multi_margin_loss"):
        check_sde(sde, torch.ones(1, dtype=F64), TimeGrid(0.0, 1.0, 4))
