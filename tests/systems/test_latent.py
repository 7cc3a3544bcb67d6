"""The latent dynamics model (5)–(8) as one SDE: blocks, coefficients, observations, representation error."""

from __future__ import annotations

import math
import warnings

import pytest
import torch
from support import EULER_METHODS, F64, normal_increments, refuses
from torch import Tensor

from sdewm.exact import reference
from sdewm.noise.grid import TimeGrid
from sdewm.solvers.solve import solve
from sdewm.systems.blocks import BlockSizes
from sdewm.systems.latent import LatentSDE
from sdewm.systems.observations import RecordedObservation
from sdewm.systems.perturbed import PerturbedSDE
from sdewm.systems.sde import SDE, FunctionSDE, diffusion_matrix, diffusion_product, noise_channels
from sdewm.systems.stages import stage_diffusion, stage_drift

SIZES = BlockSizes(z=2, h=3, z_tilde=2, s_tilde=1)
T = torch.tensor(0.3, dtype=F64)
OBSERVER = FunctionSDE(lambda t, s: -s, lambda t, s: 0.3 + 0.1 * torch.sin(s))
WIDE = torch.tensor([[0.5, -0.2, 0.1], [0.3, 0.4, -0.6]], dtype=F64)


def coefficients(**changes) -> dict:
    """Four blocks with one channel for each coordinate of z, z̃, s̃, and none for h."""
    return {
        "q_enc": lambda h, s: torch.tanh(h[..., :2] + s),
        "q_enc_bar": lambda h, s: 0.3 + 0.1 * torch.sin(h[..., 1:] * s),
        "f": lambda h, z, a: torch.sin(h) * a + z.sum(-1, keepdim=True),
        "p": lambda h: torch.cos(h[..., :2]),
        "p_bar": lambda h: 0.2 + 0.1 * torch.cos(h[..., 1:]),
        "q_dec": lambda h, z_tilde: h[..., :1] * z_tilde[..., :1],
        "q_dec_bar": lambda h, z_tilde: 0.1 + z_tilde[..., 1:] ** 2,
        "policy": lambda h, z: torch.tanh(h[..., :1] - z[..., :1]),
        "observation": lambda t: torch.stack([torch.cos(t), torch.sin(t)]),
        "sizes": SIZES,
    } | changes


def matrix_valued() -> dict:
    """q_enc_bar and q_dec_bar with three channels each, f_bar with one for each coordinate."""
    return {
        "q_enc_bar": lambda h, s: torch.sin(h[..., :1]).unsqueeze(-1) * WIDE,
        "f_bar": lambda h, z, a: 0.1 * h * a,
        "q_dec_bar": lambda h, z_tilde: (h * z_tilde[..., :1]).unsqueeze(-2),
    }


def simulated() -> dict:
    return {"observation": OBSERVER, "observation0": torch.tensor([0.4, -0.6], dtype=F64)}


MODELS = {
    "diagonal": lambda: LatentSDE(**coefficients()),
    "leaking": lambda: LatentSDE(**coefficients(leak=0.7)),
    "matrix": lambda: LatentSDE(**coefficients(**matrix_valued())),
    "no noise in z̃": lambda: LatentSDE(**coefficients(p_bar=None, leak=1.0)),
    "no noise": lambda: LatentSDE(**coefficients(q_enc_bar=None, p_bar=None, q_dec_bar=None)),
    "simulated": lambda: LatentSDE(**coefficients(**simulated())),
    "simulated matrix": lambda: LatentSDE(**coefficients(**simulated(), **matrix_valued())),
    "reference": reference.latent_model,
    "reference, noise in h": lambda: reference.latent_model(sequence_noise=True),
}


def error_of(model: LatentSDE) -> SDE:
    """σ and a σ̄ of the shape of the model's own q_enc_bar."""
    bar = model.q_enc_bar
    return model.encoder_error(
        lambda h, s: torch.cos(h[..., :2]) * s, None if bar is None else lambda h, s: torch.cos(2 * bar(h, s))
    )


def states(model: LatentSDE, paths: int = 5) -> Tensor:
    return torch.randn(paths, model.dimension, generator=torch.Generator().manual_seed(1), dtype=F64)


def increments(model: LatentSDE, x: Tensor) -> Tensor:
    m = noise_channels(model, T, x)
    return torch.randn(len(x), m, generator=torch.Generator().manual_seed(2), dtype=F64)


