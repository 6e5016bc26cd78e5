"""Candidates are ranked by what they lose before any training."""

import math
from dataclasses import replace

import numpy as np
import pytest

from compressor.changes.kernels import SmallerKernel
from compressor.changes.pairs import ThinPair
from compressor.costs import Structures, scaled
from compressor.graph import read_topology
from compressor.pipeline.prepare import quick as module
from compressor.pipeline.prepare.preparation import converter
from compressor.pipeline.prepare.quick import QuickLoss
from compressor.testing.keras_task import bars_prepared


@pytest.mark.parametrize("removed", [[], ["third"]])
def test_one_network_stands_for_those_of_all_configurations(removed):
    prepared = bars_prepared()
    quick = QuickLoss(prepared)
    one = scaled(prepared.original.configuration, 0.6).without(removed)
    assert quick(one) == pytest.approx(quick._made(one), rel=1e-3)
    assert quick(one) == quick(one)


def test_smaller_kernels_and_low_rank_are_ranked_by_other_weights_of_the_one_network():
    prepared = bars_prepared()
    _, second, _ = (call for call in read_topology(prepared.model).calls if call.kind == "Conv2D")
    middle = SmallerKernel("kernel", (second.name,), "kernel", (3, 3), (1, 1), (1, 1), "")
    pair = ThinPair("rank", (second.name,), "Conv2D", 2, (3, 3, 8, 8), "")
    plain = prepared.structures.full
    structures = Structures(
        plain.model,
        plain.graph,
        {**prepared.structures.blocks, "kernel": middle, "rank": pair},
        converter("none", None),
        plain.base,
    )
    quick = QuickLoss(replace(prepared, structures=structures))
    full = prepared.original.configuration
    losses = [quick(full)]
    for removed in (["kernel"], ["rank"], ["kernel", "rank"], ["kernel", "third"]):
        one = full.without(removed)
        losses.append(quick(one))
        assert losses[-1] == pytest.approx(quick._made(one), rel=1e-3), removed
    assert len(set(losses)) == len(losses)
    assert quick(full) == losses[0]


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


def test_weights_are_solved_from_rows_of_all_classes_of_a_sorted_file():
    prepared = bars_prepared()
    data = prepared.task.data
    x = np.concatenate([data.x[data.y == kind] for kind in np.repeat([0, 1, 2], 10)])
    rows = replace(prepared, task=replace(prepared.task, data=replace(data, x=x))).typical_rows
    assert len(rows) == 256
    of_class = {row.tobytes(): kind for row, kind in zip(data.x, data.y, strict=True)}
    assert np.bincount([of_class[row.tobytes()] for row in rows]) == pytest.approx(256 / 3, abs=1)


def test_weights_are_solved_where_channels_go_and_for_few_sets_of_blocks_remembered(monkeypatch):
    prepared = bars_prepared()
    quick = QuickLoss(prepared)
    full = prepared.original.configuration
    quick(full.without(["third"]))
    assert not quick._seen
    monkeypatch.setattr(module, "_MOST_SOLVED", 1)
    small = scaled(full, 0.7)
    losses = [quick(small), quick(small.without(["third"]))]
    assert set(quick._seen) == {frozenset({"third"})}
    assert [quick(small), quick(small.without(["third"]))] == losses
