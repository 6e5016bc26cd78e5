"""Operators of TFLite Micro: what each keeps in the arena, and which types it takes.

Read from the reference kernels of the sources named in `VERSION`; sizes are those of C++ structures there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from profiler.network import Tensor

VERSION = "tflite-micro 0.dev20261023"
"""The Python package whose list of operators (`PythonOpsResolver`, the largest there is) this file follows."""

_TYPES = {
    "f": "float32", "b": "int8", "s": "int16", "i": "int32", "l": "int64", "u": "uint8", "?": "bool", "I": "uint32",
}  # fmt: skip
WEIGHTS: Mapping[str, tuple[str, ...]] = {
    "float32": ("float32",), "int8": ("int8", "int4"), "int16": ("int8",),
}  # fmt: skip
"""Types of weights that go with each type of data."""


@dataclass(frozen=True)
class Node:
    """One operator of a file as kernels see it; absent operands are None.

    `scales` are the numbers of scales of each operand; `pointer_bytes` is 4 on a microcontroller and 8 in the interpreter of
    a PC.
    """

    op: str
    inputs: Sequence[Tensor | None]
    outputs: Sequence[Tensor]
    scales: Sequence[int]
    options: Mapping[str, object]
    pointer_bytes: int

    def operand(self, slot: int) -> Tensor:
        """An operand; an empty one where there is none, as in a damaged file."""
        found = self.inputs[slot] if slot < len(self.inputs) else None
        return found if found is not None else Tensor((), "float32")

    @property
    def data(self) -> Tensor:
        """The first operand that is computed, else the first."""
        known = [tensor for tensor in self.inputs if tensor is not None]
        return next((tensor for tensor in known if not tensor.constant), known[0] if known else Tensor(()))

    def size(self, sizes: tuple[int, int]) -> int:
        """The one of two sizes of a structure, on 64 and on 32 bits, that holds here."""
        return sizes[0] if self.pointer_bytes == 8 else sizes[1]


Sizes = Callable[[Node], list[int]]


@dataclass(frozen=True)
class Kernel:
    """What an operator keeps in the arena.

    Parameters
    ----------
    state, options
        Bytes of the kernel's own structure and of the operator's options, on 64 and 32 bits; 0 where it has none.
    types
        Types of data that it takes; empty: any.
    prepared, scratch
        Buffers that stay, and buffers for the time that it runs, in bytes.
    weights
        Whether its second operand must be of a type that goes with the data.
    slot
        Which operand the types are of; None: the first that is computed.
    results
        Types of results that it takes; empty: any.
    """

    state: tuple[int, int] = (0, 0)
    options: tuple[int, int] = (0, 0)
    types: tuple[str, ...] = ()
    prepared: Sizes = lambda node: []
    scratch: Sizes = lambda node: []
    weights: bool = False
    slot: int | None = None
    results: tuple[str, ...] = ()

    def lacks(self, node: Node) -> str:
        """What types of an operator are not known here, in words; empty where all are."""
        data = node.data.dtype if self.slot is None else node.operand(self.slot).dtype
        if self.types and data not in self.types:
            return f"{node.op} of {data}"
        weights = node.operand(1).dtype
        if self.weights and weights not in WEIGHTS[data]:
            return f"{node.op} of {data} data with {weights} weights"
        result = node.outputs[0].dtype if node.outputs else ""
        return f"{node.op} into {result}" if self.results and result not in self.results else ""

    def options_alignment(self, pointer_bytes: int) -> int:
        """What the options are aligned to: those that differ between 64 and 32 bits hold a pointer."""
        if self.options[0] != self.options[1]:
            return pointer_bytes
        return 1 if self.options[0] < 4 else 4


def _shape_bytes(rank: int) -> int:
    return 4 * (rank + 1)


def _new_shape(node: Node) -> list[int]:
    return [_shape_bytes(len(node.outputs[0].shape))]


def _per_channel(axis: int) -> Sizes:
    def sizes(node: Node) -> list[int]:
        shape = node.operand(1).shape
        return [4 * shape[axis]] * 2 if len(shape) == 4 else []

    return sizes


def _fully_connected(node: Node) -> list[int]:
    scales = node.scales[1] if len(node.scales) > 1 else 0
    return [4 * scales] * 2 if node.data.dtype != "float32" and scales > 1 else []


def _unpacked(node: Node) -> list[int]:
    return [node.operand(1).size] if node.operand(1).dtype == "int4" else []


def _transpose_conv(node: Node) -> list[int]:
    element = {"int8": 4, "int16": 8}.get(node.outputs[0].dtype, 0)
    return [element * node.outputs[0].size] if element else []


def _matmul(node: Node) -> list[int]:
    sizes = [28] if node.data.dtype in ("int8", "int16") else []
    turned = [bool(node.options.get("adj_x")), not node.options.get("adj_y")]
    for slot, needed in enumerate(turned):
        if needed:
            tensor = node.operand(slot)
            sizes += [node.size((24, 12)), _shape_bytes(len(tensor.shape)), tensor.nbytes]
    return [*sizes, *_new_shape(node)]


def _reduction(node: Node) -> list[int]:
    integers = node.data.dtype in ("int8", "int16") and node.op in ("mean", "sum")
    sums = [4 * node.outputs[0].size] if integers else []
    return [*sums, 4 * len(node.data.shape), 4 * max(node.operand(1).size, 1)]


def _reshape(node: Node) -> list[int]:
    # A shape with an open dimension is copied, to be completed.
    return _new_shape(node) if any(n < 0 for n in node.outputs[0].shape) else []


def _softmax(node: Node) -> list[int]:
    return [2 * 513] * 2 if node.data.dtype == "int16" else []


def _int8_only(nbytes: tuple[int, int]) -> Sizes:
    return lambda node: [node.size(nbytes)] if node.data.dtype == "int8" else []


def _svdf(node: Node) -> list[int]:
    batch = node.operand(0).shape[0] if node.operand(0).shape else 1
    filters = node.operand(1).shape[0] if node.operand(1).shape else 0
    units = node.outputs[0].shape[-1] if node.outputs[0].shape else 0
    integers = node.data.dtype == "int8"
    return [4 * batch * filters, *([4 * batch * units] if integers else [])]


def _lstm(node: Node) -> list[int]:
    state = node.operand(19)
    return [state.nbytes] * 4


def _mirror_pad(node: Node) -> list[int]:
    return [4 * len(node.operand(0).shape)] * 2


def _pointers(node: Node) -> list[int]:
    return [node.pointer_bytes * len(node.inputs)]


_Size = int | tuple[int, int]


def _kernel(types: str, state: _Size = 0, options: _Size = 0, **more: Any) -> Kernel:
    """A kernel by the letters of its types; a size without pointers is the same on 64 and 32 bits."""
    sizes = [size if isinstance(size, tuple) else (size, size) for size in (state, options)]
    return Kernel(sizes[0], sizes[1], tuple(_TYPES[letter] for letter in types), **more)


_CONVOLUTION = (80, 64)

KERNELS: Mapping[str, Kernel] = {
    "conv_2d": _kernel("fbs", _CONVOLUTION, 28, prepared=_per_channel(0), scratch=_unpacked, weights=True),
    "depthwise_conv_2d": _kernel("fbs", _CONVOLUTION, 28, prepared=_per_channel(3), scratch=_unpacked, weights=True),
    "transpose_conv": _kernel("fbs", (88, 80), 20, prepared=_per_channel(0), scratch=_transpose_conv),
    "fully_connected": _kernel("fbs", (72, 56), (32, 24), prepared=_fully_connected, scratch=_unpacked, weights=True),
    "batch_matmul": _kernel("fbs", (32, 16), 3, prepared=_matmul),
    "svdf": _kernel("fbs", 36, 12, scratch=_svdf),
    "unidirectional_sequence_lstm": _kernel("fbs", (688, 672), 16, scratch=_lstm),
    "embedding_lookup": _kernel("fb", (16, 8), prepared=_new_shape, slot=1),
    "add": _kernel("fbsi", 60, 8),
    "sub": _kernel("fbsi", 52, 8),
    "mul": _kernel("fbsi", 36, 4),
    "div": _kernel("fb", 28, 4),
    "add_n": _kernel("fb", prepared=_int8_only((40, 40)), scratch=_pointers),
    "squared_difference": _kernel("fbsi", (112, 104)),
    "maximum": _kernel("fbsil"),
    "minimum": _kernel("fbsil"),
    "floor_div": _kernel("f"),
    "floor_mod": _kernel("f"),
    "average_pool_2d": _kernel("fbs", 32, 40),
    "max_pool_2d": _kernel("fbs", 32, 40),
    "l2_pool_2d": _kernel("f", 0, 40, prepared=_new_shape),
    "mean": _kernel("fbs", 44, 1, scratch=_reduction),
    "sum": _kernel("fbs", 44, 1, scratch=_reduction),
    "reduce_max": _kernel("fb", 44, 1, scratch=_reduction),
    "reduce_min": _kernel("fb", 44, 1, scratch=_reduction),
    "reduce_all": _kernel("?", 44, 1, scratch=_reduction),
    "arg_max": _kernel("fb", 0, 4, results=("int32",)),
    "arg_min": _kernel("fb", 0, 4, results=("int32",)),
    "cumsum": _kernel("fb", 0, 2, prepared=_int8_only((36, 36))),
    "softmax": _kernel("fbs", (80, 56), 4, prepared=_softmax),
    "log_softmax": _kernel("fb", prepared=_int8_only((40, 28))),
    "l2_normalization": _kernel("fb", 4, 4),
    "relu": _kernel("fbs", 28),
    "relu6": _kernel("fbs", 8),
    "logistic": _kernel("fbs", 16),
    "tanh": _kernel("fbs", 16),
    "hard_swish": _kernel("fb", 20),
    "leaky_relu": _kernel("fbs", 24, 4),
    "prelu": _kernel("fbs", 28, weights=True),
    "elu": _kernel("fb", 256),
    "exp": _kernel("f"),
    "log": _kernel("f"),
    "sin": _kernel("f"),
    "cos": _kernel("f"),
    "sqrt": _kernel("f"),
    "square": _kernel("f"),
    "abs": _kernel("fbs", 28),
    "rsqrt": _kernel("fbs", 28),
    "neg": _kernel("f"),
    "ceil": _kernel("f"),
    "floor": _kernel("f"),
    "round": _kernel("f"),
    "logical_and": _kernel("?"),
    "logical_or": _kernel("?"),
    "logical_not": _kernel("?"),
    **dict.fromkeys(
        ("equal", "not_equal", "greater", "greater_equal", "less", "less_equal"), _kernel("fbsil?", 32)
    ),
    "select_v2": _kernel("fbs", 1, slot=1),
    "quantize": _kernel("fbsiu", (32, 24)),
    "dequantize": _kernel("bsu", (32, 24)),
    "cast": _kernel("fbsiI?", 0, 8),
    "concatenation": _kernel("fbsil?", (80, 64), 8),
    "pack": _kernel("fbsil", 0, 8),
    "unpack": _kernel("fbsi", 0, 8),
    "split": _kernel("fbsi", 0, 4),
    "split_v": _kernel("fbsi", 0, 4),
    "slice": _kernel("fbsi?"),
    "strided_slice": _kernel("fbsi?", 84, 24),
    "dynamic_update_slice": _kernel("fbsi"),
    "gather": _kernel("fb", 0, 8, prepared=_new_shape, slot=0),
    "gather_nd": _kernel("fbi", prepared=_new_shape, slot=0),
    "pad": _kernel("fbsi", 56),
    "padv2": _kernel("fbsi", 56),
    "mirror_pad": _kernel("fbil", 20, 4, scratch=_mirror_pad),
    "reshape": _kernel("", 0, 36, prepared=_reshape),
    "squeeze": _kernel("", 0, 36),
    "expand_dims": _kernel("fbs"),
    "transpose": _kernel("fbs"),
    "reverse_v2": _kernel("fbsilu?"),
    "broadcast_args": _kernel("il"),
    "broadcast_to": _kernel(""),
    "fill": _kernel(""),
    "shape": _kernel("", 0, 4),
    "zeros_like": _kernel("fbil"),
    "batch_to_space_nd": _kernel("fb"),
    "space_to_batch_nd": _kernel("fb", 4),
    "depth_to_space": _kernel("fb", 0, 4, prepared=_new_shape),
    "space_to_depth": _kernel("fb", 0, 4, prepared=_new_shape),
    "resize_bilinear": _kernel("fb", 0, 2),
    "resize_nearest_neighbor": _kernel("fbs", 0, 2),
    "if": _kernel("", 8, 8),
    "while": _kernel("", 8, 8),
    "call_once": _kernel("", 8, 4),
    "var_handle": _kernel("", 4, (16, 8)),
    "assign_variable": _kernel("", 4),
    "read_variable": _kernel(""),
    **dict.fromkeys(
        (
            "custom:TFLite_Detection_PostProcess", "custom:CIRCULAR_BUFFER", "custom:ethos-u", "custom:DECODE",
            "custom:SignalDelay", "custom:SignalEnergy", "custom:SignalFftAutoScale", "custom:SignalFilterBank",
            "custom:SignalFilterBankLog", "custom:SignalFilterBankSpectralSubtraction",
            "custom:SignalFilterBankSquareRoot", "custom:SignalFramer", "custom:SignalIrfft",
            "custom:SignalOverlapAdd", "custom:SignalPCAN", "custom:SignalRfft", "custom:SignalStacker",
            "custom:SignalWindow",
        ),
        Kernel(),
    ),
}  # fmt: skip
"""Every operator that is registered. What custom operators keep besides is not known here."""


def element_bytes(dtype: str) -> int:
    """Bytes of one element in the arena: integers of 4 bits are unpacked there; 0 for types that TFLite Micro lacks."""
    return {
        "float32": 4, "float16": 2, "float64": 8, "int8": 1, "int16": 2, "int32": 4, "int64": 8, "uint8": 1, "uint16": 2,
        "uint32": 4, "uint64": 8, "bool": 1, "resource": 4, "complex64": 8, "complex128": 16, "int4": 1,
    }.get(dtype, 0)  # fmt: skip


def tensor_bytes(tensor: Tensor) -> int:
    """Bytes of a tensor in the arena."""
    return math.prod(max(n, 1) for n in tensor.shape) * element_bytes(tensor.dtype)
