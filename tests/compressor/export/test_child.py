"""Other people's code in a process of its own."""

from __future__ import annotations

import os
import signal
import time

import pytest

from compressor.export.child import CrashedError, in_child


def test_what_the_child_makes_comes_back_and_its_changes_do_not():
    done = []
    assert in_child(lambda: done.append(1) or bytes(range(256)) * 1000) == bytes(range(256)) * 1000
    assert done == []


def test_a_child_that_dies_is_an_error_that_names_the_signal():
    with pytest.raises(CrashedError, match="Killed"):
        in_child(lambda: os.kill(os.getpid(), signal.SIGKILL))


def test_what_is_raised_there_is_told_here():
    def fail() -> bytes:
        raise ValueError("no such range")

    with pytest.raises(RuntimeError, match="no such range"):
        in_child(fail)


def test_a_child_that_does_not_end_is_ended(monkeypatch):
    monkeypatch.setattr("compressor.export.child._LONGEST_S", 0.1)
    with pytest.raises(CrashedError, match="did not end"):
        in_child(lambda: time.sleep(60) or b"")
