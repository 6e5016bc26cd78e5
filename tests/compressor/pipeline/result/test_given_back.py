"""What each layer gave back: rows that stand for the same layer, and sums that come out."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from compressor.costs import name_of, ranks_of
from compressor.pipeline.result.given_back import REMAINDER, aligned, layer_changes, timed
from compressor.testing.device import FormulaTimeModel
from profiler.network import Layer, Network
from profiler.operators import conv_2d, unary


def named(layer: Layer, name: str, index: int) -> Layer:
    return replace(layer, name=name, index=index)


def network(a: int, b: int) -> Network:
    layers = (
        named(conv_2d(8, 8, 3, a), "net/relu1_1/Relu;net/norm1/add;net/conv1_1/convolution", 0),
        named(conv_2d(8, 8, a, b), "net/conv2_1/convolution", 1),
        named(unary("tanh", (1, 8, 8, b)), "net/act/Tanh", 2),
    )
    return Network("net", layers)


def changes(before: Network, after: Network, names=("conv1", "relu1", "conv2", "act")):
    model = FormulaTimeModel()
    measured = {0: 0.5, 1: 0.6}
    return layer_changes(model, timed(model, before, measured), timed(model, after), names)


def test_savings_add_up_to_the_difference_of_the_networks_times():
    before, after = network(16, 32), network(8, 12)
    rows = changes(before, after)
    model = FormulaTimeModel()
    difference = model.predict(before).predicted_ms - model.predict(after).predicted_ms
    assert sum(row.saved_ms for row in rows) == pytest.approx(difference)
    assert rows[-1].name == REMAINDER
    # The call is a tenth of the layers on this device.
    assert rows[-1].saved_ms == pytest.approx(difference / 11)
    assert all(row.saved_ms == row.before_ms - row.after_ms for row in rows)


def test_rows_name_the_layer_that_does_the_work_and_say_what_changed():
    rows = changes(network(16, 32), network(8, 12))
    assert [row.name for row in rows[:3]] == ["conv1", "conv2", "act"]
    assert (rows[1].channels_before, rows[1].channels_after) == (32, 12)
    assert rows[0].reason == "output channels 16 -> 8: 50% fewer multiplications"
    assert rows[1].reason.startswith("output channels 32 -> 12, input channels 16 -> 8: 81% fewer")
    assert rows[2].reason == "channels 32 -> 12: 62% fewer bytes to move"
    assert rows[0].measured_before_ms == 0.5
    assert rows[0].measured_after_ms is None
    assert rows[0].evidence == ""


def test_what_is_as_it_was_is_called_unchanged():
    rows = changes(network(16, 32), network(16, 12))
    assert rows[0].reason == "unchanged"
    assert rows[0].saved_ms == 0.0


def test_layers_that_came_or_went_stand_alone():
    before = network(16, 32)
    after = replace(before, layers=(*before.layers[:1], before.layers[2]))
    assert aligned(before.layers, after.layers) == [(0, 0), (1, None), (2, 1)]
    assert aligned(after.layers, before.layers) == [(0, 0), (None, 1), (1, 2)]
    gone = changes(before, after)[1]
    assert gone.reason == "is no longer there"
    assert gone.saved_ms == gone.before_ms > 0
    assert changes(after, before)[1].reason == "is new"


def test_names_that_keras_does_not_know_are_the_files_own():
    layer = named(conv_2d(8, 8, 3, 4), "x/y;z", 0)
    assert name_of(layer, ranks_of(["conv"])) == "x/y"
    assert name_of(layer, ranks_of(["z", "y"])) == "z"


INSIDE = ["conv", "left/conv", "left/relu", "right/conv", "right/deep/conv", "add_1", "norm", "head"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("net_1/left_1/conv_1/convolution", "left/conv"),
        ("net_1/left_1/relu_1/Relu;net_1/left_1/conv_1/convolution", "left/conv"),
        ("net_1/right_3/conv_1/convolution", "right/conv"),
        ("net_1/right_1/deep_1/conv_1/convolution", "right/deep/conv"),
        ("net_1/conv_1/convolution", "conv"),
        # An operation that stands in a model inside the model and is no layer.
        ("net_1/right_1/deep_1/mul", "right/deep"),
        ("net_1/right_1/mul", "right"),
        # What a layer does may be called as another layer is, and so may the network.
        ("net_1/norm_1/add_1", "norm"),
        ("head_1/conv_1/convolution", "conv"),
        ("PartitionedCall:01", "PartitionedCall:01"),
    ],
)
def test_layers_of_models_inside_are_called_by_their_addresses(name, expected):
    assert name_of(named(conv_2d(8, 8, 3, 4), name, 0), ranks_of(INSIDE)) == expected


def test_times_of_the_prediction_are_taken_where_it_has_layers():
    @dataclass
    class Row:
        predicted_ms: float

    @dataclass
    class Predicted:
        predicted_ms: float
        layers: tuple

    class Model(FormulaTimeModel):
        def predict(self, network):
            return Predicted(10.0, tuple(Row(1.0 + i) for i in range(len(network.layers))))

    found = timed(Model(), network(4, 4))
    np.testing.assert_allclose(found.layers_ms, [1, 2, 3])
    assert found.total_ms == 10.0
