"""Which method searches where none is named, and what is asked of it."""

from compressor.method_names import DEFAULT
from compressor.pipeline.shared.sharing import Sharing


def test_where_no_method_is_named_several_processes_get_one_that_can_be_shared():
    assert Sharing().method(None).name == DEFAULT
    assert Sharing(workers=2).method(None).name == "optuna"


def test_a_number_of_candidates_goes_with_every_method_that_knows_one():
    assert Sharing(trials=3).method("structure").trials == 3
