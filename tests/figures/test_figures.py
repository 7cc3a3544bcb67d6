"""Figures from records: the same bytes for the same data, and errors that say what to run."""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from support import library_with

from sdewm import cli
from sdewm.drawing import times
from sdewm.figures import ablation, certified_bounds, jacobian_ladder, strong_order
from sdewm.figures.command_line import figures
from sdewm.figures.learning_curves import reached, runs
from sdewm.figures.record import checks, lines

RESULTS = Path(__file__).parents[2] / "results"
CHECKS = "theory_checks.json"
# A figure, and the claim, system and label of a curve it draws.
DRAWN = {
    "remainder": ("prop_b5", "circle", "order 1"),
    "terms": ("corollary_3_8", "latent", "jets"),
    "loss_over_error": ("corollary_3_8", "latent", "simulated"),
    "ablation": ("ablation", "latent", "coefficient of ε²"),
    "fundamental_matrix_bound": ("fundamental_matrix_bound", "latent", "E sup ‖Φ‖² over T, measured"),
    "divergence": ("theorem_4_1", "trained-step", "d_ε/δ² over T, certified"),
    "certified_bounds": ("certified_bounds", "latent", "log10 bound by steps, from the mean square"),
    "counterexamples": ("fundamental_matrix_bound", "frozen slopes", "E sup ‖Φ‖² over M"),
    "latent_representation": ("proposition_a7", "disk to sphere cap", "latent line 0"),
    "jacobian_ladder": ("leak", "ladder", "μ₂ of the drift"),
}
# A figure that is not drawn from the theory checks, and what writes its record.
MADE_BY = {
    "strong_order": "python -m benchmarks.strong_order --json",
    "work_precision": "python -m benchmarks.problems --json",
    "open_loop": "python -m benchmarks.open_loop --json",
    "learning_curves": "sdewm train",
    "pixels_to_epsilon": "python -m benchmarks.pixels_to_epsilon --json",
    "approximation_rates": "python -m benchmarks.approximation --json",
}


def main(arguments: list[str]) -> int:
    """The exit status of ``sdewm figures``; 2, for arguments that it cannot read, is raised."""
    try:
        cli.main(["figures", *arguments])
    except SystemExit as stopped:
        if stopped.code != 1:
            raise
        return 1
    return 0


def draw(name: str, results: Path) -> dict[str, bytes]:
    with TemporaryDirectory() as folder:
        assert main([name, "--results", str(results), "--out", folder]) == 0
        return {p.name: p.read_bytes() for p in Path(folder).iterdir()}


@cache
def recorded(name: str) -> dict[str, bytes]:
    return draw(name, RESULTS)


@cache
def report() -> dict[str, Any]:
    return checks(RESULTS)


@pytest.mark.parametrize("name", figures())
def test_figure_is_drawn_from_the_record_and_the_same_each_time(name):
    assert set(recorded(name)) == {f"{name}.png", f"{name}.pdf", f"{name}.svg"}
    assert draw(name, RESULTS) == recorded(name)


@pytest.mark.parametrize("name", DRAWN)
def test_a_figure_follows_its_numbers(name, tmp_path):
    """No figure draws what is not in the record: another number, another picture."""
    record = json.loads((RESULTS / CHECKS).read_text())
    (curve,) = (c for c in record["curves"] if (c["claim"], c["system"], c["label"]) == DRAWN[name])
    curve["y"] = [1.5 * y for y in curve["y"]]
    (tmp_path / CHECKS).write_text(json.dumps(record))
    changed = draw(name, tmp_path)
    assert all(changed[file] != recorded(name)[file] for file in changed)


def test_strong_order_follows_its_numbers(tmp_path):
    record = json.loads((RESULTS / "strong_order.json").read_text())
    row = next(r for s in record["systems"] for r in s["rows"] if (s["system"], r["method"]) == ("latent", "sri2"))
    row["slope"] -= 0.1
    (tmp_path / "strong_order.json").write_text(json.dumps(record))
    assert draw("strong_order", tmp_path)["strong_order.svg"] != recorded("strong_order")["strong_order.svg"]


