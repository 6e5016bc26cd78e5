"""`compress` from file to file, on a task and a device that need no profile."""

import json
import os
import platform
import re
import time
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from compressor import Data, Options, Schedule, compress
from compressor.costs import narrowest, scaled
from compressor.export import TfliteRunner, Turns
from compressor.pipeline import compression as pipeline
from compressor.pipeline import searching as search_part
from compressor.pipeline.prepare import preparation
from compressor.pipeline.prepare import workspace as trained
from compressor.pipeline.result import CompressionResult
from compressor.pipeline.result import making as reporting
from compressor.search import SearchMethod
from compressor.search.optuna import OptunaSearch
from compressor.testing.device import FormulaTimeModel
from compressor.training import FineTuner, task_of
from compressor.training.pace import LEAST_STEPS
from profiler.devices import device_name, open_target
from profiler.errors import BudgetError, DataError, EdgetimeError, ModelFileError, UsageError
from profiler.locks import OWNER_FILE

OPTIONS = Options(
    search=Schedule(epochs=2, batch_size=16, learning_rate=5e-3),
    final=Schedule(epochs=3, batch_size=16, learning_rate=5e-3),
    finalists=1,
)
SHORT = OptunaSearch(trials=3, proxy_trials=8)


HURRIED = Options(
    search=Schedule(epochs=1, batch_size=16, learning_rate=1e-6),
    final=Schedule(epochs=1, batch_size=16, learning_rate=1e-6),
)


class OneChannel(SearchMethod):
    """Leaves one channel of each group."""

    name = "one"

    def search(self, problem):
        problem.try_configuration(narrowest(problem.full))


def bars(rows, seed):
    """Pictures of 8x8 noisy pixels with a bar: lying, standing or slanting."""
    rng = np.random.default_rng(seed)
    y = np.arange(rows) % 3
    x = rng.normal(scale=0.3, size=(rows, 8, 8, 1)).astype("float32")
    for row, kind in enumerate(y):
        place = rng.integers(1, 7)
        if kind == 0:
            x[row, place] += 1
        elif kind == 1:
            x[row, :, place] += 1
        else:
            x[row, np.arange(8), (np.arange(8) + place) % 8] += 1
    return x, y.astype("int64")


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    """A trained network's file and its data."""
    folder = tmp_path_factory.mktemp("task")
    x, y = bars(240, 0)
    x_test, y_test = bars(60, 1)
    keras.utils.set_random_seed(0)
    source = keras.Input((8, 8, 1))
    h = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(12, 3, padding="same", name="first")(source)))
    h = layers.MaxPooling2D()(h)
    h = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(20, 3, padding="same", name="second")(h)))
    h = layers.GlobalMaxPooling2D()(h)
    model = keras.Model(source, layers.Dense(3, activation="softmax", name="head")(h), name="bars")
    data = Data(x=x, y=y, x_test=x_test, y_test=y_test)
    split = data.with_validation(0.2, 0)
    FineTuner(task_of(model, split)).fit(
        model, Schedule(epochs=6, batch_size=16, learning_rate=0.01, alpha=0.0)
    )
    model.save(folder / "bars.keras")
    return folder / "bars.keras", data


def run(task, out, **changes):
    path, data = task
    asked = {"options": OPTIONS, "method": SHORT, "seeds": 2, "points": 1, "measure": False, **changes}
    return compress(path, asked.pop("data", data), asked.pop("time_model", FormulaTimeModel()), out, **asked)


def original_ms(task):
    from compressor.export import to_tflite_bytes
    from profiler.tflite import read_network

    return FormulaTimeModel().predict(read_network(to_tflite_bytes(str(task[0])))).predicted_ms


@pytest.fixture(scope="module")
def finished(task, tmp_path_factory):
    """A finished run with a budget of 45%, measured on this machine."""
    out = tmp_path_factory.mktemp("finished") / "out"
    with open_target("local") as here, pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            reporting, "measure_in_turns", partial(reporting.measure_in_turns, rounds=2, seconds=0.05)
        )
        model = FormulaTimeModel(device_name(here.hello()))
        notes = []
        result = run(
            task, out, time_model=model, budget_ms=0.45 * original_ms(task), measure=True, points=3,
            progress=lambda done, note: notes.append(done),
        )  # fmt: skip
    return result, notes


