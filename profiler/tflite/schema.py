"""What the TFLite file format calls things: operators, tensor types, activations, operators' options.

The names and numbers are those of the schema of LiteRT 2.3 (``schema.fbs``). Later versions only
append, so an operator that is missing here is read as ``builtin_NUMBER``.
"""

from __future__ import annotations

from typing import NamedTuple

OPERATORS: tuple[str, ...] = (
    "add", "average_pool_2d", "concatenation", "conv_2d", "depthwise_conv_2d", "depth_to_space",
    "dequantize", "embedding_lookup", "floor", "fully_connected", "hashtable_lookup",
    "l2_normalization", "l2_pool_2d", "local_response_normalization", "logistic", "lsh_projection",
    "lstm", "max_pool_2d", "mul", "relu", "relu_n1_to_1", "relu6", "reshape", "resize_bilinear", "rnn",
    "softmax", "space_to_depth", "svdf", "tanh", "concat_embeddings", "skip_gram", "call", "custom",
    "embedding_lookup_sparse", "pad", "unidirectional_sequence_rnn", "gather", "batch_to_space_nd",
    "space_to_batch_nd", "transpose", "mean", "sub", "div", "squeeze", "unidirectional_sequence_lstm",
    "strided_slice", "bidirectional_sequence_rnn", "exp", "topk_v2", "split", "log_softmax", "delegate",
    "bidirectional_sequence_lstm", "cast", "prelu", "maximum", "arg_max", "minimum", "less", "neg",
    "padv2", "greater", "greater_equal", "less_equal", "select", "slice", "sin", "transpose_conv",
    "sparse_to_dense", "tile", "expand_dims", "equal", "not_equal", "log", "sum", "sqrt", "rsqrt",
    "shape", "pow", "arg_min", "fake_quant", "reduce_prod", "reduce_max", "pack", "logical_or",
    "one_hot", "logical_and", "logical_not", "unpack", "reduce_min", "floor_div", "reduce_any",
    "square", "zeros_like", "fill", "floor_mod", "range", "resize_nearest_neighbor", "leaky_relu",
    "squared_difference", "mirror_pad", "abs", "split_v", "unique", "ceil", "reverse_v2", "add_n",
    "gather_nd", "cos", "where", "rank", "elu", "reverse_sequence", "matrix_diag", "quantize",
    "matrix_set_diag", "round", "hard_swish", "if", "while", "non_max_suppression_v4",
    "non_max_suppression_v5", "scatter_nd", "select_v2", "densify", "segment_sum", "batch_matmul",
    "placeholder_for_greater_op_codes", "cumsum", "call_once", "broadcast_to", "rfft2d", "conv_3d",
    "imag", "real", "complex_abs", "hashtable", "hashtable_find", "hashtable_import", "hashtable_size",
    "reduce_all", "conv_3d_transpose", "var_handle", "read_variable", "assign_variable",
    "broadcast_args", "random_standard_normal", "bucketize", "random_uniform", "multinomial", "gelu",
    "dynamic_update_slice", "relu_0_to_1", "unsorted_segment_prod", "unsorted_segment_max",
    "unsorted_segment_sum", "atan2", "unsorted_segment_min", "sign", "bitcast", "bitwise_xor",
    "right_shift", "stablehlo_logistic", "stablehlo_add", "stablehlo_divide", "stablehlo_multiply",
    "stablehlo_maximum", "stablehlo_reshape", "stablehlo_clamp", "stablehlo_concatenate",
    "stablehlo_broadcast_in_dim", "stablehlo_convolution", "stablehlo_slice", "stablehlo_custom_call",
    "stablehlo_reduce", "stablehlo_abs", "stablehlo_and", "stablehlo_cosine", "stablehlo_exponential",
    "stablehlo_floor", "stablehlo_log", "stablehlo_minimum", "stablehlo_negate", "stablehlo_or",
    "stablehlo_power", "stablehlo_remainder", "stablehlo_rsqrt", "stablehlo_select",
    "stablehlo_subtract", "stablehlo_tanh", "stablehlo_scatter", "stablehlo_compare",
    "stablehlo_convert", "stablehlo_dynamic_slice", "stablehlo_dynamic_update_slice", "stablehlo_pad",
    "stablehlo_iota", "stablehlo_dot_general", "stablehlo_reduce_window", "stablehlo_sort",
    "stablehlo_while", "stablehlo_gather", "stablehlo_transpose", "dilate",
    "stablehlo_rng_bit_generator", "reduce_window", "stablehlo_composite", "stablehlo_shift_left",
    "stablehlo_cbrt", "stablehlo_case",
)  # fmt: skip
"""Name of each builtin operator, by its number in the file."""

