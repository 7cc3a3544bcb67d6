"""What coefficients remember from one call to the next, by the bytes that they are stored in."""

from __future__ import annotations

import hashlib

import cloudpickle

from sdewm.systems.checks import parts
from sdewm.systems.sde import SDE


def remembered(sde: SDE) -> dict[str, str]:
    """A digest of each attribute of an SDE and of its parts, by name: of numbers, tensors, what functions close over.

    Two digests differ where something in an attribute has changed. What cannot be stored has none, and of a function
    that is imported from a module nothing but its name is looked at.

    >>> before = remembered(sde)
    >>> sde.f(t, x)
    >>> [name for name, digest in remembered(sde).items() if digest != before[name]]
    ['calls']
    """
    found = {}
    for prefix, part in parts(sde):
        for name, value in getattr(part, "__dict__", {}).items():
            sink = _Digest()
            try:
                cloudpickle.dump(value, sink)
            except Exception:  # storing runs what the user wrote, and may end in anything
                continue
            found[prefix + name] = sink.hash.hexdigest()
    return found


class _Digest:
    """A file that keeps no more than a hash of what is written: a data set in a closure is not copied."""

    def __init__(self) -> None:
        self.hash = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.hash.update(data)
        return len(data)