def test_the_result_is_within_the_budget_and_says_so(task, finished):
    result, _ = finished
    assert result.met
    assert result.after.predicted_ms <= result.budget_ms
    assert result.before.predicted_ms == pytest.approx(original_ms(task))
    assert result.speedup_predicted > 2
    assert result.after.parameters < result.before.parameters
    assert result.after.macs < result.before.macs
    assert result.after.file_bytes < result.before.file_bytes
    assert {w.layer: w.before for w in result.widths} == {"first": 12, "second": 20, "head": 3}
    assert any(w.after < w.before for w in result.widths)
    assert next(w.after for w in result.widths if w.layer == "head") == 3
    assert len(result.after.scores) == result.seeds == 2
    assert result.after.score_spread is not None
    assert len(result.trials) == 3


def test_the_files_are_what_the_result_says(task, finished):
    result, _ = finished
    _, data = task
    runner = TfliteRunner(f"{result.folder}/{result.after.tflite}")
    outputs = runner.predict(data.x_test)
    assert float(np.mean(outputs.argmax(axis=1) == data.y_test)) == pytest.approx(result.after.score)
    model = keras.saving.load_model(f"{result.folder}/{result.after.keras}")
    assert model.count_params() == result.after.parameters
    np.testing.assert_allclose(model.predict(data.x_test, verbose=0), outputs, atol=1e-4)
    before = TfliteRunner(f"{result.folder}/{result.before.tflite}").predict(data.x_test)
    assert float(np.mean(before.argmax(axis=1) == data.y_test)) == pytest.approx(result.before.score)


def test_both_networks_were_measured(finished):
    result, _ = finished
    assert result.before.measured_ms > 0
    assert result.after.measured_p90_ms >= result.after.measured_ms > 0
    assert result.speedup_measured == pytest.approx(result.before.measured_ms / result.after.measured_ms)
    assert result.speedup_low <= result.speedup_high


def test_the_result_is_read_back_as_it_was(finished):
    result, _ = finished
    assert CompressionResult.load(result.folder) == result
    value = json.loads(Path(result.folder, "result.json").read_text())
    assert value["speedup_predicted"] == pytest.approx(result.speedup_predicted)
    table = result.rows()
    assert [row["what"] for row in table][:3] == ["accuracy (test)", "measured", "predicted"]
    assert all({"what", "before", "after", "change"} <= set(row) for row in table)


def test_it_says_what_the_time_was_spent_on(finished):
    result, _ = finished
    phases = result.effort["phases"]
    assert phases["fine-tuning"]["count"] >= 1
    assert phases["finalists"]["steps"] > 0
    assert phases["searching"]["seconds"] >= phases["fine-tuning"]["seconds"]
    assert result.effort["summary"].startswith("searching ")


def test_points_lie_along_the_front(task, finished):
    result, _ = finished
    folder = Path(result.folder)
    assert 1 < len(result.points) <= 3
    assert sum(point.chosen for point in result.points) == 1
    times = [point.measured_ms for point in result.points]
    assert times == sorted(times)
    predicted = sorted(point.predicted_ms for point in result.points)
    assert all(later > 1.05 * earlier for earlier, later in pairwise(predicted))
    _, data = task
    for point in result.points:
        assert keras.saving.load_model(folder / point.keras).count_params() == point.parameters
        outputs = TfliteRunner(folder / point.tflite).predict(data.x_test)
        right = float(np.mean(outputs.argmax(axis=1) == data.y_test))
        assert right == pytest.approx(point.score) or point.seeds > 1
        assert point.size_bytes == (folder / point.tflite).stat().st_size
        assert set(point.widths) == {"first", "second"}
    chosen = next(point for point in result.points if point.chosen)
    assert chosen.score == pytest.approx(result.after.mean_score)
    assert (folder / chosen.tflite).read_bytes() == (folder / result.after.tflite).read_bytes()
    better = [
        other
        for other in result.points
        if other.time_ms <= chosen.time_ms and other.validation_score >= chosen.validation_score
    ]
    assert chosen.on_front or len(better) > 1 or result.before.measured_ms <= chosen.measured_ms
    assert len(list((folder / "points").iterdir())) == 3 * len(result.points)  # with its architecture


