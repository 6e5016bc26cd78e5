from __future__ import annotations

import errno
import json
import math
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from profiler import files
from profiler.errors import EdgetimeError, UsageError
from profiler.files import replacing, write_bytes, write_json, write_text


def test_contents_arrive_and_nothing_else_stays(tmp_path):
    path = tmp_path / "new" / "folder" / "a.txt"
    write_text(path, "größe\n")
    assert path.read_bytes() == "größe\n".encode()
    write_bytes(path, b"again")
    assert path.read_bytes() == b"again"
    write_json(path, {"a": [1, 2]})
    assert json.loads(path.read_text()) == {"a": [1, 2]}
    assert os.listdir(path.parent) == ["a.txt"]


def test_failure_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_temporary_file_keeps_the_suffix_and_lies_beside(tmp_path):
    with replacing(tmp_path / "net.keras") as temporary:
        assert temporary.suffix == ".keras"
        assert temporary.parent == tmp_path


def test_others_may_read_it_as_they_may_any_new_file(tmp_path):
    plain = tmp_path / "plain"
    plain.write_text("x")
    write_text(tmp_path / "a", "x")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_json_without_not_a_number(tmp_path, value):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"x": value})
    assert not os.listdir(tmp_path)


def test_folder_in_the_way_is_the_callers_mistake(tmp_path):
    with pytest.raises(UsageError, match="is a folder"):
        write_text(tmp_path, "x")


def test_file_where_a_folder_should_be(tmp_path):
    (tmp_path / "a").write_text("x")
    with pytest.raises(EdgetimeError, match="Cannot write"):
        write_text(tmp_path / "a" / "b", "x")


def test_full_disk_says_so_and_leaves_nothing(tmp_path, monkeypatch):
    def full(_path: Path, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.Path, "write_bytes", full)
    with pytest.raises(EdgetimeError, match=r"No disk space left to write .*a\.txt: free some"):
        write_text(tmp_path / "a.txt", "x")
    assert not os.listdir(tmp_path)


def test_what_is_no_ordinary_file_is_left_alone(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(UsageError, match="no ordinary file"):
        write_text(pipe, "x")
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_what_a_killed_process_was_writing_goes_with_the_next_file_that_is_written(tmp_path):
    code = (
        "import os, sys; from profiler.files import replacing\n"
        "with replacing(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('half'); os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "net.keras")], check=False)
    (left,) = os.listdir(tmp_path)
    assert left.startswith(".net.keras")
    write_text(tmp_path / "other.txt", "soon after")
    assert left in os.listdir(tmp_path)  # too new to be sure
    os.utime(tmp_path / left, (0, 0))
    write_text(tmp_path / "other.txt", "later")
    assert os.listdir(tmp_path) == ["other.txt"]


def test_what_another_process_is_writing_stays_however_old_it_is(tmp_path):
    with replacing(tmp_path / "slow.txt") as temporary:
        os.utime(temporary, (0, 0))
        write_text(tmp_path / "other.txt", "x")
        files.clear_unfinished(tmp_path.parent, below=True)
        temporary.write_text("whole")
    assert (tmp_path / "slow.txt").read_text() == "whole"


def test_a_quota_that_is_used_up_is_no_disk_space(tmp_path):
    error = OSError(errno.EDQUOT, "Disk quota exceeded")
    assert "No disk space left" in str(files.cannot_write(tmp_path / "a", error))
