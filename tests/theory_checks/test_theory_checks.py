"""The checks as a user runs them, and every mutation of what they check turning a verified row into a refuted one."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from support import judge_all

import sdewm.verification.samples as samples_module
import sdewm.verification.system_samples as system_samples
from sdewm.expansion.variation_of_constants import CORRECTED
from sdewm.jets import Jet, Parameter
from sdewm.noise.grid import TimeGrid
from sdewm.systems.perturbed import PerturbedSDE
from sdewm.systems.sde import FunctionSDE
from sdewm.verdicts.judge import Comparison, Inequality, LeftOut
from sdewm.verdicts.words import failures, overall
from sdewm.verification.settings import Settings
from theory_checks import corollary_3_8, lemma_b7, prop_b5, theorem_3_7
from theory_checks.run import main, parse
from theory_checks.systems import SYSTEMS
from theory_checks.systems import system as system_of

QUICK = Settings(precision=1e-2)
DEFAULT = Settings()
CHECKS = (prop_b5, lemma_b7, theorem_3_7, corollary_3_8)
EXPANSION = [check.CLAIM.name for check in CHECKS]


@pytest.fixture(autouse=True)
def no_system_outlives_its_test():
    yield
    system_of.cache_clear()


def verdicts(system: str, settings: Settings):
    system_of.cache_clear()
    rows = [row for check in CHECKS for row in check.CLAIM.rows(system, settings)]
    return judge_all([row for row in rows if not isinstance(row, LeftOut)])


def statuses(found, form: str) -> set[str]:
    return {v.status for v in found if v.form == form}


# -- what is true is verified, and the printed formulas are refuted where they are wrong ----------------------------


@pytest.mark.parametrize("system", ["gbm", "circle", "trained-step"])
def test_every_corrected_statement_is_verified(system):
    """Or its quantity is one that so few paths cannot tell from 0, which most are not."""
    found = verdicts(system, QUICK)
    assert failures(found) == []
    assert sum(v.status == "verified" for v in found if v.form == "corrected") >= 10


def test_printed_statements_on_the_circle():
    """Every reading of (33), Lemma B.7 and of the terms of Theorem 3.7 is refuted on a nonlinear equation."""
    found = [v for v in verdicts("circle", QUICK) if v.form == "printed"]
    for claim in ("prop_b5", "lemma_b7", "theorem_3_7"):
        assert {v.status for v in found if v.claim == claim} == {"refuted"}


def test_printed_first_order_term_is_right_on_the_papers_own_system():
    """(11) with the drift in Φ holds on (5)-(8), where the Itô correction of ξ vanishes; the second order does not."""
    found = [v for v in verdicts("latent-linear", QUICK) if v.form == "printed" and v.claim == "theorem_3_7"]
    first = {v.reading: v.status for v in found if v.quantity == "coefficient of ε"}
    second = [v for v in found if v.quantity == "coefficient of ε²"]
    assert first.pop("literal") == "refuted"
    assert set(first.values()) == {"verified"}
    assert overall(second, "printed") == "refuted"


# -- mutations -----------------------------------------------------------------------------------------------------


def replace_system(monkeypatch, name: str, **changes) -> None:
    system = dataclasses.replace(SYSTEMS[name](), **changes)
    monkeypatch.setitem(SYSTEMS, name, lambda: system)


def drop_the_half(monkeypatch, name):
    monkeypatch.setattr(system_samples, "second_coefficient", lambda v, form: v["Q"] + 0.5 * v["S"] + v["Q~"] + v["S~"])


def drop_error_jacobian(monkeypatch, name):
    """2 ∂η y: the error's coefficients see the unperturbed state alone."""
    monkeypatch.setattr(Parameter, "lower", lambda self, x: x.value if isinstance(x, Jet) else x)


def drop_drift_hessian(monkeypatch, name):
    """The drift is linearized along each path, so that ∂²g_0 is gone and all else stays."""
    family = SYSTEMS[name]().family

    def linearized(t, x):
        if not isinstance(x, Jet) or x.space.order < 2:
            return family.base.f(t, x)
        value = family.base.f(t, x.value)
        slope = family.base.f(t, torch.stack([x.value + 1e-6, x.value - 1e-6])).diff(dim=0)[0] / -2e-6
        rest = x.coefficients * slope  # one dimension: the Jacobian is a number for each path
        return Jet(torch.cat([value[None], rest[1:]]), x.space)

    base = FunctionSDE(linearized, family.base.g, family.base.noise_type)
    replace_system(monkeypatch, name, family=PerturbedSDE(base, family.error))


