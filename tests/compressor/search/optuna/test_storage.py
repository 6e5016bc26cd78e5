import contextlib
import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import optuna
import pytest
from optuna.storages._rdb.models import TrialModel

from compressor.search.optuna.storage import (
    StorageError,
    checked_url,
    open_storage,
    reporting,
    shown_url,
    with_password,
    without_password,
)
from profiler.errors import UsageError


def test_urls_get_the_driver_that_comes_along_and_whole_paths():
    assert checked_url("postgres://me@host/db") == "postgresql+psycopg://me@host/db"
    assert checked_url("postgresql://me:pw@host:99/db") == "postgresql+psycopg://me:pw@host:99/db"
    assert checked_url("sqlite:///a.db") == f"sqlite:///{os.path.abspath('a.db')}"


@pytest.mark.parametrize(
    "url", ["study.db", "mysql://me:secret@host/db", "redis://:secret@host", "nonsense://", ""]
)
def test_other_storages_are_refused_without_printing_passwords(url):
    with pytest.raises(UsageError, match="sqlite:///FILE or postgresql://USER@HOST/DATABASE") as refused:
        checked_url(url)
    assert "secret" not in str(refused.value)


def test_sqlite_needs_a_file():
    for url in ("sqlite://", "sqlite:///:memory:"):
        with pytest.raises(UsageError, match="the name of a file"):
            checked_url(url)


def test_passwords_are_taken_out_and_put_back():
    url = "postgresql+psycopg://me:s%40cret@host/db?password=other&sslmode=require"
    assert without_password(url) == "postgresql+psycopg://me@host/db?sslmode=require"
    assert with_password(without_password(url), url) == url
    assert (
        with_password("postgresql+psycopg://me@elsewhere/db", url) == "postgresql+psycopg://me@elsewhere/db"
    )
    assert with_password("sqlite:////a", None) == "sqlite:////a"
    assert "cret" not in shown_url("not a url: //me:cret@host")


def test_a_storage_that_does_not_answer_is_one_sentence():
    with pytest.raises(StorageError) as failed:
        open_storage("postgresql+psycopg://me:sesame@127.0.0.1:9/db", None)
    text = str(failed.value)
    assert "127.0.0.1:9/db cannot be reached (" in text
    assert "--resume" in text
    assert "sesame" not in text
    assert "\n" not in text
    with pytest.raises(StorageError, match="cannot be reached"):
        open_storage("sqlite:////nowhere/at/all.db", None)


def test_other_errors_are_not_taken_for_the_storage():
    with pytest.raises(ZeroDivisionError), reporting("sqlite:////a", None):
        raise ZeroDivisionError


def test_the_folder_of_a_study_may_have_any_name(tmp_path):
    folder = tmp_path / "50% {done}? #1"
    study = optuna.create_study(storage=open_storage(None, folder), study_name="s")
    study.tell(study.ask(), 1.0)
    assert [path.name for path in folder.iterdir()] == ["optuna.db"]
    again = optuna.load_study(study_name="s", storage=open_storage(None, folder))
    assert [trial.value for trial in again.trials] == [1.0]


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"storage .*file/search/optuna\.db cannot be reached \("):
        open_storage(None, tmp_path / "file" / "search")


def write(folder, writing):
    storage = open_storage(None, folder)
    study = optuna.load_study(study_name="s", storage=storage)
    with storage.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE studies SET study_name = 'half of it'")
        writing.set()
        time.sleep(600)
    study.ask()


def test_a_process_that_is_killed_while_it_writes_holds_up_nobody_and_leaves_nothing(tmp_path):
    study = optuna.create_study(storage=open_storage(None, tmp_path), study_name="s")
    study.tell(study.ask(), 1.0)
    context = multiprocessing.get_context("spawn")
    writing = context.Event()
    writer = context.Process(target=write, args=(tmp_path, writing))
    writer.start()
    assert writing.wait(60)
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()
    study.tell(study.ask(), 2.0)
    again = optuna.load_study(study_name="s", storage=open_storage(None, tmp_path))
    assert [trial.value for trial in again.trials] == [1.0, 2.0]


def test_of_two_who_look_at_a_waiting_trial_in_sqlite_one_takes_it_up(tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path / 'study.db'}"
    storages = [open_storage(url, None) for _ in range(2)]
    study = optuna.create_study(storage=storages[0], study_name="s")
    study.enqueue_trial({"x": 1.0})
    (waiting,) = study.get_trials()
    both, find = threading.Barrier(2), TrialModel.find_or_raise_by_id

    def found(*args, **kept):
        row = find(*args, **kept)
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(0.5)  # until the other one has looked as well, if it can
        return row

    def take_up(storage):
        return storage.set_trial_state_values(waiting._trial_id, optuna.trial.TrialState.RUNNING)

    monkeypatch.setattr(TrialModel, "find_or_raise_by_id", found)
    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(take_up, storages)) == [False, True]
