"""A claim's curves as SVG, one picture for each system."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from matplotlib.axes import Axes

from sdewm.drawing import CORRECTED, MEASURED, OTHER, PRINTED, Look, draw_curve, styled
from sdewm.page.svg import as_svg
from sdewm.verdicts.record import Curve

LOOKS = (MEASURED, CORRECTED, PRINTED, *OTHER)
MOST = 8  # curves that can be told apart in one picture


def pictures(curves: Sequence[Curve]) -> list[tuple[str, str]]:
    """Pairs of a caption and an SVG, in the order of the curves."""
    groups: dict[tuple[str, str], list[Curve]] = {}
    for curve in curves:
        groups.setdefault((curve.system, _kind(curve)), []).append(curve)
    found = []
    for (system, kind), together in groups.items():
        if len(together) <= MOST:
            found.append((f"{system}: {kind}" if kind else system, _svg(together, kind)))
    return found


def _kind(curve: Curve) -> str:
    if "terms" in curve.config:
        return "what each term adds"
    if curve.label.startswith("order "):
        return "remainder against ε"
    if curve.label.startswith("left by"):
        return "what the prediction leaves, against ε"
    if curve.label in ("simulated", "corrected", "printed"):
        return "E L(x^ε) − E L(x⁰) against ε"
    return ""


def _svg(curves: Sequence[Curve], kind: str) -> str:
    with styled(4.6, 3.0) as figure:
        figure.set_layout_engine("none")  # which takes most of the time
        axes = figure.add_axes((0.14, 0.15, 0.83, 0.81))
        names = curves[0].config.get("terms")
        for i, curve in enumerate(curves):
            look = _look(curve.label, i)
            if names:  # side by side, and not joined: between two terms there is nothing
                beside = [x + 0.1 * (i - (len(curves) - 1) / 2) for x in curve.x]
                draw_curve(axes, replace(curve, x=beside), look._replace(linestyle="none"), label=curve.label)
            else:
                draw_curve(axes, curve, look, label=curve.label)
        if names:
            axes.set_xticks(range(len(names)), names)
        else:
            _scales(axes, curves)
        if kind.endswith("against ε"):
            axes.set_xlabel("ε")
        axes.legend()
        return as_svg(figure)


def _look(label: str, i: int) -> Look:
    if "printed" in label or label.startswith("literal"):
        return PRINTED
    if "corrected" in label or label == "jets":
        return CORRECTED
    if label in ("simulated", "measured", "true", "order 0"):
        return MEASURED
    return LOOKS[i % len(LOOKS)]


def _scales(axes: Axes, curves: Sequence[Curve]) -> None:
    """Logarithmic where all numbers are positive and span more than a factor of 30."""
    xs, ys = [x for c in curves for x in c.x], [y for c in curves for y in c.y]
    for values, set_scale in ((xs, axes.set_xscale), (ys, axes.set_yscale)):
        positive = [v for v in values if v > 0]
        if len(positive) == len(values) and positive and max(positive) > 30 * min(positive):
            set_scale("log")
