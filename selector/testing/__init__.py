"""What a new kind of policy is checked with.

May import all rooms of policies, candidates and runtime.
"""

from __future__ import annotations

from selector.testing.policies import check_policy
from selector.testing.synthetic import synthetic_answers

__all__ = ["check_policy", "synthetic_answers"]
