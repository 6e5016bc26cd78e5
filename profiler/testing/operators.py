"""A suite that every operator's entry must pass, those of this package and your own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from profiler.measurement import DELEGATED, Event, align
from profiler.network import Layer, Tensor
from profiler.operators import DTYPES, FORM, MAX_ELEMENTS, UNPACKED, Operator, draw_layer, operator, shape_of
from profiler.probes import Probe
from profiler.tflite import OPERATORS, read_network
from profiler.widths import Widths

_DRAWN = 5


def check_operator(entry: Operator) -> None:
    """Put an operator's entry through everything that is asked of one.

    In a project of your own this is one test::

        def test_my_operator_passes_the_suite():
            check_operator(register_operator(ATAN2))

    Parameters
    ----------
    entry
        A registered entry.

    Raises
    ------
    AssertionError
        Something is wrong with it; the message says what, a note in which check.
    """
    for name, check in CHECKS.items():
        try:
            check(entry)
        except Exception as error:
            if hasattr(error, "add_note"):
                error.add_note(f"in the check {name!r} of the suite for operators, of {entry.name!r}")
            raise


def check_name(entry: Operator) -> None:
    """It is registered under a name that files have."""
    assert operator(entry.name) is entry, "it is not registered"
    assert entry.name.partition(":")[0] in OPERATORS, "no .tflite file can name it"


def check_draws(entry: Operator) -> None:
    """Its layers are its own, of the arithmetic that was asked for, not too large, and the same for the same seed."""
    assert set(entry.draws) <= set(DTYPES), "it is drawn in an unknown arithmetic"
    for dtype, draws in entry.draws.items():
        assert draws.count > 0, "it is drawn but has no probes"
        first, second = (list(_layers(entry, dtype)) for _ in range(2))
        assert first == second, "the same seed draws other layers"
        assert {layer.op for layer in first} == {_op(entry)}, "it draws layers of another operator"
        assert max(t.size for layer in first for t in layer.outputs) <= MAX_ELEMENTS, (
            "its layers are too large"
        )


def check_file(entry: Operator) -> None:
    """A layer that is written is read back as it was."""
    for dtype in entry.draws:
        for layer in _layers(entry, dtype):
            _assert_read_back(layer)


def check_widths(entry: Operator) -> None:
    """At other widths of what it reads, its results have the shapes that the runtime finds, if there is one here."""
    for dtype in entry.draws:
        for layer in _layers(entry, dtype):
            probe = _between(layer)
            if probe is None:
                continue
            widths = Widths(probe.network)
            wider = {group.id: 2 * group.width for group in widths.groups if group.free}
            changed = widths.with_widths(wider).layers[1]
            _assert_read_back(changed)
            found = _shapes_in_runtime(changed)
            assert found in (None, [t.shape for t in changed.outputs]), (
                f"the runtime finds {found} at widths {wider}"
            )


def _between(layer: Layer) -> Probe | None:
    """`layer` reading from one whose width may change; what it computes is not put out, so it may change too."""
    if not layer.activations or len(layer.activations[0].shape) < 2:
        return None
    first, outside = layer.activations[0], 1
    weights = Tensor((3, first.shape[-1]), first.dtype, True)
    before = Layer("batch_matmul", (Tensor((*first.shape[:-1], 3), first.dtype), weights), (first,))
    sources = []
    for tensor in layer.activations:
        outside += tensor != first
        sources.append(0 if tensor == first else -outside)
    after = shape_of(layer.outputs[0].shape, layer.outputs[0].dtype)
    return Probe("network", (before, layer, after), ((-1,), tuple(sources), (1,)))


def _shapes_in_runtime(layer: Layer) -> list[tuple[int, ...]] | None:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        return None
    interpreter = Interpreter(model_content=Probe("layer", (layer,)).build(), num_threads=1)
    try:
        interpreter.allocate_tensors()
    except RuntimeError as error:
        if "unresolved custom op" in str(error):
            return None
        raise
    return [tuple(map(int, detail["shape"])) for detail in interpreter.get_output_details()]


def check_events(entry: Operator) -> None:
    """An event that bears one of its names is taken for one of its layers."""
    for name, cost in entry.events.items():
        assert 0.0 <= cost < 3.0, f"the cost of the event {name!r} must be at least 0 and below 3"
        layer = Layer(_op(entry), (Tensor((1, 8)),), (Tensor((1, 8)),), index=7)
        assert align([Event(name, DELEGATED, 0, 0, 1.0)], [layer]) == [7], f"an event {name!r} is not found"


def check_reference(entry: Operator) -> None:
    """Its reference layers can be made, at every size that is worth looking at, and written."""
    if entry.reference is None:
        return
    dtype = next(iter(entry.draws), "float32")
    layers = entry.reference_layers(dtype)
    assert layers, "there is no reference layer"
    _assert_read_back(layers[0])
    for axis, values in entry.reference.axes.items():
        for value in values:
            layers += entry.reference_layers(dtype, **{axis: value})
    assert {layer.op for layer in layers} == {_op(entry)}, "its reference layers are of another operator"


CHECKS: Mapping[str, Callable[[Operator], None]] = {
    "name": check_name,
    "draws": check_draws,
    "file": check_file,
    "widths": check_widths,
    "events": check_events,
    "reference": check_reference,
}
"""What is asked of an operator's entry, by name."""


def _op(entry: Operator) -> str:
    """The operator itself, of a kernel that has probes of its own."""
    words = entry.name.split(":")
    return ":".join(words[: 2 if words[0] == "custom" else 1])


def _layers(entry: Operator, dtype: str) -> Iterator[Layer]:
    rng = np.random.default_rng(0)
    return (draw_layer(entry.name, dtype, rng) for _ in range(_DRAWN))


def _assert_read_back(layer: Layer) -> None:
    if FORM in layer.params:
        return  # what the file leaves out only the runtime knows
    # What is unpacked when the network is loaded stands before the layer that uses it.
    read = read_network(Probe("layer", (layer,)).build()).layers[UNPACKED in layer.params]
    assert read.op == layer.op, f"it is read back as {read.op}"
    operands = [
        [(t.shape, t.dtype, t.constant) for t in (*one.inputs, *one.outputs)] for one in (layer, read)
    ]
    assert operands[0] == operands[1], f"operands {operands[0]} are read back as {operands[1]}"
    fields = operator(layer.op).file.fields
    usual = {field.name: field.default for field in fields if field.quiet}
    for name, value in layer.params.items():
        found = read.params.get(name, usual.get(name))
        assert found == value, f"{name} {value} is read back as {found}"
