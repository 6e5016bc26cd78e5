"""Searches that real processes take part in: as workers, by their folder and by the URL of their storage."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import optuna
import pytest
from keras import layers
from made_up_device import layer_ms
from postgres_server import postgres_server

from compressor import Data, Options, Schedule, compress
from compressor.pipeline.prepare import Evaluator
from compressor.pipeline.result import CompressionResult
from compressor.pipeline.shared import Sharing, join
from compressor.pipeline.shared.joining import main
from compressor.pipeline.shared.sharing import FILES, FORMAT, STORAGE
from compressor.search import Goal, rows_of_helpers
from compressor.search.optuna import OptunaSearch
from compressor.search.optuna.storage import StorageError, open_storage
from profiler import operators
from profiler.errors import UsageError
from profiler.probes import Probe
from timemodel.fitting import fit_setting
from timemodel.model import SettingModel, TimeModel

ROOT = Path(__file__).resolve().parents[4]
BRIEF = Schedule(epochs=1, batch_size=16, learning_rate=5e-3)
OPTIONS = Options(search=BRIEF, final=BRIEF, finalists=1)
NAMES = {"model": "net.keras", "data": "data.npz", "time_model": "pc.timemodel.json"}


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    """A folder with a network, its data and a device's time model; and others of each in ``other``."""
    folder = tmp_path_factory.mktemp("task")
    (folder / "other").mkdir()
    measured = [operators.conv_2d(8, 8, c, w) for c in (1, 4, 12) for w in range(2, 34, 2)]
    measured += [operators.fully_connected(c, 2) for c in range(1, 25)]
    models, terms = fit_setting([(Probe("layer", (layer,)), layer_ms(layer)) for layer in measured])
    setting = {"runtime": "made-up", "threads": 1}
    rng = np.random.default_rng(0)
    for place, device in ((folder, "paper"), (folder / "other", "other paper")):
        model = SettingModel("made-up", setting, {"cpu": device}, models, terms)
        TimeModel(device, {"made-up": model}).save(place / NAMES["time_model"])
        y = np.arange(96) % 2
        x = rng.normal(scale=0.5, size=(96, 8, 8, 1)).astype("float32")
        x[y == 0, :, :4] += 1
        np.savez(place / NAMES["data"], x=x, y=y)
        source = keras.Input((8, 8, 1))
        # As in a trained network: biases that are all 0 take no room in a file.
        bias = keras.initializers.RandomNormal(stddev=0.01, seed=0)
        h = layers.Conv2D(12, 3, padding="same", bias_initializer=bias, name="first")(source)
        h = layers.Conv2D(24, 3, padding="same", bias_initializer=bias, name="second")(layers.ReLU()(h))
        h = layers.ReLU()(h)
        h = layers.GlobalMaxPooling2D()(h)
        head = layers.Dense(2, activation="softmax", bias_initializer=bias, name="head")
        keras.Model(source, head(h)).save(place / NAMES["model"])
    return folder


def files(folder):
    return {name: folder / file for name, file in NAMES.items()}


def run(task, out, **changes):
    """A short search under a limit on the size, which does not depend on the made-up device."""
    asked = {"max_size_kb": 9.0, "options": OPTIONS, "seeds": 1, "points": 1, "measure": False, "trials": 4}
    asked["method"] = "optuna"
    asked |= {**files(task), **changes}
    model, data, time_model = (asked.pop(name) for name in NAMES)
    return compress(model, data, time_model, out, **asked)


def trials_of(folder, url=None):
    """The trials of a search, as its study has them."""
    about = json.loads((folder / "study.json").read_text())
    storage = open_storage(url or about["storage"], None if about["storage"] else folder)
    try:
        return optuna.load_study(study_name=about["study"], storage=storage).get_trials(deepcopy=True)
    finally:
        storage.remove_session()
        with contextlib.suppress(AttributeError):
            storage.engine.dispose()


