"""All that is known of an operator: how to make a layer of it, which sizes to draw, its number types.

May import `profiler.network` and the schema in `profiler.tflite`.
"""

from __future__ import annotations

from profiler.operators import constructors
from profiler.operators.constructors import (
    binary,
    concatenation,
    conv_2d,
    depthwise_conv_2d,
    fully_connected,
    pad,
    reduce,
    reshape,
    unary,
)
from profiler.operators.data_movement import stored_values
from profiler.operators.draws import (
    CATALOGUE,
    DTYPES,
    MAX_ELEMENTS,
    MAX_MACS,
    MAX_WEIGHTS,
    Rng,
    draw_layer,
    operators,
)
from profiler.operators.number_type import network_with_dtype, with_dtype

__all__ = [
    "CATALOGUE",
    "DTYPES",
    "MAX_ELEMENTS",
    "MAX_MACS",
    "MAX_WEIGHTS",
    "Rng",
    "binary",
    "concatenation",
    "constructors",
    "conv_2d",
    "depthwise_conv_2d",
    "draw_layer",
    "fully_connected",
    "network_with_dtype",
    "operators",
    "pad",
    "reduce",
    "reshape",
    "stored_values",
    "unary",
    "with_dtype",
]
