"""Counted normals: the published words, compiled and by numpy, and where each number comes from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sdewm.kernels import counted_normals, threefry
from sdewm.kernels.compiler import NoCompiler
from sdewm.kernels.threefry import threefry as words

FALSE_FAILURE = 1e-3
ALL = 2**64 - 1
# Known answers of the authors' Random123, for threefry2x64 with 20 rounds: counter, key, words.
KNOWN = [
    ((0, 0), (0, 0), (0xC2B6E3A8C2C69865, 0x6F81ED42F350084D)),
    ((ALL, ALL), (ALL, ALL), (0xE02CB7C4D95D277A, 0xD06633D0893B8B68)),
    (
        (0x243F6A8885A308D3, 0x13198A2E03707344),
        (0xA4093822299F31D0, 0x082EFA98EC4E6C89),
        (0x263C7D30BB0F0AF1, 0x56BE8361D3311526),
    ),
]
places = st.integers(0, ALL)


def by_numpy(monkeypatch) -> None:
    def none(*_):
        raise NoCompiler("none here")

    monkeypatch.setattr(threefry, "compiled", none)


@pytest.fixture(params=["compiled", "numpy"])
def way(request, monkeypatch):
    """Either way of making them."""
    threefry._library.cache_clear()
    if request.param == "numpy":
        by_numpy(monkeypatch)
    yield request.param
    threefry._library.cache_clear()


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_words_are_the_published_ones(counter, key, expected):
    counter, key = ([np.array([word], dtype=np.uint64) for word in pair] for pair in (counter, key))
    assert tuple(int(word[0]) for word in words(tuple(key), tuple(counter))) == expected


@given(
    seed=places, streams=st.lists(places, min_size=1, max_size=3), first=st.integers(0, 2**62), count=st.integers(1, 70)
)
@settings(max_examples=50, deadline=None)
def test_compiled_and_numpy_agree(seed, streams, first, count):
    """To rounding of the angle, which is 2π long, and of the functions, four units in the last place."""
    threefry._library.cache_clear()
    assert threefry._library() is not None, "this machine has no compiler"
    compiled = counted_normals(seed, streams, count, first, 2)
    with pytest.MonkeyPatch.context() as patch:
        by_numpy(patch)
        threefry._library.cache_clear()
        plain = counted_normals(seed, streams, count, first, 2)
    threefry._library.cache_clear()
    torch.testing.assert_close(compiled, plain, rtol=0, atol=1e-13)


def test_a_number_depends_on_its_place_alone(way):
    whole = counted_normals(7, [3, 9], 100, 5, 6, 0.5)
    assert torch.equal(whole[2:4], counted_normals(7, [3, 9], 100, 7, 2, 0.5))
    assert torch.equal(whole[:, 1:], counted_normals(7, [9], 100, 5, 6, 0.5))
    assert torch.equal(whole[..., :33], counted_normals(7, [3, 9], 33, 5, 6, 0.5))
    torch.testing.assert_close(whole, 0.5 * counted_normals(7, [3, 9], 100, 5, 6), rtol=1e-15, atol=0)


def test_all_are_different_normals(way):
    """Whole distribution, moments and correlations of neighbours in every direction. False-failure rate 0.001."""
    drawn = counted_normals(0, range(8), 1001, 0, 12)
    assert len(drawn.abs().unique()) == drawn.numel()
    tests = [stats.kstest(drawn.flatten().numpy(), "norm").pvalue]
    for one, other in (
        (drawn[1:], drawn[:-1]),
        (drawn[:, 1:], drawn[:, :-1]),
        (drawn[..., 0:-1:2], drawn[..., 1::2]),
        (drawn[..., 1:], drawn[..., :-1]),
    ):
        for function in (torch.clone, torch.square):
            tests.append(stats.pearsonr(function(one).flatten().numpy(), function(other).flatten().numpy()).pvalue)
    assert min(tests) > FALSE_FAILURE / len(tests)
    assert not torch.equal(drawn, counted_normals(1, range(8), 1001, 0, 12))


def test_the_largest_numbers_are_as_large_as_they_should_be():
    """Of 2²² normals the largest has a median of 5.2; none is larger than 8.6, which 52 bits allow."""
    drawn = counted_normals(3, range(64), 2**14, 0, 4).abs()
    rate = 2 * stats.norm.sf(4.0)
    many = int((drawn > 4.0).sum())
    assert stats.binomtest(many, drawn.numel(), rate).pvalue > FALSE_FAILURE
    assert 4.5 < float(drawn.max()) < 8.6
