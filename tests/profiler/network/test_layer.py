from __future__ import annotations

import dataclasses
import json
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler import Layer, Tensor
from profiler.network import DTYPE_BYTES

DATA, WEIGHTS = Tensor((1, 8, 8, 3)), Tensor((16, 3, 3, 3), constant=True)


def convolution(data="float32", weights="float32", bias="float32") -> Layer:
    """3 x 3 over 8 x 8 x 3 to 4 x 4 x 16."""
    return Layer(
        "conv_2d",
        (Tensor((1, 8, 8, 3), data), Tensor((16, 3, 3, 3), weights, True), Tensor((16,), bias, True)),
        (Tensor((1, 4, 4, 16), data),),
        {"stride_height": 2, "stride_width": 2, "kernel_height": 3, "kernel_width": 3, "padding": "same"},
    )


def _layer(op: str, inputs: list, output: tuple[int, ...], **params) -> Layer:
    tensors = tuple(t if isinstance(t, Tensor) else Tensor(t, "float32", i > 0) for i, t in enumerate(inputs))
    return Layer(op, tensors, (Tensor(output),), params)


@pytest.mark.parametrize(
    ("layer", "macs"),
    [
        (convolution(), 4 * 4 * 16 * 3 * 3 * 3),
        # Four groups: each output channel sees 2 of 8 input channels.
        (_layer("conv_2d", [(1, 5, 5, 8), (12, 1, 1, 2)], (1, 5, 5, 12)), 5 * 5 * 12 * 2),
        (_layer("depthwise_conv_2d", [(1, 9, 9, 4), (1, 3, 5, 8)], (1, 7, 5, 8)), 7 * 5 * 8 * 3 * 5),
        # Every input element meets every weight of its channel.
        (
            _layer("transpose_conv", [Tensor((4,), "int32", True), (6, 2, 2, 5), Tensor((1, 3, 3, 5))], (1, 6, 6, 6)),
            3 * 3 * 5 * 6 * 2 * 2,
        ),
        (_layer("fully_connected", [(7, 20), (10, 20), (10,)], (7, 10)), 7 * 20 * 10),
        (_layer("conv_3d", [(1, 4, 4, 4, 2), (3, 3, 3, 2, 5)], (1, 2, 2, 2, 5)), 8 * 5 * 27 * 2),
        # Of a transposed one each input meets all weights of its channel.
        (
            _layer(
                "conv_3d_transpose",
                [Tensor((5,), "int32", True), (2, 2, 2, 5, 3), Tensor((1, 2, 2, 2, 3))],
                (1, 4, 4, 4, 5),
            ),
            8 * 3 * 8 * 5,
        ),
        (_layer("conv_3d_transpose", [(5,), (2, 2, 2, 5, 3)], (1, 4, 4, 4, 5)), 0),
        (_layer("batch_matmul", [(2, 3, 4), Tensor((2, 4, 5))], (2, 3, 5), adj_x=False), 2 * 3 * 5 * 4),
        (_layer("batch_matmul", [(2, 4, 3), Tensor((2, 4, 5))], (2, 3, 5), adj_x=True), 2 * 3 * 5 * 4),
        (_layer("add", [(1, 8), Tensor((1, 8))], (1, 8)), 0),
        (_layer("fully_connected", [(1, 4), (0, 4)], (1, 0)), 0),
        (Layer("custom:None", (), ()), 0),
    ],
)  # fmt: skip
def test_multiply_accumulates_by_hand(layer, macs):
    assert layer.macs == macs


def test_lstm_multiplies_each_step_with_all_its_matrices():
    gates = [Tensor((6, 4), constant=True)] * 4 + [Tensor((6, 6), constant=True)] * 4
    biases = [Tensor((6,), constant=True)] * 4
    layer = _layer("unidirectional_sequence_lstm", [(1, 10, 4), *gates, *biases], (1, 10, 6))
    assert layer.macs == 10 * 4 * (6 * 4 + 6 * 6)


def test_bytes_and_parameters_by_hand():
    layer = convolution("int8", "int8", "int32")
    assert layer.input_bytes == 8 * 8 * 3
    assert layer.output_bytes == 4 * 4 * 16
    assert layer.weight_bytes == 16 * 27 + 16 * 4
    assert layer.parameters == 16 * 27 + 16
    assert len(layer.activations) == 1
    assert len(layer.weights) == 2


