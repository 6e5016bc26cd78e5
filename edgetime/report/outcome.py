"""What a compression came to, in the few words that stand for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from compressor.method_names import DEFAULT
from edgetime import units

Result = Mapping[str, Any]
"""The content of a ``result.json`` of `edgetime compress`."""

METHODS = {"uniform": "cut evenly (one width multiplier)", DEFAULT: "compressed"}
"""What results are called, by the method that made them."""


def headline(results: Sequence[Result]) -> list[tuple[str, str]]:
    """The figures to remember, of the best result."""
    if not results:
        return []
    ordered = in_order(results)
    best = ([result for result in ordered if is_met(result)] or ordered)[-1]
    before, after = best["before"], best["after"]
    tiles = [] if is_met(best) else [("missed", "the goal: this is the closest")]
    if best.get("speedup_measured"):
        tiles.append(_tile(best["speedup_measured"], "measured"))
    tiles.append(_tile(before["predicted_ms"] / after["predicted_ms"], "predicted"))
    lost = before["score"] - after["mean_score"]
    if best["score_name"] == "accuracy":
        tiles.append((units.points(-100 * lost), f"accuracy, to {units.percent(after['mean_score'])}"))
    else:
        tiles.append((f"{-lost:+.3g}", f"{best['score_name']}, to {after['mean_score']:.4g}"))
    tiles.append((units.percent(after["file_bytes"] / before["file_bytes"], 0), "of the file size"))
    return tiles


def _tile(ratio: float, how: str) -> tuple[str, str]:
    """A ratio of times before and after; what is slower is never called so many times as fast."""
    return (f"{ratio:.1f}x", f"as fast, {how}") if ratio >= 1 else (f"{1 / ratio:.1f}x", f"slower, {how}")


def is_met(result: Result) -> bool:
    """Whether the goal was reached."""
    return bool(result.get("met", True))


def called(result: Result) -> str:
    """What a result is called; one whose goal was missed bears no name of a success."""
    name = METHODS.get(str(result["method"]), f"compressed ({result['method']})")
    return name if is_met(result) else f"{name}: goal missed, the closest"


def in_order(results: Sequence[Result]) -> list[Result]:
    """The baseline first."""
    return sorted(results, key=lambda result: result["method"] != "uniform")


def slower_precision(result: Result) -> str:
    """The advice against the precision of a result where the original is slower in it."""
    from compressor.export import keep_float32

    quantized = result.get("quantized")
    if not quantized:
        return ""
    return keep_float32(str(quantized["quantize"]), time_ms(quantized), time_ms(result["before"]))


def time_ms(point: Mapping[str, Any]) -> float:
    """Measured, else predicted."""
    measured = point["measured_ms"]
    return float(point["predicted_ms"] if measured is None else measured)
