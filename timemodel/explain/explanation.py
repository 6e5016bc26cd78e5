"""A time model in words: what each operator's tree says, and which widths the device likes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import zip_longest

import numpy as np

from profiler.errors import UsageError
from profiler.operators import operator
from timemodel.explain.finding import AVOID, LIKES, Finding
from timemodel.explain.findings import findings
from timemodel.explain.tree_in_words import (
    SCREEN_COLUMNS,
    SCREEN_ROWS,
    number,
    rows_of,
    rules_in_words,
    size_in_words,
)
from timemodel.features import AT_INPUT, geometry
from timemodel.model import OperatorModel, SettingModel, is_estimate
from timemodel.runtime import dispatch_in_words, graph_in_words, traffic_in_words

_WORTH_A_WORD = 1.25
"""Less than this many times as long is not worth a sentence."""
_OTHER_POWER, _NAMED = 0.1, 6
"""By so much power differs that is worth a word, and so many operators are named."""
_TREE_ROWS = 11
"""Rows of a screen that are kept for the tree."""

_FIRST = ("float32", "int8")


def explain(model: SettingModel, op: str | None = None, found: Sequence[Finding] | None = None) -> list[str]:
    """One text per operator and dtype, at most a screen each, then one on what the runtime adds; of one `op` everything.

    `found` are the setting's findings, where they are known already.
    """
    known = [key for key in sorted(model.operators) if not is_estimate(key[0])]
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
    names = {
        "out_channels": "output channels",
        "in_channels": "input channels",
        "pixels": "pixels",
        "map": "pixels each way",
        "inner": "channels",
    }
    parts = [f"{size} {names[axis]}" for axis, size in model.tiles.items() if axis in names and size > 1]
    text = f"works in tiles of {' x '.join(parts)}" if parts else ""
    cache = model.tiles.get("cache")
    if cache:
        text += ("; " if text else "") + f"data beyond {size_in_words(cache)} costs extra"
    return text


def explain_runtime(model: SettingModel) -> str:
    """What the runtime adds to the sum of layers, in words."""
    terms = model.terms
    if model.simulated:
        lines = [f"accelerator ({model.key}): no cost of a call"]
    else:
        lines = [f"runtime ({model.key}): a call costs {number(terms.overhead_ms * 1e3)} us"]
    sentences = [
        *accelerator_in_words(model),
        *graph_in_words(terms.graph_rules),
        *traffic_in_words(terms.cache_traffic),
        *dispatch_in_words(terms.dispatch),
        *energy_in_words(model),
    ]
    lines += [f"  {sentence}" for sentence in sentences]
    for dtype, factor in sorted(terms.calibration.items()):
        lines.append(
            f"  {dtype}: small whole networks take {factor:.2f} times the sum of their layers, 95% of them between "
            f"{terms.low.get(dtype, 1.0):.2f} and {terms.high.get(dtype, 1.0):.2f} times what is predicted"
        )
    return "\n".join(lines)


def energy_in_words(model: SettingModel) -> list[str]:
    """What energy is learned from, and what draws much."""
    energy = model.energy
    if energy is None:
        return []
    if isinstance(energy, SettingModel):
        known = [one for (op, _), one in energy.operators.items() if not is_estimate(op)]
        return [f"energy is learned as time is: {how_sure(known)}"]
    rest = f"; {number(energy.idle_w)} W at rest are taken off" if energy.idle_w is not None else ""
    found = [f"energy is time times power, read by {energy.source}{rest}"]
    costs = [
        f"{number(cost)} mJ for each GMAC in {dtype}"
        for dtype, cost in energy.mj_per_gmac.items()
        if cost > 0
    ]
    costs += [f"{number(energy.mj_per_gb)} mJ for each GB read or written"] if energy.mj_per_gb > 0 else []
    off = (
        ""
        if energy.error is None
        else f" (of {energy.layers} layers, off by {energy.error:.1%} on those not learned from)"
    )
    found.append(
        f"what runs draws {number(energy.base_w)} W{''.join(f', and {cost}' for cost in costs)}{off}"
    )
    unlike = {kind: factor for kind, factor in energy.factors.items() if abs(factor - 1.0) >= _OTHER_POWER}
    if unlike:
        ordered = sorted(unlike.items(), key=lambda row: -abs(np.log(row[1])))[:_NAMED]
        named = ", ".join(f"{op} {dtype} {factor:.2f} times" for (op, dtype), factor in ordered)
        found.append(f"these draw another share of that: {named}")
    return found


def accelerator_in_words(model: SettingModel) -> list[str]:
    """What an accelerator leaves to the CPU, and what layers cost that read what it has not made itself."""
    found = []
    if model.terms.left:
        ops = ", ".join(sorted({op.removesuffix(AT_INPUT) for op, _ in model.terms.left}))
        priced = f"priced as on {model.cpu.key}" if model.cpu is not None else "and their time is not known"
        found.append(f"these operators are left to the CPU, {priced}: {ops}")
    ratios = at_input(model)
    for op, ratio in sorted(ratios.items(), key=lambda row: -row[1]):
        if ratio > _WORTH_A_WORD:
            found.append(
                f"a {op} that reads the network's input takes {ratio:.1f} times one that reads another layer's result"
            )
    return found


def at_input(model: SettingModel) -> dict[str, float]:
    """How many times as long reference layers take that read the network's input, by operator; where both kinds are known."""
    found = {}
    for op, dtype in model.operators:
        inside = model.operators.get((op.removesuffix(AT_INPUT), dtype))
        if op.endswith(AT_INPUT) and inside is not None:
            array = geometry(operator(inside.op).reference_layers(dtype))
            if len(array):
                ratio = model.operators[op, dtype].predict_ms(array) / np.maximum(
                    inside.predict_ms(array), 1e-12
                )
                found[inside.op] = float(np.median(ratio))
    return found


