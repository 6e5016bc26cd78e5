from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.errors import UsageError
from profiler.network import Edge, Layer, Network, Tensor
from profiler.tflite import read_network
from profiler.widths import WidthGroup, Widths

# Each builder takes widths by name; no two of the default ones are equal, so that a group is known by its
# width.


def plain(keras, a=16, b=24, c=40):
    layers = keras.layers
    x = inputs = keras.Input((12, 12, 3))
    x = layers.Conv2D(a, 3, use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.MaxPooling2D()(layers.Conv2D(b, 3, padding="same", activation="relu6")(x))
    x = layers.Dense(c, activation="tanh")(layers.Flatten()(x))
    return keras.Model(inputs, layers.Dense(5, activation="softmax")(x))


def residual(keras, a=16, b=24):
    layers = keras.layers
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(a, 3, padding="same")(inputs)
    y = layers.Conv2D(b, 3, padding="same", activation="relu")(x)
    x = layers.Add()([x, layers.Conv2D(a, 3, padding="same")(y)])
    x = layers.BatchNormalization()(layers.ReLU()(x))
    x = layers.Conv2D(a, 1)(x) + x
    return keras.Model(inputs, layers.Dense(5)(layers.GlobalAveragePooling2D()(x)))


def separable(keras, a=16, b=24):
    layers = keras.layers
    inputs = keras.Input((9, 9, 3))
    x = layers.Conv2D(a, 3, strides=2, padding="same", activation="relu6")(inputs)
    x = layers.ZeroPadding2D(1)(x)
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, activation="relu")(x)
    x = layers.Activation("hard_swish")(layers.Conv2D(b, 1)(x))
    x = layers.SeparableConv2D(12, 3)(x)
    return keras.Model(inputs, layers.Dense(5)(layers.Flatten()(x)))


def squeeze_excite(keras, a=16, b=6):
    layers = keras.layers
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(a, 3, padding="same", activation="relu")(inputs)
    s = layers.GlobalAveragePooling2D(keepdims=True)(x)
    s = layers.Conv2D(a, 1, activation="sigmoid")(layers.Conv2D(b, 1, activation="swish")(s))
    x = layers.Multiply()([x, s])
    return keras.Model(inputs, layers.Dense(5)(layers.GlobalMaxPooling2D()(x)))


def dense_block(keras, a=16, b=24, c=10):
    layers = keras.layers
    x = inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(a, 3, padding="same")(x)
    for width in (b, c):
        y = layers.ReLU()(layers.BatchNormalization()(x))
        x = layers.Concatenate()([x, layers.Conv2D(width, 3, padding="same")(y)])
    x = layers.UpSampling2D(2)(x)
    x = layers.AveragePooling2D(2)(layers.BatchNormalization()(x))
    return keras.Model(inputs, layers.Dense(5)(layers.Flatten()(x)))


def attention(keras, a=16, heads=6):
    layers = keras.layers
    inputs = keras.Input((10, 4), batch_size=1)
    x = layers.Dense(a)(inputs)
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, heads, use_bias=False)(x, x))
    x = layers.Dense(a)(layers.Dense(40, activation="gelu")(x)) + x
    return keras.Model(inputs, layers.Dense(5)(layers.GlobalAveragePooling1D()(x)))


LAWS = [
    (plain, "a", 16, 8), (plain, "b", 24, 7), (plain, "c", 40, 80),
    (residual, "a", 16, 8), (residual, "b", 24, 12),
    (separable, "a", 16, 8), (separable, "b", 24, 12),
    (squeeze_excite, "a", 16, 8), (squeeze_excite, "b", 6, 3),
    (dense_block, "a", 16, 8), (dense_block, "b", 24, 12), (dense_block, "c", 10, 5),
    (attention, "a", 16, 8), (attention, "heads", 6, 3),
]  # fmt: skip


