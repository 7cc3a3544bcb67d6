"""Does the increase of a world model's losses under perturbed images come as Corollary 3.8 predicts it?

``python -m benchmarks.pixels_to_epsilon`` predicts, for each model that ships, kind of perturbation and size, the
increase of J_O, J_R, J_D and J_L from the encoder alone, then measures it, and writes
``results/pixels_to_epsilon.json``: both with their error bars, the size in latent spreads, what held-out episodes say
of the fitted error, and how often predictions hold, with flags and without. Losses are along recorded frames; nothing
is said of returns. ``--models`` takes some of the models. Half an hour of one core.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from sdewm.estimate.estimates import Estimate
from sdewm.files import write_text
from sdewm.verdicts.record import environment
from sdewm.worldmodel import load_trained
from sdewm.worldmodel.held_out_error import held_out
from sdewm.worldmodel.loss_prediction import CLOSE, LOSSES, WINDOWS, PredictedIncrease, predict_losses
from sdewm.worldmodel.measured_increase import measure_losses
from sdewm.worldmodel.perturbations import PerturbationKind, perturbation_of

MODELS = (
    "walker_walk",
    "cartpole_balance_jacobian_0",
    "cartpole_balance_jacobian_1",
    "walker_walk_jacobian_10_seed_0",
)
# The sizes: the noise's standard deviation, in intensities in [0, 1]; degrees; percent of the pixels.
KINDS: dict[PerturbationKind, tuple[float, ...]] = {
    "noise": (0.01, 0.02, 0.04, 0.08, 0.16, 0.32),
    "rotation": (0.5, 1.0, 2.0, 5.0, 10.0, 20.0),
    "mask": (0.1, 0.5, 1.0, 5.0, 10.0, 25.0),
}
EPISODES = 2
DRAWS, PATHS, MEASURED = 64, 64, 256
SEED, FRESH = 0, 1


def measure(name: str, kind: PerturbationKind, size: float) -> list[dict[str, Any]]:
    """One row for each loss."""
    agent, episodes = load_trained(name)
    model, perturbation, seen = agent.world_model, perturbation_of(kind, size), episodes[:EPISODES]
    start = time.process_time()
    found = predict_losses(model, perturbation, seen, windows=WINDOWS, draws=DRAWS, paths=PATHS, seed=SEED)
    seconds = time.process_time() - start
    measured = measure_losses(model, perturbation, seen, windows=WINDOWS, paths=MEASURED, seed=FRESH)
    other = held_out(found.error, episodes[EPISODES : EPISODES + 1], FRESH)
    of_error = {
        "spreads": bar(found.error.size),
        "drift, spreads": bar(found.error.drift),
        "correlation": [bar(r) for r in found.error.correlation],
        "excess kurtosis": bar(found.error.excess),
        "held out": {
            k: v if not isinstance(v, float) or math.isfinite(v) else None for k, v in other._asdict().items()
        },
    }
    return [
        {"model": name, "kind": kind, "size": size, "loss": loss, **row_of(found[loss], measured[loss]), **of_error,
         "cpu seconds": round(seconds, 1)}
        for loss in LOSSES
    ]  # fmt: skip


def row_of(found: PredictedIncrease, measured: Estimate) -> dict[str, Any]:
    """Predicted beside measured, and whether the one is the other."""
    low, high = found.interval()
    reach = 1.96 * measured.stderr
    return {
        "loss0": bar(found.loss0),
        "predicted": bar(found.increase),
        "simulated": bar(found.simulated),
        "measured": bar(measured),
        "first": bar(found.first),
        "second": bar(found.second),
        "third": bar(found.third),
        "parts": {", ".join(part): bar(value) for part, value in found.parts.items()},
        "interval": [low, high],
        "flags": list(found.flags),
        "covered": covers(low, high, found.increase.mean, reach, measured.mean),
        "simulated covered": covers(*found.simulated.interval(), found.simulated.mean, reach, measured.mean),
        "holds": holds(found.increase, measured),
        "simulated holds": holds(found.simulated, measured),
    }


def covers(low: float, high: float, mean: float, reach: float, measured: float) -> bool:
    """Whether an interval, widened by the error bar of what it is held against, holds it: both are independent."""
    below, above = math.hypot(mean - low, reach), math.hypot(high - mean, reach)
    return mean - below <= measured <= mean + above


def holds(predicted: Estimate, measured: Estimate) -> bool:
    """Within a fifth of what is measured, or so near that two standard errors of the difference cannot tell."""
    noise = 2 * math.hypot(predicted.stderr, measured.stderr)
    return abs(predicted.mean - measured.mean) <= CLOSE * abs(measured.mean) + noise


def sharp(row: dict[str, Any]) -> bool:
    """Whether predicted and measured are both known so well that "within a fifth" owes nothing to their error bars."""
    mean, stderr = row["measured"]
    return 2 * math.hypot(row["predicted"][1], stderr) < CLOSE * abs(mean)


def close(row: dict[str, Any], what: str) -> bool:
    """Within a fifth of what is measured, error bars left aside."""
    return abs(row[what][0] - row["measured"][0]) <= CLOSE * abs(row["measured"][0])


def bar(estimate: Estimate) -> list[float]:
    return [estimate.mean, estimate.stderr]


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """How often predictions hold, flagged and not, and the size from which they do not, by model, kind and loss."""
    counts: dict[str, Any] = {}
    for label, some in (
        ("all", rows),
        ("unflagged", [r for r in rows if not r["flags"]]),
        ("flagged", [r for r in rows if r["flags"]]),
    ):
        counts[label] = {"rows": len(some)} | {
            key: sum(r[key] for r in some) for key in ("holds", "covered", "simulated holds", "simulated covered")
        }
        known = [r for r in some if sharp(r)]
        counts[label] |= {"sharp": len(known)} | {
            f"sharp and {what} within a fifth": sum(close(r, what) for r in known)
            for what in ("predicted", "simulated")
        }
    return {"counts": counts, "breakdown, spreads": breakdown(rows)}


def breakdown(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The largest size, in latent spreads, up to which every smaller one's prediction holds; by order and by SDE."""
    found = []
    for key in dict.fromkeys((r["model"], r["kind"], r["loss"]) for r in rows):
        own = sorted((r for r in rows if (r["model"], r["kind"], r["loss"]) == key), key=lambda r: r["size"])
        up_to: dict[str, float | None] = {}
        for what in ("holds", "simulated holds"):
            good = []
            for row in own:
                if not row[what]:
                    break
                good.append(row["spreads"][0])
            up_to[what] = good[-1] if good else None
        sizes = {"smallest": own[0]["spreads"][0], "largest": own[-1]["spreads"][0]}
        found.append({"model": key[0], "kind": key[1], "loss": key[2], **up_to, **sizes})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Predicted and measured increases of losses under perturbed images.")
    parser.add_argument("--models", nargs="*", choices=MODELS, default=MODELS, metavar="NAME", help="which (all)")
    parser.add_argument("--json", type=Path, default=Path("results/pixels_to_epsilon.json"), metavar="PATH")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name in args.models:
        for kind, sizes in KINDS.items():
            for size in sizes:
                new = measure(name, kind, size)
                rows += new
                print(name, kind, size, *(f"{r['loss']} {r['predicted'][0]:.3g}/{r['measured'][0]:.3g}" for r in new))
    record = {
        "environment": environment(),
        "settings": {"windows": vars(WINDOWS), "episodes": EPISODES, "draws": DRAWS, "paths": PATHS,
                     "measured paths": MEASURED, "seed": SEED, "seed of what is measured": FRESH},
        "summary": summary(rows),
        "rows": rows,
    }  # fmt: skip
    write_text(args.json, json.dumps(record, indent=1, ensure_ascii=False))
    print(json.dumps(record["summary"]["counts"], indent=1))


if __name__ == "__main__":
    main()
