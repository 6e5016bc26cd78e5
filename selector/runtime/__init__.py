"""What a board needs to run a policy: numpy and LiteRT, nothing else.

Imports nothing but `profiler.errors` and `profiler.files`.
"""

from __future__ import annotations

from selector.runtime.confidence import confidence, log_probabilities, log_softmax
from selector.runtime.specification import PolicyNetwork, Specification, Stage

__all__ = [
    "PolicyNetwork",
    "Specification",
    "Stage",
    "confidence",
    "log_probabilities",
    "log_softmax",
]
