from __future__ import annotations

import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.errors import ModelFileError, UsageError
from profiler.network import peak_memory_bytes
from profiler.operators import conv_2d, operator
from profiler.probes import Probe
from profiler.tflite import OPERATORS, open_shapes, read_network
from profiler.tflite.schema import ACTIVATIONS, TENSOR_TYPES
from profiler.widths import Widths

schema = pytest.importorskip("ai_edge_litert.schema_py_generated")

ATTRIBUTES = {
    "activation": "fusedActivationFunction", "stride_height": "strideH", "stride_width": "strideW",
    "dilation_height": "dilationHFactor", "dilation_width": "dilationWFactor", "kernel_height": "filterHeight",
    "kernel_width": "filterWidth",
}  # fmt: skip
POOLS = ("average_pool_2d", "max_pool_2d")
MODELS = (
    "ad01_fp32", "kws_ref_model_float32", "person_detect", "pretrainedResnet", "pretrainedResnet_quant", "trained_lstm",
)  # fmt: skip


def _parse(data: bytes):
    return schema.ModelT.InitFromPackedBuf(data, 0)


def _pack(model) -> bytes:
    import flatbuffers

    b = flatbuffers.Builder(0)
    b.Finish(model.Pack(b), file_identifier=b"TFL3")
    return bytes(b.Output())


def _assert_agrees(data: bytes) -> None:
    """The main graph as read is what the schema's own code says of it."""
    network, model = read_network(data), _parse(data)
    graph = model.subgraphs[0]
    layers = [(n, e) for n, e in zip(network.layers, network.edges, strict=True) if e.graph == 0]
    assert len(layers) == len(graph.operators)
    assert network.inputs == tuple(graph.inputs)
    assert network.outputs == tuple(graph.outputs)
    stored = {i for i, t in enumerate(graph.tensors) if model.buffers[t.buffer].data is not None and t.buffer}
    for index, (mine, theirs) in enumerate(zip(network.tensors, graph.tensors, strict=False)):
        assert mine.shape == (tuple(theirs.shape) if theirs.shape is not None else ())
        assert mine.dtype == TENSOR_TYPES[theirs.type]
        if index in stored:
            assert mine.constant
    for position, ((layer, edge), theirs) in enumerate(zip(layers, graph.operators, strict=True)):
        code = model.operatorCodes[theirs.opcodeIndex]
        assert layer.op == OPERATORS[max(code.builtinCode, code.deprecatedBuiltinCode)]
        assert layer.index == position
        assert edge.inputs == tuple(i for i in theirs.inputs if i >= 0)
        assert edge.outputs == tuple(theirs.outputs)
        assert layer.inputs == tuple(network.tensors[i] for i in edge.inputs)
        assert layer.name == graph.tensors[theirs.outputs[0]].name.decode()
        _assert_options_agree(layer, theirs.builtinOptions, graph, model)


def _assert_options_agree(layer, options, graph, model) -> None:
    params = dict(layer.params)
    if layer.op in ("conv_2d", "depthwise_conv_2d"):
        assert (params.pop("kernel_height"), params.pop("kernel_width")) == layer.inputs[1].shape[1:3]
    if layer.op == "reshape":
        assert params.pop("new_shape") == layer.outputs[0].shape
    for field in operator(layer.op).file.fields:
        camel = "".join(p if i == 0 else p.capitalize() for i, p in enumerate(field.name.split("_")))
        name = ATTRIBUTES.get(field.name, camel)
        if not hasattr(options, name) or field.name == "new_shape":
            continue
        value = getattr(options, name)
        if field.type == "padding":
            value = ("same", "valid")[value]
        elif field.type == "activation":
            value = ACTIVATIONS[value]
        if field.name == "axis" and value < 0:
            value += len(layer.inputs[0].shape)
        assert params.get(field.name, field.default) == value


@pytest.mark.parametrize("name", MODELS)
def test_published_files_agree_with_the_schema(shared_data, name):
    _assert_agrees((shared_data / "models" / f"{name}.tflite").read_bytes())


@pytest.mark.parametrize("fixture", ["small_cnn", "mobile_network", "efficient_network", "recurrent_network"])
def test_converted_networks_agree_with_the_schema(request, fixture):
    _assert_agrees(request.getfixturevalue(fixture))


