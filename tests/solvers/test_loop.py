"""The steppers against hand-written loops and torchsde, and every bad input against its message."""

from __future__ import annotations

import contextlib
import pickle
from dataclasses import dataclass
from itertools import pairwise

import pytest
import torch
import torchsde
from support import EULER_METHODS, F64, normal_increments, refuses
from torch import Tensor

from sdewm.exact import reference
from sdewm.exact.problems import PROBLEMS
from sdewm.jets import JetSpace, Parameter
from sdewm.noise.brownian import BrownianPath
from sdewm.noise.grid import TimeGrid
from sdewm.noise.increments import StoredIncrements
from sdewm.noise.samplers import MonteCarlo
from sdewm.sensitivity import fundamental_matrix
from sdewm.solvers.base import NonFiniteState
from sdewm.solvers.registry import METHODS
from sdewm.solvers.solve import solve
from sdewm.systems.blocks import BlockSizes
from sdewm.systems.latent import LatentSDE
from sdewm.systems.perturbed import PerturbedSDE
from sdewm.systems.sde import FunctionSDE, diffusion_matrix, diffusion_product, noise_channels

GRID = TimeGrid(0.2, 1.2, 10)
PATHS = 6
MATRIX = torch.tensor([[0.3, -0.2, 0.1], [0.4, 0.1, -0.3]], dtype=F64)


def drift(t: Tensor, x: Tensor) -> Tensor:
    return torch.sin(x.flip(-1)) - t * x


SYSTEMS = {
    "diagonal": FunctionSDE(drift, lambda t, x: 0.3 + 0.2 * torch.cos(x + t), "diagonal"),
    "additive": FunctionSDE(drift, lambda t, x: ((1 + t) * MATRIX).expand(len(x), -1, -1), "additive"),
    "scalar": FunctionSDE(drift, lambda t, x: (0.4 * torch.cos(t + x)).unsqueeze(-1), "scalar"),
    "general": FunctionSDE(drift, lambda t, x: torch.cos(x).unsqueeze(-1) * MATRIX, "general"),
}
X0 = torch.tensor([0.5, -1.0], dtype=F64)


def noise_for(sde, x0: Tensor = X0, grid: TimeGrid = GRID, paths: int = PATHS, seed: int = 0) -> Tensor:
    return normal_increments(grid, paths, noise_channels(sde, torch.tensor(grid.t0), x0[None]), seed)


def by_hand(sde, x0: Tensor, grid: TimeGrid, noise: Tensor) -> list[Tensor]:
    states = [x0.expand(noise.shape[1], -1)]
    for i in range(grid.steps):
        t, x = torch.tensor(grid.t0 + i * grid.dt, dtype=x0.dtype), states[-1]
        shock = torch.einsum("pnm,pm->pn", diffusion_matrix(sde, t, x), noise[i])
        states.append(x + sde.f(t, x) * grid.dt + shock)
    return states


@dataclass
class GivenBrownian:
    """What torchsde asks of a Brownian motion, answered from given increments ``(steps, paths, m)``."""

    grid: TimeGrid
    increments: Tensor
    levy_area_approximation = "none"

    @property
    def shape(self) -> torch.Size:
        return self.increments.shape[1:]

    @property
    def dtype(self) -> torch.dtype:
        return self.increments.dtype

    @property
    def device(self) -> torch.device:
        return self.increments.device

    def __call__(self, ta: Tensor, tb: Tensor) -> Tensor:
        first, last = self.grid.index(float(ta)), self.grid.index(float(tb))
        return self.increments[first:last].sum(0)


def by_torchsde(sde, x0: Tensor, grid: TimeGrid, noise: Tensor) -> Tensor:
    times = torch.tensor([grid.time(i) for i in range(grid.steps + 1)], dtype=x0.dtype)
    start = x0.expand(noise.shape[1], -1)
    return torchsde.sdeint(sde, start, times, bm=GivenBrownian(grid, noise), dt=grid.dt, method="euler")


# -- Euler–Maruyama


