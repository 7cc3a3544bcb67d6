"""A rule is added by one file: no other names it."""

from __future__ import annotations

from support import library_with

RULE = """
from sdewm.jets.registry import rule, stacked

@rule("flip")
def flipped(input, dims):
    print("mine")
    return stacked(input, lambda row: row.flip(dims))
"""
USE = """
import torch
from sdewm.jets import Jet, JetSpace

space = JetSpace(1, 2)
jet = Jet(torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), space)
print(torch.flip(jet, (0,)).coefficients.tolist())
"""


def test_a_rule_is_added_by_one_file(tmp_path):
    assert library_with(tmp_path, "jets/zz_mine.py", RULE, USE) == ["mine", "[[2.0, 1.0], [4.0, 3.0], [6.0, 5.0]]"]
