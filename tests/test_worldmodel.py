"""The world model: objective, time indices, checkpoints, resuming, the shipped model, its SDE."""

import json
from dataclasses import replace

import numpy as np
import pytest
import safetensors.torch
import torch

from sdewm.cli import main
from sdewm.jets import JetSpace
from sdewm.solvers.schemes.euler_sequential import SequentialEuler
from sdewm.worldmodel.checkpoint import load_checkpoint, save_checkpoint
from sdewm.worldmodel.gaussian import Gaussian
from sdewm.worldmodel.walker import (
    CheckpointError,
    Episode,
    ModelConfig,
    TrainConfig,
    WorldModel,
    as_sde,
    block_sizes,
    consistency_loss,
    evaluate,
    initial_state,
    kl_divergence,
    latent_spread,
    load_episodes,
    load_model,
    load_trained,
    open_loop,
    reconstruction_loss,
    release,
    reward_loss,
    save_episodes,
    save_model,
    to_batch,
    train,
)
from sdewm.worldmodel.walker_train import balanced_kl, terms

TINY = ModelConfig(
    image_size=8, action_size=2, deter=5, stoch=3, hidden=7, embed=6, features=4, depth=2
)  # fmt: skip
TINY_TRAIN = TrainConfig(updates=6, batch=3, length=8, evaluate_every=3, log_every=1)


def tiny_episode(seed: int, steps: int = 40) -> Episode:
    rng = np.random.default_rng(seed)
    return Episode(
        frames=rng.integers(0, 256, (steps, 8, 8), dtype=np.uint8),
        actions=rng.uniform(-1, 1, (steps, 2)).astype(np.float32),
        rewards=rng.uniform(0, 2, steps).astype(np.float32),
    )


def tiny_model(seed: int = 0) -> WorldModel:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = WorldModel(TINY).double()
    model.fit_pixels(to_batch([tiny_episode(0)], torch.float64).frames[0])
    return model.requires_grad_(False)


@pytest.fixture(scope="module")
def trained():
    return load_trained()


# The objective.


