from __future__ import annotations

import pytest

from profiler.operators import conv_2d, reduce
from timemodel.runtime.left import LeftRule, learn_left, left_by_size


def strided(stride: int, side: int):
    return conv_2d(side, side, 3, 8, (3, 3), (stride, stride), dtype="int8")


RUN = [strided(stride, side) for stride in (1, 2, 3) for side in (16, 24, 40)]
LEFT = [strided(stride, side) for stride in (4, 5) for side in (16, 24, 40)]


def test_the_size_that_decides_is_found_and_said():
    (rule,) = learn_left("conv_2d", "int8", LEFT, RUN)
    assert rule.words in ("stride height above 3", "stride width above 3")
    kinds = [("conv_2d", "int8")] * 2
    assert left_by_size([strided(6, 20), strided(2, 20)], kinds, [rule]) == {0: rule.words}


def test_two_conditions_are_learned_together():
    over_last = [reduce("mean", (1, side, side, 16), (3,), True, "int8") for side in (2, 4, 6, 8, 10)]
    run = [reduce("mean", (1, 1, 1, width), (3,), True, "int8") for width in (8, 16, 24, 32, 40)]
    run += [reduce("mean", (1, side, side, 16), (1, 2), True, "int8") for side in (2, 4, 6, 8, 10)]
    rules = learn_left("mean", "int8", over_last, run)
    kinds = [("mean", "int8")]
    assert all(left_by_size([layer], kinds, rules) for layer in over_last)
    assert not any(left_by_size([layer], kinds, rules) for layer in run)


def test_nothing_is_learned_from_layers_that_sizes_do_not_tell_apart_or_from_few():
    assert learn_left("conv_2d", "int8", RUN, RUN) == []
    assert learn_left("conv_2d", "int8", LEFT[:3], RUN) == []


def test_another_operator_is_not_meant():
    (rule,) = learn_left("conv_2d", "int8", LEFT, RUN)
    assert left_by_size([strided(6, 20)], [("depthwise_conv_2d", "int8")], [rule]) == {}


def test_a_rule_survives_its_file_and_a_damaged_one_is_refused():
    (rule,) = learn_left("conv_2d", "int8", LEFT, RUN)
    assert LeftRule.from_dict(rule.to_dict()) == rule
    with pytest.raises(ValueError, match="asks about no size"):
        LeftRule.from_dict({"op": "conv_2d", "dtype": "int8", "conditions": [["colour", True, 1]]})
