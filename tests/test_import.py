"""``import sdewm``: little more than torch, and nothing in the process is changed by it."""

from __future__ import annotations

import json
import subprocess
import sys

STATE = """
import json, random, resource, sys, warnings
import numpy, torch

def state():
    return {
        "threads": torch.get_num_threads(), "interop": torch.get_num_interop_threads(),
        "dtype": str(torch.get_default_dtype()), "device": str(torch.get_default_device()),
        "grad": torch.is_grad_enabled(), "deterministic": torch.are_deterministic_algorithms_enabled(),
        "filters": [repr(f) for f in warnings.filters], "torch": torch.get_rng_state().sum().item(),
        "numpy": repr(numpy.random.get_state()), "python": repr(random.getstate()),
        "errors": numpy.geterr(), "hooks": [repr(sys.excepthook), repr(sys.displayhook)],
        "printing": repr(numpy.get_printoptions()), "recursion": sys.getrecursionlimit(),
    }
"""
ASKED = """
before = state()
import sdewm
after = state()
from sdewm.jets.memory import keep_freed_memory
calls = keep_freed_memory.cache_info().currsize
sdewm.jets.JetSpace(1, 1)
print(json.dumps([
    [name for name in before if before[name] != after[name]],
    calls, keep_freed_memory.cache_info().currsize,
    sorted({name.partition(".")[0] for name in sys.modules}), sorted(name for name in sys.modules if "scipy." in name),
]))
"""


def asked(code: str) -> list:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_nothing_in_the_process_is_changed():
    """Threads, default dtype, warning filters, random states and what else libraries like to set."""
    changed, calls, later, _, _ = asked(STATE + ASKED)
    assert changed == []
    # The allocator's thresholds are moved when there are jets, and not before.
    assert (calls, later) == (0, 1)


def test_what_is_not_needed_at_once_is_not_imported():
    """scipy's parts are imported where they are used, which saves most of a second; the drawing and the tables too."""
    _, _, _, packages, parts = asked(STATE + ASKED)
    absent = {"matplotlib", "torchsde", "rich", "gymnasium", "dm_control", "safetensors", "beartype", "jax", "IPython"}
    assert absent.isdisjoint(packages)
    heavy = ("scipy.stats", "scipy.sparse", "scipy.special", "scipy.linalg", "scipy.optimize", "scipy.integrate")
    assert [name for name in parts if name.startswith(heavy)] == []


def test_memory_hardly_grows():
    """The modules' own, some 20 MiB, scipy's and numpy's beside torch's among them."""
    code = """
import json, torch, numpy
def kib():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1])
before = kib()
import sdewm
print(json.dumps([kib() - before]))
"""
    (grown,) = asked(code)
    assert grown < 40 * 1024, f"{grown} KiB"
