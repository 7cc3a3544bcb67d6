"""Layers whose function is known from their parameters: what a certificate may be read from, and nothing else.

A layer that computes something else than its class does (a subclass, a hook, a forward of its own) has the same weights
and another Lipschitz constant. So exact classes are asked for, and each layer's values are held against the function
that is read from it, at random points.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.nn.utils import parametrize

from sdewm import arguments

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "silu": nn.functional.silu,
    "softplus": nn.functional.softplus,
}
MODULES: dict[type[nn.Module], str] = {
    nn.Tanh: "tanh",
    nn.Sigmoid: "sigmoid",
    nn.SiLU: "silu",
    nn.Softplus: "softplus",
}
# Points that a layer's own values are held against; roundings that each of them may differ by.
POINTS, ROUNDINGS = 64, 64
# Above this argument softplus is taken to be linear, where it is so to 2e-9; below, that is a jump.
LINEAR_FROM = 20.0


@dataclass(frozen=True)
class Affine:
    """x ↦ W x + b, ``weight`` ``(outputs, inputs)`` and ``bias`` ``(outputs,)`` in float64."""

    weight: Float[Tensor, "outputs inputs"]
    bias: Float[Tensor, " outputs"]

    def __call__(self, x: Float[Tensor, "... inputs"]) -> Float[Tensor, "... outputs"]:
        return x @ self.weight.mT + self.bias


@dataclass(frozen=True)
class Neurons:
    """A scalar activation at every coordinate, by its name and as a function."""

    activation: str
    function: Callable[[Float[Tensor, "... neurons"]], Float[Tensor, "... neurons"]]

    def __call__(self, x: Float[Tensor, "... neurons"]) -> Float[Tensor, "... neurons"]:
        return self.function(x)


def plain_layers(modules: Sequence[nn.Module]) -> list[Affine | Neurons]:
    """What each of the modules computes: linear layers and smooth activations, as torch has them.

    ``modules`` is an ``nn.Sequential``, an ``nn.ModuleList`` or a sequence of modules. Parametrized layers
    (``torch.nn.utils.parametrizations``) count as what they parametrize.

    Raises ``TypeError`` that names a module of another kind, also a subclass, one with a forward of its own or with
    hooks; ``ValueError`` for parameters that are not finite, or a layer whose values are not those of its parameters.

    >>> [layer] = plain_layers([nn.Tanh()])
    >>> layer.activation
    'tanh'
    """
    if isinstance(modules, nn.Module):
        as_it_is("modules", modules, (nn.Sequential, nn.ModuleList))
    elif isinstance(modules, str | bytes) or not isinstance(modules, Sequence):
        raise TypeError(f"modules: expected nn.Sequential or a sequence of modules, got {arguments.shown(modules)}")
    return [_read(f"modules[{i}]", module) for i, module in enumerate(modules)]


def as_it_is(name: str, module: object, kinds: tuple[type[nn.Module], ...]) -> type[nn.Module]:
    """The class of a module that is exactly of one of these classes, and computes what the class does.

    ``TypeError`` for another class or a subclass, for a forward of its own, and for forward hooks, torch's global ones
    too.
    """
    known = ", ".join(kind.__name__ for kind in kinds)
    if not isinstance(module, nn.Module):
        raise TypeError(f"{name}: expected a module, one of {known}, got {arguments.shown(module)}")
    kind = parametrize.type_before_parametrizations(module)
    if kind not in kinds:
        above = next((k.__name__ for k in kinds if isinstance(module, k)), None)
        why = "" if above is None else f", a subclass of {above}, whose forward may be another"
        raise TypeError(f"{name}: expected one of {known}, got {kind.__name__}{why}")
    if "forward" in vars(module):
        raise TypeError(f"{name}: expected {kind.__name__} as torch has it, got one with a forward of its own")
    own, everywhere = (
        [hook for hooks in where for hook in hooks.values()]
        for where in (
            (module._forward_hooks, module._forward_pre_hooks),
            (torch_module._global_forward_hooks, torch_module._global_forward_pre_hooks),
        )
    )
    for hooks, of in ((own, "a forward hook"), (everywhere, "a forward hook on all modules")):
        if hooks:
            hook = getattr(hooks[0], "__name__", type(hooks[0]).__name__)
            hint = "; use torch.nn.utils.parametrizations" if hook in ("WeightNorm", "SpectralNorm") else ""
            raise TypeError(f"{name}: expected {kind.__name__} without hooks, got {of}, {hook}{hint}")
    return kind


def in_float64(name: str, module: nn.Module) -> Any:
    """A copy in float64 on the CPU; ``ValueError`` that names a parameter with a number that is not finite."""
    exact = copy.deepcopy(module).double().cpu()
    for parameter, value in exact.named_parameters():
        if not bool(value.isfinite().all()):
            raise ValueError(f"{name}.{parameter}: expected finite numbers, got a non-finite one")
    return exact.requires_grad_(False)


def same_values(
    name: str, kind: str, value: Float[Tensor, "..."], expected: Float[Tensor, "..."], size: Float[Tensor, "..."]
) -> None:
    """``ValueError`` where a layer's values are not those expected, up to the rounding of numbers of this size."""
    if value.shape != expected.shape or not bool(((value - expected).abs() <= ROUNDINGS * math.ulp(1.0) * size).all()):
        raise ValueError(
            f"{name}: expected {kind} to give what its parameters say, got other values; if they change as it is "
            "called, put it in evaluation mode"
        )


def _read(name: str, module: nn.Module) -> Affine | Neurons:
    kind = as_it_is(name, module, (nn.Linear, *MODULES))
    exact = in_float64(name, module)
    generator = torch.Generator().manual_seed(0)
    own: Affine | Neurons
    points = 4 * torch.randn(POINTS, exact.in_features if kind is nn.Linear else 1, generator=generator).double()
    if kind is nn.Linear:
        weight = exact.weight
        bias = weight.new_zeros(len(weight)) if exact.bias is None else exact.bias
        own = Affine(weight, bias)
        size = weight.shape[1] * (points.abs() @ weight.abs().mT + bias.abs())
    else:
        function = FUNCTIONS[MODULES[kind]]
        if kind is nn.Softplus:
            beta = arguments.real(f"{name}.beta", exact.beta)
            threshold = arguments.real(f"{name}.threshold", exact.threshold, least=LINEAR_FROM)
            if beta == 0:
                raise ValueError(f"{name}.beta: expected a number other than 0, got 0")
            function = partial(nn.functional.softplus, beta=beta, threshold=threshold)
        own, size = Neurons(MODULES[kind], function), 1 + points.abs()
    same_values(name, kind.__name__, exact(points.clone()), own(points), size)
    return own
