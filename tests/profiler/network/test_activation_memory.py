from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.network import Edge, Layer, Network, Tensor, peak_memory_bytes, plan_arena
from profiler.tflite import read_network


def network(sizes: list[int], steps: list[tuple[str, list[int], int]], outputs: list[int]) -> Network:
    """int8 tensors of the given sizes; layers are (operator, reads, writes); tensor 0 is the input."""
    tensors = tuple(Tensor((size,), "int8") for size in sizes)
    edges = tuple(Edge(tuple(reads), (writes,)) for _, reads, writes in steps)
    layers = tuple(
        Layer(op, tuple(tensors[i] for i in reads), (tensors[writes],), index=n)
        for n, (op, reads, writes) in enumerate(steps)
    )
    return Network("n", layers, edges, tensors, (0,), tuple(outputs))


def test_chain_reuses_what_is_no_longer_needed():
    # 64 in and 64 out stay; of the three between, neighbours live together: 256 + 128, then 128 + 64.
    chain = network(
        [64, 256, 128, 64, 64], [("relu", [0], 1), ("relu", [1], 2), ("relu", [2], 3), ("relu", [3], 4)], [4]
    )
    assert peak_memory_bytes(chain) == 64 + 256 + 128


def test_residual_keeps_its_input_alive():
    # 1 is read by the last layer, so it lives beside 2 and 3; the sum overwrites what only it reads.
    steps = [("relu", [0], 1), ("relu", [1], 2), ("relu", [2], 3), ("add", [1, 3], 4), ("relu", [4], 5)]
    assert peak_memory_bytes(network([64, 640, 640, 640, 640, 64], steps, [5])) == 64 + 3 * 640


def test_reshape_takes_no_memory_of_its_own():
    steps = [("relu", [0], 1), ("reshape", [1], 2), ("relu", [2], 3)]
    assert peak_memory_bytes(network([64, 640, 640, 64], steps, [3])) == 64 + 640 + 64


def test_reshape_of_the_input_is_copied():
    # What the caller put in must still be there after the run.
    assert peak_memory_bytes(network([640, 640], [("reshape", [0], 1)], [1])) == 1280


def test_operand_that_another_layer_reads_is_not_overwritten():
    steps = [("relu", [0], 1), ("add", [1, 1], 2), ("relu", [1], 3), ("sub", [2, 3], 4), ("relu", [4], 5)]
    plan = {b.tensor: b for b in plan_arena(network([64, 640, 640, 640, 640, 64], steps, [5]))}
    assert plan[2].offset != plan[1].offset
    # ... but the difference overwrites one of its operands, which nobody needs any more.
    assert 4 not in plan


def test_every_block_begins_at_a_multiple_of_the_alignment():
    steps = [("relu", [0], 1), ("relu", [1], 2)]
    small = network([10, 10, 10], steps, [2])
    assert peak_memory_bytes(small) == 128 + 10
    assert peak_memory_bytes(small, alignment=16) == 32 + 10
    assert peak_memory_bytes(small, alignment=1) == 30


def test_scratch_lives_as_long_as_its_layer():
    chain = network([64, 128, 128], [("relu", [0], 1), ("relu", [1], 2)], [2])
    blocks = plan_arena(chain, scratch={0: (1000,)})
    assert [(b.first, b.last) for b in blocks if b.tensor < 0] == [(0, 0)]
    # The output is not written before the second layer, so it lies where the scratch was.
    assert max(b.offset + b.nbytes for b in blocks) == 64 + 1000 + 24 + 128


def test_weights_do_not_count():
    tensors = (Tensor((1, 64), "int8"), Tensor((64, 64), "int8", True), Tensor((1, 64), "int8"))
    layer = Layer("fully_connected", tensors[:2], tensors[2:])
    assert peak_memory_bytes(Network("n", (layer,), (Edge((0, 1), (2,)),), tensors, (0,), (2,))) == 128


def test_table_of_layers_is_a_chain():
    relu = Layer("relu", (Tensor((64,), "int8"),), (Tensor((640,), "int8"),))
    assert peak_memory_bytes(Network("table", (relu, relu))) == 704
    assert peak_memory_bytes(Network("empty", ())) == 0


