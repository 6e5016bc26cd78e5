"""What was done to a network, in words."""

from __future__ import annotations

from compressor.graph import layers_of
from compressor.pipeline.prepare import Prepared
from compressor.search import Trial

_MOST_NAMED = 6


def changes_in_words(prepared: Prepared, trial: Trial) -> str:
    """Which blocks are gone and what stays: ``without block_2 (3 layers); 61% of the channels stay``."""
    structure = prepared.structures.of(trial.configuration)
    words = []
    order = [name for name in prepared.structures.blocks if name in trial.configuration.removed]
    if order:
        gone = len(dict(layers_of(prepared.model))) - len(dict(layers_of(structure.model)))
        named = ", ".join(order[:_MOST_NAMED])
        named += f" and {len(order) - _MOST_NAMED} more" if len(order) > _MOST_NAMED else ""
        words.append(f"without {named} ({gone} layers)")
    groups = structure.graph.groups
    before = sum(group.width for group in groups.values())
    after = sum(trial.widths[name] for name in groups)
    words.append("all channels stay" if after == before else f"{after / before:.0%} of the channels stay")
    return "; ".join(words)
