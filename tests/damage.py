"""Files, damaged at random: what happens to them on disks, in transfers and by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def damage(file: Path, rng: np.random.Generator) -> str:
    """Damage a file in one of many ways; says how."""
    data = file.read_bytes() or b"\0"
    how = str(rng.choice(["bits", "cut", "front", "zeros", "text", "empty", "gone", "folder", "binary", "swapped"]))
    if how == "bits":
        bad = np.frombuffer(data, np.uint8).copy()
        where = rng.integers(len(bad), size=rng.integers(1, 9))
        bad[where] ^= np.uint8(1 << rng.integers(8))
        data = bad.tobytes()
    elif how == "cut":
        data = data[: rng.integers(len(data))]
    elif how == "front":
        data = rng.bytes(int(rng.integers(1, 20))) + data
    elif how == "zeros":  # as after a power loss
        start = int(rng.integers(len(data)))
        data = data[:start] + bytes(len(data) - start)
    elif how == "text":
        data = [b"{}", b"[]", b"null", b'{"checkpoint": 7}', b"[" * 100_000, b'{"a": 1e999}', b"\n\n"][rng.integers(7)]
    elif how == "empty":
        data = b""
    elif how == "binary":
        data = rng.bytes(int(rng.integers(1, 5000)))
    elif how == "swapped":
        half = len(data) // 2
        data = data[half:] + data[:half]
    file.unlink()
    if how == "folder":
        file.mkdir()
    elif how != "gone":
        file.write_bytes(data)
    return how
