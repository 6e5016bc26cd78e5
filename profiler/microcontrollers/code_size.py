"""How much flash the code of TFLite Micro takes, by the operators that a network has.

Bytes of code and constants on a Cortex-M4, of the reference kernels and the interpreter as ``clang -Os`` compiles each source file
(error texts left out). Nothing of the C library, of a board's support, or of CMSIS-NN, whose kernels are larger.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

_INTERPRETER_BYTES = 21_500
"""Interpreter, allocator, planner, flatbuffer helpers."""
_REGISTERED_BYTES = 130
"""What reads an operator's options, and its entry in the list of operators."""
_USUAL_BYTES = 1_400
"""Operators that were not compiled: the median of the others."""

_SOURCES: Mapping[str, int] = {
    "activations": 1_552, "add": 6_158, "add_n": 1_314, "arg_min_max": 1_326, "batch_matmul": 5_862,
    "batch_to_space_nd": 1_036, "broadcast_args": 800, "broadcast_to": 1_240, "call_once": 184, "cast": 1_218, "ceil": 308,
    "comparisons": 29_898, "concatenation": 2_876, "conv": 4_788, "cumsum": 1_522, "depthwise_conv": 3_918,
    "dequantize": 596, "fully_connected": 3_806, "gather": 1_192, "hard_swish": 970, "leaky_relu": 836, "logistic": 2_572,
    "lstm": 8_464, "mul": 5_138, "pack": 1_070, "pad": 2_956, "pooling": 4_304, "prelu": 2_978, "quantize": 1_478,
    "reduce": 6_976, "reshape": 442, "resize_bilinear": 2_172, "resize_nearest_neighbor": 2_046, "slice": 2_206,
    "softmax": 4_318, "split": 1_216, "strided_slice": 8_390, "sub": 6_700, "svdf": 3_108, "tanh": 2_528,
    "transpose": 1_494, "unpack": 874,
}  # fmt: skip
"""Bytes by source file; operators of one file share it."""

_SOURCE_OF = {
    "relu": "activations", "relu6": "activations", "arg_max": "arg_min_max", "arg_min": "arg_min_max", "conv_2d": "conv",
    "depthwise_conv_2d": "depthwise_conv", "average_pool_2d": "pooling", "max_pool_2d": "pooling", "mean": "reduce",
    "sum": "reduce", "reduce_max": "reduce", "reduce_min": "reduce", "reduce_all": "reduce", "padv2": "pad",
    "unidirectional_sequence_lstm": "lstm", "equal": "comparisons", "not_equal": "comparisons", "greater": "comparisons",
    "greater_equal": "comparisons", "less": "comparisons", "less_equal": "comparisons",
}  # fmt: skip
_COMPARISONS = 6
"""Operators whose code the linker drops where they are not used."""


def code_bytes(operators: Iterable[str]) -> int:
    """Bytes of code for a network of these operators, each counted once however often it occurs.

    Examples
    --------
    >>> code_bytes(["conv_2d"]), code_bytes(["conv_2d", "conv_2d", "softmax"])
    (26418, 30866)
    """
    used = set(operators)
    sources = [_SOURCE_OF.get(op, op) for op in used]
    compared = sources.count("comparisons") * _SOURCES["comparisons"] // _COMPARISONS
    others = sum(_SOURCES.get(source, _USUAL_BYTES) for source in {*sources} - {"comparisons"})
    return _INTERPRETER_BYTES + _REGISTERED_BYTES * len(used) + compared + others
