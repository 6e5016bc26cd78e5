"""How operators are stored in a file: the table of their options, operands that hold parameters, and scales."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from numpy.typing import ArrayLike

from profiler.network import Layer, Param, Shape

TENSOR_TYPE_INT32, TENSOR_TYPE_INT64 = 2, 4
"""Numbers of tensor types in the file, for operators that have one among their options."""


class OptionField(NamedTuple):
    """One field of an operator's options table.

    Parameters
    ----------
    slot
        Its number in the table.
    type
        ``int`` (32 bit), ``uint`` (32 bit), ``byte``, ``bool``, ``float``, ``ints`` (a vector of ``int``),
        ``padding`` (a byte that means ``same`` or ``valid``), ``activation`` (a byte) or ``text``.
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


class StoredParam(NamedTuple):
    """A stored operand whose values are a parameter; `kind` is ``ints``, ``scalar``, ``axis`` or ``axes``."""

    slot: int
    name: str
    kind: str = "ints"


Complete = Callable[[dict[str, Param], Sequence[Shape | None], Sequence[Shape]], None]
"""Adds parameters that follow from the shapes of operands (None where one is absent) and results."""


@dataclass(frozen=True)
class FileFormat:
    """How an operator is stored.

    Parameters
    ----------
    options
        Number of its table in the union ``BuiltinOptions``; 0 where it has no options that matter.
    fields
        Fields of that table.
    second_union
        The table stands in ``BuiltinOptions2``; such operators are read only.
    stored
        Stored operands that hold parameters.
    computed
        By operand: what is stored there when a probe is written, where it follows from the layer.
    data_slot
        The operand that axes and kernels refer to.
    axis_of_output
        Axes refer to the result.
    kernel
        Names of the weights' dimensions (operand 1), empty for those that are no kernel size.
    complete
        Adds what follows from shapes.
    operand_slots
        Where the layer's operands stand in the file, for operators with optional ones; empty: in order.
    operand_count
        How many places there are, where `operand_slots` says which are taken.
    variables
        Operands that the runtime keeps from run to run.
    version
        The operator's version that probes are written with.
    dynamic_params
        Parameters that arithmetic ``dynamic_int8`` adds.
    usual_params
        Parameters of an ordinary layer.
    subgraphs
        Parameters that name the subgraphs that it runs, in the order of `Layer.params`.
    made_on_loading
        Of a stored operand it makes weights once, not in every run.
    custom_options
        Of a custom operator: the bytes that say how it works, for probes.
    read_custom
        From such bytes the parameters that they hold; nothing where they are damaged.
    intermediates
        Tensors that only the operator itself uses, by the scale of those that have one, where the arithmetic is of integers.
    """

    options: int = 0
    fields: tuple[OptionField, ...] = ()
    second_union: bool = False
    stored: tuple[StoredParam, ...] = ()
    computed: Mapping[int, Callable[[Layer], ArrayLike]] = field(default_factory=dict)
    data_slot: int = 0
    axis_of_output: bool = False
    kernel: tuple[str, ...] = ()
    complete: Complete | None = None
    operand_slots: tuple[int, ...] = ()
    operand_count: int = 0
    variables: tuple[int, ...] = ()
    version: int = 1
    dynamic_params: Mapping[str, Param] = field(default_factory=dict)
    usual_params: Mapping[str, Param] = field(default_factory=dict)
    subgraphs: tuple[str, ...] = ()
    made_on_loading: bool = False
    custom_options: Callable[[Layer], bytes] | None = None
    read_custom: Callable[[bytes], dict[str, Param]] | None = None
    intermediates: tuple[float | None, ...] = ()

    @property
    def fuses_activation(self) -> bool:
        """Whether an activation may be part of the operator."""
        return any(option.type == "activation" for option in self.fields)


@dataclass(frozen=True)
class Quantization:
    """What a probe of integers needs.

    Parameters
    ----------
    keeps_scale
        The result has the scale of the first operand.
    fixed
        By type: scale and zero point that runtimes want of the result.
    positive
        Integer kernels refuse inputs below 0.
    zero_point
        Zero point of int8 inputs, where kernels differ by it.
    channel_axis
        Axis of the weights that has a scale per channel; None where nothing is multiplied by stored weights.
    """

    keeps_scale: bool = False
    fixed: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    positive: bool = False
    zero_point: int = 0
    channel_axis: int | None = None


AXES = (StoredParam(1, "axes", "axes"),)


def activation(slot: int) -> OptionField:
    """The activation that is part of an operator."""
    return OptionField(slot, "activation", "activation")


def numbers(first: int, *names: str, default: int = 0) -> tuple[OptionField, ...]:
    """Whole numbers of 32 bits, one after the other from slot `first` on."""
    return tuple(OptionField(slot, "int", name, default) for slot, name in enumerate(names, first))


def dilations(first: int) -> tuple[OptionField, ...]:
    """Dilations of a kernel, width first."""
    return numbers(first, "dilation_width", "dilation_height", default=1)


WINDOW = (OptionField(0, "padding", "padding"), *numbers(1, "stride_width", "stride_height"))
"""What the tables of operators that slide a window begin with."""


def quiet(slot: int, kind: str, name: str, default: int | float | bool = 0) -> OptionField:
    """A setting that few files use."""
    return OptionField(slot, kind, name, default, True)


def flag(slot: int, name: str, default: bool = False) -> OptionField:
    """A yes or no."""
    return OptionField(slot, "bool", name, default)


def fraction(slot: int, name: str) -> OptionField:
    """A number with a fraction."""
    return OptionField(slot, "float", name, 0.0)


def asymmetric(slot: int) -> OptionField:
    """Whether dynamic-range arithmetic quantises its inputs with a zero point."""
    return quiet(slot, "bool", "asymmetric_quantize_inputs", False)
