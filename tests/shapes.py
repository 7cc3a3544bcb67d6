"""A pytest plugin: every annotation of a shape in ``sdewm`` is held against what is given and returned.

``PYTHONPATH=tests pytest -p shapes tests/noise``. Only annotations with a shape in them are checked: the other types
are mypy's. Tests of refusals are left out: what a function refuses its annotations refuse too, with another error.
"""

from __future__ import annotations

import inspect
import re
import typing

from beartype import BeartypeConf, beartype
from jaxtyping import AbstractArray, install_import_hook


def check(function):
    """beartype's check of the arguments and results whose annotation has a shape."""
    hints = function.__annotations__
    function.__annotations__ = {name: hint for name, hint in hints.items() if _has_shape(hint)}
    # A whole number is a float, as it is to mypy.
    return beartype(function, conf=BeartypeConf(is_pep484_tower=True)) if function.__annotations__ else function


def _has_shape(hint) -> bool:
    if inspect.isclass(hint) and issubclass(hint, AbstractArray):
        return True
    return any(_has_shape(part) for part in typing.get_args(hint) if not isinstance(part, list))


def pytest_collection_modifyitems(config, items):
    refusals = [item for item in items if re.search(r"(raises|refuses)\(", inspect.getsource(item.function))]
    config.hook.pytest_deselected(items=refusals)
    items[:] = [item for item in items if item not in refusals]


# Before pytest imports any test, and so before anything imports sdewm.
install_import_hook("sdewm", "shapes.check")
