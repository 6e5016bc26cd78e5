"""What was done to a network besides its widths, in words, and what was considered and refused."""

from __future__ import annotations

from collections.abc import Sequence

from compressor.changes import RefusedChange, names_in_effect
from compressor.graph import RemovableBlock, layers_of
from compressor.pipeline.prepare import Prepared
from compressor.search import Trial

_MOST_NAMED = 6
_MOST_REFUSED = 4
_HEADS = ".heads"


def structure_in_words(prepared: Prepared, trial: Trial) -> list[str]:
    """Which blocks are gone, what else was changed, which heads: ``without block_2``, ``5x5 kernels of a became 3x3``."""
    structure, blocks = prepared.structures.of(trial.configuration), prepared.structures.blocks
    removed = trial.configuration.removed
    gone = [name for name in blocks if name in removed and isinstance(blocks[name], RemovableBlock)]
    left = [blocks[name] for name in names_in_effect(blocks, removed)]
    others = [change.words for change in left if not isinstance(change, RemovableBlock)]
    words = []
    if gone:
        layers = len(dict(layers_of(prepared.model))) - len(dict(layers_of(structure.model)))
        counted = f" ({layers} layers)" if not others and layers > 1 else ""
        words.append(f"without {_listed(gone)}{counted}")
    words += others[:_MOST_NAMED]
    words += [f"{len(others) - _MOST_NAMED} more such changes"] if len(others) > _MOST_NAMED else []
    groups = structure.graph.groups
    heads = [name for name in groups if name.endswith(_HEADS) and trial.widths[name] < groups[name].width]
    for name in heads[:_MOST_NAMED]:
        fewer, all_heads = groups[name].width - trial.widths[name], groups[name].width
        words.append(f"{fewer} of {all_heads} heads of {name.removesuffix(_HEADS)} removed")
    return words


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def refused_in_words(refused: Sequence[RefusedChange]) -> list[str]:
    """One line on what was considered besides channels and refused; none where there is nothing."""
    if not refused:
        return []
    named = [f"{one.layer} ({one.dimension}: {one.reason})" for one in refused[:_MOST_REFUSED]]
    more = len(refused) - len(named)
    return [
        f"Left as it is besides channels: {'; '.join(named)}{f'; {more} more in result.json' if more else ''}."
    ]