TENSOR_TYPES: tuple[str, ...] = (
    "float32", "float16", "int32", "uint8", "int64", "string", "bool", "int16", "complex64", "int8",
    "float64", "complex128", "uint64", "resource", "variant", "uint32", "uint16", "int4", "bfloat16",
    "int2", "uint4", "float8_e4m3fn", "float8_e5m2",
)  # fmt: skip
"""Name of each tensor type, by its number in the file."""

ACTIVATIONS: tuple[str, ...] = ("none", "relu", "relu_n1_to_1", "relu6", "tanh", "sign_bit")
"""Name of each fused activation, by its number in the file."""

OPERATOR_CODES = {name: number for number, name in enumerate(OPERATORS)}
TENSOR_TYPE_CODES = {name: number for number, name in enumerate(TENSOR_TYPES)}
ACTIVATION_CODES = {name: number for number, name in enumerate(ACTIVATIONS)}


class OptionField(NamedTuple):
    """One field of an operator's options table.

    Parameters
    ----------
    slot
        Its number in the table.
    type
        ``int`` (32 bit), ``uint`` (32 bit), ``byte``, ``bool``, ``float``, ``ints`` (a vector of ``int``),
        ``padding`` (a byte that means ``same`` or ``valid``) or ``activation`` (a byte, see `ACTIVATIONS`).
    name
        The name among `Layer.params`.
    default
        What the format means where the field is not stored.
    quiet
        Left out of `Layer.params` where it has its default: settings that few files use.
    """

    slot: int
    type: str
    name: str
    default: int | float | bool = 0
    quiet: bool = False


def _activation(slot: int) -> OptionField:
    return OptionField(slot, "activation", "activation")


def _strides(width_slot: int) -> tuple[OptionField, OptionField]:
    return (
        OptionField(width_slot, "int", "stride_width"),
        OptionField(width_slot + 1, "int", "stride_height"),
    )


def _dilations(width_slot: int) -> tuple[OptionField, OptionField]:
    return (
        OptionField(width_slot, "int", "dilation_width", 1),
        OptionField(width_slot + 1, "int", "dilation_height", 1),
    )


def _quiet(slot: int, kind: str, name: str, default: int | float | bool = 0) -> OptionField:
    return OptionField(slot, kind, name, default, True)


_PADDING = OptionField(0, "padding", "padding")
_POOL = (
    _PADDING,
    *_strides(1),
    OptionField(3, "int", "kernel_width"),
    OptionField(4, "int", "kernel_height"),
    _activation(5),
)
_REDUCER = (OptionField(0, "bool", "keep_dims", False),)
_CLIPS = (_quiet(1, "float", "cell_clip", 0.0), _quiet(2, "float", "projection_clip", 0.0))
_RESIZE = "align_corners", "half_pixel_centers"

