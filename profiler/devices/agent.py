"""The agent: the one file that runs on the device and measures there.

It needs Python 3.7 or later, numpy, and one of the packages ``ai-edge-litert``, ``tflite-runtime`` or
``tensorflow``. Nothing else of edgetime has to be there, so keep it one file, without other imports and
without newer syntax.

``python agent.py --serve``
    Answers requests. A request is one line of JSON on standard input, followed by ``blob`` raw bytes where it
    has that key; the answer is one line of JSON on standard output: what was asked for, or ``{"error": …}``.
``python agent.py probes.zip -o out.jsonl``
    Measures what ``edgetime bundle`` packed, and goes on from where ``out.jsonl`` stops.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import importlib
import io
import itertools
import json
import math
import os
import platform
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable
from typing import Any, BinaryIO, Dict  # noqa: UP035 (Dict: this file runs on Python 3.7)

if __name__ == "__main__" and os.path.abspath(sys.path[0]) == os.path.dirname(os.path.abspath(__file__)):
    # Run as a program, this file has its folder searched first: nothing there may pass for a module of
    # others.
    del sys.path[0]

import numpy as np

PROTOCOL = 4
BUNDLE_FORMAT = 2
KERNELS = ("xnnpack", "builtin", "reference")
RUNTIMES = (
    ("ai_edge_litert", "ai-edge-litert", "ai_edge_litert.interpreter"),
    ("tflite_runtime", "tflite-runtime", "tflite_runtime.interpreter"),
    ("tensorflow", "tensorflow", "tensorflow.lite"),
)

CPU_FREQUENCY = "/sys/devices/system/cpu/cpu0/cpufreq/"
THROTTLED = "/sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count"
CLOCK_EVERY_S = 1.0

WARM_UP_S = 0.0005
SAMPLE_S = 40e-6
CLOCK_STEPS = 50
SAMPLING_S = 0.003
MIN_SAMPLES, MAX_SAMPLES = 7, 100
SLOW_S = 0.2
CANARY_SAMPLE_S, CANARY_SAMPLES = 20e-6, 5
FLOOR_RISE = 1.0002
WITHIN = 1.05
SETTLED, UNSETTLED = 0.02, 0.06
CROWDED = 0.5
WINDOW_S = 0.01
PREEMPTED = 0.9
TRIES = 2

Values = Dict[str, Any]  # noqa: UP006


class AgentError(Exception):
    """A request cannot be fulfilled; the message is the answer."""


# --- Arithmetic ---------------------------------------------------------------------------------------------


def summarise_us(samples_us: list[float]) -> Values:
    """Summarise times: minimum, percentiles, number, and interquartile range relative to the median."""
    low, median, high, p20, p90 = np.percentile(samples_us, [25, 50, 75, 20, 90]).tolist()
    return {
        "median_us": median,
        "min_us": min(samples_us),
        "p20_us": p20,
        "p90_us": p90,
        "spread": (high - low) / median if median > 0 else 0.0,
        "samples": len(samples_us),
    }


def unsettled(samples_us: list[float]) -> float:
    """How far the 20th percentile is above the minimum, relative to it: other work on the device only makes samples longer."""
    low, p20 = min(samples_us), float(np.percentile(samples_us, 20))
    return (p20 - low) / low if low > 0 else 0.0


def clock_step_s(clock: Callable[[], float] = time.perf_counter, most_s: float = 0.1) -> float:
    """The smallest step that a clock makes, `most_s` where it makes larger ones: some make one in 16 ms."""
    steps = [most_s]
    for _ in range(5):
        before = after = clock()
        until = time.perf_counter() + most_s
        while after == before and time.perf_counter() < until:
            after = clock()
        steps.append(after - before or most_s)
    return min(steps)


def cpu_clock() -> Callable[[], float] | None:
    """A clock of the time that this thread had a core, where it is fine enough: wall time beyond it went to others."""
    clock = getattr(time, "thread_time", None)
    with contextlib.suppress(OSError):
        if clock is not None and clock_step_s(clock, SAMPLE_S) < SAMPLE_S / 10:
            return clock
    return None


class Sampler:
    """Times one function by repetition.

    One sample is as many calls as last at least 40 us (more where the clock is coarse), so that the clock and the loop
    weigh little.

    Parameters
    ----------
    invoke
        The function; it is called at least twice (once, if that takes over 0.2 s) and for `warm_up_s` to warm up.
    cpu
        The clock of the thread's own time; None where it tells nothing, as with several threads.
    """

    def __init__(
        self,
        invoke: Callable[[], Any],
        warm_up_s: float = WARM_UP_S,
        sample_s: float = SAMPLE_S,
        cpu: Callable[[], float] | None = None,
    ) -> None:
        clock = time.perf_counter
        coarse = sample_s > SAMPLE_S  # such a clock sees no single call
        warm_up_s = max(warm_up_s, sample_s) if coarse else warm_up_s
        begin = clock()
        best = math.inf
        warm_ups = 0
        while warm_ups < (2 if best < SLOW_S or warm_ups == 0 else 1) or clock() - begin < warm_up_s:
            before = clock()
            invoke()
            best = min(best, clock() - before)
            warm_ups += 1
        self.invoke = invoke
        self.cpu = cpu
        self.call_s = (clock() - begin) / warm_ups if coarse else best
        self.inner = max(1, math.ceil(sample_s / max(self.call_s, 1e-8)))
        self.wall_us: list[float] = []

    def sample(self) -> float:
        """One sample, in microseconds per call: the thread's own time, which is wall time but for what others took.

        Wall times are kept in `wall_us`.
        """
        clock, cpu, invoke = time.perf_counter, self.cpu, self.invoke
        began = cpu() if cpu else 0.0
        before = clock()
        for _ in itertools.repeat(None, self.inner):
            invoke()
        wall_s = clock() - before
        own_s = cpu() - began if cpu else wall_s
        if own_s > PREEMPTED * wall_s:
            own_s = wall_s  # what differs then is the clocks, not who had the core
        self.wall_us.append(wall_s * 1e6 / self.inner)
        return own_s * 1e6 / self.inner

    def samples(self, seconds: float = SAMPLING_S, least: int = MIN_SAMPLES) -> list[float]:
        """Sample for half of `seconds` where the low end of the times has settled by then, up to `seconds` where not.

        At least 7 samples (5, 3 or 1 of what takes over 1, 10 or 200 ms) and at most 100.
        """
        clock = time.perf_counter
        call_s = self.call_s
        least = min(
            least, MIN_SAMPLES if call_s < 1e-3 else 5 if call_s < 1e-2 else 3 if call_s < SLOW_S else 1
        )
        self.wall_us = []
        samples: list[float] = []
        begin = clock()
        check = seconds / 2
        while True:
            samples.append(self.sample())
            if len(samples) < least:
                continue
            spent = clock() - begin
            if len(samples) >= MAX_SAMPLES or spent >= seconds:
                return samples
            if spent >= check:
                if unsettled(samples) < SETTLED:
                    return samples
                check += seconds / 8

    def waited(self, samples_us: list[float]) -> float:
        """Share of the wall time of the last samples in which others had the core; `samples_us` are their own times."""
        whole = sum(self.wall_us)
        return max(0.0, 1 - sum(samples_us) / whole) if whole > 0 else 0.0


# --- Runtime and device -------------------------------------------------------------------------------------


def load_runtime() -> tuple[Any, str, str]:
    """Import the first runtime there is: the module with ``Interpreter``, its package's name and version."""
    reasons = []
    for package, distribution, module in RUNTIMES:
        try:
            loaded = importlib.import_module(module)
        except Exception as error:  # a broken installation raises all kinds of things
            reasons.append(f"{distribution}: {str(error).splitlines()[0] if str(error) else type(error)}")
            continue
        return loaded, distribution, package_version(package, distribution)
    raise AgentError(
        f"No runtime for .tflite files in {sys.executable} ({'; '.join(reasons)}): "
        "install ai-edge-litert there (tflite-runtime on 32-bit ARM)."
    )