def test_layers_of_a_small_network(small_cnn):
    network = read_network(small_cnn)
    by_op = {layer.op: layer for layer in network.layers}
    first = network.layers[0]
    assert (first.op, first.params["stride_height"], first.params["padding"]) == ("conv_2d", 2, "same")
    assert (first.params["activation"], first.params["kernel_width"]) == ("relu", 3)
    assert first.macs == 6 * 5 * 8 * 3 * 3 * 3
    depthwise = by_op["depthwise_conv_2d"]
    assert (depthwise.params["kernel_height"], depthwise.params["kernel_width"]) == (3, 5)
    assert (depthwise.params["depth_multiplier"], depthwise.params["padding"]) == (1, "valid")
    assert by_op["pad"].params["paddings"] == (0, 0, 1, 1, 2, 2, 0, 0)
    assert by_op["concatenation"].params["axis"] == 3
    assert by_op["mean"].params == {"axes": (1, 2), "keep_dims": False}
    assert by_op["resize_bilinear"].params["half_pixel_centers"] is True
    assert by_op["max_pool_2d"].params["kernel_height"] == 2
    assert by_op["softmax"].params == {"beta": 1.0}
    assert network.assumed_batch
    assert network.file_bytes == len(small_cnn)


@pytest.mark.parametrize("optimise", ["float16", "dynamic", "int8"])
def test_quantised_forms_of_a_network(convert, optimise):
    import keras

    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(32, 3)(inputs)
    x = keras.layers.Dense(16)(keras.layers.Flatten()(x))
    data = convert(keras.Model(inputs, x), optimise)
    _assert_agrees(data)
    network = read_network(data)
    convolution = next(layer for layer in network.layers if layer.op == "conv_2d")
    dense = next(layer for layer in network.layers if layer.op == "fully_connected")
    weights = 32 * 27 + 32 + 32 * 36 * 16 + 16
    if optimise == "float16":
        # What the runtime unpacks on loading counts as weights for its users, and once in the file.
        assert convolution.dtype == "float32"
        assert convolution.weights[0].dtype == "float32"
        assert convolution.activations == (network.tensors[network.inputs[0]],)
        assert network.weight_bytes < 2.2 * weights
    else:
        assert dense.dtype == {"dynamic": "dynamic_int8", "int8": "int8"}[optimise]
        assert network.weight_bytes < 1.5 * weights


def test_loop_is_followed_by_its_body(recurrent_network):
    network = read_network(recurrent_network)
    position = next(i for i, layer in enumerate(network.layers) if layer.op == "while")
    inside = [(layer, edge) for layer, edge in zip(network.layers, network.edges, strict=True) if edge.graph]
    assert network.edges[position + 1].graph
    assert {layer.repeat for layer, _ in inside} == {7, 8}
    products = [layer for layer, _ in inside if layer.op == "fully_connected"]
    assert [layer.repeat for layer in products] == [7, 7]
    # Three gates of 6 units, from 4 inputs and from 6 states, 7 times, and the classifier.
    assert network.macs == 7 * (18 * 4 + 18 * 6) + 6 * 3
    assert "turns 7 times" in network.metadata["loops"]
    indices = [layer.index for layer in network.layers]
    assert len(set(indices)) == len(indices)


def test_bytes_path_and_name(small_cnn, tmp_path):
    path = tmp_path / "net.tflite"
    path.write_bytes(small_cnn)
    from_path, from_bytes = read_network(path), read_network(small_cnn, name="net.tflite")
    assert from_path == from_bytes
    assert from_path.name == "net.tflite"
    assert read_network(str(path)) == from_path


