"""Files that no converter writes every day, each of them sound."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from profiler.devices import LocalTarget
from profiler.errors import ModelFileError, TargetError
from profiler.measurement import measure_network
from profiler.operators import FORM, draw_layer, with_dtype
from profiler.probes import Probe
from profiler.tflite import read_network
from profiler.tflite.flatbuffer import Buffer
from profiler.tflite.graph import read_model
from tests.odd_files import OddFile, empty_file, endless_loop, schema
from timemodel.features import kernel_of


def test_a_file_without_operators_is_refused():
    with pytest.raises(ModelFileError, match="holds no operators"):
        read_network(empty_file())


def test_variables_and_call_once_are_layers_without_operands():
    file = OddFile()
    main, first = file.graph(), file.graph()
    given, handle, old = main.tensor((1, 8)), main.tensor(dtype="resource"), main.tensor((1, 8))
    main.op("CALL_ONCE", [], [], "CallOnceOptions", initSubgraphIndex=1)
    main.op("VAR_HANDLE", [], [handle], "VarHandleOptions", sharedName=b"state")
    main.op("READ_VARIABLE", [handle], [old])
    main.op("ASSIGN_VARIABLE", [handle, given], [])
    main.ends([given], [old])
    handle, zeros = first.tensor(dtype="resource"), first.tensor((1, 8), data=np.zeros((1, 8)))
    first.op("VAR_HANDLE", [], [handle], "VarHandleOptions", sharedName=b"state")
    first.op("ASSIGN_VARIABLE", [handle, zeros], [])
    first.ends([], [])
    network = read_network(file.content())
    assert [layer.op for layer in network.layers] == [
        "call_once", "var_handle", "read_variable", "assign_variable",
    ]  # fmt: skip
    assert "once" in network.metadata


def _late_shapes() -> bytes:
    """A padded convolution and a mean whose shapes the file leaves out."""
    file = OddFile()
    graph = file.graph()
    given, padded, made, mean = graph.tensor((1, 8, 8, 3)), graph.tensor(), graph.tensor(), graph.tensor()
    weights, result = graph.tensor((6, 3, 3, 3), data=np.ones((6, 3, 3, 3))), graph.tensor((1, 4))
    bias = graph.tensor((6,), data=np.zeros(6))
    pads = graph.tensor((4, 2), "int32", [[0, 0], [1, 1], [1, 1], [0, 0]])
    axes = graph.tensor((2,), "int32", [1, 2])
    graph.op("PAD", [given, pads], [padded], "PadOptions")
    graph.op(
        "CONV_2D", [padded, weights, bias], [made], "Conv2DOptions", strideH=1, strideW=1, padding=1, dilationHFactor=1,
        dilationWFactor=1,
    )  # fmt: skip
    graph.op("MEAN", [made, axes], [mean], "ReducerOptions")
    graph.dense(mean, 6, 4, result)
    graph.ends([given], [result])
    return file.content()


def test_shapes_that_the_file_leaves_out_are_worked_out_by_the_runtime():
    network = read_network(_late_shapes())
    assert [layer.outputs[0].shape for layer in network.layers] == [
        (1, 10, 10, 3), (1, 8, 8, 6), (1, 6), (1, 4),
    ]  # fmt: skip
    assert network.layers[1].macs == 8 * 8 * 6 * 27


def test_what_the_runtime_cannot_work_out_either_is_refused_with_its_reason():
    file = OddFile()
    graph = file.graph()
    given, flat, result = graph.tensor((1, 4, 4)), graph.tensor(), graph.tensor((1, 16))
    graph.op("RESHAPE", [given], [flat])  # nothing says to which shape
    graph.op("ADD", [flat, flat], [result], "AddOptions")
    graph.ends([given], [result])
    with pytest.raises(ModelFileError, match="cannot work out the shapes"):
        read_network(file.content())


def test_every_open_input_is_asked_for_by_name():
    file = OddFile()
    graph = file.graph()
    one, other, result = (
        graph.tensor((1, 1), name=name, signature=[1, -1]) for name in ("left", "right", "sum")
    )
    graph.op("ADD", [one, other], [result], "AddOptions")
    graph.ends([one, other], [result])
    with pytest.raises(ModelFileError, match=r"'left' .* and 'right' .*left=1,N --input-shape right=1,N"):
        read_network(file.content())


def test_shapes_that_only_the_flex_delegate_knows_are_blamed_on_it():
    file = OddFile()
    graph = file.graph()
    given = graph.tensor((1, 8), signature=[1, -1])
    made, result = graph.tensor((1, 8), signature=[1, -1]), graph.tensor((1, 8), signature=[1, -1])
    graph.op("FlexErf", [given], [made])
    graph.op("ADD", [made, made], [result], "AddOptions")
    graph.ends([given], [result])
    with pytest.raises(ModelFileError, match=r"Flex delegate runs \(FlexErf\).*without Select TensorFlow"):
        read_network(file.content(), (1, 8))


@pytest.mark.parametrize("shape", [(), (1, 2, 3, 4, 5), (1, 2, 1, 3, 1, 4), (0, 4)])
def test_ranks_from_0_to_6_and_no_elements_are_read(shape):
    file = OddFile()
    graph = file.graph()
    given, result = graph.tensor(shape), graph.tensor(shape)
    graph.op("ADD", [given, given], [result], "AddOptions")
    graph.ends([given], [result])
    (layer,) = read_network(file.content()).layers
    assert layer.outputs[0].shape == shape


def test_scales_of_each_channel_may_differ_at_a_concatenation():
    file = OddFile()
    graph = file.graph()
    one, other = graph.tensor((1, 4), "int8", scales=[0.1]), graph.tensor((1, 4), "int8", scales=[0.2])
    result = graph.tensor((1, 8), "int8", scales=[0.1] * 4 + [0.2] * 4, axis=1)
    graph.op("CONCATENATION", [one, other], [result], "ConcatenationOptions", axis=1)
    graph.ends([one, other], [result])
    (layer,) = read_network(file.content()).layers
    assert (layer.dtype, layer.params["axis"]) == ("int8", 1)


@pytest.mark.parametrize(
    ("data", "weights", "bias", "dtype"),
    [("uint8", "uint8", "int32", "uint8"), ("int16", "int8", "int64", "int16"), ("float32", "int8", "float32", "dynamic_int8")],
)  # fmt: skip
def test_number_types_of_old_and_wide_quantisation_are_named(data, weights, bias, dtype):
    file = OddFile()
    graph = file.graph()
    more = {} if data == "float32" else {"scales": [0.1]}
    given, result = graph.tensor((1, 4), data, **more), graph.tensor((1, 2), data, **more)
    kernel = graph.tensor((2, 4), weights, np.ones((2, 4)), scales=[0.1])
    graph.op("FULLY_CONNECTED", [given, kernel, graph.tensor((2,), bias, [0, 0])], [result])
    graph.ends([given], [result])
    network = read_network(file.content())
    assert (network.dtype, network.macs) == (dtype, 8)


def test_weights_may_lie_behind_2_gb(tmp_path: Path):
    file = OddFile()
    graph = file.graph()
    given, result = graph.tensor((1, 4)), graph.tensor((1, 2))
    graph.dense(given, 4, 2, result)
    graph.ends([given], [result])
    (weights,) = file.model.buffers[1:]
    values, place = bytes(weights.data), 2**31 + 64
    weights.data, weights.offset, weights.size = None, place, len(values)
    path = tmp_path / "large.tflite"
    with path.open("wb") as out:  # what lies between takes no room on the disk
        out.write(file.content())
        out.seek(place)
        out.write(values)
    network = read_network(path)
    assert (network.weight_bytes, network.macs, network.file_bytes) == (32, 8, place + 32)


def test_a_loop_of_unknown_length_is_counted_once_or_as_often_as_is_said():
    network = read_network(endless_loop())
    assert network.unknown_loops == ("loop",)
    assert [layer.repeat for layer in network.layers] == [1, 2, 1]
    told = read_network(endless_loop(), turns=7)
    assert told.unknown_loops == ()
    assert [layer.repeat for layer in told.layers] == [1, 8, 7]


def test_a_network_that_never_ends_is_given_up_and_the_next_one_measured():
    with LocalTarget() as target:
        target.time_limit_s = 1.0
        with pytest.raises(TargetError, match="did not end within 1 s"):
            measure_network(endless_loop(), target, per_layer=False, seconds=0.05)
        target.time_limit_s = None
        file = OddFile()
        graph = file.graph()
        given, result = graph.tensor((1, 4)), graph.tensor((1, 2))
        graph.dense(given, 4, 2, result)
        graph.ends([given], [result])
        assert measure_network(file.content(), target, per_layer=False, seconds=0.05).runs >= 5


def test_a_convolution_whose_shapes_the_file_leaves_out_runs_in_another_kernel():
    layers = read_network(_late_shapes()).layers
    assert [kernel_of(layer) for layer in layers] == ["pad", "conv_2d:late", "mean", "fully_connected"]
    drawn = draw_layer("conv_2d:late", "float32", np.random.default_rng(0))
    assert kernel_of(drawn) == "conv_2d:late"
    assert read_model(Buffer(Probe("layer", (drawn,)).build())).graphs[0].tensors[-1].shape == ()
    assert FORM not in with_dtype(drawn, "int8").params


def test_sparse_weights_are_no_ordinary_ones():
    file = OddFile()
    graph = file.graph()
    given, result = graph.tensor((1, 4)), graph.tensor((1, 2))
    graph.dense(given, 4, 2, result)
    weights = file.model.subgraphs[0].tensors[2]
    weights.sparsity = schema.SparsityParametersT()
    weights.sparsity.traversalOrder = [0, 1]
    graph.ends([given], [result])
    assert kernel_of(read_network(file.content()).layers[0]) == "fully_connected:sparse"


def _nested(depth: int) -> bytes:
    """Branches in branches, each graph calling the next."""
    file = OddFile()
    graphs = [file.graph() for _ in range(depth)]
    for number, graph in enumerate(graphs, 1):
        truth, given, result = graph.tensor(dtype="bool"), graph.tensor((1, 4)), graph.tensor((1, 4))
        if number < depth:
            called = {"thenSubgraphIndex": number, "elseSubgraphIndex": number}
            graph.op("IF", [truth, truth, given], [result], "IfOptions", **called)
        else:
            graph.op("RELU", [given], [result])
        graph.ends([truth, given], [result])
    return file.content()


def test_graphs_may_call_each_other_only_so_deep():
    assert len(read_network(_nested(20)).layers) == 20
    with pytest.raises(ModelFileError, match="more than 64 deep"):
        read_network(_nested(400))


def test_a_tensor_that_no_memory_holds_is_damaged():
    file = OddFile()
    graph = file.graph()
    given, result = graph.tensor((2**30, 2**30)), graph.tensor((2**30, 2**30))
    graph.op("RELU", [given], [result])
    graph.ends([given], [result])
    with pytest.raises(ModelFileError, match="which no memory holds"):
        read_network(file.content())


def test_the_name_of_a_custom_operator_stays_on_its_line():
    file = OddFile()
    graph = file.graph()
    given, result = graph.tensor((1, 4)), graph.tensor((1, 4))
    graph.op("Mine\r\nedgetime: all is well" + 1000 * "x", [given], [result])
    graph.ends([given], [result])
    (layer,) = read_network(file.content()).layers
    assert layer.op.startswith("custom:Mine edgetime: all is well")
    assert len(layer.op) < 100


def test_loops_that_share_a_body_are_priced_each_by_its_own_turns():
    file = OddFile()
    main, condition, body = file.graph(), file.graph(), file.graph()
    given = state = main.tensor((1, 4))
    for start in (0, 2):
        counter = main.tensor((), "int32", start)
        ends = main.tensor((), "int32"), main.tensor((1, 4))
        main.op(
            "WHILE", [counter, state], list(ends), "WhileOptions", condSubgraphIndex=1, bodySubgraphIndex=2
        )
        state = ends[1]
    main.ends([given], [state])
    counter, state, below = (
        condition.tensor((), "int32"),
        condition.tensor((1, 4)),
        condition.tensor((), "bool"),
    )
    condition.op("LESS", [counter, condition.tensor((), "int32", 5)], [below])
    condition.ends([counter, state], [below])
    counter, state, after = body.tensor((), "int32"), body.tensor((1, 4)), body.tensor((), "int32")
    body.op("ADD", [counter, body.tensor((), "int32", 1)], [after], "AddOptions")
    result = body.tensor((1, 4))
    body.dense(state, 4, 4, result)
    body.ends([counter, state], [after, result])
    layers = read_network(file.content()).layers
    assert [layer.repeat for layer in layers if layer.op == "fully_connected"] == [5, 3]
