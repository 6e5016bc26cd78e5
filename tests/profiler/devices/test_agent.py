from __future__ import annotations

import ast
import ctypes
import io
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.devices import LocalTarget, agent, canary
from profiler.measurement import measure_network
from profiler.operators import binary, conv_2d, unary
from profiler.probes import Probe
from profiler.tflite import read_network

SOURCE = Path(agent.__file__)
SMALL = Probe("layer", (conv_2d(4, 4, 3, 5),))


@pytest.fixture(scope="module")
def ready() -> agent.Agent:
    measuring = agent.Agent()
    assert "error" not in measuring.answer({"do": "configure", "threads": 1, "kernels": "xnnpack"}, canary())
    return measuring


def serve(*frames: bytes) -> list[dict]:
    answers = io.BytesIO()
    agent.serve(io.BytesIO(b"".join(frames)), answers)
    return [json.loads(line) for line in answers.getvalue().splitlines()]


def frame(request: dict, blob: bytes = b"") -> bytes:
    if blob:
        request = {**request, "blob": len(blob)}
    return json.dumps(request).encode() + b"\n" + blob


# --- The file itself ----------------------------------------------------------------------------------------


def test_runs_on_python_3_7() -> None:
    ast.parse(SOURCE.read_text(), feature_version=(3, 7))


def test_imports_only_the_standard_library_and_numpy() -> None:
    imported = set()
    for node in ast.walk(ast.parse(SOURCE.read_text())):
        if isinstance(node, ast.Import):
            imported |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            imported.add((node.module or "").partition(".")[0])
    assert imported - set(sys.stdlib_module_names) == {"numpy"}


# --- Arithmetic ---------------------------------------------------------------------------------------------


def test_summary_of_times() -> None:
    summary = agent.summarise_us([5.0, 1.0, 2.0, 3.0, 4.0])
    assert summary["median_us"] == 3.0
    assert summary["min_us"] == 1.0
    assert summary["p20_us"] == pytest.approx(1.8)
    assert summary["spread"] == pytest.approx(2 / 3)  # quartiles 2 and 4 around 3
    assert summary["samples"] == 5


@given(st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=50))
def test_summary_is_ordered_and_follows_the_unit(times: list[float]) -> None:
    summary = agent.summarise_us(times)
    assert summary["min_us"] <= summary["p20_us"] <= summary["median_us"] <= summary["p90_us"]
    scaled = agent.summarise_us([1000 * value for value in times])
    assert scaled["median_us"] == pytest.approx(1000 * summary["median_us"])
    assert scaled["spread"] == pytest.approx(summary["spread"])


def test_unsettled_looks_at_the_low_end_only() -> None:
    assert agent.unsettled([10.0] * 8 + [50.0, 90.0]) == 0
    assert agent.unsettled([10.0, 12.0, 12.0, 12.0, 12.0, 12.0]) == pytest.approx(0.2)


def test_short_calls_are_timed_by_repetition() -> None:
    calls = 0

    def invoke() -> None:
        nonlocal calls
        calls += 1

    samples = agent.Sampler(invoke).samples()
    assert agent.MIN_SAMPLES <= len(samples) <= agent.MAX_SAMPLES
    assert calls > 50 * len(samples)


def test_slow_calls_are_timed_one_by_one_and_seldom() -> None:
    calls = 0

    def invoke() -> None:
        nonlocal calls
        calls += 1
        time.sleep(0.012)

    samples = agent.Sampler(invoke).samples()
    assert len(samples) == 3
    assert calls == len(samples) + 2  # two to warm up
    assert min(samples) >= 12000


