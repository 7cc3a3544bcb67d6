"""For all tests: one thread, on which training repeats bitwise; torch's numbers are the same whatever ran before; what
belongs to the process is left as it was; in CI, none is skipped for a reason that is not listed."""

import os
import signal
import warnings

import numpy as np
import pytest
import torch
from skips import unjustified

from sdewm.solvers.registry import METHODS

torch.set_num_threads(1)


def pytest_runtest_setup():
    """A network that a test makes has the same weights whichever tests ran before it, if any."""
    torch.manual_seed(0)


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
        # Those for all messages of a kind of Python's own, wherever from. Libraries add theirs at first import.
        "warning filters": [f for f in warnings.filters if f[1] is f[3] is None and f[2].__module__ == "builtins"],
        "methods": tuple(METHODS),
    }


@pytest.fixture(autouse=True)
def shared_state_is_left_as_it_was():
    """After every test, whatever it called."""
    before = shared()
    yield
    after = shared()
    assert {name: value for name, value in after.items() if value != before[name]} == {}


def fail_unjustified(report: pytest.TestReport | pytest.CollectReport) -> None:
    """In CI, a test that was skipped for a reason that is not in tests/skips.py has failed."""
    if not os.environ.get("CI") or not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if unjustified(reason):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI, for a reason that tests/skips.py does not list: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    report = yield
    fail_unjustified(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report():
    report = yield
    fail_unjustified(report)
    return report
