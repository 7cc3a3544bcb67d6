"""Whether the exit status of the checks depends on the seed: the expansion's claims on the closed-form systems.

``python -m benchmarks.seeds`` runs ``python -m theory_checks`` on each system with one seed after the other and counts
exit statuses and rows by status. ``--seeds N`` takes N of them (50), ``--system NAME`` one system, ``--quick`` the
precision of ``--quick``. ``--json PATH`` is written after each run, and runs that it already has are not made again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from sdewm.verdicts.record import environment
from theory_checks.discovery import claims

EXPANSION = [name for name, claim in claims().items() if claim.samples == "expansion"]
SYSTEMS = ("gbm", "ou", "circle", "linear", "latent-linear")


def run(system: str, seed: int, quick: bool) -> dict[str, Any]:
    """One run's exit status, its rows by form and status, and how many paths its largest row took."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.json"
        command = [
            sys.executable, "-m", "theory_checks", *EXPANSION, "--system", system, "--seed", str(seed),
            "--workers", "1", "--json", str(path), *(["--quick"] if quick else []),
        ]  # fmt: skip
        status = subprocess.run(command, capture_output=True).returncode
        written = json.loads(path.read_text(encoding="utf-8"))
    counts = Counter(f"{r['form']} {r['status']}" for r in written["records"])
    return {
        "system": system,
        "seed": seed,
        "quick": quick,
        "exit status": status,
        "rows": dict(counts),
        "left out": len(written["left out"]),
        "most paths": max(r["paths"] for r in written["records"]),
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.seeds", description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=50, help="how many, from 0 on (50)")
    parser.add_argument("--system", action="append", choices=SYSTEMS, help="this system only; may be repeated")
    parser.add_argument("--quick", action="store_true", help="at the precision of theory_checks --quick")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the record to PATH, or go on with it")
    args = parser.parse_args()
    runs: list[dict[str, Any]] = []
    if args.json is not None and args.json.exists():
        runs = json.loads(args.json.read_text(encoding="utf-8"))["runs"]
    done = {(r["system"], r["seed"], r["quick"]) for r in runs}
    for system in args.system or SYSTEMS:
        for seed in range(args.seeds):
            if (system, seed, args.quick) in done:
                continue
            runs.append(run(system, seed, args.quick))
            if args.json is not None:
                record = {"environment": environment(), "runs": runs}
                args.json.write_text(json.dumps(record, indent=1, ensure_ascii=False), encoding="utf-8")
    for system, quick in dict.fromkeys((r["system"], r["quick"]) for r in runs):
        of = [r for r in runs if (r["system"], r["quick"]) == (system, quick)]
        exits = Counter(r["exit status"] for r in of)
        rows = sum((Counter(r["rows"]) for r in of), Counter())
        print(f"{system}{', quick' if quick else ''}: {len(of)} seeds, exit status {dict(exits)}, rows {dict(rows)}")
    return 0 if all(r["exit status"] == 0 for r in runs) else 1


if __name__ == "__main__":
    raise SystemExit(main())
