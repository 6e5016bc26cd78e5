"""What a new kind of policy is checked with.

May import all rooms of policies, candidates, sequences and runtime.
"""

from __future__ import annotations

from selector.testing.policies import check_policy
from selector.testing.synthetic import synthetic_answers
from selector.testing.widths import RandomDecoder, check_width_policy

__all__ = ["RandomDecoder", "check_policy", "check_width_policy", "synthetic_answers"]
