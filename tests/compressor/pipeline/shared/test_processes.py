"""Searches that several processes share, with real processes that are really killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
from postgres_server import postgres_server

from compressor.search.optuna.storage import open_storage

TESTS = Path(__file__).resolve().parents[3]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)])}


@pytest.fixture(scope="module")
def server():
    with postgres_server() as running:
        yield running


@pytest.fixture
def url(request, tmp_path):
    """Where the study is; each test has a study of its own."""
    if request.param == "folder":
        return None
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'study.db'}"
    return request.getfixturevalue("server").url


class Search:
    """Processes of one search."""

    def __init__(self, folder, url, trials, seconds):
        self.folder, self.url = folder, url
        self.name = folder.name
        settings = {
            "folder": str(folder),
            "study": self.name,
            "url": url,
            "trials": trials,
            "seconds": seconds,
        }
        (folder / "settings.json").write_text(json.dumps(settings))

    def start(self, name):
        return subprocess.Popen(
            [sys.executable, "-m", "scale_worker", str(self.folder / "settings.json"), name],
            env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def hold(self, *names):
        """Let no candidate of these processes end: so what follows does not depend on who is fast."""
        for name in names:
            (self.folder / f"{name}.held").touch()

    def free(self, name):
        (self.folder / f"{name}.held").unlink()

    def said(self, file):
        path = self.folder / file
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def wait_for(self, what):
        until = time.monotonic() + 60
        while not what():
            assert time.monotonic() < until, f"waited in vain; begun: {self.said('begun.txt')}"
            time.sleep(0.02)

    def busy(self, name):
        """Whether a process is in the middle of a candidate."""
        begun = [line for line in self.said("begun.txt") if line[0] == name]
        return len(begun) > len([line for line in self.said("done.txt") if line[0] == name])

    def study(self):
        storage = open_storage(self.url, None if self.url else self.folder)
        return optuna.load_study(study_name=self.name, storage=storage)


def finish(process):
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return json.loads(out)


@pytest.mark.parametrize(
    "url", ["folder", pytest.param("sqlite", marks=pytest.mark.slow), "postgresql"], indirect=True
)
def test_a_killed_process_costs_nothing(tmp_path, url):
    search = Search(tmp_path, url, trials=7, seconds=0.1)
    search.hold("first", "second")
    first = search.start("first")
    search.wait_for(lambda: search.busy("first"))
    second = search.start("second")
    search.wait_for(lambda: search.busy("second"))
    second.send_signal(signal.SIGKILL)
    second.communicate()
    (lost,) = [line[2] for line in search.said("begun.txt") if line[0] == "second"]
    third = search.start("third")
    # The first one's candidate goes on until the lost one has come back.
    search.wait_for(lambda: [line[2] for line in search.said("begun.txt")].count(lost) == 2)
    search.free("first")
    trials = finish(first)
    finish(third)
    assert second.returncode == -signal.SIGKILL
    assert len(trials) == 7, (search.said("begun.txt"), search.said("done.txt"))
    widths = ["-".join(map(str, trial["configuration"]["widths"].values())) for trial in trials]
    assert len(set(widths)) == 7
    assert lost in widths
    done = search.said("done.txt")
    assert len([line for line in done if line[2] == lost]) == 1
    trials = search.study().trials
    states = [trial.state.name for trial in trials]
    complete = [trial.user_attrs["widths"] for trial in trials if trial.state.name == "COMPLETE"]
    assert len({json.dumps(widths, sort_keys=True) for widths in complete}) == 7
    assert "RUNNING" not in states
    assert len(search.said("begun.txt")) == 8  # the lost one twice, and no other


@pytest.mark.parametrize("url", ["folder", "postgresql"], indirect=True)
def test_the_first_process_is_killed_and_goes_on(tmp_path, url):
    search = Search(tmp_path, url, trials=5, seconds=0.15)
    first = search.start("first")
    search.wait_for(lambda: len(search.said("done.txt")) >= 2 and search.busy("first"))
    first.send_signal(signal.SIGKILL)
    first.communicate()
    before = [line[2] for line in search.said("done.txt")]
    trials = finish(search.start("first"))
    assert len(trials) == 5
    again = [line[2] for line in search.said("begun.txt")[len(before) + 1 :]]
    # What was finished is not tried again, but for one that was killed between its end and the report of it.
    assert len(set(again) & set(before)) <= 1


def test_stopping_a_process_gives_its_trial_back(tmp_path):
    search = Search(tmp_path, None, trials=4, seconds=0.5)
    first = search.start("first")
    search.wait_for(lambda: search.busy("first"))
    lost = search.said("begun.txt")[-1][2]
    first.terminate()
    first.communicate(timeout=60)
    assert first.returncode == 130
    states = [trial.state.name for trial in search.study().trials]
    assert states[-1] == "WAITING"
    assert "RUNNING" not in states
    trials = finish(search.start("first"))
    assert len(trials) == 4
    assert lost in ["-".join(map(str, trial["configuration"]["widths"].values())) for trial in trials]


@pytest.mark.slow
def test_a_storage_that_goes_away_is_reported_and_nothing_is_lost(tmp_path, server):
    secret = server.url.replace("edgetime@", "edgetime:sesame@")
    search = Search(tmp_path, secret, trials=5, seconds=0.3)
    first = search.start("first")
    search.wait_for(lambda: len(search.said("done.txt")) >= 2 and search.busy("first"))
    server.stop()
    _, errors = first.communicate(timeout=120)
    assert first.returncode == 1
    reported = [line for line in errors.splitlines() if line.startswith("edgetime: ")]
    assert len(reported) == 1
    assert "Traceback" not in errors
    assert "went away" in reported[0]
    assert f"127.0.0.1:{server.port}" in reported[0]
    assert "--resume" in reported[0]
    assert "sesame" not in errors
    server.start()
    before = {line[2] for line in search.said("done.txt")[:-1]}
    assert len(finish(search.start("first"))) == 5
    begun = [line[2] for line in search.said("begun.txt")]
    assert all(begun.count(widths) == 1 for widths in before)
