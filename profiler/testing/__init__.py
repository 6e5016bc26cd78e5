"""Suites that what is added from outside must pass.

May import all other rooms of the profiler.
"""

from __future__ import annotations

from profiler.testing.operators import check_operator
from profiler.testing.targets import check_target

__all__ = ["check_operator", "check_target"]
