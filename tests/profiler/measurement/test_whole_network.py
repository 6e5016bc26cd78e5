from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from profiler.devices import LocalTarget, Setting, Target
from profiler.errors import ModelFileError, TargetError
from profiler.measurement import Measurement, measure_network
from profiler.measurement.whole_network import read_events, time_alone_us
from profiler.operators import binary, conv_2d, unary
from profiler.probes import Probe
from profiler.tflite import read_network

LAYERS = (conv_2d(16, 16, 8, 16), unary("logistic", (1, 16, 16, 16)), conv_2d(16, 16, 16, 16))
NETWORK = Probe("chain", LAYERS).build()


@pytest.fixture(scope="module")
def local() -> Iterator[LocalTarget]:
    with LocalTarget() as target:
        yield target


class ScriptedTarget(Target):
    name = "scripted"

    def __init__(
        self, events: list | None, whole: dict | None = None, broken: tuple[bytes, ...] = ()
    ) -> None:
        self.events = events
        self.whole = whole
        self.broken = broken

    @property
    def setting(self) -> Setting:
        return Setting("scripted", "1", "builtin", 2)

    def hello(self) -> dict[str, Any]:
        return {"cpu": "c"}

    def measure_network(self, content: bytes, seconds: float = 2.0, shapes: Any = ()) -> dict[str, Any]:
        times = {
            "median_us": 100.0,
            "p90_us": 110.0,
            "min_us": 90.0,
            "load_ms": 3.0,
            "first_ms": 2.0,
            "samples": 9,
        }
        return {**times, "disturbed": True} if self.whole is None else self.whole

    def profile_layers(self, content: bytes, seconds: float = 1.0, shapes: Any = ()) -> dict[str, Any]:
        return {"error": "no profiler here"} if self.events is None else {"events": self.events}

    def time_probe(self, content: bytes) -> dict[str, Any]:
        if content in self.broken:
            return {"error": "no kernel"}
        return {"min_us": 1.0 if len(content) < 1000 else 31.0}


def test_scripted_times_are_told_in_milliseconds() -> None:
    events = [["CONV_2D", 2, 0, 0, 30.0], ["LOGISTIC", 2, 1, 0, 20.0], ["CONV_2D", 2, 2, 0, 30.0]]
    measured = measure_network(NETWORK, ScriptedTarget(events))
    assert (measured.measured_ms, measured.measured_p90_ms, measured.min_ms) == (0.1, 0.11, 0.09)
    assert (measured.load_ms, measured.first_ms, measured.runs, measured.threads) == (3.0, 2.0, 9, 2)
    assert measured.layer_ms == {0: pytest.approx(0.0375), 1: pytest.approx(0.025), 2: pytest.approx(0.0375)}
    assert (measured.layer_source, measured.layer_note, measured.disturbed) == ("profiler", "", True)
    assert measured.setting == "scripted 1, builtin, 2 threads"
    assert measured.fingerprint == {"cpu": "c"}
    assert json.loads(json.dumps(measured.to_dict()))["layer_ms"]["1"] == pytest.approx(0.025)


def test_without_a_profiler_operators_are_timed_alone() -> None:
    measured = measure_network(NETWORK, ScriptedTarget(None))
    assert measured.layer_source == "probes"
    assert "no profiler here" in measured.layer_note
    assert sum(measured.layer_ms.values()) == pytest.approx(0.1)
    assert set(measured.layer_ms) == {0, 1, 2}


def test_an_operator_that_cannot_run_alone_is_named() -> None:
    broken = (Probe("layer", (read_network(NETWORK).layers[1],)).build(),)
    measured = measure_network(NETWORK, ScriptedTarget(None, broken=broken))
    assert "no times for logistic" in measured.layer_note
    assert set(measured.layer_ms) == {0, 2}
    assert sum(measured.layer_ms.values()) == pytest.approx(0.06)  # 2 x 30 us; the rest is the logistic's


def test_layers_are_left_out_where_they_are_not_wanted() -> None:
    measured = measure_network(NETWORK, ScriptedTarget(None), per_layer=False)
    assert (measured.layer_ms, measured.layer_source) == ({}, "")


def test_a_network_that_cannot_run_is_told_of() -> None:
    with pytest.raises(TargetError, match="scripted cannot run the network: ValueError: no kernel"):
        measure_network(NETWORK, ScriptedTarget(None, {"error": "ValueError: no kernel"}))


