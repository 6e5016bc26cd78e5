"""How predictions look in a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType

from edgetime import layer_rows, units
from edgetime.terminal.console import table

if TYPE_CHECKING:
    from compressor.pipeline.result import CompressionResult, FrontPoint


TOP = 10
"""Layers that ``--layers top`` shows."""


class Layers(str, Enum):
    """Which layers of a network are listed."""

    all = "all"
    top = "top"
    none = "none"


class LoadChoice(str, Enum):
    """Which load a network's time is given under, beside calm."""

    typical = "typical"


def prediction(result: Mapping[str, Any], layers: Layers) -> list[RenderableType]:
    """A network's predicted (and measured) time for a terminal; `result` is a line of ``predict --json``."""
    parts: list[RenderableType] = []
    if layers is not Layers.none and result["layers"]:
        parts += [layer_table(result, layers), ""]
    threads = f"{result['threads']} thread{'s' if result['threads'] != 1 else ''}"
    parts.append(f"{result['network']}, {result['dtype']}, on {result['device']}, {threads}")
    parts.append("  " + total(result))
    if result.get("met_p50_ms") is not None:
        met = f"{units.ms(result['met_p50_ms'])}, 90th percentile {units.ms(result['met_p90_ms'])}"
        parts.append(f"  under the load that the profile met {met}")
    parts.append("  " + ", ".join(costs(result)))
    return [*parts, *(f"  {line}" for line in estimated(result))]


def total(result: Mapping[str, Any]) -> str:
    """``predicted 1.91 ms (1.80 ms to 2.04 ms), measured 1.95 ms (…)``."""
    sure = units.interval(result["low_ms"], result["high_ms"])
    wide = ", wide because the profile met little calm" if result.get("widened") else ""
    least = "at least " if result.get("at_least") else ""
    text = f"predicted {least}{units.ms(result['predicted_ms'])}"
    if result["predicted_ms"] is None:
        text = "time unknown"
    elif least:
        left_out = [op.partition(":")[2] or op for ops in result.get("unknown", {}).values() for op in ops]
        text += f", without {', '.join(left_out)}" if left_out else ""
    else:
        text += f" (90% interval {sure}{wide})"
    if result.get("energy_mj") is not None and result["predicted_ms"] is not None:
        text += f", {least}{units.mj(result['energy_mj'])}"
    if result["measured_ms"] is not None:
        off = units.difference(result["predicted_ms"], result["measured_ms"])
        text += f", measured {units.ms(result['measured_ms'])} (prediction {off})"
    return text


def costs(result: Mapping[str, Any]) -> list[str]:
    """What else running the network costs, each as a few words."""
    share = "from measured operators" if not result.get("at_least") else "is known from measured operators"
    words = [f"{units.percent(result['coverage'])} of it {share}"]
    if result["peak_memory_bytes"]:
        words.append(f"peak memory {units.size(result['peak_memory_bytes'])}")
    names = {"measured_p90_ms": "90th percentile", "load_ms": "loading", "first_ms": "first run"}
    known = {name: result[key] for key, name in names.items() if result[key] is not None}
    return words + [f"{name} {units.ms(time_ms)}" for name, time_ms in known.items()]


def layer_table(result: Mapping[str, Any], layers: Layers) -> RenderableType:
    """One row per layer; `Layers.top` takes the longest, longest first."""
    rows: Sequence[Mapping[str, Any]] = result["layers"]
    title = None
    if layers is Layers.top and len(rows) > TOP:
        title = f"The {TOP} longest of {len(rows)} layers (--layers all shows every one)"
        rows = sorted(rows, key=lambda row: -(row["predicted_ms"] or 0.0))[:TOP]
    whole = sum(row["predicted_ms"] or 0.0 for row in result["layers"]) or 1.0
    measured = any(row["measured_ms"] is not None for row in rows)
    energy = any(row["energy_mj"] is not None for row in rows)
    columns = ["#", "operator", "name", "MACs", "predicted", "share", *(["energy"] if energy else [])]
    columns += ["measured"] if measured else []
    cells = []
    for row in rows:
        line = [
            row["index"],
            row["op"] if row["covered"] else f"{row['op']} ({how_known(row)})",
            short_name(row["name"]),
            units.count(row["macs"]) if row["macs"] else "",
            units.ms(row["predicted_ms"]) if row["predicted_ms"] is not None else "unknown",
            units.percent(row["predicted_ms"] / whole, 0) if row["predicted_ms"] is not None else "",
        ]
        line += [units.mj(row["energy_mj"])] if energy else []
        cells.append(line + ([units.ms(row["measured_ms"])] if measured else []))
    return table(columns, cells, title)


