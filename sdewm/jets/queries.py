"""Properties that a jet has in common with its value: size, dtype, device and the like."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from sdewm.jets.jet import RULES, Jet
from sdewm.jets.registry import functions, property_rule


def _on_value(func: Callable[..., Any]) -> Callable[..., Any]:
    def ask(*args: Any, **kwargs: Any) -> Any:
        return func(*(a.value if isinstance(a, Jet) else a for a in args), **kwargs)

    return ask


for _name in (
    "size",
    "dim",
    "ndimension",
    "numel",
    "nelement",
    "element_size",
    "stride",
    "is_contiguous",
    "get_device",
    "is_floating_point",
    "is_complex",
    "is_conj",
    "is_neg",
    "is_inference",
    "is_signed",
    "is_same_size",
    "result_type",
    "__len__",
    "is_pinned",
    "is_shared",
):
    for _func in functions(_name):
        RULES[_func] = _on_value(_func)
for _name in (
    "dtype",
    "device",
    "ndim",
    "layout",
    "is_cuda",
    "is_cpu",
    "is_mps",
    "is_meta",
    "is_sparse",
    "is_sparse_csr",
    "is_quantized",
    "is_nested",
    "is_mkldnn",
    "is_xla",
    "is_xpu",
    "itemsize",
    "nbytes",
):
    property_rule(_on_value(getattr(Tensor, _name).__get__), _name)
property_rule(lambda x: x.coefficients.shape[1:], "shape")
property_rule(lambda x: x.coefficients.requires_grad, "requires_grad")
property_rule(lambda x: x.coefficients.is_leaf, "is_leaf")
property_rule(lambda x: x.coefficients.grad_fn, "grad_fn")
property_rule(lambda x: None, "grad")
RULES[Tensor.__format__] = lambda x, spec="": format(repr(x), spec)
