"""A time model in words: what each operator's tree says, and which widths the device likes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from profiler.errors import UsageError
from timemodel.geometry import ACTIVATION_CODES, geometry
from timemodel.operator_model import OperatorModel
from timemodel.setting_model import FALLBACK, SettingModel
from timemodel.sweep import Sweep, width_of

MAX_TERMS = 3
"""Costs that a leaf names: the ones that make up most of its time."""

_RULES_PER_SCREEN = 14
_STEP = 0.04
"""Relative change from one width to the next that counts as a step."""

_UNITS: dict[str, tuple[float, str]] = {
    "tiled_macs": (1e6, "million MACs, rounded up to whole tiles"),
    "half_tiled_macs": (1e6, "million MACs, rounded up to half tiles"),
    "macs": (1e6, "million MACs"),
    "tiles": (1e3, "thousand tiles"),
    "tile_taps": (1e3, "thousand tile-taps"),
    "pixel_tiles": (1e3, "thousand pixel tiles"),
    "pixels": (1e3, "thousand pixels"),
    "pixel_taps": (1e3, "thousand pixel-taps"),
    "rows": (1e3, "thousand rows"),
    "runs": (1e3, "thousand runs"),
    "run_tiles": (1e3, "thousand run tiles"),
    "elements": (1e6, "million elements"),
    "in_bytes": (1e6, "MB read"),
    "out_bytes": (1e6, "MB written"),
    "weight_bytes": (1e6, "MB of weights"),
    "total_bytes": (1e6, "MB moved"),
    "bytes_beyond_cache": (1e6, "MB beyond the cache"),
    "data_bytes_beyond_cache": (1e6, "MB of data beyond the cache"),
    "weight_bytes_beyond_cache": (1e6, "MB of weights beyond the cache"),
    "steps": (1.0, "step"),
    "step_units": (1e3, "thousand step-units"),
    "step_tiles": (1e3, "thousand step tiles"),
    "inputs": (1.0, "input"),
}
_FLAGS = {
    "pointwise": ("1x1 with stride 1", "any other kernel or stride"),
    "same_shape": ("operands of one shape", "one operand repeated"),
    "per_channel": ("one value per channel", "not one value per channel"),
    "scalar": ("a single value as operand", "no single value as operand"),
    "stored_operand": ("a stored operand", "both operands computed"),
    "same_padding": ("padding 'same'", "padding 'valid'"),
    "non_overlapping": ("windows side by side", "windows that overlap or leave gaps"),
    "keeps_channels": ("channels kept", "channels reduced"),
}
_BYTES = frozenset({"weight_bytes", "in_bytes", "out_bytes", "total_bytes"})
_ACTIVATIONS = {code: name for name, code in ACTIVATION_CODES.items()}


def explain(model: SettingModel, op: str | None = None) -> list[str]:
    """One text per operator and dtype, at most a screen each, then one on what the runtime adds.

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
    texts = [explain_operator(model.operators[key]) for key in chosen]
    return texts if op else [*texts, explain_runtime(model)]


def explain_operator(model: OperatorModel) -> str:
    """Rules of one operator in words."""
    error = model.error
    lines = [
        f"{model.op} {model.dtype}: {error.probes} layers measured; on layers not learned from the model is off by "
        f"{error.median_error:.1%} (median), {error.mean_error:.1%} (mean)"
    ]
    tiles = _tiles(model)
    if tiles:
        lines.append(f"  {tiles}")
    lines += [f"  {sentence}" for sentence in steps_in_words(model)]
    rules = list(_rules(model))
    shown = rules if len(rules) <= _RULES_PER_SCREEN else _heaviest(rules)
    lines += [f"  {condition}: {cost}" for _, condition, cost in shown]
    if len(shown) < len(rules):
        lines.append(f"  ({len(rules) - len(shown)} rarer cases more)")
    return "\n".join(lines)


def _tiles(model: OperatorModel) -> str:
    names = {"out_channels": "output channels", "pixels": "pixels", "inner": "channels"}
    parts = [f"{size} {names[axis]}" for axis, size in model.tiles.items() if axis in names and size > 1]
    text = f"works in tiles of {' x '.join(parts)}" if parts else ""
    cache = model.tiles.get("cache")
    if cache:
        text += ("; " if text else "") + f"data beyond {_size(cache)} costs extra"
    return text


def steps_in_words(model: OperatorModel) -> list[str]:
    """What the model says of widths, read off its own line at the layer of the widest sweep."""
    if not model.sweeps:
        return []
    sweep = model.sweeps[0]
    widths = np.arange(1, 129)
    times = model.predict_ms(geometry(sweep.at(widths.tolist())))
    change = np.diff(times) / times[:-1]
    up = widths[1:][change > _STEP]
    down = [int(w) for w in widths[1:][change < -_STEP]]
    sentences = []
    if len(up):
        gaps = np.diff(up)
        regular = len(gaps) and np.all(gaps == gaps[0])
        where = f"every {gaps[0]} channels, first at {up[0]}" if regular else "at " + _short(up.tolist())
        sentences.append(f"on {_describe(sweep)}, a step up {where}")
    if down:
        dear = [f"{w - 1} costs {times[w - 2] / times[w - 1] - 1:.0%} more than {w}" for w in down[:3]]
        sentences.append(f"likes {_short(down)} channels: {', '.join(dear)}")
    return sentences


def _short(numbers: Sequence[int], most: int = 8) -> str:
    text = ", ".join(str(n) for n in numbers[:most])
    return text + (", …" if len(numbers) > most else "")


