"""A system of a user's own: verified where it is right, refused or refuted where it is not."""

from __future__ import annotations

import dataclasses
import gc
import json
import subprocess
import sys
import warnings
import weakref
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

import sdewm
import sdewm.verdicts.judge
from benchmarks.users.mistakes import MISTAKES
from sdewm import FunctionSDE, PerturbedSDE, SummedLoss, System, TimeGrid, check_sde, verify
from sdewm.cli import main
from sdewm.jets import Jet, Parameter
from sdewm.verification.system_report import ALL_OF_IT
from sdewm.verification.verify import CLAIMS

F64 = torch.float64
GRID = TimeGrid(0.0, 1.0, 32)
USERS = ("general_noise", "torchsde_module", "lorenz", "heston", "gru_world_model", "rssm")


def small(loss=lambda x: (x**2).sum(-1), **kwargs) -> System:
    base = FunctionSDE(f=lambda t, x: torch.sin(x), g=lambda t, x: 0.3 + 0.1 * torch.cos(x))
    error = FunctionSDE(f=lambda t, x: torch.cos(x) * x, g=lambda t, x: torch.tanh(x))
    return System(PerturbedSDE(base, error), loss, torch.tensor([0.8], dtype=F64), TimeGrid(0.0, 1.0, 32), **kwargs)


# -- six systems that the project does not know


@pytest.mark.parametrize("name", USERS)
def test_nothing_is_refuted_on_a_users_system_that_is_right(name):
    system = import_module(f"benchmarks.users.{name}").system()
    report = verify(system, ["expansion", "sensitivities", "divergence"], precision=0.05)
    assert report.refuted == []
    assert report.ok, str(report)
    assert {v.claim for v in report.verdicts if v.status == "verified"} >= {"expansion", "sensitivities", "divergence"}


# -- mistakes


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: m.__name__)
def test_a_planted_mistake_is_refused_by_name(mistake):
    system = mistake()
    with pytest.raises(ValueError, match=r"^(loss|error\.f|base\.noise_type): "):
        check_sde(system)
    with pytest.raises(ValueError, match=r"^(loss|error\.f|base\.noise_type): "):
        verify(system)


def test_wrong_derivatives_of_the_error_are_refuted(monkeypatch):
    """2 ∂η y is dropped: the jets see the error's coefficients at the unperturbed state alone."""
    monkeypatch.setattr(Parameter, "lower", lambda self, x: x.value if isinstance(x, Jet) else x)
    report = verify(small(), ["expansion", "sensitivities"])
    refuted = {(v.claim, v.quantity, v.reading) for v in report.refuted}
    assert ("expansion", "coefficient of ε²", "jets") in refuted
    assert ("sensitivities", "∂²x", "jets, against differences in ε") in refuted
    assert not report.ok and report.verdict.startswith("system: refuted")


def test_a_kink_is_never_a_refutation():
    base = FunctionSDE(f=lambda t, x: torch.relu(x - 0.8) - 0.5 * torch.relu(0.8 - x), g=lambda t, x: 0.3 + 0 * x)
    error = FunctionSDE(f=lambda t, x: torch.cos(x), g=lambda t, x: torch.tanh(x))
    x0 = torch.tensor([0.8], dtype=F64)
    report = verify(
        System(PerturbedSDE(base, error), lambda x: (x**2).sum(-1), x0, TimeGrid(0.0, 1.0, 32)),
        ["expansion", "sensitivities", "assumptions"],
        precision=0.05,
        budget=0.0,
    )
    assert report.refuted == []
    assert any("relu" in text for text in report.warnings)


def test_a_series_that_ends_is_verified():
    """Additive error on a linear equation, square loss: no third coefficient, and no diffusion error."""
    base = FunctionSDE(f=lambda t, x: -x, g=lambda t, x: 0.5 + 0 * x)
    error = FunctionSDE(f=lambda t, x: torch.ones_like(x))
    x0 = torch.tensor([0.8], dtype=F64)
    report = verify(System(PerturbedSDE(base, error), lambda x: (x**2).sum(-1), x0, TimeGrid(0.0, 1.0, 32)))
    assert report.ok, str(report)


def of(f, g, error_f, error_g=None, loss=lambda x: (x**2).sum(-1), x0=0.8, grid=GRID) -> System:
    family = PerturbedSDE(FunctionSDE(f, g), FunctionSDE(error_f, error_g))
    return System(family, loss, torch.tensor([x0], dtype=F64), grid)


