from __future__ import annotations

import numpy as np
import pytest

from profiler.operators import conv_2d
from timemodel.features import family_of, geometry
from timemodel.features.accelerator import BLOCKS, FAST, spread_taps
from timemodel.features.table import Geometry

TILES = {"out_channels": 16, "in_channels": 8, "map": 4, "macs_per_byte": 16, "fast": 1000}


def test_a_family_for_accelerators_has_its_own_blocks():
    assert set(family_of("conv_2d", "accelerator").tiles) == {*BLOCKS, *FAST}
    assert family_of("conv_2d:input", "accelerator") is family_of("conv_2d", "accelerator")
    assert family_of("conv_2d") is not family_of("conv_2d", "accelerator")


@pytest.mark.parametrize(("dilation", "taps"), [(1, 9), (2, 9), (4, 25), (6, 49)])
def test_every_second_hole_of_a_dilated_kernel_is_free(dilation, taps):
    g = Geometry(geometry([conv_2d(20, 20, 8, 8, dilation=(dilation, dilation), dtype="int8")]))
    assert spread_taps(g) == taps


def test_work_comes_in_whole_blocks():
    costs = family_of("conv_2d", "accelerator").costs(
        Geometry(geometry([conv_2d(6, 6, 9, 17, (1, 1), dtype="int8")])), TILES
    )
    assert costs["blocked_outputs"] == 8 * 8 * 32
    assert costs["blocked_macs"] == 8 * 8 * 32 * 16


def test_activations_spill_where_not_all_that_is_alive_fits():
    small, large = conv_2d(4, 4, 8, 8, (1, 1), dtype="int8"), conv_2d(12, 12, 8, 8, (1, 1), dtype="int8")
    costs = family_of("conv_2d", "accelerator").costs(Geometry(geometry([small, large])), TILES)
    assert np.array_equal(costs["spilled_in_bytes"], [0, 12 * 12 * 8])
