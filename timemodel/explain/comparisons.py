"""What a time model is asked: which choices of a designer are worth comparing, by operator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from profiler.network import Layer
from profiler.operators import operator


@dataclass(frozen=True)
class Contrast:
    """Two ways to choose one thing, everything else being the same.

    Parameters
    ----------
    subject, reference
        What is compared with what, in words that follow ``conv_2d:``.
    changed, usual
        Sizes of reference layers that differ on either side.
    per
        The work that a fair comparison divides by: ``MAC``, ``element`` (see `elements`), or nothing.
    """

    subject: str
    reference: str
    changed: Mapping[str, Any]
    usual: Mapping[str, Any]
    per: str = ""

    def cases(self, op: str, dtype: str) -> list[tuple[Layer, Layer]]:
        """Pairs (usual, changed) of ordinary layers."""
        recipe = operator(op).reference
        if recipe is None:
            return []
        return list(
            zip(recipe.layers(op, dtype, **self.usual), recipe.layers(op, dtype, **self.changed), strict=True)
        )

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


def _kernels(*others: Any) -> Iterator[Contrast]:
    for kernel in others:
        high, wide = (kernel, kernel) if isinstance(kernel, int) else kernel
        yield Contrast(f"a {high}x{wide} kernel", "a 3x3", {"kernel": kernel}, {"kernel": 3}, "MAC")


_FUSED = (
    Contrast("a fused relu", "no activation", {"activation": "relu"}, {"activation": "none"}),
    Contrast("a fused relu6", "no activation", {"activation": "relu6"}, {"activation": "none"}),
)


def _few(name: str, words: str, few: tuple[int, ...], per: str) -> Iterator[Contrast]:
    for number in few:
        noun = words if number > 1 else words.removesuffix("s")
        yield Contrast(f"having {number} {noun}", f"32 {words}", {name: number}, {name: 32}, per)


def _odd(name: str, words: str, per: str) -> Contrast:
    return Contrast(f"an odd number of {words} (33)", "32", {name: 33}, {name: 32}, per)


_MAPS = (
    Contrast("a map of 2x2", "one of 16x16", {"side": 2}, {"side": 16}, "MAC"),
    Contrast("a map of 1x1", "one of 16x16", {"side": 1}, {"side": 16}, "MAC"),
)
_OPERANDS = (
    Contrast(
        "one value per channel",
        "operands of one shape",
        {"operand": "per channel"},
        {"operand": "same shape"},
    ),
    Contrast(
        "a single value", "operands of one shape", {"operand": "single value"}, {"operand": "same shape"}
    ),
)
_CONTRASTS: Mapping[str, tuple[Contrast, ...]] = {
    "conv_2d": (
        *_kernels(1, 5, 7),
        Contrast("stride 2", "stride 1", {"stride": 2}, {"stride": 1}, "MAC"),
        Contrast("dilation 2", "dilation 1", {"dilation": 2}, {"dilation": 1}, "MAC"),
        *_few("in_channels", "input channels", (1, 3, 8), "MAC"),
        _odd("in_channels", "input channels", "MAC"),
        *_MAPS,
        *_FUSED,
    ),
    "depthwise_conv_2d": (
        *_kernels(5, 7),
        Contrast("stride 2", "stride 1", {"stride": 2}, {"stride": 1}, "MAC"),
        *_FUSED,
    ),
    "fully_connected": (
        Contrast("one row", "16 rows", {"rows": 1}, {"rows": 16}, "MAC"),
        _odd("in_channels", "input channels", "MAC"),
        _FUSED[0],
    ),
    "transpose_conv": (*_kernels(2, 4),),
    "softmax": (
        Contrast(
            "a batch of 100 short rows (of 10)",
            "one row of 1000",
            {"rows": 100, "columns": 10},
            {"rows": 1, "columns": 1000},
            "element",
        ),
    ),
    "concatenation": (
        Contrast("joining six parts", "two of the same size together", {"inputs": 6}, {"inputs": 2}),
    ),
    "mean": (_odd("channels", "channels", ""), *_few("channels", "channels", (3,), "")),
}
for _op in ("average_pool_2d", "max_pool_2d"):
    _CONTRASTS = {
        **_CONTRASTS,
        _op: (
            Contrast("a 3x3 window", "a 2x2", {"kernel": 3}, {"kernel": 2}),
            _odd("channels", "channels", "element"),
        ),
    }
for _op in ("add", "mul", "sub", "div", "maximum", "minimum", "squared_difference"):
    _CONTRASTS = {
        **_CONTRASTS,
        _op: (
            *_OPERANDS,
            *_FUSED,
            _odd("channels", "channels", "element"),
            *_few("channels", "channels", (3,), "element"),
        ),
    }


def contrasts_of(op: str) -> tuple[Contrast, ...]:
    """What is worth asking about `op`."""
    return _CONTRASTS.get(op, ())