@pytest.fixture(params=MODELS)
def model(request) -> LatentSDE:
    return MODELS[request.param]()


def variants(model: LatentSDE) -> dict[str, SDE]:
    family = PerturbedSDE(model, error_of(model))
    return {"base": model, "error": family.error, "perturbed": family.at(0.3, -0.4)}


# -- the state


def test_blocks_and_state_are_inverse(model):
    x = states(model)
    z, h, z_tilde, s_tilde = model.blocks(x)
    assert tuple(b.shape[-1] for b in (z, h, z_tilde, s_tilde)) == tuple(model.sizes)
    again = model.state(z, h, z_tilde, s_tilde)
    size = sum(model.sizes)
    assert torch.equal(again[..., :size], x[..., :size]) and again.shape == x.shape
    if model.simulated:
        assert torch.equal(again[..., size:], model.observation0.expand(5, -1))


def test_a_block_of_the_wrong_size_is_named():
    model = MODELS["diagonal"]()
    with refuses(ValueError, "h:", "3 coordinates", "(2,)"):
        model.state(torch.zeros(2), torch.zeros(2), torch.zeros(2), torch.zeros(1))


# -- coefficients


def test_the_diffusion_product_is_the_matrix_times_the_increments(model):
    x = states(model)
    dB = increments(model, x)
    for name, sde in variants(model).items():
        g = diffusion_matrix(sde, T, x)
        assert g.shape == (5, model.dimension, dB.shape[-1]), name
        product = diffusion_product(sde, T, x, dB)
        torch.testing.assert_close(product, (g @ dB[..., None])[..., 0], rtol=0, atol=1e-14)
        assert sde.f(T, x).shape == x.shape, name


@pytest.mark.parametrize("leak", [0.0, 0.7])
def test_coefficients_are_those_of_the_equations(leak):
    """(5)–(8) written out by hand."""
    model = LatentSDE(**coefficients(leak=leak))
    x = states(model)
    z, h, z_tilde, s_tilde = x.split(list(SIZES), -1)
    s = torch.tensor([math.cos(0.3), math.sin(0.3)], dtype=F64)
    a = torch.tanh(h[:, :1] - z[:, :1])
    drift = [
        torch.tanh(h[:, :2] + s) - leak * z,
        torch.sin(h) * a + z.sum(-1, keepdim=True) - leak * h,
        torch.cos(h[:, :2]) - leak * z_tilde,
        h[:, :1] * z_tilde[:, :1] - leak * s_tilde,
    ]
    torch.testing.assert_close(model.f(T, x), torch.cat(drift, -1), rtol=0, atol=1e-14)
    diffusion = torch.zeros(5, 8, 5, dtype=F64)
    diffusion[:, 0:2, 0:2] = torch.diag_embed(0.3 + 0.1 * torch.sin(h[:, 1:] * s))
    diffusion[:, 5:7, 2:4] = torch.diag_embed(0.2 + 0.1 * torch.cos(h[:, 1:]))
    diffusion[:, 7:8, 4:5] = (0.1 + z_tilde[:, 1:] ** 2).unsqueeze(-1)
    torch.testing.assert_close(model.g(T, x), diffusion, rtol=0, atol=1e-14)


def test_matrix_valued_diffusions_have_their_own_channels():
    model = MODELS["matrix"]()
    x = states(model)
    z, h, z_tilde, _ = model.blocks(x)
    g = model.g(T, x)
    assert g.shape == (5, 8, 3 + 3 + 2 + 3)
    a = torch.tanh(h[:, :1] - z[:, :1])
    torch.testing.assert_close(g[:, 0:2, 0:3], torch.sin(h[:, :1]).unsqueeze(-1) * WIDE)
    torch.testing.assert_close(g[:, 2:5, 3:6], torch.diag_embed(0.1 * h * a))
    torch.testing.assert_close(g[:, 7, 8:11], h * z_tilde[:, :1])
    elsewhere = g.clone()
    for rows, columns in ((slice(0, 2), slice(0, 3)), (slice(2, 5), slice(3, 6))):
        elsewhere[:, rows, columns] = 0
    elsewhere[:, 5:7, 6:8] = 0
    elsewhere[:, 7, 8:11] = 0
    assert not elsewhere.any()


def test_no_diffusion_at_all():
    model = MODELS["no noise"]()
    x = states(model)
    assert model.noise_channels(T, x) == 0 and model.g(T, x).shape == (5, 8, 0)
    grid = TimeGrid(0.0, 1.0, 4)
    for method in EULER_METHODS:
        found = solve(model, x, grid, method=method, noise=torch.zeros(4, 5, 0, dtype=F64))
        assert bool(torch.isfinite(found).all())


