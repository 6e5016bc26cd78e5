"""Why layers of two files that do the same work take different times, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from profiler.network import Layer, pattern_name
from timemodel.compare.graph import CONVERTS
from timemodel.model import SettingModel
from timemodel.runtime import EVERYTHING, OUTSIDE, SPLIT

_MOSTLY = 0.5


@dataclass(frozen=True)
class Reason:
    """`operators` names the work (``hard_swish``), `text` what is different about it; empty where nothing is."""

    operators: str
    text: str


def reason_of(
    setting: SettingModel, first: Sequence[Layer], second: Sequence[Layer], first_ms: float, second_ms: float
) -> Reason:
    """Why `second` take another time than `first`, layers that do the same work, one of them perhaps empty."""
    if not first or not second:
        layers = first or second
        where = "first" if first else "second"
        if all(layer.op in CONVERTS for layer in layers):
            return Reason(_ops(layers), f"conversions in the {where} file only")
        return Reason(_ops(layers), f"in the {where} file only")
    if len(first) == len(second) == 1:
        return Reason(second[0].op, _of_pair(setting, first[0], second[0]))
    one, other = _main(first), _main(second)
    text = f"{_ops(first)} in the first file, {_ops(second)} in the second"
    if one.dtype != other.dtype:
        text += f", in {other.dtype} in place of {one.dtype}"
    return Reason(other.op, text)


def _of_pair(setting: SettingModel, old: Layer, new: Layer) -> str:
    """What differs between two single layers."""
    if old == new:
        return ""
    words = []
    if old.op != new.op:
        words.append(f"in place of {old.op}")
    if old.dtype != new.dtype:
        words.append(f"{new.dtype} in place of {old.dtype}")
    elif [tensor.dtype for tensor in old.weights] != [tensor.dtype for tensor in new.weights]:
        words.append("weights of another number type")
    if _sizes(old) != _sizes(new):
        words.append(_work(old, new))
    if old.params.get("activation", "none") != new.params.get("activation", "none"):
        words.append(
            f"activation {new.params.get('activation', 'none')} in place of {old.params.get('activation', 'none')}"
        )
    return ", ".join(words or ["other options"]) + _kernels(setting, old, new)


def _kernels(setting: SettingModel, old: Layer, new: Layer) -> str:
    """What the runtime does otherwise with the second layer."""
    left = _left_out(setting, old), _left_out(setting, new)
    if left == (False, True):
        return ", which falls back to built-in kernels"
    if left == (True, False):
        return ", which no longer falls back to built-in kernels"
    split = _split(setting, old), _split(setting, new)
    if split == (False, True):
        return ", whose activation runs on its own"
    return ", whose activation no longer runs on its own" if split == (True, False) else ""


def _left_out(setting: SettingModel, layer: Layer) -> bool:
    """Whether the runtime's delegate leaves such layers to built-in kernels, at least mostly."""
    return any(
        rule.happens == OUTSIDE
        and rule.dtype == layer.dtype
        and rule.pattern in (layer.op, EVERYTHING)
        and rule.share >= _MOSTLY
        for rule in setting.terms.graph_rules
    )


def _split(setting: SettingModel, layer: Layer) -> bool:
    return layer.params.get("activation", "none") != "none" and any(
        rule.happens == SPLIT and rule.dtype == layer.dtype and rule.pattern == pattern_name(layer)
        for rule in setting.terms.graph_rules
    )


def _sizes(layer: Layer) -> list[tuple[int, ...]]:
    return [tensor.shape for tensor in (*layer.activations, *layer.outputs)]


def _work(old: Layer, new: Layer) -> str:
    """Only whether there is more or less to do, so that layers whose numbers differ count together."""
    before, after = (layer.macs or layer.input_bytes + layer.output_bytes for layer in (old, new))
    if before == after:
        return "other shapes"
    if old.macs:
        return f"{'fewer' if after < before else 'more'} multiplications"
    return f"{'less' if after < before else 'more'} data"


def _main(layers: Sequence[Layer]) -> Layer:
    return max(layers, key=lambda layer: (layer.macs, layer.op not in CONVERTS))


def _ops(layers: Sequence[Layer]) -> str:
    """``conv_2d + 2 mul``."""
    counts = Counter(layer.op for layer in layers)
    return " + ".join(f"{count} {op}" if count > 1 else op for op, count in counts.items())