@pytest.fixture(scope="session")
def original(convert: Callable[..., bytes]) -> Callable[[Callable], Network]:
    """Network of a builder at its default widths."""
    known: dict[Callable, Network] = {}

    def make(build: Callable) -> Network:
        if build not in known:
            import keras

            keras.utils.set_random_seed(0)
            known[build] = read_network(convert(build(keras)))
        return known[build]

    return make


def _group(network: Network, width: int) -> list[WidthGroup]:
    return [group for group in Widths(network).groups if group.width == width and group.free]


@pytest.mark.parametrize(
    ("build", "name", "before", "after"), LAWS, ids=lambda v: getattr(v, "__name__", str(v))
)
def test_other_width_gives_the_layers_of_the_network_built_with_it(
    convert, original, build, name, before, after
):
    import keras

    network = original(build)
    groups = _group(network, before)
    assert groups
    changed = Widths(network).with_widths({group.id: after for group in groups})
    keras.utils.set_random_seed(0)
    built = read_network(convert(build(keras, **{name: after})))
    assert [layer.to_dict() for layer in changed.layers] == [layer.to_dict() for layer in built.layers]
    assert changed.macs == built.macs != network.macs
    # Not the bytes of the file: equal vectors that happen to be as long as each other are stored once.
    assert sum(layer.weight_bytes for layer in changed.layers) == sum(
        layer.weight_bytes for layer in built.layers
    )


def test_residual_branches_are_one_group_and_inner_ones_their_own(original):
    network = original(residual)
    (outer,), (inner,) = _group(network, 16), _group(network, 24)
    assert len(outer.producers) == 3
    assert len(inner.producers) == 1
    assert {network.layers[p].op for p in outer.producers} == {"conv_2d"}


@pytest.mark.parametrize("build", [plain, residual, separable, squeeze_excite, dense_block, attention])
def test_original_widths_give_the_original_network(original, build):
    network = original(build)
    assert Widths(network).with_widths({group.id: group.width for group in Widths(network).groups}) == network


@pytest.mark.parametrize("build", [plain, residual, separable, squeeze_excite, dense_block, attention])
@given(data=st.data())
def test_any_widths_give_a_network_that_hangs_together(original, build, data):
    network = original(build)
    free = [group for group in Widths(network).groups if group.free]
    widths = {group.id: data.draw(st.integers(1, 70), label=group.name) for group in free}
    changed = Widths(network).with_widths(widths)
    _check_consistent(changed)
    assert [layer.op for layer in changed.layers] == [layer.op for layer in network.layers]
    again = {group.id: group for group in Widths(changed).groups}
    # Widths of 1 may be mistaken for something that is broadcast, but never for another width.
    for group, width in widths.items():
        if width > 1 and len(again) == len(Widths(network).groups):
            assert again[group].width == width
    back = Widths(network).with_widths({group.id: group.width for group in free})
    assert back == network


def _check_consistent(network: Network) -> None:
    for layer, edge in zip(network.layers, network.edges, strict=True):
        assert layer.inputs == tuple(network.tensors[i] for i in edge.inputs)
        assert layer.outputs == tuple(network.tensors[i] for i in edge.outputs)
        _CHECKS.get(layer.op, lambda _: None)(layer)


def _check_conv(layer: Layer) -> None:
    data, weights = layer.inputs[0].shape, layer.inputs[1].shape
    assert weights == (layer.outputs[0].shape[-1], *weights[1:3], data[-1])
    assert layer.inputs[2].shape == weights[:1]


def _check_depthwise(layer: Layer) -> None:
    data, weights = layer.inputs[0].shape, layer.inputs[1].shape
    assert weights[-1] == data[-1] * layer.params["depth_multiplier"] == layer.outputs[0].shape[-1]


def _check_dense(layer: Layer) -> None:
    data, weights = layer.inputs[0], layer.inputs[1].shape
    assert data.size % weights[1] == 0
    assert layer.outputs[0].size == data.size // weights[1] * weights[0]


def _check_reshape(layer: Layer) -> None:
    assert layer.inputs[0].size == layer.outputs[0].size
    assert layer.params["new_shape"] == layer.outputs[0].shape


