import numpy as np
import pytest

from profiler import shapes
from profiler.layer import Layer, Tensor
from timemodel.features import Geometry, family_of, tiled
from timemodel.geometry import geometry


def column(layer, name):
    return getattr(Geometry(geometry([layer])), name)[0]


def costs(layer, **tiles):
    family = family_of(layer.op)
    chosen = {axis: 1 for axis in family.tiles} | {"cache": 2**20} | tiles
    return {name: values[0] for name, values in family.costs(Geometry(geometry([layer])), chosen).items()}


def test_33_channels_in_tiles_of_32_are_as_much_work_as_64():
    layers = [shapes.conv_2d(8, 8, 16, c) for c in (33, 64)]
    work = [costs(layer, out_channels=32)["tiled_macs"] for layer in layers]
    assert work[0] == work[1] == 64 * 64 * 9 * 16  # pixels x channels in whole tiles x taps x input channels


def test_tiles_cover_the_size():
    assert tiled(np.array([1.0, 32.0, 33.0]), 32).tolist() == [1, 1, 2]


def test_a_fully_connected_layer_counts_rows():
    layer = shapes.fully_connected(10, 20, rows=7)
    assert (column(layer, "in_channels"), column(layer, "out_channels"), column(layer, "out_height")) == (
        10,
        20,
        7,
    )


@pytest.mark.parametrize(
    ("right", "code"),
    [((1, 4, 4, 8), 0), ((), 1), ((8,), 2), ((1, 1, 1, 8), 2), ((1, 4, 4, 1), 3), ((1, 4, 1, 8), 4)],
)
def test_kinds_of_broadcast(right, code):
    assert column(shapes.binary("add", (1, 4, 4, 8), right), "broadcast") == code


def test_grouped_convolution_sees_only_the_channels_of_its_group():
    dense = shapes.conv_2d(8, 8, 16, 32)
    weight = Tensor((32, 3, 3, 4), "float32", True)
    grouped = Layer("conv_2d", (dense.inputs[0], weight, dense.inputs[2]), dense.outputs, dense.params)
    assert column(grouped, "in_channels") == 4
    assert column(grouped, "macs") == column(dense, "macs") / 4


def test_transposition_that_keeps_the_last_axis_moves_long_runs():
    assert column(shapes.transpose((1, 5, 4, 8), (0, 2, 1, 3)), "inner") == 8
    assert column(shapes.transpose((1, 5, 4, 8), (0, 3, 1, 2)), "inner") == 1


def test_bytes_beyond_the_cache_start_at_the_cache_size():
    layer = shapes.unary("relu", (1, 64, 64, 32))  # 2 x 512 KiB in and out
    assert costs(layer, cache=2**20)["bytes_beyond_cache"] == 0
    assert costs(layer, cache=2**19)["bytes_beyond_cache"] == 2**19


def test_unknown_operators_have_features_too():
    layer = Layer("custom:Mine", (Tensor((1, 4)),), (Tensor((1, 4)),))
    assert costs(layer)["elements"] == 4
