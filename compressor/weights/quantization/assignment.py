"""A float `.tflite` of which every operator can be given its own precision, by ai-edge-quantizer."""

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from compressor.export import argument_names, quiet, require
from profiler.errors import EdgetimeError, ModelFileError
from profiler.tflite import Buffer, FlatbufferError, RawModel, read_model

FLOAT = "float32"

CHOICES = (FLOAT, "int8", "dynamic")
"""What an operator may be: floats; integers, with the ranges of activations fixed; integer weights, ranges found in every run."""

MOVEMENT = frozenset(
    {
        "batch_to_space_nd",
        "concatenation",
        "depth_to_space",
        "expand_dims",
        "max_pool_2d",
        "pack",
        "pad",
        "padv2",
        "mirror_pad",
        "reshape",
        "slice",
        "space_to_depth",
        "split",
        "squeeze",
        "strided_slice",
        "transpose",
        "unpack",
    }
)
"""Operators that only move or choose numbers take the type that they are given: a conversion costs more than they do."""

Assignment = Mapping[int, str]
"""Operator's index -> one of `CHOICES`; operators that are not named follow what feeds them."""


@dataclass(frozen=True)
class Unit:
    """An operator that can be given a precision of its own: index, kind, name of its output and what it may be."""

    index: int
    op: str
    name: str
    choices: tuple[str, ...]


