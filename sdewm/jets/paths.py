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
Kind = tuple[Judge, str, int, torch.Size]  # what is judged: how many axes it has, and their sizes but the first
Place = tuple[object, int]  # where in whose code it was computed
Pieces = list[tuple[Tensor, ...]]


class evaluated_on:
    """A context in which a function is evaluated on so many paths."""

    def __init__(self, paths: int) -> None:
        self.paths = paths
        self.pieces: dict[Kind, dict[Place, Pieces]] = {}  # what was computed of a few paths at a time

    def __enter__(self) -> None:
        _THREAD.calls.append(self)

    def __exit__(self, failed: type[BaseException] | None, *_: Any) -> None:
        _THREAD.calls.remove(self)
        if failed is None:
            for (judge, name, *_shape), places in self.pieces.items():
                _judge_pieces(judge, name, list(places.values()), self.paths)


class _Thread(threading.local):
    def __init__(self) -> None:
        self.calls: list[evaluated_on] = []


_THREAD = _Thread()


def judged_by_path(judge: Judge, name: str, *tensors: Tensor) -> None:
    """Call ``judge(name, *tensors)``, tensors of one shape, with the paths moved to their first axis.

    Where more than one axis may count the paths, it is called for each. Where none does, the function takes a few paths
    at a time, or others beside them: then it is called when the function has ended, with all that it came to.
    """
    ways = arrangements(tensors[0])
    for arrange in ways:
        judge(name, *map(arrange, tensors))
    if not ways and _THREAD.calls:
        frame, _ = outside_machinery()
        plain = tuple(map(unwrapped, tensors))
        kind = (judge, name, plain[0].ndim, plain[0].shape[1:])
        _THREAD.calls[-1].pieces.setdefault(kind, {}).setdefault((frame.f_code, frame.f_lasti), []).append(plain)


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
    if exact[:1] == [0]:  # the others may be as long by chance, and none is more of the paths than the first
        return tuple(_moved(d) for d in exact)
    multiples = [d for d, size in enumerate(shape) if paths > 1 and size > paths and size % paths == 0]
    return tuple(_moved(d) for d in exact) + tuple(
        _split(d, sizes, place)
        for d in multiples
        for place, sizes in enumerate([(paths, shape[d] // paths), (shape[d] // paths, paths)])
    )


def _moved(axis: int) -> Callable[[Tensor], Tensor]:
    return lambda x: unwrapped(x).movedim(axis, 0)


def _split(axis: int, sizes: tuple[int, int], place: int) -> Callable[[Tensor], Tensor]:
    return lambda x: unwrapped(x).unflatten(axis, sizes).movedim(axis + place, 0)


def _judge_pieces(judge: Judge, name: str, places: list[Pieces], paths: int) -> None:
    """Judge what came a few paths at a time as if all had come at once.

    What came from one place, or else from all places, is all paths, some times over. If neither is, there are other
    rows beside the paths, or some paths are left out: then every axis may count them.
    """
    wholes = [_together(pieces, paths) for pieces in places]
    rest = [piece for pieces, whole in zip(places, wholes, strict=True) if not whole for piece in pieces]
    if rest:
        wholes.append(_together(rest, paths) or [_joined(rest)])
    for tensors in (tensors for whole in wholes for tensors in whole):
        ways = _arrangements(tensors[0].shape[:1], paths) or tuple(map(_moved, range(tensors[0].ndim)))
        for arrange in ways:
            judge(name, *map(arrange, tensors))


def _together(pieces: Pieces, paths: int) -> Pieces:
    """Pieces joined to all paths, one for each time that the place was met in turn; none if they are not all paths."""
    if len(pieces) % paths == 0 and len({piece[0].shape for piece in pieces}) == 1:
        return [tuple(map(torch.stack, zip(*pieces, strict=True)))]
    rows = [len(piece[0]) if piece[0].ndim else 1 for piece in pieces]
    times = sum(rows) // paths
    if sum(rows) % paths or not times:
        return []
    if all(sum(rows[i::times]) == paths for i in range(times)):
        return [_joined(pieces[i::times]) for i in range(times)]
    return [_joined(pieces)]


def _joined(pieces: Pieces) -> tuple[Tensor, ...]:
    join = torch.cat if pieces[0][0].ndim else torch.stack
    return tuple(map(join, zip(*pieces, strict=True)))
