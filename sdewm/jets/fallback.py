"""Functions without a rule: their derivatives are torch's own, if these are proven; otherwise an error names them."""

from __future__ import annotations

import math
from collections.abc import Callable
from math import factorial, prod
from typing import Any, NoReturn

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import jvp, vjp
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from sdewm.jets.edges import CUTS, EDGES, known, watched
from sdewm.jets.jet import RULES, Jet, NotDifferentiable
from sdewm.jets.kinks import HIDDEN, Kinks, kinks_along
from sdewm.jets.proof import Line, differ, disagreement, forget, is_due, writes_into
from sdewm.jets.registry import functions, honouring_inplace, in_place, space_of, unwrapped, warn_nonsmooth
from sdewm.jets.slopes import Slopes
from sdewm.jets.space import JetSpace
from sdewm.jets.traced import OPERATIONS, SCRIPTED, by_parts, torch_function

_READ = "the derivatives would be lost; where they are to be dropped, read sdewm.value_of(x)"
_COUNT = "its result has no derivative; apply it to sdewm.value_of(x)"
_CELL = "the fused loop has no rule; step nn.GRUCell, nn.LSTMCell or nn.RNNCell over the sequence"
_GRADIENT = "use sdewm.gradient(potential)(x) for ∇U in a coefficient, or differentiate one .coefficient(alpha)"

REFUSED = {
    "__float__ __index__ __complex__ __array__ item tolist numpy data_ptr storage untyped_storage": _READ,
    "histc unique one_hot multinomial bernoulli": _COUNT,
    "gru lstm rnn_tanh rnn_relu": _CELL,
    "backward register_hook retain_grad": _GRADIENT,
}

NONSMOOTH = (
    "prelu rrelu threshold hardshrink softshrink hardswish amax amin aminmax sort topk kthvalue median "
    "nanmedian msort cummax cummin quantile nanquantile mode l1_loss smooth_l1_loss huber_loss frac fmod "
    "atan2 arctan2 angle max_pool2d_with_indices_backward remainder __mod__ __rmod__ copysign hinge_embedding_loss "
    "frexp i0e i1e svd linalg_svdvals "
) + " ".join(name for name in dir(F) if "max_pool" in name)  # with and without indices, in one to three dimensions


def refuse(name: str, advice: str) -> NoReturn:
    raise NotDifferentiable(f"{name} of a jet: {advice}")