def test_a_call_is_sampled_until_its_low_end_settles(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(agent.time, "perf_counter", lambda: now)

    def sampled(durations_us) -> int:
        endless = iter(durations_us)

        def invoke() -> None:
            nonlocal now
            now += next(endless) * 1e-6

        return len(agent.Sampler(invoke).samples(seconds=0.01))

    calm = sampled(100.0 for _ in range(10**6))
    restless = sampled(100.0 * (1 + 0.1 * (i % 13)) for i in range(10**6))
    assert calm == pytest.approx(50, abs=2)  # half of the time
    assert restless > 55


class Core:
    """A wall clock and a clock of a thread's own time, of a core that others share."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, step_s: float = 0.0) -> None:
        self.wall_s = self.own_s = 0.0
        self.step_s = step_s
        monkeypatch.setattr(agent.time, "perf_counter", lambda: self.stepped(self.wall_s))

    def stepped(self, now_s: float) -> float:
        return now_s // self.step_s * self.step_s if self.step_s else now_s

    def cpu(self) -> float:
        return self.own_s

    def work(self, own_s: float, others_s: float = 0.0) -> None:
        self.own_s += own_s
        self.wall_s += own_s + others_s


def test_time_that_others_took_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    core = Core(monkeypatch)
    sampler = agent.Sampler(lambda: core.work(100e-6, 200e-6), cpu=core.cpu)
    assert sampler.inner == 1
    samples = sampler.samples()
    assert samples == pytest.approx([100.0] * len(samples))
    assert sampler.wall_us == pytest.approx([300.0] * len(samples))
    assert sampler.waited(samples) == pytest.approx(2 / 3)


def test_a_little_less_than_wall_time_is_the_difference_of_two_clocks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    core = Core(monkeypatch)
    near = agent.Sampler(lambda: core.work(95e-6, 5e-6), cpu=core.cpu)
    samples = near.samples()
    assert samples == pytest.approx([100.0] * len(samples))
    assert near.waited(samples) == 0.0
    far = agent.Sampler(lambda: core.work(85e-6, 15e-6), cpu=core.cpu)
    samples = far.samples()
    assert samples == pytest.approx([85.0] * len(samples))
    assert far.waited(samples) == pytest.approx(0.15)


def test_without_a_clock_of_its_own_time_wall_time_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    core = Core(monkeypatch)
    sampler = agent.Sampler(lambda: core.work(100e-6, 200e-6))
    samples = sampler.samples()
    assert samples == pytest.approx([300.0] * len(samples))
    assert sampler.waited(samples) == 0.0
    assert agent.Sampler(lambda: core.work(100e-6)).waited([]) == 0.0


def test_only_the_last_samples_tell_what_others_took(monkeypatch: pytest.MonkeyPatch) -> None:
    core = Core(monkeypatch)
    others_s = [1e-3]
    sampler = agent.Sampler(lambda: core.work(100e-6, others_s[0]), cpu=core.cpu)
    sampler.samples()
    others_s[0] = 0.0
    assert sampler.waited(sampler.samples()) == pytest.approx(0.0)


@pytest.mark.parametrize("step_s", [1e-6, 1e-3, 0.016])
def test_the_step_of_a_clock_is_found(step_s: float) -> None:
    now_s = 0.0

    def clock() -> float:
        nonlocal now_s
        now_s += step_s / 7
        return now_s // step_s * step_s

    assert agent.clock_step_s(clock) == pytest.approx(step_s)


def test_a_clock_that_stands_still_has_the_longest_step() -> None:
    assert agent.clock_step_s(lambda: 7.0, most_s=0.001) == 0.001


def test_samples_are_longer_where_the_clock_is_coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "clock_step_s", lambda *rest: 1e-3)
    measuring = agent.Agent()
    assert measuring.sample_s == pytest.approx(agent.CLOCK_STEPS * 1e-3)
    measuring.answer({"do": "configure"}, canary())
    assert measuring.canary.sampler.inner * measuring.canary.sampler.call_s >= 0.9 * measuring.sample_s
    assert measuring.cpu is None  # a clock of such steps says nothing of short samples


def test_one_sample_lasts_many_steps_of_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    core = Core(monkeypatch, step_s=1e-3)
    sampler = agent.Sampler(lambda: core.work(10e-6), sample_s=0.05)
    samples = sampler.samples(0.5)
    assert sampler.inner == pytest.approx(5000, rel=0.05)
    assert samples == pytest.approx([10.0] * len(samples), rel=0.03)
    long = agent.Sampler(lambda: core.work(3.5e-3), sample_s=0.05)
    assert 12 <= long.inner <= 17


def test_several_threads_have_no_time_of_their_own() -> None:
    measuring = agent.Agent()
    measuring.answer({"do": "configure", "threads": 2}, canary())
    assert measuring.cpu is None


# --- Inputs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "dtype", ["float32", "float16", "int8", "uint8", "int16", "int32", "int64", "bool", "complex64"]
)
@pytest.mark.parametrize("shape", [(), (0, 3), (1,), (3, 5), (70_000,)])
def test_inputs_can_run_any_operator(dtype: str, shape: tuple[int, ...]) -> None:
    values = agent.random_values(shape, np.dtype(dtype))
    assert values.shape == shape
    assert values.dtype == dtype
    if values.dtype.kind == "f" and values.size:
        assert np.abs(values).min() > 0.009
        assert np.abs(values).max() <= 1
    if dtype in ("int32", "int64"):
        assert not values.any()  # indices
    if values.size > 100 and dtype not in ("int32", "int64", "complex64"):
        assert len(np.unique(values)) > 1


def test_inputs_are_the_same_each_time() -> None:
    first, second = (agent.random_values((9,), np.dtype("float32")) for _ in range(2))
    assert (first == second).all()


# --- Requests -----------------------------------------------------------------------------------------------


def test_hello_says_what_may_change_times(ready: agent.Agent) -> None:
    answer = ready.answer({"do": "hello"}, b"")
    assert answer["protocol"] == agent.PROTOCOL
    fingerprint = answer["fingerprint"]
    assert fingerprint["cpu"]
    assert fingerprint["cores"] == os.cpu_count()
    assert fingerprint["memory_bytes"] > 1 << 28
    assert {"governor", "max_mhz", "kernel", "machine", "runtime", "version", "python"} <= set(fingerprint)
    json.dumps(answer, allow_nan=False)


@pytest.mark.parametrize("kernels", agent.KERNELS)
def test_times_a_probe(kernels: str) -> None:
    measuring = agent.Agent()
    measuring.answer({"do": "configure", "kernels": kernels, "threads": 1}, canary())
    answer = measuring.answer({"do": "time"}, SMALL.build())
    assert 0 < answer["min_us"] <= answer["p20_us"] <= answer["median_us"]
    assert len(answer["canaries_us"]) == 2
    assert min(answer["canaries_us"]) > 0
    assert 0 <= answer["waited"] < 1
    assert answer["samples"] >= 3
    assert answer["build_ms"] > 0
    assert answer["disturbed"] in (True, False)
    assert answer["tries"] <= agent.TRIES


def test_the_canary_runs_on_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    class Recorded(agent.Model):
        def __init__(self, runtime: object, content: bytes, threads: int, *rest: object) -> None:
            made.append(threads)
            super().__init__(runtime, content, threads, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(agent, "Model", Recorded)
    measuring = agent.Agent()
    assert measuring.answer({"do": "configure", "threads": 2}, canary()) == {
        "threads": 2,
        "kernels": "xnnpack",
    }
    assert "error" not in measuring.answer({"do": "time"}, SMALL.build())
    assert made == [1, 2, 2]


def test_threads_that_lack_cores_are_known_by_a_canary_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    measuring = agent.Agent()
    measuring.answer({"do": "configure", "threads": 2}, canary())
    measuring.crowd.floor_us = 10.0
    assert measuring.crowd.slowdown(16.0) > agent.CROWDED
    assert measuring.crowd.slowdown(16.0, 11.0) <= agent.CROWDED
    monkeypatch.setattr(measuring.canary, "time_us", lambda: measuring.canary.floor_us)
    monkeypatch.setattr(measuring.crowd, "time_us", lambda: 20.0)
    assert measuring.answer({"do": "time"}, SMALL.build())["disturbed"]
    assert measuring.answer({"do": "network", "seconds": 0.05}, SMALL.build())["disturbed"]
    alone = agent.Agent()
    alone.answer({"do": "configure"}, canary())
    assert alone.crowd.time_us() == 0.0
    assert alone.crowd.slowdown(0.0) == 0.0


def test_works_without_a_canary() -> None:
    measuring = agent.Agent()
    answer = measuring.answer({"do": "time"}, SMALL.build())
    assert answer["canaries_us"] == []
    assert answer["median_us"] > 0


@pytest.mark.parametrize("blob", [b"", b"nonsense", SMALL.build()[:-300], b"\0" * 100])
@pytest.mark.parametrize("do", ["time", "network", "layers"])
def test_what_cannot_be_loaded_is_an_answer_and_not_the_end(ready: agent.Agent, do: str, blob: bytes) -> None:
    assert ready.answer({"do": do}, blob)["error"]
    assert "median_us" in ready.answer({"do": "time"}, SMALL.build())


def test_refuses_unknown_requests_and_settings(ready: agent.Agent) -> None:
    assert "nix" in ready.answer({"do": "nix"}, b"")["error"]
    assert "kernels" in ready.answer({"do": "configure", "kernels": "fast"}, b"")["error"]
    assert "threads" in ready.answer({"do": "configure", "threads": 0}, b"")["error"]
    assert ready.answer({}, b"")["error"]


def test_the_clock_is_told_once_a_second_where_the_system_gives_it(
    ready: agent.Agent, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(agent, "current_core", lambda: 1)
    monkeypatch.setattr(agent, "CPU_FREQUENCY", f"{tmp_path}/cpu0/")
    monkeypatch.setattr(agent, "THROTTLED", f"{tmp_path}/throttled")
    assert agent.clock_now() == {}
    for core, khz in ((0, 600000), (1, 1800000)):
        (tmp_path / f"cpu{core}").mkdir()
        (tmp_path / f"cpu{core}" / "scaling_cur_freq").write_text(f"{khz}\n")
    assert agent.clock_now() == {"mhz": 1800.0}
    (tmp_path / "throttled").write_text("3\n")
    now = 1000.0
    monkeypatch.setattr(agent.time, "monotonic", lambda: now)
    ready.looked_s = -math.inf
    assert ready.answer({"do": "time"}, SMALL.build())["clock"] == {"mhz": 1800.0, "throttled": 3}
    now += 0.9
    assert "clock" not in ready.answer({"do": "time"}, SMALL.build())
    now += 0.2
    assert "clock" in ready.answer({"do": "time"}, SMALL.build())


def test_the_core_in_use_is_one_that_there_is() -> None:
    assert 0 <= agent.current_core() < (os.cpu_count() or 1)


def test_a_window_that_was_not_calm_is_followed_by_another(
    ready: agent.Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent, "UNSETTLED", math.inf)
    request = {"do": "time", "calm_below_us": 10.5}

    def timed(*canaries_us: float) -> dict:
        following = iter(canaries_us)
        monkeypatch.setattr(ready.canary, "time_us", lambda: next(following))
        answer = ready.answer(request, SMALL.build())
        assert next(following, None) is None, "fewer canaries were timed"
        return answer

    calm = timed(10.0, 10.4)
    assert (calm["tries"], calm["canaries_us"], calm["disturbed"]) == (1, [10.0, 10.4], False)
    later = timed(10.0, 20.0, 10.2)
    assert (later["tries"], later["canaries_us"]) == (2, [10.0, 20.0])
    calmer = timed(30.0, 20.0, 15.0)
    assert calmer["canaries_us"] == [20.0, 15.0]
    # Without a limit from outside, the agent's own floor decides.
    monkeypatch.setattr(ready.canary, "floor_us", 10.0)
    del request["calm_below_us"]
    assert timed(10.0, 10.4)["tries"] == 1
    assert timed(10.0, 11.0, 10.0)["tries"] == 2


def test_what_does_not_settle_is_disturbed(ready: agent.Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "UNSETTLED", -1.0)
    answer = ready.answer({"do": "time"}, SMALL.build())
    assert (answer["disturbed"], answer["tries"]) == (True, agent.TRIES)
    monkeypatch.setattr(agent, "UNSETTLED", math.inf)
    assert ready.answer({"do": "time"}, SMALL.build())["disturbed"] is False


def test_runs_while_the_device_was_slow_are_left_out(
    ready: agent.Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    # By this clock a call takes 1 ms, and three times as long in the middle third, where the canary is slow
    # as well.
    now = 0.0
    monkeypatch.setattr(agent.time, "perf_counter", lambda: now)
    monkeypatch.setattr(ready, "cpu", None)

    def slow() -> bool:
        return 0.5 <= now < 1.0

    def invoke() -> None:
        nonlocal now
        now += 3e-3 if slow() else 1e-3

    monkeypatch.setattr(ready.canary, "time_us", lambda: 30.0 if slow() else 10.0)
    result = ready.time_runs(invoke, seconds=1.5, limit_us=10.5)
    assert result["p90_us"] == pytest.approx(1000)
    assert not result["disturbed"]
    assert 800 < result["samples"] < result["runs"]
    assert result["calm_share"] == pytest.approx(2 / 3, abs=0.03)  # of the time, not of the windows
    assert result["canaries_us"] == [10.0, 10.0]
    assert (result["met_p50_us"], result["met_p90_us"]) == (pytest.approx(1000), pytest.approx(3000))
    assert result["calm_below_us"] == 10.5


def test_where_no_window_was_calm_the_calmest_ones_count_and_say_so(
    ready: agent.Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(agent.time, "perf_counter", lambda: now)
    monkeypatch.setattr(ready, "cpu", None)

    def slower() -> bool:
        return now % 1.0 > 0.4

    def invoke() -> None:
        nonlocal now
        now += 3e-3 if slower() else 2e-3

    monkeypatch.setattr(ready.canary, "time_us", lambda: 30.0 if slower() else 20.0)
    result = ready.time_runs(invoke, seconds=1.0, limit_us=10.5)
    assert now > 2.4  # it goes on for longer, in the hope of calm
    assert result["calm_share"] == 0.0
    assert result["median_us"] == pytest.approx(2000)
    assert result["canaries_us"] == [20.0, 20.0]


def test_runs_on_a_core_that_is_shared_are_timed_by_their_own_time(
    ready: agent.Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = Core(monkeypatch)
    monkeypatch.setattr(ready, "cpu", core.cpu)
    monkeypatch.setattr(ready.canary, "time_us", lambda: 10.0)
    result = ready.time_runs(lambda: core.work(1e-3, 1e-3), seconds=0.5, limit_us=10.5)
    assert result["median_us"] == pytest.approx(1000)
    assert result["met_p50_us"] == pytest.approx(2000)
    assert result["waited"] == pytest.approx(0.5)


def test_a_network_is_run_at_least_five_times(ready: agent.Agent) -> None:
    answer = ready.answer({"do": "network", "seconds": 1e-6}, SMALL.build())
    assert answer["samples"] >= 5
    assert 0 <= answer["calm_share"] <= 1
    assert answer["met_p50_us"] <= answer["met_p90_us"]
    assert answer["load_ms"] > 0
    assert answer["first_ms"] > 0
    assert answer["min_us"] <= answer["median_us"] <= answer["p90_us"]


# --- Times per operator -------------------------------------------------------------------------------------


def test_profiler_names_the_operators_in_order() -> None:
    layers = (conv_2d(8, 8, 4, 8), unary("logistic", (1, 8, 8, 8)), binary("add", (1, 8, 8, 8), (1, 8, 8, 8)))
    measuring = agent.Agent()
    measuring.answer({"do": "configure", "kernels": "builtin"}, b"")
    answer = measuring.answer({"do": "layers", "seconds": 0.02}, Probe("pair", layers).build())
    operators = [
        (tag, node) for tag, kind, node, _, _ in answer["events"] if kind == agent.LayerProfiler.OPERATOR
    ]
    assert operators == [("CONV_2D", 0), ("LOGISTIC", 1), ("ADD", 2)]
    assert answer["runs"] >= 5


def test_profiler_can_be_used_again_and_again(ready: agent.Agent) -> None:
    for _ in range(5):
        answer = ready.answer({"do": "layers", "seconds": 0.001}, SMALL.build())
        assert any(tag.startswith("Convolution") for tag, *_ in answer["events"])


def test_no_profile_of_reference_kernels() -> None:
    measuring = agent.Agent()
    measuring.answer({"do": "configure", "kernels": "reference"}, b"")
    assert "reference" in measuring.answer({"do": "layers"}, SMALL.build())["error"]


class HandMade(agent.InterpreterProfiler):
    """Without a runtime: what C++ would call is called through the same table of functions."""

    def __init__(self) -> None:
        self.rows = []
        self.make_object()


def test_a_hand_made_profiler_is_called_as_the_runtime_calls_it() -> None:
    profiler = HandMade()
    assert profiler.object[0] == ctypes.addressof(profiler.table)
    integer, event = ctypes.c_int64, ctypes.c_uint32
    begin = ctypes.CFUNCTYPE(event, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, integer, integer)
    end = ctypes.CFUNCTYPE(None, ctypes.c_void_p, event)
    told = ctypes.CFUNCTYPE(
        None, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint64, integer, integer
    )
    functions = profiler.table
    this, name = ctypes.addressof(profiler.object), ctypes.create_string_buffer(b"Add (ND, F32)")
    outer = begin(functions[2])(this, b"WHILE", 2, 7, 0)
    inner = begin(functions[2])(this, b"ADD", 2, 3, 1)
    end(functions[4])(this, inner)
    told(functions[5])(this, name, 8, 12, 0, 1)
    name.value = b"gone by now"
    end(functions[4])(this, outer)
    end(functions[4])(this, 99)  # of an earlier run
    rows = profiler.rows
    assert [row[:4] for row in rows] == [[b"WHILE", 2, 7, 0], [b"ADD", 2, 3, 1], [b"Add (ND, F32)", 8, 0, 1]]
    assert rows[2][4] == 12.0
    assert rows[0][4] > rows[1][4] > 0


def test_what_measuring_adds_is_known() -> None:
    profiler = HandMade()
    assert 0 < profiler.price_us() < 1000
    assert profiler.rows == []


def test_events_are_averaged_over_the_quicker_half() -> None:
    kinds = np.dtype([("type", "<i4"), ("elapsed_us", "<f8")])
    runs = [np.array([(2, us), (2, 10.0), (32, 1e9)], kinds) for us in (4.0, 2.0, 90.0, 95.0)]
    odd = np.array([(2, 1.0)], kinds)  # a run of another number of events
    kept, times = agent.quieter_half([*runs, odd], run_ends=32)
    assert len(kept) == 4
    assert times == [3.0, 10.0, 0.0]


@pytest.mark.parametrize("kernels", ["builtin", "reference", "xnnpack"])
def test_tflite_runtime_tells_of_its_operators(kernels: str, tflite_runtime: str) -> None:
    layers = (conv_2d(8, 8, 4, 8), unary("logistic", (1, 8, 8, 8)), binary("add", (1, 8, 8, 8), (1, 8, 8, 8)))
    content = Probe("pair", layers).build()
    with LocalTarget(kernels=kernels, python=tflite_runtime) as target:
        assert target.hello()["runtime"] == "tflite-runtime"
        for _ in range(3):
            answer = target.profile_layers(content, 0.02)
            events = [event for event in answer["events"] if event[1] in (2, 8)]
    if kernels == "xnnpack":
        assert [event[1:4] for event in events] == [[8, 0, 0], [8, 1, 0], [8, 2, 0]]
        assert [event[0].partition(" ")[0] for event in events] == ["Convolution", "Sigmoid", "Add"]
    else:
        assert [event[:4] for event in events] == [
            ["CONV_2D", 2, 0, 0],
            ["LOGISTIC", 2, 1, 0],
            ["ADD", 2, 2, 0],
        ]
        assert events[0][4] > 0


def test_tflite_runtime_gives_every_layer_its_time(tflite_runtime: str, mobile_network: bytes) -> None:
    network = read_network(mobile_network)
    with LocalTarget(python=tflite_runtime) as target:
        measured = measure_network(mobile_network, target, seconds=0.1)
    assert measured.layer_source == "profiler"
    assert set(measured.layer_ms) == {layer.index for layer in network.layers}
    assert all(measured.layer_ms[layer.index] > 0 for layer in network.layers if layer.macs)
    assert sum(measured.layer_ms.values()) == pytest.approx(measured.measured_ms)


def test_open_dimensions_are_recognised() -> None:
    assert agent.same_where_known([-1, 32, -1], [4, 32, 7])
    assert not agent.same_where_known([-1, 32], [4, 31])
    assert not agent.same_where_known([-1, 32], [4])
    assert not agent.same_where_known([4], [4, 32])


# --- Serving ------------------------------------------------------------------------------------------------


def test_serves_until_told_to_quit() -> None:
    answers = serve(
        frame({"do": "hello"}),
        frame({"do": "time"}, SMALL.build()),
        frame({"do": "quit"}),
        frame({"do": "hello"}),
    )
    assert len(answers) == 2
    assert answers[1]["median_us"] > 0


@pytest.mark.parametrize("torn", [b'{"do": "hello"}', b'{"do": "time", "blob": 100}\nshort', b""])
def test_stops_when_the_other_side_is_gone(torn: bytes) -> None:
    assert len(serve(frame({"do": "hello"}), torn)) == 1


@pytest.mark.parametrize("line", [b"nonsense\n", b"[1]\n", b'{"blob": "x"}\n', b"\xff\xfe\n"])
def test_a_request_that_is_none_ends_the_talk_with_an_error(line: bytes) -> None:
    answers = serve(line, frame({"do": "hello"}))
    assert len(answers) == 1
    assert "cannot read" in answers[0]["error"]


def test_without_a_runtime_every_answer_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "RUNTIMES", (("nix", "nix-runtime", "nix_runtime.interpreter"),))
    answers = serve(frame({"do": "hello"}), frame({"do": "time"}, b"x"))
    assert len(answers) == 2
    assert all(
        "install ai-edge-litert" in answer["error"] and "nix-runtime" in answer["error"] for answer in answers
    )


def test_standard_output_carries_answers_only() -> None:
    """The runtime greets on whatever stream it likes; what C code prints to file 1 must not reach the host."""
    code = (
        f"import sys; sys.path.insert(0, {str(SOURCE.parents[2])!r})\n"
        "from profiler.devices import agent; import os\n"
        "task = agent.Agent.hello\n"
        "def chatter(*a):\n    os.write(1, b'chatter from C')\n    print('chatter')\n    return task(*a)\n"
        "agent.Agent.hello = chatter\nagent.serve_standard_streams()\n"
    )
    frames = frame({"do": "hello"}) + frame({"do": "time"}, SMALL.build())
    done = subprocess.run([sys.executable, "-c", code], input=frames, capture_output=True, timeout=120)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == 2
    assert b"chatter from C" in done.stderr


# --- Connections --------------------------------------------------------------------------------------------


def connection(code: str) -> agent.Connection:
    return agent.Connection([sys.executable, "-c", f"import sys, time, os, json\n{code}"])


def test_connection_tells_how_the_process_ended() -> None:
    ended = connection("sys.stdin.readline(); sys.exit(3)")
    with pytest.raises(agent.DisconnectedError, match="status 3"):
        ended.ask({"do": "hello"})
    killed = connection(f"sys.stdin.readline(); os.kill(os.getpid(), {int(signal.SIGKILL)})")
    with pytest.raises(agent.DisconnectedError, match="signal 9"):
        killed.ask({"do": "hello"})
    for each in (ended, killed):
        each.close()


def test_connection_gives_up_after_a_while() -> None:
    hanging = connection("time.sleep(60)")
    with pytest.raises(agent.DisconnectedError, match="no answer in time"):
        hanging.ask({"do": "hello"}, timeout_s=0.2)
    assert hanging.timed_out
    hanging.close()
    assert hanging.process.returncode is not None


@pytest.mark.parametrize("line", ["nonsense", "[1]", "7"])
def test_connection_accepts_objects_only(line: str) -> None:
    talking = connection(f"sys.stdin.readline(); print({line!r}, flush=True); time.sleep(9)")
    with pytest.raises(agent.DisconnectedError, match="something else"):
        talking.ask({"do": "hello"})
    talking.process.kill()
    talking.close()


def test_closing_ends_a_process_that_does_not_listen() -> None:
    deaf = connection("print(json.dumps({}), flush=True)\nwhile True: time.sleep(1)")
    deaf.ask({"do": "hello"})
    deaf.close()
    assert deaf.process.returncode is not None
