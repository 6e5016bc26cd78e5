import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler import operators
from profiler.network import Layer, Tensor
from profiler.operators import DTYPES, catalogue, draw_layer, reshaping, slicing
from timemodel.features import Geometry, family_of, geometry
from timemodel.features.runs import shared_run
from timemodel.features.table import tiled


def column(layer, name):
    return getattr(Geometry(geometry([layer])), name)[0]


def costs(layer, **tiles):
    return family_costs(layer.op, layer, **tiles)


def family_costs(op, layer, **tiles):
    family = family_of(op)
    chosen = {axis: 1 for axis in family.tiles} | {"cache": 2**20} | tiles
    return {name: values[0] for name, values in family.costs(Geometry(geometry([layer])), chosen).items()}


def test_33_channels_in_tiles_of_32_are_as_much_work_as_64():
    layers = [operators.conv_2d(8, 8, 16, c) for c in (33, 64)]
    work = [costs(layer, out_channels=32)["tiled_macs"] for layer in layers]
    assert work[0] == work[1] == 64 * 64 * 9 * 16  # pixels x channels in whole tiles x taps x input channels


def test_tiles_cover_the_size():
    assert tiled(np.array([1.0, 32.0, 33.0]), 32).tolist() == [1, 1, 2]


def test_a_fully_connected_layer_counts_rows():
    layer = operators.fully_connected(10, 20, rows=7)
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
    assert column(operators.binary("add", (1, 4, 4, 8), right), "broadcast") == code


def test_grouped_convolution_sees_only_the_channels_of_its_group():
    dense = operators.conv_2d(8, 8, 16, 32)
    weight = Tensor((32, 3, 3, 4), "float32", True)
    grouped = Layer("conv_2d", (dense.inputs[0], weight, dense.inputs[2]), dense.outputs, dense.params)
    assert column(grouped, "in_channels") == 4
    assert column(grouped, "macs") == column(dense, "macs") / 4


def test_transposition_that_keeps_the_last_axis_moves_long_runs():
    assert column(operators.transpose((1, 5, 4, 8), (0, 2, 1, 3)), "inner") == 8
    assert column(operators.transpose((1, 5, 4, 8), (0, 3, 1, 2)), "inner") == 1


def test_bytes_beyond_the_cache_start_at_the_cache_size():
    layer = operators.unary("relu", (1, 64, 64, 32))  # 2 x 512 KiB in and out
    assert costs(layer, cache=2**20)["bytes_beyond_cache"] == 0
    assert costs(layer, cache=2**19)["bytes_beyond_cache"] == 2**19


def test_unknown_operators_have_features_too():
    layer = Layer("custom:Mine", (Tensor((1, 4)),), (Tensor((1, 4)),))
    assert costs(layer)["elements"] == 4


@pytest.mark.parametrize(
    ("layer", "run"),
    [
        (operators.concatenation([(1, 4, 5), (1, 4, 3)], 2), 8),
        (operators.split((1, 4, 6), 1, 2), 12),
        (operators.unpack((3, 4, 6), 1), 6),
        (operators.pack(3, (4, 6), 1), 6),
        (operators.gather((10, 6), (1, 4), table=True), 6),
        (operators.gather((1, 8, 4, 6), (2,), 1, stored=True), 24),
        (operators.pad((1, 4, 5, 6), ((0, 0), (1, 1), (2, 0), (0, 0))), 5 * 6),
        (operators.pad((1, 4, 5, 6), ((0, 0), (1, 1), (0, 0), (0, 0))), 4 * 5 * 6),
        (operators.tile((1, 1, 1, 6), (1, 4, 4, 1)), 6),
        (operators.broadcast_to((1, 4, 1, 6), (1, 4, 4, 6)), 6),
        (operators.strided_slice((1, 8, 8, 6), ((0, 1, 1), (1, 6, 1), (1, 5, 1), (0, 6, 1))), 5 * 6),
        (operators.strided_slice((1, 8, 8, 6), ((0, 1, 1), (0, 4, 2), (0, 4, 2), (0, 6, 1))), 6),
        (operators.strided_slice((1, 8, 6), ((0, 1, 1), (7, 1, 1), (0, 6, 1)), (1,)), 6),
        (operators.strided_slice((1, 8, 6), ((0, 1, 1), (0, 8, 1), (2, 3, 1))), 3),
        (slicing.slice_((1, 8, 6), 1, 2, 4), 24),
        (operators.reduce("sum", (1, 8, 6), (1,)), 6),
        (reshaping.blocks("depth_to_space", 4, 4, 12, 2), 2 * 3),
        (reshaping.blocks("space_to_depth", 6, 6, 5, 3), 3 * 5),
    ],
)
def test_runs_are_what_lies_together(layer, run):
    assert column(layer, "inner") == run


