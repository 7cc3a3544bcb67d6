"""Valid calls whose answer is known otherwise: what numpy does again, equations that are solved, polynomials."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

import sdewm
from benchmarks.fuzz_values import F64
from sdewm import FunctionSDE, PerturbedSDE, TimeGrid
from sdewm.jets import Jet, JetSpace


@dataclass
class Case:
    """One input: a call, whether it must be refused, and an independent check of what it returns."""

    function: str
    kind: str
    call: Callable[[], Any]
    bad: bool = False
    check: Callable[[Any], bool] | None = None


def linear(rng: Random) -> dict[str, Any]:
    """dx = (A x + a) dt + b dB, an error with drift C x and noise c: numbers that numpy can redo."""
    draw = np.random.default_rng(rng.getrandbits(32))
    n = rng.choice([1, 2, 3])
    noise = rng.choice(["diagonal", "scalar", "additive", "general"])
    m = {"diagonal": n, "scalar": 1}.get(noise, rng.choice([1, 2, 3]))
    b, c = draw.normal(size=(2, n, m)) * 0.3
    if noise == "diagonal":
        b, c = (np.diag(np.diag(v)) for v in (b, c))
    return {
        "n": n, "m": m, "noise": noise, "A": 0.5 * draw.normal(size=(n, n)), "a": draw.normal(size=n),
        "C": 0.5 * draw.normal(size=(n, n)), "b": b, "c": c, "x0": draw.normal(size=n), "v": draw.normal(size=n),
        "steps": rng.choice([1, 2, 4, 8]), "seed": rng.getrandbits(30), "draw": draw,
    }  # fmt: skip


def sde_of(s: dict[str, Any], drift: str, offset: str | None, noise: str) -> FunctionSDE:
    matrix, g = torch.tensor(s[drift]), torch.tensor(s[noise])
    shift = torch.tensor(s[offset]) if offset else 0.0

    def diffusion(t: Tensor, x: Tensor) -> Tensor:
        if s["noise"] == "diagonal":
            return 0 * x + g.diagonal()
        return g.expand(len(x), -1, -1)

    return FunctionSDE(lambda t, x: x @ matrix.mT + shift, diffusion, s["noise"])


def family_of(s: dict[str, Any]) -> PerturbedSDE:
    return PerturbedSDE(sde_of(s, "A", "a", "b"), sde_of(s, "C", None, "c"))


def grid_of(s: dict[str, Any]) -> TimeGrid:
    return TimeGrid(0.0, 1.0, s["steps"])


def increments(s: dict[str, Any], paths: int = 5) -> np.ndarray:
    return s["draw"].normal(size=(s["steps"], paths, s["m"])) / math.sqrt(s["steps"])


def euler(s: dict[str, Any], dB: np.ndarray, eps: float = 0.0) -> np.ndarray:
    x = np.tile(s["x0"], (dB.shape[1], 1))
    for step in dB:
        x = x + (x @ (s["A"] + eps * s["C"]).T + s["a"]) / s["steps"] + step @ (s["b"] + eps * s["c"]).T
    return x


def close(found: Any, expected: Any, slack: float = 1e-9) -> bool:
    return bool(np.allclose(np.asarray(found), np.asarray(expected), rtol=slack, atol=slack))


def means(s: dict[str, Any]) -> list[np.ndarray]:
    """E v·x_T on the grid, and its first and second coefficient in ε."""
    dt, zero = 1 / s["steps"], np.zeros(s["n"])
    x, y, w = s["x0"], zero, zero
    for _ in range(s["steps"]):
        x, y, w = x + dt * (s["A"] @ x + s["a"]), y + dt * (s["A"] @ y + s["C"] @ x), w + dt * (s["A"] @ w + s["C"] @ y)
    return [s["v"] @ one for one in (x, y, w)]


def loss_of(s: dict[str, Any]) -> Callable[[Tensor], Tensor]:
    v = torch.tensor(s["v"])
    return lambda x: x @ v


def solve_case(rng: Random) -> Case:
    s, eps = linear(rng), rng.choice([0.0, 0.3, np.float64(-0.2), torch.tensor(0.1, dtype=F64)])
    dB = increments(s)
    x0 = rng.choice([s["x0"], s["x0"].tolist(), torch.tensor(s["x0"]), torch.tensor(s["x0"]).expand(5, -1)])
    noise = rng.choice([dB, torch.tensor(dB)])
    call = lambda: sdewm.solve(family_of(s).at(eps), x0, grid_of(s), noise=noise)  # noqa: E731
    return Case("solve", "valid", call, check=lambda x: close(x, euler(s, dB, float(eps))))


def fundamental_case(rng: Random) -> Case:
    s = linear(rng)
    expected = np.linalg.matrix_power(np.eye(s["n"]) + s["A"] / s["steps"], s["steps"])
    call = lambda: sdewm.fundamental_matrix(sde_of(s, "A", "a", "b"), s["x0"], grid_of(s), noise=increments(s))  # noqa: E731
    return Case("fundamental_matrix", "valid", call, check=lambda phi: close(phi, np.tile(expected, (5, 1, 1))))


def derivatives_case(rng: Random) -> Case:
    s = linear(rng)
    u = s["draw"].normal(size=(2, s["n"]))
    expected = np.linalg.matrix_power(np.eye(s["n"]) + s["A"] / s["steps"], s["steps"]) @ u.T

    def call() -> Any:
        sde = sde_of(s, "A", "a", "b")
        return sdewm.initial_value_derivatives(sde, s["x0"], grid_of(s), directions=u, noise=increments(s))

    def check(found: Any) -> bool:
        return close(found.first, np.tile(expected, (5, 1, 1))) and close(found.second, np.zeros((5, s["n"], 2, 2)))

    return Case("initial_value_derivatives", "valid", call, check=check)


def expand_case(rng: Random) -> Case:
    s = linear(rng)
    how = {
        "paths": rng.choice([64, np.int64(128)]),
        "sampler": rng.choice(["rqmc", "mc", "antithetic"]),
        "seed": s["seed"],
    }

    def check(found: Any) -> bool:
        estimates = (found.loss0, found.first, found.second)
        return all(
            abs(e.mean - truth) <= 12 * e.stderr + 1e-9 * (1 + abs(truth))
            for e, truth in zip(estimates, means(s), strict=True)
        )

    call = lambda: sdewm.expand(family_of(s), loss_of(s), s["x0"], grid_of(s), **how)  # noqa: E731
    return Case("expand", "valid", call, check=check)


def taylor_case(rng: Random) -> Case:
    s = linear(rng)
    call = lambda: sdewm.taylor_test(family_of(s), loss_of(s), s["x0"], grid_of(s), paths=64).remainders  # noqa: E731
    return Case("taylor_test", "valid", call)


def quadratic(s: dict[str, Any]) -> tuple[Callable[[Tensor], Tensor], list[float]]:
    """(v·x)², and the coefficients of E (v·x_T)² at Δt → 0: the equations of the first two moments, order by order."""
    n, v = s["n"], torch.tensor(s["v"])
    b, c = s["b"], s["c"]
    noise = [b @ b.T, b @ c.T + c @ b.T, c @ c.T]

    def slopes(t: float, y: np.ndarray) -> np.ndarray:
        m, S = y[: 3 * n].reshape(3, n), y[3 * n :].reshape(3, n, n)
        dm, dS = np.zeros_like(m), np.zeros_like(S)
        for k in range(3):
            dm[k] = s["A"] @ m[k] + (s["C"] @ m[k - 1] if k else s["a"])
            half = s["A"] @ S[k] + np.outer(s["a"], m[k]) + (s["C"] @ S[k - 1] if k else 0)
            dS[k] = half + half.T + noise[k]
        return np.concatenate([dm.ravel(), dS.ravel()])

    zeros = np.zeros((2, n))
    start = np.concatenate(
        [np.vstack([s["x0"], zeros]).ravel(), np.outer(s["x0"], s["x0"]).ravel(), np.zeros(2 * n * n)]
    )
    end = solve_ivp(slopes, (0.0, 1.0), start, method="DOP853", rtol=1e-11, atol=1e-11).y[3 * n :, -1].reshape(3, n, n)
    return lambda x: (x @ v) ** 2, [float(s["v"] @ one @ s["v"]) for one in end]


def expand_to_case(rng: Random) -> Case:
    """Within its tolerance of the limit Δt → 0; at a confidence of one miss in a million, a miss is a fault."""
    s, tol = linear(rng), rng.choice([0.3, 0.1, np.float64(0.05)])
    loss, truth = quadratic(s)

    def call() -> Any:
        grid = TimeGrid(0.0, 1.0, rng.choice([4, 8]))
        return sdewm.expand_to(
            family_of(s), loss, s["x0"], grid, tol=tol, confidence=1 - 1e-6, seed=s["seed"], budget=2**24
        )

    def check(found: Any) -> bool:
        e = found.expansion
        return all(abs(one.mean - right) <= tol for one, right in zip((e.loss0, e.first, e.second), truth, strict=True))

    return Case("expand_to", "valid", call, check=check)


def adaptive_case(rng: Random) -> Case:
    """Euler's steps, which are right for additive noise, along the nodes that it says it took."""
    s = linear(rng)
    how = {"tol": rng.choice([1.0, 0.3, 0.1]), "method": "euler", "paths": 3, "seed": s["seed"], "save": "path"}

    def check(found: Any) -> bool:
        x, t = np.tile(s["x0"], (3, 1)), 0.0
        states, times = [x], [t]
        for level, number in found.nodes:
            node = found.path.node(level, number)
            x = x + (x @ s["A"].T + s["a"]) * 0.5**level + node.dB.numpy() @ s["b"].T
            t += 0.5**level
            states.append(x)
            times.append(t)
        return t == 1.0 and close(found.times, times) and close(found.x, states)

    call = lambda: sdewm.solve_adaptive(sde_of(s, "A", "a", "b"), s["x0"], (0.0, 1.0), **how)  # noqa: E731
    return Case("solve_adaptive", "valid", call, check=check)


