"""Which kernel runs a layer: operators of one name can be different work, and of different names the same."""

from __future__ import annotations

from profiler.network import Layer
from profiler.operators import FORM, UNPACKED

GROUPED = "conv_2d:grouped"
"""Convolutions in groups: another kernel than the dense one."""
MULTIPLIED = "depthwise_conv_2d:multiplied"
"""Depthwise convolutions with several outputs per channel: runtimes run them as convolutions in groups."""
LARGE = "depthwise_conv_2d:large"
"""Depthwise convolutions of windows beyond those that depthwise kernels are written for: the same."""
MOST_TAPS = 25
"""Positions of the largest window of XNNPACK's depthwise kernels; built-in ones do not mind being learned apart."""

CONVERTED = "quantize:converted"
"""From integers of one type to those of another, such as a camera's to a network's."""

RESCALED = "quantize:rescaled"
"""From integers of one scale to those of another."""
STORED = "batch_matmul:stored"
"""With columns that the file stores: runtimes take it for a fully connected layer."""

_FOUR_BITS = ("conv_2d", "depthwise_conv_2d", "fully_connected")
"""Operators that have kernels of their own for weights of four bits."""

_WINDOWED = ("conv_2d", "depthwise_conv_2d")

READS_INPUT = "reads_input"
"""Parameter of layers that `timemodel.runtime.company` marks."""
AT_INPUT = ":input"
"""Ends the name of the kind of such a layer."""
LEFT, LEFT_OUT = "left_to_cpu", ":left"
"""The same of layers that an accelerator leaves to the CPU because of their sizes."""

SAME_WORK = {
    "squeeze": "reshape",
    "expand_dims": "reshape",
    "bitcast": "reshape",
    "padv2": "pad",
    "minimum": "maximum",
    **dict.fromkeys(("greater_equal", "less", "less_equal", "equal", "not_equal"), "greater"),
    **dict.fromkeys(("logical_or", "logical_not"), "logical_and"),
    "select": "select_v2",
    "split_v": "split",
    **dict.fromkeys(("ceil", "round", "sign"), "floor"),
    "relu_0_to_1": "relu_n1_to_1",
    **dict.fromkeys(("reduce_min", "reduce_prod", "reduce_any", "reduce_all"), "reduce_max"),
    "arg_min": "arg_max",
    "stablehlo_while": "while",
    "embedding_lookup": "gather",
    "rank": "shape",
    "broadcast_args": "shape",
    "read_variable": "reshape",
    "assign_variable": "reshape",
    "gather_nd": "gather",
}
"""Operators that runtimes run in the same loop as another one, which is measured in their place."""

_SAME_WORK_ON_INDICES = {"sub": "add", "mul": "add", "maximum": "add", "minimum": "add"}
SAME_TYPE = {"int64": "int32", "bool": "int32", "uint32": "int32"}
"""Types of indices and masks, of which one is measured for all."""


def stand_ins(op: str, dtype: str) -> tuple[tuple[str, str], ...]:
    """Names (operator, dtype) under which the work of `op` may have been measured, best first."""
    kind = SAME_TYPE.get(dtype, dtype)
    names = [op, SAME_WORK.get(op, op)]
    if kind == "int32":
        names.append(_SAME_WORK_ON_INDICES.get(op, op))
    return tuple(dict.fromkeys((name, type_) for type_ in (dtype, kind) for name in names))


def kernel_of(layer: Layer) -> str:
    """The operator whose kernel runs `layer`: a convolution with as many groups as channels is a depthwise one."""
    kernel = _kernel(layer)
    if LEFT in layer.params:
        return kernel + LEFT_OUT
    return kernel + AT_INPUT if READS_INPUT in layer.params else kernel


def _kernel(layer: Layer) -> str:
    op, inputs = layer.op, layer.inputs
    if op == "quantize" and inputs and layer.outputs:
        if inputs[0].dtype == "float32":
            return op
        return RESCALED if inputs[0].dtype == layer.outputs[0].dtype else CONVERTED
    if op == "batch_matmul" and len(inputs) > 1 and inputs[1].constant:
        return STORED
    if FORM in layer.params:
        return f"{op}:{layer.params[FORM]}"
    if op in _FOUR_BITS and len(inputs) > 1:
        if UNPACKED in layer.params:
            return f"{op}:unpacked"
        if inputs[1].constant and inputs[1].dtype in ("int4", "int2", "uint4"):
            return f"{op}:int4"
    weights = inputs[1].shape if op in _WINDOWED and len(inputs) > 1 else ()
    if len(weights) != 4:
        return op
    if op == "conv_2d":
        if weights[3] == inputs[0].shape[-1]:
            return op
        if weights[3] != 1:
            return GROUPED
    elif layer.params.get("depth_multiplier", 1) != 1:
        return MULTIPLIED
    return LARGE if weights[1] * weights[2] > MOST_TAPS else "depthwise_conv_2d"


def kind_of(layer: Layer) -> tuple[str, str]:
    """Kernel and arithmetic of `layer`: by these, layers are measured, and operators' models are found."""
    return kernel_of(layer), layer.dtype
