"""How an example is run, and its picture kept."""

import runpy
from functools import partial
from pathlib import Path

import matplotlib

from sdewm.drawing import UNDATED, style
from sdewm.files import write_whole

FOLDER = Path(__file__).parent
PICTURES = FOLDER.parent / "_static" / "examples"
EXAMPLES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in ("__init__", "__main__", "run"))


def drawn(name):
    """The figure that an example leaves."""
    from matplotlib import pyplot as plt

    with style():
        runpy.run_path(str(FOLDER / f"{name}.py"))
        return plt.gcf()


def keep(name):
    """Run an example, and write its picture; returns the file. The same numbers give the same bytes."""
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    path = PICTURES / f"{name}.svg"
    with style():
        figure = drawn(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, partial(figure.savefig, format="svg", metadata=UNDATED["svg"]))
        plt.close("all")
    return path.relative_to(FOLDER.parents[1])