def test_what_layers_gave_back_adds_up(finished):
    result, _ = finished
    saved = sum(row.saved_ms for row in result.layers)
    assert saved == pytest.approx(result.before.predicted_ms - result.after.predicted_ms)
    assert [row.name for row in result.layers][-1] == "the call and memory traffic"
    rows = {row.name: row for row in result.layers}
    widths = {row.layer: row for row in result.widths}
    for name in ("first", "second"):
        assert rows[name].channels_before == widths[name].before
        assert rows[name].channels_after == widths[name].after
        assert f"{widths[name].before} -> {widths[name].after}" in rows[name].reason
    assert any(row.measured_before_ms is not None for row in result.layers)


def test_progress_goes_from_nothing_to_all(finished):
    _, progress = finished
    assert progress[0] == 0.0
    assert progress[-1] == 1.0
    assert progress == sorted(progress)


def test_a_finished_run_is_not_done_again(task, finished, monkeypatch):
    result, _ = finished

    def never(*args, **options):
        raise AssertionError("trained again")

    monkeypatch.setattr(preparation.FineTuner, "fit", never)
    with pytest.raises(UsageError, match="go on with it by --resume"):
        run(task, result.folder, budget_ms=result.budget_ms)
    again = run(task, result.folder, budget_ms=result.budget_ms, resume=True)
    assert again.widths == result.widths
    assert again.after.scores == result.after.scores
    with pytest.raises(UsageError, match="begun with another seed"):
        run(task, result.folder, budget_ms=result.budget_ms, resume=True, seed=5)


def test_an_interrupted_run_goes_on_where_it_stopped(task, tmp_path, monkeypatch):
    fit, calls = preparation.FineTuner.fit, []

    def stopping(self, *args, **options):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(1)
        return fit(self, *args, **options)

    budget = 0.5 * original_ms(task)
    with monkeypatch.context() as patch:
        patch.setattr(preparation.FineTuner, "fit", stopping)
        with pytest.raises(KeyboardInterrupt):
            run(task, tmp_path, budget_ms=budget)
    assert len((tmp_path / "trials.jsonl").read_text().splitlines()) == 2
    kept = keras.saving.load_model(tmp_path / "best_so_far.keras")
    assert kept.count_params() < keras.saving.load_model(task[0]).count_params()
    calls.clear()
    monkeypatch.setattr(preparation.FineTuner, "fit", lambda *a, **o: calls.append(1) or fit(*a, **o))
    result = run(task, tmp_path, budget_ms=budget, resume=True)
    assert len(calls) == 1 + 2  # the third trial, and two seeds of the winner
    assert len(result.trials) == 3


class Halves(SearchMethod):
    """Tries two networks: of half and of three quarters of the channels."""

    name = "halves"

    def search(self, problem):
        for share in (0.5, 0.75):
            problem.try_configuration(scaled(problem.full, share))


def final_training(folder):
    """What each fine-tuning in full reached, by the name of its network."""
    rows = [json.loads(line) for line in (folder / "seeds.jsonl").read_text().splitlines()]
    return {row["seed"]: row["outcome"] for row in rows}


LEARNED = Options(
    search=Schedule(epochs=4, batch_size=16, learning_rate=5e-3), final=HURRIED.final, finalists=2
)


def search_scores(folder):
    """What each candidate scored in the search, by its widths."""
    trials = [json.loads(line) for line in (folder / "trials.jsonl").read_text().splitlines()]
    return {
        "-".join(str(width) for width in trial["configuration"]["widths"].values()): trial["score"]
        for trial in trials
    }


def test_full_training_that_teaches_nothing_hands_over_what_the_search_had(task, tmp_path):
    budget = 0.9 * original_ms(task)
    run(task, tmp_path, budget_ms=budget, method=Halves(), points=3, options=LEARNED)
    searched = search_scores(tmp_path)
    seeds = final_training(tmp_path)
    reached = {key: outcome["score"] for key, outcome in seeds.items() if key.split("_")[0] in searched}
    assert {key.split("_")[0] for key in reached} == set(searched)
    for key, score in reached.items():
        assert score >= searched[key.split("_")[0]]


