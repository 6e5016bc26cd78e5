"""Steering by times that are measured on a target."""

import json

import pytest

from compressor import Options, Schedule, compress
from compressor.costs import Configuration, MeasuredCost, place_of
from compressor.pipeline.prepare.preparation import converter
from compressor.search.uniform import UniformWidth
from compressor.testing.device import FormulaTimeModel
from compressor.testing.keras_task import bars_prepared
from profiler.devices import Setting, Target
from profiler.errors import TargetError, UsageError
from profiler.tflite import read_network

FULL = Configuration({"first": 12, "second": 16, "third": 16})


class Bench(Target):
    """Takes a microsecond for each multiplication, and is told how its canary does; in calm that takes 10 us."""

    name = "bench"

    def __init__(self, canaries=(), disturbed=()):
        self.canaries, self.disturbed = list(canaries), list(disturbed)
        self.runs, self.closed = 0, False
        self.calm_below_us = 10.5

    @property
    def setting(self):
        return Setting("a runtime", "1")

    def hello(self):
        return {"cpu": "a bench"}

    def measure_network(self, content, seconds=2.0, shapes=()):
        self.runs += 1
        canary = self.canaries.pop(0) if self.canaries else None
        us = 1e-3 * read_network(content).macs * (canary or 10) / 10
        disturbed = bool(self.disturbed and self.disturbed.pop(0))
        us *= 1 + disturbed
        return {
            "median_us": us, "p90_us": us, "min_us": us, "load_ms": 1.0, "first_ms": 1.0, "samples": 5,
            "canaries_us": [canary, canary] if canary else [], "disturbed": disturbed,
        }  # fmt: skip

    def close(self):
        self.closed = True


@pytest.fixture(scope="module")
def contents():
    """Files by widths, so that each is converted once in these tests."""
    from compressor.export import to_tflite_bytes
    from compressor.graph import build_graph

    made = {}

    def export(model):
        key = tuple(build_graph(model).widths.values())
        if key not in made:
            made[key] = to_tflite_bytes(model)
        return made[key]

    return export


def cost_on(bench, export, records=None):
    prepared = bars_prepared()
    return MeasuredCost(prepared.structures, export, bench, records)


def test_each_configuration_is_measured_once(contents):
    bench = Bench()
    cost = cost_on(bench, contents)
    assert not cost.cheap
    whole = cost.exact(FULL)
    assert cost(FULL) == whole
    assert bench.runs == cost.measured == 1
    narrow, same = cost.by_width(FULL, "second", [8, 16])
    assert narrow < same == whole
    assert cost.many([FULL.with_widths({"second": 8})]).tolist() == [narrow]
    assert bench.runs == 2
    macs = converter("none", None)(bars_prepared().model).macs
    assert whole == pytest.approx(1e-6 * macs)
    cost.close()
    assert bench.closed


def test_an_interrupted_search_does_not_measure_again(contents, tmp_path):
    records = tmp_path / "run" / "measured.jsonl"
    first = cost_on(Bench(canaries=[10.0, *[20.0] * 3]), contents, records)
    whole, narrow = first(FULL), first(FULL.with_widths({"first": 4}))
    with records.open("a") as file:
        file.write('{"configuration": {"widths": {"first": 1, "sec')  # killed while writing
    bench = Bench(canaries=[20.0] * 3)
    second = cost_on(bench, contents, records)
    assert (second(FULL), second(FULL.with_widths({"first": 4}))) == (whole, narrow)
    assert bench.runs == 0
    second(FULL.with_widths({"third": 4}))
    third = cost_on(Bench(), contents, records)
    assert third(FULL.with_widths({"third": 4})) == second(FULL.with_widths({"third": 4}))
    rows = [json.loads(line) for line in records.read_text().splitlines() if "slowness" in line]
    assert [row["configuration"]["widths"]["third"] for row in rows] == [16, 16, 4]
    assert [row["slowness"] for row in rows] == pytest.approx([1.0, 2.0, 2.0])


