"""All claims, found in this folder."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

import theory_checks
from theory_checks.claim import Claim


@cache
def claims() -> dict[str, Claim]:
    """The ``CLAIM`` of each file that has one, by name, in the order of the paper.

    Raises ``ValueError`` where a claim's name is not that of its file.
    """
    found: list[Claim] = []
    for file in pkgutil.iter_modules(theory_checks.__path__):
        if file.name == "__main__":
            continue
        claim = getattr(importlib.import_module(f"theory_checks.{file.name}"), "CLAIM", None)
        if isinstance(claim, Claim):
            if claim.name != file.name:
                raise ValueError(f"name: expected {file.name!r}, as the claim's file, got {claim.name!r}")
            found.append(claim)
    return {claim.name: claim for claim in sorted(found, key=lambda claim: claim.place)}
