"""Jacobian regularization: the estimator against exact norms, its weight in training, what is measured of models."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace

import pytest
import torch
from scipy import stats
from torch import nn

from sdewm.cli import main
from sdewm.worldmodel import robustness
from sdewm.worldmodel.checkpoint import load_checkpoint, save_checkpoint
from sdewm.worldmodel.jacobian import FLOOR, as_drift, jacobian
from sdewm.worldmodel.ladder import (
    Rung,
    model_name,
    over_seeds,
    paired,
    read_record,
    release_ladder,
    run_name,
    slopes,
    train_ladder,
)
from sdewm.worldmodel.robustness import Latent, mean_square_growth, rollout
from sdewm.worldmodel.walker import (
    CheckpointError,
    TrainConfig,
    WorldModel,
    exact_norms,
    jacobian_penalty,
    load_model,
    logarithmic_norm,
    train,
)
from tests.test_worldmodel import TINY, TINY_TRAIN, tiny_episode, tiny_model

FALSE_FAILURE = 1e-6  # of each statistical assertion here, whatever the seed


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def cell() -> tuple[nn.GRUCell, tuple[torch.Tensor, ...]]:
    """A recurrent cell as a function of (h, z, a), and one input of each."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        gru = nn.GRUCell(5, 4).double()
    return gru, (normal(1, 4, seed=1), normal(1, 3, seed=2), normal(1, 2, seed=3))


def apply(gru: nn.GRUCell):
    return lambda h, z, a: gru(torch.cat([z, a], -1), h)


def linear(matrix: torch.Tensor):
    return lambda x: x @ matrix.mT


# The estimator.


def projected(matrix: torch.Tensor, samples: int = 20_000) -> tuple[float, float]:
    """Deviation of the estimated from the exact ‖J‖_F², and its exact standard deviation.

    For v uniform on the sphere and M = JJᵀ, E(vᵀMv)² = (2 tr M² + (tr M)²) / (n (n + 2)).
    """
    n, gram = len(matrix), matrix @ matrix.T
    exact, second = float(gram.trace()), float((gram @ gram).trace())
    variance = n * (2 * second + exact**2) / (n + 2) - exact**2
    x = torch.zeros(samples, matrix.shape[1], dtype=torch.float64)
    found = 2 * float(jacobian_penalty(linear(matrix), (x,), (0,), generator(), "square"))
    return found - exact, math.sqrt(variance / samples)


@pytest.mark.parametrize("matrix", [normal(6, 4), normal(6, 1) @ normal(1, 4, seed=1)], ids=["full", "rank one"])
def test_square_is_unbiased(matrix):
    deviation, stderr = projected(matrix)
    assert abs(deviation) < stats.norm.isf(FALSE_FAILURE / 2) * stderr


def test_a_wrong_factor_would_be_seen(monkeypatch):
    """The factor of a standard normal v, 1, in place of the sphere's n."""
    honest = torch.Tensor.norm

    def off_the_sphere(v, **arguments):
        return honest(v, **arguments) * v.shape[-1] ** 0.5

    monkeypatch.setattr(torch.Tensor, "norm", off_the_sphere)
    deviation, stderr = projected(normal(6, 4))
    assert abs(deviation) > 100 * stderr


def test_norm_is_the_root_of_the_batch_mean():
    gru, inputs = cell()
    batch = tuple(x.expand(50, -1) + 0.1 * normal(50, x.shape[-1], seed=9) for x in inputs)
    square = jacobian_penalty(apply(gru), batch, (0, 1), generator(), "square")
    norm = jacobian_penalty(apply(gru), batch, (0, 1), generator())
    assert float(norm.detach()) == pytest.approx(math.sqrt(2 * float(square.detach())), rel=1e-10)