def finished(folder, url=None):
    """How many trials each process has finished, by its number."""
    complete = [one for one in trials_of(folder, url) if one.state.name == "COMPLETE"]
    done = [int(one.user_attrs["process"].rpartition(":")[2]) for one in complete]
    return {process: done.count(process) for process in done}


@contextlib.contextmanager
def slow_leader(folder, until):
    """Let the first candidate of the leading process, which is this one, end only when `until` holds."""
    judge = Evaluator.__call__
    limit = time.monotonic() + 300

    def judged(self, candidate):
        outcome = judge(self, candidate)
        while not until():
            assert time.monotonic() < limit, f"waited in vain; finished: {finished(folder)}"
            logs = [path.read_text().strip() for path in folder.glob("workers/*.log")]
            assert not any("edgetime:" in text or "Traceback" in text for text in logs), logs
            time.sleep(0.1)
        return outcome

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Evaluator, "__call__", judged)
        yield


def others(folder, url=None):
    return {process: count for process, count in finished(folder, url).items() if process != os.getpid()}


class Helper:
    """``edgetime compress --join`` in a process of its own, once it is started."""

    def __init__(self, folder, *arguments):
        self._folder, self._arguments = folder, [str(argument) for argument in arguments]
        self._process = None

    def start(self):
        """Begin, from another folder than the leader's."""
        if self._process is None:
            code = "from edgetime.cli import main; main()"
            path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
            self._process = subprocess.Popen(
                [sys.executable, "-c", code, "compress", "--join", *self._arguments, "--json"],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=self._folder.parent,
                env={**os.environ, "PYTHONPATH": path},
            )  # fmt: skip

    @property
    def number(self):
        assert self._process is not None
        assert self._process.poll() is None, self._process.communicate()
        return self._process.pid

    def outcome(self):
        """What it printed, once it has ended by itself: the JSON, and the progress."""
        out, errors = self._process.communicate(timeout=120)
        assert self._process.returncode == 0, errors
        return json.loads(out), errors

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.communicate()


def check_complete(folder, result, trials, url=None):
    """All that was to be tried was tried once, nothing is left at work, and everything was made of it."""
    assert result.met
    assert len(result.trials) == trials
    assert len({json.dumps(trial["configuration"], sort_keys=True) for trial in result.trials}) == trials
    assert len((folder / "trials.jsonl").read_text().splitlines()) == trials
    study = trials_of(folder, url)
    assert [one.state.name for one in study].count("COMPLETE") == trials
    assert not {"RUNNING", "WAITING"} & {one.state.name for one in study}
    assert CompressionResult.load(folder) == result
    for name in (result.after.keras, result.after.tflite, result.before.tflite):
        assert (folder / name).stat().st_size > 0
    kept = keras.saving.load_model(folder / result.after.keras)
    assert kept.count_params() == result.after.parameters < result.before.parameters


def test_workers_do_their_part_and_the_result_is_complete(ended):
    folder, result, numbers = ended
    check_complete(folder, result, 4)
    by = finished(folder)
    assert os.getpid() in by
    assert len(by) == 2
    assert not any(note.startswith("Worker") for note in result.notes)
    (worker,) = numbers
    assert worker in by
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)


@pytest.fixture(scope="module")
def ended(task, tmp_path_factory):
    """The folder and the result of a finished search in an SQLite file by two processes, and its workers."""
    folder = tmp_path_factory.mktemp("ended") / "out"
    url = f"sqlite:///{folder.parent / 'study.db'}"
    numbers = set()

    def seen():
        numbers.update(others(folder))
        return numbers

    with slow_leader(folder, seen):
        result = run(task, folder, workers=2, storage=url)
    return folder, result, numbers


def test_a_process_that_joins_by_the_folder_does_its_part(task, tmp_path, monkeypatch):
    folder = tmp_path / "out"
    monkeypatch.chdir(task)  # names that are relative there mean nothing where the other process runs
    with Helper(tmp_path, folder) as helper:

        def joined():
            helper.start()
            return others(folder)

        with slow_leader(folder, joined):
            result = run(Path(), folder, trials=3)
        told, _ = helper.outcome()
    check_complete(folder, result, 3)
    study = json.loads((folder / "study.json").read_text())["study"]
    assert told == {"study": study, "tried": 3 - finished(folder)[os.getpid()], "trials": 3}
    assert told["tried"] >= 1
    assert not (folder / "workers").exists()