def _check_concatenation(layer: Layer) -> None:
    axis = layer.params["axis"]
    assert layer.outputs[0].shape[axis] == sum(t.shape[axis] for t in layer.inputs)


def _check_elementwise(layer: Layer) -> None:
    for tensor in layer.inputs:
        for mine, out in zip(reversed(tensor.shape), reversed(layer.outputs[0].shape), strict=False):
            assert mine in (1, out)


def _check_same(layer: Layer) -> None:
    assert layer.inputs[0].shape == layer.outputs[0].shape


_CHECKS: Mapping[str, Callable[[Layer], None]] = {
    "conv_2d": _check_conv, "depthwise_conv_2d": _check_depthwise, "fully_connected": _check_dense,
    "reshape": _check_reshape, "concatenation": _check_concatenation, "add": _check_elementwise,
    "mul": _check_elementwise, "sub": _check_elementwise, "squared_difference": _check_elementwise,
    "relu": _check_same, "logistic": _check_same, "softmax": _check_same, "tanh": _check_same,
    "hard_swish": _check_same,
}  # fmt: skip


# ---- hand-made networks


def chain(*steps: tuple) -> Network:
    """Each layer reads the one before; per layer: operator, output shape, shapes of constants, parameters."""
    tensors = [Tensor(steps[0][1])]
    layers, edges, last = [], [], 0
    for position, (op, out, constants, params) in enumerate(steps[1:]):
        reads = [last]
        for shape in constants:
            tensors.append(Tensor(shape, "float32", True))
            reads.append(len(tensors) - 1)
        tensors.append(Tensor(out))
        last = len(tensors) - 1
        inputs = tuple(tensors[i] for i in reads)
        layers.append(Layer(op, inputs, (tensors[last],), params, f"{op}_{position}", position))
        edges.append(Edge(tuple(reads), (last,)))
    return Network("chain", tuple(layers), tuple(edges), tuple(tensors), (0,), (last,))


CONV = ("conv_2d", (1, 8, 8, 6), ((6, 1, 1, 3), (6,)), {})
DENSE = ("fully_connected", (1, 4), ((4, 6), (4,)), {})
MEAN = ("mean", (1, 6), ((2,),), {"axes": (1, 2), "keep_dims": False})
INPUT = ("input", (1, 8, 8, 3), (), {})


def test_what_the_network_puts_out_is_fixed():
    network = chain(INPUT, CONV, MEAN, DENSE)
    free, fixed = Widths(network).groups
    assert (free.width, free.producers, free.layers) == (6, (0,), (0, 1, 2))
    assert fixed.frozen == "the network puts it out"
    with pytest.raises(UsageError, match="cannot change: the network puts it out"):
        Widths(network).with_widths({fixed.id: 2})


def test_unknown_operator_freezes_what_reaches_it_and_is_named():
    network = chain(INPUT, CONV, ("custom:Fancy", (1, 8, 8, 6), (), {}), MEAN, DENSE)
    group = Widths(network).groups[0]
    assert "custom:Fancy" in group.frozen
    assert 1 in Widths(network).refused


@pytest.mark.parametrize(("widths", "message"), [({9: 3}, "no width group 9"), ({0: 0}, "at least 1")])
def test_impossible_widths_are_refused(widths, message):
    with pytest.raises(UsageError, match=message):
        Widths(chain(INPUT, CONV, MEAN, DENSE)).with_widths(widths)


def test_channel_padding_is_added_to_the_width():
    pad = ("pad", (1, 8, 8, 9), ((4, 2),), {"paddings": (0, 0, 0, 0, 0, 0, 1, 2)})
    dense = ("fully_connected", (1, 4), ((4, 9), (4,)), {})
    mean = ("mean", (1, 9), ((2,),), {"axes": (1, 2)})
    network = chain(INPUT, CONV, pad, mean, dense)
    changed = Widths(network).with_widths({0: 10})
    assert changed.layers[1].outputs[0].shape == (1, 8, 8, 13)
    assert changed.layers[3].inputs[1].shape == (4, 13)