def sine(t, x):
    return torch.sin(x)


def noise(t, x):
    return torch.full_like(x, 0.3)


TWO = {"a": SummedLoss(lambda t, x: (x**2).sum(-1), [0.25, 1.0]), "b": lambda x: torch.cos(x).sum(-1)}


@pytest.mark.parametrize(
    "system",
    [
        of(sine, noise, lambda t, x: 1e-6 * torch.cos(x), lambda t, x: 1e-6 * torch.sin(x)),
        of(sine, noise, lambda t, x: 1e4 * torch.cos(x), lambda t, x: 1e4 * torch.sin(x)),
        of(sine, None, lambda t, x: torch.cos(x)),
        of(lambda t, x: -x, noise, lambda t, x: torch.ones_like(x), loss=lambda x: x[:, 0]),
        of(sine, noise, sine, sine, grid=TimeGrid(0.0, 1.0, 7)),
        of(lambda t, x: -50 * (x - torch.cos(t)), noise, sine, sine, grid=TimeGrid(0.0, 1.0, 64)),
        of(sine, noise, sine, sine, loss=lambda x: 1e6 + (x**2).sum(-1)),
        of(sine, noise, sine, sine, loss=TWO),
    ],
    ids=["tiny error", "huge error", "no noise", "linear", "odd steps", "stiff", "large loss", "two losses"],
)
def test_systems_that_are_right_are_verified(system):
    report = verify(system, ["expansion", "sensitivities", "fundamental matrix"], precision=0.02)
    assert report.ok, str(report)


def test_what_explodes_is_not_verified():
    report = verify(of(lambda t, x: x**3, lambda t, x: x**2, sine, sine))
    assert not report.ok and report.refuted == []
    assert "expansion" in report.verdict and "could not be sampled" in report.verdict
    assert any("not finite at t" in row.reason for row in report.left_out)


def test_a_mean_that_few_paths_carry_is_a_warning_and_no_row():
    system = of(lambda t, x: 0 * x, lambda t, x: 2.5 * x, sine, sine, loss=lambda x: x[:, 0] ** 4)
    report = verify(system, ["expansion", "divergence"], budget=0.0)
    assert report.refuted == [] and any("few paths carry" in text for text in report.warnings)
    assert [row.reason for row in report.left_out if row.claim == "divergence" and "carry the spread" in row.reason]


def test_nothing_is_verified_of_a_loss_that_no_path_reaches():
    report = verify(small(lambda x: torch.relu(x[:, 0] - 20.0)), "expansion", precision=0.1, budget=0.0)
    assert not report.ok and report.refuted == [] and report.verdicts == []
    assert "loss: all 256 paths give 0" in report.left_out[0].reason and "could not be sampled" in report.verdict


# -- what comes back


def test_a_report_says_first_what_it_found_and_is_the_same_for_a_seed(tmp_path):
    report = verify(small(name="sine"), precision=0.02, seed=3)
    assert str(report).startswith("sine: verified. ")
    assert report.ok and {row.claim for row in report.rows} >= set(CLAIMS)
    again = verify(small(name="sine"), precision=0.02, seed=3)
    assert [v.statistic for v in report.verdicts] == pytest.approx([v.statistic for v in again.verdicts], rel=1e-9)
    report.to_json(tmp_path / "report.json")
    written = json.loads((tmp_path / "report.json").read_text())
    assert set(written) == {"run", "environment", "records", "left out", "terms", "curves"}
    assert len(written["records"]) == len(report.verdicts) and written["curves"]
    assert written["run"]["seed"] == 3 and written["run"]["verdict"] == report.verdict


def a_model(weight: torch.Tensor) -> System:
    base = FunctionSDE(lambda t, x: torch.sin(weight * x), lambda t, x: 0.3 + 0.1 * torch.cos(x))
    error = FunctionSDE(lambda t, x: x, lambda t, x: torch.tanh(x))
    x0 = torch.tensor([0.8], dtype=F64)
    return System(PerturbedSDE(base, error), lambda x: (x**2).sum(-1), x0, TimeGrid(0.0, 1.0, 16))


