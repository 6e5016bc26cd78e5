"""Keras to TFLite in memory, by one of `RECIPES`.

Which quantiser does what was chosen by running both (tensorflow 2.21, ai-edge-quantizer 0.10): *int8, int16* and
*float16* are TensorFlow's own, which agrees better with Keras, can do unrolled recurrent layers and leaves inputs and
outputs in float32; *dynamic* is too, whose convolutions run 2.6x faster, but where it changes nothing (it leaves weights
of less than 1,024 elements alone) ai-edge-quantizer does it, as it does the modes of weights alone. Integer modes need
recurrent layers unrolled: on a loop TensorFlow's quantiser crashes the process, and ai-edge-quantizer leaves the loop in
float.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from compressor.data import Data, StoredRows, evenly
from compressor.export.child import CrashedError, in_child
from compressor.export.freezing import (
    Specs,
    argument_names,
    attention_over_one_channel,
    freeze,
    has_loop,
    is_recurrent,
    with_own_biases,
    without_overflow,
)
from compressor.export.keras_files import InputShape, in_float32, input_specs, load_keras
from compressor.export.silence import last_complaint, quiet, require, tensorflow
from profiler.errors import DataError, EdgetimeError, ModelFileError, UsageError
from profiler.operators import operator as known_operator
from profiler.tflite import Buffer, FlatbufferError, RawGraph, RawModel, RawOperator, read_model

RECIPES = {
    "none": "float32",
    "float16": "weights in half the size, made float32 again when the file is loaded",
    "dynamic": "int8 weights; activations stay float32 in the file and become int8 within each operator",
    "int8": "int8 weights and activations; needs --calibration",
    "int16": "int8 weights, int16 activations; needs --calibration",
    "weight-int8": "int8 weights that are float32 once loaded: small, slower than float32 where XNNPACK leaves such layers alone",
    "weight-int4": "int4 weights with a scale per channel, as weight-int8: smallest",
    "dynamic-int4": "as dynamic with int4 weights, in fully connected layers with a scale for every 32; depthwise ones stay int8",
}
"""What `quantize` may be, and what becomes integer, what stays and what it needs."""

CALIBRATED = ("int8", "int16")
"""Modes that need calibration data."""

_WEIGHT_BITS = {"weight-int8": 8, "weight-int4": 4}
"""Modes that store weights in fewer bits and compute in floats."""

WEIGHTS_ALONE = (*_WEIGHT_BITS, "dynamic-int4")
"""Modes that ai-edge-quantizer makes of the float32 file without typical inputs."""

_BLOCK = 32
"""Weights that share a scale where it is one per block."""

CALIBRATION_ROWS = 200
"""Rows that calibration looks at, drawn evenly from all that are given."""

Inputs = Mapping[str, npt.NDArray]
"""Input name -> rows [rows, ...]."""


def to_tflite_bytes(
    model: Any,
    quantize: str = "none",
    calibration: Data | npt.NDArray | Inputs | None = None,
    *,
    io: str = "float32",
    input_shape: InputShape | None = None,
) -> bytes:
    """Convert a Keras model, or its ``.keras`` file, to TFLite of batch 1, without checking what comes out (`export` does).

    Arguments are those of `export`. Raises UsageError for options that cannot be or missing calibration data,
    ModelFileError where the file cannot be read, and EdgetimeError where TFLite cannot express the network.
    """
    check_options(quantize, io, calibration is not None)
    if isinstance(model, (str, os.PathLike)):
        name, model = str(model), load_keras(model)
    else:
        name = f"The model '{getattr(model, 'name', 'model')}'"
    model = in_float32(model)
    specs = input_specs(model, input_shape)
    rows = calibration_rows(calibration, specs) if quantize in CALIBRATED and calibration is not None else {}
    tensorflow()
    trouble: Exception | None = None
    with quiet() as chatter:
        try:
            return _convert(model, specs, quantize, _each(rows), io)
        except EdgetimeError:
            raise
        except Exception as error:  # the converter's errors have no common type
            trouble = error
    assert trouble is not None
    way_out = "try --quantize dynamic or int8" if quantize == "int16" else "replace that part"
    complaint = f"{last_complaint(chatter.text, trouble)}; {way_out}"
    single = attention_over_one_channel(model)
    if single:
        complaint = f"TensorFlow's converter fails on attention over a single channel ({single}); give its input two or more"
    mode = "" if quantize == "none" else f" with --quantize {quantize}"
    raise EdgetimeError(f"{name} cannot be converted to TFLite{mode}: {complaint}.") from trouble


def convert_named(model: Any, specs: Specs, quantize: str, samples: Sequence[Inputs]) -> bytes:
    """Convert a Keras model of fixed shapes, batches included, to TFLite; inputs and outputs stay float32.

    Parameters
    ----------
    model
        Built from inputs of fixed shapes.
    specs
        Shape and type of each input.
    quantize
        One of `MODES`.
    samples
        For modes that are calibrated: arrays of the inputs' shapes, by name.

    Raises
    ------
    EdgetimeError
        TFLite cannot express it.
    """
    tensorflow()
    trouble: Exception | None = None
    with quiet() as chatter:
        try:
            return _convert(model, specs, quantize, samples, "float32")
        except EdgetimeError:
            raise
        except Exception as error:  # the converter's errors have no common type
            trouble = error
    complaint = last_complaint(chatter.text, trouble)
    raise EdgetimeError(f"The model '{model.name}' cannot be converted to TFLite: {complaint}.") from trouble


def check_options(quantize: str, io: str, calibrated: bool) -> None:
    """Refuse modes that do not exist or do not go together, by UsageError."""
    if quantize not in RECIPES:
        raise UsageError(f"--quantize {quantize} is unknown: choose one of {', '.join(RECIPES)}.")
    if io not in ("float32", "int8"):
        raise UsageError(f"--io {io} is unknown: choose float32 or int8.")
    if io == "int8" and quantize != "int8":
        raise UsageError(f"--io int8 goes with --quantize int8, not with {quantize}: leave --io out.")
    if quantize in CALIBRATED and not calibrated:
        raise UsageError(
            f"--quantize {quantize} needs typical inputs to find the ranges of activations: "
            "give them with --calibration D.npz."
        )


def calibration_rows(
    calibration: Data | npt.NDArray | Inputs, specs: Specs, most: int = CALIBRATION_ROWS
) -> Inputs:
    """At most `most` rows of each input, spread evenly over all; DataError where they do not fit the inputs."""
    source = calibration.source if isinstance(calibration, Data) else "The calibration data"
    if isinstance(calibration, Data):
        calibration = calibration.x
    if not isinstance(calibration, Mapping):
        if len(specs) > 1:
            raise DataError(f"{source} has one array, but the network has the inputs {', '.join(specs)}.")
        calibration = {next(iter(specs)): cast(npt.NDArray, calibration)}
    chosen: dict[str, npt.NDArray] = {}
    for name, (shape, dtype) in specs.items():
        if name not in calibration:
            raise DataError(f"{source} has no rows for input '{name}': save an array of that name.")
        rows = calibration[name]
        rows = rows if isinstance(rows, StoredRows) else np.asarray(rows)
        if not len(rows):
            raise DataError(f"{source} has no rows: give some hundred typical inputs.")
        if rows.shape[1:] != shape[1:]:
            raise DataError(
                f"{source}: rows have shape {rows.shape[1:]}, but input '{name}' takes {shape[1:]}: "
                "reshape them."
            )
        chosen[name] = rows[evenly(rows, most)].astype(dtype, copy=False)
    return chosen


def _each(rows: Inputs) -> list[Inputs]:
    """Rows one by one, each as a batch of one."""
    count = len(next(iter(rows.values()), ()))
    return [{name: array[index : index + 1] for name, array in rows.items()} for index in range(count)]


def _convert(model: Any, specs: Specs, quantize: str, samples: Sequence[Inputs], io: str) -> bytes:
    unroll = quantize in CALIBRATED and is_recurrent(model)
    function = freeze(model, specs, unroll)
    if quantize in CALIBRATED and has_loop(function):
        raise EdgetimeError(
            f"--quantize {quantize} cannot be done on this network: a loop remains that cannot be unrolled; "
            "use --quantize dynamic, which keeps activations in float32."
        )
    if quantize in CALIBRATED:
        function = without_overflow(function)
    if quantize == "int16":
        function = with_own_biases(function)
    if quantize in WEIGHTS_ALONE:
        return quantize_weights(_with_tensorflow(function, "none", samples, io), quantize)
    converted = _with_tensorflow(function, quantize, samples, io)
    if quantize == "dynamic" and not read_types(converted, quantize).quantized:
        return quantize_weights(_with_tensorflow(function, "none", samples, io), quantize)
    return converted


def _with_tensorflow(function: Any, quantize: str, samples: Sequence[Inputs], io: str) -> bytes:
    tf = tensorflow()
    # The empty module makes the converter take its current path, which also writes a signature.
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], tf.Module())
    if quantize != "none":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantize == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if quantize in CALIBRATED:
        ops = tf.lite.OpsSet
        kernels = (
            ops.TFLITE_BUILTINS_INT8
            if quantize == "int8"
            else ops.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        )
        # What has no integer kernel stays in float; the check names it.
        converter.target_spec.supported_ops = [kernels, ops.TFLITE_BUILTINS]
        # On ranges that are not finite, and on some operators, TensorFlow's quantiser ends the process.
        quantise = converter._quantize
        converter._quantize = lambda *given: in_child(lambda: bytes(quantise(*given)))
        names = argument_names(samples[0])
        converter.representative_dataset = lambda: (
            {names[name]: array for name, array in sample.items()} for sample in samples
        )
    if io == "int8":
        converter.inference_input_type = tf.int8
        converter.inference_output_type = tf.int8
    try:
        return bytes(converter.convert())
    except CrashedError as error:
        raise EdgetimeError(
            f"TensorFlow's quantiser crashed ({error}) on this network with --quantize {quantize}: try --quantize dynamic, which "
            "needs no ranges of activations, or give --calibration rows of ordinary size."
        ) from error


def quantize_weights(content: bytes, quantize: str) -> bytes:
    """Quantise the weights of a float32 `.tflite`, without its activations: ``dynamic`` or one of `WEIGHTS_ALONE`."""
    require("ai_edge_quantizer")
    from ai_edge_quantizer import qtyping, quantizer

    maker = quantizer.Quantizer(content)
    operation = qtyping.TFLOperationName
    if quantize in _WEIGHT_BITS:
        maker.add_weight_only_config(".*", operation.ALL_SUPPORTED, _WEIGHT_BITS[quantize])
    else:
        maker.add_dynamic_config(".*", operation.ALL_SUPPORTED, 8)
    if quantize == "dynamic-int4":
        # Per block it can do fully connected layers alone, and int4 no depthwise ones (0.10).
        maker.add_dynamic_config(".*", operation.CONV_2D, 4)
        for scope in _of_whole_blocks(content):
            maker.add_dynamic_config(
                f"^{re.escape(scope)}$",
                operation.FULLY_CONNECTED,
                4,
                granularity=qtyping.QuantGranularity.BLOCKWISE_32,
            )
    made = maker.quantize(enable_progress_bar=False, enable_progress_report=False).quantized_model
    if made is None:
        raise EdgetimeError("ai-edge-quantizer gave no model back: use --quantize float16.")
    return bytes(made)


def _of_whole_blocks(content: bytes) -> list[str]:
    """Fully connected operators whose inputs are a multiple of a block, by what ai-edge-quantizer calls them."""
    graph = read_model(Buffer(content)).graphs[0]
    return [
        f"{graph.tensors[operator.outputs[0]].name};"
        for operator in graph.operators
        if operator.op == "fully_connected" and graph.tensors[operator.inputs[1]].shape[-1] % _BLOCK == 0
    ]


FLOATS = frozenset({"float32", "float64"})
INTEGERS = frozenset({"int8", "uint8", "int16", "int4", "int2", "uint4"})

_BOUNDARY = frozenset({"quantize", "dequantize", "cast"})
"""Operators between float and integer parts: having floats on one side is what they are for."""

_LOOKUPS = frozenset({"embedding_lookup", "gather"})


@dataclass(frozen=True)
class TypeReport:
    """What of a file is integer, half or float.

    `constants` counts stored tensors by type, loops' bodies included; `float_operators` those operators that a mode promised to
    change and that compute in float32.
    """

    constants: dict[str, int]
    operators: int
    float_operators: dict[str, int]

    @property
    def quantized(self) -> int:
        """Number of stored tensors that are not float32; networks from Keras have none before quantisation."""
        return sum(count for dtype, count in self.constants.items() if dtype not in FLOATS)

    def describe_float(self) -> str:
        """``2 softmax, 1 mean``; empty where nothing stayed float."""
        return ", ".join(f"{count} {op}" for op, count in sorted(self.float_operators.items()))


def read_types(content: bytes, quantize: str) -> TypeReport:
    """Read the types in a `.tflite` file that was made in mode `quantize`; ModelFileError where it is none."""
    try:
        model = read_model(Buffer(content))
    except FlatbufferError as error:
        raise ModelFileError(f"The converted network is damaged ({error}).") from error
    constants: Counter[str] = Counter()
    stayed: Counter[str] = Counter()
    operators = 0
    for graph in model.graphs:
        constants.update(
            tensor.dtype
            for tensor in graph.tensors
            if tensor.stored and tensor.dtype in FLOATS | INTEGERS | {"float16"}
        )
        operators += len(graph.operators)
        stayed.update(
            operator.op for operator in graph.operators if _stayed(model, graph, operator, quantize)
        )
    return TypeReport(dict(constants), operators, dict(stayed))


def _stayed(model: RawModel, graph: RawGraph, operator: RawOperator, quantize: str) -> bool:
    """Whether `quantize` should have changed this operator and did not."""
    if quantize in ("none", "auto") or operator.op in _BOUNDARY:
        return False
    operands = [graph.tensors[index] for index in operator.inputs if index >= 0]
    stored_floats = any(t.dtype in FLOATS and t.stored and len(t.shape) > 1 for t in operands)
    if quantize not in CALIBRATED:
        return stored_floats and (operator.op in _LOOKUPS or known_operator(operator.op).weighted)
    results = [graph.tensors[index] for index in operator.outputs]
    return any(tensor.dtype in FLOATS for tensor in (*operands, *results))
