"""How each Keras layer passes channels on, and which of its weights stand for them."""

from __future__ import annotations

from compressor.graph.rules import recurrent
from compressor.graph.rules.base import Atoms
from compressor.graph.rules.registry import RULES, Frozen, Outputs, Recorder

__all__ = ["RULES", "Atoms", "Frozen", "Outputs", "Recorder", "recurrent"]
