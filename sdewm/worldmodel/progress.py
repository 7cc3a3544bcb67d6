"""A run's place in its loop."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any

from sdewm.worldmodel.replay import HeldEpisode


@dataclass
class Progress:
    """Where a run is in its loop."""

    update: int = 0
    owed: float = 0.0  # updates that the episodes played so far have paid for and that are not done
    attempts: int = 0  # episodes begun
    episodes: int = 0  # episodes in the replay, dropped ones included
    frames: int = 0
    discarded: int = 0
    failed_in_a_row: int = 0
    damaged: int = 0  # episodes that were found damaged or missing when the run was resumed
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    metrics_bytes: int = 0
    offline: bool = False  # fitted to a fixed replay
    replay: list[HeldEpisode] = field(default_factory=list)

    @staticmethod
    def from_dict(values: Any) -> Progress:
        """From a checkpoint's metadata; ``ValueError`` where a name or a type is not as above."""
        known: dict[str, Any] = {f.name: type(f.default) for f in fields(Progress) if f.name != "replay"}
        if not isinstance(values, dict) or not values.keys() <= known.keys() | {"replay"}:
            raise ValueError(f"progress: expected an object with the names {', '.join(known)} and replay, got {values}")
        for name, kind in known.items():
            value = values.get(name, kind())
            right = type(value) is kind or (kind is float and type(value) is int)
            if not right or not math.isfinite(value) or value < 0:
                raise ValueError(f"progress: {name}: expected {kind.__name__} of at least 0, got {value!r}")
        replay = values.get("replay", [])
        whole = all(
            isinstance(entry, list) and len(entry) in (2, 3) and all(type(v) is int and v >= 0 for v in entry)
            for entry in (replay if isinstance(replay, list) else [None])
        )
        if not whole:
            raise ValueError("progress: replay: expected number, length and checksum of each episode")
        return Progress(**(values | {"replay": [HeldEpisode(*entry) for entry in replay]}))