def test_a_missing_diffusion_is_a_zero_one():
    """None, and a function that returns zeros, give the same path from the same other noise."""
    without = LatentSDE(**coefficients(p_bar=None))
    zero = LatentSDE(**coefficients(p_bar=lambda h: torch.zeros_like(h[..., :2])))
    grid = TimeGrid(0.0, 1.0, 8)
    x0 = states(zero)[0]
    noise = normal_increments(grid, 5, 5)
    for method in EULER_METHODS:
        expected = solve(zero, x0, grid, method=method, noise=noise)
        found = solve(without, x0, grid, method=method, noise=noise[..., [0, 1, 4]])
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-14)


def test_constant_coefficients_broadcast():
    """A diffusion without a dimension for paths is the same on every path."""
    constant = torch.tensor([0.3, 0.4], dtype=F64)
    one = LatentSDE(**coefficients(p_bar=lambda h: constant))
    other = LatentSDE(**coefficients(p_bar=lambda h: constant.expand(len(h), 2)))
    x = states(one)
    assert torch.equal(one.g(T, x), other.g(T, x))
    assert torch.equal(one.g_prod(T, x, increments(one, x)), other.g_prod(T, x, increments(other, x)))


@pytest.mark.parametrize(
    ("changes", "fragments"),
    [
        ({"q_enc": lambda h, s: h}, ("q_enc:", "(paths, 2)", "(paths, 3)")),
        ({"q_enc": lambda h, s: h[..., :1]}, ("q_enc:", "(paths, 2)", "(paths, 1)")),
        ({"f": lambda h, z, a: z}, ("f:", "(paths, 3)", "(paths, 2)")),
        ({"p": lambda h: h}, ("p:", "(paths, 2)", "(paths, 3)")),
        ({"q_dec": lambda h, z_tilde: z_tilde}, ("q_dec:", "(paths, 1)", "(paths, 2)")),
        ({"q_enc_bar": lambda h, s: h}, ("q_enc_bar:", "(paths, 2)", "(paths, 3)")),
        ({"f_bar": lambda h, z, a: z}, ("f_bar:", "(paths, 3)", "(paths, 2)")),
        ({"p_bar": lambda h: h.unsqueeze(-1)}, ("p_bar:", "(paths, 2)", "(paths, 3, 1)")),
        ({"q_dec_bar": lambda h, z_tilde: torch.ones(3)}, ("q_dec_bar:", "(paths, 1)", "(1,)", "got (3,)")),
        ({"p_bar": lambda h: torch.ones(())}, ("p_bar:", "(paths, 2)", "got ()")),
    ],
)
@pytest.mark.parametrize("leak", [0.0, 1.0])
def test_coefficients_of_the_wrong_shape_are_named(changes, fragments, leak):
    grid = TimeGrid(0.0, 1.0, 2)
    for method in EULER_METHODS:
        with refuses(ValueError, *fragments):
            model = LatentSDE(**coefficients(leak=leak, **changes))
            solve(model, torch.ones(8, dtype=F64), grid, method=method, noise=normal_increments(grid, 3, 5))


# -- stages


def test_stages_agree_with_the_whole(model):
    """Every block's own drift and diffusion are the cut-outs of the whole ones."""
    x = states(model)
    dB = increments(model, x)
    covered = torch.zeros(model.dimension, dtype=torch.int64)
    for name, sde in variants(model).items():
        for i, stage in enumerate(model.stages):
            block = stage.block
            drift, product = sde.f(T, x)[:, block], diffusion_product(sde, T, x, dB)[:, block]
            torch.testing.assert_close(sde.f_stage(i, T, x), drift, rtol=0, atol=1e-15)
            torch.testing.assert_close(sde.g_prod_stage(i, T, x, dB), product, rtol=0, atol=1e-15)
            assert torch.equal(stage_drift(sde, model.stages, i, T, x), sde.f_stage(i, T, x)), name
    for stage in model.stages:
        covered[stage.block] += 1
    assert bool((covered == 1).all()), "stages must update every coordinate once"


