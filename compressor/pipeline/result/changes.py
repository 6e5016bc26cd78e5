"""What was done to a network: in words, and layer by layer."""

from __future__ import annotations

import math
from collections.abc import Mapping

from compressor.pipeline.prepare import Prepared
from compressor.pipeline.result.compression_result import LayerWidth
from compressor.pipeline.result.structural import structure_in_words
from compressor.search import Trial

_MOST_WIDTHS, _LEAST_STEP = 4, 4

_REPEATED_KEYS = frozenset({"groups", "target_shape", "newshape", "shape", "batch_shape", "projection_dim"})
"""Counts that only say again how wide something is that another layer made."""

_LABELS = {"num_query_heads": "query_heads"}
"""Where a group's own label would stand for two counts of one layer."""


def changes_in_words(prepared: Prepared, trial: Trial) -> str:
    """What is gone and what stays: ``without block_2 (3 layers); 61% of the channels stay in steps of 16 (conv3 64 to 16)``."""
    structure = prepared.structures.of(trial.configuration)
    words = structure_in_words(prepared, trial)
    groups = structure.graph.groups
    before = sum(group.width for group in groups.values())
    after = sum(trial.widths[name] for name in groups)
    narrowed = {
        n: (group.width, trial.widths[n]) for n, group in groups.items() if trial.widths[n] < group.width
    }
    words.append(
        "all channels stay"
        if after == before
        else f"{after / before:.0%} of the channels stay{_most_narrowed(narrowed)}"
    )
    return "; ".join(words)


def _most_narrowed(narrowed: Mapping[str, tuple[int, int]]) -> str:
    """The step that all new widths are multiples of, and the groups that lost most channels.

    >>> _most_narrowed({"a": (64, 16), "b": (32, 24)})
    ' in steps of 8 (a 64 to 16, b 32 to 24)'
    """
    step = math.gcd(*(after for _, after in narrowed.values()))
    most = sorted(narrowed, key=lambda name: narrowed[name][1] - narrowed[name][0])[:_MOST_WIDTHS]
    named = ", ".join(f"{name} {narrowed[name][0]} to {narrowed[name][1]}" for name in most)
    more = f", {len(narrowed) - len(most)} more" if len(narrowed) > len(most) else ""
    return f"{f' in steps of {step}' if step >= _LEAST_STEP else ''} ({named}{more})" if narrowed else ""


def layer_widths(prepared: Prepared, trial: Trial) -> tuple[LayerWidth, ...]:
    """The width of every layer before and after, and what else can be chosen inside one (``attention.heads``)."""
    graph, own = prepared.graph, prepared.structures.of(trial.configuration).graph
    # Where blocks are gone, what was one group may be several.
    stays = {(count.layer, count.path, count.key, count.position): count.channels for count in own.counts}
    rows = []
    for count in graph.counts:
        if count.key not in _REPEATED_KEYS:
            form = graph.form(count.channels)
            group = form.times[0][0] if form.times else ""
            label = _LABELS.get(count.key, count.label)
            name = f"{count.layer}.{label}" if label else count.layer
            channels = stays.get((count.layer, count.path, count.key, count.position))
            after = 0 if channels is None else own.form(channels)(trial.widths)
            rows.append(LayerWidth(name, group, form(graph.widths), after))
    # The two layers of a bidirectional one say the same.
    return tuple(dict.fromkeys(rows))


def parameters_of(prepared: Prepared, trial: Trial) -> int:
    """How many numbers the weights of a candidate are."""
    graph = prepared.structures.of(trial.configuration).graph
    return graph.parameters({name: trial.widths[name] for name in graph.groups})