@pytest.mark.parametrize("form", ["norm", "square"])
def test_one_output_needs_no_luck(form):
    """With n = 1 the projection is exact: value and gradient equal those of the exact norm, by double backward."""
    net = nn.Sequential(nn.Linear(5, 7), nn.SiLU(), nn.Linear(7, 1)).double()
    x = normal(11, 5)
    penalty = jacobian_penalty(net, (x,), (0,), generator(), form)
    square = jacobian(net, (x,), (0,), create_graph=True).square().sum((-2, -1)).mean()
    exact = (square + FLOOR).sqrt() if form == "norm" else 0.5 * square
    torch.testing.assert_close(penalty, exact, rtol=1e-10, atol=0)
    parameters = [net[0].weight, net[0].bias, net[2].weight]
    for ours, theirs in zip(
        torch.autograd.grad(penalty, parameters), torch.autograd.grad(exact, parameters), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


def test_gradient_is_unbiased():
    """Against the double backward of the exact norm, for every weight of a cell: Student t over 400 projections."""
    gru, inputs = cell()
    weights = list(gru.parameters())
    exact = 0.5 * jacobian(apply(gru), inputs, (0, 1), create_graph=True).square().sum()
    expected = torch.cat([g.flatten() for g in torch.autograd.grad(exact, weights)])
    source = generator(5)

    def once() -> torch.Tensor:
        penalty = jacobian_penalty(apply(gru), inputs, (0, 1), source, "square")
        return torch.cat([g.flatten() for g in torch.autograd.grad(penalty, weights)])

    found = torch.stack([once() for _ in range(400)])
    t = (found.mean(0) - expected) / (found.std(0) / 20)
    t = t[found.std(0) > 1e-12]
    assert len(t) > 100
    assert float(t.abs().max()) < stats.t.isf(FALSE_FAILURE / len(t) / 2, 399)


def test_penalty_trains_the_function_alone():
    gru, (h, z, a) = cell()
    h.requires_grad_(True)
    jacobian_penalty(apply(gru), (h, z, a), (0,), generator()).backward()
    assert h.grad is None
    assert float(gru.weight_hh.grad.abs().max()) > 0


def test_gradient_is_finite_where_the_jacobian_vanishes():
    weight = torch.zeros(3, 2, dtype=torch.float64, requires_grad=True)
    jacobian_penalty(linear(weight), (normal(4, 2),), (0,), generator()).backward()
    assert bool(torch.isfinite(weight.grad).all())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"form": "cube"}, "form: expected 'norm' or 'square', got 'cube'"),
        ({"wrt": ()}, r"wrt: expected places among 1 inputs, got \(\)"),
        ({"wrt": (1,)}, "wrt: expected places among 1 inputs"),
        ({"function": lambda x: x.sum(-1)}, r"function: expected a value of shape \(B, n\), B = 4, got \(4,\)"),
    ],
)
def test_bad_input_is_one_clear_error(arguments, message):
    given = {"function": lambda x: x, "inputs": (normal(4, 2),), "wrt": (0,), "generator": generator()} | arguments
    with pytest.raises(ValueError, match=message):
        jacobian_penalty(**given)


# Exact norms.


def test_exact_norms_of_a_linear_function():
    matrix = torch.tensor([[0.0, 3.0], [0.0, 0.0]], dtype=torch.float64)
    norms = exact_norms(linear(matrix), (normal(5, 2),), (0,))
    expected = [3.0, 3.0, 1.5]  # μ₂ is that of the symmetric part; both eigenvalues are 0
    for norm, value in zip(norms, expected, strict=True):
        torch.testing.assert_close(norm, torch.full((5,), value, dtype=torch.float64), rtol=1e-12, atol=1e-12)
    assert bool(exact_norms(linear(normal(3, 2)), (normal(5, 2),), (0,)).logarithmic.isnan().all())


def test_logarithmic_norm_is_the_slope_of_the_norm_at_the_identity():
    matrix = normal(7, 4, 4)
    dt = 1e-6
    slope = (torch.linalg.matrix_norm(torch.eye(4, dtype=torch.float64) + dt * matrix, 2) - 1) / dt
    torch.testing.assert_close(logarithmic_norm(matrix), slope, rtol=0, atol=1e-4)


def test_drift_is_the_map_less_the_identity():
    gru, inputs = cell()
    in_map, in_drift = (jacobian(f, inputs, (0,)) for f in (apply(gru), as_drift(apply(gru))))
    torch.testing.assert_close(in_drift, in_map - torch.eye(4, dtype=torch.float64), rtol=0, atol=1e-14)


def test_inputs_together_are_columns_side_by_side():
    gru, inputs = cell()
    together = jacobian(apply(gru), inputs, (0, 1))
    torch.testing.assert_close(together, torch.cat([jacobian(apply(gru), inputs, (i,)) for i in (0, 1)], -1))


# Training.


def runs(folder, *configs: TrainConfig) -> list[WorldModel]:
    episodes, heldout = [tiny_episode(1), tiny_episode(2)], [tiny_episode(3)]
    return [train(folder / str(i), episodes, heldout, config, TINY) for i, config in enumerate(configs)]