def test_kl_equals_torch_distributions():
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(11, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    s, r = (torch.rand(11, 4, generator=generator, dtype=torch.float64) + 0.1 for _ in range(2))
    normal = torch.distributions.Normal
    expected = torch.distributions.kl_divergence(normal(a, s), normal(b, r)).sum(-1)
    torch.testing.assert_close(kl_divergence(Gaussian(a, s), Gaussian(b, r)), expected, rtol=1e-12, atol=0)


def test_terms_are_the_negative_logarithms_of_unit_normals():
    model, batch = tiny_model(), to_batch([tiny_episode(1), tiny_episode(2)], torch.float64)
    noise = torch.randn(2, 40, TINY.stoch, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    rollout = model.observe(batch.frames, batch.actions, noise)
    parts = terms(model, batch, rollout)
    assert all(part.shape == (2, 40) for part in parts)
    image = model.standardize(model.intensities(model.decode(rollout.h, rollout.z)))
    pixel_error = (image - model.standardize(batch.frames)).square().sum((-2, -1))
    torch.testing.assert_close(parts.reconstruction, 0.5 * pixel_error, rtol=1e-10, atol=0)
    constant = 0.5 * np.log(2 * np.pi)
    unit = torch.distributions.Normal(model.reward(rollout.h, rollout.z), 1.0, validate_args=False)
    torch.testing.assert_close(parts.reward + constant, -unit.log_prob(batch.rewards), rtol=1e-12, atol=0)


def test_balanced_kl_has_the_plain_value_and_shares_the_gradient():
    config = TrainConfig(free_nats=0.0, kl_balance=0.8)
    batch, noise = (
        to_batch([tiny_episode(1)], torch.float64),
        torch.zeros(1, 40, TINY.stoch, dtype=torch.float64),
    )

    def gradients(balanced: bool) -> tuple[float, torch.Tensor, torch.Tensor]:
        model = tiny_model().requires_grad_(True)
        rollout = model.observe(batch.frames, batch.actions, noise)
        kl = balanced_kl(model, rollout, config) if balanced else terms(model, batch, rollout).kl.mean()
        kl.backward()
        return float(kl.detach()), model.prior_head.mean.bias.grad, model.posterior_head.mean.bias.grad

    (value, prior, _), (plain, plain_prior, _) = gradients(True), gradients(False)
    assert value == pytest.approx(plain, rel=1e-12)
    torch.testing.assert_close(prior, 0.8 * plain_prior)


def test_free_nats_bind_the_average():
    model, batch = tiny_model().requires_grad_(True), to_batch([tiny_episode(1)], torch.float64)
    rollout = model.observe(batch.frames, batch.actions, torch.zeros(1, 40, TINY.stoch, dtype=torch.float64))
    kl = balanced_kl(model, rollout, TrainConfig(free_nats=1e3))
    kl.backward()
    assert float(kl.detach()) == 1e3
    assert model.prior_head.mean.bias.grad.abs().max() == 0


def test_basis_is_orthonormal_and_coordinate_error_is_pixel_error_but_for_a_constant():
    model, frames = tiny_model(), to_batch([tiny_episode(3)], torch.float64).frames[0]
    identity = model.basis @ model.basis.T / TINY.pixels
    torch.testing.assert_close(identity, torch.eye(TINY.features, dtype=torch.float64), rtol=0, atol=1e-12)
    pixels = model.standardize(frames)
    target = model.coordinates(pixels)
    guess = torch.randn(40, TINY.features, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    in_pixels = (model.standardize(model.intensities(guess)) - pixels).square().mean((-2, -1))
    in_coordinates = (guess - target).square().sum(-1)
    constant = pixels.square().mean((-2, -1)) - target.square().sum(-1)
    torch.testing.assert_close(in_pixels, in_coordinates + constant, rtol=1e-11, atol=0)


# Time indices.


def test_what_drives_what():
    model, batch = tiny_model(), to_batch([tiny_episode(1, 12)], torch.float64)
    noise, t = torch.zeros(1, 12, TINY.stoch, dtype=torch.float64), 5

    def changed(part: str) -> tuple[list[int], list[int]]:
        """The times at which h and z change when ``part`` is changed at time t alone."""
        other = getattr(batch, part).clone()
        other[:, t] = 0.25
        before = model.observe(batch.frames, batch.actions, noise)
        after = model.observe(*batch._replace(**{part: other})[:2], noise)
        times = [
            ((x - y).abs().amax((0, 2)) > 0).nonzero().flatten().tolist()
            for x, y in zip(before[:2], after[:2], strict=True)
        ]
        return times[0], times[1]

    later, from_t = list(range(t + 1, 12)), list(range(t, 12))
    assert changed("actions") == (later, later)  # a_t first shows in h_{t+1}
    assert changed("frames") == (later, from_t)  # s_t in z_t, and through it in h_{t+1}


@pytest.mark.parametrize(("part", "term"), [("frames", "reconstruction"), ("rewards", "reward"), ("actions", "policy")])
def test_targets_stand_at_their_own_time(part, term):
    model, batch = tiny_model(), to_batch([tiny_episode(1, 12)], torch.float64)
    rollout = model.observe(batch.frames, batch.actions, torch.zeros(1, 12, TINY.stoch, dtype=torch.float64))
    other = getattr(batch, part).clone()
    other[:, 5] = 0.25
    before, after = (getattr(terms(model, b, rollout), term) for b in (batch, batch._replace(**{part: other})))
    assert (before != after).nonzero().tolist() == [[0, 5]]


def test_open_loop_is_the_prior_driven_by_the_action_before_each_frame():
    model, batch = tiny_model(), to_batch([tiny_episode(1, 9)], torch.float64)
    rollout = model.observe(batch.frames, batch.actions, torch.zeros(1, 9, TINY.stoch, dtype=torch.float64))
    h, z, expected = rollout.h[:, 3], rollout.z[:, 3], []
    for t in range(3, 8):
        h = model.sequence(h, z, batch.actions[:, t])
        z = model.prior(h).mean
        expected.append(model.intensities(model.decode(h, z)))
    torch.testing.assert_close(open_loop(model, batch, context=4), torch.stack(expected, 1))


# Checkpoints, training, resuming.


def test_model_round_trip(tmp_path):
    model, file = tiny_model(), tmp_path / "model.safetensors"
    save_model(file, model, {"note": "π"})
    loaded, metadata = load_model(file)
    assert loaded.config == TINY and metadata["note"] == "π"
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor.float(), loaded.state_dict()[name])
    assert list(tmp_path.iterdir()) == [file]


def test_bad_checkpoints_are_one_clear_error(tmp_path):
    file = tmp_path / "model.safetensors"
    save_model(file, tiny_model(), {})
    whole = file.read_bytes()
    for damaged in (
        whole[:100],
        whole[:-7],
        whole[:-3] + bytes([whole[-3] ^ 1]) + whole[-2:],
        b"",
        b"PK\3\4 zip",
    ):
        file.write_bytes(damaged)
        with pytest.raises(CheckpointError, match="damaged"):
            load_model(file)
    safetensors.torch.save_file({"x": torch.zeros(2)}, file)
    with pytest.raises(CheckpointError, match="format None"):
        load_model(file)
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        load_model(tmp_path / "nothing")


def test_a_checkpoint_of_another_shape_is_a_checkpoint_error(tmp_path):
    file = tmp_path / "model.safetensors"
    save_checkpoint(file, {"model.x": torch.zeros(2)}, {"model": TINY.as_dict()})
    with pytest.raises(CheckpointError, match="does not hold the model that it describes: lacks tensor basis"):
        load_model(file)


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path):
    file = tmp_path / "state.safetensors"
    save_checkpoint(file, {"x": torch.ones(3)}, {"update": 1})
    with pytest.raises(TypeError):
        save_checkpoint(file, {"x": torch.zeros(3)}, {"update": object()})
    tensors, metadata = load_checkpoint(file)
    assert metadata == {"update": 1} and torch.equal(tensors["x"], torch.ones(3))


def test_resuming_is_bitwise_equal_to_not_stopping(tmp_path):
    episodes, heldout = [tiny_episode(1), tiny_episode(2)], [tiny_episode(3)]
    train(tmp_path / "whole", episodes, heldout, TINY_TRAIN, TINY)
    train(tmp_path / "halves", episodes, heldout, replace(TINY_TRAIN, updates=3), TINY)
    with open(tmp_path / "halves" / "metrics.jsonl", "a") as stream:  # killed past the checkpoint
        stream.write('{"update": 4, "spl')
    train(tmp_path / "halves", episodes, heldout, TINY_TRAIN, TINY)

    whole, halves = (load_checkpoint(tmp_path / run / "checkpoint.safetensors")[0] for run in ("whole", "halves"))
    assert whole.keys() == halves.keys()
    assert all(torch.equal(whole[name], halves[name]) for name in whole)

    def curve(run: str) -> list[dict]:
        lines = map(json.loads, (tmp_path / run / "metrics.jsonl").read_text().splitlines())
        return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]

    assert curve("whole") == curve("halves")
    assert [line["update"] for line in curve("whole")] == [1, 2, 3, 3, 4, 5, 6, 6]


