import numpy as np
import pytest

from profiler import operators
from profiler.probes import Probe
from profiler.probes.context import chains, fans, parts, rows_of_nothing, slow
from timemodel.fitting.profile import learn_cache_traffic, one_more_operator_ms
from timemodel.runtime import CacheTraffic, RuntimeTerms, traffic_in_words
from timemodel.runtime.cache_traffic import KNOTS_MB, steps_climbed
from timemodel.runtime.reuse_distance import CLASSES


def device(price, rate=0.0):
    """Layers of 1 us and 1 us per 20 KB; everything from afar costs what `price` says."""
    truth = CacheTraffic(price, rate)

    def alone_ms(layer):
        return 0.001 + (layer.input_bytes + layer.weight_bytes + layer.output_bytes) * 5e-8

    def whole_ms(probe):
        layers = np.array([alone_ms(layer) for layer in probe.layers])
        return 0.0005 + float(layers.sum() + truth.extra_ms(probe.network, layers).sum())

    return alone_ms, whole_ms


def learn(price, rate=0.0, noise=0.0):
    alone_ms, whole_ms = device(price, rate)
    generator = np.random.default_rng(0)
    whole = [*chains(), *fans(), *slow()]

    def disturbed(time):
        return time * (1 + noise * abs(generator.normal()))

    return learn_cache_traffic(
        RuntimeTerms(overhead_ms=0.0005),
        [(probe, disturbed(whole_ms(probe))) for probe in whole],
        [(probe, disturbed(0.0005 + alone_ms(probe.layers[0]))) for probe in parts(whole)],
    ), (alone_ms, whole_ms)


def steps(**where):
    price = np.zeros((len(CLASSES), len(KNOTS_MB)))
    for name, (knot, value) in where.items():
        price[{"vector": 0, "matrix": 1, "window": 2, "data": 3}[name], KNOTS_MB.index(knot)] = value
    return price


def test_a_step_of_price_is_climbed_within_a_doubling():
    assert steps_climbed(np.array([0.5e6, 1e6, 2e6, 4e6]))[:, KNOTS_MB.index(1.0)].tolist() == [
        0.0,
        0.0,
        1.0,
        1.0,
    ]
    assert steps_climbed(np.array([2**0.5 * 1e6]))[0, KNOTS_MB.index(1.0)] == pytest.approx(0.5)


def test_extra_time_by_hand():
    # 16 layers of 1 MB of weights: each alone walks over 1.05 MB, the network over 16.8 MB; 8 MB cost 0.1 ms per MB.
    dense = operators.fully_connected(512, 512)
    network = Probe("chain", (dense,) * 16).network
    price = steps(vector=(8.0, 0.1))
    extra = CacheTraffic(price).extra_ms(network, np.full(16, 0.05))
    assert extra == pytest.approx(np.full(16, 0.1 * dense.weight_bytes / 1e6))


def test_prices_that_were_planted_are_found():
    found, _ = learn(
        steps(vector=(8.0, 0.03), matrix=(8.0, 0.03), window=(8.0, 0.02), data=(4.0, 0.05)), noise=0.003
    )
    at = np.array([2.0, 40.0])
    vector, matrix, window, data = found.price_ms_per_mb(at)
    assert vector[0] < 0.003
    assert vector[1] == pytest.approx(0.03, rel=0.25)
    assert matrix[1] == pytest.approx(0.03, rel=0.4)
    assert window[1] == pytest.approx(0.02, rel=0.4)
    assert data[1] == pytest.approx(0.05, rel=0.4)


def test_nothing_is_found_where_there_is_nothing():
    found, _ = learn(steps(), noise=0.003)
    # A chain of 100 MB takes 5 ms: less than 1% of that per MB.
    assert found.price_ms_per_mb(np.array([64.0])).max() < 0.002


def test_what_prices_are_off_by_grows_with_what_networks_disagree_by():
    planted = steps(vector=(8.0, 0.03), matrix=(8.0, 0.03), window=(8.0, 0.02), data=(4.0, 0.05))
    errors = [learn(planted, noise=noise)[0].error for noise in (0.001, 0.01, 0.05)]
    assert errors == sorted(errors)
    assert errors[0] < 0.3 < errors[-1] <= 1.0
    assert CacheTraffic.free().error == 0.0


def test_a_cache_that_forgets_is_told_from_a_small_one():
    found, (alone_ms, whole_ms) = learn(steps(vector=(16.0, 0.04), matrix=(16.0, 0.04)), rate=8.0)
    assert found.forgetting_mb_per_ms > 0
    # Not measured: 6 MB of weights and 5 ms of work.
    work = operators.conv_2d(28, 28, 64, 64)
    dense = operators.fully_connected(768, 512), operators.fully_connected(512, 768)
    layers = dense * 2 + (work,) * 90
    wiring = ((-1,), (0,), (1,), (2,), (-2,), *((i,) for i in range(4, 93)))
    probe = Probe("network", layers, wiring)
    alone = np.array([alone_ms(layer) for layer in layers])
    extra = whole_ms(probe) - 0.0005 - alone.sum()
    assert extra > 0.05
    assert found.extra_ms(probe.network, alone).sum() == pytest.approx(extra, rel=0.5)


def test_without_measured_parts_nothing_is_said_of_traffic():
    learned = learn_cache_traffic(RuntimeTerms(), [(probe, 1.0) for probe in chains()], [])
    assert not learned.prices_ms_per_mb.any()


def test_one_more_operator_is_the_slope():
    rows = [(probe, 0.2 + 0.03 * len(probe.layers)) for probe in rows_of_nothing()]
    assert one_more_operator_ms(rows) == pytest.approx(0.03)
    assert one_more_operator_ms([]) == 0.0
    assert one_more_operator_ms([(probe, 1.0) for probe in chains()]) == 0.0


@pytest.mark.parametrize("wrong", ["negative", "nan", "short", "rate", "error", "distances"])
def test_prices_that_cannot_be_are_refused(wrong):
    value = CacheTraffic(steps(vector=(8.0, 0.1)), 2.0).to_dict()
    row = value["prices_ms_per_mb"]["vector weights"]
    if wrong == "negative":
        row[3] = -1.0
    elif wrong == "nan":
        row[3] = float("nan")
    elif wrong == "short":
        row.pop()
    elif wrong == "rate":
        value["forgetting_mb_per_ms"] = -1.0
    elif wrong == "error":
        value["error"] = 1.5
    else:
        value["distance_mb"][0] = 3.0
    with pytest.raises(ValueError):
        CacheTraffic.from_dict(value)


def test_words_name_what_costs_and_what_does_not():
    said = traffic_in_words(CacheTraffic(steps(vector=(8.0, 0.1)), 4.0))
    assert "100 us" in said[0]
    assert said[1].endswith("nothing")
    assert "4 MB" in said[-1]
