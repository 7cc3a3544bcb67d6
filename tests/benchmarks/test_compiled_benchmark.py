"""The benchmark's systems: the same numbers for torch and for JAX, and every column is measured."""

from __future__ import annotations

import numpy as np
import torch

from benchmarks import compiled


def test_torch_and_numpy_agree_on_the_coefficients():
    """What JAX is given is written in jax.numpy, of which numpy is the part that is used."""
    for name, problem in compiled.SYSTEMS.items():
        if problem is None:
            continue

        def network(layers):
            def apply(x):
                for w, b in layers[:-1]:
                    x = np.tanh(x @ w + b)
                return x @ layers[-1][0] + layers[-1][1]

            return apply

        x = problem.x0 + np.linspace(-1, 1, 3)[:, None]
        ours, theirs = problem.coefficients(torch, compiled.in_torch), problem.coefficients(np, network)
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(one(torch.from_numpy(x)).detach().numpy(), other(x), rtol=1e-12, err_msg=name)


def test_a_measurement(monkeypatch):
    monkeypatch.setattr(compiled, "ROUNDS", 1)
    found = compiled.measure("8-32-8, noise a full matrix", "plain", 64)
    assert {"compiled", "torch"} <= found.keys() and all(value > 0 for value in found.values())