def test_resuming_under_other_settings_is_refused(tmp_path):
    train(tmp_path, [tiny_episode(1)], [tiny_episode(3)], replace(TINY_TRAIN, updates=3), TINY)
    with pytest.raises(CheckpointError, match="clip"):
        train(tmp_path, [tiny_episode(1)], [tiny_episode(3)], replace(TINY_TRAIN, clip=1.0), TINY)


def test_episode_files_round_trip_without_pickle(tmp_path):
    file, episodes = tmp_path / "episodes.npz", [tiny_episode(1), tiny_episode(2)]
    save_episodes(file, episodes, {"size": 8})
    loaded, environment = load_episodes(file)
    assert environment == {"size": 8}
    for ours, theirs in zip(episodes, loaded, strict=True):
        for part in ("frames", "actions", "rewards"):
            np.testing.assert_array_equal(getattr(ours, part), getattr(theirs, part))


# The shipped model.


def test_shipped_model_explains_heldout_frames(trained):
    model, episodes = trained
    scores = evaluate(model, episodes)
    assert model.mean_image.dtype == torch.float64
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert scores["explained"] > 0.45
    assert scores["explained_open_5"] > scores["explained_hold_5"] + 0.2


def test_unknown_name_says_what_there_is():
    with pytest.raises(ValueError, match="walker_walk"):
        load_trained("quadruped")


# The SDE.


def test_one_sequential_step_is_the_models_own_step(trained):
    model, episodes = trained
    episode, paths, t = episodes[0], 5, 10
    sde, sizes = as_sde(model, episode), block_sizes(model)
    generator = torch.Generator().manual_seed(0)
    x = initial_state(model, episode, t).expand(paths, -1)
    x = x + 0.1 * torch.randn(x.shape, generator=generator, dtype=x.dtype)
    dB = torch.randn(paths, sizes.z + sizes.z_tilde, generator=generator, dtype=x.dtype)
    noise, noise_tilde = dB.split([sizes.z, sizes.z_tilde], -1)

    z, h, _, _ = sde.blocks(x)
    frame = to_batch([episode], torch.float64).frames[0, t + 1]
    h = model.sequence(h, z, model.policy(h, z))
    q = model.posterior(h, model.embed(frame.unsqueeze(0)).expand(paths, -1))
    p = model.prior(h)
    z_tilde = p.mean + p.std * noise_tilde
    own = torch.cat([q.mean + q.std * noise, h, z_tilde, model.decode(h, z_tilde)], -1)

    step = SequentialEuler().step(sde, torch.tensor(float(t)), 1.0, x, dB)
    torch.testing.assert_close(step, own, rtol=1e-12, atol=1e-12)


