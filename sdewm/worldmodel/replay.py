"""Episodes on disk, one immutable file each, and random sequences of them. Memory holds an index, not the data."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Num, Shaped
from torch import Tensor

from sdewm import arguments
from sdewm.files import make_folder, sync_folder, write_whole
from sdewm.worldmodel.checkpoint import CheckpointError
from sdewm.worldmodel.environments import TimeStep

Episode = Shaped[np.ndarray, " times"]  # records of type :func:`step_dtype`, one for each time

OWN_FILE = re.compile(r"\d{6,}\.npy(\.partial)?")


class Sequences(NamedTuple):
    """A batch of sequences, batch first; what is at one time t belongs together as it does in an episode.

    ``observations`` (B, T, *shape), uint8 of images, float32 of states; ``actions`` (B, T, action_size): chosen at t,
    leading to t + 1; ``rewards`` (B, T): collected on the way into t; ``terminal`` (B, T) bool; ``first`` (B, T) bool:
    t begins an episode, so that nothing before it has to do with it.
    """

    observations: Num[Tensor, "batch times ..."]
    actions: Float[Tensor, "batch times actions"]
    rewards: Float[Tensor, "batch times"]
    terminal: Bool[Tensor, "batch times"]
    first: Bool[Tensor, "batch times"]


def step_dtype(observation_shape: Sequence[int], action_size: int) -> np.dtype[Any]:
    """The record of one time in an episode's file."""
    pixel = np.uint8 if len(observation_shape) == 3 else np.float32
    return np.dtype(
        [
            ("observation", pixel, tuple(observation_shape)),
            ("action", np.float32, (action_size,)),
            ("reward", np.float32),
            ("terminal", np.bool_),
            ("first", np.bool_),
        ]
    )


def to_episode(steps: Sequence[TimeStep], actions: Sequence[Float[np.ndarray, " actions"]]) -> Episode:
    """Steps 0, …, n of an episode and the actions 0, …, n − 1 between them as n + 1 records; the last action is 0."""
    shape, size = np.shape(steps[0].observation), len(actions[0])
    episode = np.zeros(len(steps), step_dtype(shape, size))
    episode["observation"] = [step.observation for step in steps]
    episode["action"][:-1] = actions
    episode["reward"] = [step.reward for step in steps]
    episode["terminal"] = [step.terminal for step in steps]
    episode["first"][0] = True
    return episode


def to_sequences(records: Shaped[np.ndarray, "batch times"], dtype: torch.dtype = torch.float32) -> Sequences:
    """Records (B, T) as tensors, those of floating point in ``dtype``."""
    fields = ("observation", "action", "reward", "terminal", "first")
    tensors = (torch.from_numpy(np.ascontiguousarray(records[name])) for name in fields)
    return Sequences(*(t.to(dtype) if t.is_floating_point() else t for t in tensors))


def episode_file(folder: Path | str, number: int) -> Path:
    """Where a replay's folder has an episode."""
    return Path(folder) / f"{number:06d}.npy"


def write_episode(file: Path, episode: Episode) -> None:
    """Write an episode's records, all or nothing."""
    write_whole(file, lambda stream: np.save(stream, episode, allow_pickle=False))


class HeldEpisode(NamedTuple):
    """An episode that a replay holds: its number, its records and the checksum of their bytes.

    The checksum is ``None`` in checkpoints of versions that kept none.
    """

    number: int
    length: int
    checksum: int | None = None


def same_episodes(a: Sequence[HeldEpisode], b: Sequence[HeldEpisode]) -> bool:
    """Whether two indices name the same episodes; a checksum that is not known counts as equal."""
    return [entry[:2] for entry in a] == [entry[:2] for entry in b] and all(
        x.checksum == y.checksum or None in (x.checksum, y.checksum) for x, y in zip(a, b, strict=True)
    )


