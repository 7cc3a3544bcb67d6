"""Torch's own operators through jets: every sample of its operator database, to third order, against plain calls.

``python -m benchmarks.operators`` takes each sample input of ``torch.testing``'s operator database in float64 and in
complex128, puts a cubic polynomial in ε into every floating-point tensor, and holds the jet of the result against a
Chebyshev fit to plain calls at several ε. Each sample has one outcome:

    right       values and derivatives to third order agree with the fit
    not smooth  the operation said by a NonSmoothWarning that it has kinks or jumps; it agrees, or the fit met one
    refused     an error of the jets' own, which names the operation
    no float    nothing that it returns is a floating-point tensor
    random      two plain calls differ
    unresolved  the fit is too uncertain to tell right from wrong (singular, or at the edge of the domain)
    wrong       anything else

``--json results/operators.json`` keeps the record, with the reasons of all that is not right, after every operator; the
same command goes on with it. Exits with 1 where anything is wrong.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.testing._internal.common_methods_invocations import op_db
from torch.utils._pytree import tree_flatten, tree_unflatten

import sdewm.jets
from sdewm.files import write_text
from sdewm.jets import Jet, JetSpace, NonSmoothWarning, NotDifferentiable, constant

ORDER = 3
NODES = 11  # of the Chebyshev fit
RADII = (0.2, 0.05, 0.0125)  # of the fits, in ε; two neighbours give the fit's own error
CLOSE_UP = (3e-3, 8e-4, 2e-4)
DTYPES = (torch.float64, torch.complex128)
LARGEST = 4096  # numbers in one sample


def inputs(sample: Any) -> tuple[list[Any], Any]:
    return tree_flatten(((sample.input, *sample.args), sample.kwargs))


def moving(leaves: list[Any], generator: torch.Generator) -> dict[int, Tensor]:
    """Coefficients of a cubic in ε for every floating-point tensor, small next to the tensor's own size."""
    cubic = {}
    for i, leaf in enumerate(leaves):
        if isinstance(leaf, Tensor) and leaf.dtype in DTYPES and leaf.layout == torch.strided:
            size = float(leaf.abs().max()) if leaf.numel() else 1.0
            size = 0.1 * (size if np.isfinite(size) and 0 < size < 10 else 1.0)
            rest = torch.randn((ORDER, *leaf.shape), generator=generator, dtype=leaf.dtype)
            rest *= size * torch.tensor([1.0, 0.5, 0.25], dtype=torch.float64).reshape(-1, *(1,) * leaf.ndim)
            cubic[i] = torch.cat([leaf.detach()[None], rest])
    return cubic


def at(leaves: list[Any], cubic: dict[int, Tensor], eps: float) -> list[Any]:
    moved = [leaf.clone() if isinstance(leaf, Tensor) else leaf for leaf in leaves]
    for i, c in cubic.items():
        moved[i] = c[0] + eps * (c[1] + eps * (c[2] + eps * c[3]))
    return moved


def flat(result: Any) -> list[Tensor]:
    return [y for y in tree_flatten(result)[0] if isinstance(y, Tensor) and y.dtype in DTYPES]


def differ(first: list[Tensor], second: list[Tensor]) -> bool:
    pairs = zip(first, second, strict=True)
    return any(a.shape != b.shape or not torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in pairs)


