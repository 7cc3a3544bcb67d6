"""A trained run that several files look at."""

from pathlib import Path

import pytest
from training_runs import DEBUG

from sdewm.worldmodel import train


@pytest.fixture(scope="session")
def whole(tmp_path_factory) -> Path:
    """A run of an agent that was never stopped."""
    run = tmp_path_factory.mktemp("whole")
    train(run, DEBUG)
    return run
