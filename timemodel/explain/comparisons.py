"""What a time model is asked: which choices of a designer are worth comparing, by operator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from profiler.network import Layer
from profiler.operators import operator
from timemodel.explain.finding import costs


@dataclass(frozen=True)
class DesignComparison:
    """Two ways to choose one thing, everything else being the same: `changed` and `usual` sizes of reference layers."""

    subject: str
    reference: str
    changed: Mapping[str, Any]
    usual: Mapping[str, Any]
    per: str = (
        ""  # the work that a fair comparison divides by: ``MAC``, ``element`` (see `elements`), or nothing
    )

    def cases(self, op: str, dtype: str) -> list[tuple[Layer, Layer]]:
        """Pairs (usual, changed) of reference layers."""
        layers = (operator(op).reference_layers(dtype, **sizes) for sizes in (self.usual, self.changed))
        return list(zip(*layers, strict=True))

    def in_words(self, effect: float) -> str:
        """How many times as much the changed layers cost, as a sentence."""
        return f"{self.subject} {costs(effect, f' per {self.per}' if self.per else '', self.reference)}"

    def work(self, usual: Layer, changed: Layer) -> float:
        """How much more work the changed layer is."""
        if self.per == "MAC":
            return changed.macs / max(usual.macs, 1)
        if self.per == "element":
            return elements(changed) / elements(usual)
        return 1.0


def elements(layer: Layer) -> int:
    """Elements that an operator walks over: of its result or of its largest operand, whichever is more."""
    return max(tensor.size for tensor in (*layer.activations, *layer.outputs))


def _one(
    name: str, subject: str, changed: Any, reference: str, usual: Any, per: str = ""
) -> DesignComparison:
    """Two values of one size."""
    return DesignComparison(subject, reference, {name: changed}, {name: usual}, per)


def _kernel(side: int) -> DesignComparison:
    return _one("kernel", f"a {side}x{side} kernel", side, "a 3x3", 3, "MAC")


def _few(name: str, words: str, number: int, per: str) -> DesignComparison:
    noun = words if number > 1 else words.removesuffix("s")
    return _one(name, f"having {number} {noun}", number, f"32 {words}", 32, per)


def _odd(name: str, words: str, per: str) -> DesignComparison:
    return _one(name, f"an odd number of {words} (33)", 33, "32", 32, per)


_STRIDE = _one("stride", "stride 2", 2, "stride 1", 1, "MAC")
_RELU, _RELU6 = (
    _one("activation", f"a fused {name}", name, "no activation", "none") for name in ("relu", "relu6")
)
_SHORT, _LONG = {"rows": 100, "columns": 10}, {"rows": 1, "columns": 1000}
_ROWS = DesignComparison("a batch of 100 short rows (of 10)", "one row of 1000", _SHORT, _LONG, "element")
_POOL = (
    _one("kernel", "a 3x3 window", 3, "a 2x2", 2),
    _odd("channels", "channels", "element"),
)
_BINARY = (
    _one("operand", "one value per channel", "per channel", "operands of one shape", "same shape"),
    _one("operand", "a single value", "single value", "operands of one shape", "same shape"),
    _RELU,
    _RELU6,
    _odd("channels", "channels", "element"),
    _few("channels", "channels", 3, "element"),
)
COMPARISONS: Mapping[str, tuple[DesignComparison, ...]] = {
    "conv_2d": (
        _kernel(1),
        _kernel(5),
        _kernel(7),
        _STRIDE,
        _one("dilation", "dilation 2", 2, "dilation 1", 1, "MAC"),
        *(_few("in_channels", "input channels", number, "MAC") for number in (1, 3, 8)),
        _odd("in_channels", "input channels", "MAC"),
        _one("side", "a map of 2x2", 2, "one of 16x16", 16, "MAC"),
        _one("side", "a map of 1x1", 1, "one of 16x16", 16, "MAC"),
        _RELU,
        _RELU6,
    ),
    "depthwise_conv_2d": (_kernel(5), _kernel(7), _STRIDE, _RELU, _RELU6),
    "fully_connected": (
        _one("rows", "one row", 1, "16 rows", 16, "MAC"),
        _odd("in_channels", "input channels", "MAC"),
        _RELU,
    ),
    "transpose_conv": (_kernel(2), _kernel(4)),
    "softmax": (_ROWS,),
    "concatenation": (_one("inputs", "joining six parts", 6, "two of the same size together", 2),),
    "mean": (_odd("channels", "channels", ""), _few("channels", "channels", 3, "")),
    **dict.fromkeys(("average_pool_2d", "max_pool_2d"), _POOL),
    **dict.fromkeys(("add", "mul", "sub", "div", "maximum", "minimum", "squared_difference"), _BINARY),
}
