"""What operators cost for standing in a long row of unlike ones."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.operators import fully_connected, unary
from profiler.probes import Probe
from profiler.probes.context import rows_of_nothing, rows_of_unlike
from timemodel.fitting.profile import is_unlike, learn_dispatch
from timemodel.model import SettingModel
from timemodel.runtime import Dispatch, RuntimeTerms, dispatch_in_words
from timemodel.runtime.dispatch import KNOTS


def test_prices_rise_with_the_number_of_operators_by_hand():
    dispatch = Dispatch((0.0, 1e-5, 0.0, 2e-5))
    assert dispatch.each_ms(1) == dispatch.each_ms(32) == 0.0
    assert dispatch.each_ms(64) == pytest.approx(0.5e-5)
    assert dispatch.each_ms(512) == pytest.approx(1e-5)
    assert dispatch.each_ms(10**6) == pytest.approx(3e-5)


@given(st.lists(st.floats(0, 1e-3), min_size=4, max_size=4), st.integers(1, 5000))
def test_a_longer_row_never_costs_less_each(steps, count):
    dispatch = Dispatch(tuple(steps))
    assert dispatch.each_ms(count + 1) >= dispatch.each_ms(count) >= 0


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_learned_from_rows_and_their_operators_alone(dtype):
    rows = rows_of_unlike(dtype)
    alone = [(Probe("layer", (layer,)), 1e-4) for layer in {layer for row in rows for layer in row.layers}]
    true = Dispatch((0.0, 0.0, 4e-6, 2e-5))
    times = [(row, len(row.layers) * (1e-4 + true.each_ms(len(row.layers)))) for row in rows]
    found = learn_dispatch(RuntimeTerms(), times, alone)[dtype]
    for count in (16, 128, 512, 1024):
        assert found.each_ms(count) == pytest.approx(true.each_ms(count), abs=1e-6)


def test_nothing_to_learn_from_costs_nothing():
    assert learn_dispatch(RuntimeTerms(), [], []) == {}
    rows = [(row, 1.0) for row in rows_of_unlike()]
    assert learn_dispatch(RuntimeTerms(), rows, []) == {}, "no operator was timed alone"
    assert RuntimeTerms().dispatch_of("int8") == Dispatch()


def test_rows_are_told_from_other_chains():
    assert all(is_unlike(row) for row in rows_of_unlike())
    assert not any(is_unlike(row) for row in rows_of_nothing())
    assert not is_unlike(
        Probe("chain", (fully_connected(512, 512), unary("tanh", (1, 512)), unary("neg", (1, 512))))
    )


def test_rows_come_in_all_lengths_and_no_two_operators_in_a_row_are_foreseen():
    rows = rows_of_unlike()
    assert [len(row.layers) for row in rows] == sorted(len(row.layers) for row in rows)
    longest = rows[-1]
    names = [layer.op for layer in longest.layers]
    assert len(set(names)) == 7
    for period in range(1, 64):
        repeats = np.mean([a == b for a, b in zip(names, names[period:], strict=False)])
        assert repeats < 0.3, f"the row repeats every {period} operators"


def test_a_network_pays_for_its_length():
    row = rows_of_unlike()[-1]
    steps = (0.0,) * (len(KNOTS) - 1) + (1e-5,)
    free = SettingModel("s", {}, {}, {}, RuntimeTerms())
    paid = SettingModel("s", {}, {}, {}, RuntimeTerms(dispatch={"float32": Dispatch(steps)}))
    count = len(row.layers)
    beyond = paid.predict_total_ms(row.network) - free.predict_total_ms(row.network)
    assert beyond == pytest.approx(count * Dispatch(steps).each_ms(count))
    assert paid.cache_traffic_ms(row.network).sum() == 0, "it is no traffic"


@pytest.mark.parametrize(
    "change", [{"operators": [1, 2, 3, 4]}, {"steps_ms": [-1, 0, 0, 0]}, {"steps_ms": [0]}]
)
def test_prices_that_were_edited_are_refused(change):
    with pytest.raises(ValueError, match="prices of operators in a row"):
        Dispatch.from_dict({**Dispatch().to_dict(), **change})


def test_prices_in_words():
    assert dispatch_in_words({"int8": Dispatch()}) == []
    (said,) = dispatch_in_words({"float32": Dispatch((0.0, 0.0, 5e-6, 2e-5))})
    assert (
        said
        == "float32: each of many unlike operators in a row costs extra: of 128: 0 ns, of 512: 5 ns, of 2,048: 25 ns"
    )