def how_known(row: Mapping[str, Any]) -> str:
    """What is known of an operator that was not measured."""
    if row["predicted_ms"] is not None:
        return "estimated"
    return "unknown" if row.get("reason") else "not on the accelerator"


def batch(results: Sequence[Mapping[str, Any]]) -> list[RenderableType]:
    """One row per network; then what was only estimated."""
    measured = any(result["measured_ms"] is not None for result in results)
    more = ["measured", "off"] if measured else ["90% interval"]
    loaded = any(result.get("met_p50_ms") is not None for result in results)
    more += ["load p50", "load p90"] if loaded else []
    energy = any(result.get("energy_mj") is not None for result in results)
    more += ["energy"] if energy else []
    rows = []
    for result in results:
        predicted = result["predicted_ms"]
        least = "at least " if result.get("at_least") and predicted is not None else ""
        shown = "unknown" if predicted is None else least + units.ms(predicted)
        row = [result["network"], result["dtype"], shown]
        if measured:
            row += [units.ms(result["measured_ms"]), units.difference(predicted, result["measured_ms"])]
        else:
            row.append(units.interval(result["low_ms"], result["high_ms"]))
        row += [units.ms(result["met_p50_ms"]), units.ms(result["met_p90_ms"])] if loaded else []
        row += [units.mj(result["energy_mj"])] if energy else []
        rows.append([*row, units.percent(result["coverage"])])
    columns = ["network", "dtype", "predicted", *more, "coverage"]
    return [table(columns, rows), *(line for result in results for line in estimated(result))]


def estimated(result: Mapping[str, Any]) -> list[str]:
    """Name the operators that the model never measured in the network's number type, if any."""
    from timemodel.model import in_words  # here, since starting any verb imports this room

    left = left_to_cpu(result)
    if left or not result["uncovered"]:
        return left
    unknown: Mapping[str, Sequence[str]] = result.get("unknown", {})
    said = []
    if unknown:
        said = [f"{result['network']}: of unknown time: {in_words(unknown)}"]
    only = [op for op in result["uncovered"] if not any(op in ops for ops in unknown.values())]
    return said + (_only_estimated(result, only) if only else [])


def _only_estimated(result: Mapping[str, Any], uncovered: Sequence[str]) -> list[str]:
    share = units.percent(1 - result["coverage"])
    known: Mapping[str, Sequence[str]] = result.get("measured_in", {})
    reasons: dict[str, list[str]] = {}
    for op in uncovered:
        kinds = known.get(op, ())
        if not kinds:
            reason = "never measured on this device"
        elif result["dtype"] in kinds:
            reason = "not measured in this form"
        else:
            reason = f"measured in {' and '.join(kinds)} only"
        reasons.setdefault(reason, []).append(op)
    said = "; ".join(f"{reason}: {', '.join(ops)}" for reason, ops in reasons.items())
    much = "" if result.get("at_least") else f" ({share} of the time)"
    return [f"{result['network']}: only estimated{much}, because {said}"]


def left_to_cpu(result: Mapping[str, Any]) -> list[str]:
    """Name the operators that an accelerator leaves to the CPU, why, and how to have them priced."""
    reasons: dict[str, dict[str, int]] = {}
    rows: Sequence[Mapping[str, Any]] = result.get("layers", ())
    for row in rows:
        if row.get("left"):
            ops = reasons.setdefault(row["left"], {})
            ops[row["op"]] = ops.get(row["op"], 0) + 1
    if not reasons:
        return []
    said = "; ".join(
        f"{', '.join(op if count == 1 else f'{count} {op}' for op, count in ops.items())} ({reason})"
        for reason, ops in reasons.items()
    )
    unknown = any(row.get("left") and row["predicted_ms"] is None for row in rows)
    end = ", whose time is left out: profile with ?cpu=CPU.timemodel.json to add it" if unknown else ""
    return [f"{result['network']}: left to the CPU{end}: {said}"]


def short_name(name: str, most: int = 36) -> str:
    """A layer's name for a table: of names that the converter joined the first, and of that the end."""
    first = " ".join(name.split(";")[0].split())
    return first if len(first) <= most else f"…{first[1 - most :]}"


