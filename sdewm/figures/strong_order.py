"""Strong error against the step, and the order measured of every stepper on every system: ours, and our peers'.

Where the noises commute, Milstein's scheme has order 1; torchsde's has less on the scalar system. Where they do not it
needs iterated integrals: without them it falls to ½ or does not converge, unless it refuses. Errors are against our
Milstein scheme at finer steps on the same paths; Euler's scheme, which shares no correction term with it, has the same
limit. On the latent model the drift's error, of order 1, is the larger part of Euler's and Heun's at these steps; the
rows after it show their order. Our Milstein scheme in Stratonovich form is in the record, with the points of the other.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from sdewm.drawing import CERTIFIED, CORRECTED, GUIDE, OTHER, PRINTED, Look, save, styled
from sdewm.figures.record import load

OURS = {
    "euler": Look("#111111", ":", "o"),
    "heun": Look("#888888", ":", "D"),
    "milstein": CORRECTED,
    "sri2": CERTIFIED,
    "platen-weak": OTHER[0],
}
PEERS = {
    "diffrax ItoMilstein": PRINTED,
    "diffrax StratonovichMilstein": Look(PRINTED.color, "--", "d"),
    "torchsde Milstein (Itô)": Look(OTHER[2].color, "-.", OTHER[2].marker),
    "torchsde Milstein (Stratonovich)": Look(OTHER[2].color, ":", "v"),
}
NAMES = {
    **{name: f"ours, {name}" for name in OURS},
    "diffrax ItoMilstein": "diffrax, Itô",
    "diffrax StratonovichMilstein": "diffrax, Stratonovich",
    "torchsde Milstein (Itô)": "torchsde, Itô",
    "torchsde Milstein (Stratonovich)": "torchsde, Stratonovich",
}
PANELS = {
    "diagonal": "noises that commute:\ndiagonal",
    "non-commuting": "noises that do not:\ngeneral",
    "declared diagonal": "noises that do not:\ndeclared diagonal",
}
DRAWN = ("milstein", "euler", "diffrax ItoMilstein", "torchsde Milstein (Itô)", "torchsde Milstein (Stratonovich)")


def draw(results: Path, out: Path) -> list[Path]:
    command = f"python -m benchmarks.strong_order --json {results / 'strong_order.json'}"
    recorded = load(results, "strong_order.json", command)["systems"]
    systems = {s["system"]: s for s in sorted(recorded, key=lambda s: not _commutes(s))}
    if missing := [name for name in PANELS if name not in systems]:
        raise ValueError(f"the record has nothing of {missing[0]!r}; add it with: {command} --systems '{missing[0]}'")
    commuting = sum(map(_commutes, recorded))
    with styled(7.2, 7.4) as figure:
        [top], [bottom] = figure.subfigures(2, 1, squeeze=False, height_ratios=(1, 1.6))
        row = top.subplots(1, len(PANELS))
        for axes, (system, title) in zip(row, PANELS.items(), strict=True):
            _errors(axes, systems[system]["rows"])
            axes.set_title(title)
        row[0].set_ylabel("strong error (bars: two\nstandard errors)")
        handles, labels = row[-1].get_legend_handles_labels()
        top.legend(handles, labels, loc="outside lower center", ncols=3)

        ours, peers = bottom.subplots(1, 2, sharey=True)
        for axes, looks, title in ((ours, OURS, "ours"), (peers, PEERS, "the peers' Milstein schemes")):
            _orders(axes, list(systems.values()), looks)
            axes.axhline(commuting - 0.5, **GUIDE)
            axes.set(title=title, xlabel="order (95 % intervals)")
            columns = 3 if looks is OURS else 2
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=columns, columnspacing=1)
        ours.set_yticks(range(len(systems)), [f"{name} ({s['paths']})" for name, s in systems.items()])
        for i, s in enumerate(systems.values()):
            box = {"fc": "white", "lw": 0, "pad": 1}
            peers.annotate(refusals(s["rows"]), (-0.13, i), fontsize=6, va="center", bbox=box)
        for text, first, end in (("commute", 0, commuting), ("do not commute", commuting, len(systems))):
            peers.annotate(
                text, (1.24, (first + end - 1) / 2), rotation=-90, va="center", ha="center", annotation_clip=False
            )
        figure.suptitle(
            "With noises that do not commute our Milstein scheme has order 1; other libraries' have ½, do not\n"
            "converge, or refuse (number of paths in brackets)",
            fontsize=9,
        )
        return save(figure, out, "strong_order")


def _commutes(system: dict[str, Any]) -> bool:
    return bool(system["structure"] != "general")


def _errors(axes: Axes, rows: list[dict[str, Any]]) -> None:
    measured = {row["method"]: row for row in rows if "slope" in row}
    for method in DRAWN:
        if method in measured:
            row, look = measured[method], (OURS | PEERS)[method]
            # Others may lie on it.
            wide = {"mfc": "none", "ms": 8, "lw": 2.5, "alpha": 0.7} if method == "milstein" else {"ms": 5}
            bars = [2 * e for e in row["stderrs"]]
            axes.errorbar(row["dt"], row["errors"], bars, **look.line() | wide, capsize=0, label=NAMES[method])
    axes.set_xscale("log", base=2)
    axes.set(yscale="log", xlabel="Δt")
    axes.yaxis.set_minor_formatter(NullFormatter())


def _orders(axes: Axes, systems: list[dict[str, Any]], looks: dict[str, Look]) -> None:
    for order in (0.5, 1.0):
        axes.axvline(order, **GUIDE)
    for k, (method, look) in enumerate(looks.items()):
        rows = {i: r for i, s in enumerate(systems) for r in s["rows"] if r["method"] == method and "slope" in r}
        at = [i + 0.7 * ((k + 0.5) / len(looks) - 0.5) for i in rows]
        slopes = [r["slope"] for r in rows.values()]
        bars = [[abs(r["interval"][side] - r["slope"]) for r in rows.values()] for side in (0, 1)]
        axes.errorbar(slopes, at, xerr=bars, ls="", marker=look.marker, color=look.color, ms=4, capsize=0,
                      elinewidth=1, label=method if method in OURS else NAMES[method])  # fmt: skip
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
