"""The suite for operators: ours pass, and each mistake is found."""

from __future__ import annotations

from dataclasses import replace

import pytest

from profiler.operators import (
    FileFormat,
    OptionField,
    ReferenceLayers,
    drawn,
    operator,
    operators,
    registry,
    unary,
)
from profiler.testing import check_operator


@pytest.mark.parametrize("name", [entry.name for entry in operators()])
def test_every_operator_passes(name):
    check_operator(operator(name))


_CALLS: list[int] = []


def _forgetful(op, rng, dtype):
    _CALLS.append(1)
    return unary("relu", (1, 1, len(_CALLS), 8), dtype)


def _hidden(op, rng, dtype):
    """Says of itself what no file can say."""
    return replace(unary("relu", (1, 4, 4, 8), dtype), params={"secret": 3})


def _stored(op, rng, dtype):
    """Its result is marked as one that is stored."""
    layer = unary("relu", (1, 4, 4, 8), dtype)
    return replace(layer, outputs=(replace(layer.outputs[0], constant=True),))


@pytest.mark.parametrize(
    ("op", "wrong", "says"),
    [
        ("relu", {"name": "made_up"}, "no .tflite file can name it"),
        ("relu", {"draws": drawn(_forgetful, float64=(3, 2000))}, "unknown arithmetic"),
        ("relu", {"draws": drawn(_forgetful, float32=(0, 2000))}, "has no probes"),
        ("relu", {"draws": drawn(_forgetful, float32=(3, 2000))}, "the same seed draws other layers"),
        ("relu", {"draws": operator("quantize").draws}, "layers of another operator"),
        ("relu", {"draws": drawn(_hidden, float32=(3, 2000))}, "secret 3 is read back as None"),
        ("relu", {"draws": drawn(_stored, float32=(3, 2000))}, "operands .* are read back as"),
        ("custom:MaxUnpooling2D", {"draws": drawn(_stored, float32=(3, 2000))}, "layers of another operator"),
        (
            "leaky_relu",
            {"file": FileFormat(75, (OptionField(0, "float", "slope"),))},
            "alpha|slope",
        ),
        ("reshape", {"resized": None}, "new_shape"),
        ("relu", {"events": {"Clamp": 7.0}}, "must be at least 0 and below 3"),
        (
            "relu",
            {"reference": ReferenceLayers(lambda op, dtype, sizes: unary("tanh", (1, 8)), [{}])},
            "reference layers are of another operator",
        ),
    ],
)
def test_a_mistake_is_found(monkeypatch, op, wrong, says):
    entry = replace(operator(op), **wrong)
    monkeypatch.setitem(registry._OPERATORS, entry.name, entry)
    with pytest.raises(AssertionError, match=says):
        check_operator(entry)


def test_a_custom_operator_that_the_runtime_lacks_passes(monkeypatch):
    entry = replace(operator("custom:MaxUnpooling2D"), name="custom:MyOwn")
    monkeypatch.setitem(registry._OPERATORS, entry.name, entry)
    check_operator(entry)


def test_what_is_not_registered_fails():
    with pytest.raises(AssertionError, match="not registered"):
        check_operator(replace(operator("relu")))
