import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import optuna
import pytest
from optuna.storages._rdb.models import TrialModel

from compressor.search.optuna import (
    Owner,
    Pulse,
    StorageError,
    checked_url,
    open_journal,
    open_storage,
    shown_url,
    telling,
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
    with pytest.raises(UsageError, match="sqlite:///FILE or postgresql://USER@HOST/DATABASE") as told:
        checked_url(url)
    assert "secret" not in str(told.value)


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
    with pytest.raises(StorageError) as told:
        open_storage("postgresql+psycopg://me:sesame@127.0.0.1:9/db", None)
    text = str(told.value)
    assert "127.0.0.1:9/db cannot be reached (" in text
    assert "--resume" in text
    assert "sesame" not in text
    assert "\n" not in text
    with pytest.raises(StorageError, match="cannot be reached"):
        open_storage("sqlite:////nowhere/at/all.db", None)


def test_other_errors_are_not_taken_for_the_storage():
    with pytest.raises(ZeroDivisionError), telling("sqlite:////a"):
        raise ZeroDivisionError


def test_a_line_that_a_killed_process_left_unfinished_is_cut_off(tmp_path):
    path = tmp_path / "journal"
    study = optuna.create_study(storage=open_journal(path), study_name="s")
    study.tell(study.ask(), 1.0)
    with path.open("ab") as file:
        file.write(b'{"op_code":4,"wor')
    again = optuna.load_study(study_name="s", storage=open_journal(path))
    again.tell(again.ask(), 2.0)
    third = optuna.load_study(study_name="s", storage=open_journal(path))
    assert [trial.value for trial in third.trials] == [1.0, 2.0]
    assert b'"wor\n' not in path.read_bytes()


def hold(path, held):
    from compressor.search.optuna import KernelLock

    KernelLock(path).acquire()
    held.set()
    time.sleep(600)


def test_the_lock_of_a_killed_holder_is_free_at_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    held = context.Event()
    holder = context.Process(target=hold, args=(tmp_path / "journal.lock", held))
    holder.start()
    assert held.wait(60)
    os.kill(holder.pid, signal.SIGKILL)
    study = optuna.create_study(storage=open_journal(tmp_path / "journal"))
    study.tell(study.ask(), 1.0)
    holder.join()
    assert not os.path.exists(tmp_path / "journal.lock.lock")


def test_a_process_is_seen_to_end():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    mine = Owner.current()
    stat = Path(f"/proc/{child.pid}/stat").read_text()
    owner = Owner(mine.machine, child.pid, stat.rpartition(")")[2].split()[19])
    assert mine.lives() is owner.lives() is True
    assert Owner.from_dict(owner.to_dict()) == owner
    # A number that was given out again belongs to another process.
    assert Owner(owner.machine, owner.process, "1").lives() is False
    child.kill()
    while owner.lives():
        time.sleep(0.01)  # it ends, and waits to be collected
    child.communicate()
    assert owner.lives() is False
    assert Owner("another machine", 1).lives() is None


def test_on_another_machine_beats_decide():
    pulse, far = Pulse(60.0), Owner("another machine", 1)
    assert not pulse.gone(7, far, 1, now=0.0)
    assert not pulse.gone(7, far, 1, now=59.0)
    assert not pulse.gone(7, far, 2, now=61.0)
    assert not pulse.gone(7, far, 2, now=120.0)
    assert pulse.gone(7, far, 2, now=122.0)
    assert not pulse.gone(8, None, None, now=122.0)
    assert pulse.gone(8, None, None, now=183.0)
    assert not pulse.gone(9, Owner.current(), None, now=1e9)


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
