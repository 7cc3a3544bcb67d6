"""Steps of some paths are what they are among all, at every time of a walk."""

import pytest
import torch
from support import F64, refuses

from sdewm import FunctionSDE, PerturbedSDE, TimeGrid, expand, solve

GRID = TimeGrid(0.0, 1.0, 8)
ERROR = FunctionSDE(lambda t, x: torch.ones_like(x))


def diffusion(t, x):
    return 0.1 + 0 * x


def square(x):
    return x.square().sum(-1)


WINDOW = TimeGrid(0.0, 1.0, 32)


def within(inside, outside=lambda x: -x):
    """A drift that is another one for a while, at none of the times that are looked at first."""
    return FunctionSDE(lambda t, x: inside(x) if 0.2 < float(t) < 0.4 else outside(x), diffusion)


FOR_A_WHILE = {
    "a mean over paths": (lambda x: -x + x.mean(0), "f: expected one row per path"),
    "random": (lambda x: -x + 10 * torch.randn_like(x), "f: expected the same value whenever it is asked"),
    "written into": (lambda x: -x.mul_(1.05), "sde: expected the states that coefficients are given to be left alone"),
    "the first row": (lambda x: -x[:1], "f: expected ("),
    "no axes": (lambda x: x.new_tensor(5.0), "f: expected ("),
    "one number per path": (lambda x: x.sum(-1), "f: expected ("),
    "single precision": (lambda x: -x.float(), "f: expected ("),
    "no tensor": (lambda x: 5.0, "f: expected ("),
}


@pytest.mark.parametrize("name", FOR_A_WHILE)
def test_a_drift_that_goes_wrong_for_a_while(name):
    inside, message = FOR_A_WHILE[name]
    with refuses(ValueError, message):
        solve(within(inside), [1.0, 2.0], WINDOW, paths=2)


@pytest.mark.parametrize("name", FOR_A_WHILE)
def test_a_family_whose_error_goes_wrong_for_a_while(name):
    family = PerturbedSDE(FunctionSDE(lambda t, x: -x, diffusion), within(FOR_A_WHILE[name][0]))
    with pytest.raises(ValueError, match="expected"):
        expand(family, square, [1.0, 2.0], WINDOW, paths=64, sampler="mc")


@pytest.mark.parametrize(
    "noise_type, g",
    [
        ("diagonal", lambda x: x[:1]),
        ("diagonal", lambda x: x.sum(-1)),
        ("general", lambda x: torch.ones(1, 2, 1, dtype=x.dtype)),
        ("scalar", lambda x: 0.1 * torch.ones(2, 1, dtype=x.dtype)),
    ],
)
def test_a_diffusion_of_another_shape_for_a_while(noise_type, g):
    def usual(x):
        return 0.1 + 0 * x if noise_type == "diagonal" else 0.1 + 0 * x[..., None]

    sde = FunctionSDE(lambda t, x: -x, lambda t, x: g(x) if 0.2 < float(t) < 0.4 else usual(x), noise_type)
    with refuses(ValueError, "g: expected (", "of torch.float64"):
        solve(sde, [1.0, 2.0], WINDOW, paths=2)


def test_random_numbers_in_one_step_are_found_where_the_process_has_drawn_some():
    sde = FunctionSDE(lambda t, x: torch.randn_like(x) if 0.26 < float(t) < 0.29 else -x, diffusion)
    with refuses(ValueError, "sde: expected the same value whenever it is asked"):
        solve(sde, [1.0, 2.0], WINDOW, paths=2)


def test_random_numbers_that_others_draw_are_no_fault_of_the_coefficients():
    sde = FunctionSDE(lambda t, x: -x, diffusion)
    noisy = solve(sde, [1.0], WINDOW, paths=4, save=lambda t, x: torch.randn_like(x))
    assert noisy.shape == (33, 4, 1)
    last = {}

    def drawing(t, x):
        last["unused"] = torch.rand(1)
        return -x

    drawn = solve(FunctionSDE(drawing, diffusion), [1.0], WINDOW, paths=4)
    assert torch.equal(drawn, solve(sde, [1.0], WINDOW, paths=4))


MANY_ROWS = {
    "clipped by the batch's norm": lambda x: -x * torch.clamp(50 / x.norm(), max=1.0),
    "another one for large batches": lambda x: -x if len(x) <= 512 else -0.5 * x,
    "minus the row before": lambda x: -x if len(x) < 100 else -x + 0.1 * x.roll(1, 0),
}


@pytest.mark.parametrize("name", MANY_ROWS)
@pytest.mark.parametrize("compile", [False, True])
def test_paths_that_mix_only_where_there_are_many(name, compile):
    # Paths that start apart, as they are all one otherwise at the first step.
    base = FunctionSDE(lambda t, x: MANY_ROWS[name](x), diffusion)
    start = torch.linspace(3.0, 5.0, 2048, dtype=F64).unsqueeze(-1)
    with refuses(ValueError, "sde: expected one row per path"):
        solve(base, start, GRID, paths=2048, compile=compile)


def test_an_expansion_of_paths_that_mix_only_where_there_are_many():
    base = FunctionSDE(lambda t, x: MANY_ROWS["clipped by the batch's norm"](x), diffusion)
    with refuses(ValueError, "sde: expected one row per path"):
        expand(PerturbedSDE(base, ERROR), square, [4.0], GRID, paths=4096)


@pytest.mark.parametrize("name", ["the first row", "no axes", "one number per path", "single precision", "no tensor"])
@pytest.mark.parametrize("method", ["euler", "milstein", "platen-weak", "sri2"])
def test_a_step_holds_what_coefficients_return(name, method):
    """For one step, at none of the times that are looked at before."""
    drift = FunctionSDE(
        lambda t, x: FOR_A_WHILE[name][0](x) if 0.28 < float(t) < 0.285 else -x, lambda t, x: 0.1 + 0.1 * x
    )
    with refuses(ValueError, "f: expected (2, 2) of torch.float64, as the states have, got", "at t = 0.28125"):
        solve(drift, [1.0, 2.0], WINDOW, paths=2, method=method)


def test_a_step_sees_what_is_written_into_its_states():
    def drift(t, x):
        return -(x.clamp_(max=5.0) if 0.28 < float(t) < 0.285 else x)

    with refuses(ValueError, "sde: expected the states that coefficients are given to be left alone, but at t = 0.28"):
        solve(FunctionSDE(drift, diffusion), [1.0, 2.0], WINDOW, paths=2)
