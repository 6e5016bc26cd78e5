"""From a line of a table to a layer: which sizes an operator needs, what stands in where a column is missing."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field

from profiler.network import Layer, Param, Tensor
from profiler.operators import Operator, operator, window_size
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

_YES = {
    "1": True,
    "true": True,
    "yes": True,
    "1.0": True,
    "0": False,
    "false": False,
    "no": False,
    "0.0": False,
}


@dataclass
class Reader:
    """Turns records of one table into layers, and remembers what it took for granted.

    Parameters
    ----------
    taken
        By column that is missing or empty: what was taken in its place.
    """

    table: Csv
    taken: dict[str, str] = field(default_factory=dict)

    def layer(self, record: Record) -> Layer:
        """The layer that `record` describes.

        Raises
        ------
        DataError
            An unknown operator, or a size that is missing or none.
        """
        op = self._op(record)
        known = operator(op)
        data, stored, bias = DTYPES[self._dtype(record)]
        batch = self._size(record, "batch", 1)
        if known.row == "matrix":
            into, out = self._needed(record, "in_channels"), self._needed(record, "out_channels")
            operands = [Tensor((batch, into), data), Tensor((out, into), stored, True)]
            params: dict[str, Param] = {"activation": self._activation(record)}
            return self._multiplying(record, op, operands, Tensor((batch, out), data), bias, params)
        height, width = (self._size(record, f"in_{axis}", 1) for axis in ("height", "width"))
        if known.row in _WINDOWED:
            height, width = self._needed(record, "in_height"), self._needed(record, "in_width")
        channels = self._needed(record, "in_channels")
        source = Tensor((batch, height, width, channels), data)
        if known.row in _WINDOWED:
            return self._windowed(record, known, source, stored, bias)
        if known.row == "binary":
            params = {"activation": self._activation(record)} if known.file.fuses_activation else {}
            return Layer(op, (source, source), (source,), params)
        if known.row == "reduction":
            out_sizes = (batch, 1, 1, channels)
            return Layer(
                op, (source, Tensor((2,), "int32", True)), (Tensor(out_sizes, data),), {"axes": (1, 2)}
            )
        if known.row == "concatenation":
            total = self._size(record, "out_channels", 2 * channels)
            if total <= channels:
                raise self.table.fail(
                    f"{total} channels out of a concatenation of {channels} and more",
                    "give the channels of the first input and of the result",
                    record.line, "out_channels",
                )  # fmt: skip
            second = Tensor((batch, height, width, total - channels), data)
            joined = Tensor((batch, height, width, total), data)
            return Layer(op, (source, second), (joined,), {"axis": 3, "activation": "none"})
        sizes = (
            batch,
            self._size(record, "out_height", height),
            self._size(record, "out_width", width),
            self._size(record, "out_channels", channels),
        )
        return Layer(op, (source,), (Tensor(sizes, data),))

    def _windowed(self, record: Record, known: Operator, source: Tensor, stored: str, bias: str) -> Layer:
        batch, height, width, channels = source.shape
        kernel = self._needed(record, "kernel_height"), self._needed(record, "kernel_width")
        stride = self._size(record, "stride_height", 1), self._size(record, "stride_width", 1)
        dilation = self._size(record, "dilation_height", 1), self._size(record, "dilation_width", 1)
        padding = self._choice(record, "padding", ("same", "valid"), "same")
        activation = self._activation(record)
        params: dict[str, Param] = {
            "kernel_height": kernel[0], "kernel_width": kernel[1], "stride_height": stride[0],
            "stride_width": stride[1], "padding": padding, "activation": activation,
        }  # fmt: skip
        if known.row == "transposed":
            grown = [
                n * s + (max(k - s, 0) if padding == "valid" else 0)
                for n, k, s in zip((height, width), kernel, stride, strict=True)
            ]
        else:
            params |= {"dilation_height": dilation[0], "dilation_width": dilation[1]}
            grown = [
                window_size(n, k, s, d, padding)
                for n, k, s, d in zip((height, width), kernel, stride, dilation, strict=True)
            ]
            if min(grown) < 1:
                raise self.table.fail(
                    f"a {kernel[0]}x{kernel[1]} kernel does not fit into {height}x{width} without padding",
                    "check kernel, dilation and padding",
                    record.line,
                )
        if known.row == "pooling":
            return Layer(known.name, (source,), (Tensor((batch, *grown, channels), source.dtype),), params)
        if known.row == "depthwise":
            out = self._size(record, "out_channels", channels)
            self._whole_multiple(record, out, channels, "out_channels")
            params["depth_multiplier"] = out // channels
            weights = Tensor((1, *kernel, out), stored, True)
        else:
            out = self._needed(record, "out_channels")
            groups = self._size(record, "groups", 1) if "groups" in self.table.columns else 1
            for total in (channels, out):
                self._whole_multiple(record, total, groups, "groups")
            weights = Tensor((out, *kernel, channels // groups), stored, True)
        result = Tensor((batch, *grown, out), source.dtype)
        operands = [source, weights]
        if known.row == "transposed":
            operands = [Tensor((4,), "int32", True), weights, source]
        return self._multiplying(record, known.name, operands, result, bias, params)

    def _multiplying(
        self,
        record: Record,
        op: str,
        operands: list[Tensor],
        out: Tensor,
        bias: str,
        params: dict[str, Param],
    ) -> Layer:
        text = record.cells.get("bias", "").lower()
        if text and text not in _YES:
            raise self.table.fail(f"{text!r} is no yes or no", "write 1 or 0", record.line, "bias")
        if _YES.get(text, True):
            operands = [*operands, Tensor((out.shape[-1],), bias, True)]
        return Layer(op, tuple(operands), (out,), params)

    def _op(self, record: Record) -> str:
        text = record.cells["op"]
        op = text.lower()
        if op in OPERATORS or (op.startswith("custom:") and len(op) > len("custom:")):
            return op
        near = _nearest(op, OPERATORS)
        mend = f"write {near}" if near else "take one of TFLite's, such as conv_2d, or custom:NAME"
        raise self.table.fail(f"{text!r} is no operator that edgetime knows", mend, record.line, "op")

    def _dtype(self, record: Record) -> str:
        return self._choice(record, "dtype", tuple(DTYPES), "float32")

    def _activation(self, record: Record) -> str:
        text = record.cells.get("activation", "").lower()
        synonyms = {"": "none", "linear": "none", "logistic": "sigmoid"}
        name = synonyms.get(text, text)
        if name not in ACTIVATIONS:
            raise self.table.fail(
                f"{text!r} is no activation that edgetime knows",
                f"take one of {', '.join(sorted(ACTIVATIONS))}",
                record.line, "activation",
            )  # fmt: skip
        return name

    def _choice(self, record: Record, column: str, choices: tuple[str, ...], default: str) -> str:
        text = record.cells.get(column, "").lower()
        if not text:
            self.taken[column] = default
            return default
        if text not in choices:
            raise self.table.fail(
                f"{record.cells[column]!r} is not known",
                f"take one of {', '.join(choices)}",
                record.line,
                column,
            )
        return text

    def _size(self, record: Record, column: str, default: int) -> int:
        if not record.cells.get(column):
            if column in _REPORTED:
                self.taken[column] = str(default)
            return default
        return self.table.size(record, column)

    def _needed(self, record: Record, column: str) -> int:
        if column not in self.table.columns:
            raise self.table.fail(
                f"there is no column {column}, which {record.cells['op']} needs", "add it", record.line
            )
        return self.table.size(record, column)

    def _whole_multiple(self, record: Record, total: int, part: int, column: str) -> None:
        if total % part:
            raise self.table.fail(
                f"{total} channels are no multiple of {part}", "check the channels", record.line, column
            )


def _nearest(name: str, known: Iterable[str]) -> str | None:
    plain = {other.replace("_", ""): other for other in known}
    usual = {
        "convolution": "conv_2d",
        "conv": "conv_2d",
        "dense": "fully_connected",
        "linear": "fully_connected",
    }
    if name in usual:
        return usual[name]
    found = difflib.get_close_matches(name.replace("_", ""), plain, n=1, cutoff=0.6)
    return plain[found[0]] if found else None
