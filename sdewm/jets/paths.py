"""Where the paths are in a tensor, while a function of states is evaluated.

A function is given one row per path. Inside of it the paths may stand along any axis: after ``x.T``, under
``torch.vmap``, flattened together with the components, or one at a time, in a loop. What judges all paths together, as
the checks of edges, kinks and slopes do, is given them along the first axis.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from sdewm.jets.registry import outside_machinery, unwrapped

Judge = Callable[..., None]  # of a name, and of tensors with the paths along their first axis
Place = tuple[Judge, str, object, int]  # what is judged, and where in whose code it was computed


class evaluated_on:
    """A context in which a function is evaluated on so many paths."""

    def __init__(self, paths: int) -> None:
        self.paths = paths
        self.pieces: dict[Place, list[tuple[Tensor, ...]]] = {}  # what was computed of a few paths at a time

    def __enter__(self) -> None:
        _THREAD.calls.append(self)

    def __exit__(self, failed: type[BaseException] | None, *_: Any) -> None:
        _THREAD.calls.remove(self)
        if failed is None:
            for (judge, name, *_place), pieces in self.pieces.items():
                _judge_together(judge, name, pieces, self.paths)


class _Thread(threading.local):
    def __init__(self) -> None:
        self.calls: list[evaluated_on] = []


_THREAD = _Thread()


def judged_by_path(judge: Judge, name: str, *tensors: Tensor) -> None:
    """Call ``judge(name, *tensors)``, tensors of one shape, with the paths moved to their first axis.

    Where more than one axis may count the paths, it is called for each. Where none does, the function takes a few paths
    at a time: then it is called when the function has ended, with all that came from one place in the code.
    """
    ways = arrangements(tensors[0])
    for arrange in ways:
        judge(name, *map(arrange, tensors))
    if not ways and _THREAD.calls:
        frame, _ = outside_machinery()
        _THREAD.calls[-1].pieces.setdefault((judge, name, frame.f_code, frame.f_lasti), []).append(tensors)


def arrangements(x: Tensor) -> tuple[Callable[[Tensor], Tensor], ...]:
    """Ways to move the paths to the first axis of x: from axes of their number, else from multiples of it.

    They undo the wrappers of torch.vmap. Outside of :func:`evaluated_on` the first axis counts the paths.
    """
    shape = unwrapped(x).shape
    if _THREAD.calls:
        return _arrangements(shape, _THREAD.calls[-1].paths)
    return (unwrapped,) if shape else ()


@cache
def _arrangements(shape: torch.Size, paths: int) -> tuple[Callable[[Tensor], Tensor], ...]:
    exact = [d for d, size in enumerate(shape) if size == paths]
    if exact:
        return tuple(_moved(d) for d in exact)
    return tuple(
        _split(d, sizes, place)
        for d, size in enumerate(shape)
        if paths > 1 and size > paths and size % paths == 0
        for place, sizes in enumerate([(paths, size // paths), (size // paths, paths)])
    )


def _moved(axis: int) -> Callable[[Tensor], Tensor]:
    return lambda x: unwrapped(x).movedim(axis, 0)


def _split(axis: int, sizes: tuple[int, int], place: int) -> Callable[[Tensor], Tensor]:
    return lambda x: unwrapped(x).unflatten(axis, sizes).movedim(axis + place, 0)


def _judge_together(judge: Judge, name: str, pieces: list[tuple[Tensor, ...]], paths: int) -> None:
    """Judge what came a few paths at a time as if all had come at once; pieces that are no such parts say nothing."""
    shapes = [piece[0].shape for piece in pieces]
    if len(pieces) % paths == 0 and len(set(shapes)) == 1:
        join = torch.stack
    elif all(shapes) and len({shape[1:] for shape in shapes}) == 1:
        join = torch.cat
    else:
        return
    whole = [join([unwrapped(part) for part in parts]) for parts in zip(*pieces, strict=True)]
    for arrange in _arrangements(whole[0].shape[:1], paths):
        judge(name, *map(arrange, whole))