def test_where_there_is_hardly_any_time_training_is_cut_and_the_result_is_valid_and_says_so(task, tmp_path):
    """What brings the rows sleeps, and not even one candidate and one finalist are done in time."""
    warned = []
    slow = replace(task[1], augment=lambda rows: time.sleep(0.02) or rows)
    result = run(
        task, tmp_path, data=slow, budget_ms=0.9 * original_ms(task), method=Halves(), minutes=1e-9, seeds=3,
        points=3, warn=warned.append, options=replace(OPTIONS, search=replace(OPTIONS.search, epochs=50)),
    )  # fmt: skip
    assert result.met
    assert len(result.trials) == len(result.points) == result.seeds == 1
    (outcome,) = final_training(tmp_path).values()
    assert outcome["steps"] == result.points[0].steps == LEAST_STEPS
    assert result.after.validation_score >= max(search_scores(tmp_path).values())
    assert (result.minutes, result.overrun_minutes > 0) == (1e-9, True)
    assert len(warned) == 1
    assert re.fullmatch(
        r"--minutes 1e-09 is short: candidates are trained for \d+% of their schedule\.", warned[0]
    )
    cut = r"--minutes 1e-09 was short: .* candidates for \d+% and finalists for \d+% of the schedule; give more, .*\."
    assert sum(bool(re.fullmatch(cut, note)) for note in result.notes) == 1
    assert any(re.match(r"It took .* longer than --minutes .* allows", note) for note in result.notes)
    assert CompressionResult.load(tmp_path) == result


@pytest.mark.parametrize(("before_s", "end_s"), [(10.0, 540.0), (200.0, 460.0), (500.0, 420.0)])
def test_time_is_kept_for_what_comes_after_training(monkeypatch, before_s, end_s):
    now = [0.0]
    monkeypatch.setattr(pipeline.time, "monotonic", lambda: now[0])
    limit = pipeline.TimeLimit(0.0, 10.0, pytest.fail)
    now[0] = before_s
    limit.prepared()
    assert limit.training_end() == pytest.approx(end_s)
    assert limit.notes(1.0, 1.0) == ()


def test_without_a_time_limit_nothing_is_said_of_one(task, tmp_path):
    warned = []
    result = run(
        task, tmp_path, budget_ms=0.9 * original_ms(task), method=Halves(), seeds=1, warn=warned.append
    )
    assert (result.minutes, result.overrun_minutes, warned) == (None, 0.0, [])


def test_what_an_earlier_run_tried_is_gone_on_with_where_no_time_is_left(task, tmp_path):
    asked = {"budget_ms": 0.9 * original_ms(task), "method": Halves(), "seeds": 1}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "_train", lambda *rest: pytest.fail("stopped"))
        with pytest.raises(pytest.fail.Exception):
            run(task, tmp_path, **asked)
    tried = search_scores(tmp_path)
    result = run(task, tmp_path, **asked, minutes=1e-9, resume=True)
    assert search_scores(tmp_path) == tried
    assert result.met


def test_training_goes_on_from_the_original_where_the_network_of_the_search_cannot_be_read(
    task, tmp_path, monkeypatch
):
    keep = search_part.keep_trained

    def spoiled(folder, *rest):
        keep(folder, *rest)
        for path in (folder / trained.FOLDER).iterdir():
            path.write_bytes(b"no network")

    monkeypatch.setattr(search_part, "keep_trained", spoiled)
    assert run(task, tmp_path, budget_ms=0.9 * original_ms(task), method=Halves(), seeds=1).met


@pytest.mark.parametrize("searching", [False, True])
def test_a_folder_in_use_is_refused_and_left_alone(task, tmp_path, monkeypatch, searching):
    """Whether the other run has begun just now, or has tried something already."""
    out, told = tmp_path / "out", []

    def second():
        with pytest.raises(EdgetimeError) as refused:
            run(task, out, budget_ms=0.9 * original_ms(task), method=Halves(), seeds=1, resume=True)
        told.append(str(refused.value))
        assert refused.value.exit_code == 1

    def preparing(*args, **options):
        with monkeypatch.context() as patch:
            patch.setattr(pipeline, "prepare", prepare)
            second()
        return prepare(*args, **options)

    class Long(Halves):
        def search(self, problem):
            super().search(problem)
            second()

    prepare = pipeline.prepare
    if not searching:
        monkeypatch.setattr(pipeline, "prepare", preparing)
    result = run(
        task,
        out,
        budget_ms=0.9 * original_ms(task),
        method=Long() if searching else Halves(),
        seeds=1,
    )
    assert result.met
    assert told[0].startswith(f"{out} is in use by process {os.getpid()} on {platform.node()} since ")
    assert told[0].endswith("name another folder by -o, wait until that process has ended, or stop it.")
    assert len((out / "trials.jsonl").read_text().splitlines()) == 2
    assert not (out / OWNER_FILE).exists()


