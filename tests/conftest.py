"""For all tests: one thread, on which training repeats bitwise; and a trained run that several files look at."""

from pathlib import Path

import pytest
import torch
from support import DEBUG

from sdewm.worldmodel import train

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def whole(tmp_path_factory) -> Path:
    """A run of an agent that was never stopped."""
    run = tmp_path_factory.mktemp("whole")
    train(run, DEBUG)
    return run
