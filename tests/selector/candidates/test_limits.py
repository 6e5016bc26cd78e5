"""DeviceLimits on time, memory and energy, and the words on those that nothing meets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.errors import BudgetError, UsageError
from selector.candidates import DeviceLimits, NetworkOption, doubts
from selector.selection import recommend


def option(name, ms, kb=1.0, mj=None, accuracy=None):
    return NetworkOption(
        Path(name), ms, ms, ms, peak_memory_bytes=int(1000 * kb), energy_mj=mj, accuracy=accuracy
    )


FAST_LARGE, SLOW_SMALL = option("fast", 1.0, 200, 5.0, 0.8), option("slow", 4.0, 50, 2.0, 0.9)


def test_each_limit_alone_decides():
    both = [FAST_LARGE, SLOW_SMALL]
    assert recommend(both) is SLOW_SMALL
    assert recommend(both, 2.0) is FAST_LARGE
    assert recommend(both, max_memory_kb=100) is SLOW_SMALL
    assert (
        recommend([FAST_LARGE], max_memory_kb=200) is FAST_LARGE
    )  # 1,000 bytes each, the limit itself is met
    assert recommend(both, max_energy_mj=4.9) is SLOW_SMALL


def test_every_limit_that_nothing_meets_names_its_own_nearest():
    with pytest.raises(BudgetError) as raised:
        recommend([FAST_LARGE, SLOW_SMALL], 0.8, max_memory_kb=40)
    text = str(raised.value)
    assert "at most 0.8 ms; nearest is fast with 1 ms (25.0% over)" in text
    assert "at most 40 kB of memory; nearest is slow with 50 kB (25.0% over)" in text


def test_limits_met_by_different_networks_name_the_one_least_beyond_them():
    with pytest.raises(
        BudgetError, match=r"2 ms and 100 kB of memory together; nearest is slow with 4 ms \(2 times"
    ):
        # fast is twice the memory, slow twice the time: the first of equals
        recommend([SLOW_SMALL, FAST_LARGE], 2.0, max_memory_kb=100)


def test_unknown_energy_is_one_sentence():
    with pytest.raises(UsageError, match="board knows no energy"):
        DeviceLimits(max_energy_mj=1.0).check_known("board", [option("n", 1.0)])
    DeviceLimits(budget_ms=1.0).check_known("board", [option("n", 1.0)])


@pytest.mark.parametrize("name", ["budget_ms", "max_memory_kb", "max_energy_mj"])
@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf")])
def test_refuses_limits_that_are_no_amount(name, value):
    with pytest.raises(UsageError, match="above 0"):
        DeviceLimits(**{name: value}).check()


amounts = st.floats(0.1, 9)


@given(st.lists(st.tuples(amounts, amounts, amounts), min_size=1, max_size=6), amounts, amounts, amounts)
def test_the_nearest_is_named_exactly_where_nothing_fits(rows, ms, kb, mj):
    options = [option(f"n{i}", *row) for i, row in enumerate(rows)]
    limits = DeviceLimits(ms, kb, mj)
    if not any(map(limits.fit, options)):
        with pytest.raises(BudgetError, match="nearest is n"):
            recommend(options, ms, max_memory_kb=kb, max_energy_mj=mj)
        return
    assert not limits.over(recommend(options, ms, max_memory_kb=kb, max_energy_mj=mj))


def test_a_network_of_unknown_loops_says_so_where_nothing_else_is_unknown():
    loop = replace(option("looped", 1.0), at_least=True, why_unknown="how often loop turns")
    with pytest.raises(BudgetError, match="looped takes at least 1 ms; not known: how often loop turns"):
        recommend([loop])
    (sentence,) = doubts([loop])
    assert "how often loop turns" in sentence
