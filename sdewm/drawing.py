"""One style for all figures: told apart by line and marker as well as by colour, the same bytes for the same data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sdewm import arguments
from sdewm.files import write_whole

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

KINDS = ("png", "pdf", "svg")
_DPI = 200
UNDATED: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "ModDate": None, "Producer": None, "Creator": None},
    "svg": {"Date": None, "Creator": None},
}
_SETTINGS: dict[RcKeyType, Any] = {
    "svg.hashsalt": "sdewm",
    "pdf.fonttype": 42,
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.fontsize": 7,
    "legend.handlelength": 3.2,  # long enough for a pattern of dashes
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "errorbar.capsize": 2,
}


class Look(NamedTuple):
    """How one kind of thing is drawn, in every figure the same."""

    color: str
    linestyle: str | tuple[int, tuple[int, ...]]
    marker: str

    def line(self) -> dict[str, Any]:
        return {"color": self.color, "linestyle": self.linestyle, "marker": self.marker}


# Dark, middle and light enough to differ on a grey printer.
MEASURED = Look("#111111", "-", "o")
CORRECTED = Look("#1f5fa8", "-", "s")
PRINTED = Look("#d9730d", "--", "X")
CERTIFIED = Look("#4f8f6b", "-.", "^")
OTHER = (Look("#7a3b8f", ":", "v"), Look("#888888", (0, (5, 1, 1, 1)), "D"), Look("#b3a100", "--", "P"))
GUIDE: dict[str, Any] = {"color": "#888888", "lw": 0.6, "zorder": 0}


class Points(Protocol):
    """``y`` against ``x``, one standard error each where there is one."""

    @property
    def x(self) -> Sequence[float]: ...

    @property
    def y(self) -> Sequence[float]: ...

    @property
    def stderr(self) -> Sequence[float] | None: ...


def style() -> AbstractContextManager[None]:
    """This style, for whatever is drawn inside."""
    return plt.rc_context(_SETTINGS)


@contextmanager
def styled(width: float, height: float) -> Iterator[Figure]:
    """A figure of so many inches, closed at the end."""
    with style():
        figure = plt.figure(figsize=(width, height), dpi=_DPI, layout="constrained")
        try:
            yield figure
        finally:
            plt.close(figure)


@contextmanager
def drawn_on(axes: Axes | None, width: float = 4.6, height: float = 3.2) -> Iterator[Axes]:
    """Axes of a user's, or new ones where there are none, for something to be drawn on in this style.

    New ones are alone in a figure of pyplot's, of so many inches, so that ``pyplot.show()`` shows them.
    """
    if axes is not None:
        arguments.instance("axes", axes, Axes, "axes of matplotlib")
    with style():
        yield plt.figure(figsize=(width, height), layout="constrained").add_subplot() if axes is None else axes


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write PNG, PDF and SVG without dates; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.{kind}" for kind in KINDS]
    figure.draw_without_rendering()  # laid out once, and alike in all three
    figure.set_layout_engine("none")
    for path, kind in zip(paths, KINDS, strict=True):
        write_whole(path, partial(figure.savefig, format=kind, dpi=_DPI, metadata=UNDATED[kind]))
    return paths


def draw_curve(axes: Axes, curve: Points, look: Look, **more: Any) -> None:
    """Its line and markers, with a bar of two standard errors to either side where it has standard errors."""
    bars = curve.stderr and [2 * e for e in curve.stderr]
    axes.errorbar(curve.x, curve.y, bars, **look.line(), elinewidth=0.8, **more)


def note(axes: Axes, text: str, at: tuple[float, float], **more: Any) -> None:
    """Small text at a place given in parts of the panel, which the layout takes no account of."""
    axes.annotate(text, at, xycoords="axes fraction", fontsize=7, **more).set_in_layout(False)


def times(log10_ratio: float) -> str:
    """How many times as large one number is as another, from the logarithm of their ratio, to two digits."""
    if log10_ratio < 3:
        return f"{float(f'{10**log10_ratio:.2g}'):g} ×"
    return rf"$10^{{{log10_ratio:.{1 if log10_ratio < 10 else 0}f}}}$ ×"


def slope_triangle(axes: Axes, x: float, y: float, slope: int, width: float = 2.0) -> None:
    """A small triangle that shows what a slope looks like on two logarithmic axes, with its number."""
    rise = y * width**slope
    axes.plot([x, x * width, x * width, x], [y, y, rise, y], **GUIDE)
    axes.annotate(str(slope), (x * width, (y * rise) ** 0.5), (3, 0), textcoords="offset points", va="center",
                  fontsize=7, color=GUIDE["color"])  # fmt: skip
