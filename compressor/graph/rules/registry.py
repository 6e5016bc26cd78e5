"""How each built-in Keras layer passes channels on, and which of its weights stand for them.

A rule gets the channels of its inputs as arrays of *atoms* (numbers, one per position of the last axis) and
returns those of its outputs. Two positions with the same atom go or stay together. What no rule understands
is frozen whole and named.
"""

from __future__ import annotations

from collections.abc import Mapping

from compressor.graph.rules import (
    attention,
    elementwise,
    normalisation,
    recurrent,
    reshaping,
    weighted,
    wrappers,
)
from compressor.graph.rules.base import (
    Atoms,
    Frozen,
    Outputs,
    Recorder,
    Rule,
)

RULES: Mapping[str, Rule] = {
    **weighted.RULES,
    **normalisation.RULES,
    **elementwise.RULES,
    **reshaping.RULES,
    **recurrent.RULES,
    **attention.RULES,
    **wrappers.RULES,
}
"""Rules by kind of layer (`Node.kind`). A new kind of layer is one more entry."""

__all__ = ["RULES", "Atoms", "Frozen", "Outputs", "Recorder", "Rule"]
