"""What a time model says of a device, as statements that its own predictions confirm by more than its error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from profiler.network import Layer
from profiler.operators import operator, operators, with_dtype
from timemodel.explain.comparisons import contrasts_of, elements
from timemodel.explain.evidence import Evidence, why
from timemodel.explain.preferred_widths import (
    TWICE,
    times,
    width_findings,
)
from timemodel.features import geometry
from timemodel.model import FALLBACK, OperatorModel, SettingModel, single_error

LIKES, AVOID = "likes", "avoid"

MIN_EFFECT = 0.08
"""Differences smaller than this are not worth a line, however sure."""

_AGREEING = 0.75
"""Share of the compared layers that must show the difference, each by more than the error."""

_MIN_CASES = 3


@dataclass(frozen=True)
class Statement:
    """One sentence about a device.

    Parameters
    ----------
    kind
        ``likes`` or ``avoid``.
    text
        A sentence without the operator's name.
    effect
        How many times as long the second of each of `layers` takes as the first, per unit of work (median).
    error
        The model's error of such a ratio (90%): the effect is beyond it.
    evidence
        The leaf or split that it comes from.
    layers
        What was compared, as pairs; `works` is how many times as much work each second one is.
    measured
        The effect on one layer that was measured both ways, where there is one.
    """

    kind: str
    op: str
    dtype: str
    setting: str
    topic: str
    text: str
    effect: float
    error: float
    evidence: Evidence
    layers: tuple[tuple[Layer, Layer], ...]
    works: tuple[float, ...]
    measured: float | None = None

    @property
    def backed(self) -> str:
        """The text with what it comes from, and what was measured."""
        seen = "" if self.measured is None else f"; in one measured pair {_change(self.measured)}"
        return f"{self.text} ({self.evidence.text}{seen})"

    @property
    def sentence(self) -> str:
        """The same with the operator's name."""
        return f"{self.op}: {self.backed}"

    @property
    def short(self) -> str:
        """The same for a screen that has to hold many."""
        return f"{self.op}: {self.text} ({self.evidence.short})"

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "kind": self.kind, "op": self.op, "dtype": self.dtype, "setting": self.setting, "topic": self.topic,
            "text": self.text, "effect": self.effect, "error": self.error, "evidence": self.evidence.to_dict(),
            "measured_effect": self.measured, "compared_layers": len(self.layers),
        }  # fmt: skip


def statements(model: SettingModel, op: str | None = None, dtype: str | None = None) -> list[Statement]:
    """Everything that can be said under one setting, what weighs most first.

    Parameters
    ----------
    op, dtype
        Only statements about these.
    """
    known = sorted(key for key in model.operators if key[0] != FALLBACK)
    chosen = [key for key in known if op in (None, key[0]) and dtype in (None, key[1])]
    found: list[Statement] = []
    for key in chosen:
        found += _of_operator(model.operators[key], model.key, model.terms.overhead_ms)
        found += _number_types(model, *key)
        found += _against_others(model, *key)
    return sorted(found, key=_rank)


def _of_operator(model: OperatorModel, setting: str, overhead_ms: float) -> list[Statement]:
    found = []
    for finding in width_findings(model, overhead_ms):
        found.append(
            Statement(
                finding.kind, model.op, model.dtype, setting, finding.topic, finding.text, finding.effect,
                finding.error, why(model, finding.layers, finding.works, overhead_ms), finding.layers, finding.works,
                finding.measured,
            )
        )  # fmt: skip
    for contrast in contrasts_of(model.op):
        cases = contrast.cases(model.op, model.dtype)
        per = f" per {contrast.per}" if contrast.per else ""

        def words(
            effect: float, per: str = per, subject: str = contrast.subject, than: str = contrast.reference
        ) -> str:
            return f"{subject} {costs(effect, per, than)}"

        works = [contrast.work(*case) for case in cases]
        statement = compare(model, model, setting, contrast.subject, words, cases, works, overhead_ms)
        found += [statement] if statement else []
    beyond = _beyond_cache(model, setting, overhead_ms)
    return [*found, beyond] if beyond else found


def _change(effect: float) -> str:
    return times(effect) if effect >= TWICE else f"{abs(effect - 1):.0%} {'more' if effect > 1 else 'less'}"