def test_a_limit_on_the_accuracy_by_one_multiplier(task, tmp_path):
    result = run(task, tmp_path, max_accuracy_drop=30.0, method="uniform", seeds=1)
    assert result.met
    assert result.method == "uniform"
    assert result.after.validation_score >= 0.6
    shares = [w.after / w.before for w in result.widths if w.group]
    assert max(shares) - min(shares) < 0.15
    assert result.after.predicted_ms < result.before.predicted_ms


def test_an_int8_result_beside_the_quantised_original(task, tmp_path):
    result = run(task, tmp_path, budget_ms=0.35 * original_ms(task), quantize="int8", seeds=1)
    assert result.quantized is not None
    assert result.quantized.file_bytes < result.before.file_bytes
    assert result.after.predicted_ms <= result.budget_ms
    assert result.after.quantize == "int8"
    types = {
        d["dtype"].__name__
        for d in TfliteRunner(tmp_path / result.after.tflite)._interpreter.get_tensor_details()
    }
    assert "int8" in types
    assert "int8" in result.rows()[0]


class SlowIntegers(FormulaTimeModel):
    """A device that takes three times as long for integers."""

    def predict_layers_ms(self, layers, setting=None):
        slow = [any(tensor.dtype == "int8" for tensor in layer.inputs) for layer in layers]
        return super().predict_layers_ms(layers) * np.where(slow, 3.0, 1.0)


KEEP_FLOAT32 = r"eep float32 here: int8 takes [\d.]+ times as long on this device"


def test_int8_that_is_slower_than_the_original_is_no_success_where_time_was_asked_for(task, tmp_path):
    asked = {"quantize": "int8", "time_model": SlowIntegers(), "seeds": 1, "method": "uniform"}
    words = r"no faster than the original: as int8 it takes .* \(predicted\); k" + KEEP_FLOAT32
    with pytest.raises(BudgetError, match=words + r"; it is saved in .* as closest\.tflite\."):
        run(task, tmp_path, budget_ms=1.5 * original_ms(task), **asked)
    result = CompressionResult.load(tmp_path)
    assert not result.met
    assert not list(tmp_path.glob("compressed.*"))
    assert any(re.match("K" + KEEP_FLOAT32, note) for note in result.notes)
    (change,) = [row["change"] for row in result.rows() if row["what"] == "predicted"]
    assert re.fullmatch(r"no faster \([\d.]+x slower\)", change)


def test_int8_that_is_slower_is_said_to_be_where_it_was_asked_for_its_size(task, tmp_path):
    result = run(
        task, tmp_path, max_size_kb=6.5, quantize="int8", time_model=SlowIntegers(), seeds=1, method="uniform"
    )
    assert result.met
    assert any(re.match("K" + KEEP_FLOAT32, note) for note in result.notes)
    assert not any("x faster" in row["change"] for row in result.rows())


def test_a_network_that_is_measured_to_be_slower_is_no_success(task, tmp_path, monkeypatch):
    def slow(files, target, **rest):
        times = {name: [2.0 if name == "original" else 3.0] for name in files}
        return Turns(times, times)

    monkeypatch.setattr(reporting, "measure_in_turns", slow)
    with open_target("local") as here:
        model = FormulaTimeModel(device_name(here.hello()))
    asked = {"budget_ms": 0.5 * original_ms(task), "method": "uniform", "seeds": 1, "time_model": model}
    words = r"no faster than the original: it takes 3 ms, the original 2 ms \(measured\)"
    with pytest.raises(BudgetError, match=words):
        run(task, tmp_path, **asked, measure=True)
    assert not CompressionResult.load(tmp_path).met
    # Once more, on a better day: the name of a result takes the place of the other.
    monkeypatch.setattr(
        reporting,
        "measure_in_turns",
        lambda files, target, **rest: Turns(
            dict(zip(files, ([2.0], [1.0]), strict=True)), dict(zip(files, ([2.0], [1.0]), strict=True))
        ),
    )
    assert run(task, tmp_path, **asked, measure=True, resume=True).met
    assert not list(tmp_path.glob("closest.*"))
    assert len(list(tmp_path.glob("compressed.*"))) == 2


