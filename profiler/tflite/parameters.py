"""From an operator's options and constant operands to `Layer.params`."""

from __future__ import annotations

from profiler.network import Param
from profiler.operators import Operator, OptionField, operator
from profiler.tflite.flatbuffer import FlatbufferError, Table
from profiler.tflite.graph import RawGraph, RawModel, RawOperator, RawTensor
from profiler.tflite.schema import ACTIVATIONS

_CODED = {"padding": ("same", "valid"), "activation": ACTIVATIONS}
_AT_LEAST_ONE = (
    "kernel_depth", "kernel_height", "kernel_width", "stride_depth", "stride_height", "stride_width",
    "dilation_depth", "dilation_height", "dilation_width", "depth_multiplier", "block_size",
)  # fmt: skip

_WITHOUT_RESULT = ("call_once", "assign_variable", "hashtable", "while", "if", "call", "custom", "stablehlo")
"""Operators that may give nothing, or of which it is not known."""


def operator_params(model: RawModel, graph: RawGraph, stored: RawOperator) -> dict[str, Param]:
    """Parameters of one operator, under the names that `profiler.operators` has for them.

    Axes come out non-negative; constant operands that the runtime computes are left out. What cannot be is a FlatbufferError.
    """
    if not stored.outputs and not stored.op.startswith(_WITHOUT_RESULT):
        raise FlatbufferError(f"an operator {stored.op} gives no result")
    known = operator(stored.op)
    params = _options(known, stored)
    if known.file.read_custom is not None and stored.custom:
        params |= known.file.read_custom(stored.custom)
    for slot, name, kind in known.file.stored:
        tensor = _operand(graph, stored, slot)
        values = model.integers(tensor) if tensor is not None and tensor.stored else None
        if values is None:
            continue
        if kind in ("ints", "axes"):
            params[name] = values
        elif values:
            params[name] = values[0]
    _make_axes_positive(known, graph, stored, params)
    _kernel(known, graph, stored, params)
    if known.file.complete:
        tensors = (_operand(graph, stored, slot) for slot in range(len(stored.inputs)))
        inputs = [None if tensor is None else tensor.shape for tensor in tensors]
        known.file.complete(params, inputs, [graph.tensors[i].shape for i in stored.outputs])
    for name in _AT_LEAST_ONE:
        value = params.get(name, 1)
        if not isinstance(value, int) or value < 1:
            raise FlatbufferError(f"an operator {stored.op} has {name} {value}")
    return params


def _operand(graph: RawGraph, stored: RawOperator, slot: int) -> RawTensor | None:
    if slot >= len(stored.inputs) or stored.inputs[slot] < 0:
        return None
    return graph.tensors[stored.inputs[slot]]


def _options(known: Operator, stored: RawOperator) -> dict[str, Param]:
    number, table = stored.options_type, stored.options
    if known.file.second_union:
        number, table = stored.options_2_type, stored.options_2
    if number != known.file.options:
        # As in the runtime, a table of another operator's options counts as none at all.
        table = None
    params: dict[str, Param] = {}
    for field in known.file.fields:
        value = _option(table, field, stored.op)
        if not (field.quiet and value == field.default):
            params[field.name] = value
    return params


def _option(table: Table | None, field: OptionField, op: str) -> Param:
    slot, kind, _, default, _ = field
    if kind in _CODED:
        code = table.integer(slot, "b") if table else 0
        if not 0 <= code < len(_CODED[kind]):
            raise FlatbufferError(f"an operator {op} has the unknown {kind} {code}")
        return _CODED[kind][code]
    if table is None:
        return () if kind == "ints" else "" if kind == "text" else default
    if kind == "ints":
        return table.numbers(slot)
    if kind == "text":
        return table.string(slot)
    if kind == "bool":
        return table.boolean(slot, bool(default))
    if kind == "float":
        value = table.float32(slot, float(default))
        # NaN is equal to nothing, itself included, so layers that hold it could not be compared.
        return value if value == value else 0.0
    return table.integer(slot, {"int": "i", "uint": "I", "byte": "b"}[kind], int(default))


def _make_axes_positive(
    known: Operator, graph: RawGraph, stored: RawOperator, params: dict[str, Param]
) -> None:
    axis, axes = params.get("axis"), params.get("axes")
    tensor = _operand(graph, stored, known.file.data_slot)
    if known.file.axis_of_output:
        tensor = graph.tensors[stored.outputs[0]] if stored.outputs else None
    if tensor is None:
        return
    rank = len(tensor.shape)
    if isinstance(axis, int):
        params["axis"] = _positive(axis, rank, stored.op)
    if isinstance(axes, tuple):
        params["axes"] = tuple(sorted({_positive(a, rank, stored.op) for a in axes}))


def _positive(axis: int, rank: int, op: str) -> int:
    if not -rank <= axis < max(rank, 1):
        raise FlatbufferError(f"an operator {op} works along axis {axis} of {rank}")
    return axis + rank if axis < 0 else axis


def _kernel(known: Operator, graph: RawGraph, stored: RawOperator, params: dict[str, Param]) -> None:
    """Kernel sizes, which the file has only as the shape of the weights."""
    names = known.file.kernel
    if not names:
        return
    weights = _operand(graph, stored, 1)
    if weights is None or len(weights.shape) != len(names):
        raise FlatbufferError(f"an operator {stored.op} has no weights of {len(names)} dimensions")
    data = _operand(graph, stored, known.file.data_slot)
    if data is None or len(data.shape) != len(names):
        raise FlatbufferError(f"an operator {stored.op} has no input of {len(names)} dimensions")
    for name, size in zip(names, weights.shape, strict=True):
        if name:
            params[name] = size