def test_initial_state_and_spread(trained):
    model, episodes = trained
    sizes = block_sizes(model)
    x = initial_state(model, episodes[0])
    _, h, z_tilde, s_tilde = x.split(list(sizes))
    assert x.shape == (sum(sizes),) and x.dtype == torch.float64
    torch.testing.assert_close(z_tilde, model.prior(h).mean)
    torch.testing.assert_close(s_tilde, model.decode(h, z_tilde))
    with pytest.raises(ValueError, match="t must be a frame"):
        initial_state(model, episodes[0], len(episodes[0]))
    spread = latent_spread(model, episodes)
    assert spread.shape == (sizes.z,) and bool((spread > 0.05).all())


def test_losses_equal_their_definitions(trained):
    model, episodes = trained
    episode, sizes, t = episodes[0], block_sizes(model), 12
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(4, sum(sizes), generator=generator, dtype=torch.float64)
    z, h, _, s_tilde = x.split(list(sizes), -1)
    batch = to_batch([episode], torch.float64)
    frame, reward = batch.frames[0, t], batch.rewards[0, t]

    pixels = model.standardize(model.intensities(s_tilde)) - model.standardize(frame)
    expected = 0.5 * pixels.square().mean((-2, -1))
    torch.testing.assert_close(reconstruction_loss(model, episode)(t, x), expected, rtol=1e-11, atol=0)
    expected = 0.5 * (model.reward(h, z) - reward).square()
    torch.testing.assert_close(reward_loss(model, episode)(t, x), expected, rtol=1e-12, atol=0)
    q = model.posterior(h, model.embed(frame.unsqueeze(0)).expand(4, -1))
    expected = kl_divergence(q, model.prior(h))
    torch.testing.assert_close(consistency_loss(model, episode)(t, x), expected, rtol=1e-12, atol=0)


def test_coefficients_and_losses_take_jets(trained):
    model, episodes = trained
    sde, space, t = as_sde(model, episodes[0]), JetSpace(1, 2), torch.tensor(12.5, dtype=torch.float64)
    generator = torch.Generator().manual_seed(2)
    x = initial_state(model, episodes[0], 12).repeat(3, 1)
    v = torch.randn(x.shape, generator=generator, dtype=x.dtype)
    functions = [sde.f, sde.g, *(make(model, episodes[0]) for make in (reconstruction_loss, reward_loss))]
    for function in [*functions, consistency_loss(model, episodes[0])]:
        jet = function(t, x + space.parameter(0) * v)
        value, slope = torch.func.jvp(lambda y, f=function: f(t, y), (x,), (v,))
        torch.testing.assert_close(jet.value, value, rtol=1e-11, atol=1e-11)
        torch.testing.assert_close(jet.derivative((1,)), slope, rtol=1e-9, atol=1e-11)


# Recording and the command line.


def test_command_line_trains_and_releases(tmp_path, capsys):
    for number in range(3):
        frames = np.random.default_rng(number).integers(0, 256, (40, 32, 32), dtype=np.uint8)
        episode = Episode(frames, np.zeros((40, 6), np.float32), np.zeros(40, np.float32))
        save_episodes(tmp_path / f"episode_{number:04d}.npz", [episode], {"size": 32})
    data, run = ["--data", str(tmp_path)], ["--run", str(tmp_path / "run")]
    main(["walker", "train", *data, *run, "--heldout", "1", "--updates", "1"])
    assert json.loads(capsys.readouterr().out)["split"] == "heldout"
    heldout = [load_episodes(tmp_path / "episode_0002.npz")[0][0]]
    files = release(tmp_path / "run", heldout, {"size": 32}, tmp_path / "data", "toy", length=30)
    assert [file.name for file in files] == ["toy.safetensors", "toy_heldout.npz", "toy_training.jsonl"]
    assert len(load_episodes(files[1])[0][0]) == 30
    with pytest.raises(SystemExit, match="cannot be held out"):
        main(["walker", "train", *data, *run, "--heldout", "3"])


def test_recording_pairs_actions_rewards_and_frames(tmp_path):
    pytest.importorskip("dm_control")
    from sdewm.worldmodel.walker import WalkerEnvironment, record

    (file,) = record(tmp_path, episodes=1, steps=4, seed=3)
    (episode,), configuration = load_episodes(file)
    assert episode.frames.shape == (4, 32, 32) and episode.frames.std() > 5
    assert configuration["rendering"] == "fast" and configuration["step_seconds"] == pytest.approx(0.05)
    seed = int(np.random.SeedSequence([3, 0]).spawn(2)[0].generate_state(1)[0])
    environment = WalkerEnvironment(seed=seed)
    steps = [environment.reset()] + [environment.step(action) for action in episode.actions[:-1]]
    np.testing.assert_array_equal(episode.frames, [step.frame for step in steps])
    np.testing.assert_allclose(episode.rewards, [step.reward for step in steps], rtol=1e-6)
    modified = file.stat().st_mtime_ns
    record(tmp_path, episodes=1, steps=4, seed=3)
    assert file.stat().st_mtime_ns == modified