def test_what_another_device_measured_does_not_count(contents, tmp_path):
    records = tmp_path / "measured.jsonl"
    cost_on(Bench(), contents, records)(FULL)
    other = Bench()
    other.name = "another bench"
    cost_on(other, contents, records)(FULL)
    assert other.runs == 1


def test_a_device_that_became_slower_is_no_slower_network(contents):
    steady, slowing = cost_on(Bench(), contents), cost_on(Bench(canaries=[10.0, *[15.0] * 3]), contents)
    assert slowing(FULL) == pytest.approx(steady(FULL))
    assert slowing(FULL.with_widths({"first": 4})) == pytest.approx(steady(FULL.with_widths({"first": 4})))


def test_what_was_disturbed_is_measured_again(contents):
    bench = Bench(disturbed=[True, True, False])
    cost = cost_on(bench, contents)
    steady = cost_on(Bench(), contents)
    assert cost(FULL) == steady(FULL)
    assert bench.runs == 3
    calm_at_last = Bench(canaries=[20.0, 30.0, 10.0])
    assert cost_on(calm_at_last, contents)(FULL) == steady(FULL)
    assert calm_at_last.runs == 3
    always = Bench(disturbed=[True] * 3)
    assert cost_on(always, contents)(FULL) == 2 * steady(FULL)
    assert always.runs == 3


def test_where_it_was_never_calm_the_calmest_measurement_counts(contents):
    # The one beside the least busy neighbour is the least wrong, whichever was the quickest.
    bench = Bench(canaries=[30.0, 15.0, 20.0])
    us = 1e-3 * read_network(contents(bars_prepared().model)).macs
    answers = iter([0.5 * us, 1.6 * us, 1.5 * us])
    measure = bench.measure_network

    def answer(content, seconds=2.0, shapes=()):
        time_us = next(answers)
        return {**measure(content), "median_us": time_us, "min_us": time_us, "p90_us": time_us}

    bench.measure_network = answer
    assert cost_on(bench, contents)(FULL) == pytest.approx(1.6 * us / 1.5 / 1e3)


def test_a_network_that_the_device_cannot_run_is_told(contents):
    class Refusing(Bench):
        def measure_network(self, content, seconds=2.0, shapes=()):
            return {"error": "no such operator"}

    with pytest.raises(TargetError, match=r"bench cannot run .*no such operator"):
        cost_on(Refusing(), contents)(FULL)


def test_without_a_device_nothing_is_measured():
    with pytest.raises(
        UsageError, match=r"--steer measured needs a device to measure on.*name the device with --target"
    ):
        place_of(FormulaTimeModel("another machine"), None)
    bench = Bench()
    assert place_of(FormulaTimeModel(), bench) is bench


def compress_on(bench, folder, tmp_path, **changes):
    prepared = bars_prepared()
    path = tmp_path / "bars.keras"
    if not path.exists():
        prepared.model.save(path)
    short = Schedule(epochs=1, batch_size=16)
    macs = prepared.times.network(prepared.original.configuration).macs
    asked = {"budget_ms": 1e-3 * macs / 1e3 * 0.4, **changes}
    return compress(
        path, prepared.task.data, FormulaTimeModel(), folder, method=UniformWidth(grid=8), steer="measured",
        target=bench, measure=False, seeds=1, points=1, options=Options(short, short, finalists=1), **asked,
    )  # fmt: skip


def test_compression_by_measured_times_keeps_to_a_measured_budget(tmp_path):
    bench = Bench()
    result = compress_on(bench, tmp_path / "out", tmp_path)
    assert result.met
    assert bench.closed
    # The original, and halving a grid of 8: not all of its widths.
    assert bench.runs <= 5
    rows = [
        line for line in (tmp_path / "out" / "measured.jsonl").read_text().splitlines() if "slowness" in line
    ]
    assert len(rows) == bench.runs
    again = Bench()
    assert compress_on(again, tmp_path / "out", tmp_path, resume=True).met
    assert again.runs == 0


def test_a_budget_above_the_measured_time_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"already \(measured\), within the budget of 1000 ms"):
        compress_on(Bench(), tmp_path / "out", tmp_path, budget_ms=1e3)