def geometric_case(rng: Random) -> Case:
    """The closed form at the end of each path's own noise, within three times the tolerance.

    Errors are estimated and not bounded: 1.2 times the tolerance was met at most, on 1,500 paths."""
    mu, sigma, tol = rng.uniform(-0.5, 0.5), rng.uniform(0.1, 0.6), rng.choice([0.03, 0.01])
    sde = FunctionSDE(lambda t, x: mu * x, lambda t, x: sigma * x)
    call = lambda: sdewm.solve_adaptive(sde, [1.0], (0.0, 1.0), tol=tol, paths=5, seed=rng.getrandbits(20))  # noqa: E731

    def check(found: Any) -> bool:
        right = np.exp(mu - 0.5 * sigma**2 + sigma * found.path.whole().dB.numpy())
        return bool((np.abs(found.x.numpy() - right) <= 3 * tol * (1 + right)).all())

    return Case("solve_adaptive", "valid", call, check=check)


def certify_case(rng: Random) -> Case:
    """Differences of a linear system's solutions are known, and no more than rounding is lost on them."""
    s = linear(rng)
    errors = s["draw"].normal(size=(2, s["n"]))
    step = np.eye(s["n"]) + s["A"] / s["steps"]
    powers = [np.linalg.matrix_power(step, k) for k in range(s["steps"] + 1)]
    truth = np.linalg.norm(np.stack([errors @ power.T for power in powers], 1), axis=-1)[..., None]

    def call() -> Any:
        sde = sde_of(s, "A", "a", "b")
        return sdewm.certify(
            sde, s["x0"], grid_of(s), perturbations=errors, noise=increments(s), tubes=rng.choice([1, 2])
        )

    def check(found: Any) -> bool:
        lower, upper = found.lower.numpy(), found.upper.numpy()
        return bool((lower <= truth).all() and (truth <= upper).all()) and close(lower, upper + 0 * lower, 1e-6)

    return Case("certify", "valid", call, check=check)


