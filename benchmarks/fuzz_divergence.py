"""Public functions of the divergence part: valid calls, and what each argument is replaced by."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.fuzz_values import COUNTS, F64, NUMBERS, OBJECTS, STATES
from sdewm import PerturbedSDE, SlopeNetwork, TimeGrid
from sdewm.divergence import bounds, distances, gru_cell, interval, lipschitz
from sdewm.divergence.assumptions import check_assumptions
from sdewm.systems.sde import SDE

Functions = dict[str, tuple[Callable[..., Any], dict[str, Any], dict[str, list[Any]]]]


class Tenfold(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return 10 * super().forward(x)


def _hooked(module: nn.Module) -> nn.Module:
    module.register_forward_hook(lambda module, inputs, value: 10 * value)
    return module


def divergence_functions(sde: SDE, grid: TimeGrid, dB: Tensor) -> Functions:
    """``name: (function, valid arguments, {argument: replacements})``."""
    torch.manual_seed(0)
    eye, ones = torch.eye(2, dtype=F64), torch.ones(2, dtype=F64)
    matrices = [*STATES, eye, eye.tolist(), torch.ones(2, 3), torch.ones(0, 2), eye * math.nan, eye.float(), "tanh"]
    names = [*OBJECTS, "relu", "silu", "Tanh", ""]
    broken = nn.Linear(2, 2)
    broken.weight.data[0, 0] = math.nan
    plain = [nn.Linear(2, 2), nn.Tanh()]
    layers = [
        *OBJECTS, nn.Linear(2, 2), [Tenfold(2, 2)], [_hooked(nn.Linear(2, 2))], [_hooked(nn.Tanh())], [nn.ReLU()],
        [nn.Linear(3, 2)], [broken], [nn.Softplus(threshold=1)], [nn.Softplus(beta=3)], nn.Sequential(*plain),
        plain[:1], [nn.Linear(2, 2, bias=False)], [nn.Linear(2, 2).half()], [nn.LazyLinear(2)], [None], [3], "tanh",
    ]  # fmt: skip
    cells = [*OBJECTS, nn.Linear(2, 2), nn.LSTMCell(2, 2), _hooked(nn.GRUCell(1, 2)), nn.GRUCell(1, 2, bias=False)]
    slices = [
        *OBJECTS,
        slice(0, 1),
        slice(5, 9),
        slice(0, 5),
        slice(-1, None),
        slice(1, 1),
        slice("a"),
        slice(None, None, -1),
    ]
    step = bounds.StepConstants(0.9, 0.1, 0.1, 0.1, 0.5)

    def form(given: Any) -> tuple[SlopeNetwork, Any]:
        net = SlopeNetwork(2)
        hidden = net.layer(net.inputs, "tanh")
        return net, hidden if given is None else given

    def constant(out: Any, **given: Any) -> float:
        net, out = form(out)
        return net.lipschitz(out, **{"search": 2} | given)

    def rate(drift: Any, **given: Any) -> float:
        net, drift = form(drift)
        return net.mean_square_rate(drift, **{"search": 2} | given)

    def one_step(drift: Any, **given: Any) -> float:
        net, drift = form(drift)
        return net.step_lipschitz(drift, **given)

    def certified(modules: Any) -> float:
        net = SlopeNetwork(2)
        return net.lipschitz(net.sequential(modules, net.inputs), search=2)

    walk = {"sde": sde, "x0": ones, "grid": grid, "noise": dB}
    walks = {
        "x0": STATES,
        "noise": [*STATES, dB.numpy(), dB[:2], dB * math.nan],
        "grid": OBJECTS,
        "sde": OBJECTS,
        "method": [*OBJECTS, "EULER", "milstein", "heun"],
    }
    steps = {"dt": NUMBERS, "steps": COUNTS}
    constants = ("step", "a", "b", "drift_curvature", "diffusion_curvature")
    family = PerturbedSDE(sde, sde)
    squares = [*STATES, [1, -1, 1.0], [math.nan], "1", 3.0, [1e308, 1e308], [0.0]]
    starts = [*STATES, (0.0, 1.0), (-1.0, 1.0), (math.nan, 1.0), (1.0,), (0, 1, 2)]
    return {
        "spectral_norm": (lipschitz.spectral_norm, {"matrix": eye}, {"matrix": matrices}),
        "curvature": (lipschitz.curvature, {"outer": eye, "activation": "tanh", "inner": eye},
                      {"outer": matrices, "activation": names, "inner": matrices}),
        "spectral_product": (lipschitz.spectral_product, {"weights": [eye, eye], "activations": ["tanh"]},
                             {"weights": [*matrices, [eye], [eye, torch.ones(2, 3)], ["a"]],
                              "activations": [*OBJECTS, ["relu"], [3], "tanh", ["tanh", "silu"], []]}),
        "SlopeNetwork.lipschitz": (constant, {"out": None}, {"out": matrices[1:], "wrt": slices, "search": COUNTS}),
        "SlopeNetwork.step_lipschitz": (one_step, {"drift": None, "dt": 0.1},
                                        {"drift": matrices[1:], "dt": NUMBERS, "wrt": slices}),
        "SlopeNetwork.mean_square_rate": (rate, {"drift": None}, {
            "drift": matrices[1:], "diffusion": matrices, "wrt": slices, "dt": NUMBERS, "metric": matrices,
            "search": COUNTS}),
        "SlopeNetwork.sequential": (certified, {"modules": plain}, {"modules": layers}),
        "interval": (interval.interval, {"modules": plain, "low": -ones, "high": ones},
                     {"modules": layers, "low": STATES, "high": STATES}),
        "gru_lipschitz": (gru_cell.gru_lipschitz, {"cell": nn.GRUCell(1, 2), "search": 2},
                          {"cell": cells, "box": NUMBERS, "search": COUNTS}),
        "log_gronwall": (bounds.log_gronwall, {"horizon": 1.0, "a": 1.0, "b": 1.0},
                         {"horizon": NUMBERS, "a": NUMBERS, "b": NUMBERS}),
        "mean_square": (bounds.mean_square, {"rate": 1.0, "dt": 0.1, "steps": 3}, {"rate": NUMBERS} | steps),
        "supremum_from_mean_square": (bounds.supremum_from_mean_square,
                                      {"squares": [1.0, 1.0], "dt": 0.1, "a": 1.0, "b": 1.0},
                                      {"squares": squares, "dt": NUMBERS, "a": NUMBERS, "b": NUMBERS}),
        "pathwise": (bounds.pathwise, {"rate": 1.0, "dt": 0.1, "steps": 3}, {"rate": NUMBERS} | steps),
        "StepConstants": (bounds.StepConstants,
                          {"state": 0.9, "from_latent": 0.1, "predict": 0.1, "noise": 0.1, "keep": 0.5},
                          {**{k: NUMBERS for k in ("state", "from_latent", "predict", "noise", "keep")},
                           "sequential": OBJECTS}),
        "block_mean_squares": (bounds.block_mean_squares, {"c": step, "steps": 3, "start": (0.0, 1.0)},
                               {"c": OBJECTS, "steps": COUNTS, "start": starts}),
        "block_supremum": (bounds.block_supremum, {"c": step, "steps": 3},
                           {"c": OBJECTS, "steps": COUNTS, "start": starts, "state": [*squares, [1.0] * 4]}),
        "second_derivative_supremum": (
            bounds.second_derivative_supremum,
            dict.fromkeys(constants, 1.0) | {"dt": 0.1, "steps": 3},
            dict.fromkeys(constants, NUMBERS) | steps),
        "saturation": (bounds.saturation, {"box": 1.0, "hidden": 3, "mean": 0.1, "deviations": 0.1, "steps": 4},
                       {"box": NUMBERS, "hidden": COUNTS, "mean": NUMBERS, "deviations": NUMBERS, "steps": COUNTS}),
        "distances": (distances.distances, walk | {"perturbations": eye}, walks | {"perturbations": matrices}),
        "divergence": (distances.divergence, walk | {"perturbations": eye}, walks | {"perturbations": matrices}),
        "sensitivity_suprema": (distances.sensitivity_suprema, walk | {"directions": eye},
                                walks | {"directions": matrices}),
        "fundamental_supremum": (distances.fundamental_supremum, walk, walks),
        "jacobian_suprema": (distances.jacobian_suprema, walk, walks),
        "check_assumptions": (
            lambda **given: len(check_assumptions(**given).violations), {"system": family, "x0": ones, "lines": 1},
            {"system": [*OBJECTS, sde], "x0": STATES, "lines": COUNTS, "t": NUMBERS, "seed": NUMBERS}),
    }  # fmt: skip
