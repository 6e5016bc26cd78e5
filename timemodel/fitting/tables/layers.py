"""From a line of a table to a layer: which sizes an operator needs, what stands in where a column is missing."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from profiler.errors import DataError
from profiler.network import Layer, Param, Tensor
from profiler.operators import Operator, operator, window_params, window_size
from profiler.tflite import OPERATORS
from timemodel.fitting.tables.csv_files import Csv, Record

_WINDOWED = ("convolution", "depthwise", "transposed", "pooling")
"""Kinds of rows (`Operator.row`) whose operators move a window over a plane."""
ACTIVATIONS = frozenset({"none", "relu", "relu6", "relu_n1_to_1", "tanh", "sigmoid", "sign_bit"})

DTYPES = {
    # data, weights, bias
    "float32": ("float32", "float32", "float32"),
    "float16": ("float16", "float16", "float16"),
    "float64": ("float64", "float64", "float64"),
    "bfloat16": ("bfloat16", "bfloat16", "bfloat16"),
    "dynamic_int8": ("float32", "int8", "float32"),
    "int8": ("int8", "int8", "int32"),
    "uint8": ("uint8", "uint8", "int32"),
    "int16": ("int16", "int8", "int64"),
}
"""Arithmetics that a table may name, and how data, weights and biases are stored."""

COLUMNS = (
    "op", "dtype", "batch", "in_height", "in_width", "in_channels", "out_height", "out_width", "out_channels",
    "kernel_height", "kernel_width", "stride_height", "stride_width", "dilation_height", "dilation_width",
    "padding", "groups", "bias", "activation",
)  # fmt: skip
"""Columns that say what a layer is; others are carried along and not looked at."""

_REPORTED = frozenset({"batch", "stride_height", "stride_width"})
"""Sizes whose stand-ins are reported where they are missing."""

_YES = ("", "1", "true", "yes", "1.0")
_NO = ("0", "false", "no", "0.0")


def read_layers(table: Csv) -> tuple[tuple[Layer, ...], dict[str, str]]:
    """The layers that `table` describes, and by column that is missing or empty what was taken in its place."""
    taken: dict[str, str] = {}
    return tuple(_Row(table, record, taken).layer() for record in table.records), taken


@dataclass(frozen=True)
class _Row:
    """Turns one record of a table into a layer, and notes in `taken` what it took for granted."""

    table: Csv
    record: Record
    taken: dict[str, str]

    def layer(self) -> Layer:
        """The layer that the record describes."""
        op = self._op()
        known = operator(op)
        data, stored, bias = DTYPES[self._choice("dtype", DTYPES, "float32")]
        batch = self._size("batch", 1)
        if known.row == "matrix":
            into, out = self._size("in_channels"), self._size("out_channels")
            operands = [Tensor((batch, into), data), Tensor((out, into), stored, True)]
            params: dict[str, Param] = {"activation": self._activation()}
            return self._multiplying(op, operands, Tensor((batch, out), data), bias, params)
        windowed = known.row in _WINDOWED
        height, width = (self._size(f"in_{axis}", None if windowed else 1) for axis in ("height", "width"))
        channels = self._size("in_channels")
        source = Tensor((batch, height, width, channels), data)
        if windowed:
            return self._windowed(known, source, stored, bias)
        if known.row == "binary":
            params = {"activation": self._activation()} if known.file.fuses_activation else {}
            return Layer(op, (source, source), (source,), params)
        if known.row == "reduction":
            axes, out_sizes = Tensor((2,), "int32", True), (batch, 1, 1, channels)
            return Layer(op, (source, axes), (Tensor(out_sizes, data),), {"axes": (1, 2)})
        if known.row == "concatenation":
            total = self._size("out_channels", 2 * channels)
            if total <= channels:
                raise self._fail(
                    f"{total} channels out of a concatenation of {channels} and more",
                    "give the channels of the first input and of the result",
                    "out_channels",
                )
            second = Tensor((batch, height, width, total - channels), data)
            joined = Tensor((batch, height, width, total), data)
            return Layer(op, (source, second), (joined,), {"axis": 3, "activation": "none"})
        out_height, out_width = self._size("out_height", height), self._size("out_width", width)
        sizes = (batch, out_height, out_width, self._size("out_channels", channels))
        return Layer(op, (source,), (Tensor(sizes, data),))

    def _windowed(self, known: Operator, source: Tensor, stored: str, bias: str) -> Layer:
        batch, height, width, channels = source.shape
        kernel = self._size("kernel_height"), self._size("kernel_width")
        stride = self._size("stride_height", 1), self._size("stride_width", 1)
        dilation = self._size("dilation_height", 1), self._size("dilation_width", 1)
        padding = self._choice("padding", ("same", "valid"), "same")
        transposed = known.row == "transposed"
        params = window_params(kernel, stride, None if transposed else dilation, padding, self._activation())
        if transposed:
            grown = [
                n * s + (max(k - s, 0) if padding == "valid" else 0)
                for n, k, s in zip((height, width), kernel, stride, strict=True)
            ]
        else:
            axes = zip((height, width), kernel, stride, dilation, strict=True)
            grown = [window_size(*axis, padding) for axis in axes]
            if min(grown) < 1:
                raise self._fail(
                    f"a {kernel[0]}x{kernel[1]} kernel does not fit into {height}x{width} without padding",
                    "check kernel, dilation and padding",
                )
        if known.row == "pooling":
            return Layer(known.name, (source,), (Tensor((batch, *grown, channels), source.dtype),), params)
        if known.row == "depthwise":
            out = self._size("out_channels", channels)
            self._check_multiple(out, channels, "out_channels")
            params["depth_multiplier"] = out // channels
            weights = Tensor((1, *kernel, out), stored, True)
        else:
            out, groups = self._size("out_channels"), self._size("groups", 1)
            for total in (channels, out):
                self._check_multiple(total, groups, "groups")
            weights = Tensor((out, *kernel, channels // groups), stored, True)
        result = Tensor((batch, *grown, out), source.dtype)
        operands = [Tensor((4,), "int32", True), weights, source] if transposed else [source, weights]
        return self._multiplying(known.name, operands, result, bias, params)

    def _multiplying(
        self, op: str, operands: list[Tensor], out: Tensor, bias: str, params: dict[str, Param]
    ) -> Layer:
        text = self.record.cells.get("bias", "").lower()
        if text not in (*_YES, *_NO):
            raise self._fail(f"{text!r} is no yes or no", "write 1 or 0", "bias")
        if text in _YES:
            operands = [*operands, Tensor((out.shape[-1],), bias, True)]
        return Layer(op, tuple(operands), (out,), params)

    def _fail(self, problem: str, mend: str, column: str | None = None) -> DataError:
        return self.table.fail(problem, mend, self.record.line, column)

    def _op(self) -> str:
        text = self.record.cells["op"]
        op = text.lower()
        if op in OPERATORS or (op.startswith("custom:") and len(op) > len("custom:")):
            return op
        near = _nearest(op, OPERATORS)
        mend = f"write {near}" if near else "take one of TFLite's, such as conv_2d, or custom:NAME"
        raise self._fail(f"{text!r} is no operator that edgetime knows", mend, "op")

    def _activation(self) -> str:
        text = self.record.cells.get("activation", "").lower()
        name = {"": "none", "linear": "none", "logistic": "sigmoid"}.get(text, text)
        if name not in ACTIVATIONS:
            mend = f"take one of {', '.join(sorted(ACTIVATIONS))}"
            raise self._fail(f"{text!r} is no activation that edgetime knows", mend, "activation")
        return name

    def _choice(self, column: str, choices: Collection[str], default: str) -> str:
        text = self.record.cells.get(column, "")
        if not text:
            self.taken[column] = default
            return default
        if text.lower() not in choices:
            raise self._fail(f"{text!r} is not known", f"take one of {', '.join(choices)}", column)
        return text.lower()

    def _size(self, column: str, default: int | None = None) -> int:
        """The size in `column`; without a `default` it must be there."""
        if default is not None and not self.record.cells.get(column):
            if column in _REPORTED:
                self.taken[column] = str(default)
            return default
        if column not in self.table.columns:
            raise self._fail(f"there is no column {column}, which {self.record.cells['op']} needs", "add it")
        return self.table.size(self.record, column)

    def _check_multiple(self, total: int, part: int, column: str) -> None:
        if total % part:
            raise self._fail(f"{total} channels are no multiple of {part}", "check the channels", column)


def _nearest(name: str, known: Iterable[str]) -> str | None:
    if name in ("convolution", "conv"):
        return "conv_2d"
    if name in ("dense", "linear"):
        return "fully_connected"
    plain = {other.replace("_", ""): other for other in known}
    found = difflib.get_close_matches(name.replace("_", ""), plain, n=1, cutoff=0.6)
    return plain[found[0]] if found else None
