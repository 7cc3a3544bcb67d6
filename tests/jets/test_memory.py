"""Memory that jets free is kept, in every thread, and whatever thresholds the environment sets."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

WALKED = """
import resource, threading, torch
from sdewm.jets import JetSpace, Parameter
{before}
space = JetSpace(1, 3)
eps = Parameter(space, 0)
state = torch.ones(4096, 64, dtype=torch.float64)

def walk():
    x = state + eps * state
    for _ in range(10):
        x = torch.tanh(x) * x

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def asked():
    walk()
    before = faults()
    walk()
    print(faults() - before)

thread = threading.Thread(target=asked)
thread.start()
thread.join()
"""


def faults(before: str = "") -> int:
    """Page faults of a walk over jets of 8 MiB, in a thread whose environment asks to return what is freed."""
    done = subprocess.run(
        [sys.executable, "-c", WALKED.format(before=before)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "MALLOC_TRIM_THRESHOLD_": "65536", "OMP_NUM_THREADS": "1"},
    )
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc alone")
def test_what_jets_free_is_not_returned_to_the_system():
    """A Dask worker sets this variable; with it stacks of coefficients were mapped anew, at twice the time."""
    left_alone = "import sdewm.jets.space; sdewm.jets.space.keep_freed_memory = lambda: None"
    assert faults() < 0.1 * faults(left_alone)


def test_importing_makes_no_space():
    """The first space changes settings of the whole process, which an import should leave alone."""
    code = "import sdewm, sdewm.expansion, sdewm.verification, sdewm.jets.space as s; print(len(s._Cached._made))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"
