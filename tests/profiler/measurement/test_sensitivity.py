"""What states cost each kind of work, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.measurement.sensitivity import (
    CACHE_BYTES,
    LIKE_ALL,
    LIKE_CANARY,
    Point,
    Sensitivity,
    goes_far,
    kind_of_work,
    learn_sensitivities,
)
from profiler.operators import conv_2d, fully_connected, unary
from profiler.probes import Probe


def points(kind: str, power: float, count: int, slow: float = 1.5, calm: bool = True) -> list[Point]:
    """`count` probes that were met in calm and at a slowness."""
    found: list[Point] = []
    for number in range(count):
        time = math.log(10.0 + number)
        key = f"{kind} {number}"
        found += [(kind, key, True, 0.0, time)] if calm else []
        found.append((kind, key, False, math.log(slow), time + power * math.log(slow)))
    return found


def test_kinds_of_work() -> None:
    assert kind_of_work(Probe("layer", (conv_2d(32, 32, 64, 64),))) == "arithmetic float32"
    assert kind_of_work(Probe("layer", (conv_2d(32, 32, 64, 64, dtype="int8"),))) == "arithmetic int8"
    assert kind_of_work(Probe("layer", (unary("relu", (1, 8, 8, 8)),))) == "cache float32"
    assert kind_of_work(Probe("layer", (unary("relu", (1, 256, 256, 8)),))) == "memory float32"
    large = fully_connected(1024, 1024)
    assert large.weight_bytes > CACHE_BYTES
    assert kind_of_work(Probe("layer", (large,))) == "memory float32"


def test_what_goes_beyond_the_caches_of_a_core() -> None:
    def dense(inputs: int, outputs: int, dtype: str = "float32") -> Probe:
        return Probe("layer", (fully_connected(inputs, outputs, dtype=dtype),))

    assert not goes_far(dense(1024, 1024))
    assert goes_far(dense(2048, 2048))
    assert not goes_far(dense(2048, 2048, "int8"))
    # Many small layers do not: each finds the caches free.
    assert not goes_far(Probe("chain", (*dense(1024, 1024).layers,) * 9))


def test_many_points_show_their_power() -> None:
    learned = learn_sensitivities([*points("a", 0.5, 2000), *points("b", 1.5, 2000)])
    assert learned["a"].power == pytest.approx(0.5, abs=0.02)
    assert learned["b"].power == pytest.approx(1.5, abs=0.02)
    assert learned["a"].points == learned["b"].points == 2000
    assert learned["a"].noise < 0.02


def test_few_points_are_drawn_to_what_all_show_and_all_to_the_canary() -> None:
    learned = learn_sensitivities([*points("many", 2.0, 490), *points("few", 0.5, 5)])
    everything = (2.0 * 495 + 1.0 * LIKE_CANARY) / (495 + LIKE_CANARY)
    assert learned["few"].power == pytest.approx((0.5 * 5 + everything * LIKE_ALL) / (5 + LIKE_ALL))
    assert learned["many"].power == pytest.approx((2.0 * 490 + everything * LIKE_ALL) / (490 + LIKE_ALL))
    alone = learn_sensitivities(points("one", 2.0, 1))["one"]
    assert 1.0 < alone.power < 1.2
    assert alone.noise > 0.2


def test_a_kind_that_no_point_says_anything_of_is_like_all() -> None:
    learned = learn_sensitivities([*points("many", 2.0, 490), ("none", "n", True, 0.0, 1.0)])
    assert learned["none"].points == 0
    assert learned["none"].power == pytest.approx((2.0 * 490 + LIKE_CANARY) / (490 + LIKE_CANARY))
    assert learn_sensitivities([]) == {}
    only = learn_sensitivities([("none", "n", True, 0.0, 1.0)])
    assert only["none"] == Sensitivity()


def test_what_was_never_met_in_calm_is_compared_with_what_was_met_least_slow() -> None:
    rows = [
        ("a", f"{number}", False, math.log(slow), 2.0 + 0.7 * math.log(slow))
        for number in range(500)
        for slow in (1.2, 1.6)
    ]
    learned = learn_sensitivities(rows)["a"]
    assert learned.points == 500
    assert learned.power == pytest.approx(0.7, abs=0.02)


def test_points_that_are_hardly_slow_say_nothing() -> None:
    assert learn_sensitivities(points("a", 3.0, 50, slow=1.02))["a"].points == 0


def test_a_few_wild_points_do_not_decide() -> None:
    rows = points("a", 0.8, 400)
    wild = [("a", f"a {number}", False, math.log(1.5), 20.0) for number in range(30)]
    assert learn_sensitivities([*rows, *wild])["a"].power == pytest.approx(0.8, abs=0.05)


def test_noise_is_the_spread_around_the_power() -> None:
    random = np.random.default_rng(0)
    slow = math.log(1.5)
    rows: list[Point] = []
    for number in range(2000):
        off = 0.1 * math.sqrt(slow) * random.standard_normal()
        rows += [("a", f"{number}", True, 0.0, 1.0), ("a", f"{number}", False, slow, 1.0 + slow + off)]
    assert learn_sensitivities(rows)["a"].noise == pytest.approx(0.1, rel=0.1)


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.booleans(), st.floats(0, 1), st.floats(-1, 9)), max_size=40)
)
def test_powers_are_possible_whatever_was_met(rows: list) -> None:
    learned = learn_sensitivities((kind, f"{kind}{i // 3}", *rest) for i, (kind, *rest) in enumerate(rows))
    assert set(learned) == {kind for kind, *_ in rows}
    for one in learned.values():
        assert 0 <= one.power <= 3
        assert one.noise >= 0
        assert math.isfinite(one.noise)


@given(st.floats(-5, 5))
def test_how_long_a_probe_takes_does_not_matter(shift: float) -> None:
    rows = points("a", 1.3, 30)
    shifted = [(kind, key, calm, slow, time + shift) for kind, key, calm, slow, time in rows]
    one, other = learn_sensitivities(rows)["a"], learn_sensitivities(shifted)["a"]
    assert one.power == pytest.approx(other.power)
