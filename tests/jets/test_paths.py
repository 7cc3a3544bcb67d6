"""Paths along any axis: edges, kinks and slopes are seen as they are where paths stand along the first."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from support import F64
from torch import Tensor
from torch.nn import functional as F

from sdewm import FunctionSDE, PerturbedSDE, TimeGrid, expand
from sdewm.jets import Jet, JetSpace, NonSmoothWarning, nonsmooth_met
from sdewm.jets.paths import arrangements, evaluated_on, judged_by_path

PATHS = 256
GRID = TimeGrid(0.0, 1.0, 4)
BROWNIAN = PerturbedSDE(
    FunctionSDE(g=lambda t, x: torch.ones_like(x)), FunctionSDE(lambda t, x: torch.ones_like(x), None)
)
Function = Callable[[Tensor], Tensor]
# Ways to evaluate f on each path's first component, of two.
WAYS: dict[str, Callable[[Function, Tensor], Tensor]] = {
    "rows": lambda f, x: f(x[:, 0]),
    "columns": lambda f, x: f(x.T)[0],
    "moved": lambda f, x: f(x.movedim(0, 1))[0],
    "in front": lambda f, x: f(x[None, :, 0])[0],
    "flat": lambda f, x: f(x.flatten()).reshape(-1, 2)[:, 0],
    "flat, the components first": lambda f, x: f(x.T.flatten()).reshape(2, -1)[0],
    "joined": lambda f, x: f(torch.cat([x[:, 0], x[:, 1]])).reshape(2, -1)[0],
    "by convolution": lambda f, x: f(F.conv1d(x.T[None, :1], torch.ones(1, 1, 1, dtype=F64)))[0, 0],
    "path by path": lambda f, x: torch.stack([f(row[0]) for row in x]),
    "row by row": lambda f, x: torch.stack([f(row) for row in x.unbind()])[:, 0],
    "by index": lambda f, x: torch.stack([f(x[i, 0]) for i in range(len(x))]),
    "one at a time": lambda f, x: torch.cat([f(row[:, 0]) for row in x.split(1)]),
    "a few at a time": lambda f, x: torch.cat([f(rows[:, 0]) for rows in x.split(100)]),
    "vmap": lambda f, x: torch.vmap(lambda row: f(row[0]))(x),
    "vmap, paths last": lambda f, x: torch.vmap(f, in_dims=1, out_dims=1)(x.T)[0],
    "through a function": lambda f, x: torch.stack([_applied(f, row) for row in x]),
    "beside another row": lambda f, x: f(torch.cat([x[:, 0], x[:1, 0]]))[:-1],
    "padded": lambda f, x: f(F.pad(x[:, 0], (1, 1), value=0.3))[1:-1],
    "as wide as paths are many": lambda f, x: f(x.reshape(-1, 1).expand(-1, PATHS)).mean(1).reshape(-1, 2)[:, 0],
    "vmap by chunks": lambda f, x: torch.vmap(lambda row: f(row[0]), chunk_size=100)(x),
}
BY_FEW = {"path by path", "row by row", "by index", "one at a time", "a few at a time", "through a function"}
BY_FEW |= {"beside another row", "padded", "vmap by chunks"}
SHARP: dict[str, Function] = {
    "tanh": lambda u: torch.tanh(1e6 * u),
    "exp": lambda u: torch.exp(-((1e6 * u) ** 2)),
    "softmax": lambda u: torch.softmax(torch.stack([1e6 * u, torch.zeros_like(u)]), 0)[0],
    "sqrt": lambda u: torch.sqrt(u * u),
}
GENTLE: dict[str, Function] = {
    "tanh": lambda u: torch.tanh(8 * u),
    "exp": lambda u: torch.exp(-(u**2)),
    "softmax": lambda u: torch.softmax(torch.stack([8 * u, torch.zeros_like(u)]), 0)[0],
    "sqrt": lambda u: torch.sqrt(1 + u * u),
    "abs": lambda u: (u + 100).abs(),
}


def _applied(f: Function, row: Tensor) -> Tensor:
    return torch.stack([f(row[i]) for i in range(2)])[0]


def said(function: Callable[[Tensor], Tensor]) -> set[str]:
    """The names of what is said of E function(x) for a Brownian path beside a component of another size."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = expand(BROWNIAN, function, torch.tensor([0.1, 10.0], dtype=F64), GRID, paths=PATHS)
    told = {str(w.message).split()[0] for w in caught if issubclass(w.category, NonSmoothWarning)}
    assert told == set(found.kinks)
    return told


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", SHARP)
def test_what_is_sharp_is_said_whatever_axis_the_paths_are_along(name: str, way: str) -> None:
    assert name in said(lambda x: WAYS[way](SHARP[name], x))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", GENTLE)
