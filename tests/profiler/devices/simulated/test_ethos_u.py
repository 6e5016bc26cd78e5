from __future__ import annotations

import json
import sys

import pytest

pytest.importorskip("ethosu", reason="needs the extra ethos-u (pip install edgetime[ethos-u])")

from profiler.devices import open_target
from profiler.devices.simulated import EthosUTarget, WeightDecoder
from profiler.errors import ProfileError, TargetError
from profiler.measurement import Profile, measure_network, profile
from profiler.operators import conv_2d, depthwise_conv_2d, fully_connected, unary
from profiler.probes import Probe, in_company
from profiler.testing import check_target

CONV = Probe("layer", (conv_2d(8, 8, 16, 16, dtype="int8"),))
PROBES = (CONV, Probe("layer", (depthwise_conv_2d(8, 8, 16, dtype="int8"),)))


@pytest.fixture(scope="module")
def target():
    with open_target("sim:ethos-u55-128") as target:
        yield target


def test_it_passes_the_suite_for_targets():
    check_target(open_target("sim:ethos-u55-128"), PROBES)


def test_it_says_the_same_each_time_and_what_each_layer_took(target):
    probe = in_company(conv_2d(16, 16, 16, 32, dtype="int8"))
    first, again = target.time_probe(probe.build()), target.time_probe(probe.build(seed=0))
    assert first == again
    assert len(first["layers_us"]) == 3
    assert sum(first["layers_us"]) == pytest.approx(first["median_us"])


def test_layers_of_a_network_are_told_by_their_position(target):
    probe = in_company(conv_2d(16, 16, 16, 32, dtype="int8"))
    found = measure_network(probe.build(), target)
    assert found.layer_source == "profiler"
    assert set(found.layer_ms) == {0, 1, 2}


def test_what_is_left_to_the_cpu_is_named_and_has_no_time(target):
    alone = target.time_probe(
        Probe("layer", (unary("dequantize", (1, 8, 8, 16), "int8", "float32"),)).build()
    )
    assert alone == {"error": "Ethos-U55-128 leaves Dequantize to the CPU"}
    after = unary("dequantize", (1, 8, 8, 16), "int8", "float32")
    both = target.time_probe(Probe("pair", (CONV.layers[0], after)).build())
    assert both["left"] == ["Dequantize"]
    assert both["layers_us"][0] == pytest.approx(both["median_us"])
    assert both["layers_us"][1] is None


def test_more_products_per_cycle_are_faster():
    layer = Probe("layer", (conv_2d(16, 16, 64, 64, dtype="int8"),)).build()
    times = []
    for macs in (32, 256):
        with open_target(f"sim:ethos-u55-{macs}") as target:
            times.append(target.time_probe(layer)["median_us"])
    assert times[0] > 2 * times[1]


def test_an_unknown_memory_mode_is_one_sentence():
    with pytest.raises(TargetError, match="the compiler knows no memory_mode=Nowhere"):
        open_target("sim:ethos-u55-128?memory_mode=Nowhere").hello()


class Fragile(EthosUTarget):
    """Its process dies of layers with 7 output channels."""

    def command(self):
        code = f"""
import os, sys
sys.path[:0] = {sys.path!r}
from profiler.devices.simulated import ethos_u_worker as worker
answer = worker.EthosU.answer
def fragile(self, request, blob):
    if blob == {Probe("layer", (conv_2d(8, 8, 16, 7, dtype="int8"),)).build()!r}:
        os.kill(os.getpid(), 11)
    return answer(self, request, blob)
worker.EthosU.answer = fragile
worker.main({json.dumps(self.configuration())!r})
"""
        return [sys.executable, "-c", code], b""


def test_a_probe_that_crashes_the_compiler_is_dropped_alone_and_named(tmp_path):
    probes = [
        *PROBES,
        Probe("layer", (conv_2d(8, 8, 16, 7, dtype="int8"),)),
        Probe("layer", (conv_2d(8, 8, 16, 24, dtype="int8"),)),
    ]
    summary = profile(Fragile("ethos-u55-128"), tmp_path / "a.db", probes=probes)
    assert (summary.failed, summary.stopped, summary.measured) == (1, "complete", 4)
    assert "4 of 4 probes worked out" in str(summary)
    assert "1 left out" in str(summary)
    with Profile.open(tmp_path / "a.db") as store:
        errors = [time.error for time in store.measurements(summary.setting) if time.time_us is None]
    assert len(errors) == 1
    assert "ended by signal 11" in errors[0]


def test_weights_of_fewer_bits_come_sooner_and_cost_less_and_decoding_is_counted():
    content = Probe("layer", (fully_connected(512, 512, dtype="int8"),)).build()
    with open_target("sim:ethos-u55-128") as target:
        wide, narrow = (target.measure_stored(content, [bits]) for bits in (8, 2))
        slow = target.measure_stored(content, [2], WeightDecoder(cycles=100.0, energy_pj=1000.0))
    assert narrow["median_us"] < 0.4 * wide["median_us"]
    assert narrow["energy_mj"] < 0.4 * wide["energy_mj"]
    # 32 decoders at 500 MHz: 512 x 512 x 100 / 32 cycles.
    assert slow["median_us"] == pytest.approx(512 * 512 * 100 / 32 / 500, rel=1e-6)
    assert slow["energy_mj"] - narrow["energy_mj"] == pytest.approx(512 * 512 * 1000 / 1e9)


class Interrupted(EthosUTarget):
    """Ctrl-C comes while the second probe is compiled."""

    asked = 0

    def time_probe(self, content):
        self.asked += 1
        if self.asked == 2:
            raise KeyboardInterrupt
        return super().time_probe(content)


def test_ctrl_c_loses_nothing_and_the_same_command_goes_on(tmp_path):
    path = tmp_path / "a.db"
    with pytest.raises(KeyboardInterrupt):
        profile(Interrupted("ethos-u55-128"), path, probes=PROBES)
    with Profile.open(path) as store:
        (setting,) = store.settings
        assert len(store.measurements(setting)) == 1
    summary = profile(open_target("sim:ethos-u55-128"), path, probes=PROBES)
    assert (summary.stopped, summary.measured) == ("complete", 1)  # the one that was left
    with Profile.open(path) as store:
        assert len(store.measurements(setting)) == 2


def test_a_second_profile_of_the_same_file_is_refused_and_the_first_goes_on(tmp_path):
    path = tmp_path / "a.db"
    with Profile.append(path), pytest.raises(ProfileError, match="in use by another edgetime"):
        profile(open_target("sim:ethos-u55-128"), path, probes=PROBES)
    assert profile(open_target("sim:ethos-u55-128"), path, probes=PROBES).stopped == "complete"
