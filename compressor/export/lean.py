"""A model without the channels that carry nothing, before it is quantised: their weights only widen scales and files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from compressor.graph import build_graph
from compressor.training import dead_in_words, without_dead_channels
from profiler.errors import EdgetimeError

_ROWS = 32
"""Rows on which outputs must stay the same."""


def lean(model: Any, rows: Mapping[str, npt.NDArray]) -> tuple[Any, tuple[str, ...]]:
    """A Keras model without its dead channels, and a sentence on them; the model itself where there are none.

    So too where its channels cannot be told or its layers not be made anew: nothing is lost by leaving it as it is.
    """
    few = {name: array[:_ROWS] for name, array in rows.items()}
    try:
        graph = build_graph(model)
        smaller, removed = without_dead_channels(
            model, few if len(few) > 1 else next(iter(few.values())), graph
        )
    except EdgetimeError:
        return model, ()
    return smaller, ((dead_in_words(removed, graph.widths),) if removed else ())