@st.composite
def networks(draw):
    """Layers that each read one or two of the tensors before them."""
    count = draw(st.integers(1, 14))
    sizes = draw(st.lists(st.integers(1, 2000), min_size=count + 1, max_size=count + 1))
    steps = []
    for step in range(count):
        op = draw(st.sampled_from(["relu", "reshape", "add"]))
        reads = draw(st.lists(st.integers(0, step), min_size=1, max_size=2))
        if op == "reshape":
            sizes[step + 1] = sizes[reads[0]]
        steps.append((op, reads, step + 1))
    outputs = draw(st.lists(st.integers(1, count), min_size=1, max_size=2, unique=True))
    return network(sizes, steps, outputs)


@given(networks())
def test_blocks_that_live_together_never_overlap(made):
    blocks = plan_arena(made)
    for n, a in enumerate(blocks):
        assert a.offset % 64 == 0
        for b in blocks[:n]:
            if a.first <= b.last and b.first <= a.last:
                assert a.offset + a.nbytes <= b.offset or b.offset + b.nbytes <= a.offset


@given(networks())
def test_peak_lies_between_what_lives_at_once_and_all_there_is(made):
    blocks = plan_arena(made)
    steps = range(len(made.layers))
    at_once = max(sum(b.nbytes for b in blocks if b.first <= step <= b.last) for step in steps)
    assert at_once <= peak_memory_bytes(made) <= sum(-(-t.nbytes // 64) * 64 for t in made.tensors)


@given(networks())
def test_what_a_layer_reads_is_still_there(made):
    """Each tensor's block lives from its writer to its last reader, however blocks are shared."""
    blocks = {b.tensor: b for b in plan_arena(made)}
    for step, edge in enumerate(made.edges):
        for tensor in edge.inputs:
            if tensor in blocks:
                assert blocks[tensor].first <= step <= blocks[tensor].last


# ---- against the runtime


def _addresses(data: bytes, count: int) -> dict[int, int]:
    """Where the runtime put each activation, counted from the first; kernels' scratch is not among them."""
    interpreters = pytest.importorskip("ai_edge_litert.interpreter")
    interpreter = interpreters.Interpreter(
        model_content=data,
        experimental_op_resolver_type=interpreters.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    made = read_network(data)
    found = {}
    for index in range(count):
        if not made.tensors[index].constant:
            found[index] = interpreter.tensor(index)().__array_interface__["data"][0]
    start = min(found.values())
    return {index: address - start for index, address in found.items()}


def _patches(layer: Layer) -> tuple[int, ...]:
    """Bytes in which the built-in kernels lay out a convolution's input."""
    kernel = layer.inputs[1].shape[1:3]
    strides = layer.params["stride_height"], layer.params["stride_width"]
    if layer.op != "conv_2d" or kernel == strides == (1, 1):
        return ()
    height, width = layer.outputs[0].shape[1:3]
    element = {"float32": 4, "int8": 1}[layer.inputs[0].dtype]
    return (height * width * kernel[0] * kernel[1] * layer.inputs[0].shape[3] * element,)


@pytest.mark.parametrize("name", ["ad01_fp32", "pretrainedResnet", "pretrainedResnet_quant"])
def test_plan_is_the_runtimes_own(shared_data, name):
    data = (shared_data / "models" / f"{name}.tflite").read_bytes()
    made = read_network(data)
    scratch = {layer.index: _patches(layer) for layer in made.layers if layer.op == "conv_2d"}
    addresses = _addresses(data, len(made.tensors))
    plan = {b.tensor: b.offset for b in plan_arena(made, scratch=scratch) if b.tensor >= 0}
    assert plan
    assert {tensor: addresses[tensor] for tensor in plan} == plan


def test_peak_is_the_runtimes_own_for_a_converted_network(convert):
    import keras

    inputs = keras.Input((16, 16, 3), batch_size=1)
    x = keras.layers.Conv2D(16, 1, activation="relu")(inputs)
    y = keras.layers.DepthwiseConv2D(3, padding="same")(x)
    x = keras.layers.Conv2D(24, 1)(keras.layers.Add()([x, y]))
    x = keras.layers.Dense(4)(keras.layers.Flatten()(keras.layers.MaxPooling2D()(x)))
    data = convert(keras.Model(inputs, x))
    made = read_network(data)
    addresses = _addresses(data, len(made.tensors))
    peak = max(address + made.tensors[index].nbytes for index, address in addresses.items())
    assert peak_memory_bytes(made) == peak