def test_an_error_without_stages_is_cut():
    """A general error rides on a latent model in sequential steps, as in simultaneous ones."""
    model = MODELS["diagonal"]()
    x = states(model)
    error = FunctionSDE(lambda t, x: x, lambda t, x: x[:, :, None] * x[:, None, :5], "general")
    sde = PerturbedSDE(model, error).at(0.5)
    dB = increments(model, x)
    for i, stage in enumerate(model.stages):
        torch.testing.assert_close(sde.f_stage(i, T, x), sde.f(T, x)[:, stage.block])
        torch.testing.assert_close(sde.g_prod_stage(i, T, x, dB), sde.g_prod(T, x, dB)[:, stage.block])
        cut = diffusion_product(error, T, x, dB)[:, stage.block]
        assert torch.equal(stage_diffusion(error, model.stages, i, T, x, dB), cut)


def test_stages_see_the_ends_that_a_recurrent_model_sees():
    model = MODELS["simulated"]()
    z, h, z_tilde, s_tilde = model.block_slices
    expected = [(slice(8, 10), "start"), (h, "start"), (z, "end"), (z_tilde, "end"), (s_tilde, "end")]
    assert [(s.block, s.time) for s in model.stages] == expected


# -- the representation error


def test_the_error_lives_in_z_alone(model):
    x = states(model)
    error = error_of(model)
    z = model.sizes.z
    assert not error.f(T, x)[:, z:].any() and bool((error.f(T, x)[:, :z] != 0).all())
    g = diffusion_matrix(error, T, x)
    own = 0 if model.q_enc_bar is None else model.channel_slices(T, x)[0].stop
    assert not g[:, z:].any() and not g[:, :, own:].any()
    if own:
        assert bool(g[:, :z, :own].any())
    dB = increments(model, x)
    moved = dB.clone()
    moved[:, own:] += 1
    assert torch.equal(error.g_prod(T, x, dB), error.g_prod(T, x, moved))


def test_no_error_is_zero(model):
    x, none = states(model), model.encoder_error()
    assert not none.f(T, x).any() and not none.g(T, x).any()
    assert none.g(T, x).shape == model.g(T, x).shape
    sde = PerturbedSDE(model, none).at(1.0)
    grid = TimeGrid(0.0, 1.0, 4)
    noise = normal_increments(grid, 5, model.noise_channels(T, x))
    for method in EULER_METHODS:
        found, expected = (solve(s, x, grid, method=method, noise=noise) for s in (sde, model))
        assert torch.equal(found, expected)


def test_the_error_values_are_those_given():
    model = MODELS["diagonal"]()
    x = states(model)
    s = torch.tensor([math.cos(0.3), math.sin(0.3)], dtype=F64)
    h = x[:, 2:5]
    error = model.encoder_error(lambda h, s: h[:, :2] * s, lambda h, s: h[:, 1:] - s)
    torch.testing.assert_close(error.f(T, x)[:, :2], h[:, :2] * s)
    torch.testing.assert_close(error.g(T, x)[:, :2, :2], torch.diag_embed(h[:, 1:] - s))


@pytest.mark.parametrize(
    ("model", "arguments", "fragments"),
    [
        ("diagonal", {"sigma": lambda h, s: h}, ("sigma:", "(paths, 2)", "(paths, 3)")),
        ("diagonal", {"sigma_bar": lambda h, s: h}, ("sigma_bar:", "(paths, 2)", "(paths, 3)")),
        (
            "diagonal",
            {"sigma_bar": lambda h, s: WIDE[None]},
            ("sigma_bar:", "(paths, 2, 2)", "(paths, 2, 3)"),
        ),
        ("matrix", {"sigma_bar": lambda h, s: h[:, :2]}, ("sigma_bar:", "(paths, 2, 3)", "(paths, 2)")),
        ("no noise", {"sigma_bar": lambda h, s: h[:, :2]}, ("sigma_bar:", "None", "q_enc_bar")),
    ],
)
def test_errors_of_the_wrong_shape_are_named(model, arguments, fragments):
    latent = MODELS[model]()
    x = states(latent)
    grid = TimeGrid(0.0, 1.0, 2)
    noise = normal_increments(grid, 5, latent.noise_channels(T, x))
    for method in EULER_METHODS:
        with refuses(ValueError, *fragments):
            sde = PerturbedSDE(MODELS[model](), latent.encoder_error(**arguments)).at(0.1)
            solve(sde, x, grid, method=method, noise=noise)


# -- recorded observations


