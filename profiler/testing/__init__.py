"""Suites that what is added from outside must pass, and a device to test against whose times are known.

May import all other rooms of the profiler.
"""

from __future__ import annotations

from profiler.testing.operators import check_operator
from profiler.testing.power import check_power_source
from profiler.testing.simulated import SimulatedTarget
from profiler.testing.targets import check_target

__all__ = ["SimulatedTarget", "check_operator", "check_power_source", "check_target"]