def test_a_file_above_the_limit_on_its_size_is_no_success(task, tmp_path, monkeypatch):
    write = reporting.write_files

    def longer(*arguments):
        made = write(*arguments)
        with made.tflite[reporting.WINNER].open("ab") as file:
            file.write(bytes(5000))
        return made

    monkeypatch.setattr(reporting, "write_files", longer)
    with pytest.raises(
        BudgetError, match=r"The file takes .* kB, above the limit of 9 kB .* will do\); it is saved"
    ):
        run(task, tmp_path, max_size_kb=9.0, seeds=1, method="uniform")
    assert {path.name for path in tmp_path.glob("c*.*")} >= {"closest.tflite", "closest.keras"}
    assert not list(tmp_path.glob("compressed.*"))


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        (
            {"budget_ms": 1e-5},
            r"within 1e-05 ms can .* the fastest takes .* times that\), the network as it is .* ms",
        ),
        (
            {"max_size_kb": 0.1, "max_accuracy_drop": 5.0},
            r"within 0.1 kB can .* the smallest takes .* kB \(pred",
        ),
        (
            {"max_memory_kb": 0.01, "budget_ms": 0.002},
            r"within 0.01 kB of memory can .* the one of least memory",
        ),
    ],
)
def test_a_limit_below_all_that_can_be_reached_is_told_before_any_training(
    task, tmp_path, monkeypatch, limit, words
):
    monkeypatch.setattr(preparation.FineTuner, "fit", lambda *a, **o: pytest.fail("trained"))
    with pytest.raises(BudgetError, match=words):
        run(task, tmp_path / "out", **limit)
    assert not (tmp_path / "out").exists()


def test_a_goal_that_was_missed_leaves_the_nearest_network(task, tmp_path):
    class TooWide(SearchMethod):
        name = "wide"

        def search(self, problem):
            less = {name: width - 1 for name, width in problem.full.widths.items()}
            problem.try_configuration(problem.full.with_widths(less))

    budget = 0.5 * original_ms(task)
    with pytest.raises(
        BudgetError, match=r"No network within .* was found: the nearest takes .* \(predicted, .* over\)"
    ):
        run(task, tmp_path, budget_ms=budget, seeds=1, method=TooWide(), options=HURRIED)
    result = CompressionResult.load(tmp_path)
    assert not result.met
    assert not list(tmp_path.glob("compressed.*"))
    assert {path.name for path in tmp_path.glob("closest.*")} == {result.after.keras, result.after.tflite}


def test_a_budget_of_multiplications_is_not_taken_for_one_of_time(task, tmp_path):
    budget = 0.5 * original_ms(task)
    result = run(task, tmp_path, budget_ms=budget, seeds=1, method="uniform", steer="flops", options=HURRIED)
    assert result.met
    assert result.after.predicted_ms > budget
    assert any(f"predicted to take {result.after.predicted_ms:.4g} ms" in note for note in result.notes)


def test_limits_of_all_kinds_at_once(task, tmp_path):
    whole = run(
        task, tmp_path / "a", max_accuracy_drop=40.0, budget_ms=0.8 * original_ms(task), max_size_kb=10.0
    )
    assert whole.met
    assert whole.after.predicted_ms <= whole.budget_ms
    assert whole.after.file_bytes <= 10_000
    assert whole.limits == {"max_accuracy_drop": 40.0, "budget_ms": whole.budget_ms, "max_size_kb": 10.0}