def test_weights_are_not_read(tmp_path):
    weights = 48 << 20
    model = _model(
        [("fully_connected", schema.FullyConnectedOptionsT())],
        [(1, 64), (weights >> 8, 64), (1, weights >> 8)],
    )
    model.buffers.append(_buffer(np.zeros(weights, np.uint8)))
    model.subgraphs[0].tensors[1].buffer = 1
    path = tmp_path / "large.tflite"
    path.write_bytes(_pack(model))
    tracemalloc.start()
    network = read_network(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert network.weight_bytes == weights
    assert peak < 2 << 20


# ---- open dimensions


@pytest.fixture(scope="module")
def open_network(convert) -> bytes:
    """Fully convolutional: height and width are open as well as the batch."""
    import keras

    inputs = keras.Input((None, None, 3), name="image")
    x = keras.layers.Conv2D(4, 3, strides=2, padding="same")(inputs)
    return convert(keras.Model(inputs, keras.layers.Conv2D(2, 1)(x)))


def test_open_dimensions_ask_for_the_input_shape(open_network):
    with pytest.raises(ModelFileError, match=r"--input-shape, such as 1,N,N,3"):
        read_network(open_network)


@pytest.mark.parametrize("as_mapping", [False, True])
def test_given_input_shape_reaches_all_layers(open_network, as_mapping):
    (index,) = _parse(open_network).subgraphs[0].inputs
    name = _parse(open_network).subgraphs[0].tensors[index].name.decode()
    network = read_network(open_network, {name: (2, 10, 14, 3)} if as_mapping else (2, 10, 14, 3))
    assert network.layers[0].inputs[0].shape == (2, 10, 14, 3)
    assert network.layers[-1].outputs[0].shape == (2, 5, 7, 2)
    assert not network.assumed_batch


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 8, 8), "does not fit"),
        ((1, 0, 8, 3), "does not fit"),
        ({"nonsense": (1, 8, 8, 3)}, "no input 'nonsense'"),
    ],
)
def test_input_shape_that_does_not_fit_is_the_callers_mistake(open_network, shape, message):
    with pytest.raises(UsageError, match=message):
        read_network(open_network, shape)


def test_dense_layers_are_not_read_with_another_number_of_inputs(convert):
    import keras

    data = convert(keras.Sequential([keras.Input((12,)), keras.layers.Dense(3)]))
    # The runtime itself raises no objection to either.
    for shape in ((1, 2), (1, 24)):
        with pytest.raises(UsageError, match=r"does not fit"):
            read_network(data, shape)
    assert read_network(data, (4, 12)).layers[0].inputs[0].shape == (4, 12)


def test_a_network_of_fixed_shape_can_be_read_at_another_height_and_width():
    data = Probe("any", (conv_2d(8, 8, 3, 4),)).build()
    assert read_network(data, (1, 9, 7, 3)).layers[0].inputs[0].shape == (1, 9, 7, 3)


def test_shape_that_the_runtime_refuses_is_one_sentence(convert):
    import keras

    inputs = keras.Input((None, None, 3))
    flat = keras.layers.Reshape((12,))(inputs)
    data = convert(keras.Model(inputs, keras.layers.Dense(2)(flat)))
    with pytest.raises(ModelFileError, match=r"cannot work out the shapes .*--input-shape"):
        read_network(data, (1, 5, 5, 3))


def test_placeholder_shapes_inside_are_asked_of_the_runtime(convert):
    import keras

    inputs = keras.Input((6, 4))
    flat = keras.layers.Dense(5)(keras.ops.reshape(inputs, (-1, 4)))
    data = convert(keras.Model(inputs, keras.ops.reshape(flat, (-1, 30))))
    dense = next(layer for layer in read_network(data).layers if layer.op == "fully_connected")
    # The file says 1 x 4, because that dimension is as open as the batch.
    assert dense.inputs[0].shape == (6, 4)
    assert dense.macs == 6 * 4 * 5


def test_open_dimension_inside_that_fits_needs_no_runtime(convert, monkeypatch):
    import keras

    data = convert(keras.Model(inputs := keras.Input((6, 4)), keras.ops.transpose(inputs, (1, 0, 2)) * 2.0))
    asked = read_network(data)

    def refuse(*_args):
        raise ModelFileError("no runtime here")

    monkeypatch.setattr(open_shapes, "runtime_shapes", refuse)
    network = read_network(data)
    assert network == asked
    assert next(la for la in network.layers if la.op == "transpose").outputs[0].shape == (6, 1, 4)
    assert "shapes" in network.metadata
    assert "shapes" not in asked.metadata