@pytest.mark.parametrize("noise_type", SYSTEMS)
def test_euler_is_the_loop_one_would_write(noise_type):
    sde = SYSTEMS[noise_type]
    noise = noise_for(sde)
    expected = torch.stack(by_hand(sde, X0, GRID, noise))
    torch.testing.assert_close(solve(sde, X0, GRID, noise=noise, save="path"), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("noise_type", SYSTEMS)
def test_agrees_with_torchsde(noise_type):
    sde = SYSTEMS[noise_type]
    noise = noise_for(sde)
    expected = by_torchsde(sde, X0, GRID, noise)
    torch.testing.assert_close(solve(sde, X0, GRID, noise=noise, save="path"), expected, rtol=0, atol=1e-12)


FAMILIES = {
    "diagonal": PerturbedSDE(SYSTEMS["diagonal"], FunctionSDE(lambda t, x: x, lambda t, x: t * x)),
    "general": PerturbedSDE(SYSTEMS["general"], SYSTEMS["general"]),
    "mixed": PerturbedSDE(SYSTEMS["diagonal"], FunctionSDE(None, lambda t, x: torch.diag_embed(x), "general")),
    "latent": reference.latent_family(),
    "latent-linear": PROBLEMS["latent-linear"]().family,
}


@pytest.mark.parametrize("name", FAMILIES)
def test_the_perturbed_system_runs_in_torchsde_as_it_is(name):
    family = FAMILIES[name]
    x0 = {"latent": reference.initial_state(), "latent-linear": PROBLEMS["latent-linear"]().x0}.get(name, X0)
    for eps, eps_drift in ((0.0, None), (0.3, None), (0.2, -0.5)):
        sde = family.at(eps, eps_drift)
        noise = noise_for(sde, x0)
        expected = by_torchsde(sde, x0, GRID, noise)
        torch.testing.assert_close(solve(sde, x0, GRID, noise=noise, save="path"), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_perturbed_coefficients_are_sums(name):
    """g + ε η by hand, and the diffusion applied to increments is the matrix applied to them."""
    family = FAMILIES[name]
    n = {"latent": 9, "latent-linear": 6}.get(name, 2)
    t, x = torch.tensor(0.7, dtype=F64), torch.linspace(-1, 1, 4 * n, dtype=F64).view(4, n)
    sde = family.at(0.3, -0.7)
    matrix = diffusion_matrix(family.base, t, x) + 0.3 * diffusion_matrix(family.error, t, x)
    torch.testing.assert_close(sde.f(t, x), family.base.f(t, x) - 0.7 * family.error.f(t, x))
    torch.testing.assert_close(diffusion_matrix(sde, t, x), matrix)
    dB = torch.linspace(-2, 1, 4 * matrix.shape[-1], dtype=F64).view(4, -1)
    torch.testing.assert_close(diffusion_product(sde, t, x, dB), (matrix @ dB[..., None])[..., 0])
    assert noise_channels(sde, t, x) == matrix.shape[-1]
    assert family.unperturbed is family.base


def test_save_modes_agree():
    sde = SYSTEMS["general"]
    noise = noise_for(sde)
    path = solve(sde, X0, GRID, noise=noise, save="path")
    assert path.shape == (11, PATHS, 2)
    assert torch.equal(path[0], X0.expand(PATHS, 2))
    assert torch.equal(solve(sde, X0, GRID, noise=noise), path[-1])
    seen = solve(sde, X0, GRID, noise=noise, save=lambda t, x: t * x.sum(-1))
    times = torch.tensor([GRID.time(i) for i in range(11)], dtype=F64)
    torch.testing.assert_close(seen, times[:, None] * path.sum(-1), rtol=0, atol=1e-14)


def test_what_save_writes_into_is_not_walked_on():
    sde = FunctionSDE(lambda t, x: torch.sin(t + x), lambda t, x: 0.1 * x * (1 + t))
    noise = noise_for(sde)

    def doubled(t: Tensor, x: Tensor) -> Tensor:
        x.mul_(2)
        t.add_(100)
        return x

    expected = solve(sde, X0, GRID, noise=noise, save="path")
    assert torch.equal(solve(sde, X0, GRID, noise=noise, save=doubled), 2 * expected)


def test_noise_may_be_a_tensor_or_an_object_and_x0_one_state_or_many():
    sde = SYSTEMS["general"]
    noise = noise_for(sde)
    expected = solve(sde, X0, GRID, noise=noise)
    assert torch.equal(solve(sde, X0, GRID, noise=StoredIncrements(noise)), expected)
    assert torch.equal(solve(sde, X0.expand(PATHS, 2), GRID, noise=noise), expected)
    starts = torch.linspace(0, 1, 2 * PATHS, dtype=F64).view(PATHS, 2)
    many = solve(sde, starts, GRID, noise=noise)
    for i in range(PATHS):
        torch.testing.assert_close(many[i : i + 1], solve(sde, starts[i], GRID, noise=noise[:, i : i + 1]))


def test_precision_is_that_of_x0():
    single = solve(SYSTEMS["diagonal"], X0.float(), GRID, noise=noise_for(SYSTEMS["diagonal"]).float())
    assert single.dtype == torch.float32


def test_empty_coefficients_are_zero():
    noise = normal_increments(GRID, PATHS, 2)
    assert torch.equal(solve(FunctionSDE(), X0, GRID, noise=noise), X0.expand(PATHS, 2))
    assert torch.equal(solve(FunctionSDE(noise_type="scalar"), X0, GRID, noise=noise[..., :1]), X0.expand(PATHS, 2))


# -- the sequential step


def recurrent_model(leak: float) -> LatentSDE:
    """Nonlinear coefficients that can be written down twice."""
    return LatentSDE(
        q_enc=lambda h, s: torch.tanh(h[:, :1] + s),
        q_enc_bar=lambda h, s: 0.3 + 0.1 * torch.sin(h[:, 1:] + s),
        f=lambda h, z, a: torch.tanh(h.flip(-1) + z - a),
        p=lambda h: torch.cos(h[:, :1]),
        p_bar=lambda h: 0.2 + 0.1 * torch.cos(h[:, 1:]),
        q_dec=lambda h, z_tilde: h[:, :1] * z_tilde,
        q_dec_bar=lambda h, z_tilde: 0.1 + z_tilde**2,
        policy=lambda h, z: 0.5 * torch.sin(z + h[:, :1]),
        observation=lambda t: torch.cos(3 * t),
        sizes=BlockSizes(1, 2, 1, 1),
        leak=leak,
    )


def test_a_sequential_step_of_one_is_the_recurrent_models_own():
    """h from the old z; then z, z̃, s̃ drawn from distributions that see the new h, z̃ and observation."""
    grid = TimeGrid(0.0, 5.0, 5)
    noise = normal_increments(grid, PATHS, 3, seed=1)
    x0 = torch.tensor([0.3, 0.5, -0.2, 0.1, 0.4], dtype=F64)
    found = solve(recurrent_model(leak=1.0), x0, grid, method="euler-sequential", noise=noise, save="path")
    z, h, z_tilde, s_tilde = x0[:1].expand(PATHS, 1), x0[1:3].expand(PATHS, 2), x0[3:4], x0[4:]
    for i in range(grid.steps):
        enc, pred, dec = noise[i].split(1, -1)
        s = torch.cos(torch.tensor(3.0 * (i + 1), dtype=F64))
        a = 0.5 * torch.sin(z + h[:, :1])
        h = torch.tanh(h.flip(-1) + z - a)
        z = torch.tanh(h[:, :1] + s) + (0.3 + 0.1 * torch.sin(h[:, 1:] + s)) * enc
        z_tilde = torch.cos(h[:, :1]) + (0.2 + 0.1 * torch.cos(h[:, 1:])) * pred
        s_tilde = h[:, :1] * z_tilde + (0.1 + z_tilde**2) * dec
        expected = torch.cat([z, h, z_tilde, s_tilde], -1)
        torch.testing.assert_close(found[i + 1], expected, rtol=0, atol=1e-13)


def test_a_simultaneous_step_of_one_is_not():
    grid = TimeGrid(0.0, 3.0, 3)
    noise = normal_increments(grid, PATHS, 3)
    x0 = torch.tensor([0.3, 0.5, -0.2, 0.1, 0.4], dtype=F64)
    one, other = (solve(recurrent_model(1.0), x0, grid, method=m, noise=noise) for m in EULER_METHODS)
    assert float((one - other).abs().max()) > 0.1


def test_both_methods_converge_to_the_same_solution():
    """On the reference model, on the same paths, their distance falls at order ½ or better."""
    family = reference.latent_family()
    grid = TimeGrid(0.0, reference.HORIZON, 256)
    fine = StoredIncrements(normal_increments(grid, 100, 6))
    distances = []
    for factor in (16, 8, 4, 2, 1):
        noise = fine.coarsen(factor)
        one, other = (
            solve(family.at(0.3), reference.initial_state(), grid.coarsen(factor), method=m, noise=noise)
            for m in EULER_METHODS
        )
        distances.append(float(((one - other) ** 2).sum(-1).mean().sqrt()))
    ratios = [a / b for a, b in pairwise(distances)]
    # Both have strong order ½ or better: √2 or more at each halving, in the limit.
    assert distances[0] / distances[-1] >= 2 ** (0.5 * 4), distances
    assert all(r > 1 for r in ratios), distances


def test_declared_orders():
    assert {name: (m.strong_order, m.weak_order) for name, m in METHODS.items() if ":" not in name} == {
        "euler": (0.5, 1.0),
        "euler-sequential": (0.5, 1.0),
        "heun": (0.5, 1.0),
        "implicit-euler": (0.5, 1.0),
        "milstein": (1.0, 1.0),
        "platen-weak": (1.0, 2.0),
        "split-step": (0.5, 1.0),
        "sra1": (1.5, 2.0),
        "sri2": (1.0, 1.0),
        "tamed-euler": (0.5, 1.0),
        "taylor-1.5": (1.5, 2.0),
    }
    assert {name: m.commuting_order for name, m in METHODS.items() if m.commuting_order is not None} == {"heun": 1.0}


# -- bad input

DIAGONAL = SYSTEMS["diagonal"]
NOISE = normal_increments(GRID, PATHS, 2)
NAN = float("nan")


def with_nan(value: Tensor, component: int) -> Tensor:
    mask = torch.zeros(value.shape[-1], dtype=torch.bool)
    mask[component] = True
    return torch.where(mask, NAN, value)


@pytest.mark.parametrize(
    ("changes", "fragments"),
    [
        ({"x0": torch.zeros(())}, ("x0", "(n,) or (paths, n)", "()")),
        ({"x0": torch.zeros(1, 2, 3)}, ("x0", "(n,) or (paths, n)", "(1, 2, 3)")),
        ({"x0": torch.zeros(2, dtype=torch.bool)}, ("x0", "floating-point", "bool")),
        ({"x0": torch.zeros(2, dtype=torch.complex128)}, ("x0", "floating-point", "complex128")),
        ({"x0": torch.tensor([0.0, NAN])}, ("x0", "finite", "non-finite")),
        ({"x0": torch.zeros(4, 2, dtype=F64)}, ("x0", "6 states", "got 4")),
        ({"noise": NOISE[:7]}, ("noise", "10 steps", "got 7")),
        ({"noise": NOISE[..., :1]}, ("noise", "2 channels", "got 1")),
        ({"noise": NOISE[0]}, ("values", "(steps, paths, channels)", "(6, 2)")),
        ({"method": "magic"}, ("method", "euler", "euler-sequential", "milstein", "'magic'")),
        ({"save": "last"}, ("save", '"final"', '"path"', "function of (t, x)", "last")),
        ({"save": 3}, ("save", '"final"', "3")),
        ({"sde": FunctionSDE(lambda t, x: x[:, :1])}, ("f:", "(paths, 2)", "(paths, 1)")),
        ({"sde": FunctionSDE(lambda t, x: x.sum(-1))}, ("f:", "(paths, 2)", "(paths,)")),
        (
            {"sde": FunctionSDE(drift, lambda t, x: x[:, :1])},
            ("g:", "(paths, 2)", "'diagonal'", "(paths, 1)"),
        ),
        (
            {"sde": FunctionSDE(drift, lambda t, x: torch.diag_embed(x))},
            ("g:", "(paths, 2)", "'diagonal'", "(paths, 2, 2)"),
        ),
        (
            {"sde": FunctionSDE(drift, lambda t, x: x, "general")},
            ("g:", "(paths, 2, ", "'general'", "(paths, 2)"),
        ),
        (
            {"sde": FunctionSDE(drift, lambda t, x: x.unsqueeze(-2), "general")},
            ("g:", "(paths, 2, m)", "'general'", "(paths, 1, 2)"),
        ),
        (
            {"sde": FunctionSDE(drift, lambda t, x: torch.diag_embed(x), "scalar")},
            ("g:", "(paths, 2, 1)", "'scalar'", "(paths, 2, 2)"),
        ),
        ({"sde": FunctionSDE(lambda t, x: with_nan(x, 1))}, ("f:", "finite", "component 1", "t = 0.2")),
        (
            {"sde": FunctionSDE(drift, lambda t, x: with_nan(x, 1))},
            ("g:", "finite", "component 1", "t = 0.2"),
        ),
        (
            {"sde": FunctionSDE(drift, lambda t, x: torch.diag_embed(with_nan(x, 1)), "general")},
            ("g:", "finite", "component 1", "t = 0.2"),
        ),
    ],
)
def test_bad_input_is_refused(changes, fragments):
    arguments = {"sde": DIAGONAL, "x0": X0, "grid": GRID, "noise": NOISE} | changes
    with refuses(ValueError, *fragments):
        solve(arguments.pop("sde"), arguments.pop("x0"), arguments.pop("grid"), **arguments)


def test_bad_input_is_refused_before_any_step():
    calls = []

    def counting(t: Tensor, x: Tensor) -> Tensor:
        calls.append(len(x))
        return x

    with refuses(ValueError, "noise", "2 channels", "got 1"):
        solve(FunctionSDE(counting), X0, GRID, noise=NOISE[..., :1])
    assert NOISE.shape[1] not in calls  # states are held against the coefficient, and no path


def test_streams_with_too_many_channels_are_refused():
    (noise,) = MonteCarlo(64, 0).draw(range(8), 3, GRID, X0)
    with refuses(ValueError, "noise", "2 channels", "3"):
        solve(DIAGONAL, X0, GRID, noise=noise)


@pytest.mark.parametrize(
    ("noise", "fragments"),
    [
        (BrownianPath(0, 6, 2, 0.5, 1.5).at(2), ("noise", "8 steps", "got 4")),
        (BrownianPath(0, 6, 2, 0.5, 1.5).at(3).coarsen(4), ("noise", "8 steps", "got 2")),
        (BrownianPath(0, 6, 2, 0.0, 2.0).at(3), ("noise", "from 0.5 to 1.5", "got one from 0 to 2")),
        (BrownianPath(0, 6, 3, 0.5, 1.5).at(3, finest=4), ("noise", "2 channels", "got 3")),
    ],
)
def test_paths_of_other_grids_are_refused(noise, fragments):
    with refuses(ValueError, *fragments):
        solve(DIAGONAL, X0, TimeGrid(0.5, 1.5, 8), noise=noise)


def test_sequential_steps_need_stages():
    with refuses(TypeError, "method", "euler-sequential", "stages", "FunctionSDE", "Use", "euler"):
        solve(DIAGONAL, X0, GRID, method="euler-sequential", noise=NOISE)


def test_unknown_noise_types_are_refused():
    with refuses(ValueError, "noise_type", "diagonal", "general", "'colored'"):
        FunctionSDE(noise_type="colored")


class Renamed(FunctionSDE):
    def __init__(self, **attributes) -> None:
        super().__init__()
        self.__dict__ |= attributes


@pytest.mark.parametrize("name", ["base", "error"])
def test_a_perturbed_system_checks_its_parts(name):
    def family(part):
        return PerturbedSDE(**{"base": DIAGONAL, "error": DIAGONAL, name: part})

    with refuses(TypeError, name, "f(t, x), g(t, x), noise_type and sde_type", "float", "lacks f, g"):
        family(0.1)
    with refuses(ValueError, f"{name}.noise_type", "diagonal", "'colored'"):
        family(Renamed(noise_type="colored"))
    with refuses(ValueError, "error.sde_type: expected", "as the base has, got", "a family has one calculus"):
        family(FunctionSDE(lambda t, x: x, lambda t, x: x, sde_type="stratonovich"))


def test_non_finite_errors_are_named_through_jets_too():
    bad = FunctionSDE(drift, lambda t, x: with_nan(x, 1))
    with refuses(ValueError, "g:", "finite", "component 1", "t = 0.2"):
        fundamental_matrix(bad, X0, GRID, noise=NOISE)


def blows_up(t: Tensor, x: Tensor) -> Tensor:
    """Infinite in component 1 from t = 0.65 on, on the paths whose first coordinate is positive."""
    late = (t > 0.65) & (x[:, :1] > 0)
    return torch.cat([torch.zeros_like(x[:, :1]), torch.where(late, torch.inf, 0.0).to(x)], -1)


def test_non_finite_states_are_located():
    starts = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [2.0, 0.0]], dtype=F64)
    with pytest.raises(NonFiniteState) as caught:
        solve(FunctionSDE(blows_up), starts, GRID, noise=torch.zeros(10, 3, 2, dtype=F64))
    # The step from 0.7 is the first that sees the infinity; its end is at 0.8.
    error = caught.value
    assert (error.time, error.component, error.paths, error.of) == (pytest.approx(0.8), 1, 2, 3)
    assert "component 1" in str(error) and "t = 0.8" in str(error) and "2 of 3 paths" in str(error)