def test_approximation_rates_follow_their_numbers(tmp_path):
    record = json.loads((RESULTS / "approximation.json").read_text())
    next(r for r in record["rows"] if (r["D"], r["network"]) == (16, "trained"))["error"] *= 2
    (tmp_path / "approximation.json").write_text(json.dumps(record))
    assert (
        draw("approximation_rates", tmp_path)["approximation_rates.svg"]
        != recorded("approximation_rates")["approximation_rates.svg"]
    )


def test_predictions_under_perturbed_images_follow_their_numbers(tmp_path):
    record = json.loads((RESULTS / "pixels_to_epsilon.json").read_text())
    asked = ("walker_walk", "rotation", 1.0, "J_O")
    row = next(r for r in record["rows"] if (r["model"], r["kind"], r["size"], r["loss"]) == asked)
    row["predicted"][0] *= 1.5
    (tmp_path / "pixels_to_epsilon.json").write_text(json.dumps(record))
    file = "pixels_to_epsilon.svg"
    assert draw("pixels_to_epsilon", tmp_path)[file] != recorded("pixels_to_epsilon")[file]


def test_rates_that_are_not_all_measured_say_how_to_go_on(tmp_path, capsys):
    record = json.loads((RESULTS / "approximation.json").read_text())
    del record["summary"]
    (tmp_path / "approximation.json").write_text(json.dumps(record))
    assert main(["approximation_rates", "--results", str(tmp_path), "--out", str(tmp_path)]) == 1
    assert "python -m benchmarks.approximation --json" in capsys.readouterr().err


