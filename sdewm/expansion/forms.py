"""Which formulas are meant: those that the paper prints, or those that are right."""

from __future__ import annotations

from typing import Literal

Form = Literal["corrected", "printed"]
FORMS: tuple[Form, ...] = ("corrected", "printed")
