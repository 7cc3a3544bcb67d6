"""Tables that are made from declarations and records when the site is built, so that they cannot go stale."""

import ast
import json
import statistics
from dataclasses import fields
from pathlib import Path
from typing import get_args

from sdewm.solvers.registry import CALCULI, METHODS, strong_order
from sdewm.solvers.structure import NoiseKind
from sdewm.systems.sde import NOISE_TYPES
from sdewm.worldmodel import Config

RESULTS = Path(__file__).parents[1] / "results"


def methods():
    """Every method with what it declares."""
    rows = [
        "| `method=` | what it is | SDEs | noise | strong order | weak order | needs |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, stepper in sorted(METHODS.items(), key=lambda item: (":" in item[0], item[0])):
        noise = "any" if set(stepper.noise_types) == set(NOISE_TYPES) else ", ".join(stepper.noise_types)
        if set(stepper.structures) != set(get_args(NoiseKind)):
            noise = f"found {', '.join(stepper.structures)}"
        calculi = ", ".join(CALCULI[t] for t in stepper.sde_types)
        rows.append(
            f"| `{name}` | {stepper.summary} | {calculi} | {noise} | {strong_order(stepper)} | "
            f"{stepper.weak_order:g} | {_needs(stepper)} |"
        )
    return "\n".join(rows)


def _needs(stepper):
    needs = [
        "an SDE with stages" * stepper.sequential,
        "Lévy areas, where noises do not commute" * stepper.may_need_areas,
        "integrals of the noise over time" * stepper.needs_time_areas,
        "no jets: solves alone" * (not stepper.carries_jets),
    ]
    return "; ".join(need for need in needs if need) or "–"


KINDS = {"additive": "additive", "commute": "noises commute", "do not": "noises do not commute"}
FINE = ("as declared", "above", "exact")


def field_orders():
    """Orders of every scheme of the field on problems with a known solution, from ``results/problems.json``."""
    rows = [row for row in _field()["rows"] if "declared" in row]
    lines = [f"| | {' | '.join(KINDS.values())} |", "|---" * (len(KINDS) + 1) + "|"]
    for name in dict.fromkeys(_name(row) for row in sorted(rows, key=_place)):
        of_kind = {kind: [r for r in rows if _name(r) == name and _kind(r) == kind] for kind in KINDS}
        lines.append(f"| {name} | {' | '.join(_orders(found) for found in of_kind.values())} |")
    return "\n".join(lines)


def _field():
    return json.loads((RESULTS / "problems.json").read_text(encoding="utf-8"))


def _name(row):
    own = ", its own path" if row["path"] == "its own" else ""
    return f"`{row['method']}`{own}" if row["package"] == "sdewm" or ":" in row["method"] else row["method"] + own


def _place(row):
    """Ours first, then peer by peer; own paths last."""
    packages = ("sdewm", "torchsde", "diffrax", "sdeint")
    return packages.index(row["package"]), row.get("path") == "its own", row["method"]


def _kind(row):
    return {"additive": "additive", "general": "do not"}.get(row["noise"], "commute")


def _orders(rows):
    """The median of measured orders beside what is declared, and on how many problems it is there."""
    if not rows:
        return ""
    shown = [row["order"] for row in rows if row["regime"] == "asymptotic"]
    declared = "/".join(f"{d:g}" for d in sorted({row["declared"] for row in rows}))
    fine = sum(row["verdict"] in FINE for row in rows)
    measured = f"{statistics.median(shown):.2f}" if shown else "exact" if fine else "–"
    text = f"{measured} ({declared}), {fine} of {len(rows)}"
    return f"**{text}**" if any(row["verdict"] in WRONG for row in rows) else text


WRONG = ("below", "wrong limit", "does not converge", "not finite")


def field_exceptions():
    """Where a scheme does not show what it declares, or was left out: one line for each scheme and verdict."""
    lines = ["| scheme | problems | what was found |", "|---|---|---|"]
    found = {}
    for row in sorted(_field()["rows"], key=_place):
        if "left out" in row:
            found.setdefault((row["method"], f"left out: {row['left out']}"), []).append(row)
        elif "declared" in row and row["verdict"] not in FINE:
            found.setdefault((_name(row), row["verdict"]), []).append(row)
    for (name, verdict), cases in found.items():
        said = verdict
        if verdict == "below":
            orders = sorted(row["order"] for row in cases)
            said += f": {orders[0]:.2f} to {orders[-1]:.2f} for {cases[0]['declared']:g}"
        elif verdict == "no order shown":
            said += f": {', '.join(dict.fromkeys(_hidden(row) for row in cases))}"
        lines.append(f"| {name} | {'; '.join(row['problem'] for row in cases)} | {said} |")
    return "\n".join(lines)


def _hidden(row):
    """Why a row shows no order."""
    return "its interval holds two multiples of ½" if row["regime"] == "asymptotic" else row["regime"]


def hard_problems():
    """From how many steps on each scheme has the means of the stiff and super-linear problems."""
    rows = [row for row in _field()["rows"] if "errors" in row and "declared" not in row]
    problems = list(dict.fromkeys(row["problem"] for row in rows))
    lines = [f"| | {' | '.join(problems)} |", "|---" * (len(problems) + 1) + "|"]
    for name in dict.fromkeys(_name(row) for row in sorted(rows, key=_place)):
        found = {row["problem"]: row for row in rows if _name(row) == name}
        lines.append(f"| {name} | {' | '.join(_reached(found.get(problem)) for problem in problems)} |")
    return "\n".join(lines)


def _reached(row):
    if row is None:
        return ""
    return str(row["right from"]) if "right from" in row else f"more than {row['steps'][-1]}"


def field_times():
    """Which scheme of peers is how many times as fast as ours at the same steps, in a sentence."""
    rows = [row for row in _field()["rows"] if row.get("path") == "ours" and "declared" in row]

    def ratios(theirs, ours):
        of = {r["problem"]: r["microseconds"][-1] for r in rows if r["method"] == ours}
        return sorted(
            of[r["problem"]] / r["microseconds"][-1] for r in rows if r["method"] == theirs and r["problem"] in of
        )

    parts = []
    for theirs, ours in (
        ("diffrax:Euler", "euler"),
        ("diffrax:ItoMilstein", "milstein"),
        ("torchsde:srk", "taylor-1.5"),
    ):
        if found := ratios(theirs, ours):
            middle = statistics.median(found)
            parts.append(
                f"`{theirs}` {found[0]:.0f} to {found[-1]:.0f} times as `{ours}` is, {middle:.0f} in the median"
            )
    return "At equal numbers of steps these are faster: " + ", ".join(parts) + "."


def field_size():
    """How many problems and schemes there are in the record, and what was missing."""
    record = _field()
    rows = record["rows"]
    missing = sorted({row["package"] for row in rows if "missing" in row})
    text = f"{len({r['problem'] for r in rows})} problems, {len({_name(r) for r in rows if 'verdict' in r})} schemes"
    versions = ", ".join(f"{name} {record['environment'][name]}" for name in ("torchsde", "diffrax", "sdeint"))
    return f"{text}; {versions}" + (f"; not there: {', '.join(missing)}" if missing else "")


def measured_orders():
    """Measured strong orders with 95 % intervals, from ``results/strong_order.json``; the library's own methods."""
    systems = json.loads((RESULTS / "strong_order.json").read_text(encoding="utf-8"))["systems"]
    names = [name for name in sorted(METHODS) if ":" not in name]
    names = [name for name in names if any(row["method"] == name for s in systems for row in s["rows"])]
    rows = [f"| system | its noise | {' | '.join(f'`{name}`' for name in names)} |", "|---" * (len(names) + 2) + "|"]
    for s in systems:
        found = {row["method"]: row for row in s["rows"]}
        rows.append(f"| {s['system']} | {s['structure']} | {' | '.join(_order(found.get(name)) for name in names)} |")
    return "\n".join(rows)


def _order(row):
    if row is None or "slope" not in row:
        return ""
    low, high = row["interval"]
    return f"{row['slope']:.2f} ± {(high - low) / 2:.2f}"


def compiled_ratios():
    """A path-step's nanoseconds by a compiled walk, and how many times that others take: ``results/compiled.json``."""
    others = ("torch", "JAX", "torchsde")
    rows = [f"| system | carried | paths | compiled, ns | {' | '.join(others)} |", "|---" * 7 + "|"]
    for row in json.loads((RESULTS / "compiled.json").read_text(encoding="utf-8"))["rows"]:
        taken = row["nanoseconds"]
        times = [f"{taken[who] / taken['compiled']:.1f} ×" if who in taken else "–" for who in others]
        first = [row["system"], row["carried"], f"{row['paths']:,}", f"{taken['compiled']:.0f}"]
        rows.append(f"| {' | '.join(first + times)} |")
    return "\n".join(rows)


def settings():
    """Every setting of the world model and its agent, with what the command line says of it."""
    rows = ["| setting | default | what it is |", "|---|---|---|"]
    for field in fields(Config):
        text = field.metadata["help"].replace("|", "\\|").replace("*", "\\*")
        rows.append(f"| `{field.name}` | `{field.default}` | {text} |")
    return "\n".join(rows)


def benchmark_commands():
    """The command that makes each record of ``results/``, with the first sentence of the file that it runs."""
    rows = ["| what it measures | record, command |", "|---|---|"]
    for record in [*sorted(RESULTS.glob("*.json")), RESULTS / "agent" / "open_loop.json"]:
        path = record.relative_to(RESULTS.parent).as_posix()
        if record.stem == "theory_checks":
            command = f"python -m theory_checks --fresh --json {path}"
            text = "The paper's claims, held against numbers."
        else:
            source = (RESULTS.parent / "benchmarks" / f"{record.stem}.py").read_text(encoding="utf-8")
            # Some write to their place in results/ by default.
            command = f"python -m benchmarks.{record.stem}" + f" --json {path}" * (f'Path("{path}")' not in source)
            if f"writes ``{path}``" in source.replace("\n", " "):
                command = f"python -m benchmarks.{record.stem}"
            text = ast.get_docstring(ast.parse(source)).split("\n\n")[0].replace("\n", " ")
        rows.append(f"| {text.replace('|', chr(92) + '|')} | `{path}`: `{command}` |")
    return "\n".join(rows)


def perturbed():
    """How often predictions of losses under perturbed images hold, from ``results/pixels_to_epsilon.json``."""
    counts = _pixels()["counts"]
    whole, free, marked = counts["all"], counts["unflagged"], counts["flagged"]
    sharp, order, fitted = "sharp", "sharp and predicted within a fifth", "sharp and simulated within a fifth"
    return (
        f"Of {whole['rows']} increases the fitted SDE's hold in {whole['simulated holds']}: they are within a fifth of "
        f"what was measured, or two standard errors cannot tell. The second order's hold in {free['holds']} of "
        f"{free['rows']} without a flag and in {marked['holds']} of {marked['rows']} with one. Where both are known so "
        f"well that error bars excuse nothing, {free[order]} of {free[sharp]} unflagged and {marked[order]} of "
        f"{marked[sharp]} flagged are within a fifth, and {whole[fitted]} of {whole[sharp]} of the fitted SDE's. The "
        f"95 % intervals hold what was measured in {whole['covered']} rows, the fitted SDE's in "
        f"{whole['simulated covered']}."
    )


def perturbed_reach():
    """Up to which size, in latent spreads, the second order holds: the least and the largest over models."""
    rows = _pixels()["breakdown, spreads"]
    losses = list(dict.fromkeys(row["loss"] for row in rows))
    lines = [
        f"| second order holds up to, in latent spreads | {' | '.join(losses)} |",
        "|---" * (len(losses) + 1) + "|",
    ]
    for kind in dict.fromkeys(row["kind"] for row in rows):
        cells = []
        for loss in losses:
            found = [row["holds"] or 0.0 for row in rows if (row["kind"], row["loss"]) == (kind, loss)]
            cells.append(f"{min(found):.2g} to {max(found):.2g}")
        lines.append(f"| {kind}, over models | {' | '.join(cells)} |")
    return "\n".join(lines)


def _pixels():
    return json.loads((RESULTS / "pixels_to_epsilon.json").read_text(encoding="utf-8"))["summary"]


def gallery():
    """Every example: what it shows, its picture, its program. Pictures are kept; nothing is run here."""
    parts = []
    for path in sorted((Path(__file__).parent / "examples").glob("*.py")):
        source = path.read_text(encoding="utf-8")
        picture = f"_static/examples/{path.stem}.svg"
        if not (Path(__file__).parent / picture).exists():
            continue
        title, _, text = ast.get_docstring(ast.parse(source)).partition("\n\n")
        program = source[source.index('"""', 3) + 3 :].strip()
        parts.append(
            f"## {title.rstrip('.')}\n\n{text}\n\n![{title}]({picture})\n\n"
            f"```{{code-block}} python\n:caption: docs/examples/{path.name}\n\n{program}\n```\n"
        )
    return "\n".join(parts)
