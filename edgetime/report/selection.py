"""The report's part on selections: which network for a device, and which for an input."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from edgetime import __version__, units
from edgetime.report.charts import Chart, Series, chart, distinct, series
from edgetime.report.page import Page
from profiler.files import write_text
from profiler.tradeoff import pareto_front

Value = Mapping[str, Any]

_HEIGHT = 420
_MOST_BARS = 40
_MOST_ROWS = 30
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x")
_FRONT_COLORS = ("model", "third", "good", "bad")


def write_selection(
    values: Sequence[Value], output: str | os.PathLike[str], pictures: Sequence[tuple[str, str, str]] = ()
) -> None:
    """Write a page of what ``edgetime select`` found.

    Parameters
    ----------
    values
        What its ``--json`` prints; of several devices one for each.
    output
        The page.
    pictures
        The hardest and easiest rows: ``(heading, data URI, caption)``, those of one heading together.
    """
    page = Page("edgetime: selection")
    add_to(page, values)
    add_pictures(page, pictures)
    page.footer(f"Made by edgetime {__version__}. All times are predicted for the device named above.")
    write_text(output, page.render())


def is_selection(value: Any) -> bool:
    """Whether a value is what ``edgetime select --json`` prints, for one device."""
    by_device = {"device", "recommended", "candidates", "judged_on"}
    by_input = {"device", "chosen", "front", "baselines", "judged_on"}
    return isinstance(value, dict) and (by_device <= set(value) or by_input <= set(value))


def add_to(page: Page, values: Sequence[Value]) -> None:
    """Add a section for all devices, one for each, and one for all policies that were judged on the same rows."""
    static = [value for value in values if "candidates" in value]
    if len({value["device"] for value in static}) > 1:
        _add_devices(page, static)
    for value in static:
        _add_device(page, value)
    groups: dict[tuple[str, str], list[Value]] = {}
    for value in values:
        if "baselines" in value:
            groups.setdefault((value["device"], value["judged_on"]), []).append(value)
    for group in groups.values():
        _add_policies(page, group)


def add_pictures(page: Page, pictures: Sequence[tuple[str, str, str]]) -> None:
    """Add pictures of rows under their headings."""
    if pictures:
        page.section(
            "Hardest and easiest rows", "By how likely all networks together take the right answer to be."
        )
    for heading in dict.fromkeys(heading for heading, _, _ in pictures):
        page.heading(heading)
        page.pictures([(uri, caption) for one, uri, caption in pictures if one == heading])


def _add_device(page: Page, value: Value) -> None:
    """The candidates on one device."""
    candidates = value["candidates"]
    judged = value["judged_on"]
    page.section(
        f"Which network for {value['device']}",
        f"Accuracy on {judged}." if judged else "Nothing was run: without accuracy the fastest is it.",
    )
    best = next((one for one in candidates if one["network"] == value["recommended"]), None)
    if best is not None:
        tiles = [(_predicted(best), "predicted time of the best network")]
        if best["accuracy"] is not None:
            tiles.append((units.percent(best["accuracy"], 2), "its accuracy"))
        tiles.append((_short(best["network"]), "recommended"))
        page.tiles(tiles)
    else:
        page.text("No network is within the limits.")
    page.figures([_device_chart(value)])
    energy = any(one["energy_mj"] is not None for one in candidates)
    rows = [
        [
            _short(one["network"]),
            one["dtype"],
            _predicted(one),
            units.interval(one["low_ms"], one["high_ms"]),
            *([units.percent(one["accuracy"], 2)] if judged else []),
            units.size(one["peak_memory_bytes"]),
            *([units.mj(one["energy_mj"])] if energy else []),
            units.size(one["file_bytes"]),
            ", ".join(_marks(one, value)),
        ]
        for one in candidates
    ]
    accuracy = ["accuracy"] if judged else []
    columns = ["network", "number type", "predicted", "90% interval", *accuracy, "peak memory"]
    strong = next((i for i, one in enumerate(candidates) if one is best), None)
    page.table(
        [*columns, *(["energy"] if energy else []), "file", ""],
        rows,
        strong=strong,
        folded=f"All {len(rows)} networks" if len(rows) > _MOST_ROWS else "",
    )


def _device_chart(value: Value) -> Chart:
    """Accuracy over predicted time, with the front as a line; without accuracy the times as bars."""
    candidates = value["candidates"]
    known = [one for one in candidates if one["accuracy"] is not None and one["predicted_ms"] > 0]
    if not known:
        few = candidates[:_MOST_BARS]
        caption = "The fastest first." + (
            f" {len(few)} of {len(candidates)}." if len(few) < len(candidates) else ""
        )
        bars = series(
            "predicted", "hbars", [one["predicted_ms"] for one in few], distinct([_short(one["network"]) for one in few]),
            "model", text=[f"{_short(one['network'])}: {_predicted(one)}" for one in few],
        )  # fmt: skip
        return chart("Predicted time", caption, "ms", "", [bars], height=max(160, 60 + 24 * len(few)))
    on_front = sorted((one for one in known if one["on_front"]), key=lambda one: one["predicted_ms"])
    others = [one for one in known if not one["on_front"]]
    shown = [
        _front_line("front", on_front, "predicted_ms", "model"),
        _points("beaten by others", others, "points", "predicted_ms"),
        _points("on the front", on_front, "model", "predicted_ms"),
    ]
    best = [one for one in known if one["network"] == value["recommended"]]
    shown.append(_points("recommended", best, "good", "predicted_ms", symbol="star", size=15))
    budget = value["budget_ms"]
    if budget is not None:
        low = min(100 * one["accuracy"] for one in known)
        high = max(100 * one["accuracy"] for one in known)
        shown.append(series("budget", "line", [budget, budget], [low, high], "third", dash="dot", width=1.5))
    caption = "Up and to the left is better. The line joins the networks that no other beats in both."
    return _over_time("Accuracy over predicted time", caption, [one for one in shown if one["x"]])


def _add_devices(page: Page, values: Sequence[Value]) -> None:
    """Every network on every device."""
    page.section(
        "Every network on every device",
        "Predicted time, and energy where it is known; a star marks the best network of a device.",
    )
    page.figures([_devices_chart(values)])
    known = [{one["network"]: one for one in value["candidates"]} for value in values]
    energy = any(one["energy_mj"] is not None for row in known for one in row.values())
    networks = [one["network"] for one in values[0]["candidates"]]
    rows = [
        [
            _short(network),
            *(
                _cost(candidates.get(network), energy) + (" *" if value["recommended"] == network else "")
                for value, candidates in zip(values, known, strict=True)
            ),
        ]
        for network in networks
    ]
    folded = f"All {len(rows)} networks" if len(rows) > _MOST_ROWS else ""
    page.table(["network", *(value["device"] for value in values)], rows, folded=folded)


def _cost(candidate: Value | None, with_energy: bool) -> str:
    """``0.05 ms, 0.012 mJ``, or ``0.05 ms, -`` where energy is not known."""
    if candidate is None:
        return "-"
    return _predicted(candidate) + (f", {units.mj(candidate['energy_mj'])}" if with_energy else "")


def _devices_chart(values: Sequence[Value]) -> Chart:
    """Accuracy over predicted time of all networks on all devices, with the front; without accuracy energy over time."""
    # Of what takes at least 0 ms nothing is known.
    points = [
        (value["device"], one) for value in values for one in value["candidates"] if one["predicted_ms"] > 0
    ]
    judged = all(one["accuracy"] is not None for _, one in points)
    if not judged:
        points = [(device, one) for device, one in points if one["energy_mj"] is not None]
    height = [100 * one["accuracy"] if judged else one["energy_mj"] for _, one in points]
    shown: list[Series] = []
    best = pareto_front(
        [one["predicted_ms"] for _, one in points], height if judged else [-energy for energy in height]
    )
    line = sorted(
        (one["predicted_ms"], y) for (_, one), y, on in zip(points, height, best, strict=True) if on
    )
    if len(line) > 1:
        shown.append(series("front", "line", [x for x, _ in line], [y for _, y in line], "good", width=1.5))
    for number, device in enumerate(dict.fromkeys(device for device, _ in points)):
        here = [(one, y) for (name, one), y in zip(points, height, strict=True) if name == device]
        symbol = _SYMBOLS[number % len(_SYMBOLS)]
        color = _FRONT_COLORS[number // len(_SYMBOLS) % len(_FRONT_COLORS)]
        text = [f"{_short(one['network'])} on {device}: {_cost(one, not judged)}" for one, _ in here]
        x = [one["predicted_ms"] for one, _ in here]
        shown.append(
            series(device, "points", x, [y for _, y in here], color, size=9, text=text, symbol=symbol)
        )
    shown = [one for one in shown if one["x"]]
    if judged:
        return _over_time("Accuracy over predicted time", "Up and to the left is better.", shown)
    caption = "Down and to the left is better; of devices whose energy is known."
    return chart("Energy over predicted time", caption, "ms", "mJ", shown, log=True, height=_HEIGHT)


def _add_policies(page: Page, values: Sequence[Value]) -> None:
    """Policies by input that were judged on the same rows, in one picture, with what they must be seen beside."""
    first = values[0]
    page.section(
        f"Which network for which input, on {first['device']}",
        f"Accuracy and shares on {first['judged_on']}; times are predicted.",
    )
    for value in values:
        chosen, expected = value["chosen"], value["expected"]
        drop = 100 * (chosen["accuracy"] - expected["single_accuracy"])
        page.tiles(
            [
                (units.ms(chosen["mean_ms"]), f"mean time of an input, {_kind(chosen)}"),
                (f"{expected['single_ms'] / chosen['mean_ms']:.2f}x", "as fast as the best single network"),
                (units.points(drop), "against its accuracy"),
                (units.ms(chosen["longest_ms"]), "longest time of an input"),
            ]
        )
        if value.get("promise"):
            page.text(str(value["promise"]["sentence"]))
        for note in value.get("notes", ()):
            page.text(note, soft=True)
    page.figures([_policy_chart(values), *map(_share_chart, values)])
    points = [*first["baselines"], *(value["chosen"] for value in values)]
    single_ms = first["expected"]["single_ms"]
    page.table(_POLICY_COLUMNS, [_policy_row(one, single_ms) for one in points], strong=len(points) - 1)
    fronts = [one for value in values for one in value["front"] if one not in points]
    if fronts:
        page.table(
            _POLICY_COLUMNS,
            [_policy_row(one, single_ms) for one in fronts],
            folded=f"{len(fronts)} more policies of the front",
        )


_POLICY_COLUMNS = [
    "policy",
    "kind",
    "accuracy",
    "of new rows",
    "mean, ms",
    "times as fast",
    "p90, ms",
    "p99, ms",
    "longest, ms",
]


def _policy_row(point: Value, single_ms: float) -> list[str]:
    mean, *others = (
        units.ms(point[name]).removesuffix(" ms") for name in ("mean_ms", "p90_ms", "p99_ms", "longest_ms")
    )
    return [
        point["name"],
        _kind(point),
        units.percent(point["accuracy"], 2),
        units.percent(point["expected_accuracy"], 2),
        mean,
        f"{single_ms / point['mean_ms']:.2f}",
        *others,
    ]


def _policy_chart(values: Sequence[Value]) -> Chart:
    """Accuracy over mean time of single networks, fronts of policies, chosen ones, oracle and ensemble."""
    shown: list[Series] = []
    for number, value in enumerate(values):
        color = _FRONT_COLORS[number % len(_FRONT_COLORS)]
        front = sorted(value["front"], key=lambda one: one["mean_ms"])
        kind = str(value["chosen"]["kind"]).replace("_", " ")
        if front:
            shown.append({**_front_line(kind, front, "mean_ms", color), "quiet": True})
            shown.append(_points(f"{kind} front", front, color, size=7))
    baselines = values[0]["baselines"]
    singles = [one for one in baselines if one["kind"] == "single"]
    floats = [one for one in singles if str(one["dtype"]).startswith("float")]
    shown.append(_points("single, float", floats, "points", symbol="square"))
    shown.append(
        _points("single, int", [one for one in singles if one not in floats], "points", symbol="square-open")
    )
    symbols = {"oracle": "diamond-open", "ensemble": "triangle-up-open", "margin cascade": "x"}
    for kind, symbol in symbols.items():
        found = [one for one in baselines if one["kind"] == kind]
        shown.append(_points(kind, found, "third", symbol=symbol))
    shown.append(_points("chosen", [value["chosen"] for value in values], "good", symbol="star", size=15))
    caption = "Up and to the left is better. The oracle knows the right answer and asks the fastest network that gives it."
    return _over_time("Accuracy over mean time of an input", caption, [one for one in shown if one["x"]])


def _share_chart(value: Value) -> Chart:
    """Which share of the inputs each stage answers."""
    chosen = value["chosen"]
    shares = [100 * share for share in chosen["stop_shares"]]
    networks = [network["name"] for network in value["networks"]]
    stages = value.get("stages") or []
    names = [networks[stage["network"]] for stage in stages]
    choices = value.get("settings", {}).get("choices")
    if choices:
        names = [networks[choice] for choice in choices]
    if len(names) != len(shares):
        names = [f"choice {number + 1}" for number in range(len(shares))]
    names = distinct([f"{number + 1}: {name}" for number, name in enumerate(names)])
    text = [f"{name}: {share:.1f}%" for name, share in zip(names, shares, strict=True)]
    bars = series("share", "bars", names, shares, "model", text=text, quiet=True)
    kind = str(chosen["kind"]).replace("_", " ")
    return chart(
        f"Inputs that each stage answers ({kind})",
        "",
        "",
        "share of inputs, %",
        [bars],
        y_range=[0, 100],
        height=_HEIGHT,
    )


def _over_time(title: str, caption: str, shown: Sequence[Series]) -> Chart:
    """Percents over ms: times on a logarithmic axis where they differ much."""
    times = [x for one in shown for x in one["x"]]
    percents = [y for one in shown for y in one["y"]]
    # At least two points high, so that differences of a few rows look as small as they are.
    y_range = [min(percents) - 1, min(max(percents) + 1, 100.5)]
    wide = bool(times) and max(times) > 8 * min(times) > 0
    return chart(title, caption, "ms", "accuracy, %", shown, y_range=y_range, log_x=wide, height=_HEIGHT)


def _points(name: str, points: Sequence[Value], color: str, time: str = "mean_ms", **more: Any) -> Series:
    text = [
        f"{_short(one.get('name') or one['network'])}: {units.ms(one[time])}, {units.percent(one['accuracy'], 2)}"
        for one in points
    ]
    x, y = [one[time] for one in points], [100 * one["accuracy"] for one in points]
    return series(name, "points", x, y, color, **{"size": 10, "text": text, **more})


def _front_line(name: str, points: Sequence[Value], time: str, color: str) -> Series:
    x, y = [one[time] for one in points], [100 * one["accuracy"] for one in points]
    return series(name, "line", x, y, color, width=1.5, quiet=True)


def _predicted(candidate: Value) -> str:
    return ("at least " if candidate["at_least"] else "") + units.ms(candidate["predicted_ms"])


def _marks(candidate: Value, value: Value) -> list[str]:
    marks = ["recommended"] if candidate["network"] == value["recommended"] else []
    marks += ["front"] if candidate["on_front"] and value["judged_on"] else []
    return [*marks, *(f"over the limit of {name}" for name in candidate["over"])]


def _kind(point: Value) -> str:
    return ", ".join(filter(None, [str(point["kind"]).replace("_", " "), str(point["dtype"])]))


def _short(path: Any) -> str:
    return os.path.basename(str(path)).removesuffix(".tflite")
