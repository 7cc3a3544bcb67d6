"""Seeds for the parts of a run, all from its own."""

from __future__ import annotations

import numpy as np


def derived_seed(seed: int, purpose: str, number: int) -> int:
    """A seed of its own for each purpose and number of a run."""
    words = [seed, *purpose.encode(), 256, number]  # 256 is no byte: purposes of other lengths cannot collide
    return int(np.random.SeedSequence(words).generate_state(1)[0])
