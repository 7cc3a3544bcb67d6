"""Recording episodes of a fixed behaviour: what is there is kept, each depends on its number alone; the gait."""

from dataclasses import replace

import numpy as np
import pytest
from support import refuses
from training_runs import DEBUG

from sdewm.cli import main
from sdewm.worldmodel import PRESETS, PointMass, collect
from sdewm.worldmodel.gait import ScriptedGait


def test_episodes_are_taken_up_and_depend_on_their_number_alone(tmp_path):
    files = collect(tmp_path / "whole", DEBUG, count=3, seed=1)
    assert [file.name for file in files] == ["000000.npy", "000001.npy", "000002.npy"]
    collect(tmp_path / "parts", DEBUG, count=2, seed=1)
    modified = (tmp_path / "parts" / "000001.npy").stat().st_mtime_ns
    collect(tmp_path / "parts", DEBUG, count=3, seed=1)
    assert (tmp_path / "parts" / "000001.npy").stat().st_mtime_ns == modified
    for file in files:
        assert (tmp_path / "parts" / file.name).read_bytes() == file.read_bytes()
    assert files[0].read_bytes() != files[1].read_bytes()
    other = collect(tmp_path / "other", DEBUG, count=1, seed=2)
    assert other[0].read_bytes() != files[0].read_bytes()


def test_command_line_collects_and_fits(tmp_path, capsys):
    folder, run = str(tmp_path / "episodes"), str(tmp_path / "run")
    main(["collect", folder, "--preset", "debug", "--count", "3"])
    assert len(capsys.readouterr().out.splitlines()) == 3
    main(["fit", run, "--preset", "debug", "--replay", folder, "--heldout", "1", "--updates", "5"])
    with pytest.raises(SystemExit, match="sdewm collect: policy: expected a task of dm_control's walker"):
        main(["collect", str(tmp_path / "new"), "--preset", "debug", "--policy", "scripted-gait"])


def test_what_does_not_fit_is_refused(tmp_path):
    with refuses(ValueError, "behaviour: expected 'random' or 'scripted-gait', got 'dance'"):
        collect(tmp_path, DEBUG, count=1, behaviour="dance")
    with refuses(ValueError, "policy: expected a task of dm_control's walker"):
        ScriptedGait(PointMass(), seed=0)


def test_the_gait_of_a_walker_moves_and_is_seen_through_a_small_grey_camera(tmp_path):
    pytest.importorskip("dm_control")
    from sdewm.worldmodel import make_environment

    config = PRESETS["walker"]
    (file,) = collect(tmp_path, config, count=1, behaviour="scripted-gait", seed=3)
    episode = np.load(file)
    assert episode["observation"].shape == (501, 1, 32, 32) and episode["observation"].std() > 5
    environment = make_environment(config)
    assert environment.step_seconds == pytest.approx(0.05)
    # Averaged from 64×64 pixels: other than the same scene rendered at 32×32.
    first = environment.reset(0).observation
    assert not np.array_equal(first, make_environment(replace(config, supersample=1)).reset(0).observation)
    states = np.abs(np.diff(episode["observation"].astype(float), axis=0)).mean((1, 2, 3))
    assert (states > 0.1).mean() > 0.3
