"""The expected loss as a power series in the error, and the test that it is one."""

from sdewm.expansion.expected_loss import expand
from sdewm.expansion.power_series import BeyondRadius, Expansion
from sdewm.expansion.rates import Rate
from sdewm.expansion.taylor import taylor_test, taylor_tests
from sdewm.expansion.taylor_result import TaylorTest

__all__ = [
    "BeyondRadius",
    "Expansion",
    "Rate",
    "TaylorTest",
    "expand",
    "taylor_test",
    "taylor_tests",
]