def drop_ito_correction(monkeypatch, name):
    monkeypatch.setattr(samples_module, "CORRECTED", CORRECTED - {"E4", "E8"})


def swap_errors(monkeypatch, name):
    at = PerturbedSDE.at
    monkeypatch.setattr(
        PerturbedSDE, "at", lambda self, eps, eps_drift=None: at(self, eps if eps_drift is None else eps_drift, eps)
    )


def wrong_horizon(monkeypatch, name):
    grid = SYSTEMS[name]().grid
    replace_system(monkeypatch, name, grid=TimeGrid(grid.t0, 1.05 * grid.t1, grid.steps))


MUTATIONS = [drop_the_half, drop_error_jacobian, drop_drift_hessian, drop_ito_correction, swap_errors, wrong_horizon]


@pytest.fixture(scope="module")
def verified_on_the_circle() -> set[tuple]:
    return {row(v) for v in verdicts("circle", DEFAULT) if v.form == "corrected" and v.status == "verified"}


def row(v) -> tuple:
    return v.claim, v.quantity, v.reading


@pytest.mark.parametrize("mutate", MUTATIONS, ids=lambda m: m.__name__)
def test_mutation_turns_a_verified_row_into_a_refuted_one(monkeypatch, mutate, verified_on_the_circle):
    """At the default settings."""
    mutate(monkeypatch, "circle")
    refuted = {row(v) for v in verdicts("circle", DEFAULT) if v.status == "refuted"}
    assert refuted & verified_on_the_circle


LEAN_MUTATIONS = [drop_the_half, drop_error_jacobian]


def on_the_lean_model(monkeypatch) -> list:
    """Of one loss, over fewer steps and paths: what makes a decoder of images affordable in a test."""
    system = SYSTEMS["lean"]()
    grid = TimeGrid(system.grid.t0, system.grid.t0 + 2, 2)
    sizes = dataclasses.replace(system.sizes, taylor=2**5)
    sizes = dataclasses.replace(system.sizes, taylor=2**5)
    loss = dataclasses.replace(system.losses["J_O"], times=[11.0, 12.0], weights=[0.5, 0.5])
    replace_system(monkeypatch, "lean", loss={"J_O": loss}, grid=grid, sizes=sizes)
    return verdicts("lean", QUICK)


@pytest.fixture(scope="module")
def verified_on_the_lean_model() -> set[tuple]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        found = on_the_lean_model(monkeypatch)
    assert failures(found) == []
    return {row(v) for v in found if v.form == "corrected" and v.status == "verified"}


@pytest.mark.parametrize("mutate", LEAN_MUTATIONS, ids=lambda m: m.__name__)
def test_mutation_is_seen_on_the_shipped_agents_model(monkeypatch, mutate, verified_on_the_lean_model):
    mutate(monkeypatch, "lean")
    refuted = {row(v) for v in on_the_lean_model(monkeypatch) if v.status == "refuted"}
    assert refuted & verified_on_the_lean_model


# -- verdicts ------------------------------------------------------------------------------------------------------


def comparison(mean: float, stderr: float, margin: float = 1.0, numerical: float = 0.0) -> Comparison:
    from sdewm import Estimate

    return Comparison(
        claim="c", system="s", quantity="q", form="corrected", reading="", statistic=Estimate(mean, stderr, 1600, 15),
        expected=0.0, numerical=numerical, margin=margin, scale=1.0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("mean", "stderr", "numerical", "status"),
    [
        (0.1, 0.05, 0.0, "verified"),
        (0.9, 0.05, 0.0, "refuted"),
        (0.9, 0.05, 0.85, "inconclusive"),
        (0.1, 0.5, 0.0, "inconclusive"),
        (float("nan"), 0.1, 0.0, "inconclusive"),
        (0.1, float("inf"), 0.0, "inconclusive"),
        (0.0, 0.0, 0.0, "verified"),
    ],
)
def test_judge(mean, stderr, numerical, status):
    assert comparison(mean, stderr, numerical=numerical).judge(1e-3).status == status


@pytest.mark.parametrize(
    ("mean", "stderr", "numerical", "vacuous", "status"),
    [
        (-0.5, 0.05, 0.0, False, "verified"),
        (0.5, 0.05, 0.0, False, "refuted"),
        (0.5, 0.05, 0.45, False, "inconclusive"),
        (-0.1, 0.5, 0.0, False, "inconclusive"),
        (float("inf"), 0.1, 0.0, False, "inconclusive"),
        (0.5, 0.05, 0.0, True, "vacuous"),
    ],
)
def test_judge_a_bound(mean, stderr, numerical, vacuous, status):
    from sdewm import Estimate

    bound = Inequality(
        claim="c", system="s", quantity="q", form="printed", reading="", statistic=Estimate(mean, stderr, 1600, 15),
        bound=0.0, numerical=numerical, scale=1.0, vacuous=vacuous,
    )  # fmt: skip
    assert bound.judge(1e-3).status == status