def test_an_accuracy_that_cannot_be_kept_leaves_the_nearest_network(task, tmp_path):
    asked = {"max_accuracy_drop": 1.0, "budget_ms": 0.25 * original_ms(task)}
    words = r"No faster network within 1 points and .* ms was found: the nearest loses"
    with pytest.raises(BudgetError, match=words):
        run(task, tmp_path, **asked, seeds=1, method=OneChannel(), options=HURRIED)
    assert not CompressionResult.load(tmp_path).met
    assert not list(tmp_path.glob("compressed.*"))


def test_an_accuracy_that_the_search_never_kept_may_be_kept_by_a_wider_network(task, tmp_path):
    result = run(task, tmp_path, max_accuracy_drop=1.0, seeds=1, method=OneChannel(), options=HURRIED)
    assert result.met
    assert result.after.predicted_ms < result.before.predicted_ms
    assert [set(trial["configuration"]["widths"].values()) for trial in result.trials] == [{1}]


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({}, UsageError, "Give what the network may take .* or how much accuracy it may lose"),
        ({"minimize": "size"}, UsageError, "Give what the network may take"),
        ({"minimize": "size", "budget_ms": 1.0}, UsageError, "--minimize size needs an accuracy to keep"),
        (
            {"minimize": "luck", "max_accuracy_drop": 1.0},
            UsageError,
            "one of time, size, memory, energy, not 'luck'",
        ),
        ({"max_size_kb": -1.0}, UsageError, "--max-size-kb must be above 0, not -1"),
        ({"max_memory_kb": 0.0}, UsageError, "--max-memory-kb must be above 0"),
        ({"max_energy_mj": 1.0}, UsageError, "time model of a formula knows no energy"),
        (
            {"max_size_kb": 1000.0},
            UsageError,
            r"takes .* kB already \(predicted\), within the limit of 1000 kB",
        ),
        ({"points": 0, "budget_ms": 1.0}, UsageError, "--points is 1 to 100, not 0"),
        ({"budget_ms": 0.0}, UsageError, "--budget-ms must be above 0, not 0"),
        ({"budget_ms": float("nan")}, UsageError, "--budget-ms must be above 0"),
        ({"max_accuracy_drop": -1.0}, UsageError, "0 to 100 points"),
        ({"budget_ms": 1.0, "quantize": "int3"}, UsageError, "choose none, int8 or auto"),
        ({"budget_ms": 1.0, "seeds": 0}, UsageError, "--seeds is 1 to 100"),
        ({"budget_ms": 1.0, "minutes": -1.0}, UsageError, "--minutes must be above 0"),
        ({"budget_ms": 1.0, "method": "magic"}, UsageError, "no method 'magic'"),
        ({"budget_ms": 1.0, "importance": "luck"}, UsageError, "no importance 'luck'"),
        (
            {"budget_ms": 100.0},
            UsageError,
            r"takes .* ms already \(predicted\), within the budget of 100 ms: give a smaller",
        ),
    ],
)
def test_what_cannot_be_is_one_sentence(task, tmp_path, changes, error, words):
    with pytest.raises(error, match=words):
        run(task, tmp_path / "out", **changes)
    assert not (tmp_path / "out" / "result.json").exists()


def test_data_that_does_not_fit_is_named(task, tmp_path):
    path, data = task
    x, y = data.x, data.y
    with pytest.raises(DataError, match="class 7"):
        run((path, Data(x=x, y=np.where(y == 1, 7, y))), tmp_path, budget_ms=0.001)
    with pytest.raises(DataError, match="rows of x have shape"):
        run((path, Data(x=x[:, :4], y=y)), tmp_path, budget_ms=0.001)
    with pytest.raises(DataError, match="is nan"):
        run((path, Data(x=np.where(x == x.max(), np.nan, x), y=y)), tmp_path, budget_ms=0.001)
    with pytest.raises(ModelFileError, match="does not exist"):
        run((tmp_path / "none.keras", data), tmp_path, budget_ms=0.001)
    assert list(tmp_path.iterdir()) == []


def test_a_network_without_anything_to_cut_is_named(task, tmp_path):
    source = keras.Input((8, 8, 1))
    x = layers.Dense(3, activation="softmax")(layers.Flatten()(source))
    keras.Model(source, x).save(tmp_path / "flat.keras")
    with pytest.raises(UsageError, match=r"flat\.keras has no channels that can be removed"):
        run((tmp_path / "flat.keras", task[1]), tmp_path / "out", budget_ms=0.001)