def test_runtime_that_crashes_is_an_error_and_not_the_end(monkeypatch, open_network):
    import profiler.tflite.shapes_from_runtime as runtime

    monkeypatch.setattr(runtime.sys, "executable", "/bin/false")
    with pytest.raises(ModelFileError, match="it crashed"):
        read_network(open_network, (1, 8, 8, 3))


# ---- files written for the purpose


def _buffer(data: np.ndarray | None):
    buffer = schema.BufferT()
    buffer.data = data
    return buffer


def _tensor(shape, dtype=0, buffer=0, name=b"t"):
    tensor = schema.TensorT()
    tensor.shape, tensor.type, tensor.buffer, tensor.name = list(shape), dtype, buffer, name
    return tensor


def _graph(shapes, inputs, outputs):
    graph = schema.SubGraphT()
    graph.tensors = [_tensor(s, name=f"t{i}".encode()) for i, s in enumerate(shapes)]
    graph.inputs, graph.outputs, graph.operators = list(inputs), list(outputs), []
    return graph


def _operator(code, inputs, outputs, options=None, kind=None):
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = code, list(inputs), list(outputs)
    if options is not None:
        operator.builtinOptions = options
        name = kind or type(options).__name__.removesuffix("T")
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, name)
    return operator


def _code(op):
    code = schema.OperatorCodeT()
    if op.startswith("custom:"):
        code.builtinCode = schema.BuiltinOperator.CUSTOM
        code.customCode = op.removeprefix("custom:").encode()
    else:
        code.builtinCode = getattr(schema.BuiltinOperator, op.upper())
    code.deprecatedBuiltinCode = min(code.builtinCode, 127)
    code.version = 1
    return code


def _model(operators, shapes):
    """One operator after the other, all from the first tensors to the last."""
    model = schema.ModelT()
    model.version, model.description = 3, b""
    model.operatorCodes = [_code(op) for op, _ in operators]
    graph = _graph(shapes, [0], [len(shapes) - 1])
    graph.operators = [
        _operator(i, range(len(shapes) - 1), [len(shapes) - 1], options)
        for i, (_, options) in enumerate(operators)
    ]
    model.subgraphs, model.buffers = [graph], [_buffer(None)]
    return model


def test_custom_operators_keep_their_name():
    network = read_network(_pack(_model([("custom:Fancy", None)], [(1, 2), (1, 3)])))
    assert network.layers[0].op == "custom:Fancy"
    assert network.layers[0].macs == 0


def test_operator_newer_than_the_schema_has_a_number():
    model = _model([("relu", None)], [(1, 2), (1, 2)])
    model.operatorCodes[0].builtinCode, model.operatorCodes[0].deprecatedBuiltinCode = 900, 127
    assert read_network(_pack(model)).layers[0].op == "builtin_900"


def test_absent_operands_are_left_out():
    model = _model([("fully_connected", schema.FullyConnectedOptionsT())], [(1, 4), (3, 4), (1, 3)])
    model.subgraphs[0].operators[0].inputs = [0, 1, -1]
    layer = read_network(_pack(model)).layers[0]
    assert [t.shape for t in layer.inputs] == [(1, 4), (3, 4)]


def test_branch_of_more_work_is_taken():
    options = schema.IfOptionsT()
    options.thenSubgraphIndex, options.elseSubgraphIndex = 1, 2
    model = _model([("if", options), ("relu", None)], [(1,), (1, 4), (1, 4)])
    del model.subgraphs[0].operators[1]
    for count in (1, 3):
        graph = _graph([(1, 4)] * (count + 1), [0], [count])
        graph.operators = [_operator(1, [i], [i + 1]) for i in range(count)]
        model.subgraphs.append(graph)
    network = read_network(_pack(model))
    assert [layer.op for layer in network.layers] == ["if", "relu", "relu", "relu"]
    assert {edge.graph for edge in network.edges} == {0, 2}
    assert "branches" in network.metadata


@pytest.mark.parametrize("target", [0, 5, -1])
def test_calls_that_lead_nowhere_or_in_circles_are_refused(target):
    options = schema.WhileOptionsT()
    options.condSubgraphIndex, options.bodySubgraphIndex = target, target
    with pytest.raises(ModelFileError, match="calls"):
        read_network(_pack(_model([("while", options)], [(1,), (1,)])))


