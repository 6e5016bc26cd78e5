"""A time model in words: what each operator's tree says, and which widths the device likes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from profiler.errors import UsageError
from timemodel.explain.findings import Statement, statements
from timemodel.explain.tree_in_words import (
    SCREEN_ROWS,
    number,
    rows_of,
    rules_in_words,
    size_in_words,
)
from timemodel.features import geometry
from timemodel.model import FALLBACK, OperatorModel, SettingModel, width_of
from timemodel.runtime import graph_in_words, traffic_in_words

_TREE_ROWS = 11
"""Rows of a screen that are kept for the tree."""

_EVERYTHING = 10**9


def explain(
    model: SettingModel, op: str | None = None, found: Sequence[Statement] | None = None
) -> list[str]:
    """One text per operator and dtype, at most a screen each, then one on what the runtime adds.

    Parameters
    ----------
    op
        Only this operator, and then everything about it, however long.
    found
        The setting's statements, where they are known already.

    Raises
    ------
    UsageError
        The model has no operator `op`.
    """
    known = [key for key in sorted(model.operators) if key[0] != FALLBACK]
    chosen = [key for key in known if op is None or key[0] == op]
    if not chosen:
        names = ", ".join(sorted({name for name, _ in known}))
        raise UsageError(f"This time model has no operator {op!r}: choose from {names}.")
    said = statements(model, op) if found is None else found
    texts = [
        explain_operator(
            model.operators[key],
            [s for s in said if (s.op, s.dtype) == key],
            rows=None if op else SCREEN_ROWS,
        )
        for key in chosen
    ]
    return texts if op else [*texts, explain_runtime(model)]


def explain_operator(
    model: OperatorModel, found: Sequence[Statement] = (), rows: int | None = SCREEN_ROWS
) -> str:
    """Statements and rules of one operator in words.

    Parameters
    ----------
    found
        The operator's statements, what weighs most first.
    rows
        Rows of `SCREEN_COLUMNS` columns that there is room for; None for as many as it takes.
    """
    error = model.error
    lines = [
        f"{model.op} {model.dtype}: {error.probes} layers measured; on layers not learned from the model is off by "
        f"{error.median_error:.1%} (median), {error.mean_error:.1%} (mean)"
    ]
    tiles = _tiles(model)
    if tiles:
        lines.append(f"  {tiles}")
    for position, statement in enumerate(found):
        sentence = f"  {statement.kind}: {statement.backed}"
        if rows is not None and rows_of([*lines, sentence]) > rows - _TREE_ROWS:
            lines.append(f"  ({len(found) - position} more with --op {model.op})")
            break
        lines.append(sentence)
    lines += rules_in_words(model, _EVERYTHING if rows is None else rows - rows_of(lines))
    return "\n".join(lines)


def _tiles(model: OperatorModel) -> str:
    names = {"out_channels": "output channels", "pixels": "pixels", "inner": "channels"}
    parts = [f"{size} {names[axis]}" for axis, size in model.tiles.items() if axis in names and size > 1]
    text = f"works in tiles of {' x '.join(parts)}" if parts else ""
    cache = model.tiles.get("cache")
    if cache:
        text += ("; " if text else "") + f"data beyond {size_in_words(cache)} costs extra"
    return text


def explain_runtime(model: SettingModel) -> str:
    """What the runtime adds to the sum of layers, in words."""
    terms = model.terms
    lines = [f"runtime ({model.key}): a call costs {number(terms.overhead_ms * 1e3)} us"]
    lines += [f"  {sentence}" for sentence in graph_in_words(terms.graph_rules)]
    lines += [f"  {sentence}" for sentence in traffic_in_words(terms.cache_traffic)]
    for dtype, factor in sorted(terms.calibration.items()):
        lines.append(
            f"  {dtype}: small whole networks take {factor:.2f} times the sum of their layers, 90% of them between "
            f"{terms.low.get(dtype, 1.0):.2f} and {terms.high.get(dtype, 1.0):.2f} times what is predicted"
        )
    return "\n".join(lines)


def staircase(model: SettingModel, op: str, dtype: str = "float32") -> dict[str, Any] | None:
    """Measured points and the model's line of the widest sweep of `op`; None where there is none.

    Returns
    -------
    dict
        ``x`` and ``measured_ms`` (points), ``x_line`` and ``predicted_ms`` (line), ``fixed`` (what stays the same),
        ``title``, ``x_title``.
    """
    found = model.operators.get((op, dtype))
    if found is None or not found.sweeps:
        return None
    sweep = found.sweeps[0]
    line = list(range(1, max(sweep.widths) + 1))
    if len(line) > 600:
        line = sorted(set(np.linspace(1, max(sweep.widths), 600).astype(int).tolist()) | set(sweep.widths))
    layer = sweep.layer
    shape = layer.activations[0].shape[1:]
    fixed: dict[str, Any] = {"input": "x".join(str(n) for n in shape)}
    if layer.op == "depthwise_conv_2d":
        fixed = {"input": "x".join(str(n) for n in shape[:2])}
    if "kernel_height" in layer.params:
        fixed["kernel"] = f"{layer.params['kernel_height']}x{layer.params['kernel_width']}"
        fixed["stride"] = layer.params["stride_height"]
    assert width_of(layer) >= 1
    return {
        "title": f"{op} {dtype}",
        "x_title": "channels" if op == "depthwise_conv_2d" else "output channels",
        "fixed": fixed,
        "x": list(sweep.widths),
        "measured_ms": list(sweep.times_ms),
        "x_line": line,
        "predicted_ms": found.predict_ms(geometry(sweep.at(line))).tolist(),
    }
