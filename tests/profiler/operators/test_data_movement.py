import numpy as np
import pytest

from profiler import operators
from profiler.network import Layer, Tensor
from profiler.operators import reduction, reshaping, slicing
from profiler.probes import Probe
from profiler.tflite import encode

interpreter = pytest.importorskip("ai_edge_litert.interpreter")

ROW = np.arange(6, dtype=np.float32)


def run(layer, *values):
    """Outputs of a probe of `layer` on `values`, under the runtime's default kernels."""
    runner = interpreter.Interpreter(model_content=encode(Probe("layer", (layer,)).lay_out()), num_threads=1)
    runner.allocate_tensors()
    for detail, value in zip(runner.get_input_details(), values, strict=True):
        runner.set_tensor(detail["index"], np.asarray(value, detail["dtype"]))
    runner.invoke()
    return [runner.get_tensor(detail["index"]).tolist() for detail in runner.get_output_details()]


@pytest.mark.parametrize(
    ("layer", "values", "expected"),
    [
        (operators.split((1, 6), 1, 3), [ROW.reshape(1, 6)], [[[0, 1]], [[2, 3]], [[4, 5]]]),
        (operators.unpack((2, 3), 0), [ROW.reshape(2, 3)], [[0, 1, 2], [3, 4, 5]]),
        (operators.pack(2, (3,), 1), [[0, 1, 2], [3, 4, 5]], [[[0, 3], [1, 4], [2, 5]]]),
        (operators.strided_slice((2, 3), ((1, 1, 1), (0, 2, 2)), (0,)), [ROW.reshape(2, 3)], [[3, 5]]),
        (slicing.slice_((2, 3), 1, 1, 2), [ROW.reshape(2, 3)], [[[1, 2], [4, 5]]]),
        (operators.gather((2, 3), (), 0), [ROW.reshape(2, 3), 1], [[3, 4, 5]]),
        (operators.gather((2, 3), (4,), 1, stored=True), [ROW.reshape(2, 3)], [[[0, 1, 2, 0], [3, 4, 5, 3]]]),
        (operators.tile((1, 2), (2, 2)), [[[0, 1]]], [[[0, 1, 0, 1], [0, 1, 0, 1]]]),
        (operators.broadcast_to((2, 1), (2, 3)), [[[4], [5]]], [[[4, 4, 4], [5, 5, 5]]]),
        (slicing.one_hot((2,), 3), [[2, 0]], [[[0, 0, 1], [1, 0, 0]]]),
        (reshaping.reverse((1, 3), 1), [[[0, 1, 2]]], [[[2, 1, 0]]]),
        (operators.shape_of((1, 5)), [np.zeros((1, 5))], [[1, 5]]),
        (reduction.arg_max((2, 3)), [[[0, 7, 1], [9, 1, 2]]], [[1, 0]]),
        (reduction.cumsum((1, 3), 1), [[[1, 2, 3]]], [[[1, 3, 6]]]),
        (reduction.top_k(1, 4, 2), [[[3, 9, 1, 5]]], [[[9, 5]], [[1, 3]]]),
        (reshaping.blocks("space_to_depth", 2, 2, 1, 2), [ROW[:4].reshape(1, 2, 2, 1)], [[[[[0, 1, 2, 3]]]]]),
        (reshaping.blocks("depth_to_space", 1, 1, 4, 2), [ROW[:4].reshape(1, 1, 1, 4)], [[[[[0], [1]], [[2], [3]]]]]),
        (
            reshaping.blocks("space_to_batch_nd", 2, 2, 1, 2),
            [ROW[:4].reshape(1, 2, 2, 1)],
            [[[[[0]]], [[[1]]], [[[2]]], [[[3]]]]],
        ),
        (
            reshaping.blocks("batch_to_space_nd", 1, 1, 1, 2),
            [ROW[:4].reshape(4, 1, 1, 1)],
            [[[[[0], [1]], [[2], [3]]]]],
        ),
        (operators.pad((1, 3), ((0, 0), (2, 0)), op="mirror_pad"), [[[0, 1, 2]]], [[[2, 1, 0, 1, 2]]]),
        (operators.compare("greater", (3,), (3,)), [[0, 2, 1], [1, 1, 1]], [[False, True, False]]),
    ],
)  # fmt: skip
def test_a_probe_does_what_its_operator_says(layer, values, expected):
    found = run(layer, *values)
    assert found == expected
    assert [np.shape(value) for value in found] == [tensor.shape for tensor in layer.outputs]


def test_a_grouped_convolution_sees_the_channels_of_its_group():
    layer = operators.grouped_conv_2d(1, 1, 2, 4, 2, (1, 1))
    plan = Probe("layer", (layer,)).lay_out()
    plan.tensors[1].data = np.array([[1, 2], [3, 4]], np.float32).reshape(2, 1, 1, 2)
    plan.tensors[2].data = np.zeros(2, np.float32)
    runner = interpreter.Interpreter(model_content=encode(plan), num_threads=1)
    runner.allocate_tensors()
    runner.set_tensor(runner.get_input_details()[0]["index"], np.array([[[[1, 1, 10, 10]]]], np.float32))
    runner.invoke()
    assert runner.get_tensor(runner.get_output_details()[0]["index"]).ravel().tolist() == [3, 70]


@pytest.mark.parametrize(
    ("layer", "dtype"),
    [
        (operators.gather((500, 8), (1, 4), table=True), "float32"),
        (operators.gather((5,), (), dtype="int32"), "int32"),
        (slicing.one_hot((1, 4), 8), "float32"),
        (operators.compare("less", (), (), "int32", constant=True), "int32"),
        (
            Layer(
                "select_v2", (Tensor((4,), "bool"), Tensor((4,), "int8"), Tensor((4,), "int8")), (Tensor((4,), "int8"),)
            ),
            "int8",
        ),
    ],
)  # fmt: skip
def test_indices_and_masks_do_not_make_the_arithmetic(layer, dtype):
    assert layer.dtype == dtype
