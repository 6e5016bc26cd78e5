"""A `.tflite` network of common operators as TensorFlow operations, so that its weights can be trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from compressor.weights.line_compress.tensors import StoredTensor
from profiler.errors import UsageError
from profiler.network import Layer
from profiler.tflite import Buffer, read_model, read_network

_NUMBERS = {"float32": "<f4", "float16": "<f2", "int32": "<i4", "int64": "<i8", "int8": "i1"}


class Rebuilt:
    """The main graph of a `.tflite` with float inputs.

    Parameters
    ----------
    content
        The file.
    tensors
        Its stored tensors; int8 weights are taken as what they stand for.

    Raises
    ------
    UsageError
        It holds an operator that cannot be rebuilt, or computes in integers.
    """

    def __init__(self, content: bytes, tensors: Sequence[StoredTensor]) -> None:
        self.network = read_network(content)
        raw = read_model(Buffer(content)).graphs[0]
        self.inputs, self.outputs = raw.inputs, raw.outputs
        self.steps = list(zip(self.network.layers, self.network.edges, strict=True))
        for layer, edge in self.steps:
            if layer.op not in _OPERATIONS or edge.graph:
                raise UsageError(
                    f"Training cannot go through operator {layer.op!r}: use level dp, or leave --finetune-epochs out."
                )
        if any(raw.tensors[index].dtype != "float32" for index in (*self.inputs, *self.outputs)):
            raise UsageError(
                "Only networks that compute in float32 are trained: pack such a file, or use level dp."
            )
        self.by_start = {raw.tensors[i].data[0]: i for i in range(len(raw.tensors)) if raw.tensors[i].data[1]}
        self.constants: dict[int, npt.NDArray] = {}
        for index, tensor in enumerate(raw.tensors):
            start, nbytes = tensor.data
            if nbytes and tensor.dtype in _NUMBERS:
                dtype = np.dtype(_NUMBERS[tensor.dtype])
                values = np.frombuffer(content, dtype, nbytes // dtype.itemsize, start)
                self.constants[index] = values.reshape(tensor.shape)
        for stored in tensors:
            if stored.weights:
                self.constants[self.by_start[stored.start]] = in_place(stored, stored.read(content))

    def __call__(
        self,
        inputs: Sequence[Any],
        changed: Mapping[int, Any],
        passed: Callable[[int, Any], Any] = lambda index, value: value,
    ) -> list[Any]:
        """Outputs for a batch of each input.

        `changed` has tensors to take in place of constants; `passed` makes of a tensor's index and what was computed for it what
        operators read.
        """
        pairs = zip(self.inputs, inputs, strict=True)
        values: dict[int, Any] = {index: passed(index, given) for index, given in pairs}

        def value(index: int) -> Any:
            if index in changed:
                return changed[index]
            return values[index] if index in values else self.constants[index]

        for layer, edge in self.steps:
            operands = [value(index) if index >= 0 else None for index in edge.inputs]
            made = edge.outputs[0]
            values[made] = passed(made, _activated(_OPERATIONS[layer.op](layer, operands), layer))
        return [values[index] for index in self.outputs]


def in_place(tensor: StoredTensor, rows: npt.NDArray) -> npt.NDArray[np.float32]:
    """Rows [channels, weights of one] in the tensor's own shape, as float32."""
    if not tensor.order:
        return rows.reshape(tensor.shape).astype(np.float32)
    ordered = rows.reshape([tensor.shape[axis] for axis in tensor.order])
    return np.ascontiguousarray(ordered.transpose(np.argsort(tensor.order)), np.float32)


def _tf() -> Any:
    import tensorflow as tf

    return tf


def _activated(value: Any, layer: Layer) -> Any:
    name = str(layer.params.get("activation", "none"))
    tf = _tf()
    if name == "none":
        return value
    if name in ("relu", "relu6", "tanh"):
        return {"relu": tf.nn.relu, "relu6": tf.nn.relu6, "tanh": tf.tanh}[name](value)
    if name == "relu_n1_to_1":
        return tf.clip_by_value(value, -1.0, 1.0)
    raise UsageError(
        f"Training cannot go through activation {name!r}: use level dp, or leave --finetune-epochs out."
    )