def lines(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(("target", "wrt"), [("map", "h"), ("drift", "hz")])
def test_the_penalty_lowers_the_norm_it_is_of(tmp_path, target, wrt):
    config = replace(
        TINY_TRAIN, updates=15, learning_rate=3e-2, evaluate_every=15, jacobian_target=target, jacobian_wrt=wrt
    )
    models = runs(tmp_path, config, replace(config, jacobian_weight=30.0))
    places = {"h": (0,), "hz": (0, 1)}[wrt]
    x = (0.3 * normal(20, TINY.deter), normal(20, TINY.stoch, seed=1), normal(20, TINY.action_size, seed=2))

    def norm(model: WorldModel) -> float:
        f = model.double().requires_grad_(False).sequence
        return float(exact_norms(as_drift(f) if target == "drift" else f, x, places).frobenius.mean())

    plain, regularized = map(norm, models)
    assert regularized < 0.8 * plain


def test_runs_that_differ_in_the_weight_see_the_same_data_and_noise(tmp_path):
    runs(tmp_path, TINY_TRAIN, replace(TINY_TRAIN, jacobian_weight=1e-30))
    plain, regularized = lines(tmp_path / "0"), lines(tmp_path / "1")
    assert all("jacobian" in line for line in regularized if line["split"] == "train")
    dropped = ("jacobian", "seconds")
    assert plain == [{k: v for k, v in line.items() if k not in dropped} | {"seconds": p["seconds"]}
                     if "seconds" in p else {k: v for k, v in line.items() if k not in dropped}
                     for line, p in zip(regularized, plain, strict=True)]  # fmt: skip


def test_resuming_with_the_penalty_is_bitwise(tmp_path):
    config = replace(TINY_TRAIN, jacobian_weight=0.5)
    whole = runs(tmp_path / "whole", config)[0].state_dict()
    runs(tmp_path / "halves", replace(config, updates=3))
    halves = runs(tmp_path / "halves", config)[0].state_dict()
    assert all(torch.equal(whole[name], halves[name]) for name in whole)
    with pytest.raises(CheckpointError, match="jacobian_weight"):
        runs(tmp_path / "halves", replace(config, jacobian_weight=0.25))


def test_a_checkpoint_from_before_the_penalty_resumes(tmp_path):
    whole = runs(tmp_path / "whole", TINY_TRAIN)[0].state_dict()
    runs(tmp_path / "old", replace(TINY_TRAIN, updates=3))
    file = tmp_path / "old" / "0" / "checkpoint.safetensors"
    tensors, metadata = load_checkpoint(file)
    metadata["train"] = {k: v for k, v in metadata["train"].items() if not k.startswith("jacobian_")}
    save_checkpoint(file, tensors, metadata)
    resumed = runs(tmp_path / "old", TINY_TRAIN)[0].state_dict()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"jacobian_weight": -1.0}, "jacobian_weight: expected a finite number of at least 0, got -1.0"),
        ({"jacobian_target": "flow"}, "jacobian_target: expected one of 'map', 'drift', got 'flow'"),
        ({"jacobian_wrt": "a"}, "jacobian_wrt: expected one of 'h', 'z', 'hz', got 'a'"),
    ],
)
def test_bad_settings_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**wrong)


# What is measured of a model.


@pytest.fixture
def early_starts(monkeypatch):
    monkeypatch.setattr(robustness, "STARTS", (2, 5))


def test_rollout_is_the_models_own_step():
    model = tiny_model()
    start = Latent(0.3 * normal(6, TINY.deter), normal(6, TINY.stoch, seed=1))
    path = rollout(model, start, torch.zeros(3, 6, TINY.stoch, dtype=torch.float64))
    h, z = start
    for n in range(1, 4):
        h = model.sequence(h, z, model.policy(h, z))
        z = model.prior(h).mean
        torch.testing.assert_close(path.h[n], h)
        torch.testing.assert_close(path.z[n], z)


def test_mean_square_growth_is_the_largest_eigenvalue_of_the_mean_square():
    """Signs ±1 have the first two moments of the normal noise, and their mean is a finite sum."""
    in_h, in_z, p, p_bar = normal(4, 4), normal(4, 3, seed=1), normal(3, 4, seed=2), normal(3, 4, seed=3)
    signs = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=3)), dtype=torch.float64)
    moves = in_h + in_z @ (p + signs.unsqueeze(-1) * p_bar)
    expected = torch.linalg.eigvalsh((moves.mT @ moves).mean(0))[-1]
    torch.testing.assert_close(mean_square_growth(in_h, in_z, p, p_bar), expected, rtol=1e-12, atol=0)