def fitted(call: Callable[[float], list[Tensor]], radius: float) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Taylor coefficients (ORDER + 1, …) of each output, from a Chebyshev fit on [−radius, radius], and what the
    rounding of plain calls does to them."""
    nodes = np.cos((2 * np.arange(NODES) + 1) * np.pi / (2 * NODES))
    values = [call(float(radius * x)) for x in nodes]
    to_powers = np.stack(
        [np.pad(p, (0, NODES - len(p))) for p in (np.polynomial.chebyshev.cheb2poly(e) for e in np.eye(NODES))]
    )
    weights = to_powers.T @ np.linalg.inv(np.polynomial.chebyshev.chebvander(nodes, NODES - 1))
    weights = weights[: ORDER + 1] / radius ** np.arange(ORDER + 1)[:, None]
    found, rounding = [], []
    for column in zip(*values, strict=True):
        y = np.stack([v.detach().resolve_conj().resolve_neg().numpy() for v in column])
        shape = (ORDER + 1, *y.shape[1:])
        found.append((weights @ y.reshape(NODES, -1)).reshape(shape))
        rounding.append((np.abs(weights) @ np.spacing(np.abs(y).reshape(NODES, -1))).reshape(shape))
    return found, rounding


def outcome(function: Callable[..., Any], sample: Any, seed: int) -> tuple[str, str]:
    """The outcome of one sample, and its reason."""
    generator = torch.Generator().manual_seed(seed)
    leaves, spec = inputs(sample)
    cubic = moving(leaves, generator)
    if any(isinstance(leaf, Tensor) and leaf.layout != torch.strided for leaf in leaves):
        return "skipped", "a sparse input"
    if not cubic or sum(c[0].numel() for c in cubic.values()) > LARGEST:
        return "skipped", "no floating-point input, or too large"

    def call(moved: list[Any]) -> Any:
        args, kwargs = tree_unflatten(moved, spec)
        return sample.output_process_fn_grad(function(*args, **kwargs))  # takes off what is arbitrary, such as a sign

    space = JetSpace(1, ORDER)
    try:
        torch.manual_seed(seed)
        first = flat(call(at(leaves, cubic, 0.0)))
        torch.manual_seed(seed + 1)
        second = flat(call(at(leaves, cubic, 0.0)))
    except Exception as error:
        return "skipped", f"plain call: {type(error).__name__}"
    if not first:
        return "no float", ""
    if differ(first, second):
        return "random", ""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        carried = [Jet(cubic[i].clone(), space) if i in cubic else leaf for i, leaf in enumerate(leaves)]
        try:
            result = call(carried)
        except NotDifferentiable as error:
            return "refused", str(error)
        except Exception as error:
            return "wrong", f"raised {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    if result is NotImplemented:
        return "refused", "an operator of Python's that returned NotImplemented"
    kinks = any(issubclass(w.category, NonSmoothWarning) for w in said)
    got = flat(result)
    if len(got) != len(first) or any(g.shape != f.shape or g.dtype != f.dtype for g, f in zip(got, first, strict=True)):
        shapes = [tuple(g.shape) for g in got], [tuple(f.shape) for f in first]
        return "wrong", f"returned {shapes[0]} for {shapes[1]}"

    def plain(eps: float) -> list[Tensor]:
        torch.manual_seed(seed)
        return flat(call(at(leaves, cubic, eps)))

    coefficients = [g.coefficients if isinstance(g, Jet) else constant(g, space).coefficients for g in got]
    found = judged(coefficients, plain, first, kinks, RADII)
    # What is wrong is so at every scale; a kink or another pivot nearby is out of sight from close up.
    return judged(coefficients, plain, first, kinks, CLOSE_UP) if found[0] == "wrong" else found


def judged(
    got: list[Tensor],
    plain: Callable[[float], list[Tensor]],
    first: list[Tensor],
    kinks: bool,
    radii: tuple[float, ...],
) -> tuple[str, str]:
    try:
        fits = [fitted(plain, radius) for radius in radii]
    except Exception as error:
        return "unresolved", f"plain call nearby: {type(error).__name__}"
    worst, resolved = "", True
    for which, coefficients in enumerate(got):
        ours = coefficients.detach().resolve_conj().resolve_neg().numpy()
        if not ours.size:
            continue
        candidates = np.stack([fit[which] for fit, _ in fits])
        changes = np.abs(np.diff(candidates, axis=0))  # between neighbouring radii
        changes += np.stack([rounding[which] for _, rounding in fits[1:]])
        best = np.argmin(np.nan_to_num(changes, nan=np.inf), axis=0)[None]
        fit = np.take_along_axis(candidates[1:], best, 0)[0]
        error = np.take_along_axis(changes, best, 0)[0]
        scale = np.abs(fit).max(initial=0.0, where=np.isfinite(fit)) + 1e-3
        off = np.abs(ours - fit)
        bad = ~(off <= 10 * error + 1e-6 * scale) & np.isfinite(fit) & np.isfinite(error)
        unknown = ~np.isfinite(fit) | (error > 1e-3 * scale)
        same = (ours == fit) | (np.isnan(ours) & np.isnan(first[which].resolve_conj().resolve_neg().numpy())[None])
        resolved &= not (unknown & ~same).any()
        if (bad & ~unknown).any():
            k = np.unravel_index(np.argmax(np.where(bad & ~unknown, off, 0)), off.shape)
            worst = f"order {k[0]}: {ours[k]:.6g}, right {fit[k]:.6g}"
    if worst:
        return ("not smooth" if kinks else "wrong"), worst
    if kinks:
        return "not smooth", ""
    return ("right", "") if resolved else ("unresolved", "")


def samples(op: Any, dtype: torch.dtype = torch.float64) -> Iterator[Any]:
    try:
        yield from op.sample_inputs("cpu", dtype, requires_grad=False)
    except Exception:
        return


def judged_operator(op: Any, dtype: torch.dtype, seed: int, most: int | None) -> dict[str, Any]:
    counts: Counter[str] = Counter()
    reasons: dict[str, str] = {}
    for number, sample in enumerate(islice(samples(op, dtype), most)):
        what, why = outcome(op.op, sample, seed + number)
        counts[what] += 1
        if why and what != "skipped":
            reasons.setdefault(what, f"sample {number}: {why}"[:300])
    return {"counts": dict(counts), "reasons": reasons}


def run(chosen: list[str], seed: int, most: int | None, path: Path | None = None) -> dict[str, Any]:
    """The whole record; an operator that the record at ``path`` has already, of the same code, is not done again."""
    code = hashlib.sha256()
    for file in sorted((*Path(sdewm.jets.__file__).parent.glob("*.py"), Path(__file__))):
        code.update(file.read_bytes())
    made_by = {"torch": torch.__version__, "seed": seed, "most": most, "code": code.hexdigest()[:16]}
    table: dict[str, Any] = {}
    if path is not None and path.exists():
        before = json.loads(path.read_text())
        if all(before.get(k) == v for k, v in made_by.items()):
            table = before["table"]
    record: dict[str, Any] = {}
    for op in op_db:
        for dtype in DTYPES:
            if dtype not in op.supported_dtypes("cpu") or (chosen and op.name not in chosen):
                continue
            name = op.name + (f".{op.variant_test_name}" if op.variant_test_name else "")
            name += ", complex" if dtype.is_complex else ""
            if name not in table:
                table[name] = row = judged_operator(op, dtype, seed, most)
                if row["counts"].get("wrong"):
                    print(f"{name}: {row['counts']} {row['reasons']['wrong']}", flush=True)
            total: Counter[str] = Counter()
            for row in table.values():
                total.update(row["counts"])
            record = {**made_by, "operators": len(table), "samples": dict(total), "table": table}
            if path is not None:
                write_text(path, json.dumps(record, indent=1) + "\n")
    return record


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.operators", description=__doc__.splitlines()[0])
    parser.add_argument("operators", nargs="*", help="names of torch's database (all)")
    parser.add_argument("--samples", type=int, metavar="N", help="the first N samples of each operator (all)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, default=None, help="the record, kept after every operator")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    record = run(arguments.operators, arguments.seed, arguments.samples, arguments.json)
    print(json.dumps({k: record[k] for k in ("torch", "operators", "samples")}))
    return 1 if record["samples"].get("wrong") else 0


if __name__ == "__main__":
    sys.exit(main())