def test_a_recorded_observation_drives_the_model_as_the_function_does():
    """At the grid's own times the recording is the function."""
    grid = TimeGrid(0.0, 1.0, 10)
    times = torch.tensor([grid.time(i) for i in range(11)], dtype=F64)
    values = torch.stack([torch.cos(times), torch.sin(times)], -1)
    noise = normal_increments(grid, 5, 5)
    given, recorded = (
        LatentSDE(**coefficients(**change)) for change in ({}, {"observation": RecordedObservation(times, values)})
    )
    x0 = states(given)[0]
    for method in EULER_METHODS:
        found, expected = (solve(m, x0, grid, method=method, noise=noise) for m in (recorded, given))
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-13)


# -- simulated observations


def test_a_simulated_observation_is_its_own_sde():
    """Its path is that of the SDE alone on its own channels, in both methods, and does not depend on ε."""
    model = MODELS["simulated"]()
    grid = TimeGrid(0.0, 1.0, 16)
    assert model.noise_channels(T, states(model)) == 5 + 2
    noise = normal_increments(grid, 5, 7)
    x0 = model.state(*states(MODELS["diagonal"]())[0].split(list(SIZES)))
    alone = solve(OBSERVER, model.observation0, grid, noise=noise[..., 5:], save="path")
    family = PerturbedSDE(model, error_of(model))
    for method in EULER_METHODS:
        paths = {eps: solve(family.at(eps), x0, grid, method=method, noise=noise, save="path") for eps in (0.0, 0.5)}
        for path in paths.values():
            torch.testing.assert_close(path[..., 8:], alone, rtol=0, atol=1e-14)
        assert torch.equal(paths[0.0][..., 8:], paths[0.5][..., 8:])
        assert float((paths[0.0] - paths[0.5])[-1, :, :8].abs().min()) > 0


@pytest.mark.parametrize("changes", [{"observation": OBSERVER}, {"observation0": torch.zeros(2)}])
def test_an_initial_observation_belongs_to_an_sde(changes):
    with refuses(ValueError, "observation0", "if and only if the observation is an SDE", "got observation0="):
        LatentSDE(**coefficients(**changes))


def test_the_natural_way_of_joining_h_and_s():
    """A vector s_t comes with the axis of paths that h has; an image comes as it was recorded."""
    joined = {
        "q_enc": lambda h, s: torch.tanh(torch.cat([h, s], -1)[..., [0, 3]]),
        "q_enc_bar": lambda h, s: 0.3 + 0.1 * torch.sin(torch.cat([s, h], -1)[..., :2]),
    }
    by_hand = {
        "q_enc": lambda h, s: torch.tanh(torch.stack([h[..., 0], s[..., 0].expand(len(h))], -1)),
        "q_enc_bar": lambda h, s: 0.3 + 0.1 * torch.sin(s[..., :2].expand(len(h), -1)),
    }
    grid = TimeGrid(0.0, 1.0, 4)
    models = [LatentSDE(**coefficients(**change)) for change in (joined, by_hand)]
    size = sum(SIZES)
    x0 = torch.linspace(-0.5, 0.5, size, dtype=F64)
    noise = normal_increments(grid, 6, models[0].noise_channels(torch.tensor(0.0, dtype=F64), x0[None]), seed=0)
    first, second = (solve(model, x0, grid, noise=noise) for model in models)
    torch.testing.assert_close(first, second)
    image = torch.zeros(3, 4, 4, dtype=F64)
    model = LatentSDE(**coefficients(observation=lambda t: image))
    assert model.observed(torch.tensor(0.0), x0.expand(6, -1)) is image


@pytest.mark.parametrize(
    "method, leak, steps, warns",
    [("euler", 1.0, 2, True), ("euler-sequential", 1.0, 2, False), ("euler", 1.0, 4, False), ("euler", 0.0, 2, False)],
)
def test_another_step_than_the_recurrent_models_own_is_said(method, leak, steps, warns):
    model, grid = LatentSDE(**coefficients(leak=leak)), TimeGrid(0.0, 2.0, steps)
    family = PerturbedSDE(model, model.encoder_error(sigma=lambda h, s: torch.sin(s)))
    x0 = torch.zeros(sum(SIZES), dtype=F64)
    channels = model.noise_channels(torch.tensor(0.0, dtype=F64), x0[None])
    for sde in (model, family.at(0.1)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            solve(sde, x0, grid, method=method, noise=normal_increments(grid, 3, channels, seed=0))
        said = [w for w in caught if 'method="euler-sequential" takes that model\'s own step' in str(w.message)]
        assert bool(said) is warns
