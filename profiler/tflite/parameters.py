"""From an operator's options and constant operands to `Layer.params`."""

from __future__ import annotations

from typing import NamedTuple

from profiler.network import Param
from profiler.tflite.flatbuffer import FlatbufferError, Table
from profiler.tflite.graph import (
    RawGraph,
    RawModel,
    RawOperator,
    RawTensor,
)
from profiler.tflite.schema import (
    ACTIVATIONS,
    OPTION_TYPES,
    OPTION_TYPES_2,
    OptionField,
)


class _Constant(NamedTuple):
    """An operand whose values are a parameter; `kind` is ``ints``, ``scalar``, ``axis`` or ``axes``."""

    slot: int
    name: str
    kind: str = "ints"


_AXES = (_Constant(1, "axes", "axes"),)
_CONSTANTS: dict[str, tuple[_Constant, ...]] = {
    "pad": (_Constant(1, "paddings"),),
    "padv2": (_Constant(1, "paddings"),),
    "mirror_pad": (_Constant(1, "paddings"),),
    "mean": _AXES,
    "sum": _AXES,
    "reduce_max": _AXES,
    "reduce_min": _AXES,
    "reduce_prod": _AXES,
    "reduce_any": _AXES,
    "reduce_all": _AXES,
    "reverse_v2": _AXES,
    "transpose": (_Constant(1, "perm"),),
    "strided_slice": (_Constant(1, "begin"), _Constant(2, "end"), _Constant(3, "strides")),
    "slice": (_Constant(1, "begin"), _Constant(2, "size")),
    "split": (_Constant(0, "axis", "axis"),),
    "split_v": (_Constant(1, "sizes"), _Constant(2, "axis", "axis")),
    "arg_max": (_Constant(1, "axis", "axis"),),
    "arg_min": (_Constant(1, "axis", "axis"),),
    "expand_dims": (_Constant(1, "axis", "axis"),),
    "cumsum": (_Constant(1, "axis", "axis"),),
    "tile": (_Constant(1, "multiples"),),
    "topk_v2": (_Constant(1, "k", "scalar"),),
    "one_hot": (_Constant(1, "depth", "scalar"),),
    "space_to_batch_nd": (_Constant(1, "block_shape"), _Constant(2, "paddings")),
    "batch_to_space_nd": (_Constant(1, "block_shape"), _Constant(2, "crops")),
}
_AXIS_OF_OUTPUT = frozenset({"concatenation", "pack", "one_hot", "expand_dims"})
_DATA_SLOT = {"split": 1, "transpose_conv": 2, "conv_3d_transpose": 2}
_AT_LEAST_ONE = (
    "kernel_depth", "kernel_height", "kernel_width", "stride_depth", "stride_height", "stride_width",
    "dilation_depth", "dilation_height", "dilation_width", "depth_multiplier", "block_size",
)  # fmt: skip
_KERNELS: dict[str, tuple[int, dict[str, int]]] = {
    op: (4, {"kernel_height": 1, "kernel_width": 2})
    for op in ("conv_2d", "depthwise_conv_2d", "transpose_conv")
} | {
    op: (5, {"kernel_depth": 0, "kernel_height": 1, "kernel_width": 2})
    for op in ("conv_3d", "conv_3d_transpose")
}
"""Dimensions of an operator's weights, and which of them are kernel sizes."""


def operator_params(model: RawModel, graph: RawGraph, operator: RawOperator) -> dict[str, Param]:
    """Parameters of one operator, under the names of `OPTION_TYPES` and of this module's table of constants.

    Axes come out non-negative. Constant operands that the runtime computes are left out.

    Raises
    ------
    FlatbufferError
        The options or shapes of the operator cannot be.
    """
    params = _options(operator)
    op = operator.op
    for slot, name, kind in _CONSTANTS.get(op, ()):
        tensor = _operand(graph, operator, slot)
        values = model.integers(tensor) if tensor is not None and tensor.stored else None
        if values is None:
            continue
        if kind in ("ints", "axes"):
            params[name] = values
        elif values:
            params[name] = values[0]
    _make_axes_positive(graph, operator, params)
    _kernel(graph, operator, params)
    if op == "reshape" and operator.outputs:
        params["new_shape"] = graph.tensors[operator.outputs[0]].shape
    if op == "depthwise_conv_2d" and not params.get("depth_multiplier"):
        params["depth_multiplier"] = _depth_multiplier(graph, operator)
    if op == "unidirectional_sequence_lstm":
        params.update(_lstm_parts(operator))
    for name in _AT_LEAST_ONE:
        value = params.get(name, 1)
        if not isinstance(value, int) or value < 1:
            raise FlatbufferError(f"an operator {op} has {name} {value}")
    return params