def check_sde_case(rng: Random) -> Case:
    """What is linear has no kink, and is what it declares."""
    s = linear(rng)
    system = sdewm.System(family_of(s), {"one": loss_of(s), "two": quadratic(s)[0]}, s["x0"], grid_of(s))
    given = rng.choice(
        [(system,), (family_of(s), s["x0"], grid_of(s)), (sde_of(s, "A", "a", "b"), s["x0"], grid_of(s))]
    )
    return Case("check_sde", "valid", lambda: sdewm.check_sde(*given), check=lambda found: found.notes == ())


def verify_case(rng: Random) -> Case:
    """On a linear system the theory holds: nothing is refuted, and some row is verified."""
    s = linear(rng) | {"steps": 4}
    claim = rng.choice(["sensitivities", "fundamental matrix", "divergence", "assumptions"])

    def call() -> Any:
        system = sdewm.System(family_of(s), quadratic(s)[0], s["x0"], grid_of(s))
        return sdewm.verify(system, [claim], precision=0.1, seed=s["seed"], budget=0.0)

    return Case("verify", "valid", call, check=lambda report: not report.refuted and bool(report.rows))


def gradient_case(rng: Random) -> Case:
    """∇U of U = Σ aᵢ xᵢ⁴ + ½ xᵀ S x at a jet: 4 a x³ + ½ (S + Sᵀ) x, and its derivative along u."""
    draw = np.random.default_rng(rng.getrandbits(32))
    n = rng.choice([1, 2, 3])
    a, (x, u), S = draw.normal(size=n), draw.normal(size=(2, 5, n)), draw.normal(size=(n, n))
    terms, matrix = torch.tensor(a), torch.tensor(S)
    field = sdewm.gradient(lambda x: (terms * x**4).sum(-1) + 0.5 * (x * (x @ matrix.mT)).sum(-1))
    jet = Jet(torch.tensor(np.stack([x, u, 0 * u])), JetSpace(1, 2))
    both = 0.5 * (S + S.T)
    right = np.stack([4 * a * x**3 + x @ both, 12 * a * x**2 * u + u @ both, 12 * a * x * u**2])
    found = lambda: (field(torch.tensor(x)), field(jet).coefficients)  # noqa: E731
    return Case("gradient", "valid", found, check=lambda pair: close(pair[0], right[0]) and close(pair[1], right))


def value_case(rng: Random) -> Case:
    plain = torch.tensor(np.random.default_rng(rng.getrandbits(32)).normal(size=(3, 2, 4)))
    given, right = rng.choice(
        [(plain, plain), (Jet(plain, JetSpace(1, 2)), plain[0]), (Jet(plain, JetSpace(2, 1)), plain[0])]
    )
    return Case(
        "value_of", "valid", lambda: sdewm.value_of(given), check=lambda x: type(x) is Tensor and close(x, right, 0)
    )


def brownian(rng: Random) -> Case:
    seed, level = rng.getrandbits(20), rng.choice([0, 1, np.int64(3)])

    def call() -> Any:
        path = sdewm.BrownianPath(seed, 5, 2)
        return torch.stack(list(path.at(level))).sum(0), next(iter(path.at(0)))

    return Case("BrownianPath", "valid", call, check=lambda pair: close(*pair))


VALID = [
    solve_case, fundamental_case, derivatives_case, expand_case, taylor_case, brownian, expand_to_case, adaptive_case,
    geometric_case, certify_case, check_sde_case, verify_case, gradient_case, value_case,
]  # fmt: skip