def package_version(package: str, distribution: str) -> str:
    """Version of an installed package, by its metadata or by what it says of itself."""
    with contextlib.suppress(Exception):
        return str(importlib.import_module("importlib.metadata").version(distribution))
    return str(getattr(sys.modules.get(package), "__version__", "unknown"))


def read_text(path: str) -> str:
    """Return the content of a small file of the system, stripped, or an empty string."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip("\0\n ")
    except OSError:
        return ""


def megahertz(name: str) -> int | None:
    """Return one of the clock's limits as the system gives it, or None where it does not."""
    text = read_text(CPU_FREQUENCY + name)
    return round(int(text) / 1000) if text.isdigit() else None


def core_megahertz() -> list[int]:
    """Highest clock of each core, where the system gives it: some devices have fast and slow ones."""
    path = CPU_FREQUENCY.replace("cpu0", "cpu{}") + "cpuinfo_max_freq"
    found = [read_text(path.format(number)) for number in range(os.cpu_count() or 1)]
    return [round(int(text) / 1000) for text in found if text.isdigit()]


def current_core() -> int:
    """Number of the core that this thread runs on, 0 where the system does not say."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        return max(0, int(ctypes.CDLL(None).sched_getcpu()))
    return 0


def clock_now() -> Values:
    """What the system says of the processor's clock at this moment, where it does: `mhz`, and how often heat `throttled` it."""
    found = {}
    path = (CPU_FREQUENCY + "scaling_cur_freq").replace("cpu0", f"cpu{current_core()}")
    for name, text, scale in (("mhz", read_text(path), 1e-3), ("throttled", read_text(THROTTLED), 1)):
        if text.isdigit():
            found[name] = int(text) * scale
    return found


def cpu_model() -> str:
    """Name of the processor as the system gives it; boards without one are known by their device tree."""
    fields: dict[str, str] = {}
    parts = set()
    for line in read_text("/proc/cpuinfo").splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
        if name.strip() == "CPU part":
            parts.add(value.strip())
    named = fields.get("model name") or fields.get("Hardware") or fields.get("cpu model") or ""
    board = read_text("/proc/device-tree/model")
    known = [text for text in (board, named, " ".join("part " + part for part in sorted(parts))) if text]
    if not named and not board and sys.platform == "darwin":
        with contextlib.suppress(Exception):
            command = ["sysctl", "-n", "machdep.cpu.brand_string"]
            known.insert(0, subprocess.check_output(command, universal_newlines=True).strip())
    return ", ".join(known) or platform.processor() or platform.machine() or "unknown"


