"""Arenas: what tflite-micro 0.dev20261023 said of these files, and what it says now where it is installed."""

from __future__ import annotations

import pytest

from profiler.errors import MissingExtraError, ModelFileError
from profiler.microcontrollers import installed, measure_arena, micro_footprint
from profiler.microcontrollers.kernels import KERNELS
from profiler.microcontrollers.published import order_of_magnitude
from profiler.network import Layer
from profiler.operators import (
    batch_matmul,
    concatenation,
    conv_2d,
    depthwise_conv_2d,
    fully_connected,
    pool_2d,
    reduce,
    transpose_conv,
    unary,
)
from profiler.probes import Probe
from profiler.tflite import read_network

FILES: dict[str, tuple[Layer, ...]] = {
    "convolution": (conv_2d(8, 8, 3, 16, dtype="int8"),),
    "convolutions in float": (conv_2d(8, 8, 3, 16), conv_2d(8, 8, 16, 24, (1, 1))),
    "depthwise": (depthwise_conv_2d(8, 8, 16, dtype="int8"),),
    "dense": (fully_connected(64, 32, dtype="int8"), fully_connected(32, 10, dtype="int8")),
    "mean": (reduce("mean", (1, 8, 8, 16), (1, 2), dtype="int8"),),
    "matrices": (batch_matmul((4,), 8, 16, 8),),
    "transposed": (transpose_conv(4, 4, 8, 4, dtype="int8"),),
    "joined": (concatenation([(1, 8, 8, 4), (1, 8, 8, 12)]),),
    "pool and softmax": (pool_2d("average_pool_2d", 4, 4, 16, dtype="int8"), unary("softmax", (1, 2, 2, 16), "int8")),
}  # fmt: skip


def content(name: str) -> bytes:
    return Probe("pair", FILES[name]).build()


TOOK = {
    "convolution": 2336, "convolutions in float": 11728, "depthwise": 3168, "dense": 1680, "mean": 2048, "matrices": 8128,
    "transposed": 2448, "joined": 9136, "pool and softmax": 1392,
}  # fmt: skip
"""Bytes that the interpreter said it used."""


@pytest.mark.parametrize("name", FILES)
def test_tensors_and_structures_are_what_the_interpreter_took(name: str):
    footprint = micro_footprint(content(name))
    assert footprint.tensor_bytes + footprint.persistent_bytes == TOOK[name]
    assert footprint.arena_bytes >= TOOK[name]
    assert footprint.runs


def test_a_small_network_needs_more_to_start_than_it_uses():
    # Between 2050 and 2100 bytes, as tried: preparing two dense layers takes more than their activations.
    assert micro_footprint(content("dense")).arena_bytes == 2088


@pytest.mark.skipif(not installed(), reason="tflite-micro is not installed")
@pytest.mark.parametrize("name", ["dense", "mean"])
def test_the_interpreter_says_so_and_starts_with_the_estimate(name: str):
    file = content(name)
    measured = measure_arena(file, micro_footprint(file).arena_bytes, run=True)
    assert measured.used_bytes == TOOK[name]
    assert measured.enough


@pytest.mark.skipif(not installed(), reason="tflite-micro is not installed")
def test_the_interpreter_says_why_it_cannot_run_a_file():
    file = Probe("layer", (unary("gelu", (1, 8)),)).build()
    measured = measure_arena(file, micro_footprint(file).arena_bytes)
    assert measured.used_bytes is None
    assert "GELU" in measured.problem


@pytest.mark.skipif(installed(), reason="tflite-micro is installed")
def test_without_the_package_the_command_that_installs_it_is_named():
    with pytest.raises(MissingExtraError, match="mcu"):
        measure_arena(content("mean"), 4096)


def test_operators_that_are_missing_are_named_with_how_often_they_occur():
    row = (unary("gelu", (1, 8)), unary("relu", (1, 8)), unary("gelu", (1, 8)))
    footprint = micro_footprint(Probe("pair", row).build())
    assert footprint.missing_operators == {"gelu": 2}
    assert not footprint.runs


@pytest.mark.parametrize(
    ("layer", "lacks"),
    [
        (conv_2d(8, 8, 3, 16, dtype="dynamic_int8"), "conv_2d of float32 data with int8 weights"),
        (reduce("reduce_max", (1, 8, 8, 16), (1, 2), dtype="int16"), "reduce_max of int16"),
        (unary("exp", (1, 8), "int8"), "exp of int8"),
    ],
)
def test_types_that_are_missing_are_named(layer: Layer, lacks: str):
    footprint = micro_footprint(Probe("layer", (layer,)).build())
    assert footprint.missing_types == {lacks: 1}
    assert not footprint.missing_operators


def test_pointers_of_32_bits_take_less_and_other_kernels_more():
    footprint = micro_footprint(content("convolution"))
    assert footprint.arena_32bit_bytes < footprint.arena_bytes
    # Two columns of 3 x 3 x 3 int16, each rounded up to 28, beside the input and output that live at the same time; the handle
    # of the buffer fits into what was lost to alignment.
    assert footprint.arena_cmsis_nn_bytes == footprint.arena_32bit_bytes + 2 * 2 * 28


def test_flash_is_the_file_and_code_that_counts_each_kind_of_operator_once():
    one, two = (Probe("pair", FILES["dense"][:count]).build() for count in (1, 2))
    more = Probe("pair", (FILES["dense"][0], unary("softmax", (1, 32), "int8"))).build()
    footprints = [micro_footprint(file) for file in (one, two, more)]
    assert 20_000 < footprints[0].code_bytes == footprints[1].code_bytes < footprints[2].code_bytes
    assert footprints[1].flash_bytes == len(two) + footprints[1].code_bytes


def test_every_registered_operator_is_one_that_files_can_name():
    from profiler.tflite import OPERATORS

    names = {name for name in KERNELS if not name.startswith("custom:")}
    assert names <= set(OPERATORS)
    assert {"conv_2d", "while", "svdf", "unidirectional_sequence_lstm"} <= names
    assert not {"gelu", "topk_v2", "rfft2d"} & names


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "torn.tflite"
    path.write_bytes(content("dense")[:200])
    with pytest.raises(ModelFileError, match=r"torn\.tflite"):
        micro_footprint(path)


def test_orders_of_magnitude_are_those_of_the_published_network_for_as_many_multiplications():
    network = read_network(content("dense"))
    rows = order_of_magnitude(network)
    assert [row["board"] for row in rows] == ["STM32 L4R5", "STM32 U575", "STM32 U385"]
    # 2,368 of ResNet-8's 12,501,632 multiplications, at 6.04 inferences/s and 5,496 uJ.
    assert rows[0]["time_ms"] == pytest.approx(1e3 / 6.04 * network.macs / 12_501_632)
    assert rows[0]["energy_mj"] == pytest.approx(5.496 * network.macs / 12_501_632)
    assert all("MLPerf Tiny" in row["source"] for row in rows)
    assert not order_of_magnitude(read_network(content("matrices")))
