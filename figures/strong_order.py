"""Strong error against the step, and the order measured of every stepper on every system: ours, and our peers'.

Where the noises commute, Milstein's scheme has order 1. Where they do not it needs iterated integrals: without them it
falls to ½ or does not converge, unless it refuses. Errors are against our Milstein scheme at finer steps on the same
paths; Euler, which has no correction in common with it, says that its limit is right. On the latent model the drift's
error, of order 1, is the larger part of Euler's and Heun's at these steps; the rows after it show their order. Milstein's
scheme in Stratonovich form is in the record, and draws the points of the other.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from figures.record import load
from figures.style import CERTIFIED, CORRECTED, GUIDE, MEASURED, OTHER, PRINTED, Look, save, slope_triangle, styled

OURS = {
    "euler": Look("#111111", ":", "o"),
    "heun": Look("#888888", ":", "D"),
    "milstein": CORRECTED,
    "sri2": CERTIFIED,
    "platen-weak": OTHER[0],
}
PEERS = {
    "diffrax ItoMilstein": PRINTED,
    "diffrax StratonovichMilstein": Look(PRINTED.color, "--", "P"),
    "torchsde Milstein (Itô)": OTHER[2],
    "torchsde Milstein (Stratonovich)": Look(OTHER[2].color, "--", "v"),
}
PANELS = {
    "diagonal": "noises that commute",
    "non-commuting": "noises that do not commute",
    "declared diagonal": "noises that do not commute,\ndeclared diagonal",
}
DRAWN = ("milstein", "euler", "diffrax ItoMilstein", "torchsde Milstein (Itô)", "torchsde Milstein (Stratonovich)")


def draw(results: Path, out: Path) -> list[Path]:
    command = f"python -m benchmarks.strong_order --json {results / 'strong_order.json'}"
    every = load(results, "strong_order.json", command)["systems"]
    every.sort(key=lambda s: s["structure"] == "general")  # those whose noises commute come first
    systems = {s["system"]: s for s in every}
    with styled(7.2, 7.0) as figure:
        top, bottom = figure.subfigures(2, 1, height_ratios=(1, 1.75))  # type: ignore[misc]
        for axes, (system, title) in zip(top.subplots(1, len(PANELS)), PANELS.items(), strict=True):
            _errors(axes, systems[system])
            axes.set_title(title)
        ours, peers = bottom.subplots(1, 2, sharey=True)
        for axes, looks, title in ((ours, OURS, "ours"), (peers, PEERS, "Milstein's scheme of the peers")):
            _orders(axes, every, looks)
            axes.set(title=title, xlabel="order of the strong error (95 % intervals)")
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=3 if looks is OURS else 2)
        ours.set_yticks(range(len(every)), [f"{s['system']} ({s['paths']})" for s in every])
        for row, s in enumerate(every):
            peers.annotate(refusals(s["rows"]), (-0.1, row), fontsize=6.5, va="center")
        figure.suptitle(
            "On noises that do not commute our Milstein scheme keeps its order 1; the peers' has ½ or none,\n"
            "or refuses (number of paths in brackets)",
            fontsize=9,
        )
        return save(figure, out, "strong_order")


def _errors(axes: Axes, system: dict[str, Any]) -> None:
    rows = {row["method"]: row for row in system["rows"] if "slope" in row}
    for method in DRAWN:
        if method in rows:
            row, look = rows[method], (OURS | PEERS)[method]
            hollow = {"mfc": "none", "ms": 7} if method == "milstein" else {}
            axes.errorbar(row["dt"], row["errors"], [2 * e for e in row["stderrs"]], **look.line(), **hollow)
    axes.set(xscale="log", yscale="log", xlabel="Δt")


def _orders(axes: Axes, systems: list[dict[str, Any]], looks: dict[str, Look]) -> None:
    for order in (0.5, 1.0):
        axes.axvline(order, **GUIDE)
    axes.axhline(sum(s["structure"] != "general" for s in systems) - 0.5, **GUIDE)
    for k, (method, look) in enumerate(looks.items()):
        shift = 0.7 * ((k + 0.5) / len(looks) - 0.5)
        found = [
            (i + shift, r) for i, s in enumerate(systems) for r in s["rows"] if r["method"] == method and "slope" in r
        ]
        slopes = [r["slope"] for _, r in found]
        bars = [[r["slope"] - r["interval"][0] for _, r in found], [r["interval"][1] - r["slope"] for _, r in found]]
        axes.errorbar(slopes, [y for y, _ in found], xerr=bars, ls="", marker=look.marker, color=look.color, ms=3.5,
                      capsize=0, elinewidth=1, label=method)  # fmt: skip
    axes.set(xlim=(-0.15, 1.15), ylim=(len(systems) - 0.5, -0.5), xticks=(0, 0.5, 1))


def refusals(rows: list[dict[str, Any]]) -> str:
    """Which peers have no order on a system: an exception is theirs, any other reason is why they were not run."""
    found: dict[str, None] = {}
    for row in rows:
        peer = row["method"].split()[0]
        if "refused" in row and peer in ("torchsde", "diffrax"):
            refuses = row["refused"].partition(":")[0].endswith("Error")
            found[f"{peer} refuses" if refuses else f"{peer} not run: {row['refused']}"] = None
    return "\n".join(found)