@pytest.mark.parametrize("value", [None, "1", True, float("nan"), -1.0])
def test_an_agent_that_answers_nonsense_is_told_of(value: object) -> None:
    times = {"median_us": value, "p90_us": 1.0, "min_us": 1.0, "load_ms": 1.0, "first_ms": 1.0}
    with pytest.raises(TargetError, match="median_us"):
        measure_network(NETWORK, ScriptedTarget(None, times))


@pytest.mark.parametrize(
    "rows", [[["a"]], [["a", 2, 0, 0, "x"]], [["a", 2, 0, 0, -1]], [["a", 2, 0, 0, float("nan")]], [3]]
)
def test_events_that_are_none_are_told_of(rows: list) -> None:
    with pytest.raises(TargetError, match="events"):
        read_events(rows)


def test_files_that_are_none(tmp_path: Path, local: LocalTarget) -> None:
    with pytest.raises(ModelFileError, match="does not exist"):
        measure_network(tmp_path / "nix.tflite", local)
    (tmp_path / "text.tflite").write_text("nonsense")
    with pytest.raises(ModelFileError, match="not a TFLite file"):
        measure_network(tmp_path / "text.tflite", local)


# --- For real -----------------------------------------------------------------------------------------------


def test_measures_a_file(tmp_path: Path, local: LocalTarget) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(NETWORK)
    told: list[float] = []
    measured = measure_network(
        path, local, seconds=0.1, progress=lambda fraction, note: told.append(fraction)
    )
    assert measured.network == "net.tflite"
    assert 0 < measured.min_ms <= measured.measured_ms <= measured.measured_p90_ms
    assert measured.runs >= 5
    assert measured.layer_source == "profiler"
    assert set(measured.layer_ms) == {0, 1, 2}
    assert sum(measured.layer_ms.values()) == pytest.approx(measured.measured_ms)
    assert told == sorted(told)


@pytest.mark.parametrize("kernels", ["builtin", "reference"])
def test_other_kernels(kernels: str) -> None:
    with LocalTarget(kernels=kernels) as target:
        measured = measure_network(NETWORK, target, seconds=0.05)
    assert set(measured.layer_ms) == {0, 1, 2}
    assert measured.layer_source == ("probes" if kernels == "reference" else "profiler")
    assert sum(measured.layer_ms.values()) == pytest.approx(measured.measured_ms)


def test_every_operator_of_a_converted_network_gets_a_time(small_cnn: bytes, local: LocalTarget) -> None:
    network = read_network(small_cnn)
    measured = measure_network(small_cnn, local, seconds=0.1)
    assert measured.layer_source == "profiler"
    assert set(measured.layer_ms) == {layer.index for layer in network.layers}
    for layer in network.layers:
        if layer.macs:
            assert measured.layer_ms[layer.index] > 0, layer.op


def test_heavy_operators_take_the_time(mobile_network: bytes, local: LocalTarget) -> None:
    """Profiled shares and operators timed alone are two ways to the same thing: what is heavy in one is in the other."""
    network = read_network(mobile_network)
    measured = measure_network(mobile_network, local, seconds=0.3)
    alone, missing = time_alone_us(network, local)
    assert not missing
    for times in (measured.layer_ms, alone):
        convolutions = sum(times[layer.index] for layer in network.layers if layer.macs)
        assert convolutions > 0.6 * sum(times.values())
    heaviest = sorted(alone, key=lambda index: alone[index])[-5:]
    ranks = sorted(measured.layer_ms, key=lambda index: measured.layer_ms[index])
    assert all(ranks.index(index) > len(ranks) / 2 for index in heaviest)


def test_recurrent_networks(convert: Callable[..., bytes], local: LocalTarget) -> None:
    import keras

    inputs = keras.Input(batch_shape=(1, 6, 4))
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.GRU(8)(inputs)))
    content = convert(model)
    network = read_network(content)
    measured = measure_network(content, local, seconds=0.1)
    assert measured.layer_source == "profiler"
    assert set(measured.layer_ms) == {layer.index for layer in network.layers}
    assert sum(measured.layer_ms.values()) == pytest.approx(measured.measured_ms)
    body = [layer for layer in network.layers if layer.repeat > 1 and layer.op == "fully_connected"]
    assert body
    assert all(measured.layer_ms[layer.index] > 0 for layer in body)