class Replay:
    """The episodes of a run, in ``folder``/NNNNNN.npy.

    The oldest are dropped from the index when more than ``capacity`` steps are held, and their files deleted by
    :meth:`tidy`: not before a checkpoint that no longer needs them has been written, so that a killed run finds every
    file that its checkpoint names. Files are whole or absent.
    """

    def __init__(self, folder: Path | str, capacity: int) -> None:
        self.folder, self.capacity = Path(folder), arguments.integer("capacity", capacity, 1)
        make_folder(self.folder)
        self.index: list[HeldEpisode] = []  # in order
        self.steps = 0
        self._ends = np.zeros(0, np.int64)

    def add(self, number: int, episode: Episode) -> None:
        """Write an episode and take it into the index."""
        write_episode(self._file(number), episode)
        self._take([*self.index, HeldEpisode(number, len(episode), _checksum(episode))])

    def restore(self, index: Sequence[HeldEpisode], record: np.dtype[Any]) -> list[str]:
        """Go back to an earlier ``index`` of episodes of ``record``, see :func:`step_dtype`. Returns what is wrong with
        each episode that is missing or damaged.

        Such an episode is left out of the index. Its file, where there is one, is renamed to NNNNNN.damaged.
        """
        sound, wrong = [], []
        for entry in index:
            try:
                self._check(entry, record)
                sound.append(entry)
            except CheckpointError as error:
                wrong.append(str(error))
                if self._file(entry.number).exists():
                    self._file(entry.number).rename(self._file(entry.number).with_suffix(".damaged"))
                    sync_folder(self.folder)
        self._take(sound)
        self.tidy()
        return wrong

    def hold(self, numbers: Sequence[int]) -> None:
        """Take in episodes that are there already; every file stays as it is."""
        episodes = ((number, self.episode(number)) for number in numbers)
        self._take([HeldEpisode(number, len(episode), _checksum(episode)) for number, episode in episodes])

    def tidy(self) -> None:
        """Delete the episodes' files that the index does not hold; any other file stays."""
        held = {self._file(entry.number) for entry in self.index}
        for file in self.folder.iterdir():
            if file not in held and OWN_FILE.fullmatch(file.name):
                file.unlink()

    def episode(self, number: int) -> Episode:
        """The records of one episode, read when they are touched."""
        file = self._file(number)
        try:
            return np.load(file, mmap_mode="r", allow_pickle=False)
        except Exception as error:  # numpy raises errors of many kinds at a damaged header
            reason = str(error).partition("\n")[0]
            raise CheckpointError(f"{file}: missing or damaged ({reason})") from error

    def sample(self, sequences: int, length: int, generator: torch.Generator) -> Sequences:
        """Random stretches of the episodes laid end to end, each start equally likely.

        A stretch may run over the end of an episode: ``first`` says where. ``ValueError`` with fewer steps than
        ``length``.
        """
        sequences, length = arguments.integer("sequences", sequences, 1), arguments.integer("length", length, 1)
        if self.steps < length:
            raise ValueError(f"length: expected at most the {self.steps} steps collected, got {length}")
        starts = torch.randint(self.steps - length + 1, (sequences,), generator=generator).tolist()
        return to_sequences(np.stack([self._stretch(start, length) for start in starts]))

    def observations(self) -> Num[Tensor, "count ..."]:
        """Every observation held, (steps, *shape), in memory."""
        return torch.from_numpy(np.concatenate([self.episode(number)["observation"] for number, *_ in self.index]))

    def _stretch(self, start: int, length: int) -> Episode:
        parts, missing = [], length
        entry = int(np.searchsorted(self._ends, start, side="right"))
        offset = start - (int(self._ends[entry - 1]) if entry else 0)
        while missing:
            part = self.episode(self.index[entry].number)[offset : offset + missing]
            parts.append(part)
            missing -= len(part)
            entry, offset = entry + 1, 0
        return np.concatenate(parts)

    def _check(self, entry: HeldEpisode, record: np.dtype[Any]) -> None:
        episode, file = self.episode(entry.number), self._file(entry.number)
        if episode.dtype != record or episode.shape != (entry.length,):
            raise CheckpointError(
                f"{file}: expected {entry.length} steps of {record}, got shape {episode.shape} of {episode.dtype}"
            )
        if entry.checksum not in (None, _checksum(episode)):
            raise CheckpointError(f"{file}: damaged, its contents do not match its checksum")

    def _take(self, index: list[HeldEpisode]) -> None:
        lengths = [entry.length for entry in index]
        while sum(lengths) > self.capacity and len(lengths) > 1:
            lengths.pop(0)
        self.index = index[len(index) - len(lengths) :]
        self._ends = np.cumsum(lengths)
        self.steps = int(sum(lengths))

    def _file(self, number: int) -> Path:
        return episode_file(self.folder, number)


def _checksum(episode: Episode) -> int:
    return zlib.crc32(episode.tobytes())


def split(folder: Path | str, heldout: int) -> tuple[list[int], list[int]]:
    """Numbers of the episodes in a replay's folder: all but the last ``heldout``, and those."""
    heldout = arguments.integer("heldout", heldout)
    numbers = sorted(int(file.stem) for file in Path(folder).glob("*.npy"))
    if not 0 < heldout < len(numbers):
        raise ValueError(
            f"heldout: expected 1 or more, less than the {len(numbers)} episodes in {folder}, got {heldout}"
        )
    return numbers[:-heldout], numbers[-heldout:]