@pytest.mark.parametrize("name", [name for name in figures() if name != "trained_model"])
def test_a_missing_record_says_which_command_writes_it(name, tmp_path, capsys):
    assert main([name, "--results", str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    command = MADE_BY.get(name, "python -m theory_checks --json")
    assert command in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["ablation", "divergence", "certified_bounds", "counterexamples", "jacobian_ladder"])
def test_a_check_that_was_not_run_is_named(name, tmp_path, capsys):
    claim, system, _ = DRAWN[name]
    record = json.loads((RESULTS / CHECKS).read_text())
    for kind in ("curves", "records"):
        record[kind] = [x for x in record[kind] if (x["claim"], x["system"]) != (claim, system)]
    (tmp_path / CHECKS).write_text(json.dumps(record))
    assert main([name, "--results", str(tmp_path), "--out", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert f"{claim} on {system}" in error and "run that check first" in error


def test_a_system_whose_strong_order_was_not_measured_is_named(tmp_path, capsys):
    record = json.loads((RESULTS / "strong_order.json").read_text())
    record["systems"] = [s for s in record["systems"] if s["system"] != "non-commuting"]
    (tmp_path / "strong_order.json").write_text(json.dumps(record))
    assert main(["strong_order", "--results", str(tmp_path), "--out", str(tmp_path)]) == 1
    assert "--systems 'non-commuting'" in capsys.readouterr().err


def test_learning_curves_find_a_tasks_runs_and_when_they_reach_the_target(tmp_path):
    lines = [
        {"kind": "episode", "random": True, "return": 100.0, "frames": 1000, "cpu_seconds": 3.0},
        {"kind": "evaluation", "return": 500.0, "frames": 8000},
        {"kind": "train", "frames": 9000, "cpu_seconds": 120.0},
        {"kind": "evaluation", "return": 650.0, "frames": 9000},
        {"kind": "evaluation", "return": 400.0, "frames": 10000},
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    for name in ("task.jsonl", "task_2.jsonl", "task_other.jsonl"):
        (tmp_path / name).write_text(text)
    found = runs(tmp_path, "task")
    assert list(found) == [0, 2]
    assert reached(found[2], 600) == (9000, 2.0)
    assert reached(found[2], 700) is None
    assert main(["learning_curves", "--results", str(tmp_path), "--out", str(tmp_path)]) == 1


def test_unknown_figure(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["pie"])
    assert stopped.value.code == 2 and "pie" in capsys.readouterr().err


@pytest.mark.parametrize("system", certified_bounds.SYSTEMS)
def test_ratios_of_the_certified_bounds_are_those_of_the_curves(system):
    """A bound less what is measured, where both are of the same error."""
    curves = lines(report(), "certified_bounds", system)
    measured = curves["log10 E sup ‖x^ε − x⁰‖²/‖ε‖² by steps, measured"]
    held = certified_bounds.ratios(report(), system)
    smallest = min(size for size, _ in held.values())
    compared = 0
    for name, (size, by_steps) in held.items():
        bound = curves[certified_bounds.BOUND + name]
        for n, b, m in zip(bound.x, bound.y, measured.y, strict=True):
            if n > 0 and size == smallest:
                assert by_steps[int(n)] == pytest.approx(b - m, abs=1e-9)
                compared += 1
    assert compared >= len(measured.x) - 1


def test_ratio_to_two_digits():
    assert [times(math.log10(r)) for r in (4.537, 69.4, 249)] == ["4.5 ×", "69 ×", "250 ×"]
    assert [times(e) for e in (3.507, 229.47)] == ["$10^{3.5}$ ×", "$10^{229}$ ×"]


def test_share_of_an_erratum():
    """Nothing, not told from nothing, and something; a sign like that of the axes."""
    assert ablation.share(1e-17, 0.0) == "0"
    assert ablation.share(-0.0004, 0.0019) == "0 ± 0.19"
    assert [ablation.share(y, 0.001) for y in (-0.6651, 0.0823, 1.0906)] == ["−67", "+8.2", "+109"]


def test_changes_over_the_ladder_are_ratios_within_their_intervals():
    changes = jacobian_ladder.paired_changes(report())
    drawn = lines(report(), "jacobian_regularization", "ladder")
    for label in jacobian_ladder.EFFECTS:
        change, low, high = changes[drawn[label].config["measured"]]
        assert low < change < high
        # Means over different seeds, and of ratios: alike in size and direction only.
        assert (change > 1) == (drawn[label].y[-1] > drawn[label].y[0])


def test_what_refuses_is_told_from_what_was_not_run():
    rows = [
        {"method": "milstein", "slope": 1.0},
        {"method": "heun", "refused": "the two calculi coincide"},
        {"method": "torchsde Milstein (Itô)", "refused": "ValueError: noise type general"},
        {"method": "torchsde Milstein (Stratonovich)", "refused": "ValueError: noise type general"},
        {"method": "diffrax", "refused": "not installed"},
    ]
    assert strong_order.refusals(rows) == "torchsde refuses\ndiffrax not run: not installed"


def test_a_figure_is_added_by_one_file(tmp_path):
    """As any, it has draw(results, out), and is known to the command by the name of its file."""
    figure = "def draw(results, out):\n    return [out / f'mine of {results.name}.svg']\n"
    use = "from sdewm.cli import main; main(['figures', 'mine', '--results', 'numbers', '--out', 'drawn'])"
    assert library_with(tmp_path, "figures/mine.py", figure, use) == ["drawn/mine of numbers.svg"]


def test_errors_for_their_time_follow_their_numbers(tmp_path):
    record = json.loads((RESULTS / "problems.json").read_text())
    row = next(r for r in record["rows"] if (r["problem"], r["method"]) == ("spiral, ito", "milstein"))
    row["errors"][-1] *= 2
    (tmp_path / "problems.json").write_text(json.dumps(record))
    assert draw("work_precision", tmp_path)["work_precision.svg"] != recorded("work_precision")["work_precision.svg"]


def test_the_page_has_the_figure_of_the_record():
    page = RESULTS.parent / "docs" / "_static" / "work_precision.svg"
    assert page.read_bytes() == recorded("work_precision")["work_precision.svg"]
