"""A time model in words: what each operator's tree says, and which widths the device likes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from profiler.errors import UsageError
from timemodel.explain.finding import Finding
from timemodel.explain.findings import findings
from timemodel.explain.tree_in_words import SCREEN_ROWS, number, rows_of, rules_in_words, size_in_words
from timemodel.model import FALLBACK, OperatorModel, SettingModel
from timemodel.runtime import graph_in_words, traffic_in_words

_TREE_ROWS = 11
"""Rows of a screen that are kept for the tree."""


def explain(model: SettingModel, op: str | None = None, found: Sequence[Finding] | None = None) -> list[str]:
    """One text per operator and dtype, at most a screen each, then one on what the runtime adds; of one `op` everything.

    `found` are the setting's findings, where they are known already.
    """
    known = [key for key in sorted(model.operators) if key[0] != FALLBACK]
    chosen = [key for key in known if op is None or key[0] == op]
    if not chosen:
        names = ", ".join(sorted({name for name, _ in known}))
        raise UsageError(f"This time model has no operator {op!r}: choose from {names}.")
    found = findings(model, op) if found is None else found
    rows = math.inf if op else SCREEN_ROWS
    texts = []
    for key in chosen:
        mine = [one for one in found if (one.op, one.dtype) == key]
        texts.append(explain_operator(model.operators[key], mine, rows))
    return texts if op else [*texts, explain_runtime(model)]


def explain_operator(model: OperatorModel, found: Sequence[Finding] = (), rows: float = SCREEN_ROWS) -> str:
    """Findings (what weighs most first) and rules of one operator in words, in at most `rows` rows of a screen."""
    error = model.error
    lines = [
        f"{model.op} {model.dtype}: {error.probes} layers measured; on layers not learned from the model is off by "
        f"{error.median_error:.1%} (median), {error.mean_error:.1%} (mean)"
    ]
    tiles = _tiles(model)
    if tiles:
        lines.append(f"  {tiles}")
    for position, finding in enumerate(found):
        sentence = f"  {finding.kind}: {finding.backed}"
        if rows_of([*lines, sentence]) > rows - _TREE_ROWS:
            lines.append(f"  ({len(found) - position} more with --op {model.op})")
            break
        lines.append(sentence)
    lines += rules_in_words(model, rows - rows_of(lines))
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
    sentences = [*graph_in_words(terms.graph_rules), *traffic_in_words(terms.cache_traffic)]
    lines += [f"  {sentence}" for sentence in sentences]
    for dtype, factor in sorted(terms.calibration.items()):
        lines.append(
            f"  {dtype}: small whole networks take {factor:.2f} times the sum of their layers, 90% of them between "
            f"{terms.low.get(dtype, 1.0):.2f} and {terms.high.get(dtype, 1.0):.2f} times what is predicted"
        )
    return "\n".join(lines)
