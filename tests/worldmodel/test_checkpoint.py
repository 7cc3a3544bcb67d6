"""Checkpoints from untrusted hands: one clear error, no memory taken on a file's word, nothing executed."""

import json
import resource
import time

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from support import refuses
from training_runs import DEBUG

from sdewm.worldmodel import CheckpointError, load_agent, load_trained, train
from sdewm.worldmodel.checkpoint import load_checkpoint, save_checkpoint


def rewritten(whole, tmp_path, change) -> None:
    """The agent's checkpoint with changed tensors or metadata, and a checksum that fits."""
    tensors, metadata = load_checkpoint(whole / "checkpoint.safetensors")
    change(tensors, metadata)
    save_checkpoint(tmp_path / "checkpoint.safetensors", tensors, metadata)


def set_config(name, value):
    return lambda tensors, metadata: metadata["config"].update({name: value})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_config("deter", 10**6), "expected shape"),
        (set_config("units", 10**12), "checkpoint.safetensors: "),
        (set_config("layers", 10**9), "layers: expected at most 64 layers"),
        (set_config("encoder_kernels", [1] * 1000), "encoder_kernels: expected at most 64 layers"),
        (set_config("deter", "many"), "deter: expected a whole number"),
        (lambda t, m: m.update(observation_shape=[10**7]), "expected shape"),
        (lambda t, m: m.update(observation_shape=[]), "observation_shape: expected one or three sizes"),
        (lambda t, m: m.update(observation_shape="ab"), "observation_shape: expected one or three sizes"),
        (lambda t, m: m.update(action_size=-1), "expected positive whole numbers"),
        (lambda t, m: m.update(config=None), "does not describe an agent"),
        (lambda t, m: m.update(config=[]), "does not describe an agent"),
        (lambda t, m: m.pop("config"), "does not describe an agent"),
        (lambda t, m: t.pop("agent.return_spread"), "lacks tensor return_spread"),
        (lambda t, m: t.update({"agent.new": torch.zeros(2)}), "has a foreign tensor new"),
        (lambda t, m: t["agent.critic.network.0.weight"][0].fill_(float("nan")), "weight: expected finite"),
    ],
)
def test_what_a_checkpoint_says_is_not_trusted(whole, tmp_path, change, message):
    rewritten(whole, tmp_path, change)
    began, most = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with refuses(CheckpointError, message):
        load_agent(tmp_path)
    assert time.process_time() - began < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - most < 2**19  # KiB


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p.update(update=-1), "update: expected int of at least 0, got -1"),
        (lambda p: p.update(owed=float("nan")), "owed: expected float"),
        (lambda p: p.update(frames="many"), "frames: expected int"),
        (lambda p: p.update(colour="red"), "progress: expected an object with the names"),
        (lambda p: p.update(replay=[[1]]), "replay: expected number, length and checksum"),
        (lambda p: p.update(replay=7), "replay: expected number, length and checksum"),
    ],
)
def test_a_place_in_the_loop_that_cannot_be_is_refused(whole, tmp_path, change, message):
    rewritten(whole, tmp_path, lambda tensors, metadata: change(metadata["progress"]))
    with refuses(CheckpointError, "progress: ", message.removeprefix("progress: ")):
        train(tmp_path, DEBUG)


def test_metadata_must_be_a_json_object(tmp_path):
    import hashlib

    for text, message in (("[" * 10**5, "no JSON"), ("[1]", "expected its metadata to be a JSON object, got list")):
        header = {"format": "sdewm-worldmodel-1", "metadata": text, "sha256": hashlib.sha256(text.encode()).hexdigest()}
        save_file({}, tmp_path / "a.safetensors", header)
        with refuses(CheckpointError, message):
            load_checkpoint(tmp_path / "a.safetensors")


def fuzz(whole, tmp_path, cases: int, seed: int) -> dict[str, int]:
    """Damage a checkpoint's bytes, its header and its metadata; count what loading says."""
    rng = np.random.default_rng(seed)
    source = whole / "checkpoint.safetensors"
    data = np.frombuffer(source.read_bytes(), np.uint8)
    with safe_open(source, "pt") as file:
        header = file.metadata()
    target, counts = tmp_path / "checkpoint.safetensors", {"refused": 0, "loaded": 0}
    values = [None, True, -1, 0, 10**6, 10**30, 1e400, "x", [], [-1], {}, [[1, 2, 3]]]
    for case in range(cases):
        kind = case % 4
        if kind == 0:  # bits anywhere
            bad = data.copy()
            bad[rng.integers(len(bad), size=rng.integers(1, 9))] ^= np.uint8(1 << rng.integers(8))
            target.write_bytes(bad.tobytes())
        elif kind == 1:  # cut short, or bytes at the front
            cut = data[: rng.integers(len(data))].tobytes()
            target.write_bytes(cut if rng.random() < 0.5 else rng.bytes(9) + cut)
        elif kind == 2:  # the safetensors header
            bad = data.copy()
            length = int.from_bytes(data[:8].tobytes(), "little")
            bad[rng.integers(8 + length, size=3)] = rng.integers(256, size=3)
            target.write_bytes(bad.tobytes())
        else:  # metadata that fits its checksum
            tensors, metadata = load_checkpoint(source)
            place = metadata[str(rng.choice(["config", "progress"]))] if rng.random() < 0.8 else metadata
            place[str(rng.choice(list(place)))] = values[rng.integers(len(values))]
            save_checkpoint(target, tensors, metadata)
        began = time.process_time()
        try:
            load_agent(tmp_path)
            counts["loaded"] += 1
        except CheckpointError as error:
            assert len(str(error).splitlines()) == 1, str(error)
            counts["refused"] += 1
        assert time.process_time() - began < 5
    assert header["format"]
    return counts


def test_damaged_checkpoints_are_one_line_each(whole, tmp_path):
    counts = fuzz(whole, tmp_path, 200, seed=0)
    assert counts["refused"] > 120


@pytest.mark.slow
def test_five_thousand_damaged_checkpoints_are_one_line_each(whole, tmp_path):
    counts = fuzz(whole, tmp_path, 5000, seed=1)
    print(json.dumps(counts))
    assert counts["refused"] > 3000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 2**20  # KiB


def test_loading_leaves_torchs_random_state_alone(whole):
    before = torch.random.get_rng_state()
    load_trained()
    load_agent(whole)
    assert torch.equal(before, torch.random.get_rng_state())
