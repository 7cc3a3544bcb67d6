"""For all tests: one thread, on which training repeats bitwise; and what belongs to the process is left as it was."""

import os
import signal
import warnings

import numpy as np
import pytest
import torch

torch.set_num_threads(1)


def shared() -> dict[str, object]:
    """What belongs to the whole process, and to no function of a library."""
    return {
        "threads": torch.get_num_threads(),
        "default dtype": torch.get_default_dtype(),
        "gradients": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "working directory": os.getcwd(),
        "Ctrl-C": signal.getsignal(signal.SIGINT),
        "SIGTERM": signal.getsignal(signal.SIGTERM),
        "numpy's errors": tuple(np.geterr().items()),
        # Those for all messages of a kind of Python's own. Libraries add some for theirs when they are first imported.
        "warning filters": [f for f in warnings.filters if f[1] is None and f[2].__module__ == "builtins"],
    }


@pytest.fixture(autouse=True)
def shared_state_is_left_as_it_was():
    """After every test, whatever it called."""
    before = shared()
    yield
    after = shared()
    assert {name: value for name, value in after.items() if value != before[name]} == {}