def test_fundamental_matrix_is_the_derivative_of_the_rollout(early_starts):
    model, episodes = tiny_model(), [tiny_episode(4)]
    start = robustness.starting_states(model, episodes)
    found = robustness.jacobian_terms(model, start, torch.ones(TINY.stoch, dtype=torch.float64), generator(3))
    repeated = Latent(*(part.repeat_interleave(robustness.JACOBIAN_PATHS, 0) for part in start))
    noise = torch.randn(robustness.HORIZON, *repeated.z.shape, generator=generator(3), dtype=torch.float64)

    def final(h: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        path = rollout(model, Latent(h, z), noise)
        return torch.cat([path.h[-1], path.z[-1]], -1)

    phi = jacobian(final, tuple(repeated), (0, 1))
    assert found["final_phi"] == pytest.approx(float(phi.square().sum((-2, -1)).mean()), rel=1e-9)
    assert found["map_log_growth"] <= found["map_bound"] and found["map_excess"] <= 0
    assert 0 < found["bound_used"] < 1


def test_flow_growth_is_within_the_logarithmic_norm_and_that_within_the_norm(early_starts):
    model = tiny_model()
    start = robustness.starting_states(model, [tiny_episode(4)])
    found = robustness.flow_contraction(model, start, generator())
    assert found["flow_excess"] <= 1e-12
    assert found["flow_log_growth"] <= found["flow_bound"] <= found["flow_norm_bound"]


def test_without_the_symmetric_part_the_bound_on_the_flow_breaks(monkeypatch, early_starts):
    """The largest real part of the eigenvalues, in place of that of the symmetric part, bounds nothing."""
    spectral_abscissa = lambda matrix: torch.linalg.eigvals(matrix).real.amax(-1)  # noqa: E731
    monkeypatch.setattr(robustness, "logarithmic_norm", spectral_abscissa)
    model = tiny_model()
    start = robustness.starting_states(model, [tiny_episode(4)])
    assert robustness.flow_contraction(model, start, generator())["flow_excess"] > 1e-3


def test_bias_is_the_increase_for_a_small_error(monkeypatch, early_starts):
    model, episodes, spread = tiny_model(), [tiny_episode(4)], torch.ones(TINY.stoch, dtype=torch.float64)
    left = []
    for error in (0.02, 0.01):
        monkeypatch.setattr(robustness, "ERROR", error)
        found = robustness.drift_error_bias(model, episodes, spread, 0)
        left.append(abs(found["bias"] - found["increase"]))
        assert left[-1] < 0.01 * found["increase"]
    assert left[0] / left[1] == pytest.approx(8, rel=0.2)  # third order


# The ladder.


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


def test_ladder_trains_records_and_reads_back(tmp_path, early_starts, monkeypatch):
    episodes, heldout = [tiny_episode(1), tiny_episode(2)], [tiny_episode(3)]
    train_ladder(tmp_path, episodes, heldout, [0.5, 0.0], [0], TINY_TRAIN, TINY)
    written = release_ladder(tmp_path, heldout, tmp_path / "out")
    record = read_record(written[0])
    assert [(r.weight, r.seed) for r in record] == [(0.0, 0), (0.5, 0)]
    assert [path.name for path in written[2:]] == [f"{model_name(0.0, 0)}.safetensors"]
    first = [lines(tmp_path / run_name(w, 0))[0]["reconstruction"] for w in (0.0, 0.5)]
    assert first[0] == first[1]
    # What ships is what was measured, and what was measured is not measured again.
    model, metadata = load_model(written[2])
    assert metadata["heldout"] == "walker_walk"
    again = robustness.measure(model.double().requires_grad_(False), heldout)
    assert str(again) == str(record[0].measured)
    monkeypatch.setattr("sdewm.worldmodel.ladder.measure", None)
    release_ladder(tmp_path, heldout, tmp_path / "out")


def test_command_line_names_a_bad_weight(tmp_path, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["walker", "train", "--data", str(tmp_path), "--run", str(tmp_path), "--jacobian-weight", "-1"])
    assert "sdewm walker train:" in str(exit_.value)