def test_calls_that_multiply_without_end_are_refused():
    model = _model([("call", schema.CallOptionsT())], [(1,), (1,)])
    model.subgraphs = []
    for number in range(40):
        graph = _graph([(1,), (1,)], [0], [1])
        options = schema.CallOptionsT()
        options.subgraph = number + 1
        graph.operators = [_operator(0, [0], [1], options) for _ in range(2 if number < 39 else 0)]
        model.subgraphs.append(graph)
    with pytest.raises(ModelFileError, match="unroll to more than"):
        read_network(_pack(model))


def test_loop_of_unknown_length_is_taken_once_and_named():
    options = schema.WhileOptionsT()
    options.condSubgraphIndex, options.bodySubgraphIndex = 1, 2
    model = _model([("while", options), ("relu", None)], [(1,), (1,)])
    del model.subgraphs[0].operators[1]
    condition, body = _graph([(1,), (1,)], [0], [1]), _graph([(1,), (1,)], [0], [1])
    for graph in (condition, body):
        graph.operators = [_operator(1, [0], [1])]
    model.subgraphs += [condition, body]
    network = read_network(_pack(model))
    assert [layer.repeat for layer in network.layers] == [1, 2, 1]
    assert "unknown" in network.metadata["loops"]


def test_weights_behind_the_flatbuffer_and_beside_the_file():
    model = _model([("fully_connected", schema.FullyConnectedOptionsT())], [(1, 4), (3, 4), (1, 3)])
    buffer = schema.BufferT()
    buffer.offset, buffer.size = 5000, 48
    model.buffers.append(buffer)
    model.subgraphs[0].tensors[1].buffer = 1
    data = _pack(model)
    assert len(data) < 5000
    whole = data + bytes(5048 - len(data))
    assert read_network(whole).layers[0].weights[0].shape == (3, 4)
    with pytest.raises(ModelFileError, match="cut off"):
        read_network(whole[:-1])
    model.buffers.pop()
    model.subgraphs[0].tensors[1].buffer, model.subgraphs[0].tensors[1].externalBuffer = 0, 7
    network = read_network(_pack(model))
    assert network.layers[0].weights[0].shape == (3, 4)
    assert network.metadata["external"] == "t1"


def test_sparse_weights_keep_their_shape_and_are_named():
    model = _model([("fully_connected", schema.FullyConnectedOptionsT())], [(1, 4), (3, 4), (1, 3)])
    model.buffers.append(_buffer(np.zeros(20, np.uint8)))
    weights = model.subgraphs[0].tensors[1]
    weights.buffer, weights.sparsity = 1, schema.SparsityParametersT()
    network = read_network(_pack(model))
    assert network.layers[0].macs == 12
    assert network.metadata["sparse"] == "t1"


def _change(model, **what):
    place = SimpleNamespace(
        model=model,
        graph=model.subgraphs[0],
        operator=model.subgraphs[0].operators[0],
        tensor=model.subgraphs[0].tensors[1],
        options=model.subgraphs[0].operators[0].builtinOptions,
    )
    for path, value in what.items():
        owner, name = path.split("__")
        setattr(getattr(place, owner), name, value)
    return _pack(model)


@pytest.mark.parametrize(
    "damage",
    [
        {"operator__inputs": [0, 9]},
        {"operator__outputs": [-1]},
        {"operator__opcodeIndex": 3},
        {"tensor__buffer": 4},
        {"tensor__type": 99},
        {"tensor__shape": [3, -4, 1, 4]},
        {"tensor__shape": [3, 4]},
        {"tensor__shape": [3, 0, 1, 4]},
        {"tensor__shapeSignature": [-1]},
        {"options__padding": 7},
        {"options__fusedActivationFunction": 50},
        {"options__strideH": 0},
        {"options__dilationWFactor": -1},
        {"operator__builtinOptionsType": 0},
        {"model__version": 4},
        {"model__subgraphs": []},
        {"graph__inputs": [8]},
    ],
)
def test_contradictions_are_one_clear_sentence(damage):
    options = schema.Conv2DOptionsT()
    options.strideH = options.strideW = options.dilationHFactor = options.dilationWFactor = 1
    shapes = [(1, 5, 5, 4), (3, 1, 1, 4), (1, 5, 5, 3)]
    assert read_network(_pack(_model([("conv_2d", options)], shapes))).layers[0].params["stride_height"] == 1
    with pytest.raises(ModelFileError, match=r"^the network is damaged \(.+\): export or copy it again\.$"):
        read_network(_change(_model([("conv_2d", options)], shapes), **damage))