def fit_table(errors: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Cross-validated error per operator, the most measured first."""
    columns = ["operator", "dtype", "layers", "leaves", "mean error", "median", "90% within"]
    rows = [
        [
            error["op"],
            error["dtype"],
            f"{error['probes']:,}",
            error["leaves"],
            units.percent(error["mean_error"]),
            units.percent(error["median_error"]),
            units.percent(error["p90_error"]),
        ]
        for error in sorted(errors, key=lambda error: (-error["probes"], error["op"], error["dtype"]))
    ]
    return table(columns, rows, "Error on layers that the model did not learn from (cross-validation)")


WIDE = 120
"""Columns that a summary is made for where the output is no terminal."""


def rules(text: str, width: int | None) -> str:
    """A time model's rules with long lines broken at `width`, so that what continues a line stands further in."""
    return "\n".join(row for line in text.splitlines() for row in broken(line, width))


def broken(line: str, width: int | None) -> list[str]:
    """`line` in rows of at most `width` columns; None leaves it whole."""
    if width is None:
        return [line]
    indent = line[: len(line) - len(line.lstrip())]
    return textwrap.wrap(line, width, subsequent_indent=indent + "    ", break_on_hyphens=False) or [""]


GIVEN_BACK = 8
"""Layers that are shown: those that gave back most."""

_NAME = 16
_LEAST_SHARE = 0.005


def compression_tables(result: CompressionResult) -> list[RenderableType]:
    """Before and after, the front, and what the layers gave back."""
    rows = result.rows()
    shown: list[RenderableType] = [table(list(rows[0]), [list(row.values()) for row in rows])]
    if len(result.points) > 1:
        shown += ["", _points(result), *(f"  {one.keras}: {one.changes}" for one in result.points)]
    if any(row.op for row in result.layers):
        shown += ["", _given_back(result)]
    if result.effort:
        shown += ["", *result.effort["summary"].split("; ")]
    return shown


def _points(result: CompressionResult) -> RenderableType:
    """All networks that were trained in full, fastest first."""

    def score(value: float | None) -> str:
        return "-" if value is None else units.score(value, result.score_name)

    measured = any(point.measured_ms is not None for point in result.points)
    columns = [
        "network",
        "measured" if measured else "predicted",
        "validation",
        "test",
        _lost_on(result),
        "file",
        "",
    ]
    networks: list[tuple[str, float, float | None, float, str, int, str]] = [
        (one.keras, one.time_ms, one.validation_score, one.score,
         units.loss(vars(one), result.score_name).removesuffix(" points"), one.size_bytes, _place(one))
        for one in result.points
    ]  # fmt: skip
    old = result.before
    time_ms = old.predicted_ms if old.measured_ms is None else old.measured_ms
    networks.append(("original", time_ms, old.validation_score, old.score, "", old.file_bytes, ""))
    rows = [
        [name, units.ms(ms), score(validation), score(test), lost, units.size(size), place]
        for name, ms, validation, test, lost, size, place in networks
    ]
    return table(columns, rows, f"Front of {result.score_name} against time")


def _lost_on(result: CompressionResult) -> str:
    """The heading of what points lose."""
    return (
        f"points lost, {result.losses_on}" if result.score_name == "accuracy" else f"lost, {result.losses_on}"
    )


def _place(point: FrontPoint) -> str:
    words = ["chosen"] if point.chosen else []
    return ", ".join(words if point.on_front else [*words, "beaten"])


def _given_back(result: CompressionResult) -> RenderableType:
    """What the layers gave back and why: those that gave most, then the rest in one row."""
    whole = sum(row.before_ms for row in result.layers)
    found = layer_rows.merged(row.to_dict() for row in result.layers)
    ordered = sorted((row for row in found if row["op"]), key=lambda row: -abs(row["saved_ms"]))
    top = [row for row in ordered[:GIVEN_BACK] if abs(row["saved_ms"]) >= _LEAST_SHARE * whole]
    rest = [row for row in found if row not in top]
    rows = [_layer(row) for row in found if row in top]
    if rest:
        count = sum(row["count"] for row in rest)
        rows.append([f"{count} others", "", units.ms(sum(row["saved_ms"] for row in rest)), ""])
    saved = sum(row.saved_ms for row in result.layers)
    share = units.percent(saved / whole if whole else 0.0)
    rows.append(["in all", "", units.ms(saved), f"{share} of what it took"])
    return table(["layer", "channels", "gives back", "why"], rows, "Time that layers gave back (predicted)")


def _layer(row: layer_rows.Row) -> list[str]:
    several = f"\n{row['op']}{layer_rows.count_suffix(row)}" if row["count"] > 1 else ""
    name = short_name(row["name"], _NAME) + several
    return [name, layer_rows.channels(row, "->"), units.ms(row["saved_ms"]), row["reason"]]