@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=4),
    st.lists(st.integers(1, 5), min_size=1, max_size=4),
)
def test_a_shared_run_fits_into_both_shapes(before, after):
    run = shared_run(before, after)
    assert run <= min(np.prod(before), np.prod(after))
    assert shared_run(before, before) == np.prod(before)
    assert shared_run(before, after) == shared_run(after, before)


@pytest.mark.parametrize(("axes", "expected"), [((1, 2), 0), ((3,), 1), ((1, 3), 1)])
def test_reductions_over_channels_are_told_from_others(axes, expected):
    assert column(operators.reduce("mean", (1, 4, 4, 8), axes), "along_last") == expected


def test_groups_and_results_are_counted():
    assert column(operators.grouped_conv_2d(8, 8, 4, 16, 32), "groups") == 4
    assert column(operators.conv_2d(8, 8, 16, 32), "groups") == 1
    for layer in (operators.depthwise_conv_2d(8, 8, 16), operators.grouped_conv_2d(8, 8, 16, 16, 16)):
        assert column(layer, "groups") == 16
        assert column(layer, "in_channels") == 1, "of one group, whichever operator says it"
    assert column(operators.split((1, 8), 1, 4), "results") == 4


def test_a_grouped_convolution_pads_the_channels_of_each_group_to_whole_tiles():
    layers = [operators.grouped_conv_2d(8, 8, 4, 16, c) for c in (4 * 5, 4 * 8)]
    work = [family_costs("conv_2d:grouped", layer, out_channels=8)["tiled_macs"] for layer in layers]
    assert work[0] == work[1] == 4 * 8 * 64 * 9 * 4


def test_positions_of_a_large_window_run_in_tiles_too():
    layers = [operators.depthwise_conv_2d(side, side, 4, (7, 7)) for side in (6, 7)]
    tiles = [
        family_costs("depthwise_conv_2d:large", layer, out_channels=8, pixels=7)["tiles"] for layer in layers
    ]
    assert tiles == [4 * 6, 4 * 7]


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_operator_that_is_probed_has_features_that_are_numbers(dtype):
    generic = family_of("custom:nothing")
    for op in catalogue(dtype):
        family = family_of(op)
        assert family is not generic, op
        layers = [draw_layer(op, dtype, np.random.default_rng(seed)) for seed in range(3)]
        for layer in layers:
            for values in family_costs(op, layer).values():
                assert np.isfinite(values)
                assert values >= 0


@pytest.mark.parametrize(
    ("ranges", "dropped", "odd"),
    [
        (((0, 1, 1), (1, 4, 1), (0, 6, 1)), (), 0),
        (((0, 1, 1), (0, 4, 2), (0, 6, 1)), (), 1),
        (((0, 1, 1), (7, 1, 1), (0, 6, 1)), (1,), 1),
    ],
)
def test_slices_with_gaps_or_fewer_axes_are_copied_element_by_element(ranges, dropped, odd):
    layer = operators.strided_slice((1, 8, 6), ranges, dropped)
    assert column(layer, "variant") == odd
    assert costs(layer)["odd_elements"] == odd * layer.outputs[0].size


def test_shuffled_channels_are_turned_in_blocks():
    whole = costs(operators.transpose((1, 2, 2, 8, 16), (0, 1, 2, 4, 3)), block=8)
    assert whole["blocks"] == 4 * 1 * 2
    assert whole["elements"] == 4 * 8 * 16


def test_an_operator_without_operands_and_results_moves_nothing():
    layer = Layer("call_once", (), (), {})
    assert [column(layer, name) for name in ("in_bytes", "out_bytes", "macs")] == [0, 0, 0]