def test_open_dimensions_need_a_shape(convert: Callable[..., bytes], local: LocalTarget) -> None:
    import keras

    inputs = keras.Input((None, None, 3))
    content = convert(keras.Model(inputs, keras.layers.Conv2D(4, 3)(inputs)))
    with pytest.raises(ModelFileError, match=r"input-shape|input_shape"):
        measure_network(content, local)
    measured = measure_network(content, local, seconds=0.05, input_shape=(1, 12, 10, 3))
    assert measured.layer_source == "profiler"
    assert measured.measured_ms > 0


@pytest.mark.shared_data
def test_published_networks(shared_data: Path, local: LocalTarget) -> None:
    """An LSTM that LiteRT's profiler refuses is timed operator by operator; the others are profiled."""
    sources = {}
    for path in sorted((shared_data / "models").glob("*.tflite")):
        try:
            measured = measure_network(path, local, seconds=0.05)
        except TargetError as error:
            sources[path.stem] = str(error)
            continue
        sources[path.stem] = measured.layer_source
        assert sum(measured.layer_ms.values()) == pytest.approx(measured.measured_ms)
        assert set(measured.layer_ms) == {layer.index for layer in read_network(path).layers}
    assert (
        sources["pretrainedResnet"] == sources["pretrainedResnet_quant"] == sources["ad01_fp32"] == "profiler"
    )
    assert sources["trained_lstm"] in ("probes", "profiler")


def test_shared_subexpressions_are_timed_once(local: LocalTarget) -> None:
    add = binary("add", (1, 4, 4, 4), (1, 4, 4, 4))
    network = read_network(Probe("chain", (add, add, add)).build())
    calls = 0

    class Counting(ScriptedTarget):
        def time_probe(self, content: bytes) -> dict[str, Any]:
            nonlocal calls
            calls += 1
            return {"min_us": 1.0}

    times, _ = time_alone_us(network, Counting(None))
    assert len(times) == 3
    assert calls == 2  # the empty probe, and the addition


# --- Calm, and the load that was met ------------------------------------------------------------------------

TIMES = {
    "median_us": 100.0, "p90_us": 110.0, "min_us": 90.0, "load_ms": 3.0, "first_ms": 2.0, "samples": 9,
    "disturbed": False,
}  # fmt: skip


def measured_as(limit_us: float | None = None, **answer: Any) -> Measurement:
    target = ScriptedTarget([], {**TIMES, **answer})
    target.calm_below_us = limit_us
    return measure_network(NETWORK, target, per_layer=False)


def test_the_load_that_was_met_is_reported_beside_the_time_in_calm() -> None:
    met = {"met_p50_us": 130.0, "met_p90_us": 210.0, "calm_share": 0.3}
    found = measured_as(10.5, canaries_us=[10.0, 10.2], **met)
    assert (found.measured_ms, found.met_p50_ms, found.met_p90_ms) == (0.1, 0.13, 0.21)
    assert (found.calm_share, found.disturbed) == (0.3, False)
    assert found.slowness == pytest.approx(1.02)
    assert json.loads(json.dumps(found.to_dict()))["met_p90_ms"] == 0.21


def test_what_was_never_calm_says_by_how_much() -> None:
    found = measured_as(10.5, canaries_us=[13.0, 15.0], calm_share=0.0)
    assert found.disturbed
    assert found.slowness == pytest.approx(1.5)
    # The target's own idea of calm counts where nobody knows better.
    own = measured_as(None, canaries_us=[13.0, 15.0], calm_below_us=21.0)
    assert (own.disturbed, own.slowness) == (False, 1.0)
    assert measured_as(10.5, canaries_us=[13.0, 15.0], calm_below_us=21.0).disturbed


def test_a_target_without_a_canary_knows_no_load() -> None:
    found = measured_as()
    assert (found.calm_share, found.slowness, found.disturbed) == (1.0, 1.0, False)
    assert (found.met_p50_ms, found.met_p90_ms) == (None, None)
    assert measured_as(10.5, canaries_us=[]).slowness == 1.0


@pytest.mark.parametrize(
    "answer", [{"canaries_us": [10.0, None]}, {"canaries_us": [-1.0, 10.0]}, {"met_p50_us": "fast"}]
)
def test_an_impossible_canary_or_load_is_refused(answer: dict) -> None:
    with pytest.raises(TargetError, match="without a usable"):
        measured_as(10.5, **answer)
