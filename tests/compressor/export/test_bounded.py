"""Keras files that ask for more memory than they bring are refused before it is taken."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from robustness import seed_files

from compressor.export.keras_files import load_keras, refuse_other_files
from profiler.errors import ModelFileError

WHOLE = seed_files.keras_file()


def altered(path: Path, **changes: Callable[[bytes], bytes]) -> Path:
    """The whole file with members changed, by the start of their names."""
    with (
        zipfile.ZipFile(io.BytesIO(WHOLE)) as old,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as new,
    ):
        for name in old.namelist():
            new.writestr(name, changes.get(name.split(".")[0], bytes)(old.read(name)))
    return path


def claiming(weights: bytes) -> bytes:
    """An array of 4 GB of which nothing is stored."""
    content = io.BytesIO(weights)
    with h5py.File(content, "a") as file:
        file.create_dataset("layers/dense/vars/2", (1 << 30,), np.float32, chunks=(1 << 16,))
    return content.getvalue()


def test_a_description_or_weights_that_unpack_to_much_are_refused(tmp_path: Path):
    path = altered(tmp_path / "net.keras", config=lambda text: text + b" " * 210_000_000)
    with pytest.raises(ModelFileError, match="MB that unpack to 210 MB, which no model does"):
        refuse_other_files(path)


def test_arrays_that_are_only_described_count_as_well(tmp_path: Path):
    path = altered(tmp_path / "net.keras", model=claiming)
    assert path.stat().st_size < 10_000
    with pytest.raises(ModelFileError, match="MB that unpack to 4,295 MB"):
        refuse_other_files(path)


def test_a_zip_whose_list_is_damaged_is_a_damaged_model(tmp_path: Path):
    path = tmp_path / "net.keras"
    at = WHOLE.index(b"PK\x01\x02")
    path.write_bytes(WHOLE[:at] + b"XX" + WHOLE[at + 2 :])
    with pytest.raises(ModelFileError, match="is damaged"):
        refuse_other_files(path)


def test_layers_that_need_more_than_the_file_brings_are_never_built(tmp_path: Path):
    def widen(text: bytes) -> bytes:
        value = json.loads(text)
        value["config"]["layers"][-1]["config"]["units"] = 100_000_000
        return json.dumps(value).encode()

    path = altered(tmp_path / "net.keras", config=widen)
    with pytest.raises(ModelFileError, match="weights for layers that take far more"):
        load_keras(path)


def test_a_whole_file_is_read(tmp_path: Path):
    (tmp_path / "net.keras").write_bytes(WHOLE)
    assert [tuple(weight.shape) for weight in load_keras(tmp_path / "net.keras").weights] == [(6, 4), (4,)]
