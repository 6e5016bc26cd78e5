"""`Operator`: all that is known of one operator, and the registry of them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np

from profiler.axes import Rule
from profiler.errors import UsageError
from profiler.network import Arithmetic, Layer, Param, Tensor, use_arithmetic
from profiler.operators.options import FileFormat, Quantization
from profiler.plugins import register_plugins

DTYPES = ("float32", "int8", "dynamic_int8", "int32", "int16", "uint8")
"""Arithmetics that can be probed; ``int32`` is what networks do with indices and masks."""

ENTRY_POINTS = "edgetime.operators"

UNPACKED = "unpacked"
"""Parameter of layers whose weights are made of integers of four bits when the network is loaded; its value is their type."""

FORM = "form"
"""Parameter of layers that a runtime takes to other kernels because of how the file stores them, `LATE` or `SPARSE`."""
LATE = "late"
"""Shapes that the file leaves out: fast kernels are chosen before the runtime works them out."""
SPARSE = "sparse"
"""Weights of which the file stores those that are not 0."""

FEW = 8
"""Probes of an operator that few networks have: enough to say what it costs within a wide interval."""

Features = Literal[
    "binary", "convolution", "copy", "depthwise", "detection", "generic", "grouped", "loop", "matrix", "pooling", "recurrent",
    "reduction", "resize", "softmax", "transpose", "unary",
]  # fmt: skip
"""Families of features that `timemodel.features` has."""
Row = Literal[
    "", "binary", "concatenation", "convolution", "depthwise", "matrix", "pooling", "reduction", "transposed"
]
"""Ways in which a row of a table of measurements describes a layer."""

Rng = np.random.Generator
Draw = Callable[[str, Rng, str], Layer]
"""Makes one random layer of an operator in an arithmetic (``float32``, ``int8``, …)."""

Sizes = Mapping[str, Any]
Resized = Callable[[Layer, tuple[Tensor, ...], tuple[Tensor, ...]], dict[str, Param]]
"""Parameters of a layer of other widths, from the layer as it is and its new operands and results."""


@dataclass(frozen=True)
class Draws:
    """How many probes of an operator a full profile holds in one arithmetic, and what draws them.

    Parameters
    ----------
    stream
        Number of the random stream, and of the operator's place among probes that are equally far along the plan. It is never
        given to another operator of the same arithmetic, so that a new operator changes no other's probes. Numbers from 1000
        on are free for operators that do not come with edgetime.
    """

    count: int
    draw: Draw
    stream: int


@dataclass(frozen=True)
class ReferenceLayers:
    """Layers of ordinary sizes: what a time model is asked about when it has to explain itself.

    Parameters
    ----------
    build
        Takes operator, dtype and sizes by name.
    bases
        Ordinary layers: one value per size.
    axes
        Which values of a size are worth looking at, all other sizes staying as in `bases`.
    """

    build: Callable[[str, str, Sizes], Layer]
    bases: Sequence[Sizes]
    axes: Mapping[str, Sequence[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class OutputWidth:
    """The number of output channels of an operator that has one of its own, so that its time is a staircase over it.

    `name` is what it is called; `follows_input` says that the input has as many channels.
    """

    name: str
    follows_input: bool = False


@dataclass(frozen=True)
class Operator:
    """All that is known of an operator; what is left out is not known.

    Parameters
    ----------
    name
        TFLite's own name in lower case. A kernel that has probes of its own is ``OPERATOR:KERNEL``.
    file
        How it is stored in a `.tflite` file.
    quantization
        What a probe of integers needs.
    draws
        By arithmetic: how many probes of it a profile holds, and what draws them.
    widths
        What it does to axes of changeable size; without it everything that reaches the operator is frozen.
    resized
        Parameters of a layer of other widths, where they differ.
    arithmetic
        How many multiply-accumulates a layer is, and which number type it calculates in.
    features
        Name of the family of features that describe it, see `timemodel.features`.
    row
        How a row of a table of measurements describes a layer: ``convolution``, ``depthwise``, ``transposed``, ``pooling``,
        ``matrix``, ``binary``, ``reduction``, ``concatenation``; else one tensor goes in and one comes out.
    events
        What the runtime's profiler calls it, with how odd that is: 0 is certain, more is chosen only where nothing else fits.
    reference
        Layers of ordinary sizes.
    output_width
        Its number of output channels, where its weights have one along `Quantization.channel_axis`.
    words
        What it is called in sentences; by default its name in capitals.

    Examples
    --------
    >>> from profiler.operators import operator
    >>> operator("conv_2d").features
    'convolution'
    """

    name: str
    file: FileFormat = field(default_factory=FileFormat)
    quantization: Quantization = field(default_factory=Quantization)
    draws: Mapping[str, Draws] = field(default_factory=dict)
    widths: Rule | None = None
    resized: Resized | None = None
    arithmetic: Arithmetic = field(default_factory=Arithmetic)
    features: Features = "generic"
    row: Row = ""
    events: Mapping[str, float] = field(default_factory=dict)
    reference: ReferenceLayers | None = None
    output_width: OutputWidth | None = None
    words: str = ""

    @property
    def weighted(self) -> bool:
        """Whether it multiplies by weights, so that integer weights with float data are dynamic-range arithmetic."""
        return self.arithmetic.macs is not None

    @property
    def width_name(self) -> str:
        """What its number of output channels is called."""
        return self.output_width.name if self.output_width else "output channels"

    def reference_layers(self, dtype: str, **changed: Any) -> list[Layer]:
        """Layers of ordinary sizes with the sizes in `changed` in place of their own; none where none are known."""
        if self.reference is None:
            return []
        build, bases = self.reference.build, self.reference.bases
        return [build(self.name, dtype, {**base, **changed}) for base in bases]


moving = functools.partial(Operator, quantization=Quantization(keeps_scale=True), features="copy")
"""An operator that only moves data, whose result has the scale of its operand."""

_OPERATORS: dict[str, Operator] = {}


def register_operator(entry: Operator) -> Operator:
    """Make `entry` known to drawing, reading, writing, the analysis of widths, features and explanations.

    For the command line to find it, a package names the entry as an entry point in its ``pyproject.toml``; it then needs no
    call of this function::

        [project.entry-points."edgetime.operators"]
        atan2 = "mypackage.operators:ATAN2"

    Raises
    ------
    UsageError
        The name is taken by another entry, or there is no such family of features or kind of row.
    """
    for what, value, known in (("features", entry.features, Features), ("row", entry.row, Row)):
        if value not in get_args(known):
            choices = ", ".join(repr(choice) for choice in get_args(known))
            raise UsageError(f"The operator {entry.name!r} has {what} {value!r}: choose from {choices}.")
    if _OPERATORS.setdefault(entry.name, entry) is not entry:
        raise UsageError(f"The operator {entry.name!r} is registered already: give yours another name.")
    return entry


def register_operators(*entries: Operator) -> None:
    """Register the entries of a family."""
    for entry in entries:
        register_operator(entry)


def operator(name: str) -> Operator:
    """What is known of the operator `name`: nothing but that name where it is not registered."""
    if name not in _OPERATORS:
        _load_plugins()
    return _OPERATORS.get(name) or _not_registered(name)


@functools.lru_cache(maxsize=1024)
def _not_registered(name: str) -> Operator:
    return Operator(name)


def operators() -> tuple[Operator, ...]:
    """All registered operators."""
    _load_plugins()
    return tuple(_OPERATORS.values())


@functools.cache
def _load_plugins() -> None:
    """Register the operators of other distributions, once; those that fail are named in a warning."""
    register_plugins(ENTRY_POINTS, _register_plugin, _OPERATORS)


def _register_plugin(name: str, entry: Any) -> None:
    if not isinstance(entry, Operator) or entry.name != name:
        raise UsageError(f"{entry!r} is no profiler.operators.Operator of that name")
    register_operator(entry)


def _arithmetic_of(name: str) -> Arithmetic:
    """The quick way to an operator's arithmetic: every layer asks for it."""
    entry = _OPERATORS.get(name)
    return entry.arithmetic if entry is not None else operator(name).arithmetic


use_arithmetic(_arithmetic_of)


def drawn(draw: Draw, **dtypes: tuple[int, int]) -> dict[str, Draws]:
    """`Draws` by arithmetic, from (count, stream)."""
    return {dtype: Draws(count, draw, stream) for dtype, (count, stream) in dtypes.items()}
