"""Why a layer of other widths takes less time: which step of the staircase, fewer multiplications, nearer data.

The words rest on the tree's own predictions: that widths of one tile cost the same is only said where the model says so for
this very layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from profiler.network import Layer, Network
from timemodel.explain.evidence import why
from timemodel.features import geometry, kernel_of
from timemodel.model import OperatorModel, SettingModel, width_of, with_width

SAME = 0.06
"""Widths of a tile whose predicted times differ by less cost the same."""

_STEEP = 3.0
"""A step is one channel that costs so many times what channels cost on average."""
_BEYOND = 130
"""How far beyond a width the end of its step is looked for: twice the widest tile."""
_MOST = 0.6
_NOTICED = 0.2
_NO_DIFFERENCE = 0.01
_RESIZED = ("conv_2d", "depthwise_conv_2d", "fully_connected")


@dataclass(frozen=True)
class Reason:
    """Why a layer takes another time than before.

    Parameters
    ----------
    text
        In words, such as ``output channels 40 -> 32: 1 tile of 32 less (33 to 64 cost the same)``.
    evidence
        The leaf or split of the tree that prices the difference; empty where there is none.
    """

    text: str
    evidence: str = ""


def traffic_ms(setting: SettingModel, network: Network) -> np.ndarray:
    """The part ``[layers]`` of each layer's predicted time in ms that is its data coming from beyond the cache."""
    whole = setting.in_network_ms(network).predicted_ms
    calibration = np.array([setting.terms.calibration.get(layer.dtype, 1.0) for layer in network.layers])
    alone = setting.layer_times(network.layers).predicted_ms
    return np.maximum(whole - alone * setting.terms.fusion_shares.factors(network) * calibration, 0.0)


def reason(
    setting: SettingModel | None,
    old: Layer,
    new: Layer,
    was_ms: float,
    saved_ms: float,
    nearer_ms: float = 0.0,
) -> Reason:
    """Why `new` takes `saved_ms` less than `old`.

    Parameters
    ----------
    setting
        What predicted the times; None where that has no trees: then only the widths are compared.
    old, new
        The same layer at two widths.
    was_ms, saved_ms
        What `old` took in its network, and how much of that is gone.
    nearer_ms
        How much of `saved_ms` is data that no longer comes from beyond the cache (`traffic_ms`).
    """
    nearer = abs(nearer_ms) >= _NOTICED * abs(saved_ms) and abs(nearer_ms) > _NO_DIFFERENCE * was_ms
    data = "its data is more often found in the cache" if nearer_ms > 0 else "more of its data left the cache"
    if old == new:
        return Reason(f"unchanged; {data}" if nearer else "unchanged")
    parts = _changes(old, new)
    model = None if setting is None else setting.find(kernel_of(old), old.dtype)[0]
    if not isinstance(model, OperatorModel):
        texts = [f"{name} {a} -> {b}" for name, a, b in parts]
        return Reason(f"{', '.join(texts)}: {_work(old, new)}" if texts else _work(old, new))
    assert setting is not None
    call_ms = setting.terms.overhead_ms
    if old.op in _RESIZED and kernel_of(old) == old.op and len(old.inputs) > 1:
        text = _of_widths(model, old, new, parts, call_ms)
    else:
        text = f"{', '.join(f'{name} {a} -> {b}' for name, a, b in parts)}: {_work(old, new)}"
    if nearer:
        text += f"; {data}"
    if abs(saved_ms) <= _NO_DIFFERENCE * was_ms:
        text += "; it makes no difference"
    elif saved_ms < 0:
        text += "; dearer all the same"
    work = new.macs / old.macs if old.macs else _bytes(new) / max(1, _bytes(old))
    return Reason(text, why(model, [(old, new)], [max(work, 1e-9)], call_ms).text)


def _changes(old: Layer, new: Layer) -> list[tuple[str, int, int]]:
    """What is called how in a layer, before and after; only what differs."""
    found = []
    if old.op in ("conv_2d", "fully_connected", "transpose_conv") and len(old.inputs) > 1:
        noun = "units" if old.op == "fully_connected" else "channels"
        found.append((f"output {noun}", _last(old.outputs), _last(new.outputs)))
        found.append(("inputs" if noun == "units" else "input channels", _read(old), _read(new)))
    else:
        found.append(("channels", _last(old.outputs), _last(new.outputs)))
        found.append(("input channels", _read(old), _read(new)))
        if found[0][1:] == found[1][1:]:
            found.pop()
    return [(name, a, b) for name, a, b in found if a != b]