def costs(effect: float, per: str, than: str) -> str:
    """``costs 3.1 times 3x3 per MAC``, ``costs 44% more per MAC than 3x3``, ``costs 30% less …``."""
    if effect >= TWICE:
        return f"costs {times(effect)} {than}{per}"
    share = effect - 1 if effect > 1 else 1 - effect
    return f"costs {share:.0%} {'more' if effect > 1 else 'less'}{per} than {than}"


def compare(
    first: OperatorModel,
    second: OperatorModel,
    setting: str,
    topic: str,
    words: Callable[[float], str],
    cases: Sequence[tuple[Layer, Layer]],
    works: Sequence[float],
    overhead_ms: float,
) -> Statement | None:
    """The statement that the second layer of each case is dearer (or cheaper) for its work than the first.

    None where the model's predictions do not confirm it: they must differ by more than the model's error in three of
    four cases, all of sizes that were measured, and in the same direction.
    """
    if not cases:
        return None
    one, two = geometry([a for a, _ in cases]), geometry([b for _, b in cases])
    inside = (first.stretch(one) <= 1.0) & (second.stretch(two) <= 1.0)
    # What a call costs is paid once per network and not once per layer.
    calls = first.predict_ms(one), second.predict_ms(two)
    was, now = (times_ms - overhead_ms for times_ms in calls)
    inside &= (was > 0) & (now > 0)
    if inside.sum() < _MIN_CASES:
        return None
    kept = [int(i) for i in np.flatnonzero(inside)]
    works = tuple(works[i] for i in kept)
    layers = tuple(cases[i] for i in kept)
    logs = np.log(now[kept] / (was[kept] * np.array(works)))
    effect = float(np.exp(np.median(logs)))
    # Two operators' errors need not go together, so both count.
    alone = single_error(second)
    error = alone if first is second else float(np.hypot(single_error(first), alone))
    # The errors are those of whole calls: of what remains without the overhead they are a larger share.
    shares = np.maximum(calls[0][kept] / was[kept], calls[1][kept] / now[kept])
    least = np.log1p(np.maximum(error * shares, MIN_EFFECT))
    error = float(np.median(error * shares))
    size, direction = abs(np.log(effect)), np.sign(np.log(effect))
    if size <= np.log1p(max(error, MIN_EFFECT)) or np.mean(logs * direction > least) < _AGREEING:
        return None
    evidence = (
        why(second, layers, works, overhead_ms)
        if first is second
        else _in_leaf(second, [b for _, b in layers])
    )
    return Statement(
        AVOID if effect > 1 else LIKES, second.op, second.dtype, setting, topic, words(effect), effect, error,
        evidence, layers, works,
    )  # fmt: skip


def _in_leaf(model: OperatorModel, layers: Sequence[Layer]) -> Evidence:
    """The leaf that prices most of `layers`, and the cost that makes up most of it."""
    matrix = model.matrix(geometry(layers))
    leaves = model.tree.apply_rows(matrix)
    leaf = int(np.bincount(leaves).argmax())
    node = model.tree.nodes_[leaf]
    parts = (node.coefficients[1:] * matrix[leaves == leaf][:, : len(node.coefficients) - 1]).mean(axis=0)
    name = "call" if node.coefficients[0] > parts.max() else model.names()[0][int(parts.argmax())]
    return Evidence("leaf", leaf, name, node.samples)


def _number_types(model: SettingModel, op: str, dtype: str) -> list[Statement]:
    """How an operator in another number type compares with float32."""
    base, other = model.operators.get((op, "float32")), model.operators[op, dtype]
    recipe = operator(op).reference
    if dtype == "float32" or base is None or recipe is None:
        return []
    layers = recipe.layers(op, "float32")
    cases = [(layer, changed) for layer in layers if (changed := with_dtype(layer, dtype)) is not None]
    found = compare(
        base, other, model.key, f"{dtype} against float32", _in_float, cases, [1.0] * len(cases),
        model.terms.overhead_ms,
    )  # fmt: skip
    return [found] if found else []


