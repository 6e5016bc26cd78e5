"""Closing the shapes that a `.tflite` file leaves open: by its inputs' shapes, and by what the runtime makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import NamedTuple

from profiler.errors import ModelFileError, UsageError
from profiler.operators import operator
from profiler.tflite.graph import RawGraph, RawModel, RawOperator
from profiler.tflite.shapes_from_runtime import Shapes, runtime_shapes

InputShape = Sequence[int] | Mapping[str, Sequence[int]]

_WITHOUT_SHAPES = frozenset({"resource", "variant", "string", "bool", "int32", "int64"})
"""Types whose single numbers are counters, conditions and handles: they are what they seem."""


class ClosedShapes(NamedTuple):
    """What was assumed: an open batch is 1; shapes that depend on data are as the file has them."""

    assumed_batch: bool
    guessed: bool


def close_shapes(
    model: RawModel, source: Path | bytes, shown: str, input_shape: InputShape | None
) -> ClosedShapes:
    """Give every tensor of `model` a shape without open dimensions, as the runtime will have it.

    Raises ModelFileError where more than the batch is open and not given, or the runtime cannot work out the rest; UsageError
    where `input_shape` does not fit.
    """
    main = model.graphs[0]
    if input_shape is not None:
        _apply(model, _ask(model, source, shown, _given_shapes(main, input_shape, shown)))
        return ClosedShapes(False, False)
    assumed_batch = _close_batch(main, shown)
    return ClosedShapes(assumed_batch, _resolve_open_shapes(model, source, shown))


def _ask(
    model: RawModel, source: Path | bytes, shown: str, given: Mapping[int, tuple[int, ...]]
) -> list[Shapes]:
    try:
        return runtime_shapes(source, shown, given)
    except ModelFileError as error:
        names = {stored.op for graph in model.graphs for stored in graph.operators}
        flex = sorted(name.removeprefix("custom:") for name in names if name.startswith("custom:Flex"))
        if not flex:
            raise
        raise ModelFileError(
            f"{shown} leaves shapes open behind operators that only the Flex delegate runs ({', '.join(flex)}), which this "
            "runtime has not: export it again without Select TensorFlow operators."
        ) from error


def _close_batch(main: RawGraph, shown: str) -> bool:
    """Take open batches as 1; whether there were any."""
    assumed = False
    for index in main.inputs:
        tensor = main.tensors[index]
        open_axes = [i for i, n in enumerate(tensor.signature or tensor.shape) if n < 0]
        if not open_axes:
            continue
        if open_axes != [0]:
            raise _open_inputs(main, shown)
        assumed = True
    for tensor in main.tensors:
        if tensor.shape and tensor.shape[0] < 0:
            tensor.shape = (1, *tensor.shape[1:])
    return assumed


def _open_inputs(main: RawGraph, shown: str) -> ModelFileError:
    """Ask for the shape of every input that leaves more than its batch open, by name."""
    shapes = {i: main.tensors[i].signature or main.tensors[i].shape for i in main.inputs}
    names = {i: _plain(main.tensors[i].name) for i, shape in shapes.items() if min(shape[1:], default=0) < 0}
    inputs = " and ".join(f"{name!r} ({list(shapes[i])})" for i, name in names.items())
    examples = [
        (f"{name}=" if len(main.inputs) > 1 else "")
        + ",".join(str(n) if n > 0 else "1" if axis == 0 else "N" for axis, n in enumerate(shapes[i]))
        for i, name in names.items()
    ]
    return ModelFileError(
        f"{shown} leaves dimensions of input{'s' * (len(names) > 1)} {inputs} open: "
        f"give them with --input-shape, such as {' --input-shape '.join(examples)}."
    )


def _resolve_open_shapes(model: RawModel, source: Path | bytes, shown: str) -> bool:
    """Ask the runtime where stored shapes may be mere placeholders; whether they had to be taken as they are."""
    main = model.graphs[0]
    contradiction = _contradicts_itself(main) or any(_impossible(main, stored) for stored in main.operators)
    results = (main.tensors[i] for stored in main.operators for i in stored.outputs)
    # Beyond the batch.
    is_open = any(min((*tensor.signature[1:], *tensor.shape), default=0) < 0 for tensor in results)
    unrecorded = any(_unrecorded(graph, stored) for graph in model.graphs for stored in graph.operators)
    if not contradiction and not is_open and not unrecorded:
        return False
    try:
        _apply(model, _ask(model, source, shown, {}))
    except ModelFileError:
        # No runtime, or one that lacks an operator. Placeholders that fit together are good enough.
        if contradiction:
            raise
        return True
    return False


def _contradicts_itself(main: RawGraph) -> bool:
    """Whether a change of shape would have to make or lose elements: the open batch was not 1 there."""
    for stored in main.operators:
        if stored.op == "reshape" and stored.inputs and stored.inputs[0] >= 0 and stored.outputs:
            before, after = main.tensors[stored.inputs[0]], main.tensors[stored.outputs[0]]
            may_differ = min(after.signature, default=0) < 0 or not after.ranked
            if may_differ and prod(before.shape) != prod(after.shape):
                return True
    return False


def _unrecorded(graph: RawGraph, stored: RawOperator) -> bool:
    """Whether the file may have left out the shape of a result, which then looks like a single number's."""
    if not any(i >= 0 and graph.tensors[i].shape and not graph.tensors[i].stored for i in stored.inputs):
        return False
    results = (graph.tensors[i] for i in stored.outputs)
    return any(not t.ranked and not t.stored and t.dtype not in _WITHOUT_SHAPES for t in results)


