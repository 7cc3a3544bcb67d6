"""``sdewm predict``: what it prints, of which checkpoints, and what it refuses."""

import re

import pytest
from small_agents import PIXELS, STATE, random_episode, tiny_agent
from support import refuses

from sdewm.cli import main
from sdewm.worldmodel import GaussianNoise, MaskedNoise, Rotation
from sdewm.worldmodel.checkpoint import save_checkpoint
from sdewm.worldmodel.perturbations import perturbation_of
from sdewm.worldmodel.replay import write_episode
from sdewm.worldmodel.saved_agent import description


def run_of(folder, config):
    """A checkpoint of a tiny agent with a replay of its own."""
    agent = tiny_agent(config).float()
    tensors = {f"agent.{name}": value for name, value in agent.state_dict().items()}
    save_checkpoint(folder / "checkpoint.safetensors", tensors, description(agent))
    (folder / "replay").mkdir()
    for number in range(3):
        write_episode(folder / "replay" / f"{number:06d}.npy", random_episode(config, number, steps=90))
    return folder


def predict(*args) -> None:
    main(["predict", *map(str, args), "--draws", "8", "--paths", "16"])


def test_a_run_is_predicted_and_measured(tmp_path, capsys):
    predict(run_of(tmp_path, PIXELS), "--perturbation", "noise", "--size", 0.02, "--measure")
    text = capsys.readouterr().out
    assert "8 draws of 2 episodes" in text and "measured" in text
    rows = [line for line in text.splitlines() if re.match(r"J_[ORDL] .*±", line)]
    assert [row[:3] for row in rows] == ["J_O", "J_R", "J_D", "J_L"]
    assert all(row.count("±") == 8 for row in rows)
    predict(tmp_path / "checkpoint.safetensors", "--perturbation", "noise", "--size", 0.02, "--heldout", 1)
    text = capsys.readouterr().out
    assert "8 draws of 1 episodes" in text and "measured" not in text


def test_an_agent_that_ships_is_predicted(capsys):
    predict("walker_walk", "--perturbation", "rotation", "--size", 1, "--heldout", 1)
    assert "Rotation(degrees=1.0)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "fragments"),
    [
        (("nowhere",), ("checkpoint: no such file, and no agent that ships", "walker_walk")),
        (("walker_walk", "--size", "-1"), ("size: expected a finite number of at least 0", "-1")),
        (("walker_walk", "--episodes", "nowhere"), ("--episodes: expected a folder of episodes", "nowhere")),
    ],
)
def test_what_cannot_be_is_one_line(args, fragments):
    with refuses(SystemExit, "sdewm predict:", *fragments):
        predict("--perturbation", "noise", "--size", "0.1", *args)


def test_a_model_of_states_has_no_images(tmp_path):
    with refuses(SystemExit, "checkpoint: expected a world model of images, got one of states (3,)"):
        predict(run_of(tmp_path, STATE), "--perturbation", "noise", "--size", 0.1)


def test_a_size_is_a_deviation_an_angle_or_a_percentage():
    assert perturbation_of("noise", 0.1) == GaussianNoise(0.0, 0.1**2)
    assert perturbation_of("rotation", -3) == Rotation(-3.0)
    assert perturbation_of("mask", 5) == MaskedNoise(5.0, 0.5, 0.15)
    with refuses(ValueError, "kind: expected", "'blur'"):
        perturbation_of("blur", 1.0)
