from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.network import Layer, Network
from profiler.operators import (
    binary,
    conv_2d,
    depthwise_conv_2d,
    fully_connected,
    network_with_dtype,
    pad,
    reduce,
    unary,
)
from profiler.probes import Probe
from timemodel.compare import align


def network(layers: Sequence[Layer], wiring: Sequence[Sequence[int]] = ()) -> Network:
    return Probe("network", tuple(layers), tuple(map(tuple, wiring))).network


def block(channels: int = 8) -> Network:
    """Two branches of like shapes that are added, twice, and a head."""
    conv, deep = conv_2d(8, 8, channels, channels), depthwise_conv_2d(8, 8, channels)
    add = binary("add", (1, 8, 8, channels), (1, 8, 8, channels))
    head = [reduce("mean", (1, 8, 8, channels), (1, 2)), fully_connected(channels, 10)]
    layers = [conv, deep, conv, add, deep, conv, add, *head]
    return network(layers, [(-1,), (0,), (0,), (1, 2), (3,), (3,), (4, 5), (6,), (7,)])


def pairs(first: Network, second: Network) -> set[tuple[tuple[int, ...], tuple[int, ...]]]:
    return {(group.first, group.second) for group in align(first, second).groups}


def in_another_order(network: Network, order: Sequence[int]) -> Network:
    layers = tuple(replace(network.layers[i], name="") for i in order)
    return replace(network, layers=layers, edges=tuple(network.edges[i] for i in order))


def orders(network: Network, seed: int) -> list[int]:
    """A random order in which the layers may run, too."""
    made = {tensor: i for i, edge in enumerate(network.edges) for tensor in edge.outputs}
    needs = [{made[t] for t in edge.inputs if t in made} for edge in network.edges]
    chosen: list[int] = []
    picker = random.Random(seed)
    while len(chosen) < len(needs):
        chosen.append(
            picker.choice([i for i, need in enumerate(needs) if i not in chosen and need <= {*chosen}])
        )
    return chosen


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_the_order_in_which_a_file_lists_its_layers_decides_nothing(seed):
    first = block()
    order = orders(first, seed)
    found = pairs(first, in_another_order(first, order))
    assert found == {((order[i],), (i,)) for i in range(len(order))}


def test_every_layer_stands_in_one_group():
    first, second = block(), network([conv_2d(8, 8, 8, 8), unary("relu", (1, 8, 8, 8))])
    groups = align(first, second).groups
    assert sorted(i for group in groups for i in group.first) == list(range(9))
    assert sorted(i for group in groups for i in group.second) == [0, 1]


def test_conversions_that_another_number_type_brings_stand_alone():
    first = network([conv_2d(8, 8, 3, 8), conv_2d(8, 8, 8, 4)])
    layers = [unary("quantize", (1, 8, 8, 3), "float32", "int8"), *network_with_dtype(first, "int8").layers]
    second = network([*layers, unary("dequantize", (1, 8, 8, 4), "int8", "float32")])
    assert pairs(first, second) == {((), (0,)), ((0,), (1,)), ((1,), (2,)), ((), (3,))}
    assert align(first, second).shared == 1.0


def test_what_one_converter_fuses_and_another_writes_out_goes_with_its_convolution():
    strided = conv_2d(8, 8, 3, 8, stride=(2, 2), activation="relu")
    valid = conv_2d(9, 9, 3, 8, stride=(2, 2), padding="valid")
    first = network([strided, conv_2d(4, 4, 8, 8)])
    second = network(
        [
            pad((1, 8, 8, 3), [(0, 0), (0, 1), (0, 1), (0, 0)]),
            valid,
            unary("relu", (1, 4, 4, 8)),
            conv_2d(4, 4, 8, 8),
        ]
    )
    assert pairs(first, second) == {((0,), (0, 1, 2)), ((1,), (3,))}
    assert pairs(second, first) == {((0, 1, 2), (0,)), ((3,), (1,))}


def test_layers_of_other_widths_are_matched_by_their_places():
    narrow = block(6)
    found = align(block(8), narrow)
    assert {(group.first, group.second) for group in found.groups} == {((i,), (i,)) for i in range(9)}
    assert found.shared == 1.0
    assert found.exact == 0


def test_a_layer_that_one_file_has_more_stands_alone():
    first = network([conv_2d(8, 8, 3, 8), conv_2d(8, 8, 8, 4)])
    second = network([conv_2d(8, 8, 3, 8), depthwise_conv_2d(8, 8, 8), conv_2d(8, 8, 8, 4)])
    assert pairs(first, second) == {((0,), (0,)), ((), (1,)), ((1,), (2,))}


@pytest.mark.parametrize("swap", [False, True])
def test_networks_of_other_structure_share_little_of_their_work(swap):
    first = network(
        [conv_2d(16, 16, 3, 32), *[depthwise_conv_2d(16, 16, 32), conv_2d(16, 16, 32, 32, (1, 1))] * 3]
    )
    second = network([fully_connected(256, 64), fully_connected(64, 64), fully_connected(64, 10)])
    assert align(*((second, first) if swap else (first, second))).shared < 0.5
