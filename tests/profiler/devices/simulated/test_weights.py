"""Weights of fewer bits: what a compiler's codec meets, and registers as wide as a weight."""

from __future__ import annotations

import numpy as np
import pytest

from profiler.devices.simulated.weights import stored_in, with_registers
from profiler.operators import conv_2d, unary
from profiler.probes import Probe


def entropy(weights) -> float:
    """Bits for each weight of a perfect codec."""
    counts = np.bincount(weights.astype(np.int64) + 128)
    shares = counts[counts > 0] / weights.size
    return float(-(shares * np.log2(shares)).sum())


def changed_bytes(content: bytes, bits) -> np.ndarray:
    """The weights of the convolution after `stored_in`: the bytes that change when all bits are asked for."""
    wide, other = stored_in(content, bits, entropy), stored_in(content, [8.0, None], entropy)
    assert len(wide) == len(other) == len(content)
    places = np.flatnonzero(np.frombuffer(other, np.uint8) != np.frombuffer(content, np.uint8))
    return np.frombuffer(wide, np.int8)[places.min() : places.max() + 1]


CONTENT = Probe("pair", (conv_2d(8, 8, 32, 32, dtype="int8"), unary("relu", (1, 8, 8, 32), "int8"))).build()


@pytest.mark.parametrize("bits", [1.5, 3.0, 4.5, 6.0])
def test_weights_take_as_many_bits_as_are_asked_for(bits):
    assert entropy(changed_bytes(CONTENT, [bits, None])) == pytest.approx(bits, abs=0.1)


def test_a_codec_that_needs_more_gets_its_widest_weights():
    assert entropy(changed_bytes(CONTENT, [30.0, None])) > 7.9


def test_layers_without_bits_keep_their_weights_and_the_same_bits_give_the_same_file():
    assert stored_in(CONTENT, [None, 4.0], entropy) == CONTENT
    assert stored_in(CONTENT, [4.0], entropy) == stored_in(CONTENT, [4.0], entropy) != CONTENT


def memory(size: int, operands) -> dict:
    return {
        "size": size,
        "r_cost": 0.5,
        "w_cost": 1.0,
        "operands": operands,
        "ports": [{"bandwidth_min": 8, "bandwidth_max": 16}],
    }


DESIGN = {
    "memories": {"sums": memory(16, ["O"]), "register": memory(8, ["I2"]), "outer": memory(1 << 20, ["I2"])}
}


def test_registers_hold_as_many_weights_of_any_bits():
    wide = with_registers(DESIGN, "I2", 32)["memories"]["register"]
    assert (wide["size"], wide["r_cost"], wide["w_cost"]) == (32, 2.0, 4.0)
    assert wide["ports"] == [{"bandwidth_min": 32, "bandwidth_max": 64}]
    narrow = with_registers(DESIGN, "I2", 4)["memories"]
    # What was decoded is read at the cost of eight bits.
    assert (narrow["register"]["size"], narrow["register"]["r_cost"]) == (4, 0.5)
    assert narrow["outer"] == DESIGN["memories"]["outer"]
    assert with_registers(DESIGN, "I2", 8) == DESIGN


def test_a_register_that_holds_other_operands_too_is_left_alone():
    shared = {"memories": {"register": memory(64, ["I1", "I2"])}}
    assert with_registers(shared, "I2", 32) == shared
