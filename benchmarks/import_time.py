"""What ``import sdewm`` takes beyond ``import torch``: `python -m benchmarks.import_time --rounds 9`.

Seconds of processor time of whole processes, the two in turn so that a busy machine slows both alike; medians, and the
least. ``python -X importtime -c "import sdewm"`` says where they go.
"""

from __future__ import annotations

import argparse
import os
import sys
from statistics import median


def seconds(code: str) -> float:
    """Processor time of a fresh interpreter that runs the code."""
    child = os.posix_spawn(sys.executable, [sys.executable, "-c", code], os.environ)
    _, status, usage = os.wait4(child, 0)
    if status:
        raise RuntimeError(f"{code!r} failed")
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description="Time of import, next to torch's.")
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    seconds("import sdewm")  # bytecode and the file system's cache
    pairs = [(seconds("import torch"), seconds("import sdewm")) for _ in range(rounds)]
    torch, more = median(a for a, _ in pairs), median(b - a for a, b in pairs)
    print(f"torch {torch:.2f} s, sdewm {more:.2f} s more (least {min(b - a for a, b in pairs):.2f} s); ratio", end=" ")
    print(f"{median(b / a for a, b in pairs):.2f}, medians of {rounds} runs")


if __name__ == "__main__":
    main()
