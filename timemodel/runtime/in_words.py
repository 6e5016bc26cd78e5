"""What the runtime adds to the sum of layers, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from profiler.network import FUSION_PATTERNS
from profiler.operators import operator
from timemodel.runtime.cache_traffic import CacheTraffic
from timemodel.runtime.dispatch import Dispatch
from timemodel.runtime.fusion import (
    APART,
    EVERYTHING,
    FEW,
    FUSED,
    IN_PLACE,
    INSIDE,
    OUTSIDE,
    PARTLY,
    SPLIT,
    GraphRule,
)
from timemodel.runtime.reuse_distance import CLASSES


def _called(name: str) -> str:
    """An operator in words, with its article."""
    op, constant, _ = name.partition("_const")
    text = operator(op).words or op.upper()
    article = "an" if text[0] in "aeiouAEIOU" else "a"
    return f"{article} {text}{' of a constant' if constant else ''}"


def _upper(text: str) -> str:
    return text[0].upper() + text[1:]


def _listed(names: Sequence[str]) -> str:
    called = [_called(name) for name in names]
    return called[0] if len(called) == 1 else f"{', '.join(called[:-1])} or {called[-1]}"


def graph_in_words(rules: Sequence[GraphRule]) -> list[str]:
    """What the runtime does to graphs, one sentence per kind of thing, without what it leaves alone."""
    lines = []
    for dtype in dict.fromkeys(rule.dtype for rule in rules):
        mine = [rule for rule in rules if rule.dtype == dtype]
        lines += [f"{dtype}: {sentence}" for sentence in (*_pair_sentences(mine), *_single_sentences(mine))]
    return lines


def _pair_sentences(rules: Sequence[GraphRule]) -> list[str]:
    groups: dict[tuple[str, str, int], list[str]] = {}
    for rule in rules:
        if rule.happens not in (FUSED, PARTLY) or rule.share == 1 or "+" not in rule.pattern:
            continue
        absorbed = FUSION_PATTERNS.get(rule.pattern, 0)
        names = rule.pattern.split("+")
        effect = f"costs {rule.share:.0%} of its time" if rule.share else "costs nothing: it runs inside it"
        groups.setdefault((names[absorbed], effect, absorbed), []).append(names[1 - absorbed])
    sentences = []
    for (name, effect, absorbed), others in groups.items():
        where = "after" if absorbed else "before"
        sentences.append(f"{_upper(_called(name))} {where} {_listed(others)} {effect}")
    pairs = [rule for rule in rules if "+" in rule.pattern]
    apart = sum(rule.happens == APART or (rule.happens == FUSED and rule.share == 1) for rule in pairs)
    if apart == 1:
        sentences.append("1 other kind of neighbours costs what it costs alone")
    elif apart:
        sentences.append(f"{apart} other kinds of neighbours cost what they cost alone")
    return sentences


def _single_sentences(rules: Sequence[GraphRule]) -> list[str]:
    sentences = []
    for rule in rules:
        if rule.pattern == INSIDE and rule.share < 1:
            costs = "costs nothing" if rule.share == 0 else f"costs {rule.share:.0%} of what it costs alone"
            sentences.append(f"A RESHAPE between two other operators {costs}")
        name, _, place = rule.pattern.partition(" ")
        if place == IN_PLACE and rule.share != 1:
            sentences.append(
                f"{_upper(_called(name))} for each of fewer than {FEW} channels takes {rule.share:.1f} times as long "
                "between two other operators as alone"
            )
        if rule.other < 1:
            first, second = map(_called, rule.pattern.split("+"))
            sentences.append(
                f"{_upper(first)} and {second} as one take {rule.other:.0%} of the second's time alone"
            )
        if rule.happens == SPLIT:
            name = _upper(_called(rule.pattern))
            reason = ": the activation runs on its own" if rule.seen else ""
            sentences.append(
                f"{name} with a fused activation takes {rule.share:.1f} times one without{reason}"
            )
    outside = [rule.pattern for rule in rules if rule.happens == OUTSIDE and rule.share == 1]
    some = [rule.pattern for rule in rules if rule.happens == OUTSIDE and rule.share < 1]
    if outside == [EVERYTHING]:
        sentences.append("Every operator runs outside XNNPACK, by the built-in kernels")
    elif outside:
        sentences.append(f"Runs outside XNNPACK, by the built-in kernels: {', '.join(outside)}")
    if some:
        sentences.append(f"In some cases too: {', '.join(some)}")
    return sentences


def traffic_in_words(traffic: CacheTraffic) -> list[str]:
    """What data beyond the cache costs, a sentence per class of access."""
    distances = np.array([2.0, 8.0, 32.0, 128.0])
    sentences = []
    for name, prices in zip(CLASSES, traffic.price_ms_per_mb(distances), strict=True):
        priced = zip(distances, prices, strict=True)
        rows = [f"{mb:g} MB ago: {price * 1e3:.3g} us" for mb, price in priced if price > 0]
        sentences.append(f"{name} last touched … cost extra per MB: {', '.join(rows) if rows else 'nothing'}")
    if traffic.forgetting_mb_per_ms:
        sentences.append(f"others push {traffic.forgetting_mb_per_ms:g} MB out of the shared cache per ms")
    return sentences


def dispatch_in_words(dispatch: Mapping[str, Dispatch]) -> list[str]:
    """What operators cost for standing in a long row of unlike ones, a sentence per number type."""
    sentences = []
    for dtype, prices in dispatch.items():
        rows = [f"of {count:,}: {1e6 * prices.each_ms(count):.3g} ns" for count in (128, 512, 2048)]
        if any(prices.steps_ms):
            sentences.append(
                f"{dtype}: each of many unlike operators in a row costs extra: {', '.join(rows)}"
            )
    return sentences
