"""The commands that measure: open loops and robustness of a run on held-out episodes."""

import json
from dataclasses import replace

import pytest
from small_agents import WALKER, random_episode

from sdewm.cli import main
from sdewm.worldmodel import Replay, fit, load_agent
from sdewm.worldmodel.robustness import measure_robustness


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fitted")
    for number in range(3):
        Replay(folder / "replay", capacity=10**6).add(number, random_episode(WALKER, number, steps=90))
    fit(folder / "run", replace(WALKER, evaluate_every=0), folder / "replay", heldout=1, updates=2)
    return folder


def of(fitted) -> list[str]:
    return [str(fitted / "run"), "--replay", str(fitted / "replay"), "--heldout", "1"]


def test_open_loop_has_an_error_for_each_step_ahead(fitted, capsys):
    main(["open-loop", *of(fitted), "--context", "5", "--horizon", "7"])
    (line,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert line["steps ahead"] == list(range(1, 8)) and line["windows"] == 14
    assert all(len(line[name]) == 7 for name in ("predicted", "held", "mean"))
    with pytest.raises(SystemExit, match="sdewm open-loop: length: expected at most the 90 steps"):
        main(["open-loop", *of(fitted), "--horizon", "100"])


def test_robustness_says_what_the_measure_finds(fitted, capsys):
    main(["robustness", *of(fitted)])
    line = json.loads(capsys.readouterr().out)
    agent = load_agent(fitted / "run").double()
    found = measure_robustness(agent, [Replay(fitted / "replay", capacity=1).episode(2)])
    assert line["measured"] == pytest.approx(found) and (line["weight"], line["seed"]) == (0.0, 0)


def test_episodes_that_are_too_short_are_named(fitted, tmp_path):
    for number in range(2):
        Replay(tmp_path, capacity=10**6).add(number, random_episode(WALKER, number, steps=50))
    with pytest.raises(SystemExit, match="sdewm robustness: episodes: expected at least 86 steps in each, got 50"):
        main(["robustness", str(fitted / "run"), "--replay", str(tmp_path), "--heldout", "1"])
