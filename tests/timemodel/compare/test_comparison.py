from __future__ import annotations

from dataclasses import replace

import pytest

from profiler.errors import DataError
from profiler.network import Network
from profiler.operators import conv_2d, fully_connected, network_with_dtype, unary
from profiler.probes import Probe
from timemodel.compare import compare
from timemodel.compare.reasons import reason_of
from timemodel.model import TimeModel
from timemodel.runtime import OUTSIDE, GraphRule


def network(*layers) -> Network:
    return Probe("network", layers).network


WIDE = network(
    conv_2d(16, 16, 8, 48), unary("relu", (1, 16, 16, 48)), conv_2d(16, 16, 48, 32), fully_connected(32, 10)
)
NARROW = network(
    conv_2d(16, 16, 8, 16), unary("relu", (1, 16, 16, 16)), conv_2d(16, 16, 16, 32), fully_connected(32, 10)
)


def with_rules(time_model: TimeModel, *rules: GraphRule):
    setting = time_model.setting()
    return setting.with_terms(replace(setting.terms, graph_rules=rules))


def test_a_file_compared_with_itself_differs_in_nothing(time_model):
    found = compare(time_model, WIDE, replace(WIDE))
    assert found.difference_ms == 0 == found.error_ms
    assert not found.sure
    assert all(difference.difference_ms == 0 for difference in found.differences)


def test_the_differences_add_up_to_the_difference_of_the_files(time_model):
    found = compare(time_model, WIDE, NARROW)
    assert sum(one.difference_ms for one in found.differences) == pytest.approx(found.difference_ms)
    assert found.difference_ms < 0
    assert found.sure
    first = found.differences[0]
    assert first.text == "2 conv_2d: fewer multiplications"
    assert first.sure


def test_the_other_way_round_is_the_same_with_the_other_sign(time_model):
    one, other = compare(time_model, WIDE, NARROW), compare(time_model, NARROW, WIDE)
    assert one.difference_ms == pytest.approx(-other.difference_ms)
    assert one.error_ms == pytest.approx(other.error_ms)
    assert other.differences[0].text == "2 conv_2d: more multiplications"


def test_an_operator_that_another_number_type_leaves_to_built_in_kernels_is_said_to_fall_back(time_model):
    setting = with_rules(time_model, GraphRule("int8", "hard_swish", OUTSIDE, 1.0, 4, True))
    layers = unary("hard_swish", (1, 8)), unary("hard_swish", (1, 8), "int8")
    text = "int8 in place of float32, which falls back to built-in kernels"
    assert reason_of(setting, layers[:1], layers[1:], 1.0, 2.0).text == text
    assert "no longer falls back" in reason_of(setting, layers[1:], layers[:1], 2.0, 1.0).text


def test_one_that_falls_back_in_few_cases_only_is_not(time_model):
    setting = with_rules(time_model, GraphRule("int8", "hard_swish", OUTSIDE, 0.2, 5, True))
    layers = unary("hard_swish", (1, 8)), unary("hard_swish", (1, 8), "int8")
    assert reason_of(setting, layers[:1], layers[1:], 1.0, 2.0).text == "int8 in place of float32"


def test_measured_times_of_layers_are_summed_beside_the_predicted_ones(time_model):
    first = {layer.index: 1.0 for layer in WIDE.layers}
    second = {layer.index: 0.25 for layer in NARROW.layers}
    found = compare(time_model, WIDE, NARROW, measured_ms=(first, second))
    convolutions = next(one for one in found.differences if one.text.startswith("2 conv_2d"))
    assert convolutions.measured_difference_ms == pytest.approx(2 * (0.25 - 1.0))
    assert sum(one.measured_difference_ms for one in found.differences) == pytest.approx(4 * (0.25 - 1.0))


def test_without_measured_times_and_energy_there_is_none(time_model):
    found = compare(time_model, WIDE, NARROW).to_dict()
    assert all(one["measured_difference_ms"] is None for one in found["differences"])
    assert all(one["difference_mj"] is None for one in found["differences"])


def test_conversions_are_named_by_the_file_that_has_them(time_model):
    first = network(conv_2d(16, 16, 8, 16))
    inside = network_with_dtype(first, "int8").layers
    second = network(unary("quantize", (1, 16, 16, 8), "float32", "int8"), *inside)
    texts = [one.text for one in compare(time_model, first, second).differences]
    assert "1 quantize: conversions in the second file only" in texts
    assert "1 conv_2d: int8 in place of float32" in texts


def test_files_that_neither_take_nor_give_the_same_are_of_two_networks_however_alike(time_model):
    first = network(conv_2d(16, 16, 8, 16), unary("relu", (1, 16, 16, 16)))
    second = network(conv_2d(16, 16, 4, 24), unary("relu", (1, 16, 16, 24)))
    with pytest.raises(DataError, match=r"they take 2048 and 1024 numbers and give 4096 and 6144; name two"):
        compare(time_model, first, second)
    other_head = network(conv_2d(16, 16, 8, 24), unary("relu", (1, 16, 16, 24)))
    assert compare(time_model, first, other_head).differences


def test_two_files_that_are_not_of_one_network_are_refused_with_what_they_share(time_model):
    other = replace(network(fully_connected(64, 64), fully_connected(64, 64)), name="other.tflite")
    with pytest.raises(
        DataError, match=r"other\.tflite are not of one network: of 4 and 2 layers 0 have the same sizes"
    ):
        compare(time_model, WIDE, other)