@pytest.fixture(scope="module")
def server():
    with postgres_server() as running:
        yield running


@pytest.mark.slow
def test_who_joins_by_a_url_shares_a_database_whose_password_stays_secret(task, tmp_path, server):
    folder, url = tmp_path / "out", server.url.replace("edgetime@", "edgetime:sesame@")
    again = [
        task / NAMES["model"],
        "--data",
        task / NAMES["data"],
        "--time-model",
        task / NAMES["time_model"],
    ]
    with Helper(tmp_path, url, *again) as helper:

        def joined():
            helper.start()
            return others(folder, url)

        with slow_leader(folder, joined):
            result = run(task, folder, trials=3, storage=url)
        told, errors = helper.outcome()
    check_complete(folder, result, 3, url)
    assert told["tried"] == 3 - finished(folder, url)[os.getpid()] >= 1
    assert told["trials"] == 3
    written = [path for path in folder.rglob("*") if path.is_file()]
    assert {"study.json", "run.json", "result.json"} <= {path.name for path in written}
    assert [path for path in written if b"sesame" in path.read_bytes()] == []
    with pytest.raises(UsageError, match="is over"):
        join(folder, storage=url)
    with pytest.raises(UsageError, match=r"No search is going on in .*those that were are over") as over:
        join(url, **files(task))
    assert "sesame" not in errors + str(over.value)