def fingerprint(distribution: str, version: str) -> Values:
    """Return what may change execution times on this device: hardware, system, clock and runtime."""
    memory = 0
    with contextlib.suppress(Exception):
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    usable = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        usable = len(os.sched_getaffinity(0))
    return {
        "machine": platform.machine(),
        "cpu": cpu_model(),
        "cores": os.cpu_count() or 1,
        "usable_cores": usable,
        "governor": read_text(CPU_FREQUENCY + "scaling_governor") or None,
        "min_mhz": megahertz("scaling_min_freq"),
        "max_mhz": megahertz("scaling_max_freq"),
        "core_mhz": core_megahertz(),
        "clock_us": max(1.0, round(clock_step_s() * 1e6, 3)),
        "memory_bytes": memory,
        "system": platform.system(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "executable": sys.executable,
        "runtime": distribution,
        "version": version,
    }


class Model:
    """One loaded network, ready to be invoked on random data."""

    def __init__(
        self,
        runtime: Any,
        content: bytes,
        threads: int,
        kernels: str,
        shapes: list[list[int]] | None = None,
        prepare: Callable[[Any], None] | None = None,
    ) -> None:
        begin = time.perf_counter()
        self.interpreter = make_interpreter(runtime, content, threads, kernels)
        if prepare is not None:
            prepare(self.interpreter)
        for detail, shape in itertools.zip_longest(self.interpreter.get_input_details(), shapes or []):
            if detail is not None and shape is not None and detail["shape"].tolist() != shape:
                self.interpreter.resize_tensor_input(detail["index"], shape)
        self.interpreter.allocate_tensors()
        self.build_ms = (time.perf_counter() - begin) * 1e3
        for detail in self.interpreter.get_input_details():
            sizes = tuple(int(size) for size in detail["shape"])
            self.interpreter.set_tensor(detail["index"], random_values(sizes, np.dtype(detail["dtype"])))
        bound = getattr(self.interpreter, "_interpreter", None)
        # The wrapper's own invoke() checks for live tensor views at every call, which costs as much as a
        # small operator.
        self.invoke = getattr(bound, "Invoke", None) or self.interpreter.invoke


def make_interpreter(runtime: Any, content: bytes, threads: int, kernels: str) -> Any:
    """Load a network under a setting; its tensors have no memory yet."""
    options: Values = {}
    if kernels != "xnnpack":
        resolvers = getattr(runtime, "OpResolverType", None) or runtime.experimental.OpResolverType
        name = "BUILTIN_REF" if kernels == "reference" else "BUILTIN_WITHOUT_DEFAULT_DELEGATES"
        options["experimental_op_resolver_type"] = getattr(resolvers, name)
    return runtime.Interpreter(model_content=content, num_threads=threads, **options)


def random_values(shape: tuple[int, ...], dtype: np.dtype, seed: int = 7) -> np.ndarray:
    """Values that any operator can run on: no denormals (slow on some devices), no index out of bounds; repeated after 65,521."""
    generator = np.random.RandomState(seed)
    size = min(int(np.prod(shape)), 65521)
    if dtype.kind == "f":
        block: np.ndarray = generator.uniform(0.01, 1.0, size=size) * (
            generator.randint(0, 2, size=size) * 2 - 1
        )
    elif dtype in (np.int8, np.uint8, np.int16):
        limits = np.iinfo(dtype)
        block = generator.randint(limits.min, limits.max + 1, size=size)
    elif dtype.kind == "b":
        block = generator.randint(0, 2, size=size)
    elif dtype.kind in "iuc":
        block = np.zeros(size)
    else:
        raise AgentError(f"An input has type {dtype}, for which there is no test data.")
    return np.resize(block.astype(dtype), shape)


class Canary:
    """A small fixed network whose time shows how fast the device is at this moment."""

    def __init__(self, model: Model | None = None, sample_s: float = CANARY_SAMPLE_S) -> None:
        self.sampler = None if model is None else Sampler(model.invoke, 0.02, sample_s)
        self.floor_us = math.inf
        for _ in range(20):
            self.time_us()

    def time_us(self) -> float:
        """Its time now: the least of 5 samples, some 100 us in all; 0 where there is no network."""
        if self.sampler is None:
            return 0.0
        time_us = min(self.sampler.sample() for _ in range(CANARY_SAMPLES))
        # The floor follows a device that slows down for good (heat), but not one that is busy for a second.
        self.floor_us = min(time_us, self.floor_us * FLOOR_RISE)
        return time_us

    def slowdown(self, *times_us: float) -> float:
        """How much slower than at its best the device was at the fastest of these times: 0.1 is 10%."""
        return min(times_us) / self.floor_us - 1 if self.sampler is not None else 0.0


# --- Requests -----------------------------------------------------------------------------------------------


class Agent:
    """Holds one setting (threads, kernels) and its canaries, and answers requests.

    `canary` runs on one thread, whatever the setting: on several its time depends on whether they are awake. `crowd` is the same
    on all threads of the setting (None for one) and shows whether something else takes their cores.
    """

    def __init__(self) -> None:
        self.runtime, self.distribution, self.version = load_runtime()
        self.threads = 1
        self.kernels = "xnnpack"
        self.layer_profiler: LayerProfiler | InterpreterProfiler | None = None
        self.canary = Canary()
        self.crowd = Canary()
        self.sample_s = max(SAMPLE_S, CLOCK_STEPS * clock_step_s())
        self.cpu: Callable[[], float] | None = None
        self.looked_s = -math.inf
        self.meter: Any = None

    def answer(self, request: Values, blob: bytes) -> Values:
        """Do what `request` asks; whatever goes wrong becomes ``{"error": …}``."""
        try:
            task = {
                "hello": self.hello,
                "configure": self.configure,
                "time": self.time_probe,
                "network": self.measure_network,
                "layers": self.profile_layers,
                "policy": self.run_policy,
                "meter": self.open_meter,
                "power": self.measure_power,
            }.get(request.get("do", ""))
            if task is None:
                raise AgentError("The agent does not know the request {!r}.".format(request.get("do")))
            return task(request, blob)
        except Exception as error:  # any failure of a probe is an answer, not the end of the agent
            text = " ".join(str(error).split()) or "failed"
            return {
                "error": (text if isinstance(error, AgentError) else f"{type(error).__name__}: {text}")[:500]
            }
        finally:
            gc.enable()

    def hello(self, request: Values, blob: bytes) -> Values:
        """Say who measures here."""
        return {"protocol": PROTOCOL, "fingerprint": fingerprint(self.distribution, self.version)}

    def configure(self, request: Values, blob: bytes) -> Values:
        """Set threads, kernels and the canary (`blob`: a small .tflite file) for all that follows."""
        kernels, threads = request.get("kernels", "xnnpack"), int(request.get("threads", 1))
        if kernels not in KERNELS:
            raise AgentError("kernels must be one of {}, not {!r}.".format(", ".join(KERNELS), kernels))
        if threads < 1:
            raise AgentError(f"threads must be at least 1, not {threads}.")
        self.threads, self.kernels = threads, kernels
        self.cpu = cpu_clock() if threads == 1 else None
        sample_s = self.sample_s if self.sample_s > SAMPLE_S else CANARY_SAMPLE_S
        self.canary = Canary(Model(self.runtime, blob, 1, self.kernels) if blob else None, sample_s)
        self.crowd = Canary(self.load(blob) if blob and threads > 1 else None, sample_s)
        return {"threads": threads, "kernels": kernels}

    def load(self, content: bytes, shapes: list[list[int]] | None = None) -> Model:
        """Load a network under the present setting; `shapes` are those of its inputs, where they are open."""
        return Model(self.runtime, content, self.threads, self.kernels, shapes)

    def calm_below_us(self, request: Values) -> float:
        """Below which time of the canary the device is calm: who asks knows it better than this process, which is young."""
        return float(request.get("calm_below_us") or WITHIN * self.canary.floor_us)

    def time_probe(self, request: Values, blob: bytes) -> Values:
        """Time one small network in a window between two canaries, in another one where the first was not calm.

        ``canaries_us`` are those before and after the window that counts, ``waited`` is the share of it that others had the core,
        ``clock`` is there once a second: see `clock_now`.
        `disturbed` says that the low end of its samples did not settle, or that something else took a thread's core.
        """
        model = self.load(blob)
        sampler = Sampler(model.invoke, sample_s=self.sample_s, cpu=self.cpu)
        limit_us = self.calm_below_us(request)
        windows: list[tuple[bool, float, int, Values]] = []
        gc.disable()
        before, crowd = self.canary.time_us(), self.crowd.time_us()
        while len(windows) < int(request.get("tries", TRIES)):
            samples = sampler.samples(float(request.get("seconds", SAMPLING_S)))
            after, crowd_after = self.canary.time_us(), self.crowd.time_us()
            result = summarise_us(samples)
            crowded = self.crowd.slowdown(crowd, crowd_after) > CROWDED
            result["disturbed"] = unsettled(samples) > UNSETTLED or crowded
            result["waited"] = sampler.waited(samples)
            result["build_ms"] = model.build_ms
            result["canaries_us"] = [before, after] if before else []
            slowest = max(before, after)
            windows.append((result["disturbed"], slowest, len(windows), result))
            if not result["disturbed"] and slowest <= limit_us:
                break
            before, crowd = after, crowd_after
        result = min(windows)[-1]
        result["tries"] = len(windows)
        if time.monotonic() >= self.looked_s + CLOCK_EVERY_S:  # some systems take 10 ms to answer
            self.looked_s = time.monotonic()
            result["clock"] = clock_now()
        return result

    def measure_network(self, request: Values, blob: bytes) -> Values:
        """Time a whole network: loading, the first run, then repeated runs without profiling."""
        model = self.load(blob, request.get("shapes"))
        begin = time.perf_counter()
        model.invoke()
        first_ms = (time.perf_counter() - begin) * 1e3
        gc.collect()
        gc.disable()
        result = self.time_runs(model.invoke, float(request.get("seconds", 2.0)), self.calm_below_us(request))
        result.update(load_ms=model.build_ms, first_ms=first_ms, threads=self.threads, kernels=self.kernels)
        return result

    def profile_layers(self, request: Values, blob: bytes) -> Values:
        """Time the operators of a network: the events of the runtime's profiler, or an error that says why not."""
        if self.layer_profiler is None:
            interpreted = self.distribution == "tflite-runtime"
            self.layer_profiler = InterpreterProfiler(self.runtime) if interpreted else LayerProfiler()
        seconds, shapes = float(request.get("seconds", 1.0)), request.get("shapes") or []
        return self.layer_profiler.profile(blob, self.threads, self.kernels, seconds, shapes)

    def run_policy(self, request: Values, blob: bytes) -> Values:
        """Run a policy on rows: `blob` is a zip of the files that run it, of its folder, and of the rows.

        They are unpacked into a temporary folder; ``selector.runtime.board`` in it does the work.
        """
        loaded = set(sys.modules)
        with tempfile.TemporaryDirectory(prefix="edgetime-") as folder:
            try:
                with zipfile.ZipFile(io.BytesIO(blob)) as archive:
                    archive.extractall(folder)
            except OSError as error:
                place = f"{tempfile.gettempdir()} ({error.strerror})"
                raise AgentError(
                    f"There is no room for the policy in {place}: free some, or set TMPDIR there."
                ) from error
            code = os.path.join(folder, "code")
            sys.path.insert(0, code)
            try:
                board: Any = importlib.import_module("selector.runtime.board")
                answer: Values = board.run(
                    folder,
                    request["policy"],
                    request,
                    lambda content: make_interpreter(self.runtime, content, self.threads, self.kernels),
                    lambda invoke: self.time_runs(invoke, 0.2, self.calm_below_us(request)),
                )
                return answer
            finally:
                sys.path.remove(code)
                for name in set(sys.modules) - loaded:  # the next policy may come with other files
                    if name.split(".")[0] in ("selector", "profiler"):
                        del sys.modules[name]

    def open_meter(self, request: Values, blob: bytes) -> Values:
        """Get ready to read power, by code that comes along: `blob` is a zip of ``meter.py`` and of the sensor's file.

        The answer says what is read and how often that changes; or, in ``sensor``, why there is nothing to read.
        """
        names: dict[str, Values] = {"meter.py": {"__name__": "meter"}, "sensor.py": {"__name__": "sensor"}}
        with zipfile.ZipFile(io.BytesIO(blob)) as archive:
            for name, space in names.items():
                exec(compile(archive.read(name), name, "exec"), space)
        meter = names["meter.py"]
        try:
            if self.meter is not None:
                self.meter.close()
            sensor = names["sensor.py"][request["class"]](request["argument"])
            self.meter = meter["Meter"](sensor, request["source"], self.canary.time_us)
        except (meter["SensorError"], OSError, ValueError) as error:
            return {"sensor": str(error)}
        return dict(self.meter.describe())

    def measure_power(self, request: Values, blob: bytes) -> Values:
        """What is drawn while a network (`blob`) runs again and again, or at rest (none): see ``meter.py``.

        ``sensor`` in the answer says that nothing can be read any more.
        """
        invoke = self.load(blob).invoke if blob else None
        gc.collect()
        gc.disable()
        try:
            seconds, limit_us = float(request["seconds"]), self.calm_below_us(request)
            return dict(self.meter.window(invoke, seconds, self.canary.time_us, limit_us))
        except Exception as error:
            if type(error).__name__ != "SensorError":
                raise
            return {"sensor": str(error)}

    def time_runs(self, invoke: Callable[[], Any], seconds: float, limit_us: float = math.inf) -> Values:
        """Time single runs for `seconds`, at least 5, in windows of about 10 ms with the canary between them.

        Runs in calm windows count as long as they are 5 or more, else those in the calmest quarter of the windows. Where
        less than a quarter is calm, it goes on for up to 2.5 times as long. ``calm_share`` is the share of time in calm windows,
        ``met_p50_us`` and ``met_p90_us`` are wall times of all runs. Runs shorter than 40 us are timed in groups.
        """
        clock = time.perf_counter
        sampler = Sampler(invoke, min(0.05, seconds / 10), self.sample_s, self.cpu)
        sampler.wall_us = []
        per_window = max(1, math.ceil(WINDOW_S / (sampler.call_s * sampler.inner)))
        windows: list[tuple[float, int, list[float], list[float]]] = []
        calm, calm_s = 0, 0.0
        before, crowd = self.canary.time_us(), self.crowd.time_us()
        begin = since = clock()
        while (
            len(windows) * per_window < 5
            or clock() - begin < seconds
            or (4 * calm < len(windows) and clock() - begin < 2.5 * seconds)
        ):
            times = [sampler.sample() for _ in range(per_window)]
            after, crowd_after = self.canary.time_us(), self.crowd.time_us()
            crowded = self.crowd.slowdown(max(crowd, crowd_after)) > CROWDED
            slowest = math.inf if crowded else max(before, after)
            windows.append((slowest, len(windows), times, [before, after]))
            now = clock()
            if slowest <= limit_us:
                calm, calm_s = calm + 1, calm_s + now - since
            before, crowd, since = after, crowd_after, now
        least = math.ceil(5 / per_window)
        enough = calm if calm >= least else max(least, len(windows) // 4)
        kept = sorted(windows)[:enough]
        result = summarise_us([run for _, _, times, _ in kept for run in times])
        result["waited"] = sampler.waited([run for _, _, times, _ in windows for run in times])
        result["met_p50_us"], result["met_p90_us"] = np.percentile(sampler.wall_us, [50, 90]).tolist()
        canaries = np.max(
            [row[3] for row in kept] if calm >= least else [np.median([row[3] for row in kept], 0)], 0
        )
        result["canaries_us"] = canaries.tolist() if canaries.all() else []
        result["disturbed"] = not math.isfinite(kept[-1][0])
        result["calm_below_us"] = limit_us if math.isfinite(limit_us) else None
        result.update(calm_share=calm_s / max(since - begin, 1e-9), runs=len(sampler.wall_us))
        return result


# --- Times per operator -----------------------------------------------------------------------------------


class LayerProfiler:
    """LiteRT's own profiler, through the C interface of ai-edge-litert's library, since Python's interfaces do not offer it.

    One environment serves all networks: making one looks for accelerators and takes a tenth of a second.
    """

    EVENT = np.dtype(
        {
            "names": ["tag", "type", "elapsed_us", "node", "graph"],
            "formats": ["<u8", "<i4", "<u8", "<u8", "<u8"],
            "offsets": [0, 8, 24, 80, 88],
            "itemsize": 104,
        }
    )
    OPERATOR, DELEGATED = 2, (4, 8)
    RUN_ENDS = 32
    CPU = 1

    def __init__(self) -> None:
        names = ("libLiteRt.so", "libLiteRt.dylib", "LiteRt.dll", "libLiteRt.dll")
        library = library_of("ai_edge_litert", lambda name: name in names)
        if ctypes.sizeof(ctypes.c_void_p) != 8:
            raise AgentError("the profiler is only known for 64-bit systems")
        self.library = ctypes.CDLL(library)
        self.payloads: list[Any] = []
        self.release = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda payload: None)
        self.environment = self.make("LiteRtCreateEnvironment", ctypes.c_int(0), None)

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function of the library; a status other than 0 is an error."""
        try:
            function = getattr(self.library, name)
        except AttributeError:
            raise AgentError(f"this version of LiteRT has no {name}") from None
        status = function(*arguments)
        if status:
            raise AgentError(f"LiteRT refuses this network ({name} answers {status})")

    def make(self, name: str, *arguments: Any, kind: Any = ctypes.c_void_p) -> Any:
        """Call a function whose last argument takes the handle, or another `kind` of value, that it makes."""
        made = kind()
        self.call(name, *arguments, ctypes.byref(made))
        return made

    def count(self, name: str, *arguments: Any) -> int:
        """Call a function whose last argument takes a number."""
        return int(self.make(name, *arguments, kind=ctypes.c_size_t).value)

    def profile(
        self, content: bytes, threads: int, kernels: str, seconds: float, shapes: list[list[int]]
    ) -> Values:
        """Run a network under the profiler; ``events`` are the mean times of one run's events, in order.

        An event is ``[tag, type, node, graph, us]``. Type 2 is an operator: number `node` of the file's
        subgraph `graph`. 4 and 8 are a delegate's own operators, counted from 0 in each part of the subgraph
        that it took over. 32 ends a run of the subgraph.
        """
        count = f"num_threads = {threads}\n"
        # Before 2.2 there was no name for XNNPACK, which is what one gets anyway.
        modes = {"xnnpack": ('kernel_mode = "delegate"\n', ""), "builtin": ('kernel_mode = "builtin"\n',)}
        if kernels not in modes:
            raise AgentError("LiteRT's profiler cannot run the reference kernels")
        trouble = AgentError("not tried")
        for mode in modes[kernels]:
            try:
                return self.profile_with(content, mode + count, seconds, shapes)
            except AgentError as error:
                trouble = error
        raise trouble

    def profile_with(
        self, content: bytes, options_text: str, seconds: float, shapes: list[list[int]]
    ) -> Values:
        """Run a network under the profiler with some options for its kernels."""
        held = ctypes.create_string_buffer(content, len(content))
        with contextlib.ExitStack() as made:
            size = ctypes.c_size_t(len(content))
            model = self.make("LiteRtCreateModelFromBuffer", self.environment, held, size)
            made.callback(self.destroy, "LiteRtDestroyModel", model)
            options = self.make("LiteRtCreateOptions")
            made.callback(self.destroy, "LiteRtDestroyOptions", options)
            self.call("LiteRtSetOptionsHardwareAccelerators", options, ctypes.c_int(self.CPU))
            self.add_options(options, b"runtime_options_string", "enable_profiling = true\n")
            self.add_options(options, b"xnnpack", options_text)
            compiled = self.make("LiteRtCreateCompiledModel", self.environment, model, options)
            made.callback(self.destroy, "LiteRtDestroyCompiledModel", compiled)
            inputs = self.buffers(model, compiled, "Input", made, list(shapes))
            outputs = self.buffers(model, compiled, "Output", made, [])
            counts = ctypes.c_size_t(len(inputs)), ctypes.c_size_t(len(outputs))
            run = compiled, ctypes.c_size_t(0), counts[0], inputs, counts[1], outputs
            return self.events(compiled, lambda: self.call("LiteRtRunCompiledModel", *run), seconds)

    def destroy(self, name: str, handle: ctypes.c_void_p) -> None:
        """Free what a handle stands for."""
        function = getattr(self.library, name)
        function.restype = None
        function(handle)

    def add_options(self, options: ctypes.c_void_p, name: bytes, text: str) -> None:
        """Set runtime options, which LiteRT takes as TOML."""
        payload = ctypes.create_string_buffer(text.encode())
        self.payloads.append(payload)  # LiteRT goes on reading it until the options are destroyed
        pointer = ctypes.cast(payload, ctypes.c_void_p)
        opaque = self.make("LiteRtCreateOpaqueOptions", name, pointer, self.release)
        self.call("LiteRtAddOpaqueOptions", options, opaque)

    def buffers(
        self,
        model: ctypes.c_void_p,
        compiled: ctypes.c_void_p,
        kind: str,
        made: contextlib.ExitStack,
        shapes: list[list[int]],
    ) -> Any:
        """Make the buffers of all inputs or outputs of a network; inputs are filled with random values."""
        first = ctypes.c_size_t(0)
        signature = self.make("LiteRtGetModelSignature", model, first)
        count = self.count(f"LiteRtGetNumSignature{kind}s", signature)
        handles = (ctypes.c_void_p * count)()
        for position in range(count):
            index = ctypes.c_size_t(position)
            tensor = self.make(f"LiteRtGetSignature{kind}TensorByIndex", signature, index)
            # The tensor's type: element type, rank (7 bits) and a flag, 8 sizes, 8 strides.
            shape = np.zeros(18, np.int32)
            self.call("LiteRtGetRankedTensorType", tensor, ctypes.c_void_p(shape.ctypes.data))
            rank = int(shape[1]) & 127
            sizes = shape[2 : 2 + rank]
            if (sizes < 0).any() and kind == "Input":
                fits = [shape for shape in shapes if same_where_known(sizes.tolist(), shape)]
                sizes[:] = fits[0] if fits else np.maximum(sizes, 1)
                wanted = (ctypes.c_int * rank)(*sizes.tolist())
                resize = "LiteRtCompiledModelResizeInputTensor"
                self.call(resize, compiled, first, index, wanted, ctypes.c_size_t(rank))
            elif (sizes < 0).any():
                layouts = np.zeros((count, 17), np.int32)
                address, number = ctypes.c_void_p(layouts.ctypes.data), ctypes.c_size_t(count)
                update = ctypes.c_bool(True)
                self.call(
                    "LiteRtGetCompiledModelOutputTensorLayouts", compiled, first, number, address, update
                )
                shape[1:] = layouts[position]
            needs = self.make(f"LiteRtGetCompiledModel{kind}BufferRequirements", compiled, first, index)
            maker = "LiteRtCreateManagedTensorBufferFromRequirements"
            handle = self.make(maker, self.environment, ctypes.c_void_p(shape.ctypes.data), needs)
            made.callback(self.destroy, "LiteRtDestroyTensorBuffer", handle)
            handles[position] = handle
            if kind == "Input":
                self.fill(handle, int(shape[0]), sizes.tolist())
        return handles

    def fill(self, handle: ctypes.c_void_p, element: int, sizes: list[int]) -> None:
        """Put random values into an input (zeros where the type, in TFLite's numbers, is an index)."""
        size = self.count("LiteRtGetTensorBufferPackedSize", handle)
        types = {1: np.float32, 3: np.uint8, 6: np.bool_, 7: np.int16, 9: np.int8, 10: np.float16}
        values = random_values(tuple(sizes), np.dtype(types[element])) if element in types else np.zeros(0)
        data = values.tobytes().ljust(size, b"\0")[:size]
        write = ctypes.c_int(1)
        address = ctypes.c_void_p()
        self.call("LiteRtLockTensorBuffer", handle, ctypes.byref(address), write)
        ctypes.memmove(address, data, size)
        self.call("LiteRtUnlockTensorBuffer", handle)

    def events(self, compiled: ctypes.c_void_p, run: Callable[[], None], seconds: float) -> Values:
        """Run with the profiler on for `seconds`, at least 5 times; average the quieter half of the runs."""
        profiler = self.make("LiteRtCompiledModelGetProfiler", compiled)

        def profiled_run() -> np.ndarray:
            self.call("LiteRtStartProfiler", profiler)
            run()
            self.call("LiteRtStopProfiler", profiler)
            size = ctypes.c_int()
            self.call("LiteRtGetNumProfilerEvents", profiler, ctypes.byref(size))
            found = np.zeros(size.value, self.EVENT)
            events = ctypes.c_void_p(found.ctypes.data)
            self.call("LiteRtGetProfilerEvents", profiler, size, events)
            self.call("LiteRtResetProfiler", profiler)
            return found[np.isin(found["type"], (self.OPERATOR, *self.DELEGATED, self.RUN_ENDS))]

        for _ in range(3):
            run()
        runs, times = quieter_half(repeated(profiled_run, seconds), self.RUN_ENDS)
        rows = []
        for event, mean_us in zip(runs[0], times):  # noqa: B905 (Python 3.7)
            tag = ctypes.string_at(int(event["tag"])).decode("utf-8", "replace") if event["tag"] else ""
            node = int(event["node"]) if event["node"] < 2**31 else -1
            rows.append([tag, int(event["type"]), node, int(event["graph"]), round(mean_us, 3)])
        return {"events": rows, "runs": len(runs)}


def library_of(package: str, wanted: Callable[[str], bool]) -> str:
    """Path of the first wanted file in the folder of a runtime's package."""
    folder = os.path.dirname(getattr(sys.modules.get(package), "__file__", None) or "")
    names = [name for name in sorted(os.listdir(folder)) if wanted(name)] if folder else []
    if not names:
        raise AgentError("this runtime has no profiler that Python could reach")
    return os.path.join(folder, names[0])


def repeated(run: Callable[[], np.ndarray], seconds: float) -> list[np.ndarray]:
    """Call `run` for `seconds`, 5 to 200 times; returns what it returned."""
    runs: list[np.ndarray] = []
    begin = time.perf_counter()
    while len(runs) < 5 or (time.perf_counter() - begin < seconds and len(runs) < 200):
        runs.append(run())
    return runs


def quieter_half(runs: list[np.ndarray], run_ends: int) -> tuple[list[np.ndarray], list[float]]:
    """Runs with the usual number of events, and the mean time of each event over the quicker half of them.

    A run is an array with the fields ``type`` and ``elapsed_us``; an event of type `run_ends` takes no time.
    """
    usual = max({len(found) for found in runs}, key=lambda size: sum(len(found) == size for found in runs))
    runs = [found for found in runs if len(found) == usual]
    times = np.stack([found["elapsed_us"] for found in runs]).astype(float)
    times[:, runs[0]["type"] == run_ends] = 0.0
    quiet = np.argsort(times.sum(axis=1))[: (len(runs) + 1) // 2]
    return runs, times[quiet].mean(axis=0).tolist()


class InterpreterProfiler:
    """Times per operator from an interpreter that lets one set a profiler: tflite-runtime's.

    Its library exports ``tflite::Interpreter::SetProfiler``, which takes a C++ object with virtual functions; the object made
    here consists of a table of Python functions.
    """

    SYMBOLS = (
        "_ZN6tflite4impl11Interpreter11SetProfilerEPNS_8ProfilerE",
        "_ZN6tflite11Interpreter11SetProfilerEPNS_8ProfilerE",
    )
    EVENT = np.dtype([("type", "<i4"), ("elapsed_us", "<f8")])
    KINDS = frozenset((LayerProfiler.OPERATOR, *LayerProfiler.DELEGATED, LayerProfiler.RUN_ENDS))

    def __init__(self, runtime: Any) -> None:
        self.runtime = runtime
        path = library_of(
            "tflite_runtime", lambda name: "interpreter_wrapper" in name and name.endswith(".so")
        )
        library = ctypes.CDLL(path)
        found = [getattr(library, name) for name in self.SYMBOLS if hasattr(library, name)]
        if not found:
            raise AgentError("this runtime does not let one set a profiler")
        self.set_profiler = found[0]
        self.set_profiler.restype = None
        self.set_profiler.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
        self.rows: list[list[Any]] = []
        self.make_object()
        self.span_us = self.price_us()

    def make_object(self) -> None:
        """Make the C++ object: a pointer to its table of functions, in the order of ``tflite::Profiler``."""
        pointer, number, event = ctypes.c_void_p, ctypes.c_int64, ctypes.c_uint32
        make = ctypes.CFUNCTYPE
        ending = make(None, pointer)  # the two destructors: the object stays ours, so neither is ever called
        self.begin = make(event, pointer, pointer, ctypes.c_int, number, number)(self.event_begins)
        self.end = make(None, pointer, event)(self.event_ends)
        self.functions = (
            ending(lambda this: None),
            ending(lambda this: None),
            self.begin,
            make(None, pointer, event, number, number)(self.event_ends),
            self.end,
            make(None, pointer, pointer, ctypes.c_int, ctypes.c_uint64, number, number)(self.event_reported),
            make(None, pointer, pointer, ctypes.c_int, pointer)(lambda this, tag, kind, data: None),
        )
        addresses = [ctypes.cast(function, pointer) for function in self.functions]
        self.table = (pointer * len(addresses))(*addresses)
        self.object = (pointer * 1)(ctypes.cast(self.table, pointer))

    # Rows are [tag, type, node, graph, us]; `us` holds the clock's value while an event lasts.

    def event_begins(
        self,
        this: int,
        tag: int,
        kind: int,
        node: int,
        graph: int,
        clock: Callable[[], float] = time.perf_counter,
    ) -> int:
        """An event begins; its number is asked for again when it ends."""
        row = [tag, kind, node, graph, 0.0]
        self.rows.append(row)
        row[4] = clock()
        return len(self.rows)

    def event_ends(
        self, this: int, event: int, *metadata: int, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        """The event that `event_begins` gave this number ends."""
        now = clock()
        if 0 < event <= len(self.rows):
            row = self.rows[event - 1]
            row[4] = (now - row[4]) * 1e6
            row[0] = ctypes.string_at(row[0]) if row[0] else b""

    def event_reported(self, this: int, tag: int, kind: int, elapsed_us: int, node: int, graph: int) -> None:
        """A delegate reports an operator that it ran; the text of `tag` is gone when this returns."""
        self.rows.append([ctypes.string_at(tag) if tag else b"", kind, node, graph, float(elapsed_us)])

    def price_us(self) -> float:
        """Time that measuring adds to an operator: the way from one of our functions to the other."""
        prices = []
        for _ in range(200):
            self.rows.clear()
            self.end(None, self.begin(None, None, LayerProfiler.OPERATOR, 0, 0))
            prices.append(float(self.rows[0][4]))
        self.rows.clear()
        return min(prices)

    def profile(
        self, content: bytes, threads: int, kernels: str, seconds: float, shapes: list[list[int]]
    ) -> Values:
        """Run a network under the profiler; the answer is that of `LayerProfiler.profile`."""

        def prepare(interpreter: Any) -> None:
            self.set_profiler(interpreter._native_handle(), ctypes.addressof(self.object))

        model = Model(self.runtime, content, threads, kernels, shapes, prepare)
        rows: list[list[Any]] = []

        def profiled_run() -> np.ndarray:
            self.rows.clear()
            model.invoke()
            rows[:] = [row for row in self.rows if row[1] in self.KINDS]
            return np.array([(row[1], row[4]) for row in rows], self.EVENT)

        for _ in range(3):
            model.invoke()
        gc.disable()
        runs, times = quieter_half(repeated(profiled_run, seconds), LayerProfiler.RUN_ENDS)
        self.rows.clear()
        events = []
        for row, mean_us in zip(rows, times):  # noqa: B905 (Python 3.7)
            price_us = self.span_us if row[1] == LayerProfiler.OPERATOR else 0.0
            text = row[0].decode("utf-8", "replace")
            events.append([text, row[1], row[2], row[3], round(max(mean_us - price_us, 0.0), 3)])
        return {"events": events, "runs": len(runs)}


def same_where_known(sizes: list[int], shape: list[int]) -> bool:
    """Whether `shape` is `sizes` with its open dimensions (-1) filled in."""
    pairs = itertools.zip_longest(sizes, shape)
    return all(size == given or (size == -1 and given is not None) for size, given in pairs)


# --- Serving ------------------------------------------------------------------------------------------------


def serve(requests: BinaryIO, answers: BinaryIO, make: Callable[[], Any] | None = None) -> None:
    """Answer requests, by what `make` makes (an `Agent`), until the other side closes or says quit."""
    try:
        agent = (make or Agent)()
        trouble = ""
    except AgentError as error:
        agent, trouble = None, str(error)
    while True:
        line = requests.readline()
        if not line.endswith(b"\n"):
            return
        try:
            request = json.loads(line.decode("utf-8"))
            size = int(request.get("blob", 0))
        except (ValueError, AttributeError) as error:
            # After a line that cannot be read nothing says where the next one begins.
            write_line(answers, {"error": f"The agent got a request that it cannot read: {error}"})
            return
        blob = requests.read(size) if size else b""
        if len(blob) < size or request.get("do") == "quit":
            return
        write_line(answers, agent.answer(request, blob) if agent else {"error": trouble})


def write_line(stream: BinaryIO, value: Values) -> None:
    """Write one line of JSON and flush it."""
    stream.write((json.dumps(value, allow_nan=False) + "\n").encode("utf-8"))
    stream.flush()


def serve_standard_streams(make: Callable[[], Any] | None = None) -> None:
    """`serve` on standard input and output; what C libraries print goes to standard error instead."""
    # Ctrl-C reaches the whole group of processes: the host decides what becomes of the measurement in flight.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdout.flush()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    with contextlib.suppress(BrokenPipeError):
        serve(sys.stdin.buffer, answers, make)


class DisconnectedError(Exception):
    """The agent's process died, closed its pipe, or took longer than it may."""


class Connection:
    """The other end of `serve`: a process, started by `command`, that answers requests.

    `preamble` is sent before the first request; `chatter` is an open file for its standard error (None leaves it where it is).
    """

    def __init__(self, command: list[str], preamble: bytes = b"", chatter: Any = None) -> None:
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=chatter, bufsize=-1
        )
        self.timed_out = False
        if preamble:
            self._send(preamble)

    def _send(self, data: bytes) -> None:
        try:
            assert self.process.stdin is not None
            self.process.stdin.write(data)
            self.process.stdin.flush()
        except (OSError, ValueError) as error:
            raise DisconnectedError(self.how_it_ended()) from error

    def ask(self, request: Values, blob: bytes = b"", timeout_s: float = 120.0) -> Values:
        """Send one request and wait for its answer.

        Raises DisconnectedError where the process ended, or gave no answer within `timeout_s` and was ended.
        """
        if blob:
            request = dict(request, blob=len(blob))
        self.timed_out = False
        watchdog = threading.Timer(timeout_s, self._give_up)
        watchdog.daemon = True
        watchdog.start()
        try:
            self._send((json.dumps(request) + "\n").encode("utf-8") + blob)
            assert self.process.stdout is not None
            line = self.process.stdout.readline()
        finally:
            watchdog.cancel()
        if not line.endswith(b"\n"):
            raise DisconnectedError(self.how_it_ended())
        try:
            answer = json.loads(line.decode("utf-8"))
        except ValueError as error:
            raise DisconnectedError(f"it answered with something else than JSON: {line[:80]!r}") from error
        if not isinstance(answer, dict):
            raise DisconnectedError(f"it answered with something else than an object: {line[:80]!r}")
        return answer

    def _give_up(self) -> None:
        self.timed_out = True
        self.process.kill()

    def how_it_ended(self) -> str:
        """Say why nothing more comes from the process."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=2)
        if self.timed_out:
            return "it gave no answer in time"
        code = self.process.poll()
        if code is None:
            return "it closed its output"
        return f"it was ended by signal {-code}" if code < 0 else f"it ended with status {code}"

    def close(self) -> None:
        """End the process, gently first."""
        process = self.process
        with contextlib.suppress(OSError, ValueError):
            assert process.stdin is not None
            process.stdin.close()
        try:
            process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


# --- Bundles ------------------------------------------------------------------------------------------------


def measure_bundle(bundle: str, output: str) -> int:
    """Measure what `bundle` holds and append one line per measurement to `output`; return the exit status.

    A second process of this file measures, so that a probe that crashes the runtime fails and the next one goes on.
    """
    with zipfile.ZipFile(bundle) as archive:
        manifest = json.loads(archive.read("manifest.json").decode("utf-8"))
        if manifest.get("format") != BUNDLE_FORMAT:
            raise AgentError(
                f"{bundle} has another format than this agent.py: take both from the same edgetime."
            )
        settings, probes = manifest["settings"], manifest["probes"]
        canary = archive.read(manifest["canary"])
        pools = [archive.read(name) for name in manifest["pools"]]
        done, failed = read_done(output, manifest["id"])
        turns = itertools.product(range(int(manifest["passes"])), range(len(settings)), range(len(probes)))
        jobs = [(number, setting, index) for number, setting, index in turns]
        total = len(jobs)
        jobs = [job for job in jobs if job not in done]
        begin = time.monotonic()
        with open(output, "ab") as lines:
            worker = BundleWorker(settings, canary)
            try:
                if not done:
                    header = {"type": "header", "bundle": manifest["id"], "settings": settings}
                    write_line(lines, dict(header, protocol=PROTOCOL, fingerprint=worker.fingerprint()))
                for count, (number, setting, index) in enumerate(jobs):
                    if (setting, index) in failed:
                        continue
                    probe = probes[index]
                    content = restore(archive.read(probe["file"]), probe["cuts"], pools)
                    result = worker.time(setting, content)
                    if "error" in result:
                        failed.add((setting, index))
                    place = {"type": "time", "pass": number, "setting": setting, "probe": index}
                    line = dict(place, at=time.time(), kind=probe["kind"], key=probe["key"], **result)
                    write_line(lines, line)
                    show_progress(total - len(jobs) + count + 1, total, begin, count + 1)
            finally:
                worker.close()
    sys.stderr.write(
        f"\nDone: 'edgetime import {output} -o DEVICE.db' reads it where edgetime is installed.\n"
    )
    return 0


def restore(skeleton: bytes, cuts: list[list[int]], pools: list[bytes]) -> bytes:
    """Put back what was cut out of a probe's file: ``[position, pool, length]``, a prefix of one of the pools of weights each."""
    parts = []
    taken = at = 0
    for position, pool, length in cuts:
        literal = position - at
        parts += [skeleton[taken : taken + literal], pools[pool][:length]]
        taken += literal
        at = position + length
    parts.append(skeleton[taken:])
    return b"".join(parts)


class BundleWorker:
    """A second process of this file that measures; started again when a probe ends it."""

    def __init__(self, settings: list[Values], canary: bytes) -> None:
        self.settings = settings
        self.canary = canary
        self.current = -1
        self.connection: Connection | None = None

    def _connect(self) -> Connection:
        if self.connection is None:
            self.connection = Connection([sys.executable, os.path.abspath(__file__), "--serve"])
            self.current = -1
        return self.connection

    def fingerprint(self) -> Values:
        """Return the device's fingerprint."""
        answer = self._checked(self._connect().ask({"do": "hello"}))
        return dict(answer["fingerprint"])

    def time(self, setting: int, blob: bytes) -> Values:
        """Time one probe under one of the settings."""
        connection = self._connect()
        if self.current != setting:
            self._checked(connection.ask(dict(self.settings[setting], do="configure"), self.canary))
            self.current = setting
        try:
            return connection.ask({"do": "time"}, blob)
        except DisconnectedError as error:
            self.close()
            return {"error": f"The probe ended the agent: {error}"}

    @staticmethod
    def _checked(answer: Values) -> Values:
        if "error" in answer:
            raise AgentError(answer["error"])
        return answer

    def close(self) -> None:
        """End the process."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None


def read_done(output: str, bundle: str) -> tuple[set[tuple[int, int, int]], set[tuple[int, int]]]:
    """Measurements in `output`, as (pass, setting, probe), and each (setting, probe) that failed; a torn last line is cut off."""
    done: set[tuple[int, int, int]] = set()
    failed: set[tuple[int, int]] = set()
    if not os.path.exists(output):
        return done, failed
    with open(output, "rb+") as file:
        good = 0
        for raw in file:
            if not raw.endswith(b"\n"):
                break
            good += len(raw)
            try:
                line = json.loads(raw.decode("utf-8"))
                kind = line["type"]
                if kind == "time":
                    done.add((line["pass"], line["setting"], line["probe"]))
                    if "error" in line:
                        failed.add((line["setting"], line["probe"]))
            except (ValueError, KeyError, TypeError):
                continue  # importing the file reports such lines
            if kind == "header" and line.get("bundle") != bundle:
                raise AgentError(f"{output} holds results of another bundle: name another file after -o.")
        file.truncate(good)
    return done, failed


def show_progress(done: int, total: int, begin: float, since: int) -> None:
    """Write done, total and the time left to standard error, over the last such line."""
    left = (time.monotonic() - begin) / since * (total - done)
    sys.stderr.write(f"\r{done}/{total} measured, {int(left // 60)} min {int(left % 60):02d} s left ")
    sys.stderr.flush()


def main(arguments: list[str] | None = None) -> int:
    """Run as a program; return the exit status."""
    parser = argparse.ArgumentParser(description="Measure execution times on this device for edgetime.")
    parser.add_argument("bundle", nargs="?", help="what 'edgetime bundle' wrote")
    parser.add_argument(
        "-o", "--output", default="out.jsonl", help="where the measurements go (default: %(default)s)"
    )
    parser.add_argument("--serve", action="store_true", help="answer requests on standard input")
    options = parser.parse_args(arguments)
    if options.serve:
        serve_standard_streams()
        return 0
    if options.bundle is None:
        parser.error("name a bundle (probes.zip), or --serve")
    try:
        return measure_bundle(options.bundle, options.output)
    except KeyboardInterrupt:
        sys.stderr.write("\nStopped; the same command goes on from here.\n")
        return 1
    except (AgentError, DisconnectedError, OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        sys.stderr.write(f"\nError: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
