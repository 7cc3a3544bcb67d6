"""Public functions of the world models that need no training: valid calls, and what each argument is replaced by."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.fuzz_values import COUNTS, F64, NUMBERS, OBJECTS, STATES
from sdewm import worldmodel

Functions = dict[str, tuple[Callable[..., Any], dict[str, Any], dict[str, list[Any]]]]
TEXTS: list[Any] = [*OBJECTS, "zero_drift", "epsiode", "spreads", "norms", "multiply", "", "non-zero-drift", "none"]


def worldmodel_functions() -> Functions:
    """``name: (function, valid arguments, {argument: replacements})``."""
    torch.manual_seed(0)
    batch, image = torch.randn(4, 3, dtype=F64), np.full((1, 4, 4), 0.5)
    gaussians = [
        worldmodel.Gaussian(batch, value) for value in (batch.abs(), -batch.abs(), 0 * batch, batch * math.nan)
    ]
    images = [*STATES, image, image.astype(np.uint8), image[0], image.astype(np.float32)]
    functions = [
        *OBJECTS, nn.BatchNorm1d(3, dtype=F64), nn.Dropout(0.5), lambda h: h - h.mean(0), torch.rand_like, torch.tanh,
        lambda h: h.detach(), lambda h: h[:, 0], lambda h: h.sum(), lambda h: h[:2],
    ]  # fmt: skip

    def error(**given: Any) -> Tensor | None:
        return worldmodel.EncoderError(**given).draw(2, 3, torch.ones(2), torch.Generator().manual_seed(0))

    def perturbed(kind: Callable[..., worldmodel.Perturbation], image: Any, **given: Any) -> np.ndarray:
        return kind(**given)(image, np.random.default_rng(0))

    def written(**given: Any) -> int:
        with tempfile.TemporaryDirectory() as folder:
            worldmodel.write_gif(Path(folder) / "pictures.gif", **given)
            return (Path(folder) / "pictures.gif").stat().st_size

    def drawn(mean: Any, std: Any, uniform: Any) -> tuple[Tensor, Tensor]:
        given = (torch.full((1,), value, dtype=F64) if isinstance(value, float) else value for value in (mean, std))
        return worldmodel.truncated_normal(worldmodel.Gaussian(*given), uniform)

    returns = {"rewards": batch, "discounts": batch, "values": batch, "trace": 0.9}
    laws = {"kind": TEXTS, "variance": NUMBERS, "mean": NUMBERS, "redraw": TEXTS, "unit": TEXTS}
    places = [*STATES, (0,), (-1,), (1,), (0, 0), (), 0]
    numbers = [0.0, 3.0, -3.0, 50.0, -1e6, 1e-3, 1.0, -1.0, math.nan, math.inf, 1e5]
    half = torch.full((1,), 0.5, dtype=F64)
    return {
        "EncoderError": (error, {"kind": "non-zero-drift", "variance": 1.0, "mean": 1.0}, laws),
        "GaussianNoise": (perturbed, {"kind": worldmodel.GaussianNoise, "image": image, "mean": 0.1, "variance": 0.1},
                          {"mean": NUMBERS, "variance": NUMBERS, "mode": TEXTS, "clip": OBJECTS, "image": images}),
        "MaskedNoise": (
            perturbed,
            {"kind": worldmodel.MaskedNoise, "image": image, "percent": 50, "mean": 0.1, "variance": 0.1},
            {"percent": NUMBERS, "mean": NUMBERS, "variance": NUMBERS, "mode": TEXTS, "clip": OBJECTS,
             "image": images}),
        "Rotation": (perturbed, {"kind": worldmodel.Rotation, "image": image, "degrees": 3.0},
                     {"degrees": NUMBERS, "image": images}),
        "exact_norms": (worldmodel.exact_norms, {"function": torch.tanh, "inputs": (batch,), "wrt": (0,)},
                        {"function": functions, "wrt": places,
                         "inputs": [*STATES, (), (3,), (batch.long(),), [batch]]}),
        "jacobian_penalty": (
            worldmodel.jacobian_penalty,
            {"function": torch.tanh, "inputs": (batch,), "wrt": (0,), "generator": torch.Generator()},
            {"function": functions[:11], "wrt": places, "generator": OBJECTS, "form": TEXTS}),
        "logarithmic_norm": (worldmodel.logarithmic_norm, {"matrix": torch.eye(2)}, {"matrix": STATES}),
        "kl_divergence": (worldmodel.kl_divergence, {"q": gaussians[0], "p": gaussians[0]},
                          {"q": gaussians, "p": gaussians}),
        "truncated_normal": (drawn, {"mean": 0.3, "std": 0.5, "uniform": half},
                             {"mean": numbers, "std": numbers, "uniform": [half, 0 * half, 2 * half, -half]}),
        "lambda_returns": (worldmodel.lambda_returns, returns,
                           {"trace": NUMBERS, "rewards": [batch[:2], batch[:1]], "values": [batch[:2], batch[:1]]}),
        "perturbation_of": (
            lambda **given: worldmodel.perturbation_of(**given)(image, np.random.default_rng(0)),
            {"kind": "noise", "size": 0.1}, {"kind": [*TEXTS, "rotation", "mask"], "size": NUMBERS}),
        "preset": (lambda **given: len(worldmodel.preset(**given).as_dict()), {"name": "debug"},
                   {"name": TEXTS, "task": TEXTS, "length": COUNTS, "action_repeat": COUNTS, "discount": NUMBERS,
                    "no_such": NUMBERS}),
        "Windows": (lambda **given: worldmodel.Windows(**given).grid(3).dt, {"starts": (1, 2)},
                    {"starts": STATES, "steps": COUNTS, "ahead": COUNTS}),
        "recorded_actions": (
            lambda actions: worldmodel.recorded_actions(actions)(half[0], half[None], half[None]),
            {"actions": torch.zeros(3, 1)}, {"actions": STATES}),
        "write_gif": (
            written,
            {"pictures": [np.zeros((4, 4, 3), np.uint8)]},
            {"pictures": [*OBJECTS, images, [image], [np.zeros((4, 4), np.uint8)], [None], [np.zeros(3, np.uint8)]],
             "frames_per_second": NUMBERS}),
        "random_policy": (lambda **given: worldmodel.random_policy(**given)(np.zeros(2)), {"action_size": 2, "seed": 0},
                          {"action_size": COUNTS, "seed": NUMBERS}),
        "PointMass": (lambda **given: worldmodel.PointMass(**given).reset(0).observation, {"size": 0},
                      {"size": COUNTS, "action_repeat": COUNTS}),
    }  # fmt: skip