def test_what_is_written_for_those_who_join_has_no_password(task, tmp_path):
    class NoWorkers:
        def __init__(self, folder, count, extra):
            given.append((count, dict(extra)))

        def __enter__(self):
            return self

        def __exit__(self, *error):
            return None

        def lost(self):
            return []

    given = []
    secret = "postgresql+psycopg://me:sesame@127.0.0.1:9/searches?password=simsim"
    request = dict.fromkeys([*FILES, "quantize", "setting", "importance", "seed", "steer", "options"])
    sharing = Sharing(secret, workers=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("compressor.pipeline.shared.sharing.Workers", NoWorkers)
        with sharing.searching(OptunaSearch(), tmp_path, files(task), request, Goal(budget_ms=1.0)) as shared:
            assert shared.storage == secret
    (written,) = tmp_path.iterdir()
    assert json.loads(written.read_text())["storage"] == "postgresql+psycopg://me@127.0.0.1:9/searches"
    assert not any(word in written.read_text() for word in ("sesame", "simsim"))
    # Workers get it where other users cannot read it.
    ((count, extra),) = given
    assert count == 2
    assert extra[STORAGE] == secret


@pytest.fixture(scope="module")
def begun(task, tmp_path_factory):
    """The folder of a search whose leading process was stopped in the middle of its first candidate."""
    folder = tmp_path_factory.mktemp("begun") / "out"

    def stopped(self, candidate):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
        patch.setattr(Evaluator, "__call__", stopped)
        run(task, folder, trials=2)
    return folder


def changed(begun, folder, change):
    """A copy of a search's folder in which ``study.json`` says something else."""
    shutil.copytree(begun, folder)
    about = json.loads((folder / "study.json").read_text())
    change(about)
    (folder / "study.json").write_text(json.dumps(about))
    return folder


@pytest.mark.parametrize(
    ("name", "words"),
    [("model", "the network"), ("data", "the data"), ("time_model", "the time model")],
)
def test_another_file_than_that_of_the_search_is_refused(task, begun, name, words):
    other = task / "other" / NAMES[name]
    with pytest.raises(UsageError) as told:
        join(begun, **{name: other})
    assert str(told.value) == (
        f"{other} is not {words} that the search in {begun} is about (its content differs): name the same file as "
        "there."
    )


def test_a_calibration_that_the_search_does_not_know_is_refused(task, begun):
    with pytest.raises(UsageError, match="is not the calibration data that the search"):
        join(begun, calibration=task / "data.npz")


def test_a_file_that_is_not_there_is_asked_for(task, begun, tmp_path):
    gone = changed(begun, tmp_path / "a", lambda about: about["files"].update(data="/nowhere/data.npz"))
    with pytest.raises(UsageError, match=r"/nowhere/data\.npz is not there: name where .* \(--data\)"):
        join(gone)
    with pytest.raises(UsageError, match=r"/mistyped\.npz is not there: check the name"):
        join(gone, data="/mistyped.npz")
    unnamed = changed(begun, tmp_path / "b", lambda about: about["files"].update(model=None))
    with pytest.raises(UsageError, match=r"does not say where its network is: name it \(NET\.keras\)"):
        join(unnamed)


def test_a_folder_without_a_search_is_refused(tmp_path):
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(UsageError, match=r"There is no search to join in .* \(study\.json is missing\)"):
            join(folder)


@pytest.mark.parametrize("other", [FORMAT - 1, FORMAT + 1])
def test_a_search_of_another_version_is_refused(begun, tmp_path, other):
    def change(about):
        about.update(format=other)
        del (
            about["prepare"]["groups"],
            about["prepare"]["max_accuracy_drop"],
        )  # as it was before these were there

    folder = changed(begun, tmp_path / "out", change)
    with pytest.raises(UsageError, match="begun by another version of edgetime"):
        join(folder)


def test_a_search_that_is_over_is_refused_at_once(task, ended, monkeypatch):
    folder, _, _ = ended
    monkeypatch.setattr(
        "compressor.pipeline.shared.joining.prepare", lambda *arguments: pytest.fail("prepared")
    )
    with pytest.raises(UsageError, match=f"The search in {folder} is over: there is nothing left to join"):
        join(folder)
    with pytest.raises(UsageError, match=r"No search is going on in sqlite:.* \(those that were are over\)"):
        join(json.loads((folder / "study.json").read_text())["storage"], **files(task))


def test_a_worker_that_comes_when_the_search_is_over_has_not_failed(ended, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("compressor.pipeline.shared.joining.end_with_parent", lambda: None)
    before = finished(ended[0])
    assert main(str(ended[0])) == 0
    assert finished(ended[0]) == before
    assert "edgetime:" not in capsys.readouterr().err
    assert main(str(tmp_path)) == 2
    assert capsys.readouterr().err.startswith("edgetime: There is no search to join in")


def test_by_a_url_files_must_be_named(task, ended, tmp_path):
    url = json.loads((ended[0] / "study.json").read_text())["storage"]
    with pytest.raises(UsageError, match=r"NET\.keras, --data, --time-model are missing"):
        join(url)
    with pytest.raises(UsageError, match="--time-model is missing"):
        join(url, model=task / NAMES["model"], data=task / NAMES["data"])
    with pytest.raises(UsageError, match=r"The data /mistyped\.npz is not there: check the name"):
        join(url, **{**files(task), "data": "/mistyped.npz"})
    with pytest.raises(UsageError, match=r"No search is going on in sqlite:[^(]*: begin one"):
        join(f"sqlite:///{tmp_path / 'empty.db'}", **files(task))


def test_a_search_that_measures_is_refused(begun, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "compressor.pipeline.shared.joining.prepare", lambda *arguments: pytest.fail("prepared")
    )
    folder = changed(begun, tmp_path / "out", lambda about: about["prepare"].update(steer="measured"))
    with pytest.raises(UsageError) as told:
        join(folder)
    assert str(told.value) == (
        f"The search in {folder} measures its candidates (--steer measured), which goes with one process: several "
        "that measure at once disturb each other."
    )


def test_another_storage_than_that_of_the_search_is_refused(task, begun, ended, tmp_path):
    url = f"sqlite:///{tmp_path / 'study.db'}"
    with pytest.raises(UsageError, match=f"The search in {begun} has no storage but that folder"):
        join(begun, storage=url)
    with pytest.raises(UsageError, match=r"has its study in sqlite:.*, not in sqlite:.*/study\.db: leave"):
        join(ended[0], storage=url)
    with pytest.raises(UsageError, match="--storage goes with the folder of a search, not with a URL"):
        join(url, storage=url, **files(task))
    assert not (tmp_path / "study.db").exists()


def test_the_password_that_a_folder_does_not_tell_is_named_or_in_the_environment(
    begun, tmp_path, monkeypatch
):
    bare, secret = "postgresql+psycopg://me@127.0.0.1:9/db", "postgresql+psycopg://me:sesame@127.0.0.1:9/db"
    folder = changed(begun, tmp_path / "out", lambda about: about.update(storage=bare))
    opened = []

    def unreachable(url, folder):
        opened.append(url)
        raise StorageError("It cannot be reached.")

    monkeypatch.setattr("compressor.search.optuna.storage.open_storage", unreachable)
    for given in ({}, {"storage": secret}, {STORAGE: secret}, {STORAGE: secret.replace("9/", "8/")}):
        monkeypatch.setenv(STORAGE, given.get(STORAGE, ""))
        with pytest.raises(StorageError):
            join(folder, storage=given.get("storage"))
    assert opened == [bare, secret, secret, bare]


@pytest.mark.parametrize("minutes", [0.0, -1.0, float("nan"), float("inf")])
def test_minutes_are_above_zero(begun, minutes):
    with pytest.raises(UsageError, match="--minutes must be above 0"):
        join(begun, minutes=minutes)


def test_a_candidate_that_there_was_no_time_for_is_left_to_the_others(begun, tmp_path, monkeypatch):
    folder = shutil.copytree(begun, tmp_path / "out")
    judge = Evaluator.__call__

    def late(self, candidate):
        self.deadline = time.monotonic()  # as if the time had ended in its first epoch
        return judge(self, candidate)

    monkeypatch.setattr(Evaluator, "__call__", late)
    joined = join(folder, minutes=5)
    assert (joined.tried, joined.trials) == (0, 0)
    assert not {"RUNNING", "COMPLETE"} & {one.state.name for one in trials_of(folder)}


def test_who_joins_a_stopped_search_does_what_is_left_and_it_goes_on(task, begun, tmp_path, monkeypatch):
    folder = shutil.copytree(begun, tmp_path / "out")
    told = []
    joined = join(folder, progress=lambda done, note: told.append(done))
    assert (joined.tried, joined.trials) == (2, 2)
    assert (told[0], told[-1]) == (0.0, 1.0)
    assert told == sorted(told)
    assert len(rows_of_helpers(folder)) == 2  # in a file of its own
    again = join(folder)
    assert (again.tried, again.trials) == (0, 2)
    monkeypatch.setattr(Evaluator, "__call__", lambda *arguments: pytest.fail("tried again"))
    result = run(task, folder, trials=2, resume=True)
    check_complete(folder, result, 2)


def test_rows_in_memory_are_searched_by_one_process(task, tmp_path):
    with np.load(task / NAMES["data"]) as rows:
        data = Data(x=rows["x"], y=rows["y"])
    with pytest.raises(UsageError, match="With workers the data must be a file that they can read"):
        run(task, tmp_path / "out", data=data, workers=2)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"workers": 0}, "--workers is 1 to 256, not 0"),
        ({"workers": 257}, "--workers is 1 to 256, not 257"),
        ({"trials": 0}, "--trials must be 1 or more, not 0"),
        (
            {"workers": 2, "trials": 3, "method": "uniform"},
            "--trials and --workers go with --method optuna, not",
        ),
        (
            {"workers": 2, "trials": None, "method": "uniform"},
            "--workers goes with --method optuna, not with un",
        ),
        ({"workers": 2, "steer": "measured"}, "--steer measured goes with one process"),
    ],
)
def test_what_cannot_be_shared_is_one_sentence(task, tmp_path, asked, words):
    with pytest.raises(UsageError, match=words):
        run(task, tmp_path / "out", **asked)
    assert not (tmp_path / "out").exists()