def summary(
    model: SettingModel, found: Sequence[Finding], columns: int = SCREEN_COLUMNS, rows: int = SCREEN_ROWS
) -> list[str]:
    """Lines of a screen of `columns` by `rows`; `found` are the findings of the setting, what weighs most first."""
    dtypes = sorted({dtype for op, dtype in model.operators if not is_estimate(op)})
    dtypes.sort(key=lambda dtype: dtype not in _FIRST)
    chosen: dict[str, list[Finding]] = {dtype: [] for dtype in dtypes}
    waiting = {dtype: list(_turns([s for s in found if s.dtype == dtype])) for dtype in dtypes}
    lines = _written(model, chosen)
    # The number types that most networks are in get two lines for each of another one.
    turns = [dtype for dtype in dtypes for _ in range(2 if dtype in _FIRST else 1)]
    while any(waiting.values()):
        for dtype in turns:
            if not waiting[dtype]:
                continue
            chosen[dtype].append(waiting[dtype].pop(0))
            longer = _written(model, chosen)
            if rows_of(longer, columns) <= rows:
                lines = longer
            else:
                # A shorter one may still fit.
                chosen[dtype].pop()
    return lines


def how_sure(models: Sequence[OperatorModel]) -> str:
    """``34 operators, 3,012 layers; typically 2.9% off, 90% within 11%``: on layers that the model had not seen."""
    layers = sum(model.error.probes for model in models)
    middle = sum(model.error.median_error * model.error.probes for model in models) / max(layers, 1)
    most = sum(model.error.p90_error * model.error.probes for model in models) / max(layers, 1)
    operators = f"{len(models)} operator{'s' if len(models) != 1 else ''}"
    return f"{operators}, {layers:,} layers; typically {middle:.1%} off, 90% within {most:.0%}"


def _written(model: SettingModel, chosen: dict[str, list[Finding]]) -> list[str]:
    lines = []
    for dtype, found in chosen.items():
        known = [row for (op, kind), row in model.operators.items() if kind == dtype and not is_estimate(op)]
        lines.append(f"{dtype}: {how_sure(known)}")
        for kind in (LIKES, AVOID):
            lines += [f"  {kind} {finding.short}" for finding in found if finding.kind == kind]
        if not found:
            lines.append("  nothing stands out by more than the model's error")
    return lines


def _turns(found: Sequence[Finding]) -> Iterator[Finding]:
    """What is liked and what to avoid in turns; of each operator and kind the weightiest first, then the others."""
    seen: set[tuple[str, str]] = set()
    first: list[Finding] = []
    later: list[Finding] = []
    for finding in found:
        key = (finding.kind, finding.op)
        (later if key in seen else first).append(finding)
        seen.add(key)
    for group in (first, later):
        sides = ([one for one in group if one.kind == kind] for kind in (LIKES, AVOID))
        for turn in zip_longest(*sides):
            yield from (finding for finding in turn if finding is not None)
