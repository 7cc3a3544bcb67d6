"""The expected loss as a power series in the error, and the test that it is one."""

from sdewm.expansion.expected_loss import expand
from sdewm.expansion.power_series import BeyondRadius, Expansion
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