def without_rule(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a function of torch that has no rule with jets."""
    name = getattr(func, "__name__", str(func))
    if isinstance(func, OPERATIONS):
        public = torch_function(func)
        if public is not func:
            return public(*args, **kwargs)
        if any(overload._schema.is_mutable for overload in _overloads(func)):
            refuse(name, "it writes into an argument, and there is no rule for that")
    if name == "__get__":
        name = getattr(getattr(func, "__self__", None), "__name__", name)
        raise NotDifferentiable(f"the attribute {name!r} of a jet: {_READ}")
    if name.endswith("_") and not name.endswith("__"):
        outside = getattr(Tensor, name[:-1], None)
        if outside is None:
            refuse(name, "it writes in place; there is no rule for that")
        return in_place(lambda *a, **k: outside(*a, **k), name)(*args, **kwargs)
    if isinstance(func, SCRIPTED):
        return by_parts(func, args, kwargs)
    return nested(func, args, kwargs)


def _overloads(operation: Any) -> list[Any]:
    return [operation] if hasattr(operation, "_schema") else [getattr(operation, o) for o in operation.overloads()]


def nested(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call func with jets: its derivatives along lines ε = t v, nested in forward or in reverse mode, as proven."""
    leaves, spec = tree_flatten((args, kwargs))
    jets = [i for i, leaf in enumerate(leaves) if isinstance(leaf, Jet)]
    space = space_of(*(leaves[i] for i in jets))
    constants = [i for i in jets if _is_constant(leaves[i])]
    if len(constants) < len(jets):
        # Constant jets are passed as plain tensors: torch may have no derivatives in them, as in a loss's target.
        leaves = [leaf.value if i in constants else leaf for i, leaf in enumerate(leaves)]
        jets = [i for i in jets if i not in constants]
    name = getattr(func, "__name__", str(func))
    origin = leaves[jets[0]].coefficients.new_zeros(())

    def call(arguments: list[Any]) -> tuple[list[Any], Any]:
        a, k = tree_unflatten(arguments, spec)
        return tree_flatten(func(*a, **k))

    def moved(move: Callable[[Jet], Tensor]) -> list[Any]:
        return [move(leaf) if isinstance(leaf, Jet) else leaf for leaf in leaves]

    def along(direction: Ray) -> Callable[[Tensor], list[Any]]:
        return lambda t: moved(lambda x: _on_line(x, direction, t))

    # In torch 2.6 a TreeSpec cannot be hashed.
    signature = (func, str(spec), space.order, _relative_sizes(leaves), *map(_kind, leaves))
    try:
        given = moved(lambda x: x.value.clone())
        flat, out_spec = call(given)
        smooth = [i for i, y in enumerate(flat) if isinstance(y, Tensor) and (y.is_floating_point() or y.is_complex())]
        if not smooth:
            refuse(name, _COUNT)
        # Views must share memory with the jet; views of plain tensors stay plain.
        shared = {i: [j for j, leaf in enumerate(given) if _shares_memory(flat[i], leaf)] for i in smooth}
        seen = [i for i in smooth if set(shared[i]) & set(jets)]
        if seen:
            for i, rows in _views(call, leaves, jets, seen).items():
                flat[i] = Jet(rows, space)
        smooth = [i for i in smooth if not shared[i]]
        if not smooth:
            return tree_unflatten(flat, out_spec)

        def on(move: Callable[[Tensor], list[Any]]) -> Line:
            return lambda t: tuple(call(move(t))[0][i] for i in smooth)

        if is_due(signature):
            _ROUTES.pop(signature, None)
            _check_repeatable(name, call, moved(lambda x: x.value.clone()), flat)
            with Kinks() as kinks, Slopes() as slopes:
                call(moved(lambda x: x.value.clone()))
            _STEEP[signature] = slopes.met
            _KINKED[signature] = bool(kinks.always or kinks.sides)
            tries = [on(_random_line(leaves, seed)) for seed in range(LINES)]
            kinked = _KINKED[signature] or name in _NONSMOOTH_RULES
            _ROUTES[signature] = _proven_route(func, name, tries, space.order, kinked)
        elif _STEEP[signature]:
            with Slopes():
                call(moved(lambda x: x.value.clone()))
        if _KINKED[signature] and name not in _NONSMOOTH_RULES:
            # Along this direction the terms of different parameters are unlikely to cancel.
            uneven = tuple(0.9**i for i in range(space.parameters))
            met = kinks_along(lambda eps: call(moved(lambda x: _on_line(x, uneven, origin + eps))))
            if met:
                warn_nonsmooth(name.strip("_"), why=_why(name.strip("_"), met))
        lines = [on(along(direction)) for direction in _directions(space)]
        coefficients = _interpolate(lines, space, origin, _ROUTES[signature])
    except NotDifferentiable:
        forget(signature)
        raise
    except (RuntimeError, NotImplementedError, TypeError) as error:
        forget(signature)
        raise NotDifferentiable(
            f"{name} has no rule for jets, and torch cannot differentiate it to order {space.order} "
            f"({str(error).splitlines()[0]}); write it with differentiable functions"
        ) from error
    for i, c in zip(smooth, coefficients, strict=True):
        # The proof was made at other arguments. At these the derivatives may visibly fail.
        if bool((c.isnan().any(0) & ~c[0].isnan()).any()):
            refuse(name, "torch's derivatives of it are not numbers at these arguments; write it with other functions")
        flat[i] = Jet(c, space)
    return tree_unflatten(flat, out_spec)


def _is_constant(x: Jet) -> bool:
    """Whether all coefficients but the value are zero, and do not require gradients."""
    c = x.coefficients
    if c.requires_grad or torch._C._functorch.peek_interpreter_stack() is not None:
        return False
    return known((c[1:] == 0).all())


def _why(name: str, met: set[str]) -> str:
    """Which part of an operation is not smooth, and what to do if it is unknown whether paths come near that."""
    inside = ", ".join(sorted(met - {name}))
    advice = dict.fromkeys(HIDDEN[part] for part in sorted(met) if part in HIDDEN)
    return ". ".join([*([f"in it, {inside}"] if inside else []), *advice])


def _views(
    call: Callable[[list[Any]], tuple[list[Any], Any]], leaves: list[Any], jets: list[int], seen: list[int]
) -> dict[int, Tensor]:
    """For outputs that are views of a jet's value: the same views of all of its coefficients."""

    def on(*rows: Tensor) -> list[Any]:
        arguments = list(leaves)
        for i, row in zip(jets, rows, strict=True):
            arguments[i] = row
        outputs = call(arguments)[0]
        return [outputs[i] for i in seen]

    found = torch.vmap(on)(*(leaves[i].coefficients for i in jets))
    return dict(zip(seen, found, strict=True))


def _shares_memory(result: Any, argument: Any) -> bool:
    if not isinstance(argument, Tensor):
        return False
    result, argument = unwrapped(result), unwrapped(argument)
    return bool(result.untyped_storage().data_ptr() == argument.untyped_storage().data_ptr() != 0)


def _kind(leaf: Any) -> Any:
    """What a signature keeps of an argument: a static one itself, and of a tensor what can change the algorithm."""
    if isinstance(leaf, Tensor):
        return isinstance(leaf, Jet), leaf.dtype, leaf.ndim
    try:
        hash(leaf)
    except TypeError:
        return repr(leaf)
    return leaf


def _relative_sizes(leaves: list[Any]) -> tuple[int, ...]:
    """The order of the sizes of all axes among each other, and with 0 and 1.

    A formula for a derivative may be right for a tall matrix and wrong for a wide one, so that each needs its own
    proof. But it hardly depends on the number of paths.
    """
    sizes = [n for leaf in leaves if isinstance(leaf, Tensor) for n in leaf.shape]
    ranks = {n: rank for rank, n in enumerate(sorted({0, 1, *sizes}))}
    return tuple(ranks[n] for n in sizes)


def _check_repeatable(name: str, call: Callable[[list[Any]], Any], arguments: list[Any], first: list[Any]) -> None:
    """Refuse a function that changes its arguments or returns other numbers when called again.

    Differentiating takes several calls. Random draws that happen not to change the result change the state of torch's
    generator.
    """
    before = [leaf.clone() if isinstance(leaf, Tensor) else leaf for leaf in arguments]
    state = torch.get_rng_state()
    again, _ = call(arguments)
    if writes_into(arguments, before):
        refuse(name, "it writes into its arguments; use the form that returns its result, without inplace=True or out=")
    if differ(first, again) or not torch.equal(state, torch.get_rng_state()):
        refuse(name, "it draws random numbers; call .eval() on the module, or draw them yourself and pass them in")


def _random_line(leaves: list[Any], seed: int) -> Callable[[Tensor], list[Any]]:
    """The arguments in double precision, as functions of t: jets move through their values along a random parabola."""
    generator = torch.Generator().manual_seed(seed)
    still = [leaf.double() if isinstance(leaf, Tensor) and leaf.is_floating_point() else leaf for leaf in leaves]
    moving = {}
    for i, leaf in enumerate(leaves):
        if isinstance(leaf, Jet):
            value = leaf.value.to(torch.complex128 if leaf.is_complex() else torch.float64)
            size = float(value.abs().max()) if value.numel() else 1.0
            size = size if 0 < size < math.inf else 1.0
            steps = size * torch.randn((2, *value.shape), generator=generator, dtype=torch.float64).to(value)
            moving[i] = value, steps[0], 0.5 * steps[1]

    def move(t: Tensor) -> list[Any]:
        t = t.double()
        return [
            moving[i][0] + t * (moving[i][1] + t * moving[i][2]) if i in moving else leaf
            for i, leaf in enumerate(still)
        ]

    return move


def _proven_route(func: Callable[..., Any], name: str, lines: list[Line], order: int, kinked: bool) -> Route:
    """The first of torch's two ways to differentiate, forward and reverse mode, that agrees with plain calls.

    It must agree along one of several lines. A kink near a line can make a right derivative look wrong, but there is
    hardly one near every line, unless there are thousands of numbers. A wrong derivative is wrong along every line, and
    on both sides. If forward mode was wrong where reverse mode was right, it is never used again for that function: it
    may be right at other arguments (of another shape, or without zeros), which proves nothing for the rest.
    """
    origin, reasons = torch.zeros((), dtype=torch.float64), dict[Route, str]()
    for route in (_forward, _reverse):
        if route is _forward and func in _FORWARD_IS_WRONG:
            continue
        for line in lines:
            try:
                claimed = _derivatives(line, order, origin, route)
            except (RuntimeError, NotImplementedError, TypeError):
                if route is _reverse and not reasons:
                    raise
                break
            wrong = disagreement(line, claimed, kinked)
            if wrong is None:
                if route is _reverse and _forward in reasons:
                    _FORWARD_IS_WRONG.add(func)
                return route
            reasons.setdefault(route, wrong)
    refuse(
        name,
        f"torch's own derivatives of it cannot be trusted: {next(iter(reasons.values()))}; "
        "write it with other functions, or give it a rule",
    )


Ray = tuple[float, ...]
Route = Callable[[Any, Tensor], Any]
_NONSMOOTH_RULES = set(NONSMOOTH.split())  # these warn by themselves, at every call
LINES = 3  # along which the derivatives of a function are compared
_ROUTES: dict[Any, Route] = {}  # for each signature, the way of differentiating that was proven
_KINKED: dict[Any, bool] = {}  # for each signature, whether there is an operation inside that has a kink somewhere
_STEEP: dict[Any, bool] = {}  # for each signature, whether there is an operation inside that can be too steep
_FORWARD_IS_WRONG: set[Any] = set()  # functions for which forward mode was wrong where reverse mode was right


def _directions(space: JetSpace) -> list[Ray]:
    """As many directions as the top degree has coefficients: enough to find a polynomial from its values on lines."""
    top = space.indices[space.size(space.order - 1) :] if space.order else space.indices
    return [tuple(a / max(space.order, 1) for a in alpha) for alpha in top]


def _powers(space: JetSpace, direction: Ray) -> list[float]:
    return [prod(v**a for v, a in zip(direction, alpha, strict=True)) for alpha in space.indices]


def _on_line(x: Jet, direction: Ray, t: Tensor) -> Tensor:
    """The polynomial at ε = t·direction, by Horner's scheme in t."""
    space, c = x.space, x.coefficients
    weights = c.new_tensor(_powers(space, direction)).reshape(-1, *(1,) * x.ndim)
    t = t.to(c.dtype)
    total = torch.zeros_like(c[0])
    for degree in range(space.order, -1, -1):
        rows = slice(space.size(degree - 1) if degree else 0, space.size(degree))
        total = (weights[rows] * c[rows]).sum(0) + t * total
    return total


def _interpolate(lines: list[Line], space: JetSpace, origin: Tensor, route: Route) -> list[Tensor]:
    """Stacked Taylor coefficients of every output, from the derivatives at t = 0 along `_directions`."""
    found = [_derivatives(line, space.order, origin, route) for line in lines]
    powers = torch.tensor([_powers(space, v) for v in _directions(space)], dtype=torch.float64)
    blocks: list[list[Tensor]] = [[] for _ in found[0][0]]
    for degree in range(space.order + 1):
        rows = slice(space.size(degree - 1) if degree else 0, space.size(degree))
        solve = torch.linalg.pinv(powers[:, rows]) / factorial(degree)
        for i, block in enumerate(blocks):
            samples = torch.stack([line[degree][i] for line in found])
            block.append(torch.tensordot(solve.to(samples), samples, 1))
    return [torch.cat(block) for block in blocks]


def _forward(line: Line, t: Tensor) -> Any:
    return jvp(line, (t,), (torch.ones_like(t),))


def _reverse(line: Line, t: Tensor) -> Any:
    """The derivative by reverse mode alone: the pullback is linear, and its own pullback is the derivative."""
    y, pullback = vjp(line, t)  # type: ignore[misc]
    zeros = tree_map(torch.zeros_like, y)
    return y, vjp(lambda w: pullback(w)[0], zeros)[1](torch.ones_like(t))[0]


def _derivatives(line: Line, order: int, origin: Tensor, differentiate: Route) -> list[tuple[Tensor, ...]]:
    def raised(lower: Callable[[Tensor], list[Any]]) -> Callable[[Tensor], list[Any]]:
        def derivatives(t: Tensor) -> list[Any]:
            values, slopes = differentiate(lower, t)
            return [*values, slopes[-1]]

        return derivatives

    g: Callable[[Tensor], list[Any]] = lambda t: [line(t)]  # noqa: E731
    for _ in range(order):
        g = raised(g)
    return g(origin)


def _refusal(name: str, advice: str) -> Callable[..., NoReturn]:
    return lambda *args, **kwargs: refuse(name.strip("_"), advice)


def _nonsmooth(func: Callable[..., Any], name: str) -> Callable[..., Any]:
    def apply(*args: Any, **kwargs: Any) -> Any:
        warn_nonsmooth(name.strip("_"))
        return nested(func, args, kwargs)

    return apply


for _names, _advice in REFUSED.items():
    for _name in _names.split():
        for _func in functions(_name):
            RULES.setdefault(_func, _refusal(_name, _advice))
for _name in NONSMOOTH.split():
    for _func in functions(_name):
        _rule = _nonsmooth(_func, _name)
        RULES.setdefault(_func, honouring_inplace(_rule) if getattr(F, _name, None) is _func else _rule)


def _nested(func: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args, **kwargs: nested(func, args, kwargs)


for _name in sorted(CUTS | EDGES.keys()):
    for _func in functions(_name):
        RULES.setdefault(_func, watched(_name, _nested(_func)))