def _last(tensors: Sequence[object]) -> int:
    shape = getattr(tensors[0], "shape", ()) if tensors else ()
    return int(shape[-1]) if shape else 1


def _read(layer: Layer) -> int:
    """Channels (or inputs of a fully connected layer) that a layer reads."""
    if layer.op == "fully_connected" and len(layer.inputs) > 1:
        return _last(layer.inputs[1:])
    return _last(layer.activations or layer.inputs)


def _bytes(layer: Layer) -> int:
    return layer.input_bytes + layer.output_bytes


def _work(old: Layer, new: Layer) -> str:
    """How much less there is to do: ``62% fewer multiplications``."""
    was, now, what = (
        (old.macs, new.macs, "multiplications") if old.macs else (_bytes(old), _bytes(new), "bytes to move")
    )
    if not was or now == was:
        return f"as many {what}"
    share = abs(now / was - 1)
    return f"{share:.0%} {'fewer' if now < was else 'more'} {what}"


def _of_widths(
    model: OperatorModel, old: Layer, new: Layer, parts: Sequence[tuple[str, int, int]], call_ms: float
) -> str:
    """Output and input widths told apart: first the output becomes narrower, then the input."""
    narrowed = with_width(old, width_of(new))
    times = model.predict_ms(geometry([old, narrowed, new]))
    saved = {True: float(times[0] - times[1]), False: float(times[1] - times[2])}
    whole = sum(saved.values())
    texts = []
    for name, a, b in parts:
        out = name in ("output channels", "output units", "channels")
        text = f"{name} {a} -> {b}: {_step(model, old, a, b, call_ms) if out else _fewer(a, b)}"
        if len(parts) > 1 and whole > 0 and saved[out] >= _MOST * whole:
            text += ", most of it"
        texts.append(text)
    return "; ".join(texts) if texts else _work(old, new)


def _fewer(before: int, after: int) -> str:
    share = abs(after / before - 1)
    return f"{share:.0%} {'fewer' if after < before else 'more'} multiplications"


def _step(model: OperatorModel, layer: Layer, before: int, after: int, call_ms: float) -> str:
    """Which step of the staircase over its output width a layer goes down."""
    wide = max(before, after)
    times = widths_ms(model, layer, wide + _BEYOND, call_ms)
    steps = steps_of(times)
    if not steps:
        return _fewer(before, after)
    low, high = tread(steps, before, len(times))
    alike = (
        "the same"
        if times[low - 1 : high].min() >= (1 - SAME) * times[low - 1 : high].max()
        else "nearly the same"
    )
    same = f" ({low} to {high} cost {alike})" if high < len(times) else ""
    down = [at for at in steps if min(before, after) < at <= wide]
    if not down:
        return f"within one tile of {high - low + 1}{same}"
    sizes = {1 + last - first for first, last in (tread(steps, at, len(times)) for at in down)}
    direction = "less" if after < before else "more"
    count = len(down)
    if len(sizes) == 1:
        return f"{count} tile{'s' if count > 1 else ''} of {sizes.pop()} {direction}{same}"
    return f"{count} steps {'down' if after < before else 'up'}{same}"


def widths_ms(model: OperatorModel, layer: Layer, most: int, call_ms: float = 0.0) -> np.ndarray:
    """Predicted time ``[most]`` of `layer` in ms with 1, 2, … output channels, without what a call costs."""
    layers = [with_width(layer, width) for width in range(1, most + 1)]
    return np.maximum(model.predict_ms(geometry(layers)) - call_ms, 0.0)


def steps_of(times_ms: np.ndarray) -> list[int]:
    """The widths at which a step begins: one channel more than before costs as much as several on average.

    Parameters
    ----------
    times_ms
        At widths 1, 2, … [n].

    >>> steps_of(np.array([1.0] * 8 + [2.0] * 8 + [3.0]))
    [9, 17]
    """
    widths = np.arange(2, len(times_ms) + 1)
    jumps = np.diff(times_ms) >= _STEEP * times_ms[1:] / widths
    return [int(width) for width in widths[jumps & (times_ms[1:] > 0)]]


def tread(steps: Sequence[int], width: int, most: int) -> tuple[int, int]:
    """The first and the last width of the step that `width` stands on; the last is `most` where no step follows."""
    low = max((at for at in steps if at <= width), default=1)
    return low, min((at - 1 for at in steps if at > width), default=most)
