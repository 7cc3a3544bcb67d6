"""Numbers, grids, samplers and losses: what users write is accepted properly, or refused by name."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from support import F64, normal_increments, refuses

import sdewm
from benchmarks.fuzz import GOOD, cases, judge
from sdewm import (
    AntitheticMonteCarlo,
    BlockSizes,
    BrownianPath,
    BrownianSampler,
    Estimate,
    FunctionSDE,
    LatentRollout,
    LatentSDE,
    LocalMaximizer,
    MonteCarlo,
    NonFiniteLoss,
    PerturbedSDE,
    QuasiMonteCarlo,
    RecordedObservation,
    SensitivitySDE,
    SlopeNetwork,
    SummedLoss,
    TimeGrid,
    expand,
    fundamental_matrix,
    solve,
    taylor_test,
    to_ito,
)
from sdewm.approximation import (
    CNN,
    Convolution,
    DiskMeasure,
    IntervalMeasure,
    MoserMap,
    QuantileMap,
    ridge_network,
)
from sdewm.estimate.samples import sample
from sdewm.expansion import taylor_tests
from sdewm.noise import StoredIncrements
from sdewm.sensitivity import (
    ShiftedStart,
    commutator_term,
    commuting_flow,
    flow_exponent,
    jacobian,
    second_derivative,
)
from sdewm.solvers import convergence, noise_structure, walk
from sdewm.solvers.structure import NoiseStructure
from sdewm.testing import SmoothLoss, SmoothSDE
from sdewm.worldmodel import Windows, preset, recorded_actions, write_gif

SDE = FunctionSDE(lambda t, x: -x, lambda t, x: 0.3 + 0 * x)
FAMILY = PerturbedSDE(SDE, SDE)
GRID = TimeGrid(0.0, 1.0, 4)
X0 = torch.tensor([0.5], dtype=F64)


def total(x: torch.Tensor) -> torch.Tensor:
    return x.sum(-1)


def expanded(**changes):
    return expand(**{"family": FAMILY, "loss": total, "x0": X0, "grid": GRID, "paths": 64} | changes)


def taylor(**changes):
    return taylor_test(**{"family": FAMILY, "loss": total, "x0": X0, "grid": GRID, "paths": 64} | changes)


def measured(**changes):
    usual = {"sde": SDE, "x0": X0, "grid": (0.0, 1.0), "method": "euler", "levels": (1, 2, 3), "paths": 256}
    return convergence(**usual | changes)


NOT_WHOLE = [100.5, "7", True, None, math.nan, 64.0, [64], 1j, torch.tensor(True), np.float64(64)]


@pytest.mark.parametrize("value", NOT_WHOLE, ids=repr)
@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("paths", lambda v: MonteCarlo(v, 0)),
        ("seed", lambda v: MonteCarlo(64, v)),
        ("paths", lambda v: AntitheticMonteCarlo(v, 0)),
        ("block", lambda v: MonteCarlo(64, 0, v)),
        ("paths", lambda v: QuasiMonteCarlo(v, 0)),
        ("seed", lambda v: QuasiMonteCarlo(64, v)),
        ("replicates", lambda v: QuasiMonteCarlo(64, 0, replicates=v)),
        ("block", lambda v: QuasiMonteCarlo(64, 0, block=v)),
        ("paths", lambda v: BrownianSampler(v, 0)),
        ("seed", lambda v: BrownianSampler(64, v)),
        ("block", lambda v: BrownianSampler(64, 0, block=v)),
        ("paths", lambda v: BrownianPath(0, v, 1)),
        ("seed", lambda v: BrownianPath(v, 1, 1)),
        ("channels", lambda v: BrownianPath(0, 1, v)),
        ("level", lambda v: BrownianPath(0, 1, 1).at(v)),
        ("steps", lambda v: TimeGrid(0.0, 1.0, v)),
        ("factor", lambda v: GRID.coarsen(v)),
        ("paths", lambda v: expanded(paths=v)),
        ("seed", lambda v: expanded(seed=v)),
        ("paths", lambda v: taylor(paths=v)),
        ("seed", lambda v: measured(seed=v)),
        ("refine", lambda v: measured(refine=v)),
        ("size", lambda v: SlopeNetwork(v)),
        ("iterations", lambda v: LocalMaximizer(total, [0.0], iterations=v)),
    ],
)
def test_whole_numbers_are_whole(name, call, value):
    with refuses(ValueError, f"{name}: expected an integer"):
        call(value)


def test_whole_numbers_of_numpy_and_torch_are_taken():
    for number in (64, np.int64(64), np.uint8(64), np.array(64), torch.tensor(64)):
        assert MonteCarlo(number, number).paths == MonteCarlo(64, 64).paths
        assert TimeGrid(0, np.float32(1), number) == TimeGrid(0.0, 1.0, 64)
    assert type(TimeGrid(0, 1, np.int64(4)).t0) is float
    assert BrownianPath(np.int64(1), 2, 1).at(np.int64(2)).steps == 4


@pytest.mark.parametrize("value", [-1, 2**70, 0], ids=repr)
def test_whole_numbers_have_bounds(value):
    with refuses(ValueError, "paths: expected", str(value)):
        expanded(paths=value)
    with refuses(ValueError, "paths: expected", str(value)):
        expanded(paths=value, sampler="mc")
    if value < 0:
        with refuses(ValueError, "seed: expected an integer of at least 0, got -1"):
            expanded(seed=value)
    else:
        assert expanded(seed=value).first.seed == value


NOT_BETWEEN = [2.0, 0.0, 1.0, -0.5, "0.9", True, None, math.nan]


@pytest.mark.parametrize("value", NOT_BETWEEN, ids=repr)
def test_confidences_lie_between_0_and_1(value):
    found = measured()
    for call in (
        Estimate(1.0, 0.1, 64, 7).interval,
        Estimate(1.0, 0.1, 64, 7).half_width,
        lambda v: taylor(confidence=v),
        lambda v: measured(confidence=v),
        found.interval,
        next(iter(taylor().rates.values())).interval,
    ):
        with refuses(ValueError, "confidence: expected a number between 0 and 1"):
            call(value)


@pytest.mark.parametrize(
    ("call", "error", "fragments"),
    [
        (lambda: FAMILY.at(math.nan), ValueError, ("eps: expected a finite number", "nan")),
        (lambda: FAMILY.at("0.1"), ValueError, ("eps: expected a finite number", "'0.1'")),
        (lambda: FAMILY.at(True), ValueError, ("eps: expected a finite number", "True")),
        (lambda: FAMILY.at(0.1, torch.ones(2)), ValueError, ("eps_drift: expected a finite number", "(2,)")),
        (lambda: FAMILY.at(torch.tensor(math.inf)), ValueError, ("eps: expected finite",)),
        (lambda: TimeGrid("0", 1.0, 4), ValueError, ("t0: expected a finite number", "'0'")),
        (lambda: TimeGrid(0.0, True, 4), ValueError, ("t1: expected a finite number", "True")),
        (lambda: expanded(grid=(0.0, 1.0, 4)), TypeError, ("grid: expected a TimeGrid(t0, t1, steps)", "tuple")),
        (lambda: solve(SDE, X0, 4, noise=torch.zeros(4, 2, 1)), TypeError, ("grid: expected a TimeGrid", "4 (int)")),
        (lambda: solve(FAMILY, X0, GRID, noise=torch.zeros(4, 2, 1)), TypeError, ("sde:", "PerturbedSDE", ".at(eps)")),
        (lambda: solve(3, X0, GRID, noise=torch.zeros(4, 2, 1)), TypeError, ("sde:", "int lacks f, g")),
        (lambda: solve(SDE, X0, GRID, noise=[1, 2]), ValueError, ("values:", "(steps, paths, channels)", "(2,)")),
        (lambda: solve(SDE, X0, GRID, noise=torch.zeros(4, 2, 1) * math.nan), ValueError, ("noise:", "finite")),
        (lambda: solve(SDE, X0, GRID, noise=torch.zeros(4, 2, 1), method=3), TypeError, ("method:", "Stepper")),
        (lambda: solve(SDE, 0.5, GRID, noise=torch.zeros(4, 2, 1)), ValueError, ("x0:", "(n,)", "()", "[x0]")),
        (lambda: solve(SDE, ["a"], GRID, noise=torch.zeros(4, 2, 1)), ValueError, ("x0:", "floating-point")),
        (lambda: solve(SDE, [], GRID, noise=torch.zeros(4, 2, 1)), ValueError, ("x0:", "(n,)", "(0,)")),
        (lambda: solve(SDE, [[1], [2, 3]], GRID, noise=torch.zeros(4, 2, 1)), ValueError, ("x0:", "array")),
        (lambda: expanded(order=True), ValueError, ("order: expected 2 or 3", "True")),
        (lambda: expanded(order=2.0), ValueError, ("order: expected 2 or 3", "2.0")),
        (lambda: expanded(grids=1.5), ValueError, ("grids: expected an integer", "1.5")),
        (lambda: expanded(x0=torch.tensor([True])), ValueError, ("x0: expected floating-point numbers", "bool")),
        (lambda: expanded(x0=torch.tensor([1j])), ValueError, ("x0: expected floating-point numbers", "complex")),
        (lambda: NoiseStructure.assume("white", 2), ValueError, ("kind: expected one of", "'white'")),
        (lambda: NoiseStructure.assume("scalar", 2), ValueError, ("channels: expected 1 for scalar", "2")),
        (lambda: expanded(sampler=3), TypeError, ("sampler:", "'antithetic' or a sampler object", "3 (int)")),
        (lambda: taylor(eps=0.1), ValueError, ("eps: expected a sequence", "0.1")),
        (lambda: taylor(eps=["a"] * 4), ValueError, ("eps[0]: expected a finite number",)),
        (lambda: measured(grid=(0, 1, 2)), ValueError, ("grid: expected a TimeGrid or (t0, t1)",)),
        (lambda: measured(levels=(1, 2, 2.5)), ValueError, ("levels[2]: expected an integer", "2.5")),
        (lambda: measured(refine=64), ValueError, ("levels, refine: expected at most 2^20", "2^67")),
        (lambda: SummedLoss(total, [math.nan]), ValueError, ("times[0]: expected a finite number",)),
        (lambda: SummedLoss(total, [1.0], [math.nan]), ValueError, ("weights[0]: expected a finite number",)),
        (lambda: SummedLoss(3, [1.0]), TypeError, ("fn: expected a function",)),
        (lambda: FunctionSDE(0.1), TypeError, ("f: expected a function of (t, x) or None", "0.1 (float)")),
        (lambda: to_ito(3), TypeError, ("sde: expected an SDE",)),
        (lambda: SensitivitySDE(SDE), TypeError, ("family: expected a PerturbedSDE",)),
        (lambda: LatentRollout(SDE), TypeError, ("model: expected a LatentSDE",)),
        (lambda: LocalMaximizer(3, [0.0]), TypeError, ("q: expected a function of (h, z, a)",)),
        (lambda: LocalMaximizer(total, [0.0], low="a"), ValueError, ("low: expected",)),
        (lambda: LocalMaximizer(total, [0.0], high=[1.0, 2.0]), ValueError, ("high: expected a number or shape (1,)",)),
        (lambda: RecordedObservation([0.0, 1.0], torch.zeros(())), ValueError, ("values:", "(T, *shape)")),
        (lambda: SlopeNetwork(2).layer(torch.eye(3), "tanh"), ValueError, ("linear_form: expected shape (rows, 2)",)),
    ],
)
def test_what_makes_no_sense_is_named(call, error, fragments):
    with refuses(error, *fragments):
        call()


def latent(**changes) -> LatentSDE:
    usual = {
        "q_enc": lambda h, s: h, "q_enc_bar": None, "f": lambda h, z, a: z, "p": lambda h: h, "p_bar": None,
        "q_dec": lambda h, z: z, "policy": lambda h, z: z, "observation": lambda t: t, "sizes": BlockSizes(1, 1, 1, 1),
    }  # fmt: skip
    return LatentSDE(**usual | changes)


@pytest.mark.parametrize(
    ("changes", "error", "fragments"),
    [
        ({"sizes": (1, 1, 1)}, ValueError, ("sizes: expected four",)),
        ({"sizes": (1, 1, 1, 0)}, ValueError, ("sizes[3]: expected an integer of at least 1, got 0",)),
        ({"sizes": 4}, ValueError, ("sizes: expected a sequence",)),
        ({"leak": "1"}, ValueError, ("leak: expected a finite number",)),
        ({"p": None}, TypeError, ("p: expected a function",)),
        ({"p_bar": 0.1}, TypeError, ("p_bar: expected a function", "None")),
        ({"observation": 3}, TypeError, ("observation: expected a function of t, or an SDE",)),
    ],
)
def test_latent_models_name_what_does_not_fit(changes, error, fragments):
    with refuses(error, *fragments):
        latent(**changes)


@pytest.mark.parametrize("name", ["q_enc", "f", "p", "q_dec"])
def test_latent_coefficients_that_return_no_tensor_are_named(name):
    with refuses(ValueError, f"{name}: expected a tensor of shape (paths, 1) or (1,)", "0.5 (float)"):
        solve(latent(**{name: lambda *a: 0.5}), [0.0] * 4, GRID, noise=torch.zeros(4, 2, 0))


def test_a_system_without_channels_is_solved():
    """A latent model without any noise is an ordinary differential equation."""
    found = solve(latent(), [1.0, 1.0, 0.0, 0.0], GRID, noise=torch.zeros(4, 2, 0))
    assert found.shape == (2, 4)
    result = expand(
        PerturbedSDE(latent(), latent().encoder_error(lambda h, s: h)), total, [1.0, 1.0, 0.0, 0.0], GRID, paths=64
    )
    assert result.first.stderr <= 1e-12 and result.first.mean > 0


# -- states that nothing is computed from


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("estimate", [expanded, taylor])
def test_states_in_half_precision_are_refused_by_name(estimate, dtype):
    with refuses(ValueError, "x0: expected float32 or float64", str(dtype)):
        estimate(x0=torch.ones(1, dtype=dtype))


def test_a_system_in_half_precision_is_refused_by_name():
    with refuses(ValueError, "x0: expected float32 or float64"):
        sdewm.System(PerturbedSDE(SDE, FunctionSDE(lambda t, x: x)), total, torch.ones(1).half(), GRID)


INFERRED = {
    "solve": lambda: solve(SDE, X0, GRID, paths=4),
    "expand": lambda: expanded(),
    "taylor_test": lambda: taylor(),
    "check_sde": lambda: sdewm.check_sde(SDE, X0, GRID),
    "fundamental_matrix": lambda: sdewm.fundamental_matrix(SDE, X0, GRID, paths=4),
}


@pytest.mark.parametrize("name", INFERRED)
def test_calls_in_inference_mode_are_refused_by_name(name):
    with torch.inference_mode(), refuses(ValueError, "x0: expected a call outside of torch.inference_mode()"):
        INFERRED[name]()


def test_a_state_that_comes_out_of_inference_mode_is_a_state():
    with torch.inference_mode():
        x0 = X0.clone()
    many = x0.expand(4, -1)
    torch.testing.assert_close(solve(SDE, x0, GRID, paths=4), solve(SDE, X0, GRID, paths=4))
    torch.testing.assert_close(solve(SDE, many, GRID, paths=4), solve(SDE, X0, GRID, paths=4))


QUIET = """
import torch
from sdewm import FunctionSDE, PerturbedSDE, TimeGrid, expand
base = FunctionSDE(lambda t, x: -x, lambda t, x: 0.3 * torch.sin(x))
family = PerturbedSDE(base, FunctionSDE(lambda t, x: x))
expand(family, lambda x: x.sum(-1), [1.0], TimeGrid(0.0, 1.0, 4), paths=64, method="milstein")
"""


def test_torchs_own_deprecations_do_not_reach_the_user():
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning", "-c", QUIET], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


# -- losses that leave the numbers


def root(x: torch.Tensor) -> torch.Tensor:
    """Undefined where the sum is negative: nowhere near x0 = 0.5, on some paths later."""
    return x.sum(-1).sqrt()


@pytest.mark.parametrize("estimate", [expanded, taylor])
def test_a_loss_that_leaves_the_numbers_on_some_paths_says_where_and_on_how_many(estimate):
    sampler = MonteCarlo(64, 0)
    (noise,) = sampler.draw(range(sampler.replicates), 1, GRID, X0)
    lost = int((solve(SDE, X0, GRID, noise=noise).sum(-1) < 0).sum())
    assert 0 < lost < sampler.paths
    with pytest.raises(NonFiniteLoss) as caught:
        estimate(loss=root, sampler=sampler)
    assert (caught.value.time, caught.value.order) == (1.0, 0)
    if estimate is expanded:
        assert (caught.value.paths, caught.value.of) == (lost, sampler.paths)
    assert "loss: is not finite at t = 1 on " in str(caught.value)


def test_a_derivative_that_leaves_the_numbers_is_told_from_the_loss():
    still = PerturbedSDE(FunctionSDE(), FunctionSDE(lambda t, x: 1 + 0 * x))
    with pytest.raises(NonFiniteLoss, match=r"derivative of order 1 that is not finite at t = 1 on \d+ of") as caught:
        expand(still, lambda x: x.square().sum(-1) ** 0.25, [0.0], GRID, paths=64)
    assert caught.value.order == 1


def test_nothing_that_is_not_finite_becomes_an_estimate():
    def evaluate(noise):
        values = torch.zeros(noise.paths, dtype=F64)
        values[3] = math.nan
        return {"quantity": values}

    with refuses(ArithmeticError, "values: expected finite numbers", "on 1 of", "'quantity'"):
        sample(evaluate, MonteCarlo(64, 0), 1, GRID, X0)


# -- whatever else users may write


def test_inputs_at_random_are_answered_rightly_or_refused_by_name():
    """A few of the inputs of ``python -m benchmarks.fuzz``, which makes ten thousand."""
    assert "SummedLoss" in sdewm.__all__
    faults = [(case.function, case.kind, *judged) for case in cases(250, 7) if (judged := judge(case))[0] not in GOOD]
    assert faults == []


# -- what x0 may be


@pytest.mark.parametrize(
    ("x0", "dtype"),
    [
        ([1, 2], F64),
        ((0.5, -1.0), F64),
        (np.array([0.5, -1.0]), F64),
        (np.array([1, 2]), F64),
        (np.array([0.5, -1.0], dtype=np.float32), torch.float32),
        (torch.tensor([1, 2]), F64),
        (torch.tensor([0.5, -1.0]), torch.float32),
        (torch.tensor([0.5, -1.0], dtype=F64, requires_grad=True), F64),
        ([np.float32(0.5), -1.0], F64),
    ],
)
def test_an_initial_state_may_be_what_numpy_and_torch_users_write(x0, dtype):
    """Floating-point arrays and tensors keep their dtype, everything else is float64; so is everything computed."""
    sde = FunctionSDE(lambda t, x: torch.sin(x) - t * x, lambda t, x: 0.3 + 0.2 * torch.cos(x + t))
    noise = normal_increments(GRID, 5, 2)
    found = solve(sde, x0, GRID, noise=noise)
    plain = torch.as_tensor(x0).detach().to(dtype)
    assert found.dtype == dtype
    assert torch.equal(found.detach(), solve(sde, plain, GRID, noise=noise.to(dtype)))
    assert torch.equal(solve(sde, x0, GRID, noise=noise.numpy()).detach(), found.detach())
    assert fundamental_matrix(sde, x0, GRID, noise=noise).dtype == dtype
    family = PerturbedSDE(sde, sde)
    one, other = (expand(family, lambda x: x.sum(-1), x, GRID, paths=64) for x in (x0, plain))
    assert one.second == other.second and math.isfinite(one.second.mean)


# -- the parts that own code is built of

NOISE = torch.zeros(4, 3, 1, dtype=F64)
WALK = {"sde": SDE, "x0": X0, "grid": GRID, "noise": NOISE}
PARTS = {
    "walk": (walk, WALK | {"method": "euler"}, ("sde", "x0", "grid", "noise", "method")),
    "commuting_flow": (commuting_flow, WALK, ("sde", "x0", "grid", "noise", "method")),
    "flow_exponent": (flow_exponent, WALK, ("sde", "x0", "grid", "noise", "method")),
    "commutator_term": (commutator_term, WALK, ("sde", "x0", "grid", "noise", "method")),
    "noise_structure": (noise_structure, {"sde": SDE, "x0": X0, "grid": GRID}, ("sde", "x0", "grid", "seed")),
    "ShiftedStart": (ShiftedStart, {"sde": SDE, "u": X0}, ("u",)),
    "jacobian": (jacobian, {"function": torch.tanh, "x": NOISE[0]}, ("function", "x")),
    "second_derivative": (
        second_derivative,
        {"function": torch.tanh, "x": NOISE[0], "u": NOISE[0], "v": NOISE[0]},
        ("function", "x", "u", "v"),
    ),
    "sample": (
        sample,
        {"evaluate": lambda noise: {"end": sum(noise)[:, 0]}, "sampler": MonteCarlo(64, 0), "channels": 1, "grid": GRID,
         "like": X0},
        ("evaluate", "sampler", "channels", "grid", "like"),
    ),
    "taylor_tests": (
        taylor_tests, {"family": FAMILY, "losses": {"sum": total}, "x0": X0, "grid": GRID, "paths": 64},
        ("family", "losses", "x0", "grid", "paths"),
    ),
    "StoredIncrements": (StoredIncrements, {"values": NOISE}, ("values", "weights")),
    "SmoothSDE": (
        SmoothSDE, {"noise_type": "general", "size": 2, "channels": 1, "seed": 0},
        ("noise_type", "size", "channels", "seed", "sde_type"),
    ),
    "SmoothLoss": (SmoothLoss, {"size": 2, "seed": 0}, ("size", "seed")),
    "QuantileMap": (
        QuantileMap, {"source": IntervalMeasure(), "target": IntervalMeasure()}, ("source", "target")
    ),
    "IntervalMeasure": (IntervalMeasure, {}, ("coefficients", "kink", "power")),
    "DiskMeasure": (DiskMeasure, {"weight": lambda x: 1 + 0 * x[:, 0]}, ("weight",)),
    "MoserMap": (
        MoserMap, dict.fromkeys(("source", "target"), DiskMeasure(lambda x: 1 + 0 * x[:, 0])),
        ("source", "target", "degree"),
    ),
    "Convolution": (Convolution, {"size": 3, "filter": [1.0, -1.0]}, ("size", "filter", "bias")),
    "CNN": (CNN, {"operators": [Convolution(3, [1.0])]}, ("operators", "readout")),
    "ridge_network": (
        ridge_network,
        {"directions": np.eye(2), "biases": np.zeros(2), "outer": np.eye(2), "offset": np.zeros(2)},
        ("directions", "biases", "outer", "offset"),
    ),
    "Windows": (Windows, {}, ("starts", "steps", "ahead")),
    "recorded_actions": (recorded_actions, {"actions": torch.zeros(3, 1)}, ("actions",)),
    "write_gif": (
        write_gif, {"file": "none.gif", "pictures": [np.zeros((4, 4, 3), np.uint8)]},
        ("pictures", "frames_per_second"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("part", PARTS)
def test_a_part_names_what_it_cannot_take(part):
    """Python's and torch's own words came out of each of them: it has no such attribute, or cannot be multiplied."""
    function, valid, names = PARTS[part]
    for name in names:
        for value in (True, 1j, object(), "no such"):
            with pytest.raises((ValueError, TypeError), match=rf"^{name}[\w.\[\]]*: "):
                function(**valid | {name: value})


def test_states_without_coordinates_and_readouts_in_float32_are_named():
    for function, further in ((jacobian, {}), (second_derivative, {"u": NOISE[0], "v": NOISE[0]})):
        with refuses(TypeError, "x: expected states (paths, n)", "(3, 0)"):
            function(torch.tanh, torch.zeros(3, 0, dtype=F64), **further)
    with refuses(ValueError, "readout: expected float64, as filters are, got torch.float32"):
        CNN([Convolution(3, [1.0])], torch.nn.Linear(3, 1))


def test_a_step_whose_constant_overflows_is_named():
    net = SlopeNetwork(1)
    with refuses(ValueError, "dt: expected a step whose constant is a finite number, got 1e+308"):
        net.step_lipschitz(torch.tensor([[10.0]], dtype=F64), 1e308)


def test_points_of_another_size_are_named():
    net = ridge_network(np.ones((2, 3)), np.zeros(2), np.eye(2), np.zeros(2))
    with refuses(ValueError, "x: expected shape (points, 3), got (1, 2)"):
        net(torch.ones(1, 2, dtype=F64))


def test_more_grids_than_can_be_counted_are_refused_at_once():
    with refuses(ValueError, "grids: expected", "4 steps"):
        expanded(grids=2**70)


def test_a_path_has_times_of_any_kind_of_number():
    """numpy cannot take its whole numbers from Python's that are beyond a machine's."""
    assert BrownianPath(1, 5, 2, np.int64(32), 2**70).whole().dt == float(2**70) - 32


def test_a_configuration_takes_no_number_for_another_kind():
    with refuses(ValueError, "channels: expected one of 1, 3, got True"):
        preset("debug", channels=True)
    for value in (np.zeros(2), [], {}):
        with refuses(ValueError, "observation: expected one of state, pixels"):
            preset("debug", observation=value)
        with refuses(ValueError, "preset: expected one of"):
            preset(value)


def test_a_function_of_increments_returns_a_value_for_each_path():
    for found in (None, {}, torch.zeros(64), {"end": None}, {"end": torch.zeros(3)}):
        with pytest.raises((ValueError, TypeError), match=r"^evaluate: expected"):
            sample(lambda noise, found=found: found, MonteCarlo(64, 0), 1, GRID, X0)
