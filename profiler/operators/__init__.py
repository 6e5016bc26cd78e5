"""All that is known of an operator in one place, an entry per operator, a file per family.

An entry says how layers of the operator are drawn, how a `.tflite` file stores it, what it does to widths, which features
describe it, what the runtime's profiler calls it, and what ordinary layers of it are. A new operator is one entry in one file:
see `Operator` and `register_operator`.

May import `profiler.axes`, `profiler.network` and `profiler.plugins`.
"""

from __future__ import annotations

from profiler.operators.activation import unary
from profiler.operators.convolution import conv_2d, depthwise_conv_2d, grouped_conv_2d, transpose_conv
from profiler.operators.elementwise import binary, compare
from profiler.operators.joining import broadcast_to, concatenation, pack, shape_of, tile
from profiler.operators.matrix import batch_matmul, fully_connected
from profiler.operators.number_type import network_with_dtype, with_dtype
from profiler.operators.options import FileFormat, OptionField, Quantization, StoredParam
from profiler.operators.pooling import pool_2d, resize
from profiler.operators.rare import conv_3d, detection_postprocess, scatter_nd, svdf, why_not_probed
from profiler.operators.recurrent import loop
from profiler.operators.reduction import arg_max, reduce
from profiler.operators.registry import (
    DTYPES,
    FEW,
    FORM,
    LATE,
    SPARSE,
    UNPACKED,
    Operator,
    OutputWidth,
    ReferenceLayers,
    Rng,
    drawn,
    operator,
    operators,
    register_operator,
)
from profiler.operators.reshaping import blocks, pad, reshape, reverse, transpose
from profiler.operators.sizes import (
    MAX_ELEMENTS,
    MAX_MACS,
    MAX_WEIGHTS,
    catalogue,
    draw_layer,
    drawn_operators,
    window_params,
    window_size,
)
from profiler.operators.slicing import gather, split, strided_slice, unpack

__all__ = [
    "DTYPES",
    "FEW",
    "FORM",
    "LATE",
    "MAX_ELEMENTS",
    "MAX_MACS",
    "MAX_WEIGHTS",
    "SPARSE",
    "UNPACKED",
    "FileFormat",
    "Operator",
    "OptionField",
    "OutputWidth",
    "Quantization",
    "ReferenceLayers",
    "Rng",
    "StoredParam",
    "arg_max",
    "batch_matmul",
    "binary",
    "blocks",
    "broadcast_to",
    "catalogue",
    "compare",
    "concatenation",
    "conv_2d",
    "conv_3d",
    "depthwise_conv_2d",
    "detection_postprocess",
    "draw_layer",
    "drawn",
    "drawn_operators",
    "fully_connected",
    "gather",
    "grouped_conv_2d",
    "loop",
    "network_with_dtype",
    "operator",
    "operators",
    "pack",
    "pad",
    "pool_2d",
    "reduce",
    "register_operator",
    "reshape",
    "resize",
    "reverse",
    "scatter_nd",
    "shape_of",
    "split",
    "strided_slice",
    "svdf",
    "tile",
    "transpose",
    "transpose_conv",
    "unary",
    "unpack",
    "why_not_probed",
    "window_params",
    "window_size",
    "with_dtype",
]
