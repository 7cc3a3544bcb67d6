"""Verification of systems that the project does not know: `python -m benchmarks.verify_users`.

Six as users write them, in ``benchmarks/users/``, and some with a mistake each: lines of the user's code (neither blank
nor comments), seconds of the processor, which what else runs hardly changes, and the verdict or the refusal.
``--json PATH`` records.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import io
import json
import time
import tokenize
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

import sdewm
from benchmarks.users.mistakes import MISTAKES
from sdewm.verdicts.record import environment

USERS = ("general_noise", "torchsde_module", "lorenz", "heston", "gru_world_model", "rssm")
QUIET = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def lines_of_code(text: str) -> int:
    """Lines with something on them that is neither a comment nor a text that stands alone."""
    found: set[int] = set()
    alone = True
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in QUIET:
            alone = alone or token.type == tokenize.NEWLINE
        elif not (alone and token.type == tokenize.STRING):
            found.update(range(token.start[0], token.end[0] + 1))
            alone = False
    return len(found)


def held(make: Callable[[], sdewm.System], code: str, precision: float, seed: int) -> dict[str, Any]:
    """One system's record."""
    system, started, processor = make(), time.perf_counter(), time.process_time()
    record: dict[str, Any] = {"system": system.name, "lines": lines_of_code(code)}

    def spent() -> dict[str, float]:
        return {"seconds": time.perf_counter() - started, "processor seconds": time.process_time() - processor}

    try:
        report = sdewm.verify(system, precision=precision, seed=seed)
    except ValueError as error:
        return {**record, **spent(), "verdict": f"refused. {error}"}
    return {
        **record,
        **spent(),
        "verdict": report.verdict.removeprefix(f"{system.name}: "),
        "refuted": len(report.refuted),
        "left out": len(report.left_out),
        "warnings": list(report.warnings),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Verification of systems that the project does not know.")
    parser.add_argument("--precision", type=float, default=1e-2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    modules = [importlib.import_module(f"benchmarks.users.{name}") for name in USERS]
    systems = [(module.system, inspect.getsource(module)) for module in modules]
    systems += [(mistake, inspect.getsource(mistake)) for mistake in MISTAKES]
    records = []
    table = Table("system", "lines", "s", "verdict", pad_edge=False)
    for make, code in systems:
        records.append(held(make, code, arguments.precision, arguments.seed))
        found = records[-1]
        table.add_row(found["system"], str(found["lines"]), f"{found['processor seconds']:.1f}", found["verdict"])
    Console(width=160).print(table, highlight=False)
    if arguments.json is not None:
        run = {"precision": arguments.precision, "seed": arguments.seed}
        written = {"run": run, "environment": environment(), "records": records}
        arguments.json.write_text(json.dumps(written, indent=1, ensure_ascii=False), encoding="utf-8")


if __name__ == "__main__":
    main()
