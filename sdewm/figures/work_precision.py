"""Strong error against processor time, scheme by scheme, on problems with a known solution: ours, and our peers'.

Times are per path, of a whole solve with the noise that it takes: drawn by ours where all see the same paths, by its
own generator where a peer is run by its own solve. Of a peer's schemes on our paths that of the least error at the
shortest step is drawn, with its name. JAX's compilation is not counted.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from sdewm.drawing import CERTIFIED, CORRECTED, GUIDE, MEASURED, OTHER, PRINTED, Look, save, styled
from sdewm.figures.record import load

PANELS = {
    "exponential, ito": "one noise (Itô)",
    "square of time, ito": "additive noise",
    "spiral, ito": "two noises that commute (Itô)",
    "spiral, stratonovich": "two noises that commute\n(Stratonovich)",
    "exponential of an integral, ito": "two noises that do not\ncommute (Itô)",
}
# How large a letter of a scheme's name is, how far a name is from its point, and half a marker, in parts of a panel.
LETTER, GAP, MARKER = (0.0235, 0.05), 0.03, 0.02
LOW, HIGH = 1e-13, 1e9  # errors at rounding are no errors of a scheme
LOOKS = {
    "ours, Euler or Heun": Look(MEASURED.color, ":", MEASURED.marker),
    "ours, order 1": CORRECTED,
    "ours, order 1.5": Look(CORRECTED.color, "--", "D"),
    "torchsde, our path": PRINTED,
    "torchsde, its own solve and path": Look(PRINTED.color, ":", "d"),
    "diffrax's step in a JAX loop, our path": CERTIFIED,
    "diffrax, its own solve and path": Look(CERTIFIED.color, ":", ">"),
    "sdeint": OTHER[0],
}
# Which scheme it is differs from panel to panel.
NAMED = ("ours, order 1.5", "torchsde, our path", "diffrax's step in a JAX loop, our path", "sdeint")
OURS = {
    "ours, Euler or Heun": ("euler", "heun"),
    "ours, order 1": ("milstein",),
    "ours, order 1.5": ("sra1", "taylor-1.5"),
}


def draw(results: Path, out: Path) -> list[Path]:
    command = f"python -m benchmarks.problems --json {results / 'problems.json'}"
    record = load(results, "problems.json", command)
    there = {row["problem"] for row in record["rows"]}
    if missing := [name for name in PANELS if name not in there]:
        raise ValueError(f"the record has nothing of {missing[0]!r}; add it with: {command} --problem '{missing[0]}'")
    with styled(7.2, 5.4) as figure:
        panels = figure.subplots(2, 3).flatten()
        for axes, (problem, title) in zip(panels, PANELS.items(), strict=False):
            rows = [row for row in record["rows"] if row["problem"] == problem and "declared" in row]
            _panel(axes, chosen(rows), record["drawing"][problem])
            axes.set_title(title)
        for axes in (panels[0], panels[3]):
            axes.set_ylabel("strong error")
        for axes in panels[2:5]:
            axes.set_xlabel("processor time, µs per path")
        lines = {label: line for axes in panels for line, label in zip(*axes.get_legend_handles_labels(), strict=True)}
        panels[5].axis("off")
        kept = [label for label in LOOKS if label in lines]
        panels[5].legend([lines[label] for label in kept], kept, loc="center")
        figure.suptitle("Error for the time it takes: further down and further left is better", fontsize=9)
        return save(figure, out, "work_precision")


def chosen(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The row that is drawn in each look."""
    found, of_name = {}, {row["method"]: row for row in rows}
    for label, names in OURS.items():
        if there := [of_name[name] for name in names if name in of_name]:
            found[label] = there[0]
    for label, package, path in (
        ("torchsde, our path", "torchsde", "ours"),
        ("torchsde, its own solve and path", "torchsde", "its own"),
        ("diffrax's step in a JAX loop, our path", "diffrax", "ours"),
        ("diffrax, its own solve and path", "diffrax", "its own"),
        ("sdeint", "sdeint", "ours"),
    ):
        of = [row for row in rows if (row["package"], row["path"]) == (package, path) and "errors" in row]
        if of:
            found[label] = min(of, key=lambda row: row["errors"][-1])
    return found


def _panel(axes: Axes, rows: dict[str, dict[str, Any]], drawing: dict[str, Any]) -> None:
    axes.set(xscale="log", yscale="log")
    axes.margins(x=0.24, y=0.14)
    names: list[tuple[str, list[tuple[float, float]]]] = []
    for label, row in rows.items():
        noise = dict(zip(drawing["steps"], drawing.get(row["needs"], drawing["increments"]), strict=True))
        points = [
            (time + (noise.get(steps, 0.0) if row["path"] == "ours" else 0.0), error)
            for steps, time, error in zip(row["steps"], row["microseconds"], row["errors"], strict=True)
            if time is not None and LOW < error < HIGH
        ]
        if points:
            axes.plot(*zip(*points, strict=True), **LOOKS[label].line(), label=label)
            if label in NAMED:
                names.append((row["method"].split(":")[-1].split()[-1], [points[-1], points[0]]))
    axes.yaxis.set_minor_formatter(NullFormatter())
    _write(axes, names)


def _write(axes: Axes, names: list[tuple[str, list[tuple[float, float]]]]) -> None:
    """Each name beside one of its points, on the side where the fewest lines and other names are."""
    axes.autoscale_view()
    in_panel = axes.transData + axes.transAxes.inverted()
    drawn = [in_panel.transform(np.asarray(line.get_xydata())) for line in axes.lines]
    parts = np.linspace(0, 1, 20)[:, None]
    taken = np.concatenate([a + parts * (b - a) for line in drawn for a, b in itertools.pairwise(line)])
    for text, points in names:
        width, height = LETTER[0] * len(text), LETTER[1]
        sides = [(0, -1), (0, 1), (1, 0), (-1, 0), (1, -1), (-1, -1), (1, 1), (-1, 1)]
        sides += [(-1, -3), (1, -3), (-1, 3), (1, 3)]  # further off, with a line to the point
        away = np.array(sides) * (0.5 * width + GAP, 0.5 * height + GAP)
        places = np.concatenate([in_panel.transform(point) + away for point in points])
        covered = (np.abs(taken - places[:, None]) < (0.5 * width + MARKER, 0.5 * height + MARKER)).all(-1).sum(1)
        outside = (np.abs(places - 0.5) > 0.5 - np.array((0.5 * width, 0.5 * height))).any(-1)
        best = int(np.argmin(covered + 1000 * outside))
        place, near = places[best], abs(sides[best % len(sides)][1]) < 2
        axes.annotate(
            text, points[best // len(sides)], (place[0], place[1]), textcoords="axes fraction", fontsize=6, ha="center",
            va="center", arrowprops=None if near else {"arrowstyle": "-", "lw": 0.4, "color": GUIDE["color"]},
        )  # fmt: skip
        taken = np.concatenate([taken, place + np.linspace(-0.5, 0.5, 20)[:, None] * (width, 0)])