def _operand(graph: RawGraph, operator: RawOperator, slot: int) -> RawTensor | None:
    if slot >= len(operator.inputs) or operator.inputs[slot] < 0:
        return None
    return graph.tensors[operator.inputs[slot]]


def _options(operator: RawOperator) -> dict[str, Param]:
    kind, fields = OPTION_TYPES.get(operator.op, (0, ()))
    # As in the runtime, a table of another operator's options counts as none at all.
    table = operator.options if operator.options_type == kind else None
    if operator.op in OPTION_TYPES_2:
        kind, fields = OPTION_TYPES_2[operator.op]
        table = operator.options_2 if operator.options_2_type == kind else None
    params: dict[str, Param] = {}
    for field in fields:
        value = _option(table, field, operator.op)
        if not (field.quiet and value == field.default):
            params[field.name] = value
    return params


def _option(table: Table | None, field: OptionField, op: str) -> Param:
    slot, kind, _, default, _ = field
    if kind == "padding":
        code = table.int8(slot) if table else 0
        if code not in (0, 1):
            raise FlatbufferError(f"an operator {op} has the unknown padding {code}")
        return "valid" if code else "same"
    if kind == "activation":
        code = table.int8(slot) if table else 0
        if not 0 <= code < len(ACTIVATIONS):
            raise FlatbufferError(f"an operator {op} has the unknown activation {code}")
        return ACTIVATIONS[code]
    if table is None:
        return () if kind == "ints" else default
    if kind == "ints":
        return table.numbers(slot)
    if kind == "bool":
        return table.boolean(slot, bool(default))
    if kind == "float":
        value = table.float32(slot, float(default))
        # NaN is equal to nothing, itself included, so layers that hold it could not be compared.
        return value if value == value else 0.0
    reader = {"int": table.int32, "uint": table.uint32, "byte": table.int8}[kind]
    return reader(slot, int(default))


def _make_axes_positive(graph: RawGraph, operator: RawOperator, params: dict[str, Param]) -> None:
    if "axis" not in params and "axes" not in params:
        return
    op = operator.op
    if op in _AXIS_OF_OUTPUT:
        tensor = graph.tensors[operator.outputs[0]] if operator.outputs else None
    else:
        tensor = _operand(graph, operator, _DATA_SLOT.get(op, 0))
    if tensor is None:
        return
    rank = len(tensor.shape)
    axis, axes = params.get("axis"), params.get("axes")
    if isinstance(axis, int):
        params["axis"] = _positive(axis, rank, op)
    if isinstance(axes, tuple):
        if op == "squeeze" and not axes:
            axes = tuple(i for i, size in enumerate(tensor.shape) if size == 1)
        params["axes"] = tuple(sorted({_positive(a, rank, op) for a in axes}))


def _positive(axis: int, rank: int, op: str) -> int:
    if not -rank <= axis < max(rank, 1):
        raise FlatbufferError(f"an operator {op} works along axis {axis} of {rank}")
    return axis + rank if axis < 0 else axis


def _kernel(graph: RawGraph, operator: RawOperator, params: dict[str, Param]) -> None:
    """Kernel sizes, which the file has only as the shape of the weights."""
    if operator.op not in _KERNELS:
        return
    rank, axes = _KERNELS[operator.op]
    weights = _operand(graph, operator, 1)
    if weights is None or len(weights.shape) != rank:
        raise FlatbufferError(f"an operator {operator.op} has no weights of {rank} dimensions")
    data = _operand(graph, operator, _DATA_SLOT.get(operator.op, 0))
    if data is None or len(data.shape) != rank:
        raise FlatbufferError(f"an operator {operator.op} has no input of {rank} dimensions")
    for name, axis in axes.items():
        params[name] = weights.shape[axis]


def _depth_multiplier(graph: RawGraph, operator: RawOperator) -> int:
    """Some old files leave the multiplier out."""
    data, weights = _operand(graph, operator, 0), _operand(graph, operator, 1)
    if data is None or weights is None or not data.shape or not data.shape[-1]:
        return 0
    return weights.shape[-1] // data.shape[-1]


def _lstm_parts(operator: RawOperator) -> dict[str, Param]:
    """Which optional parts an LSTM has; the absent operands themselves are not among a layer's inputs."""
    present = {slot for slot, index in enumerate(operator.inputs) if index >= 0}
    parts: dict[str, Param] = {}
    if 1 not in present:
        parts["coupled_gates"] = True
    if present & {9, 10, 11}:
        parts["peephole"] = True
    if 16 in present:
        parts["projection"] = True
    if present & {20, 21, 22, 23}:
        parts["layer_norm"] = True
    return parts
