"""What can be measured: how many probes each operator gets, and what draws them."""

from __future__ import annotations

from profiler.network import Layer
from profiler.operators import draws_elementwise as elementwise
from profiler.operators import draws_moving as moving
from profiler.operators import draws_reducing as reducing
from profiler.operators import draws_weighted as weighted
from profiler.operators.draw_sizes import Draw, Rng

__all__ = ["CATALOGUE", "DTYPES", "Draw", "Rng", "draw_layer", "operators"]

MAX_MACS = 400_000_000
MAX_WEIGHTS = 6_000_000
MAX_ELEMENTS = 1_700_000
MIN_ELEMENTS = 8
_INDICES = ("int32", "int64", "bool")

_UNARY_FLOAT = {
    **dict.fromkeys(("relu", "relu6", "logistic", "hard_swish", "tanh"), 45),
    **dict.fromkeys(("elu", "gelu", "exp", "rsqrt", "square", "leaky_relu", "neg", "abs", "sqrt"), 24),
    **dict.fromkeys(("log", "sin", "cos", "floor", "relu_n1_to_1"), 16),
}
_UNARY_INTEGER = ("relu", "relu6", "logistic", "tanh", "leaky_relu")

# How many probes of each operator the full plan holds, by dtype. What networks spend their time in gets most.
CATALOGUE: dict[str, dict[str, tuple[int, Draw]]] = {
    "float32": {
        "conv_2d": (740, weighted.conv),
        "depthwise_conv_2d": (440, weighted.depthwise),
        "fully_connected": (260, weighted.fully_connected),
        "add": (165, elementwise.binary("add")),
        "mul": (165, elementwise.binary("mul")),
        "sub": (60, elementwise.binary("sub")),
        "average_pool_2d": (100, reducing.pool("average_pool_2d")),
        "max_pool_2d": (80, reducing.pool("max_pool_2d")),
        "mean": (100, reducing.reduction("mean")),
        "softmax": (60, reducing.softmax("softmax")),
        "pad": (60, moving.pad("pad")),
        "concatenation": (90, moving.concatenation),
        "reshape": (30, moving.reshape),
        "transpose": (70, moving.transpose),
        "resize_bilinear": (60, reducing.resize("resize_bilinear")),
        "resize_nearest_neighbor": (30, reducing.resize("resize_nearest_neighbor")),
        "transpose_conv": (60, weighted.transpose_conv),
        "batch_matmul": (80, weighted.batch_matmul),
        "unidirectional_sequence_lstm": (40, weighted.lstm),
        **{op: (count, elementwise.unary(op)) for op, count in _UNARY_FLOAT.items()},
        "conv_2d:grouped": (60, weighted.grouped),
        "div": (40, elementwise.binary("div")),
        "maximum": (35, elementwise.binary("maximum")),
        "squared_difference": (40, elementwise.binary("squared_difference")),
        "pow": (30, elementwise.binary("pow")),
        "prelu": (30, elementwise.prelu),
        "greater": (20, elementwise.compare("greater")),
        "select_v2": (24, elementwise.select),
        "cast": (16, elementwise.cast),
        "sum": (40, reducing.reduction("sum")),
        "reduce_max": (40, reducing.reduction("reduce_max")),
        "arg_max": (30, reducing.arg_max),
        "log_softmax": (20, reducing.softmax("log_softmax")),
        "cumsum": (25, reducing.cumsum),
        "topk_v2": (25, reducing.top_k),
        "strided_slice": (50, moving.strided_slice),
        "slice": (30, moving.slice_),
        "split": (40, moving.split),
        "unpack": (18, moving.unpack),
        "pack": (18, moving.pack),
        "gather": (40, moving.gather),
        "tile": (30, moving.tile),
        "broadcast_to": (18, moving.broadcast_to),
        "mirror_pad": (20, moving.pad("mirror_pad")),
        "reverse_v2": (22, moving.reverse),
        "one_hot": (16, moving.one_hot),
        "space_to_depth": (25, moving.blocks("space_to_depth")),
        "depth_to_space": (25, moving.blocks("depth_to_space")),
        "space_to_batch_nd": (20, moving.blocks("space_to_batch_nd")),
        "batch_to_space_nd": (20, moving.blocks("batch_to_space_nd")),
    },
    "int8": {
        "conv_2d": (540, weighted.conv),
        "depthwise_conv_2d": (370, weighted.depthwise),
        "fully_connected": (160, weighted.fully_connected),
        "add": (130, elementwise.binary("add")),
        "mul": (120, elementwise.binary("mul")),
        "average_pool_2d": (80, reducing.pool("average_pool_2d")),
        "max_pool_2d": (60, reducing.pool("max_pool_2d")),
        "mean": (80, reducing.reduction("mean")),
        "softmax": (40, reducing.softmax("softmax")),
        "pad": (50, moving.pad("pad")),
        "concatenation": (70, moving.concatenation),
        "reshape": (25, moving.reshape),
        "resize_bilinear": (50, reducing.resize("resize_bilinear")),
        "quantize": (60, elementwise.quantize),
        "dequantize": (50, elementwise.dequantize),
        **{op: (26, elementwise.unary(op)) for op in (*_UNARY_INTEGER, "hard_swish")},
        "conv_2d:grouped": (40, weighted.grouped),
        "transpose_conv": (40, weighted.transpose_conv),
        "batch_matmul": (50, weighted.batch_matmul),
        "transpose": (50, moving.transpose),
        "resize_nearest_neighbor": (18, reducing.resize("resize_nearest_neighbor")),
        "sub": (50, elementwise.binary("sub")),
        "maximum": (30, elementwise.binary("maximum")),
        "prelu": (25, elementwise.prelu),
        "squared_difference": (30, elementwise.binary("squared_difference")),
        "select_v2": (26, elementwise.select),
        "greater": (14, elementwise.compare("greater")),
        "space_to_depth": (20, moving.blocks("space_to_depth")),
        "depth_to_space": (20, moving.blocks("depth_to_space")),
        "gelu": (20, elementwise.unary("gelu")),
        **{op: (14, elementwise.unary(op)) for op in ("rsqrt", "sqrt", "exp", "log", "abs", "relu_n1_to_1")},
        "sum": (30, reducing.reduction("sum")),
        "reduce_max": (30, reducing.reduction("reduce_max")),
        "strided_slice": (40, moving.strided_slice),
        "split": (35, moving.split),
        "unpack": (18, moving.unpack),
        "pack": (18, moving.pack),
        "gather": (30, moving.gather),
        "tile": (25, moving.tile),
    },
    "dynamic_int8": {
        "conv_2d": (160, weighted.conv),
        "depthwise_conv_2d": (60, weighted.depthwise),
        "fully_connected": (120, weighted.fully_connected),
        "transpose_conv": (25, weighted.transpose_conv),
        "conv_2d:grouped": (25, weighted.grouped),
        "unidirectional_sequence_lstm": (25, weighted.lstm),
    },
    "int32": {
        "add": (20, elementwise.index_binary("add")),
        "greater": (25, elementwise.compare("greater")),
        "logical_and": (20, elementwise.logical("logical_and")),
        "cast": (30, elementwise.cast),
        "select_v2": (15, elementwise.select),
        "reshape": (15, moving.reshape),
        "concatenation": (15, moving.concatenation),
        "strided_slice": (15, moving.strided_slice),
        "pack": (15, moving.pack),
        "gather": (15, moving.gather),
        "shape": (12, moving.shape_of),
        "while": (40, weighted.loop),
    },
    "int16": {
        "conv_2d": (260, weighted.conv),
        "depthwise_conv_2d": (160, weighted.depthwise),
        "fully_connected": (130, weighted.fully_connected),
        "add": (80, elementwise.binary("add")),
        "mul": (80, elementwise.binary("mul")),
        "average_pool_2d": (50, reducing.pool("average_pool_2d")),
        "max_pool_2d": (40, reducing.pool("max_pool_2d")),
        "mean": (60, reducing.reduction("mean")),
        "softmax": (30, reducing.softmax("softmax")),
        "pad": (40, moving.pad("pad")),
        "concatenation": (40, moving.concatenation),
        "reshape": (25, moving.reshape),
        "resize_bilinear": (30, reducing.resize("resize_bilinear")),
        "resize_nearest_neighbor": (25, reducing.resize("resize_nearest_neighbor")),
        "quantize": (40, elementwise.quantize),
        "dequantize": (30, elementwise.dequantize),
        **{op: (30, elementwise.unary(op)) for op in _UNARY_INTEGER},
        "conv_2d:grouped": (30, weighted.grouped),
        "transpose_conv": (30, weighted.transpose_conv),
        "batch_matmul": (40, weighted.batch_matmul),
        "transpose": (40, moving.transpose),
        "sub": (30, elementwise.binary("sub")),
        "maximum": (35, elementwise.binary("maximum")),
        "prelu": (25, elementwise.prelu),
        "select_v2": (20, elementwise.select),
        **{op: (20, elementwise.unary(op)) for op in ("exp", "log", "abs")},
        "sum": (35, reducing.reduction("sum")),
        "reduce_max": (30, reducing.reduction("reduce_max")),
        "strided_slice": (30, moving.strided_slice),
        "split": (25, moving.split),
        "unpack": (25, moving.unpack),
        "pack": (25, moving.pack),
        "gather": (25, moving.gather),
        "tile": (25, moving.tile),
    },
}  # fmt: skip

DTYPES = tuple(CATALOGUE)


def operators(dtype: str | None = None) -> list[str]:
    """Operators that can be probed, in `dtype` or in any."""
    chosen = [dtype] if dtype else DTYPES
    return sorted({op for name in chosen for op in CATALOGUE[name]})


def draw_layer(op: str, dtype: str, rng: Rng) -> Layer:
    """One random layer of `op`, small enough to be measured in milliseconds."""
    draw = CATALOGUE[dtype][op][1]
    while True:
        layer = draw(rng, dtype)
        sizes = [t.size for t in (*layer.activations, *layer.outputs)]
        least = 1 if dtype in _INDICES or layer.outputs[0].dtype in _INDICES else MIN_ELEMENTS
        fits = min(sizes) >= 1 and layer.outputs[0].size >= least and max(sizes) <= MAX_ELEMENTS
        if fits and layer.macs <= MAX_MACS and layer.parameters <= MAX_WEIGHTS:
            return layer