def test_what_is_gentle_is_left_alone_whatever_axis_the_paths_are_along(name: str, way: str) -> None:
    # |x| is left alone where the many paths on one side of it are seen together only.
    alone = name == "abs" and way in BY_FEW
    assert said(lambda x: WAYS[way](GENTLE[name], x)) == ({"abs"} if alone else set())


def test_drifts_too() -> None:
    base = FunctionSDE(lambda t, x: torch.tanh(1e6 * x.T).T, lambda t, x: torch.ones_like(x))
    family = PerturbedSDE(base, FunctionSDE(lambda t, x: torch.ones_like(x), None))
    found = expand(family, lambda x: x[:, 0], torch.tensor([0.1], dtype=F64), GRID, paths=PATHS)
    assert found.kinks == ("tanh",)


def test_arrangements_are_of_every_axis_that_may_count_the_paths() -> None:
    x = torch.arange(24.0).reshape(4, 6)
    with evaluated_on(6):
        [columns] = arrangements(x)
        assert torch.equal(columns(x), x.T)
    with evaluated_on(3):
        first, last = (way(x) for way in arrangements(x))
        assert torch.equal(first, x.reshape(4, 3, 2).movedim(1, 0))
        assert torch.equal(last, x.reshape(4, 2, 3).movedim(2, 0))
    with evaluated_on(5):
        assert arrangements(x) == ()
    with evaluated_on(1):
        assert arrangements(x) == ()
    square = torch.zeros(4, 4)
    with evaluated_on(4):
        assert len(arrangements(square)) == 2
    [same] = arrangements(x)
    assert torch.equal(same(x), x)
    assert arrangements(torch.tensor(1.0)) == ()


def test_pieces_of_one_place_are_judged_together() -> None:
    seen: list[tuple[str, Tensor]] = []

    def judge(name: str, x: Tensor) -> None:
        seen.append((name, x))

    with evaluated_on(3):
        for i in range(3):
            judged_by_path(judge, "here", torch.tensor(float(i)))
        judged_by_path(judge, "alone", torch.tensor(9.0))
        assert not seen
    assert [(name, x.tolist()) for name, x in seen] == [("here", [0.0, 1.0, 2.0]), ("alone", [9.0])]


def test_pieces_of_several_places_are_all_paths_together() -> None:
    seen: list[Tensor] = []

    def judge(name: str, x: Tensor) -> None:
        seen.append(x)

    x = torch.arange(6.0)
    with evaluated_on(6):
        judged_by_path(judge, "here", x[:4])
        judged_by_path(judge, "here", x[4:])
    assert [found.tolist() for found in seen] == [x.tolist()]


def test_layers_of_one_width_are_told_apart_where_paths_come_a_few_at_a_time() -> None:
    seen: list[Tensor] = []

    def judge(name: str, x: Tensor) -> None:
        seen.append(x)

    x = torch.arange(10.0).reshape(5, 2)
    with evaluated_on(5):
        for part in x.split(2):
            for layer in (1, 10):
                judged_by_path(judge, "here", layer * part)
    assert [found.tolist() for found in seen] == [x.tolist(), (10 * x).tolist()]


def test_layers_of_several_widths_are_seen_path_by_path() -> None:
    widths = [1, 8, 4, 1]
    layers = [torch.nn.Linear(*sizes, dtype=F64) for sizes in pairwise(widths)]
    net = torch.nn.Sequential(layers[0], torch.nn.Tanh(), layers[1], torch.nn.Tanh(), layers[2]).requires_grad_(False)
    layers[0].weight.fill_(1e6)
    assert "tanh" in said(lambda x: torch.cat([net(row[None, :1]) for row in x])[:, 0])


def test_rows_that_are_not_all_paths_are_judged_along_every_axis() -> None:
    seen: list[Tensor] = []
    x = torch.arange(21.0).reshape(3, 7)
    with evaluated_on(6):
        judged_by_path(lambda name, x: seen.append(x), "here", x)
    assert [found.tolist() for found in seen] == [x.tolist(), x.T.tolist()]


def test_what_fails_is_not_judged() -> None:
    def judge(name: str, x: Tensor) -> None:
        raise AssertionError("judged")

    with pytest.raises(KeyError), evaluated_on(2):
        for i in range(2):
            judged_by_path(judge, "here", torch.tensor(float(i)))
        raise KeyError
    judged_by_path(lambda name, x: None, "after", torch.zeros(2))


def test_without_a_call_the_first_axis_counts_the_paths() -> None:
    steps = torch.linspace(-1e6, 1e6, 100, dtype=F64)
    with nonsmooth_met() as met:
        torch.tanh(Jet(torch.stack([steps, torch.ones_like(steps)]), JetSpace(1, 1)))
    assert met == {"tanh"}
