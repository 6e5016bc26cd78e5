"""What heads are made of, and which one an exit gets."""

from __future__ import annotations

import keras
import pytest

from compressor.exits.cuts import ExitPlace
from compressor.exits.heads import KINDS, head_alone
from compressor.exits.training import heads_schedule


def cut(*shape: int) -> ExitPlace:
    return ExitPlace("layer", (keras.KerasTensor((None, *shape), "float32"),), 0, 1.0, 0.5)


def convolved(kind: str, *shape: int) -> list[tuple[int, ...]]:
    """Shape of what each convolution gives."""
    model = head_alone(cut(*shape), 10, "logits", kind)
    return [tuple(layer.output.shape[1:]) for layer in model.layers if "Separable" in type(layer).__name__]


def test_deep_heads_halve_until_little_is_left_and_double_the_channels():
    assert convolved("pool", 16, 16, 32) == []
    assert convolved("conv", 16, 16, 32) == [(8, 8, 32)]
    assert convolved("deep", 16, 16, 32) == [(8, 8, 64), (4, 4, 128)]
    assert convolved("deeper", 16, 16, 32) == 2 * [(8, 8, 64)] + 2 * [(4, 4, 128)]
    assert convolved("deepest", 32, 16) == 3 * [(16, 32)] + 3 * [(8, 64)] + 3 * [(4, 128)]


def test_what_is_small_or_wide_already_stays_so():
    assert convolved("deep", 4, 4, 128) == [(4, 4, 128)]
    assert convolved("deeper", 13, 1, 96) == [(7, 1, 128), (7, 1, 128)]
    assert convolved("deepest", 64) == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_head_gives_one_number_per_class(kind: str):
    assert head_alone(cut(8, 8, 12), 7, "softmax", kind).output_shape == (None, 7)


def test_heads_learn_for_more_epochs_where_rows_are_few():
    # 1,000 steps of 64 rows, but at least 15 epochs and at most 60; an epoch has at least 16 steps.
    schedules = [heads_schedule(rows) for rows in (100, 2000, 18_000)]
    assert [one.epochs for one in schedules] == [60, 32, 15]
    assert [one.batch_size for one in schedules] == [8, 64, 64]