def test_the_significance_is_shared_among_the_comparisons():
    assert {v.significance for v in judge_all([comparison(0, 0.1)] * 20, run_significance=1e-3)} == {5e-5}


# -- the command ---------------------------------------------------------------------------------------------------


def test_command_writes_records(tmp_path, capsys):
    path = tmp_path / "report.json"
    assert main(["theorem_3_7", "--system", "gbm", "--quick", "--json", str(path), "--runs", str(tmp_path)]) == 0
    written = json.loads(path.read_text())
    needed = {"claim", "system", "form", "reading", "status", "statistic", "stderr", "significance", "detectable"}
    needed |= {"seconds", "seed", "config"}
    assert written["records"] and all(needed <= set(record) for record in written["records"])
    assert {record["form"] for record in written["records"]} == {"printed", "corrected"}
    assert {"torch", "threads per worker", "dtype"} <= set(written["environment"])
    assert {term["term"] for term in written["terms"]} == {"loss0", "P", "Q", "S", "P~", "Q~", "S~"}
    out = capsys.readouterr().out
    assert "theorem_3_7" in out and "wrong as printed; holds as corrected" in out
    assert "corrected statements verified" in out and "coefficient of ε" not in out.split("corrected statements")[0]


def test_verbose_prints_every_row_as_well(tmp_path, capsys):
    assert main(["covering_map", "--verbose", "--runs", str(tmp_path), "--workers", "1"]) == 0
    out = capsys.readouterr().out
    assert "largest |F*η̄ − ω|" in out and "seen from" in out and "wrong in part as printed; holds" in out


def test_same_seed_same_numbers_whatever_the_workers(tmp_path):
    found = []
    for workers in ("1", "2"):
        path = tmp_path / f"{workers}.json"
        apart = ["--json", str(path), "--runs", str(tmp_path / workers)]  # or the second would take up the first
        main(["--quick", "--system", "gbm", "--system", "ou", "--workers", workers, *apart])
        found.append([r["statistic"] for r in json.loads(path.read_text())["records"]])
    assert found[0] == pytest.approx(found[1], rel=1e-9, abs=1e-12)


def test_samplers_agree(tmp_path):
    """No row is verified with one and refuted with the other; a corrected one is refuted with neither.

    Each run is judged at 1e-6 a row, so that this fails by chance with a probability below 1e-4.
    """
    found = {}
    for sampler in ("rqmc", "mc"):
        path = tmp_path / f"{sampler}.json"
        written_to = ["--json", str(path), "--runs", str(tmp_path)]
        main(["--quick", "--system", "ou", "--sampler", sampler, "--workers", "1", *written_to, *EXPANSION])
        written = json.loads(path.read_text())
        assert written["run"]["sampler"] == sampler
        found[sampler] = {tuple(r[k] for k in ("claim", "quantity", "form", "reading")): r for r in written["records"]}
    assert set(found["rqmc"]) & set(found["mc"])
    statistics = [tuple(r["statistic"] for r in f.values() if r["stderr"] > 0) for f in found.values()]
    assert statistics[0] != statistics[1]  # they are two samples
    for key in set(found["rqmc"]) & set(found["mc"]):
        both = {found[sampler][key]["status"] for sampler in found}
        assert both != {"verified", "refuted"}, key
        assert key[2] == "printed" or "refuted" not in both, key
    decided = [k for k, r in found["mc"].items() if r["status"] in ("verified", "refuted")]
    assert len(decided) > len(found["mc"]) / 2


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["theorem_9"], "theorem_9"),
        (["--system", "gbn"], "gbn"),
        (["--precision", "0"], "--precision"),
        (["--sampler", "sobol"], "--sampler"),
        (["--precision", "x"], "--precision"),
        (["--workers", "0"], "--workers"),
        (["--seed", "-1"], "--seed"),
        (["--json", "/no/such/folder/x.json"], "--json"),
        (["--runs", __file__], "--runs"),
    ],
)
def test_bad_arguments_exit_with_2_and_say_which(argv, expected, capsys):
    with pytest.raises(SystemExit) as stopped:
        parse(argv)
    assert stopped.value.code == 2
    assert expected in capsys.readouterr().err
