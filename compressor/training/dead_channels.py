"""Channels that carry nothing: all weights that make them, or all that read them, are nothing beside their layer's largest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compressor.data import Rows
from compressor.graph import ChannelGraph, build_graph, cut
from compressor.training.importance import weights_of
from compressor.training.model_io import run

NEGLIGIBLE = 1e-6
"""Weights of at most this share of their layer's largest count as zero."""

_SAME = 1e-5
"""Outputs that differ by at most this share of their largest are the same but for rounding."""


def without_dead_channels(
    model: Any, rows: Rows, graph: ChannelGraph | None = None
) -> tuple[Any, dict[str, list[int]]]:
    """A model without its dead channels, and which positions stay of each group that loses some; itself where there are none.

    Groups whose removal changes the outputs on `rows` (a channel without weights that make it may still be a constant) stay.
    """
    graph = graph or build_graph(model)
    alive = _alive(model, graph)
    keep = {
        name: np.flatnonzero(marks).tolist()
        for name, marks in alive.items()
        if marks.any() and not marks.all()
    }
    if not keep:
        return model, {}
    wanted = _outputs(model, rows)
    smaller = cut(model, keep, graph)
    if not _same(wanted, _outputs(smaller, rows)):
        keep = {
            name: stays
            for name, stays in keep.items()
            if _same(wanted, _outputs(cut(model, {name: stays}, graph), rows))
        }
        smaller = cut(model, keep, graph) if keep else model
        if not _same(wanted, _outputs(smaller, rows)):
            return model, {}
    return smaller, keep


def dead_in_words(keep: Mapping[str, Sequence[int]], widths: Mapping[str, int]) -> str:
    """A sentence on what was removed where `keep` stays of these widths."""
    removed = {name: widths[name] - len(stays) for name, stays in keep.items()}
    total = sum(removed.values())
    where = ", ".join(f"{count} of {widths[name]} in {name}" for name, count in removed.items())
    one = total == 1
    return (
        f"{total} channel{'' if one else 's'} that carr{'ies' if one else 'y'} nothing {'is' if one else 'are'} removed "
        f"({where}): outputs stay the same."
    )


def _alive(model: Any, graph: ChannelGraph) -> dict[str, NDArray[np.bool_]]:
    """Of each group, which channels are both made and read by weights that count."""
    weights = weights_of(model)
    found: dict[str, dict[str, NDArray[np.float64]]] = {"in": {}, "out": {}}
    known: dict[str, set[str]] = {"in": set(), "out": set()}
    for axis in graph.axes:
        value = np.abs(np.asarray(weights[axis.layer, axis.variable]))
        if axis.role not in found or value.ndim < 2 or not value.size:
            continue
        largest = value.max(axis=tuple(one for one in range(value.ndim) if one != axis.axis % value.ndim))
        counts = (largest > NEGLIGIBLE * value.max()).astype(np.float64)
        for name, sums in graph.add_up(axis.channels, counts).items():
            found[axis.role][name] = found[axis.role].get(name, 0.0) + sums
        for name, sums in graph.add_up(axis.channels, np.ones(len(counts))).items():
            if sums.any():
                known[axis.role].add(name)
    return {
        name: np.logical_and.reduce(
            [found[role][name] > 0 for role in found if name in known[role]]
            or [np.ones(graph.widths[name], bool)]
        )
        for name in graph.groups
    }


def _outputs(model: Any, rows: Rows) -> list[NDArray[np.float64]]:
    import keras

    return [np.asarray(one, np.float64) for one in keras.tree.flatten(run(model, rows))]


def _same(wanted: list[NDArray[np.float64]], given: list[NDArray[np.float64]]) -> bool:
    return all(
        np.abs(a - b).max(initial=0.0) <= _SAME * max(float(np.abs(a).max(initial=0.0)), 1e-30)
        for a, b in zip(wanted, given, strict=True)
    )