# ---- files that are none


def test_wrong_files_are_named_with_a_mend(tmp_path, small_cnn):
    def message(name: str, data: bytes | None) -> str:
        path = tmp_path / name
        if data is not None:
            path.write_bytes(data)
        with pytest.raises(ModelFileError) as caught:
            read_network(path)
        text = str(caught.value)
        assert str(path) in text
        assert "\n" not in text
        return text

    assert "does not exist" in message("missing.tflite", None)
    assert "is empty" in message("empty.tflite", b"")
    assert "edgetime export" in message("net.keras", b"PK\x03\x04" + bytes(50))
    assert "Keras" in message("net.h5", b"\x89HDF\r\n" + bytes(50))
    assert "edgetime unpack" in message("net.lct", b"whatever it is")
    assert "not a TFLite file" in message("net.txt", b"hello, this is a text")
    assert "damaged" in message("cut.tflite", small_cnn[:3000])
    (tmp_path / "folder").mkdir()
    assert "is a folder" in message("folder", None)
    with pytest.raises(ModelFileError, match="is empty"):
        read_network(b"")


# ---- fuzzing


def _use(data: bytes) -> None:
    """Read damaged bytes; what can be read must also be usable."""
    try:
        network = read_network(data)
    except ModelFileError:
        return
    assert network.macs >= 0
    assert network.weight_bytes >= 0
    assert network.dtype
    if len(network.layers) < 1000:
        assert peak_memory_bytes(network) >= 0
        Widths(network).groups


def _damage(data: bytes, draw) -> bytes:
    damaged = bytearray(data)
    for _ in range(draw(st.integers(1, 6), label="changes")):
        place = draw(st.integers(0, len(damaged) - 8), label="place")
        kind = draw(st.sampled_from(["byte", "word", "aligned"]), label="kind")
        if kind == "byte":
            damaged[place] = draw(st.integers(0, 255))
        else:
            place -= place % 4 if kind == "aligned" else 0
            value = draw(
                st.sampled_from([0, 1, 2, -1, 2**31 - 1, -(2**31), 65535, 1 << 24]) | st.integers(-200, 200)
            )
            damaged[place : place + 4] = value.to_bytes(4, "little", signed=True)
    if draw(st.booleans(), label="cut"):
        del damaged[draw(st.integers(0, len(damaged)), label="length") :]
    return bytes(damaged)


@pytest.fixture(scope="module")
def no_runtime():
    """Damaged files may ask for the runtime, which starts a process: too slow for thousands of them."""

    def refuse(*_args):
        raise ModelFileError("no runtime here")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(open_shapes, "runtime_shapes", refuse)
        yield


@pytest.mark.parametrize("fixture", ["small_cnn", "recurrent_network"])
@given(data=st.data())
def test_damaged_files_give_only_the_one_error(request, no_runtime, fixture, data):
    _use(_damage(request.getfixturevalue(fixture), data.draw))


@pytest.mark.parametrize("name", MODELS)
@given(data=st.data())
def test_damaged_published_files_give_only_the_one_error(shared_data, no_runtime, name, data):
    _use(_damage(_bytes(shared_data / "models" / f"{name}.tflite"), data.draw))


@given(cut=st.integers(0, 6000))
def test_cut_files_give_only_the_one_error(small_cnn, no_runtime, cut):
    _use(small_cnn[:cut])


@given(st.binary(max_size=300))
def test_noise_behind_a_good_beginning_gives_only_the_one_error(noise):
    _use(b"\x1c\x00\x00\x00TFL3" + noise)


_cache: dict[Path, bytes] = {}


def _bytes(path: Path) -> bytes:
    if path not in _cache:
        _cache[path] = path.read_bytes()
    return _cache[path]
