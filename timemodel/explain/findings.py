"""What a time model says of a device, as sentences that its own predictions confirm by more than its error."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from profiler.network import Layer
from profiler.operators import operator, operators, with_dtype
from timemodel.explain.comparisons import COMPARISONS, elements
from timemodel.explain.finding import AVOID, LIKES, Finding, costs, main_cost, takes, why
from timemodel.explain.preferred_widths import width_findings
from timemodel.explain.tree_in_words import size_in_words
from timemodel.features import geometry
from timemodel.model import OperatorModel, SettingModel, is_estimate, single_error

MIN_EFFECT = 0.08
"""Differences smaller than this are not worth a line, however sure."""

_AGREEING = 0.75
"""Share of the compared layers that must show the difference, each by more than the error."""

_MIN_CASES = 3


def findings(setting: SettingModel, op: str | None = None) -> list[Finding]:
    """Everything that can be said under one setting (only about operator `op`), what weighs most first."""
    found: list[Finding | None] = []
    for (name, _), model in sorted(setting.operators.items()):
        if not is_estimate(name) and op in (None, name):
            found += width_findings(setting, model)
            for choice in COMPARISONS.get(name, ()):
                cases = choice.cases(name, model.dtype)
                works = [choice.work(*case) for case in cases]
                found.append(_confirmed(setting, model, model, choice.subject, choice.in_words, cases, works))
            found += [ask(setting, model) for ask in (_beyond_cache, _number_type, _against_other)]
    return sorted((finding for finding in found if finding is not None), key=_rank)


def _confirmed(
    setting: SettingModel,
    first: OperatorModel,
    second: OperatorModel,
    topic: str,
    words: Callable[[float], str],
    cases: Sequence[tuple[Layer, Layer]],
    works: Sequence[float],
) -> Finding | None:
    """The finding that the second layer of each case costs more (or less) for its work than the first, if it is sure.

    Predictions must differ by more than their error in three of four cases of measured sizes, in the same direction.
    """
    if not cases:
        return None
    overhead_ms = setting.terms.overhead_ms
    one, two = geometry([a for a, _ in cases]), geometry([b for _, b in cases])
    inside = (first.stretch(one) <= 1.0) & (second.stretch(two) <= 1.0)
    # What a call costs is paid once per network and not once per layer.
    calls = first.predict_ms(one), second.predict_ms(two)
    was, now = (times_ms - overhead_ms for times_ms in calls)
    inside &= (was > 0) & (now > 0)
    if inside.sum() < _MIN_CASES:
        return None
    kept = np.flatnonzero(inside).tolist()
    works, layers = tuple(works[i] for i in kept), tuple(cases[i] for i in kept)
    logs = np.log(now[kept] / (was[kept] * np.array(works)))
    effect = float(np.exp(np.median(logs)))
    # Two operators' errors need not go together, so both count.
    same, alone = first is second, single_error(second)
    error = alone if same else float(np.hypot(single_error(first), alone))
    # The errors are those of whole calls: of what remains without the overhead they are a larger share.
    shares = np.maximum(calls[0][kept] / was[kept], calls[1][kept] / now[kept])
    least = np.log1p(np.maximum(error * shares, MIN_EFFECT))
    error = float(np.median(error * shares))
    size, direction = abs(np.log(effect)), np.sign(np.log(effect))
    if size <= np.log1p(max(error, MIN_EFFECT)) or np.mean(logs * direction > least) < _AGREEING:
        return None
    seconds = [layer for _, layer in layers]
    evidence = why(second, layers, works, overhead_ms) if same else main_cost(second, seconds)
    return Finding(
        AVOID if effect > 1 else LIKES, second.op, second.dtype, setting.key, topic, words(effect), effect, error,
        evidence, layers, works,
    )  # fmt: skip


def _number_type(setting: SettingModel, model: OperatorModel) -> Finding | None:
    """How an operator in another number type compares with float32."""
    base = setting.operators.get((model.op, "float32"))
    if model.dtype == "float32" or base is None:
        return None
    layers = operator(model.op).reference_layers("float32")
    cases = [(layer, changed) for layer in layers if (changed := with_dtype(layer, model.dtype)) is not None]
    topic, works = f"{model.dtype} against float32", [1.0] * len(cases)
    return _confirmed(
        setting, base, model, topic, lambda effect: f"it {takes(effect, 'in float32')}", cases, works
    )


def _against_other(setting: SettingModel, model: OperatorModel) -> Finding | None:
    """How much more an elementwise operator costs than the cheapest, and a depthwise convolution than `conv_2d`."""
    usual, per = "", ""
    if operator(model.op).features == "unary":
        usual = _cheapest_unary(setting, model.dtype)
    elif model.op == "depthwise_conv_2d":
        usual, per = "conv_2d", " per MAC"
    layers = operator(model.op).reference_layers(model.dtype)
    cheaper = setting.operators.get((usual, model.dtype))
    if usual == model.op or not layers or cheaper is None:
        return None
    cases = list(zip(operator(usual).reference_layers(model.dtype), layers, strict=True))
    works = [two.macs / one.macs if per else 1.0 for one, two in cases]
    found = _confirmed(
        setting, cheaper, model, f"{model.op} against {usual}", lambda effect: f"it {costs(effect, per, usual)}",
        cases, works,
    )  # fmt: skip
    # Less than half more than another operator, which does something else, is no advice.
    return found if found and found.effect > 1.5 else None


def _cheapest_unary(setting: SettingModel, dtype: str) -> str:
    """The elementwise operator of one operand that takes least on reference layers; "" where none was measured."""
    times_ms = {
        entry.name: float(setting.operators[entry.name, dtype].predict_ms(geometry(layers)).sum())
        for entry in operators()
        if entry.features == "unary" and entry.name not in ("quantize", "dequantize")
        if (entry.name, dtype) in setting.operators and (layers := entry.reference_layers(dtype))
    }
    return min(times_ms, key=lambda op: times_ms[op], default="")


def _beyond_cache(setting: SettingModel, model: OperatorModel) -> Finding | None:
    """Whether data that does not fit in the cache costs more per element."""
    reference, cache = operator(model.op).reference, model.tiles.get("cache")
    if reference is None or not cache or "side" not in reference.axes or "channels" not in reference.axes:
        return None
    cases = []
    for channels in (32, 64, 128):
        small, large = [], []
        for side in range(4, 161):
            sizes = {**reference.bases[0], "side": side, "channels": channels}
            layer = reference.build(model.op, model.dtype, sizes)
            moved = layer.input_bytes + layer.output_bytes
            if cache / 4 <= moved <= cache / 1.5:
                small.append(layer)
            elif 3 * cache <= moved <= 8 * cache:
                large.append(layer)
        if small and large:
            cases.append((small[-1], large[0]))
    works = [elements(two) / elements(one) for one, two in cases]
    found = _confirmed(
        setting, model, model, "data beyond the cache",
        lambda effect: f"data beyond {size_in_words(cache)} {costs(effect, ' per element', 'what fits')}",
        cases, works,
    )  # fmt: skip
    return found if found and found.kind == AVOID else None


_WEIGHT = {"conv_2d": 4.0, "depthwise_conv_2d": 3.0, "fully_connected": 3.0, "add": 1.5, "mul": 1.2}
"""How much of ordinary networks' time goes into an operator, roughly: what is said of it comes so much earlier."""

_LARGEST = 3.0
_TOPICS = {
    "widths": 4.0,
    "one channel less": 2.0,
    "float32": 1.5,
    "having": 0.3,
    "a map of": 0.3,
    "against": 0.5,
}
"""Widths are what a designer is freest to choose; the size of maps and the number of input channels are mostly given."""


def _rank(finding: Finding) -> tuple[float, str, str, str]:
    size = min(abs(float(np.log(finding.effect))), _LARGEST)
    size *= next((factor for words, factor in _TOPICS.items() if words in finding.topic), 1.0)
    return -size * _WEIGHT.get(finding.op, 0.8), finding.op, finding.dtype, finding.topic
