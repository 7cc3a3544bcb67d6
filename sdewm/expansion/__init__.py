"""The expected loss as a power series in the error, and the test that it is one."""

from sdewm.expansion.power_series import BeyondRadius, Expansion, expand
from sdewm.expansion.taylor import Rate, TaylorTest, taylor_test, taylor_tests

__all__ = [
    "BeyondRadius",
    "Expansion",
    "Rate",
    "TaylorTest",
    "expand",
    "taylor_test",
    "taylor_tests",
]