def test_each_call_sees_the_weights_as_they_are():
    weight = torch.nn.Parameter(torch.tensor(1.0, dtype=F64))
    system = a_model(weight)
    options = {"precision": 0.1, "budget": 0.0}
    before = verify(system, **options)
    weight.data.fill_(-2.0)
    after, fresh = verify(system, **options), verify(a_model(weight.detach()), **options)
    assert after.series == fresh.series != before.series
    assert [v.statistic for v in after.verdicts] == [v.statistic for v in fresh.verdicts]
    assert after.terms == fresh.terms and after.curves == fresh.curves


def test_curves_are_never_of_other_weights_than_the_rows(tmp_path):
    weight = torch.nn.Parameter(torch.tensor(1.0, dtype=F64))
    drawn, late = (verify(a_model(weight), "expansion", precision=0.1, budget=0.0) for _ in range(2))
    curves = drawn.curves
    weight.data.fill_(-2.0)
    assert drawn.curves is curves  # of the weights as they were
    with pytest.raises(RuntimeError, match="curves: expected the system as it was verified"):
        late.to_json(tmp_path / "report.json")
    weight.data.fill_(1.0)
    assert late.curves == curves


def test_what_was_sampled_goes_with_the_report():
    system = a_model(torch.tensor(1.0, dtype=F64))
    report = verify(system, "expansion", precision=0.1, budget=0.0)
    assert system.found == {} and report.system is not system and report.system.found
    alive = weakref.ref(report.system)
    del report
    gc.collect()
    assert alive() is None


def test_finer_precision_takes_more_paths():
    coarse, fine = (verify(small(), "expansion", precision=p) for p in (0.1, 1e-3))
    assert max(v.paths for v in fine.verdicts) > max(v.paths for v in coarse.verdicts)
    assert fine.ok and max(v.margin / v.scale for v in fine.verdicts if v.reading == "jets") < 0.02


@pytest.mark.parametrize("sampler", ["mc", "antithetic"])
def test_other_samplers(sampler):
    assert verify(small(), ["expansion"], precision=0.05, sampler=sampler).refuted == []


def test_a_method_with_areas():
    """Two noises that do not commute, by Milstein's scheme."""

    def g(t, x):
        return torch.stack([0.3 * torch.sin(x.flip(-1)), 0.2 + 0.2 * torch.cos(x)], -1)

    base = FunctionSDE(lambda t, x: -x, g, "general")
    error = FunctionSDE(lambda t, x: torch.cos(x), lambda t, x: 0.3 * g(t, x.flip(-1)), "general")
    system = System(
        PerturbedSDE(base, error),
        lambda x: (x**2).sum(-1),
        torch.tensor([0.8, -0.3], dtype=F64),
        TimeGrid(0.0, 1.0, 8),
        method="milstein",
    )
    report = verify(system, ["expansion", "sensitivities"], precision=0.05, budget=0.0)
    assert report.refuted == [] and any(v.status == "verified" for v in report.verdicts)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"claims": ["theorem"]}, "claims"),
        ({"claims": []}, "claims: .* got none"),
        ({"precision": 0.0}, "precision"),
        ({"sampler": "sobol"}, "sampler"),
        ({"seed": -1}, "seed"),
        ({"budget": -1.0}, "budget"),
    ],
)
def test_bad_arguments_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        verify(small(), **change)


def test_what_is_no_system_is_named():
    with pytest.raises(TypeError, match="system: expected a System"):
        verify(small().family)
    with pytest.raises(TypeError, match="family: expected a PerturbedSDE"):
        System(small().family.base, lambda x: x.sum(-1), torch.zeros(1), TimeGrid(0.0, 1.0, 4))


@pytest.mark.parametrize("claims", [True, 1.0, object(), int, torch.zeros(()), np.zeros((2, 2))])
def test_what_is_no_row_of_claims_is_named(claims):
    with pytest.raises(TypeError, match="claims: expected one or more of 'expansion'"):
        verify(small(), claims)


@pytest.mark.parametrize("name", ["continuous", "name", "method", "formula_factor", "third_factor", "loss"])
@pytest.mark.parametrize("value", [np.zeros(2), torch.zeros(2), {}, {1: lambda x: x.sum(-1)}, 1j])
def test_what_a_system_cannot_be_is_named_when_it_is_made(name, value):
    """An array for ``continuous`` or ``method`` was compared with a text, and numpy said that it is ambiguous."""
    with pytest.raises((ValueError, TypeError), match=f"^{name}: "):
        dataclasses.replace(small(), **{name: value})