def _describe(sweep: Sweep) -> str:
    layer = sweep.layer
    shape = "x".join(str(n) for n in layer.activations[0].shape[1:])
    if layer.op == "depthwise_conv_2d":
        shape = "x".join(str(n) for n in layer.activations[0].shape[1:3])
    kernel = layer.params.get("kernel_height")
    window = f"{kernel}x{layer.params['kernel_width']} on " if kernel else ""
    return f"{window}{shape}"


def _rules(model: OperatorModel) -> Iterator[tuple[int, str, str]]:
    """(samples, condition, cost) of each leaf, in the order of the tree."""
    costs, sizes = model.names()
    names = costs + sizes
    nodes = model.tree.nodes_

    def walk(at: int, path: list[tuple[str, str, float]]) -> Iterator[tuple[int, str, str]]:
        node = nodes[at]
        if node.feature < 0:
            yield node.samples, _condition(path), _cost(model, costs, node.coefficients)
            return
        name = names[node.feature]
        if node.modulus:
            sides = [("multiple", float(node.modulus)), ("no multiple", float(node.modulus))]
        else:
            sides = [("<=", node.threshold), (">", node.threshold)]
        for (relation, value), child in zip(sides, (node.left, node.right), strict=True):
            yield from walk(child, [*path, (name, relation, value)])

    return walk(0, [])


def _condition(path: list[tuple[str, str, float]]) -> str:
    if not path:
        return "always"
    low: dict[str, float] = {}
    high: dict[str, float] = {}
    words: dict[str, list[str]] = {}
    for name, relation, value in path:
        words.setdefault(name, [])
        if relation == "<=":
            high[name] = min(value, high.get(name, np.inf))
        elif relation == ">":
            low[name] = max(value, low.get(name, -np.inf))
        else:
            words[name].append(f"{_human(name)} {relation} of {value:g}")
    parts = []
    for name, extra in words.items():
        if name in low or name in high:
            parts.append(_range(name, low.get(name), high.get(name)))
        parts += extra
    return "where " + ", ".join(parts)


def _range(name: str, low: float | None, high: float | None) -> str:
    if name in _FLAGS:
        return _FLAGS[name][0] if low is not None else _FLAGS[name][1]
    if name == "activation":
        inside = [
            n
            for code, n in _ACTIVATIONS.items()
            if (low is None or code > low) and (high is None or code <= high)
        ]
        return f"activation {' or '.join(n for n in inside if n in ('none', 'relu', 'relu6')) or 'other'}"
    show = _size if name in _BYTES else _whole
    if low is None:
        assert high is not None
        return f"{_human(name)} up to {show(high)}"
    if high is None:
        return f"{_human(name)} above {show(low)}"
    return f"{_human(name)} above {show(low)} up to {show(high)}"


def _human(name: str) -> str:
    return name.replace("_", " ")


def _whole(value: float) -> str:
    return f"{np.floor(value):,.0f}" if value >= 2 else f"{value:.3g}"


def _size(value: float) -> str:
    return f"{value / 2**20:.3g} MiB" if value >= 2**20 else f"{value / 1024:.3g} KiB"


def _cost(model: OperatorModel, costs: list[str], coefficients: np.ndarray) -> str:
    """The leaf's formula in ms: its constant, then the costs that weigh most over the measured range."""
    scaled = coefficients * model.tree.scale_
    typical = np.sqrt(np.maximum(model.bounds[0], 1.0) * np.maximum(model.bounds[1], 1.0))
    order = np.argsort(-scaled[1:] * typical, kind="stable")
    parts = [f"{_number(scaled[0])} ms"] if scaled[0] > 0 else []
    for i in order[:MAX_TERMS]:
        if scaled[1 + i] > 0:
            unit, words = _UNITS.get(costs[i], (1.0, _human(costs[i])))
            parts.append(f"{_number(scaled[1 + i] * unit)} ms per {words}")
    rest = sum(scaled[1 + i] > 0 for i in order[MAX_TERMS:])
    text = " + ".join(parts) or "no time"
    return text + (f" + {rest} smaller" if rest else "")


def _number(value: float) -> str:
    return f"{value:.2g}" if value < 100 else f"{value:.0f}"


def _heaviest(rules: list[tuple[int, str, str]]) -> list[tuple[int, str, str]]:
    least = sorted((samples for samples, _, _ in rules), reverse=True)[_RULES_PER_SCREEN - 1]
    return [rule for rule in rules if rule[0] >= least][:_RULES_PER_SCREEN]


def explain_runtime(model: SettingModel) -> str:
    """What the runtime adds to the sum of layers, in words."""
    terms = model.terms
    lines = [f"runtime ({model.key}): a call costs {_number(terms.overhead_ms * 1e3)} us"]
    for dtype, shares in sorted(terms.remaining.items()):
        for pattern, share in sorted(shares.items()):
            first, second = pattern.split("+")
            if share == 0:
                lines.append(f"  {dtype}: {first} before {second} is free (the runtime fuses them)")
            elif share == 1:
                lines.append(f"  {dtype}: {first} before {second} costs its full time (not fused)")
            else:
                lines.append(f"  {dtype}: {first} before {second} costs {share:.0%} of its time")
    for op, traffic in sorted(terms.weights.items()):
        rows = [
            f"{mb:.3g} MB: {extra * 1e3:.0f} us"
            for mb, extra in zip(traffic.footprint_mb, traffic.extra_ms_per_mb, strict=True)
        ]
        lines.append(f"  weights of {op}, extra per MB by how many the whole network has: {', '.join(rows)}")
    for dtype, factor in sorted(terms.together.items()):
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
