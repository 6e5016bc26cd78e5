"""`Layer`: one operator with its shapes and parameters."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

DTYPE_BYTES: Mapping[str, float] = {
    "float32": 4, "float16": 2, "bfloat16": 2, "float64": 8, "int64": 8, "uint64": 8, "int32": 4, "uint32": 4,
    "int16": 2, "uint16": 2, "int8": 1, "uint8": 1, "bool": 1, "int4": 0.5, "uint4": 0.5, "int2": 0.25, "complex64": 8,
    "complex128": 16, "string": 16, "resource": 0, "variant": 0, "float8_e4m3fn": 1, "float8_e5m2": 1,
}  # fmt: skip
"""Bytes that one element takes, by TFLite's type names."""

QUANTIZED = frozenset({"int8", "uint8", "int4", "int2", "uint4"})

Shape = tuple[int, ...]
Param = int | float | str | bool | tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Tensor:
    """Shape and type of one operand. `constant` operands (weights) come from the file and not from another layer."""

    shape: tuple[int, ...]
    dtype: str = "float32"
    constant: bool = False

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes that the elements take."""
        return math.ceil(self.size * DTYPE_BYTES.get(self.dtype, 4))


@dataclass(frozen=True)
class Edge:
    """The tensors that one layer reads and writes, as positions in `profiler.network.Network.tensors`.

    `graph` is 0 for layers of the main graph, else the subgraph of the file (a loop's body, a branch) that
    it stands in.
    """

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    graph: int = 0


@dataclass(frozen=True)
class Layer:
    """One operator of a network.

    Parameters
    ----------
    op
        TFLite's own name in lower case, such as ``conv_2d``; a custom operator is ``custom:NAME``.
    inputs
        Operands in TFLite's order, constant ones included, absent optional ones left out.
    outputs
        Results.
    params
        The operator's options in the file, under these names: ``kernel_height``, ``kernel_width``,
        ``stride_height``, ``stride_width``, ``dilation_height``, ``dilation_width``, ``padding``
        (``same``/``valid``), ``activation`` (``none``, ``relu``, ``relu6``, …), ``depth_multiplier``,
        ``axis`` and so on.
    name, index
        The first output tensor's name and the position in the file; neither takes part in comparison.
    repeat
        How often the layer runs in one inference (the trip count of the loop that it stands in).
    """

    op: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    params: Mapping[str, Param] = field(default_factory=dict)
    name: str = field(default="", compare=False)
    index: int = field(default=0, compare=False)
    repeat: int = 1

    @cached_property
    def activations(self) -> tuple[Tensor, ...]:
        """The operands that other layers produce."""
        return tuple(t for t in self.inputs if not t.constant)

    @cached_property
    def weights(self) -> tuple[Tensor, ...]:
        """The operands that are stored in the file."""
        return tuple(t for t in self.inputs if t.constant)

    @cached_property
    def dtype(self) -> str:
        """The arithmetic: ``float32``, ``int8``, ``int16``, or ``dynamic_int8`` (float data, integer weights)."""
        if self.op == "quantize":
            # Requantisation (integer to integer) is other work than quantising floats: it goes by its
            # input's type.
            source = self.inputs[0].dtype if self.inputs else "float32"
            return source if source != "float32" else self.outputs[0].dtype
        arithmetic = _arithmetic_of(self.op)
        if arithmetic.of_result and self.outputs:
            return self.outputs[0].dtype
        operands = self.inputs or self.outputs[:1]
        first = operands[0].dtype if operands else "float32"
        for tensor in operands:
            if not tensor.constant:
                first = tensor.dtype
                break
        if first == "resource":  # a variable is of the type of what is put into it
            return next((t.dtype for t in (*self.outputs, *reversed(self.inputs)) if t.dtype != first), first)
        if first == "float32" and arithmetic.macs:
            for tensor in self.inputs:
                if tensor.constant and tensor.dtype in QUANTIZED:
                    return "dynamic_int8"
        return first

    @cached_property
    def macs(self) -> int:
        """Multiply-accumulate operations of one run; 0 where the operator multiplies no weights."""
        count = _arithmetic_of(self.op).macs
        return count(self) if count and self.inputs and self.outputs else 0

    @cached_property
    def input_bytes(self) -> int:
        """Bytes of the operands that other layers produce."""
        return sum(t.nbytes for t in self.activations)

    @cached_property
    def output_bytes(self) -> int:
        """Bytes of the results."""
        return sum(t.nbytes for t in self.outputs)

    @cached_property
    def weight_bytes(self) -> int:
        """Bytes of the operands that are stored in the file."""
        return sum(t.nbytes for t in self.weights)

    @cached_property
    def parameters(self) -> int:
        """Number of stored weights."""
        return sum(t.size for t in self.weights)

    @cached_property
    def key(self) -> str:
        """One line of JSON that says all that takes part in comparison, the same for equal layers."""
        return json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        # Parameters may hold what has no hash; equal layers have equal operands, which tells most others apart.
        return hash((self.op, self.inputs, self.outputs, self.repeat))

    def __getstate__(self) -> dict[str, Any]:
        # Cached properties are cheap to work out again, and hashes differ from process to process.
        return {name: self.__dict__[name] for name in self.__dataclass_fields__}

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values, without name and index; `from_dict` reads it back."""
        value: dict[str, Any] = {
            "op": self.op,
            "inputs": [[list(t.shape), t.dtype, int(t.constant)] for t in self.inputs],
            "outputs": [[list(t.shape), t.dtype, *([1] if t.constant else [])] for t in self.outputs],
            "params": {k: list(v) if isinstance(v, tuple) else v for k, v in sorted(self.params.items())},
        }
        if self.repeat != 1:
            value["repeat"] = self.repeat
        return value

    @classmethod
    def from_dict(cls, value: Mapping[str, Any], name: str = "", index: int = 0) -> Layer:
        """Read what `to_dict` wrote."""
        return cls(
            op=value["op"],
            inputs=tuple(Tensor(tuple(s), d, bool(c)) for s, d, c in value["inputs"]),
            outputs=tuple(Tensor(tuple(s), d, bool(c)) for s, d, *c in value["outputs"]),
            params={k: tuple(v) if isinstance(v, list) else v for k, v in value["params"].items()},
            name=name,
            index=index,
            repeat=value.get("repeat", 1),
        )


@dataclass(frozen=True)
class Arithmetic:
    """How the layers of an operator calculate.

    Parameters
    ----------
    macs
        Multiply-accumulates of one run of a layer; None where nothing is multiplied by weights.
    of_result
        Operands include indices or masks: the arithmetic is that of the result, a loop's that of its counter.
    """

    macs: Callable[[Layer], int] | None = None
    of_result: bool = False


def _not_known(op: str) -> Arithmetic:
    raise LookupError(f"How {op} calculates is not known: import profiler.operators.")


_arithmetic_of: Callable[[str], Arithmetic] = _not_known


def use_arithmetic(find: Callable[[str], Arithmetic]) -> None:
    """Let layers ask `find` about their operator; `profiler.operators`, which stands above, calls this once."""
    global _arithmetic_of
    _arithmetic_of = find