def test_systems_are_told_apart_by_identity():
    one, other = small(), small()
    assert one != other and len({one, other, one}) == 2


def test_the_function_and_the_package():
    assert callable(sdewm.verify) and sdewm.verdicts.judge.Verdict


# -- conformity


def test_check_sde_of_an_sde_and_what_it_notes():
    swapped = FunctionSDE(lambda t, x: -x, lambda t, x: 0.5 + 0.1 * x.flip(-1).cos())
    found = check_sde(swapped, torch.tensor([0.3, 0.5], dtype=F64), TimeGrid(0.0, 1.0, 8))
    assert "diagonal" in found.notes[0] and "g[1] depends on x[0]" in found.notes[0]
    kinked = FunctionSDE(lambda t, x: torch.relu(x))
    assert "relu" in check_sde(kinked, torch.ones(2, dtype=F64), TimeGrid(0.0, 1.0, 8)).notes[0]


def test_check_sde_passes_code_that_switches_gradients_off():
    @torch.no_grad()
    def drift(t, x):
        return torch.sin(x)

    assert check_sde(FunctionSDE(drift), torch.ones(2, dtype=F64), TimeGrid(0.0, 1.0, 8)).notes == ()


def in_units(state: float = 1.0, loss: float = 1.0, error: float = 1.0) -> System:
    """The same system in other units of its state, its loss and ε."""
    base = FunctionSDE(
        lambda t, x: state * torch.sin(x / state), lambda t, x: state * (0.3 + 0.1 * torch.cos(x / state))
    )
    wrong = FunctionSDE(lambda t, x: error * x, lambda t, x: error * state * torch.tanh(x / state))
    x0 = torch.tensor([0.8 * state], dtype=F64)
    return System(PerturbedSDE(base, wrong), lambda x: loss * ((x / state) ** 2).sum(-1), x0, TimeGrid(0.0, 1.0, 16))


@pytest.mark.parametrize(
    "units",
    [{"state": 2.0**-40}, {"state": 2.0**-300}, {"state": 2.0**40}, {"loss": 2.0**-900}, {"loss": 2.0**900},
     {"error": 2.0**-60}, {"error": 2.0**60}],
    ids=str,
)  # fmt: skip
def test_in_other_units_a_system_has_the_same_verdicts(units):
    claims = ["expansion", "sensitivities", "fundamental matrix", "divergence"]
    one, other = (verify(in_units(**u), claims, precision=0.1, budget=0.0) for u in ({}, units))
    assert other.verdict == one.verdict and one.ok
    assert [(v.key, v.status) for v in other.verdicts] == [(v.key, v.status) for v in one.verdicts]
    assert [row.key for row in other.left_out] == [row.key for row in one.left_out]


SCALED = {
    "sine": lambda x, s: s * torch.sin(x / s),
    "sigmoid": lambda x, s: s * torch.sigmoid(4 * (x - s) / s),
    "saturating": lambda x, s: x / (1 + x / s),
    "double well": lambda x, s: -x * (x / s - 1) * (x / s + 1),
    "entropy": lambda x, s: -x * torch.log(x / s),
}


def beside(large: float, small: float, drift, **kwargs) -> System:
    """A second state of another size than the first, each with a noise of its own size."""
    base = FunctionSDE(lambda t, x: torch.stack([-x[:, 0], drift(x[:, 1], small)], 1), lambda t, x: 0.1 * x)
    family = PerturbedSDE(base, FunctionSDE(lambda t, x: x))
    x0 = torch.tensor([large, small], **{"dtype": F64, **kwargs})
    return System(family, lambda x: ((x / x0) ** 2).sum(-1), x0, TimeGrid(0.0, 1.0, 16))


@pytest.mark.parametrize("drift", SCALED)
@pytest.mark.parametrize(
    ("large", "small"), [(1.0, 1.0), (1.0, 1e-4), (1.0, 1e-12), (1e5, 1e-2), (1e30, 1e-30), (1e-100, 1e-100)]
)
def test_whatever_the_units_of_states_right_derivatives_pass_and_detached_ones_are_refused(drift, large, small):
    function = SCALED[drift]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert check_sde(beside(large, small, function)).notes == ()
    with pytest.raises(ValueError, match=r"base\.f: expected the derivative of its values"):
        check_sde(beside(large, small, lambda x, s: function(x.detach(), s)))


