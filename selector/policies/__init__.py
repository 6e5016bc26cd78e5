"""Policies that say which network runs: chosen once per device, or anew for every input.

May import the rooms of candidates and runtime. Each policy is one file that fits it; what it does at run time is in `runtime`.
"""

from __future__ import annotations

from selector.policies.goal import PolicyGoal

__all__ = ["PolicyGoal"]
