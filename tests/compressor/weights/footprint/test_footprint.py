"""Footprint: bits of a packed file per layer, and from where on fewer of them pay."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_lines import classifier

from compressor.weights.footprint import AcceleratorFootprint, StorageCost, footprint, read_stored
from compressor.weights.line_compress import pack
from profiler.devices.simulated import SimulatorTarget, WeightDecoder
from profiler.errors import EdgetimeError, ModelFileError


class Memory(SimulatorTarget):
    """It waits for 1 bit each microsecond; a bit costs 1 nJ, and decoding a weight as much as it is told."""

    most_weight_bits = 32

    def __init__(self, error: str = ""):
        super().__init__("made_up")
        self.error = error

    def measure_stored(self, content, weight_bits, decoder=None):
        if self.error:
            return {"error": self.error}
        counts = (864, 432, 0)
        bits = sum(n * b for n, b in zip(counts, weight_bits, strict=True) if b is not None)
        weights = sum(counts)
        more_pj = decoder.energy_pj * weights if decoder else 0.0
        return {"median_us": bits, "energy_mj": (1e3 * bits + more_pj) / 1e9}


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lct")
    (folder / "net.tflite").write_bytes(classifier())
    pack(folder / "net.tflite", folder / "net.lct", ratio=4)
    return folder


def test_every_byte_of_a_layers_block_counts_in_its_bits(packed):
    stored = read_stored(packed / "net.lct")
    assert stored.layer_weights == (864, 432, 0)
    assert stored.packed_bits[2] is None
    blocks = sum(bits * count / 8 for bits, count in zip(stored.packed_bits[:2], (864, 432), strict=True))
    assert 0.4 * (packed / "net.lct").stat().st_size < blocks < (packed / "net.lct").stat().st_size
    assert read_stored(packed / "net.tflite").packed_bits is None


def test_each_layer_is_asked_for_in_its_own_bits_and_the_mean_is_by_weights(packed):
    stored = read_stored(packed / "net.lct")
    found = footprint(stored, Memory())
    cost = found.cost("packed")
    first, second, _ = stored.packed_bits
    assert cost.time_ms == pytest.approx((864 * first + 432 * second) / 1e3)
    assert cost.bits_per_weight == pytest.approx((864 * first + 432 * second) / 1296)
    assert [one.name for one in found.costs] == ["float32", "int8", "int4", "packed, decoding free", "packed"]
    assert found.cost("int4").ratio == 8


@pytest.mark.parametrize(("decode_pj", "ratio"), [(0.0, 4.0), (2000.0, 32 / 6), (8000.0, None)])
def test_decoding_pays_from_where_the_bits_saved_cost_more_than_it(packed, decode_pj, ratio):
    # 1000 pJ for each bit: 2000 pJ of decoding are made up for by two bits of eight.
    found = footprint(read_stored(packed / "net.tflite"), Memory(), WeightDecoder(energy_pj=decode_pj))
    assert found.pays_from("energy_mj") == (None if ratio is None else pytest.approx(ratio, rel=1e-3))
    assert found.pays_from("time_ms") == pytest.approx(4.0, rel=1e-3)
    assert found.to_dict()["energy_pays_from"] == found.pays_from("energy_mj")


def test_wider_weights_than_an_accelerator_takes_are_left_out(packed):
    target = Memory()
    target.most_weight_bits = 8
    found = footprint(read_stored(packed / "net.lct"), target)
    assert found.cost("float32") is None
    assert max(one.bits_per_weight for one in (*found.costs, *found.sweep)) <= 8


def test_energy_that_nobody_knows_pays_nowhere():
    cost = StorageCost("int8", 8, 1.0, None)
    assert AcceleratorFootprint("x", WeightDecoder(), (cost,), (cost,)).pays_from("energy_mj") is None


def test_why_a_network_does_not_run_is_said(packed):
    with pytest.raises(EdgetimeError, match="does not run this network: it is a float32 network"):
        footprint(read_stored(packed / "net.tflite"), Memory("it is a float32 network"))


def test_a_file_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(ModelFileError, match=r"none\.tflite does not exist"):
        read_stored(tmp_path / "none.tflite")


def test_bits_of_all_layers_are_the_same_where_a_layer_has_weights(packed):
    stored = read_stored(packed / "net.tflite")
    assert stored.all_in(4) == (4, 4, None)
    assert np.isclose(stored.mean_bits((2.0, 8.0, None)), (864 * 2 + 432 * 8) / 1296)