class QuantizableNetwork:
    """A float32 network of one graph, calibrated once, from which files of any precision per operator are made.

    Parameters
    ----------
    content
        The float32 ``.tflite``.
    rows
        Typical inputs by name [rows, ...].

    Raises
    ------
    ModelFileError
        The file is none.
    EdgetimeError
        The network has loops, or no operator that can become integer.
    """

    def __init__(self, content: bytes, rows: Mapping[str, npt.NDArray]) -> None:
        require("ai_edge_quantizer")
        self.content = content
        self.rows = {name: np.asarray(array) for name, array in rows.items()}
        try:
            self._model: RawModel = read_model(Buffer(content))
        except FlatbufferError as error:
            raise ModelFileError(f"The float network is damaged ({error}): export it again.") from error
        if len(self._model.graphs) != 1:
            raise EdgetimeError(
                "Operators of a network with loops or several parts cannot be quantised one by one: "
                "use --quantize dynamic, or int8, which writes recurrent layers out."
            )
        self._graph = self._model.graphs[0]
        self.ranges: dict[str, Any] = self._calibrate()
        """Smallest and largest value of each tensor on the calibration rows, by name."""

    @cached_property
    def scopes(self) -> tuple[str, ...]:
        """What the quantiser calls each operator: the names of its outputs."""
        tensors = self._graph.tensors
        return tuple(
            "".join(f"{tensors[index].name};" for index in operator.outputs)
            for operator in self._graph.operators
        )

    @cached_property
    def units(self) -> tuple[Unit, ...]:
        """Operators that may differ, in the order of the file; found by trying every choice on all at once."""
        can: dict[int, list[str]] = {}
        for choice in CHOICES[1:]:
            for index in self._changed(self._quantized({"": choice}), choice):
                can.setdefault(index, []).append(choice)
        uses = Counter(self.scopes)
        return tuple(
            Unit(index, operator.op, self._graph.tensors[operator.outputs[0]].name, (FLOAT, *can[index]))
            for index, operator in enumerate(self._graph.operators)
            if index in can and uses[self.scopes[index]] == 1 and operator.op not in MOVEMENT
        )

    def uniform(self, choice: str) -> dict[int, str]:
        """Every operator that can be `choice` is, the others are float."""
        return {unit.index: choice if choice in unit.choices else FLOAT for unit in self.units}

    def build(self, assignment: Assignment, ranges: Mapping[str, Any] | None = None) -> bytes:
        """The `.tflite` in which operators are what `assignment` says; the float network itself where all are float.

        `ranges` take the place of the network's own.
        """
        chosen = {index: choice for index, choice in self._completed(assignment).items() if choice != FLOAT}
        if not chosen:
            return self.content
        return self._quantized({self.scopes[index]: choice for index, choice in chosen.items()}, ranges)

    def with_weights(self, content: bytes) -> QuantizableNetwork:
        """The same network, ranges included, with the weights of another file of the same structure."""
        other = copy.copy(self)
        other.content = content
        return other

    def narrowed(self, factors: Mapping[str, float]) -> dict[str, Any]:
        """`ranges` with those of the named tensors multiplied by a factor; the others as they are."""
        found = dict(self.ranges)
        for name, factor in factors.items():
            found[name] = {
                bound: np.asarray(value) * np.float32(factor) for bound, value in found[name].items()
            }
        return found

    def _completed(self, assignment: Assignment) -> dict[int, str]:
        """The same with operators that only move numbers: integer where what feeds them is."""
        chosen = dict(assignment)
        made_by = {
            tensor: index
            for index, operator in enumerate(self._graph.operators)
            for tensor in operator.outputs
        }
        for index, operator in enumerate(self._graph.operators):
            if index in chosen or operator.op not in MOVEMENT:
                continue
            feeding = {chosen.get(made_by[tensor], FLOAT) for tensor in operator.inputs if tensor in made_by}
            chosen[index] = "int8" if feeding == {"int8"} else FLOAT
        return chosen

    def _quantized(self, choices: Mapping[str, str], ranges: Mapping[str, Any] | None = None) -> bytes:
        """The file with a choice per scope; the scope of no name stands for all operators."""
        from ai_edge_quantizer import qtyping, quantizer

        maker = quantizer.Quantizer(self.content)
        everything = qtyping.TFLOperationName.ALL_SUPPORTED
        for scope, choice in choices.items():
            regex = f"^{re.escape(scope)}$" if scope else ".*"
            if choice == "int8":
                maker.add_static_config(regex, everything, 8, 8)
            else:
                maker.add_dynamic_config(regex, everything, 8)
        for end in (qtyping.TFLOperationName.INPUT, qtyping.TFLOperationName.OUTPUT):
            maker.update_quantization_recipe(
                ".*", end, algorithm_key="no_quantize"
            )  # float32 outside, always
        with quiet():
            known = dict(ranges or self.ranges) if "int8" in choices.values() else None
            made = maker.quantize(known, enable_progress_bar=False, enable_progress_report=False)
        if made.quantized_model is None:
            raise EdgetimeError("ai-edge-quantizer gave no network back: use --quantize int8.")
        return bytes(made.quantized_model)

    def _changed(self, content: bytes, choice: str) -> set[int]:
        """Operators that `choice` changed in a file made of this network, found by the name of their first output."""
        graph = read_model(Buffer(content)).graphs[0]
        places = {
            self._graph.tensors[operator.outputs[0]].name: index
            for index, operator in enumerate(self._graph.operators)
            if operator.outputs
        }
        changed = set()
        for operator in graph.operators:
            result = graph.tensors[operator.outputs[0]]
            operands = [graph.tensors[index] for index in operator.inputs if index >= 0]
            integer = (
                result.dtype == "int8"
                if choice == "int8"
                else any(t.dtype == "int8" and t.stored for t in operands)
            )
            if integer and result.name in places:
                changed.add(places[result.name])
        return changed

    def _calibrate(self) -> dict[str, Any]:
        """Smallest and largest value of every tensor over all rows; the quantiser's own calibration averages them over rows."""
        from ai_edge_litert.interpreter import Interpreter, OpResolverType
        from ai_edge_quantizer import qtyping, quantizer

        maker = quantizer.Quantizer(self.content)
        maker.add_static_config(".*", qtyping.TFLOperationName.ALL_SUPPORTED, 8, 8)
        names = argument_names(self.rows)
        with quiet():
            interpreter = Interpreter(
                model_content=self.content,
                experimental_preserve_all_tensors=True,
                experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            )
            key = next(iter(interpreter.get_signature_list()), None)
            if key is None:
                raise EdgetimeError("The float network has no signature: export it again with edgetime.")
            run = interpreter.get_signature_runner(key)
            first = {names[name]: array[:1] for name, array in self.rows.items()}
            ranges = dict(maker.calibrate({key: [first]}, num_threads=1))
            places = {
                one["name"]: one["index"]
                for one in interpreter.get_tensor_details()
                if ranges.get(one["name"])
            }
            low, high = dict.fromkeys(places, np.inf), dict.fromkeys(places, -np.inf)
            for row in range(len(next(iter(self.rows.values())))):
                run(**{names[name]: array[row : row + 1] for name, array in self.rows.items()})
                for name, index in places.items():
                    value = interpreter.get_tensor(index)
                    low[name], high[name] = min(low[name], value.min()), max(high[name], value.max())
        for name in places:
            shape = np.shape(ranges[name]["min"])
            ranges[name] = ranges[name] | {
                "min": np.full(shape, low[name], np.float32),
                "max": np.full(shape, high[name], np.float32),
            }
        return ranges
