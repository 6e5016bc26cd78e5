"""Records and arrays that survive a crash at any byte."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.errors import EdgetimeError
from profiler.records import Records, cut_torn_line, read_arrays, write_arrays

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@pytest.fixture(params=[None, {"seed": 7}], ids=["unsigned", "signed"])
def records(request: pytest.FixtureRequest, tmp_path: Path) -> Records:
    return Records(tmp_path / "folder" / "rows.jsonl", request.param)


def test_there_is_nothing_to_read_before_anything_is_written(records: Records) -> None:
    assert records.read() == []
    assert not records.path.parent.exists()


@given(st.lists(VALUES, max_size=4), st.none() | VALUES)
def test_what_is_appended_is_read_in_order_by_whoever_comes_later(rows: list[Any], signature: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        for row in rows:
            Records(path, signature, sync=False).append(row)
        assert Records(path, signature).read() == rows


@given(st.lists(VALUES, min_size=1, max_size=4), st.booleans(), st.data())
def test_a_file_cut_at_any_byte_loses_the_torn_line_alone(
    rows: list[Any], signed: bool, data: st.DataObject
) -> None:
    signature = {"what": [1, "ü"]} if signed else None
    with tempfile.TemporaryDirectory() as folder:
        records = Records(Path(folder) / "rows.jsonl", signature, sync=False)
        for row in rows:
            records.append(row)
        content = records.path.read_bytes()
        cut = data.draw(st.integers(0, len(content)))
        records.path.write_bytes(content[:cut])
        whole = rows[: max(0, content[:cut].count(b"\n") - signed)]
        assert records.read() == whole
        records.append("afterwards")
        assert records.read() == [*whole, "afterwards"]
        assert len(records.path.read_bytes().split(b"\n")) == len(whole) + 2 + signed


def test_a_torn_number_is_not_taken_for_a_shorter_one(records: Records) -> None:
    records.append(1)
    records.append(234)
    records.path.write_bytes(records.path.read_bytes()[:-2])
    assert records.read() == [1]


def test_a_file_of_others_that_lacks_its_last_line_end_is_read_whole(records: Records) -> None:
    for row in ("a", "b"):
        records.append(row)
    records.path.write_bytes(records.path.read_bytes()[:-1])
    assert [value for _, value in records.numbered(foreign=True)] == ["a", "b"]
    assert records.read() == ["a"]


def test_a_torn_line_that_is_longer_than_a_block_is_cut_whole(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    for before in (b"", b"1\n", b"1\n" * 70_000):
        path.write_bytes(before + b"x" * 200_000)
        cut_torn_line(path)
        assert path.read_bytes() == before


def test_a_line_that_was_edited_is_left_out_and_can_be_named(records: Records) -> None:
    for row in ("a", "b", "c"):
        records.append(row)
    lines = records.path.read_bytes().split(b"\n")
    lines[-3] = b"\xff{"
    records.path.write_bytes(b"\n".join(lines) + b'"torn')
    named: list[int] = []
    assert [value for _, value in records.numbered(lambda number, why: named.append(number))] == ["a", "c"]
    assert named == [len(lines) - 2, len(lines)]
    assert records.read() == ["a", "c"]


def test_records_of_another_signature_are_not_read_and_give_way(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    Records(path, {"seed": 1}).append("old")
    other = Records(path, {"seed": 2})
    assert other.read() == []
    assert Records(path, {"seed": 1}).read() == ["old"]
    other.append("new")
    assert other.read() == ["new"]
    assert Records(path, {"seed": 1}).read() == []


def test_nan_is_refused_and_nothing_is_written(records: Records) -> None:
    with pytest.raises(ValueError, match="JSON"):
        records.append({"score": float("nan")})
    assert records.read() == []


def test_a_full_disk_is_said_in_a_sentence_and_what_was_there_stays(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    records.append("kept")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EdgetimeError, match="No disk space left") as caught:
        records.append("lost or not")
    assert str(records.path) in str(caught.value)
    assert records.read()[0] == "kept"


def test_a_process_killed_while_it_writes_loses_nothing_that_was_appended(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    code = (
        "import sys\nfrom profiler.records import Records\nrows = Records(sys.argv[1])\n"
        "for number in range(1_000_000):\n    rows.append(number)\n    print(number, flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for _ in range(20):
            said = int(process.stdout.readline())
        process.kill()
    rows = Records(path).read()
    assert rows == list(range(len(rows)))
    assert len(rows) > said


ARRAYS = {
    "weights": np.arange(12, dtype=np.float32).reshape(3, 4),
    "scalar": np.array(3.5),
    "text": np.array("state"),
    "none": np.zeros((0, 5), np.int64),
    "file": np.array([True, False]),
}


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return first.keys() == second.keys() and all(
        first[name].dtype == second[name].dtype and np.array_equal(first[name], second[name])
        for name in first
    )


def test_arrays_come_back_with_their_types_and_shapes(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "state.npz"
    write_arrays(path, {"seed": 7, "rates": [0.1]}, ARRAYS)
    found = read_arrays(path, {"rates": [0.1], "seed": 7})
    assert found is not None
    assert same(found, ARRAYS)


def test_arrays_of_another_signature_or_none_at_all_are_not_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "state.npz"
    assert read_arrays(path, 1) is None
    write_arrays(path, 1, ARRAYS)
    assert read_arrays(path, 2) is None
    np.savez(path, **{"weights": ARRAYS["weights"]})
    assert read_arrays(path, 1) is None


def test_python_objects_are_neither_written_nor_read(tmp_path: Path) -> None:
    path = tmp_path / "state.npz"
    write_arrays(path, 1, {"a": np.zeros(2)})
    with pytest.raises(ValueError, match="allow_pickle"):
        write_arrays(path, 1, {"a": np.array([print])})
    assert read_arrays(path, 1) is not None
    np.savez(path, signature=np.array(json.dumps([1, ["a"]])), a=np.array([{}], dtype=object))
    assert read_arrays(path, 1) is None


@given(st.data())
def test_a_file_of_arrays_cut_or_changed_at_any_byte_is_never_read_as_other_arrays(
    data: st.DataObject,
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.npz"
        write_arrays(path, "s", ARRAYS)
        content = bytearray(path.read_bytes())
        place = data.draw(st.integers(0, len(content) - 1))
        if data.draw(st.booleans()):
            content[place] ^= data.draw(st.integers(1, 255))
            path.write_bytes(bytes(content))
            found = read_arrays(path, "s")
            assert found is None or same(found, ARRAYS)
        else:
            path.write_bytes(bytes(content[:place]))
            assert read_arrays(path, "s") is None