def _impossible(graph: RawGraph, stored: RawOperator) -> bool:
    """Whether an operator that needs several dimensions finds none in what it reads."""
    if not operator(stored.op).file.kernel:
        return False
    slot = operator(stored.op).file.data_slot
    return (
        slot < len(stored.inputs)
        and stored.inputs[slot] >= 0
        and not graph.tensors[stored.inputs[slot]].ranked
    )


def _given_shapes(main: RawGraph, given: InputShape, shown: str) -> dict[int, tuple[int, ...]]:
    names = {_plain(main.tensors[i].name): i for i in main.inputs}
    if isinstance(given, Mapping):
        wanted = {_plain(key): tuple(int(n) for n in shape) for key, shape in given.items()}
    elif len(main.inputs) == 1:
        wanted = {next(iter(names)): tuple(int(n) for n in given)}
    else:
        raise UsageError(f"{shown} has the inputs {', '.join(names)}: give a shape for each by its name.")
    shapes: dict[int, tuple[int, ...]] = {}
    for key, shape in wanted.items():
        if key not in names:
            raise UsageError(f"{shown} has no input {key!r}, only {', '.join(names)}: name one of them.")
        tensor = main.tensors[names[key]]
        pattern = tensor.signature or tensor.shape
        if not _fits(shape, pattern):
            raise UsageError(
                f"Input shape {list(shape)} does not fit input {key!r} of {shown}, {list(pattern)}."
            )
        shapes[names[key]] = shape
    return shapes


def _fits(shape: tuple[int, ...], pattern: tuple[int, ...]) -> bool:
    """Whether an input of `pattern` (open dimensions are -1) can be given as `shape`."""
    # The runtime would take nearly anything and compute nonsense, such as a dense layer on half of its inputs. Channels
    # are what weights are made for; height, width and steps of a network of fixed shape may be tried at other sizes.
    if len(pattern) != len(shape) or min(shape, default=1) < 1:
        return False
    closed = min(pattern, default=0) >= 0
    last = len(pattern) - 1
    return all(
        axis == 0 or wanted < 0 or wanted == given or (closed and axis < last)
        for axis, (wanted, given) in enumerate(zip(pattern, shape, strict=True))
    )


def _plain(name: str) -> str:
    """An input's name as its author knows it."""
    return name.removeprefix("serving_default_").split(":")[0]


def _apply(model: RawModel, shapes: Sequence[Mapping[int, tuple[int, ...]]]) -> None:
    for graph, known in zip(model.graphs, shapes, strict=False):
        for index, tensor in enumerate(graph.tensors):
            if not tensor.stored:
                tensor.shape = known.get(index, tensor.shape)
