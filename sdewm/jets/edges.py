"""Where functions stop being smooth at the edge of what is smooth in them: branch points, poles and cuts.

√y is smooth for y > 0, and √(1 + x²) everywhere. But √(x²) is |x|, and atan(1/x) jumps at 0: what a path computes is
right on its side, and nothing in it tells that there is another side. The paths together tell. First-order coefficients
say how fast an argument moves with ε. Where some path is a hundred times closer to the edge, in terms of that, than
paths usually are (thirty times where paths are few), ε carries paths across, and the operation is said as any other is
that has a kink. Arguments that stay away from the edge, or that slow down as they come near it, as a geometric Brownian
motion does, are left alone.

The cut of a complex function is a line that paths may cross anywhere on it: it is said at every call, as atan2's is.

What is not seen: an edge that no path comes near, which of a dozen paths hardly any does; and one inside of an
operation that has neither a rule nor a place in these tables, such as torch.linalg.pinv.
What is said without need: a pole that a numerator heals, as in sin(x)/x, where torch.sinc(x) has none; and, of a few
paths, a steep function that most of them have left behind, as log(sigmoid(8 x)), where logsigmoid(8 x) has no edge.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import torch
from torch import Tensor

from sdewm.jets.jet import EdgeWarning, Jet
from sdewm.jets.paths import arrangements, judged_by_path
from sdewm.jets.registry import unwrapped, warn_nonsmooth

CUTS = frozenset(
    "sqrt rsqrt log log2 log10 log1p logcumsumexp pow asin arcsin acos arccos atan arctan asinh arcsinh acosh arccosh "
    "atanh arctanh logdet".split()
)
"""Functions that jump in the complex plane, along a line."""

NEAR = 0.01  # how much closer to an edge than usual counts as reaching it,
FEW = 5.0  # or, of n paths, this over n: where paths cross an edge, so many are about that close to it,
FURTHEST = 0.03  # which is no sign any more above this
MANY = 64  # so many paths, all on one side of a kink and away from it, tell that paths keep away,
CLEAR = 8.0  # by so many standard deviations: no more paths than anyone walks would then come to it
ASIDE = 0.1  # what is no smaller than that, next to its usual size, is not near an edge, however fast it moves

_LISTENING: list[set[str]] = []


def _size(x: Tensor) -> Tensor:
    return x.abs()


def _from_one(x: Tensor) -> Tensor:
    return (1 - x.abs()).abs()


def _from_zero_and_one(x: Tensor) -> Tensor:
    return torch.minimum(x.abs(), (1 - x).abs())


def _from_whole_numbers_below_one(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, (x - x.round()).abs())


EDGES: dict[str, Callable[[Tensor], Tensor]] = {
    **dict.fromkeys(
        "sqrt rsqrt log log2 log10 pow div reciprocal xlogy entr bessel_y0 bessel_y1 modified_bessel_k0 "
        "modified_bessel_k1 scaled_modified_bessel_k0 scaled_modified_bessel_k1".split(),
        _size,
    ),
    **dict.fromkeys("asin arcsin acos arccos acosh arccosh atanh arctanh erfinv".split(), _from_one),
    **dict.fromkeys("logit ndtri binary_cross_entropy".split(), _from_zero_and_one),
    **dict.fromkeys("lgamma gammaln digamma psi polygamma".split(), _from_whole_numbers_below_one),
    **dict.fromkeys(("log1p", "xlog1py"), lambda x: (1 + x).abs()),
    "tan": lambda x: x.cos().abs(),
}
"""How far an argument is from the nearest edge of a function of one argument."""

FACTORS = frozenset({"xlogy", "xlog1py"})
"""Those of them whose first argument is but a factor."""


def look(name: str, x: Any) -> None:
    """Say that an operation on the jet x is not smooth, where it has a cut or paths reach its edge."""
    if not isinstance(x, Jet):
        return
    if name in CUTS and x.coefficients.is_complex():
        if known((x.coefficients[1:] != 0).any()):
            warn_nonsmooth(name)
    elif name in EDGES:
        look_at(name, EDGES[name](x.value.detach()), lambda: speed_of(x))


def look_at_zero(name: str, x: Any) -> None:
    """Say that an operation is not smooth where the jet x vanishes, if paths reach that."""
    if isinstance(x, Jet):
        look_at(name, x.value.detach().abs(), lambda: speed_of(x))


def look_at(name: str, distance: Tensor, speed: Callable[[], Tensor]) -> None:
    """Say that an operation is not smooth if ε carries paths across an edge.

    ``distance`` from the edge and ``speed``, by how much ε changes it to first order, are of one shape.
    """
    distance = unwrapped(distance)
    if not distance.numel():
        return
    if arrangements(distance):
        low, high = torch.aminmax(distance)
        if not known(low < ASIDE * high):  # nothing more is asked of most calls
            return
    judged_by_path(_look_at, name, distance, speed())


def _look_at(name: str, distance: Tensor, fast: Tensor) -> None:
    usual = distance.mean(0)
    reach = max(NEAR, min(FEW / len(distance), FURTHEST))
    near = (distance * fast.mean(0) < reach * fast * usual) & (distance < ASIDE * usual)
    if known(near.any()):
        warn_nonsmooth(name, EdgeWarning)
    elif _LISTENING:
        nearly = (distance * fast.mean(0) < ASIDE * fast * usual) & (distance < ASIDE * usual)
        if known(nearly.any()):
            note_nearly(name)


def meets_kink(sides: Tensor, speed: Tensor, guard: bool = False) -> bool:
    """Whether ε carries paths to a kink, or nobody can tell that it does not.

    ``sides`` vanish at the kink, and have opposite signs on its two sides; ``speed``, of the same shape, is by how much
    ε changes them to first order. It is not met where all of many paths are on one side, clear of it by many standard
    deviations, none by far closer to it than others are, in terms of its speed, and none so close that an ε of a tenth
    carries it there. A ``guard`` of a function's own domain, as of a length against 0, has nothing on its other side,
    and need not be that far. A compiled walk looks at its first steps only: for it, any kink is met.
    """
    ways = () if _LISTENING else arrangements(sides)
    try:
        return not ways or any(_meets_kink(arrange(sides), arrange(speed), guard) for arrange in ways)
    except RuntimeError:  # under vmap
        return True


def _meets_kink(sides: Tensor, speed: Tensor, guard: bool) -> bool:
    if len(sides) < MANY or not bool((sides > 0).all() | (sides < 0).all()):
        return True
    distance, fast = sides.abs(), speed.abs()
    usual = distance.mean(0)
    if not guard and not bool((usual >= CLEAR * distance.std(0)).all()):
        return True
    apart = (distance >= ASIDE * usual) | (distance * fast.mean(0) >= ASIDE * fast * usual)
    return not bool((apart & (distance > ASIDE * fast)).all())


def speed_of(x: Jet) -> Tensor:
    """By how much ε changes a jet to first order, along all parameters together."""
    first = x.coefficients[1 : 1 + x.space.parameters] if x.space.order else x.coefficients[1:]
    return first.detach().abs().sum(0)


def note_nearly(name: str) -> None:
    """Tell who listens that the paths of this operation are not at its edge, and that others may be."""
    for names in _LISTENING:
        names.add(name)


@contextmanager
def nearly_met() -> Iterator[set[str]]:
    """The names of operations to whose edge paths inside come so near, without reaching it, that more paths may."""
    names: set[str] = set()
    _LISTENING.append(names)
    try:
        yield names
    finally:
        _LISTENING[:] = [other for other in _LISTENING if other is not names]


def known(answer: Tensor) -> bool:
    """Whether it is yes; under vmap, where nobody can tell, it is not."""
    try:
        return bool(answer)
    except RuntimeError:
        return False


def watched(name: str, rule: Callable[..., Any]) -> Callable[..., Any]:
    """A rule that looks at its argument first; itself for a function that has no edge and no cut."""
    if name not in EDGES and name not in CUTS:
        return rule

    @wraps(rule)
    def apply(*args: Any, **kwargs: Any) -> Any:
        for x in [*args, *kwargs.values()][name in FACTORS :]:
            look(name, x)
        return rule(*args, **kwargs)

    return apply
