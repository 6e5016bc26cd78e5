"""Archives that claim or hold more than their size can explain are refused before the memory is taken."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from profiler.archives import ALWAYS_BYTES, TooLargeError, allowed_bytes, open_zip, read_arrays_of


def bomb(name: str = "x.npy", mb: int = 220, head: bytes = b"") -> bytes:
    """A small zip whose member unpacks to `mb` MB of zeros."""
    content = io.BytesIO()
    with (
        zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open(name, "w") as file,
    ):
        file.write(head)
        for _ in range(mb):
            file.write(bytes(1_000_000))
    return content.getvalue()


def head(shape: tuple[int, ...]) -> bytes:
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(content, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return content.getvalue()


def test_a_small_archive_that_unpacks_to_much_is_refused_and_little_memory_is_taken():
    content = bomb(head=head((55_000_000,)))
    assert len(content) < 2_000_000
    tracemalloc.start()
    with pytest.raises(TooLargeError, match=r"MB that unpack to 220 MB"):
        read_arrays_of(io.BytesIO(content))
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


def test_an_array_that_claims_more_than_its_member_has_is_damaged():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("x.npy", head((1 << 40,)) + bytes(100))
    with pytest.raises(ValueError, match="larger than its part"):
        read_arrays_of(content)


def test_a_large_archive_may_hold_what_it_can_honestly_need():
    assert allowed_bytes(10) == ALWAYS_BYTES
    assert allowed_bytes(2_000_000_000) >= 2_000_000_000


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_are_read_as_numpy_reads_them(tmp_path: Path, save):
    arrays = {
        "x": np.arange(12, dtype=np.int16).reshape(3, 4),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "text": np.array(["a", "ü"]),
        "none": np.zeros((0, 3), np.float32),
        "scalar": np.array(7),
    }
    save(tmp_path / "a.npz", **arrays)
    found = read_arrays_of(tmp_path / "a.npz")
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)
    found["x"][0, 0] = 5  # and can be written to


def test_objects_are_not_unpickled(tmp_path: Path):
    np.savez(tmp_path / "a.npz", x=np.array([{}], object))
    with pytest.raises(ValueError, match="Object arrays"):
        read_arrays_of(tmp_path / "a.npz")


def test_a_damaged_zip_leaves_no_file_open(tmp_path: Path):
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(zipfile.BadZipFile):
        open_zip(tmp_path / "a.npz")
