"""The methods by name."""

from __future__ import annotations

from typing import Literal

from sdewm import arguments
from sdewm.solvers.base import Stepper
from sdewm.solvers.euler import EulerMaruyama, SequentialEuler
from sdewm.solvers.heun import Heun
from sdewm.solvers.milstein import Milstein
from sdewm.solvers.srk import PlatenWeak2, RoesslerSRI2
from sdewm.systems.sde import SDE

Method = Literal["euler", "euler-sequential", "heun", "milstein", "platen-weak", "sri2"]


METHODS: dict[str, Stepper] = {
    "euler": EulerMaruyama(),
    "euler-sequential": SequentialEuler(),
    "heun": Heun(),
    "milstein": Milstein(),
    "platen-weak": PlatenWeak2(),
    "sri2": RoesslerSRI2(),
}


def stepper(method: str | Stepper, sde: SDE) -> Stepper:
    """The stepper of that name, or the one given, having checked that it can take the SDE."""
    if isinstance(method, str):
        if method not in METHODS:
            raise ValueError(f"method: expected one of {sorted(METHODS)}, got {method!r}")
        chosen = METHODS[method]
    else:
        needed = ("strong_order", "weak_order", "sde_types", "needs_areas", "check", "prepare", "step")
        chosen = arguments.has("method", method, needed, f"one of {sorted(METHODS)} or a Stepper")
    if sde.sde_type not in chosen.sde_types:
        others = sorted(name for name, other in METHODS.items() if sde.sde_type in other.sde_types)
        convert = "to_ito" if sde.sde_type == "stratonovich" else "to_stratonovich"
        raise ValueError(
            f"method: {method!r} is for {' and '.join(chosen.sde_types)} SDEs, got one of sde_type {sde.sde_type!r}. "
            f"Use one of {others}, or sdewm.solvers.calculus.{convert}."
        )
    chosen.check(sde)
    return chosen
