from __future__ import annotations

from profiler import Edge, Layer, Network, Tensor


def dense(rows: int, inputs: int, outputs: int, dtype: str = "float32", repeat: int = 1) -> Layer:
    return Layer(
        "fully_connected",
        (Tensor((rows, inputs), dtype), Tensor((outputs, inputs), dtype, True)),
        (Tensor((rows, outputs), dtype),),
        repeat=repeat,
    )


def test_layers_in_a_loop_count_as_often_as_they_run():
    network = Network("n", (dense(1, 3, 4), dense(1, 4, 5, repeat=10)))
    assert network.macs == 12 + 10 * 20


def test_weights_that_layers_share_are_stored_once():
    tensors = (Tensor((1, 3)), Tensor((3, 3), constant=True), Tensor((1, 3)), Tensor((1, 3)))
    edges = (Edge((0, 1), (2,)), Edge((2, 1), (3,)))
    layers = tuple(
        Layer("fully_connected", tuple(tensors[i] for i in e.inputs), (tensors[e.outputs[0]],)) for e in edges
    )
    assert Network("n", layers, edges, tensors, (0,), (3,)).weight_bytes == 36
    assert Network("n", layers).weight_bytes == 72


def test_variables_and_what_is_unpacked_on_loading_are_not_stored():
    stored, unpacked = Tensor((4,), "float16", True), Tensor((4,), "float32", True)
    state = Tensor((9,), "float32", True)
    layers = (Layer("dequantize", (stored,), (unpacked,)),)
    network = Network("n", layers, (Edge((0,), (1,)),), (stored, unpacked, state), variables=(2,))
    assert network.weight_bytes == 8


def test_type_is_that_of_most_work():
    small, large = dense(1, 2, 2, "float32"), dense(1, 50, 50, "int8")
    assert Network("n", (small, small, large)).dtype == "int8"
    # Without any weights it is that of most layers.
    relu = Layer("relu", (Tensor((2,), "int8"),), (Tensor((2,), "int8"),))
    add = Layer("add", (Tensor((2,)),), (Tensor((2,)),))
    assert Network("n", (add, relu, relu)).dtype == "int8"
    assert Network("n", ()).dtype == "float32"


def test_metadata_does_not_matter_for_equality():
    assert Network("n", (), metadata={"a": "b"}) == Network("n", ())
    assert Network("n", (), assumed_batch=True) != Network("n", ())