@pytest.mark.parametrize("small", [1.0, 1e-2])
def test_derivatives_in_single_precision(small):
    for function in SCALED.values():
        check_sde(beside(1e5, small, function, dtype=torch.float32))
        with pytest.raises(ValueError, match="expected the derivative"):
            check_sde(beside(1e5, small, lambda x, s, f=function: f(x.detach(), s), dtype=torch.float32))


def test_check_sde_asks_for_what_it_needs():
    with pytest.raises(TypeError, match="x0, grid"):
        check_sde(FunctionSDE(lambda t, x: -x))


def test_the_readmes_example_runs(tmp_path, monkeypatch, capsys):
    section = (Path(sdewm.__file__).parent.parent / "README.md").read_text().split("## Your own system")[1]
    monkeypatch.chdir(tmp_path)
    exec(section.split("```python")[1].split("```")[0], {})
    assert capsys.readouterr().out.startswith("system: verified.")
    assert (tmp_path / "report.json").exists()


# -- the command


def test_the_command(tmp_path, capsys):
    path = tmp_path / "report.json"
    command = ["verify", f"{__name__}:small", "--claims", "divergence", "--precision", "0.05"]
    main([*command, "--json", str(path), "--runs", str(tmp_path / "runs")])
    assert capsys.readouterr().out.startswith("system: verified.")
    assert json.loads(path.read_text())["run"]["claims"] == ["divergence"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([f"{__name__}:nothing"], "nothing"),
        (["no_such_module:system"], "no_such_module"),
        ([__name__], "MODULE:OBJECT"),
        ([f"{__name__}:USERS"], "expected a System"),
        (["benchmarks.users.mistakes:mixing_loss"], "loss: expected one row per path"),
    ],
)
def test_the_command_says_what_to_change(argv, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["verify", *argv])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_the_command_ends_with_1_where_a_row_is_open(monkeypatch, tmp_path):
    monkeypatch.setattr(Parameter, "lower", lambda self, x: x.value if isinstance(x, Jet) else x)
    with pytest.raises(SystemExit) as stopped:
        main(["verify", f"{__name__}:small", "--claims", "sensitivities", "--runs", str(tmp_path)])
    assert stopped.value.code == 1


def test_the_commands_help_teaches():
    done = subprocess.run([sys.executable, "-m", "sdewm", "verify", "--help"], capture_output=True, text=True)
    assert "my_model:system" in done.stdout and "exit status" in done.stdout and "weak order" in done.stdout


class Counting(torch.nn.Module):
    """Counts its calls in a buffer, as users of other solvers do; torch's derivatives of functions refuse that."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 2).double()
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))

    def forward(self, t: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return torch.tanh(self.layer(x)) - x


def test_a_claim_that_cannot_do_with_a_system_costs_no_other():
    torch.manual_seed(0)
    base = FunctionSDE(Counting(), lambda t, x: 0.3 + 0 * x)
    family = PerturbedSDE(base, FunctionSDE(lambda t, x: x, lambda t, x: x))
    x0 = torch.ones(2, dtype=torch.float64)
    system = System(family, lambda x: x.sum(-1), x0, TimeGrid(0.0, 1.0, 8))
    report = verify(system, ["strong order", "sensitivities"], precision=0.1)
    assert [v.claim for v in report.verdicts] and not report.ok
    [left_out] = [row for row in report.left_out if row.claim == "sensitivities"]
    assert left_out.quantity == ALL_OF_IT and "in-place" in left_out.reason
    assert "sensitivities could not be sampled" in report.verdict


def test_steps_that_forget_where_they_came_from_are_named():
    """On the grid of two steps, with which the bias is measured, 1 + Δt f′ = 0: no such matrix has an inverse."""
    base = FunctionSDE(lambda t, x: -2 * x, lambda t, x: 0.5 + 0 * x)
    family = PerturbedSDE(base, FunctionSDE(lambda t, x: x, lambda t, x: 0.1 * x))
    system = System(family, lambda x: (x**2).sum(-1), torch.ones(1, dtype=torch.float64), TimeGrid(0.0, 1.0, 8))
    report = verify(system, "sensitivities", precision=0.1)
    [left_out] = report.left_out
    assert left_out.quantity == ALL_OF_IT
    assert left_out.reason.startswith("grid: expected steps whose fundamental matrices can be inverted, and of 2 steps")
