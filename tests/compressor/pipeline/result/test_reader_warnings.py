"""Sentences on figures that are less sure than they look."""

from types import SimpleNamespace

import numpy as np
import pytest

from compressor.data import Data
from compressor.pipeline.result.reader_warnings import reader_warnings
from compressor.search import Goal
from compressor.training import Task


@pytest.mark.parametrize(("aside", "said"), [(None, True), ("rows", False)])
def test_rows_that_were_kept_aside_are_not_said_to_be_missing_where_no_point_gains_anything(aside, said):
    rows, labels = np.zeros((20, 1)), np.arange(20) % 2
    prepared = SimpleNamespace(
        original=SimpleNamespace(score=0.8),
        test_given=False,
        aside=aside,
        task=Task("softmax", Data(x=rows, y=labels, x_val=rows, y_val=labels)),
    )
    result = SimpleNamespace(
        max_accuracy_drop=1.0, promise=None, confirmed=None, score_name="accuracy", met=False, points=(),
        after=SimpleNamespace(measured_ms=None),
    )  # fmt: skip
    found = reader_warnings(result, Goal(least_score=0.79), SimpleNamespace(met=False), prepared)
    assert any("no rows were given that the original never saw" in note for note in found) == said
