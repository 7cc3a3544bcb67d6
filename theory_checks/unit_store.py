"""What tells a unit of the checks from others: its claims and system, the settings, and the code of both packages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import sdewm
from sdewm.verification import store
from sdewm.verification.looks import SIGNIFICANCE
from sdewm.verification.settings import Settings
from sdewm.verification.store import Store
from theory_checks.units import Unit

PACKAGES = (Path(sdewm.__file__).parent, Path(__file__).parent)


def code_version() -> str:
    """A hash of the files of both packages, models among them, and of the versions that a report states."""
    return store.code_version(PACKAGES)


def unit_store(root: Path, settings: Settings, say: Callable[[str], None]) -> Store[Unit]:
    """The finished units of this version of the code and these settings in ``root``."""
    shared = {**asdict(settings), "significance": SIGNIFICANCE}
    return Store(root, PACKAGES, lambda unit: {**asdict(unit), **shared}, say)