def test_a_non_finite_state_behaves_like_any_exception():
    """It passes through a generator's context manager, and through pickle as from another process."""

    @contextlib.contextmanager
    def context():
        yield

    error = NonFiniteState(0.5, 1, 2, 3)
    with pytest.raises(NonFiniteState), context():
        raise error
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)


def test_compiled_modules_are_unwrapped_for_jets():
    net = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2)).double()
    error = FunctionSDE(lambda t, x: x, lambda t, x: torch.ones_like(x))
    grid, noise = TimeGrid(0.0, 1.0, 4), 0.5 * torch.randn(4, 3, 2, dtype=torch.float64)
    space = JetSpace(1, 2)
    found = []
    for module in (net, torch.compile(net)):
        base = FunctionSDE(lambda t, x, module=module: module(x), lambda t, x: 0.1 * x)
        with torch.no_grad():
            sde = PerturbedSDE(base, error).at(Parameter(space, 0))
            found.append(solve(sde, torch.zeros(2, dtype=torch.float64), grid, noise=noise))
    assert torch.equal(found[0].coefficients, found[1].coefficients)


def test_what_save_writes_into_its_states_stays_out_of_the_walk():
    sde, x0 = FunctionSDE(lambda t, x: -x, lambda t, x: 0.1 + 0 * x), torch.ones(3, 1, dtype=F64)
    grid, noise = TimeGrid(0.0, 1.0, 8), torch.zeros(8, 3, 1, dtype=F64)
    doubled = solve(sde, x0, grid, noise=noise, save=lambda t, x: x.mul_(2))
    torch.testing.assert_close(doubled, 2 * solve(sde, x0, grid, noise=noise, save="path"))
    assert torch.equal(x0, torch.ones_like(x0))


def test_what_save_returns_has_one_shape():
    with refuses(ValueError, "save: expected a tensor of one shape at every time, got (3, 1) and (1,)"):
        solve(
            FunctionSDE(lambda t, x: -x, lambda t, x: 0.1 + 0 * x),
            [1.0],
            TimeGrid(0.0, 1.0, 8),
            noise=torch.zeros(8, 3, 1),
            save=lambda t, x: x if float(t) < 0.5 else x[0],
        )