@pytest.mark.parametrize(
    ("dtype", "size", "nbytes"), [("int4", 5, 3), ("float16", 5, 10), ("bool", 5, 5), ("int2", 5, 2)]
)
def test_bytes_of_a_tensor(dtype, size, nbytes):
    assert Tensor((size,), dtype).nbytes == nbytes


def test_scalar_has_one_element():
    assert Tensor(()).size == 1
    assert Tensor(()).nbytes == 4


@pytest.mark.parametrize(
    ("data", "weights", "dtype"),
    [
        ("float32", "float32", "float32"),
        ("float32", "int8", "dynamic_int8"),
        ("float32", "int4", "dynamic_int8"),
        ("int8", "int8", "int8"),
        ("int16", "int8", "int16"),
    ],
)
def test_arithmetic_goes_by_data_and_weights(data, weights, dtype):
    assert convolution(data, weights).dtype == dtype


def test_quantise_goes_by_what_it_starts_from_if_that_is_integer():
    def quantise(source: str, target: str) -> str:
        return Layer("quantize", (Tensor((4,), source),), (Tensor((4,), target),)).dtype

    assert quantise("float32", "int8") == "int8"
    assert quantise("int16", "int8") == "int16"


def test_integer_constant_of_an_elementwise_operator_is_not_dynamic_range():
    layer = Layer("reshape", (Tensor((4,)), Tensor((2,), "int8", True)), (Tensor((2, 2)),))
    assert layer.dtype == "float32"


def test_name_and_index_do_not_matter_for_equality():
    layer = convolution()
    other = replace(layer, name="b", index=7)
    assert other == layer
    assert hash(other) == hash(layer)
    assert other.key == layer.key


@pytest.mark.parametrize(
    "change",
    [
        {"repeat": 3},
        {"op": "depthwise_conv_2d"},
        {"params": {"padding": "valid"}},
        {"outputs": (Tensor((1, 4, 4, 17)),)},
        {"inputs": (Tensor((1, 8, 8, 3), constant=True),)},
    ],
)
def test_everything_else_matters_for_equality(change):
    layer = convolution()
    assert replace(layer, **change) != layer
    assert replace(layer, **change).key != layer.key


def test_order_of_parameters_does_not_matter():
    layer = convolution()
    turned = replace(layer, params=dict(reversed(layer.params.items())))
    assert turned.key == layer.key
    assert turned == layer


shapes = st.lists(st.integers(0, 99), max_size=5).map(tuple)
tensors = st.builds(Tensor, shapes, st.sampled_from(sorted(DTYPE_BYTES)), st.booleans())
params = st.dictionaries(
    st.sampled_from(["axis", "beta", "padding", "perm", "keep_dims"]),
    st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(), st.booleans())
    | st.lists(st.integers()).map(tuple),
)


@given(
    st.builds(
        Layer,
        st.text(min_size=1),
        st.lists(tensors, max_size=4).map(tuple),
        st.lists(tensors, max_size=2).map(tuple),
        params,
        repeat=st.integers(1, 50),
    )
)
def test_json_and_back_is_the_same_layer(layer):
    back = Layer.from_dict(json.loads(json.dumps(layer.to_dict())))
    assert back == layer
    assert back.key == layer.key
    assert Layer.from_dict(layer.to_dict(), name="n", index=3).index == 3


def test_layers_that_were_sent_to_another_process_equal_those_made_there():
    # Texts hash differently in each process, so nothing that follows from a hash may travel along.
    layer = Layer("relu", (Tensor((1, 4)),), (Tensor((1, 4)),), {"axis": (1, 2)})
    assert hash(layer) == hash(dataclasses.replace(layer))
    code = (
        "import pickle, sys; from profiler.network.layer import Layer, Tensor; "
        "layer = pickle.load(sys.stdin.buffer); "
        "print({layer: 'found'}.get(Layer('relu', (Tensor((1, 4)),), (Tensor((1, 4)),), {'axis': (1, 2)})))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps(layer), capture_output=True, check=True,
        env={**os.environ, "PYTHONHASHSEED": "12345"}, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert ran.stdout.split() == [b"found"]
