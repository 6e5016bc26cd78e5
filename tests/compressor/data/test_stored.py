"""Rows that stay in their file."""

import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compressor.data import StoredRows, joined, load_data, stored, take
from compressor.data.loading import _fields, read_arrays
from profiler.errors import DataError

MANY = 300_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """300,000 rows of 24 numbers, 29 MB, and their labels."""
    made = tmp_path_factory.mktemp("rows")
    rng = np.random.default_rng(0)
    x = rng.random((MANY, 24), dtype=np.float32)
    y = np.arange(MANY) % 10
    np.save(made / "x.npy", x)
    np.save(made / "y.npy", y)
    np.savez(made / "rows.npz", x=x, y=y)
    return made, x, y


@pytest.fixture
def small(monkeypatch):
    """Lets arrays of a tenth of that count as large."""
    monkeypatch.setattr(stored, "STORED_BYTES", 3_000_000)
    monkeypatch.setattr(stored, "READ_BYTES", 1_000_000)


@pytest.mark.parametrize("name", ["", "rows.npz"])
def test_many_rows_are_checked_split_and_read_in_batches_with_little_memory(folder, small, name):
    made, x, y = folder
    tracemalloc.start()
    try:
        data = load_data(made / name).with_test(0.2).with_validation(0.2)
        assert [len(rows) for rows in (data.x, data.x_val, data.x_test)] == [192_000, 48_000, 60_000]
        batch = take(data.x, np.arange(64))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 0.6 * x.nbytes  # labels, row numbers and marks
    assert isinstance(data.x, StoredRows)
    assert isinstance(batch, np.ndarray)
    for rows, labels in ((data.x, data.y), (data.x_val, data.y_val), (data.x_test, data.y_test)):
        first = np.flatnonzero((x == rows[0]).all(axis=1))
        assert y[first].tolist() == [labels[0]]


def test_what_says_which_rows_belong_together_is_found_without_reading_rows(folder, small, tmp_path):
    _, x, y = folder
    np.savez(tmp_path / "rows.npz", x=x, y=y, more_x=x, speaker=np.arange(MANY, dtype=np.int32) // 100)
    tracemalloc.start()
    try:
        assert _fields(read_arrays(tmp_path / "rows.npz", stored=True), tmp_path)["maybe_groups"] == "speaker"
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 0.9 * x.nbytes  # sorting labels and speakers


def test_two_parts_of_one_file_stay_there_together(folder, small):
    _, x, _ = folder
    rows = StoredRows(x)
    both = joined([rows[200_000:], rows[:100_000]])
    assert isinstance(both, StoredRows)
    np.testing.assert_array_equal(both[99_998:100_002], np.concatenate([x[-2:], x[:2]]))
    others = joined([rows[:20_000], StoredRows(x.copy())[:20_000]])
    assert isinstance(others, np.ndarray)
    assert len(others) == 40_000


def test_a_packed_file_is_read_as_before(folder, small, tmp_path):
    _, x, y = folder
    np.savez_compressed(tmp_path / "rows.npz", x=np.zeros_like(x), y=y)
    assert isinstance(load_data(tmp_path / "rows.npz").x, np.ndarray)


@given(st.lists(st.integers(0, 29)), st.slices(30))
def test_they_are_indexed_as_an_array_is(chosen, part):
    array = np.arange(90, dtype=np.float64).reshape(30, 3)
    rows = StoredRows(array, np.arange(29, -1, -1), np.float32)
    whole = array[::-1].astype(np.float32)
    for key in (np.array(chosen, int), part, part.start or 0):
        if isinstance(key, int) and not -30 <= key < 30:
            continue
        np.testing.assert_array_equal(rows[key], whole[key])
    np.testing.assert_array_equal(rows[:, 1], whole[:, 1])
    np.testing.assert_array_equal(np.concatenate([block for _, block in rows.blocks()]), whole)
    np.testing.assert_array_equal(np.asarray(rows), whole)
    assert (rows.shape, rows.ndim, rows.nbytes, len(rows)) == (whole.shape, 2, whole.nbytes, 30)


def test_a_bad_value_is_named_by_its_row(folder, small, tmp_path):
    _, x, y = folder
    x = x.copy()
    x[250_000, 7] = np.nan
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    with pytest.raises(DataError, match=r"x\[250000, 7\] is nan \(1 of 7200000 values are not finite\)"):
        load_data(tmp_path)


@pytest.mark.parametrize("kind", ["cut", "objects", "none"])
def test_a_folder_or_a_file_that_is_no_data_is_one_sentence(folder, small, tmp_path, kind):
    made, _, y = folder
    if kind == "cut":
        (tmp_path / "x.npy").write_bytes((made / "x.npy").read_bytes()[:-4000])
        np.save(tmp_path / "y.npy", y)
    elif kind == "objects":
        np.save(tmp_path / "x.npy", np.array([{}] * 3), allow_pickle=True)
    with pytest.raises(DataError, match=f"^{tmp_path}"):
        load_data(tmp_path)


def test_a_file_whose_list_lies_about_a_place_is_refused(folder, small, tmp_path):
    made, _, _ = folder
    content = bytearray((made / "rows.npz").read_bytes())
    with zipfile.ZipFile(made / "rows.npz") as archive:
        place = next(one.header_offset for one in archive.infolist() if one.filename == "x.npy")
    content[place : place + 4] = b"XXXX"
    (tmp_path / "rows.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"is a damaged \.npz file"):
        load_data(tmp_path / "rows.npz")
