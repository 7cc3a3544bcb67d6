"""Which mistakes do the tests see? One at a time is made in a file of formulas, and the tests of that file are run.

    python -m benchmarks.mutations divergence.bounds solvers.schemes.milstein --sample 40 --json mutations.json
    python -m benchmarks.mutations --only "check dropped"

A *mutant* is the file with one number, sign, operator, comparison or min/max changed, or one check dropped. It is
*killed* if a test fails or runs for too long, and *survives* if none does: then either no test looks there, or the
change makes no difference that a user could see. Nothing is written into the sources: each mutant is compiled in a
process of its own, forked from one that has imported the heavy libraries already.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib
import importlib.machinery
import io
import json
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# The files of formulas, the test files that are to see a mistake in each, and which of their tests (pytest's -k).
TESTS: dict[str, tuple[tuple[str, ...], str]] = {
    "divergence.bounds": (("divergence/test_bounds",), ""),
    "divergence.lipschitz": (("divergence/test_lipschitz",), ""),
    "divergence.gru_cell": (("divergence/test_gru_cell",), ""),
    "divergence.interval": (("divergence/test_interval",), ""),
    "verdicts.judge": (("verdicts/test_significance",), ""),
    "estimate.estimates": (("estimate/test_samples", "test_properties"), ""),
    "estimate.samples": (("estimate/test_samples", "test_properties"), ""),
    "expansion.taylor": (("expansion/test_taylor", "expansion/test_remainders"), ""),
    "expansion.remainders": (("expansion/test_taylor", "expansion/test_remainders"), ""),
    "expansion.rates": (("expansion/test_rates", "expansion/test_taylor"), ""),
    "expansion.expected_loss": (("test_properties", "expansion/test_expected_loss"), ""),
    "expansion.pathwise_derivatives": (("test_properties", "expansion/test_pathwise_derivatives"), ""),
    "expansion.power_series": (("test_properties", "expansion/test_power_series"), ""),
    "expansion.ending": (("expansion/test_power_series", "expansion/test_expected_loss"), ""),
    "expansion.unreached": (("expansion/test_unreached",), ""),
    "expansion.lines": (("expansion/test_unreached",), ""),
    "expansion.to_tolerance": (("expansion/test_to_tolerance",), ""),
    "divergence.distances": (("divergence/test_bounds", "divergence/test_rollout_terms"), ""),
    "divergence.rollout_terms": (("divergence/test_rollout_terms",), ""),
    "sensitivity.steps": (("sensitivity/test_initial_value", "sensitivity/test_systems"), ""),
    "sensitivity.systems": (("sensitivity/test_initial_value", "sensitivity/test_systems"), ""),
    "sensitivity.commuting": (("sensitivity/test_initial_value", "sensitivity/test_systems"), ""),
    "sensitivity.initial_value": (("sensitivity/test_initial_value", "sensitivity/test_systems"), ""),
    "solvers.schemes.milstein": (("solvers/test_moments", "solvers/test_milstein"), "milstein"),
    "solvers.schemes.sri2": (("solvers/test_moments",), "sri2"),
    "solvers.schemes.platen_weak": (("solvers/test_moments",), "platen"),
    "solvers.schemes.heun": (("solvers/test_moments",), "heun"),
    "solvers.order_fit": (("solvers/test_order_fit",), ""),
    "solvers.order_regime": (("solvers/test_order_fit", "solvers/test_order_regime"), ""),
    "solvers.structure": (("solvers/test_structure",), ""),
    "solvers.held_structure": (("solvers/test_structure", "solvers/test_held_structure"), ""),
    "solvers.adaptive": (("solvers/test_adaptive",), ""),
    "verification.store": (
        ("theory_checks/test_resume",),
        "(damaged or another_unit or same_unit or other_code or change_of_the_code or nothing or users_cache or "
        "what_the_run_reported) and not thousands and not fresh",
    ),
    "systems.checks": (("systems/test_checks", "systems/test_checks_later"), ""),
    "systems.row_checks": (("systems/test_row_checks", "systems/test_checks"), ""),
    "arguments": (("test_arguments",), ""),
    "noise.sobol": (("noise/test_sobol",), ""),
    "noise.components": (("noise/test_components", "noise/test_sobol", "noise/test_samplers"), ""),
    "noise.levy": (("noise/test_levy",), ""),
    "noise.area_plan": (("noise/test_area_plan",), ""),
    "noise.area_moments": (("noise/test_area_moments",), ""),
    "noise.integrals": (("noise/test_integrals",), ""),
    "jets.space": (("jets/test_space", "jets/test_jets"), ""),
    "jets.elementwise": (("jets/test_elementwise",), ""),
    "jets.linear_algebra": (("jets/test_linear_algebra",), ""),
    "jets.proof": (("jets/test_proof",), ""),
    "jets.edges": (("jets/test_edges",), ""),
    "jets.kinks": (("jets/test_kinks",), ""),
    "jets.slopes": (("jets/test_slopes",), ""),
}
OPERATORS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.MatMult: ast.Add,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
NAMES = {
    "min": "max", "max": "min", "amin": "amax", "amax": "amin", "minimum": "maximum", "maximum": "minimum",
    "sin": "cos", "cos": "sin", "argmax": "argmin", "argmin": "argmax", "cummax": "cummin", "sum": "mean",
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One change: the node's place among the file's nodes, where it stands, and what it does."""

    module: str
    node: int
    line: int
    change: str


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant: "killed", "timeout" or "survived"; the line as it was; the seconds that it took."""

    module: str
    line: int
    change: str
    text: str
    status: str
    seconds: float


def mutants(module: str) -> list[Mutant]:
    """Every mutant of a module, in the order of its lines."""
    tree = ast.parse(_file(module).read_text(encoding="utf-8"))
    skipped = set(_unseen(tree))
    found = []
    for i, node in enumerate(ast.walk(tree)):
        if id(node) not in skipped and (change := _mutate(copy.deepcopy(node))) is not None:
            found.append(Mutant(module, i, getattr(node, "lineno", 0), change))
    return sorted(found, key=lambda m: (m.line, m.node))


def _unseen(tree: ast.AST) -> Iterator[int]:
    """Nodes that are not formulas: annotations, docstrings, messages of errors, what runs while types are checked."""
    for node in ast.walk(tree):
        aside: list[ast.AST | None] = []
        if isinstance(node, ast.Raise | ast.JoinedStr | ast.Assert):
            aside.append(node)
        if isinstance(node, ast.AnnAssign | ast.arg):
            aside.append(node.annotation)
        if isinstance(node, ast.FunctionDef):
            aside += [node.returns, *node.decorator_list]
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == "Literal":
            aside.append(node)
        for root in aside:
            if root is not None:
                yield from map(id, ast.walk(root))


def _mutate(node: ast.AST) -> str | None:
    """Change the node in place and say how, or ``None`` where it is of no kind that is changed."""
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        old = node.value
        node.value = old + 1 if type(old) is int else (2 * old if old else 1.0)
        return f"{old} → {node.value}"
    if isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in OPERATORS:
        return _swap(node, "op")
    if isinstance(node, ast.BoolOp):
        return _swap(node, "op")
    if isinstance(node, ast.If) and all(isinstance(line, ast.Raise) for line in node.body):
        node.test = ast.Constant(False)
        return "check dropped"
    if isinstance(node, ast.Compare) and type(node.ops[0]) in OPERATORS:
        old, new = type(node.ops[0]), OPERATORS[type(node.ops[0])]
        node.ops[0] = new()
        return f"{old.__name__} → {new.__name__}"
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        node.op = ast.UAdd()
        return "− → +"
    if isinstance(node, ast.Name) and node.id in NAMES:
        node.id, old_name = NAMES[node.id], node.id
        return f"{old_name} → {node.id}"
    if isinstance(node, ast.Attribute) and node.attr in NAMES:
        node.attr, old_name = NAMES[node.attr], node.attr
        return f"{old_name} → {node.attr}"
    return None


def _swap(node: ast.AST, field: str) -> str:
    old = type(getattr(node, field))
    setattr(node, field, OPERATORS[old]())
    return f"{old.__name__} → {OPERATORS[old].__name__}"


def run(mutant: Mutant | None, tests: tuple[tuple[str, ...], str], limit: float) -> tuple[str, float]:
    """Status and seconds of a mutant; of the code as it is for ``None``."""
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        with open(os.devnull, "w") as null:
            os.dup2(null.fileno(), 1)
            os.dup2(null.fileno(), 2)
        code = 3
        try:
            code = _tests(mutant, tests)
        except BaseException:
            code = 1
        finally:
            os._exit(code)
    while time.monotonic() - started < limit:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            survived = os.waitstatus_to_exitcode(status) == 0
            return ("survived" if survived else "killed"), time.monotonic() - started
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "timeout", limit


def _tests(mutant: Mutant | None, tests: tuple[tuple[str, ...], str]) -> int:
    import pytest

    if mutant is not None:
        _install(mutant)
    names, keyword = tests
    files = [str(ROOT / "tests" / f"{name}.py") for name in names]
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        return int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "--rootdir", str(ROOT), "-k", keyword, *files]))


def _install(mutant: Mutant) -> None:
    """Compile the mutant whenever its module is imported."""
    original = importlib.machinery.SourceFileLoader.get_code
    name = f"sdewm.{mutant.module}"

    def get_code(self, fullname):
        if fullname != name:
            return original(self, fullname)
        tree = ast.parse(_file(mutant.module).read_text(encoding="utf-8"))
        _mutate(list(ast.walk(tree))[mutant.node])
        return compile(ast.fix_missing_locations(tree), self.get_filename(fullname), "exec")

    importlib.machinery.SourceFileLoader.get_code = get_code


def _file(module: str) -> Path:
    return ROOT / "sdewm" / (module.replace(".", "/") + ".py")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", default=list(TESTS), metavar="module", help=f"of {', '.join(TESTS)}")
    parser.add_argument("--sample", type=int, default=40, help="mutants of each module; all if it has fewer")
    parser.add_argument(
        "--only", default="", metavar="TEXT", help='of the mutants whose change has TEXT: "check dropped"'
    )
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument(
        "--limit", type=float, help="seconds until a mutant counts as hanging; measured on the code as it is by default"
    )
    parser.add_argument("--json", type=Path, help="a record that later runs add to")
    options = parser.parse_args(arguments)
    for name in set(options.modules) - set(TESTS):
        parser.error(f"module: expected one of {list(TESTS)}, got {name!r}")
    for heavy in ("torch", "scipy.stats", "scipy.integrate", "hypothesis", "matplotlib", "rich.table", "torch.func"):
        importlib.import_module(heavy)
    record = json.loads(options.json.read_text()) if options.json and options.json.exists() else {}
    for module in options.modules:
        every = [m for m in mutants(module) if options.only in m.change]
        chosen = random.Random(options.seed).sample(every, min(options.sample, len(every)))
        limit = options.limit
        if limit is None:
            status, seconds = run(None, TESTS[module], 3600)
            if status != "survived":
                print(f"{module}: its tests fail as it is; {TESTS[module]}")
                return 1
            limit = 30 + 5 * seconds
        lines = _file(module).read_text(encoding="utf-8").splitlines()
        found = []
        for mutant in sorted(chosen, key=lambda m: (m.line, m.node)):
            status, took = run(mutant, TESTS[module], limit)
            text = lines[mutant.line - 1].strip()
            found.append(Outcome(module, mutant.line, mutant.change, text, status, round(took, 1)))
            if status == "survived":
                print(f"{module}:{mutant.line}: {mutant.change}: {text}", flush=True)
        survivors = sum(o.status == "survived" for o in found)
        print(f"{module}: {len(found)} of {len(every)} mutants, {survivors} survive", flush=True)
        record[module] = {"mutants": len(every), "seed": options.seed, "outcomes": [asdict(o) for o in found]}
        if options.json:
            options.json.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
