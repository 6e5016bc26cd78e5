from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from profiler.operators import conv_2d, fully_connected
from timemodel.features import family_of, geometry
from timemodel.features.accelerator import ACCELERATOR_FAMILIES, INPUT_FAMILIES
from timemodel.features.blocks import folded, least_fetched, positions, spread_taps, steps, used_inputs
from timemodel.features.table import Geometry

TILES = {
    "out_channels": 16,
    "in_channels": 8,
    "map": 4,
    "buffer": 2**14,
    "least": 1,
    "rows": 2,
    "holes": 2,
    "inside": 2,
}


def of(*layers) -> Geometry:
    return Geometry(geometry(layers))


def test_a_layer_at_the_input_reads_piece_by_piece_and_others_do_not():
    inside, first = family_of("conv_2d", "accelerator"), family_of("conv_2d:input", "accelerator")
    assert set(first.parts) - set(inside.parts) == {"the network's input"}
    assert first.tiles == inside.tiles
    assert family_of("conv_2d") is not inside


@pytest.mark.parametrize("family", [*ACCELERATOR_FAMILIES.values(), *INPUT_FAMILIES.values()])
def test_every_part_is_made_of_costs_that_the_family_has(family):
    tiles = {axis: sizes[0] for axis, sizes in family.tiles.items()}
    costs = family.costs(of(conv_2d(8, 8, 8, 8, dtype="int8")), tiles)
    assert {name for names in family.parts.values() for name in names} <= set(costs)


@pytest.mark.parametrize(("dilation", "taps"), [(1, 9), (2, 9), (3, 49), (4, 25), (6, 49)])
def test_every_second_hole_of_an_even_dilation_is_free(dilation, taps):
    assert spread_taps(of(conv_2d(20, 20, 8, 8, dilation=(dilation, dilation), dtype="int8"))) == taps


def test_work_comes_in_whole_blocks():
    costs = family_of("conv_2d", "accelerator").costs(of(conv_2d(6, 6, 9, 17, (1, 1), dtype="int8")), TILES)
    assert costs["blocked_outputs"] == 8 * 8 * 32
    assert costs["blocked_macs"] == 8 * 8 * 32 * 16
    assert costs["waiting_macs"] == 8 * 8 * 32 * 32  # one step of one tap and 32 channels


def test_products_come_in_steps_of_four_taps_or_of_32_channels():
    few, many = conv_2d(8, 8, 3, 8, (3, 3), dtype="int8"), conv_2d(8, 8, 64, 8, (1, 1), dtype="int8")
    assert np.array_equal(steps(of(few, many)), [3 * 32, 2 * 32])


def test_a_map_of_few_positions_waits_for_its_weights():
    family = family_of("conv_2d", "accelerator")
    one = of(conv_2d(1, 1, 32, 16, (1, 1), dtype="int8"))
    patient = family.costs(one, {**TILES, "map": 1, "least": 32})["waiting_macs"]
    assert patient == 32 * family.costs(one, {**TILES, "map": 1, "least": 1})["waiting_macs"]


def test_steps_wider_than_hardware_makes_read_the_weights_for_every_position():
    patches = conv_2d(64, 64, 3, 32, (16, 16), (16, 16), padding="valid", dtype="int8")
    costs = family_of("conv_2d", "accelerator").costs(of(patches), TILES)
    assert costs["fetched_weights"] == 4 * 4 * of(patches).weight_bytes


def test_a_block_that_holds_everything_fetches_everything_once():
    g = of(conv_2d(4, 4, 16, 16, (1, 1), dtype="int8"))
    blocks = least_fetched(g, 2**16, deep=True)
    assert (blocks.inputs, blocks.weights) == (g.in_bytes, g.weight_bytes)
    assert blocks.positions(1) == 16


def test_a_smaller_buffer_fetches_more():
    g = of(conv_2d(56, 56, 64, 128, (3, 3), dtype="int8"))
    fetched = [
        (blocks := least_fetched(g, size, deep=True)).inputs[0] + blocks.weights[0]
        for size in (2**12, 2**14, 2**16)
    ]
    assert fetched == sorted(fetched, reverse=True)
    assert fetched[0] > 1.5 * fetched[2]


@pytest.mark.parametrize(
    ("rows", "height", "width"), [(576, 24, 24), (140, 10, 14), (491, 1, 491), (1, 1, 1)]
)
def test_rows_of_a_matrix_are_folded_into_the_map_nearest_to_a_square(rows, height, width):
    g = folded(of(fully_connected(32, 16, rows, dtype="int8")))
    assert (g.out_height, g.out_width, g.batch) == (height, width, 1)


def test_what_lies_outside_is_read_and_written_there_and_all_of_it_where_nothing_stays_inside():
    layer = conv_2d(12, 12, 8, 8, (1, 1), dtype="int8")
    partly = replace(layer, params={**layer.params, "outside_out_bytes": 12 * 12 * 8})
    costs = family_of("conv_2d", "accelerator").costs(of(layer, partly), TILES)
    assert np.array_equal(costs["spilled_outputs"], [0, 12 * 12 * 8])
    assert np.array_equal(costs["spilled_once"], [0, 0])
    everything = family_of("conv_2d", "accelerator").costs(of(layer), {**TILES, "inside": 1})
    assert (everything["spilled_outputs"], everything["spilled_once"]) == (12 * 12 * 8, 12 * 12 * 8)


def test_steps_wider_than_the_kernel_pass_over_inputs():
    strided = of(conv_2d(8, 8, 16, 16, (1, 1), (2, 2), dtype="int8"))
    assert used_inputs(strided) == 4 * 4 * 16
    assert used_inputs(of(conv_2d(8, 8, 16, 16, (3, 3), (2, 2), dtype="int8"))) == 8 * 8 * 16


def test_holes_of_a_kernel_are_passed_over_where_the_device_does_so():
    dilated = of(conv_2d(20, 20, 8, 8, dilation=(3, 3), dtype="int8"))
    assert (spread_taps(dilated), spread_taps(dilated, holes=False)) == (49, 9)


def test_a_row_of_positions_fills_square_blocks_only_where_it_can_be_bent():
    row = of(conv_2d(1, 64, 8, 8, (1, 1), dtype="int8"))
    assert (positions(row, 4), positions(row, 4, bent=False)) == (64, 4 * 64)