def _windows(layer: Layer) -> dict[str, Any]:
    params = layer.params
    return {
        "strides": [1, params["stride_height"], params["stride_width"], 1],
        "padding": str(params["padding"]).upper(),
    }


def _dilations(layer: Layer) -> list[int]:
    return [int(layer.params.get(name, 1)) for name in ("dilation_height", "dilation_width")]  # type: ignore[arg-type]


def _biased(value: Any, operands: list[Any], slot: int = 2) -> Any:
    return value if len(operands) <= slot or operands[slot] is None else value + operands[slot]


def _conv_2d(layer: Layer, operands: list[Any]) -> Any:
    tf = _tf()
    kernel = tf.transpose(operands[1], [1, 2, 3, 0])
    made = tf.nn.conv2d(operands[0], kernel, dilations=[1, *_dilations(layer), 1], **_windows(layer))
    return _biased(made, operands)


def _depthwise(layer: Layer, operands: list[Any]) -> Any:
    tf = _tf()
    channels = int(operands[0].shape[-1])
    height, width, made = (int(n) for n in operands[1].shape[1:])
    kernel = tf.reshape(operands[1], [height, width, channels, made // channels])
    found = tf.nn.depthwise_conv2d(operands[0], kernel, dilations=_dilations(layer), **_windows(layer))
    return _biased(found, operands)


def _fully_connected(layer: Layer, operands: list[Any]) -> Any:
    tf = _tf()
    x = operands[0]
    if not layer.params.get("keep_dims", layer.params.get("keep_num_dims", False)):
        x = tf.reshape(x, [-1, int(operands[1].shape[1])])
    return _biased(tf.linalg.matmul(x, operands[1], transpose_b=True), operands)


def _pool(layer: Layer, operands: list[Any]) -> Any:
    tf = _tf()
    pool = tf.nn.avg_pool2d if layer.op == "average_pool_2d" else tf.nn.max_pool2d
    size = [1, layer.params["kernel_height"], layer.params["kernel_width"], 1]
    return pool(operands[0], size, **_windows(layer))


def _reshape(layer: Layer, operands: list[Any]) -> Any:
    shape = list(layer.outputs[0].shape)
    # The batch of the file is 1, that of training is not.
    return _tf().reshape(operands[0], [-1, *shape[1:]])


def _mean(layer: Layer, operands: list[Any]) -> Any:
    axes = [int(axis) for axis in np.asarray(operands[1]).reshape(-1)]
    return _tf().reduce_mean(operands[0], axes, keepdims=bool(layer.params.get("keep_dims", False)))


def _concatenation(layer: Layer, operands: list[Any]) -> Any:
    return _tf().concat(operands, int(layer.params["axis"]))  # type: ignore[arg-type]


def _softmax(layer: Layer, operands: list[Any]) -> Any:
    return _tf().nn.softmax(operands[0] * float(layer.params.get("beta", 1.0) or 1.0))  # type: ignore[arg-type]


_OPERATIONS: dict[str, Any] = {
    "conv_2d": _conv_2d,
    "depthwise_conv_2d": _depthwise,
    "fully_connected": _fully_connected,
    "average_pool_2d": _pool,
    "max_pool_2d": _pool,
    "reshape": _reshape,
    "squeeze": _reshape,
    "mean": _mean,
    "concatenation": _concatenation,
    "softmax": _softmax,
    "add": lambda layer, operands: operands[0] + operands[1],
    "sub": lambda layer, operands: operands[0] - operands[1],
    "mul": lambda layer, operands: operands[0] * operands[1],
    "pad": lambda layer, operands: _tf().pad(operands[0], np.asarray(operands[1])),
    "relu": lambda layer, operands: _tf().nn.relu(operands[0]),
    "relu6": lambda layer, operands: _tf().nn.relu6(operands[0]),
    "logistic": lambda layer, operands: _tf().sigmoid(operands[0]),
    "tanh": lambda layer, operands: _tf().tanh(operands[0]),
    "hard_swish": lambda layer, operands: operands[0] * _tf().nn.relu6(operands[0] + 3.0) / 6.0,
    "transpose": lambda layer, operands: _tf().transpose(operands[0], np.asarray(operands[1])),
}
