"""Why a layer of other widths takes less time: fewer steps of the staircase, fewer multiplications, nearer data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from profiler.network import Layer, Tensor
from profiler.operators import operator
from profiler.widths import width_of, with_width
from timemodel.explain.finding import why
from timemodel.features import geometry, kernel_of, kind_of
from timemodel.model import OperatorModel, SettingModel
from timemodel.staircases import step_around, step_ends, time_over_width

_SAME = 0.06
"""Widths of a step whose predicted times differ by less cost the same."""

_BEYOND = 130
"""How far beyond a width the end of its step is looked for: twice the widest tile."""

_MOST = 0.6
_NOTICED = 0.2
_NO_DIFFERENCE = 0.01


@dataclass(frozen=True)
class Reason:
    """Why a layer takes another time than before: ``output channels 40 -> 32: 1 tile of 32 less (33 to 64 cost the same)``."""

    text: str
    evidence: str = ""  # the leaf or split of the tree that prices the difference


def reason(
    setting: SettingModel | None,
    old: Layer,
    new: Layer,
    was_ms: float,
    saved_ms: float,
    nearer_ms: float = 0.0,
) -> Reason:
    """Why `new` takes `saved_ms` less than `old`, the same layer at another width, that took `was_ms` in its network.

    Without a `setting` only the widths are compared; `nearer_ms` is the part of `saved_ms` by data nearer in the cache.
    """
    nearer = abs(nearer_ms) >= _NOTICED * abs(saved_ms) and abs(nearer_ms) > _NO_DIFFERENCE * was_ms
    data = "its data is more often found in the cache" if nearer_ms > 0 else "more of its data left the cache"
    if old == new:
        return Reason(f"unchanged; {data}" if nearer else "unchanged")
    changes = _changes(old, new)
    widths = ", ".join(f"{name} {a} -> {b}" for name, a, b in changes)
    text = f"{widths}: {_work(old, new)}" if widths else _work(old, new)
    model = None if setting is None else setting.find(*kind_of(old))[0]
    if setting is None or not isinstance(model, OperatorModel):
        return Reason(text)
    call_ms = setting.terms.overhead_ms
    if operator(old.op).output_width and kernel_of(old) == old.op and len(old.inputs) > 1:
        text = _of_widths(model, old, new, changes, call_ms)
    if nearer:
        text += f"; {data}"
    if abs(saved_ms) <= _NO_DIFFERENCE * was_ms:
        text += "; it makes no difference"
    elif saved_ms < 0:
        text += "; slower all the same"
    work = new.macs / old.macs if old.macs else _bytes(new) / max(1, _bytes(old))
    return Reason(text, why(model, [(old, new)], [max(work, 1e-9)], call_ms).text)


def _changes(old: Layer, new: Layer) -> list[tuple[str, int, int]]:
    """The widths of a layer that differ: name, before, after."""
    output, read = (_channels(old.outputs), _channels(new.outputs)), (_read(old), _read(new))
    if old.op == "fully_connected" and len(old.inputs) > 1:
        widths = {"output units": output, "inputs": read}
    elif old.op in ("conv_2d", "transpose_conv") and len(old.inputs) > 1:
        widths = {"output channels": output, "input channels": read}
    else:
        widths = {"channels": output} | ({"input channels": read} if read != output else {})
    return [(name, a, b) for name, (a, b) in widths.items() if a != b]


def _channels(tensors: Sequence[Tensor]) -> int:
    return tensors[0].shape[-1] if tensors and tensors[0].shape else 1


def _read(layer: Layer) -> int:
    """Channels (or inputs of a fully connected layer) that a layer reads."""
    if layer.op == "fully_connected" and len(layer.inputs) > 1:
        return _channels(layer.inputs[1:])
    return _channels(layer.activations or layer.inputs)


def _bytes(layer: Layer) -> int:
    return layer.input_bytes + layer.output_bytes


def _work(old: Layer, new: Layer) -> str:
    """How much less there is to do: ``62% fewer multiplications``."""
    if old.macs:
        return _fewer(old.macs, new.macs, "multiplications")
    return _fewer(_bytes(old), _bytes(new), "bytes to move")


def _fewer(before: int, after: int, what: str = "multiplications") -> str:
    if not before or after == before:
        return f"as many {what}"
    return f"{abs(after / before - 1):.0%} {'fewer' if after < before else 'more'} {what}"


def _of_widths(
    model: OperatorModel, old: Layer, new: Layer, changes: Sequence[tuple[str, int, int]], call_ms: float
) -> str:
    """What output and input widths each do: first the output becomes narrower, then the input."""
    narrowed = with_width(old, width_of(new))
    times = model.predict_ms(geometry([old, narrowed, new]))
    saved_by_output, saved_by_input = float(times[0] - times[1]), float(times[1] - times[2])
    saved = saved_by_output + saved_by_input
    texts = []
    for name, a, b in changes:
        of_output = name in ("output channels", "output units", "channels")
        text = f"{name} {a} -> {b}: {_steps(model, old, a, b, call_ms) if of_output else _fewer(a, b)}"
        part = saved_by_output if of_output else saved_by_input
        if len(changes) > 1 and saved > 0 and part >= _MOST * saved:
            text += ", most of it"
        texts.append(text)
    return "; ".join(texts) if texts else _work(old, new)


def _steps(model: OperatorModel, layer: Layer, before: int, after: int, call_ms: float) -> str:
    """Which steps of the staircase over its output width a layer goes down, or up."""
    narrow, wide = min(before, after), max(before, after)
    times = time_over_width(model, layer, wide + _BEYOND, call_ms)
    ends = step_ends(times)
    if not ends:
        return _fewer(before, after)
    first, last = step_around(ends, before, len(times))
    on_step = times[first - 1 : last]
    alike = "the same" if on_step.min() >= (1 - _SAME) * on_step.max() else "nearly the same"
    same = f" ({first} to {last} cost {alike})" if last < len(times) else ""
    crossed = [end for end in ends if narrow <= end < wide]
    if not crossed:
        return f"within one tile of {last - first + 1}{same}"
    sizes = {high - low + 1 for low, high in (step_around(ends, end + 1, len(times)) for end in crossed)}
    count = len(crossed)
    if len(sizes) > 1:
        return f"{count} steps {'down' if after < before else 'up'}{same}"
    tiles = f"{count} tile{'s' if count > 1 else ''} of {sizes.pop()}"
    return f"{tiles} {'less' if after < before else 'more'}{same}"
