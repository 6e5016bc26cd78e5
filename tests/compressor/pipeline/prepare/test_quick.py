"""Candidates are ranked by what they lose before any training."""

import math
from dataclasses import replace

import pytest

from compressor.costs import scaled
from compressor.pipeline.prepare.quick import QuickLoss
from compressor.testing.keras_task import bars_prepared


@pytest.mark.parametrize("removed", [[], ["third"]])
def test_one_network_stands_for_those_of_all_configurations(removed):
    prepared = bars_prepared()
    quick = QuickLoss(prepared)
    one = scaled(prepared.original.configuration, 0.6).without(removed)
    assert quick(one) == pytest.approx(quick._made(one), rel=1e-3)
    assert quick(one) == quick(one)


def test_where_it_cannot_stand_for_all_each_network_is_made():
    prepared = bars_prepared()

    class Refusing:
        blocks = prepared.structures.blocks
        groups_in_place = staticmethod(lambda configuration: None)

        def __getattr__(self, name):
            return getattr(prepared.structures, name)

    quick = QuickLoss(replace(prepared, structures=Refusing()))
    assert math.isfinite(quick(scaled(prepared.original.configuration, 0.6)))
    assert "supernet" not in vars(quick)


def test_weights_that_are_solved_again_lose_less_and_leave_no_trace():
    prepared = bars_prepared()
    one = scaled(prepared.original.configuration, 0.7)
    solved, plain = QuickLoss(prepared), QuickLoss(prepared, reconstructs=False)
    assert solved(one) < plain(one)
    full = prepared.original.configuration
    assert solved(full) == pytest.approx(plain(full))
