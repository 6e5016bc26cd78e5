import json

import pytest

from profiler.calm import State
from timemodel.model import Conditions, Load

BUSY = Conditions(
    calm_share=0.06,
    canary_us=14.2,
    states=(State(1.0, 0.06), State(1.3, 0.7)),
    probes=1000,
    calm_probes=300,
    powers={"arithmetic int8": 1.3},
    loads=(Load(2.0, 1.2, 1.8), Load(32.0, 1.4, 1.5)),
)


def test_conditions_come_back_from_json():
    assert Conditions.from_dict(json.loads(json.dumps(BUSY.to_dict()))) == BUSY


@pytest.mark.parametrize(
    "change",
    [{"calm_share": "much"}, {"states": {}}, {"loads": [{"span_ms": 0, "p50": 1, "p90": 1}]}, {"probes": -1}],
)
def test_conditions_that_were_edited_are_refused(change):
    with pytest.raises(ValueError, match=r"its|a load's"):
        Conditions.from_dict({**BUSY.to_dict(), **change})


def test_a_profile_with_little_calm_warns_with_the_mend():
    warning = BUSY.warning("'edgetime profile TARGET -o d.db'")
    assert warning is not None
    assert warning.startswith("Calm 6% of the time: 70% of the probes never met a calm moment")
    assert "run 'edgetime profile TARGET -o d.db' again" in warning
    assert BUSY.widened


def test_a_calm_profile_says_no_warning():
    calm = Conditions(calm_share=0.99, canary_us=14.2, probes=1000, calm_probes=990)
    assert calm.warning("again") is None
    assert not calm.widened
    assert calm.in_words() == "The device was calm 99% of the time. 990 of 1,000 probes were met in calm."


def test_a_canary_that_never_repeats_is_warned_of_even_where_all_probes_seem_calm():
    odd = Conditions(calm_share=0.9, canary_us=14.2, canary_repeats=False, probes=10, calm_probes=10)
    assert "never repeated" in (odd.warning("again") or "")
    assert "never repeated" in odd.in_words()


def test_load_by_hand():
    assert BUSY.met_ms(2.0) == pytest.approx((2.4, 3.6))
    assert BUSY.met_ms(8.0) == pytest.approx(
        (8 * 1.3, 8 * 1.65)
    )  # half way between 2 and 32 ms on a logarithmic scale
    assert BUSY.met_ms(100.0) == pytest.approx((140.0, 150.0))
    assert Conditions(calm_share=1.0, canary_us=14.2).met_ms(1.0) is None