OPTION_TYPES: dict[str, tuple[int, tuple[OptionField, ...]]] = {
    "conv_2d": (
        1,
        (_PADDING, *_strides(1), _activation(3), *_dilations(4), _quiet(6, "byte", "quantized_bias_type")),
    ),
    "depthwise_conv_2d": (
        2,
        (_PADDING, *_strides(1), OptionField(3, "int", "depth_multiplier"), _activation(4), *_dilations(5)),
    ),
    "average_pool_2d": (5, _POOL),
    "max_pool_2d": (5, _POOL),
    "l2_pool_2d": (5, _POOL),
    "svdf": (
        6,
        (
            OptionField(0, "int", "rank"),
            _activation(1),
            _quiet(2, "bool", "asymmetric_quantize_inputs", False),
        ),
    ),
    "rnn": (7, (_activation(0), _quiet(1, "bool", "asymmetric_quantize_inputs", False))),
    "fully_connected": (
        8,
        (
            _activation(0),
            _quiet(1, "byte", "weights_format"),
            _quiet(2, "bool", "keep_num_dims", False),
            _quiet(3, "bool", "asymmetric_quantize_inputs", False),
            _quiet(4, "byte", "quantized_bias_type"),
        ),
    ),
    "softmax": (9, (OptionField(0, "float", "beta", 0.0),)),
    "concatenation": (10, (OptionField(0, "int", "axis"), _activation(1))),
    "add": (11, (_activation(0), _quiet(1, "bool", "pot_scale_int16", True))),
    "l2_normalization": (12, (_activation(0),)),
    "local_response_normalization": (
        13,
        (
            OptionField(0, "int", "radius"),
            OptionField(1, "float", "bias", 0.0),
            OptionField(2, "float", "alpha", 0.0),
            OptionField(3, "float", "beta", 0.0),
        ),
    ),
    "lstm": (
        14,
        (
            _activation(0),
            *_CLIPS,
            _quiet(3, "byte", "kernel_type"),
            _quiet(4, "bool", "asymmetric_quantize_inputs", False),
        ),
    ),
    "resize_bilinear": (15, tuple(OptionField(i + 2, "bool", name, False) for i, name in enumerate(_RESIZE))),
    "call": (16, (OptionField(0, "uint", "subgraph"),)),
    "reshape": (17, (OptionField(0, "ints", "new_shape"),)),
    "space_to_depth": (19, (OptionField(0, "int", "block_size"),)),
    "mul": (21, (_activation(0),)),
    "pad": (22, ()),
    "gather": (23, (OptionField(0, "int", "axis"), _quiet(1, "int", "batch_dims"))),
    "batch_to_space_nd": (24, ()),
    "space_to_batch_nd": (25, ()),
    "transpose": (26, ()),
    "mean": (27, _REDUCER),
    "sum": (27, _REDUCER),
    "reduce_prod": (27, _REDUCER),
    "reduce_max": (27, _REDUCER),
    "reduce_min": (27, _REDUCER),
    "reduce_any": (27, _REDUCER),
    "reduce_all": (27, _REDUCER),
    "sub": (28, (_activation(0), _quiet(1, "bool", "pot_scale_int16", True))),
    "div": (29, (_activation(0),)),
    "squeeze": (30, (OptionField(0, "ints", "axes"),)),
    "unidirectional_sequence_rnn": (
        31,
        (
            OptionField(0, "bool", "time_major", False),
            _activation(1),
            _quiet(2, "bool", "asymmetric_quantize_inputs", False),
        ),
    ),
    "strided_slice": (
        32,
        (
            OptionField(0, "int", "begin_mask"),
            OptionField(1, "int", "end_mask"),
            OptionField(2, "int", "ellipsis_mask"),
            OptionField(3, "int", "new_axis_mask"),
            OptionField(4, "int", "shrink_axis_mask"),
            _quiet(5, "bool", "offset", False),
        ),
    ),
    "exp": (33, ()),
    "topk_v2": (34, ()),
    "split": (35, (OptionField(0, "int", "num_splits"),)),
    "log_softmax": (36, ()),
    "cast": (37, ()),
    "dequantize": (38, ()),
    "maximum": (39, ()),
    "minimum": (39, ()),
    "arg_max": (40, (_quiet(0, "byte", "output_type"),)),
    "less": (41, ()),
    "neg": (42, ()),
    "padv2": (43, ()),
    "greater": (44, ()),
    "greater_equal": (45, ()),
    "less_equal": (46, ()),
    "select": (47, ()),
    "slice": (48, ()),
    "transpose_conv": (
        49,
        (_PADDING, *_strides(1), _activation(3), _quiet(4, "byte", "quantized_bias_type")),
    ),
    "tile": (51, ()),
    "expand_dims": (52, ()),
    "equal": (53, ()),
    "not_equal": (54, ()),
    "shape": (55, (_quiet(0, "byte", "output_type"),)),
    "pow": (56, ()),
    "arg_min": (57, (_quiet(0, "byte", "output_type"),)),
    "fake_quant": (
        58,
        (
            OptionField(0, "float", "min", 0.0),
            OptionField(1, "float", "max", 0.0),
            OptionField(2, "int", "num_bits"),
            _quiet(3, "bool", "narrow_range", False),
        ),
    ),
    "pack": (59, (OptionField(0, "int", "values_count"), OptionField(1, "int", "axis"))),
    "logical_or": (60, ()),
    "one_hot": (61, (OptionField(0, "int", "axis"),)),
    "logical_and": (62, ()),
    "logical_not": (63, ()),
    "unpack": (64, (OptionField(0, "int", "num"), OptionField(1, "int", "axis"))),
    "floor_div": (65, ()),
    "square": (66, ()),
    "bidirectional_sequence_lstm": (
        69,
        (
            _activation(0),
            *_CLIPS,
            OptionField(3, "bool", "merge_outputs", False),
            OptionField(4, "bool", "time_major", True),
            _quiet(5, "bool", "asymmetric_quantize_inputs", False),
        ),
    ),
    "bidirectional_sequence_rnn": (
        70,
        (
            OptionField(0, "bool", "time_major", False),
            _activation(1),
            OptionField(2, "bool", "merge_outputs", False),
            _quiet(3, "bool", "asymmetric_quantize_inputs", False),
        ),
    ),
    "unidirectional_sequence_lstm": (
        71,
        (
            _activation(0),
            *_CLIPS,
            OptionField(3, "bool", "time_major", False),
            _quiet(4, "bool", "asymmetric_quantize_inputs", False),
            _quiet(5, "bool", "diagonal_recurrent_tensors", False),
        ),
    ),
    "floor_mod": (72, ()),
    "resize_nearest_neighbor": (
        74,
        tuple(OptionField(i, "bool", name, False) for i, name in enumerate(_RESIZE)),
    ),
    "leaky_relu": (75, (OptionField(0, "float", "alpha", 0.0),)),
    "squared_difference": (76, ()),
    "mirror_pad": (77, (OptionField(0, "byte", "mode"),)),
    "abs": (78, ()),
    "split_v": (79, (OptionField(0, "int", "num_splits"),)),
    "reverse_sequence": (87, (OptionField(0, "int", "sequence_axis"), OptionField(1, "int", "batch_axis"))),
    "quantize": (89, ()),
    "hard_swish": (91, ()),
    "if": (92, (OptionField(0, "int", "then_subgraph"), OptionField(1, "int", "else_subgraph"))),
    "while": (93, (OptionField(0, "int", "condition_subgraph"), OptionField(1, "int", "body_subgraph"))),
    "depth_to_space": (94, (OptionField(0, "int", "block_size"),)),
    "select_v2": (98, ()),
    "batch_matmul": (
        101,
        (
            OptionField(0, "bool", "adj_x", False),
            OptionField(1, "bool", "adj_y", False),
            _quiet(2, "bool", "asymmetric_quantize_inputs", False),
        ),
    ),
    "cumsum": (102, (OptionField(0, "bool", "exclusive", False), OptionField(1, "bool", "reverse", False))),
    "call_once": (103, (OptionField(0, "int", "subgraph"),)),
    "broadcast_to": (104, ()),
    "conv_3d": (
        106,
        (
            _PADDING,
            OptionField(1, "int", "stride_depth"),
            *_strides(2),
            _activation(4),
            OptionField(5, "int", "dilation_depth", 1),
            *_dilations(6),
        ),
    ),
    "conv_3d_transpose": (
        106,
        (
            _PADDING,
            OptionField(1, "int", "stride_depth"),
            *_strides(2),
            _activation(4),
            OptionField(5, "int", "dilation_depth", 1),
            *_dilations(6),
        ),
    ),
    "gelu": (116, (OptionField(0, "bool", "approximate", False),)),
}
"""Number of an operator's table in the union ``BuiltinOptions``, and its fields.

Operators that are missing here have no options that matter to us.
"""

OPTION_TYPES_2: dict[str, tuple[int, tuple[OptionField, ...]]] = {
    "stablehlo_while": (
        15,
        (OptionField(0, "int", "condition_subgraph"), OptionField(1, "int", "body_subgraph")),
    ),
    "stablehlo_composite": (21, (OptionField(1, "int", "subgraph"),)),
}
"""The same for the union ``BuiltinOptions2``, as far as subgraphs are called from there."""