def _in_float(effect: float) -> str:
    if effect >= TWICE:
        return f"it takes {times(effect)} as long as in float32"
    return f"it takes {abs(effect - 1):.0%} {'more' if effect > 1 else 'less'} than in float32"


def _against_others(model: SettingModel, op: str, dtype: str) -> list[Statement]:
    """How much dearer an elementwise operator is than the cheapest, and a depthwise convolution than an ordinary one."""
    recipe = operator(op).reference
    if recipe is None:
        return []
    if operator(op).features == "unary":
        usual, per = _cheapest(model, dtype), ""
    elif op == "depthwise_conv_2d":
        usual, per = "conv_2d", " per MAC"
    else:
        return []
    other = operator(usual).reference
    if usual == op or other is None or (usual, dtype) not in model.operators:
        return []
    cases = list(zip(other.layers(usual, dtype), recipe.layers(op, dtype), strict=True))
    works = [two.macs / one.macs if per else 1.0 for one, two in cases]
    found = compare(
        model.operators[usual, dtype], model.operators[op, dtype], model.key, f"{op} against {usual}",
        lambda e: f"it {costs(e, per, usual)}", cases, works, model.terms.overhead_ms,
    )  # fmt: skip
    # By less than half dearer than another operator, which does something else, is no advice.
    return [found] if found and found.effect > 1.5 else []


def _unary_operators() -> list[str]:
    """Elementwise operators of one operand of which ordinary layers are known."""
    return [entry.name for entry in operators() if entry.features == "unary" and entry.reference]


def _cheapest(model: SettingModel, dtype: str) -> str:
    """The elementwise operator of one operand that takes least on ordinary layers; "" where none was measured."""
    recipe = operator("relu").reference
    assert recipe is not None
    times = {
        op: float(model.operators[op, dtype].predict_ms(geometry(recipe.layers(op, dtype))).sum())
        for op in _unary_operators()
        if (op, dtype) in model.operators and op not in ("quantize", "dequantize")
    }
    return min(times, key=lambda op: times[op], default="")


def _beyond_cache(model: OperatorModel, setting: str, overhead_ms: float) -> Statement | None:
    """Whether data that does not fit in the cache costs more per element."""
    recipe, cache = operator(model.op).reference, model.tiles.get("cache")
    if recipe is None or not cache or "side" not in recipe.axes or "channels" not in recipe.axes:
        return None
    cases = []
    for channels in (32, 64, 128):
        small, large = [], []
        for side in range(4, 161):
            layer = recipe.build(
                model.op, model.dtype, {**recipe.bases[0], "side": side, "channels": channels}
            )
            moved = layer.input_bytes + layer.output_bytes
            if cache / 4 <= moved <= cache / 1.5:
                small.append(layer)
            elif 3 * cache <= moved <= 8 * cache:
                large.append(layer)
        if small and large:
            cases.append((small[-1], large[0]))
    works = [elements(two) / elements(one) for one, two in cases]

    def words(effect: float) -> str:
        size = f"{cache / 2**20:.3g} MiB" if cache >= 2**20 else f"{cache / 1024:.3g} KiB"
        return f"data beyond {size} {costs(effect, ' per element', 'what fits')}"

    found = compare(model, model, setting, "data beyond the cache", words, cases, works, overhead_ms)
    return found if found and found.kind == AVOID else None


_WEIGHT = {"conv_2d": 4.0, "depthwise_conv_2d": 3.0, "fully_connected": 3.0, "add": 1.5, "mul": 1.2}
"""How much of ordinary networks' time goes into an operator, roughly: what is said of it comes so much earlier."""

_LARGEST = 3.0
_TOPICS = (
    ("widths", 4.0),
    ("one channel less", 2.0),
    ("float32", 1.5),
    ("having", 0.3),
    ("a map of", 0.3),
    ("against", 0.5),
)
"""Widths are what a designer is freest to choose; the size of maps and the number of input channels are mostly given."""


def _rank(statement: Statement) -> tuple[float, str, str, str]:
    size = min(abs(float(np.log(statement.effect))), _LARGEST)
    size *= next((factor for words, factor in _TOPICS if words in statement.topic), 1.0)
    return -size * _WEIGHT.get(statement.op, 0.8), statement.op, statement.dtype, statement.topic
