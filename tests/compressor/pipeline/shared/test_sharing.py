"""Which method searches where none is named, and what is asked of it."""

import pytest

from compressor.method_names import DEFAULT
from compressor.pipeline.shared.sharing import Sharing
from profiler.errors import UsageError


def test_where_no_method_is_named_several_processes_get_one_that_can_be_shared():
    assert Sharing().method(None).name == DEFAULT
    assert Sharing(workers=2).method(None).name == "optuna"


def test_a_number_of_candidates_goes_with_every_method_that_knows_one():
    assert Sharing(trials=3).method("structure").trials == 3


def test_where_a_method_counts_no_candidates_those_that_do_are_named():
    with pytest.raises(
        UsageError, match=r"--trials goes with --method optuna or structure, not with uniform\."
    ):
        Sharing(trials=3).method("uniform")