def test_depthwise_on_a_single_channel_chooses_its_multiplier():
    first = ("depthwise_conv_2d", (1, 8, 8, 6), ((1, 3, 3, 6), (6,)), {"depth_multiplier": 6})
    network = chain(("input", (1, 8, 8, 1), (), {}), first, MEAN, DENSE)
    changed = Widths(network).with_widths({0: 11})
    assert changed.layers[0].params["depth_multiplier"] == 11
    assert changed.layers[0].inputs[1].shape == (1, 3, 3, 11)


def test_grouped_convolution_is_left_alone():
    grouped = ("conv_2d", (1, 8, 8, 6), ((6, 1, 1, 3), (6,)), {})
    network = chain(INPUT, CONV, grouped, MEAN, DENSE)
    assert not any(group.free for group in Widths(network).groups)


def test_width_that_is_cut_into_heads_keeps_their_number():
    dense = ("fully_connected", (1, 7, 12), ((12, 5), (12,)), {"keep_num_dims": True})
    heads = ("reshape", (1, 7, 3, 4), ((4,),), {"new_shape": (1, 7, 3, 4)})
    swap = ("transpose", (1, 3, 7, 4), ((4,),), {"perm": (0, 2, 1, 3)})
    total = ("sum", (1, 3, 7), ((1,),), {"axes": (3,)})
    network = chain(("input", (1, 7, 5), (), {}), dense, heads, swap, total)
    (group,) = Widths(network).groups
    assert group.width == 4
    changed = Widths(network).with_widths({group.id: 10})
    assert changed.layers[0].outputs[0].shape == (1, 7, 30)
    assert changed.layers[2].outputs[0].shape == (1, 3, 7, 10)


def test_constant_vector_that_two_layers_share_is_stored_twice_when_they_part():
    tensors = (
        Tensor((1, 4)), Tensor((6, 4), constant=True), Tensor((6,), constant=True), Tensor((1, 6)),
        Tensor((6, 6), constant=True), Tensor((1, 6)), Tensor((2, 6), constant=True), Tensor((1, 2)),
    )  # fmt: skip
    edges = (Edge((0, 1, 2), (3,)), Edge((3, 4, 2), (5,)), Edge((5, 6), (7,)))
    layers = tuple(
        Layer(
            "fully_connected", tuple(tensors[i] for i in e.inputs), (tensors[e.outputs[0]],), {}, f"d{n}", n
        )
        for n, e in enumerate(edges)
    )
    network = Network("shared", layers, edges, tensors, (0,), (7,))
    first, second, _ = Widths(network).groups
    assert first.free
    assert second.free
    changed = Widths(network).with_widths({first.id: 3})
    assert [layer.inputs[-1].shape for layer in changed.layers[:2]] == [(3,), (6,)]
    _check_consistent(changed)
    assert Widths(network).with_widths({first.id: 6}) == network


def test_lstm_units_reach_all_its_gates(shared_data):
    network = read_network(shared_data / "models" / "trained_lstm.tflite")
    group = next(g for g in Widths(network).groups if g.free)
    assert group.width == 20
    lstm, reshape, dense, _ = Widths(network).with_widths({group.id: 9}).layers
    assert [t.shape for t in lstm.inputs[1:]] == [(9, 28)] * 4 + [(9, 9)] * 4 + [(9,)] * 4 + [(1, 9)] * 2
    assert dense.inputs[1].shape == (10, 28 * 9)
    assert reshape.params["new_shape"] == (1, 28 * 9)


def test_body_of_a_loop_is_fixed(recurrent_network):
    groups = Widths(read_network(recurrent_network)).groups
    assert groups
    assert not any(group.free for group in groups)
    assert any("loop" in group.frozen for group in groups)


def test_network_without_connections_has_no_groups():
    network = Network("table", (Layer("relu", (Tensor((1, 3)),), (Tensor((1, 3)),)),))
    assert Widths(network).groups == ()
    assert Widths(network).with_widths({}) is network
