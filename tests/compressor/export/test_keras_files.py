"""Keras files that cannot be read end in one sentence; nothing in them is run."""

from __future__ import annotations

import zipfile

import pytest

from compressor.export import input_specs, load_keras
from profiler.errors import ModelFileError, UsageError

keras = pytest.importorskip("keras")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("keras") / "net.keras"
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]).save(path)
    return path


def complaint(path):
    with pytest.raises(ModelFileError) as caught:
        load_keras(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    assert len(message) < 500
    return message


def test_names_what_a_file_is_instead(saved, tmp_path):
    assert "does not exist" in complaint(tmp_path / "none.keras")
    assert "is a folder" in complaint(tmp_path)
    for content, words in [
        (b"", "is empty"),
        (b"hello, this is text", "is no .keras file"),
        (b"\x1c\x00\x00\x00TFL3....", "already a TFLite file"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (saved.read_bytes()[:2000], "is cut off"),
    ]:
        path = tmp_path / "bad.keras"
        path.write_bytes(content)
        assert words in complaint(path)
    with zipfile.ZipFile(tmp_path / "other.keras", "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert "without a Keras model" in complaint(tmp_path / "other.keras")


def test_damaged_inside(saved, tmp_path):
    raw = bytearray(saved.read_bytes())
    for place in range(100, len(raw) - 200, 97):  # damage all over, but not the directory at the end
        raw[place] ^= 0xFF
    (tmp_path / "damaged.keras").write_bytes(raw)
    assert "damaged" in complaint(tmp_path / "damaged.keras")
    with zipfile.ZipFile(saved) as source, zipfile.ZipFile(tmp_path / "weightless.keras", "w") as target:
        for name in source.namelist():
            if name != "model.weights.h5":
                target.writestr(name, source.read(name))
    assert "damaged" in complaint(tmp_path / "weightless.keras")


def test_foreign_code_is_named_and_not_run(tmp_path):
    class Odd(keras.layers.Layer):
        def call(self, x):
            return x

    keras.Sequential([keras.Input((4,)), Odd()]).save(tmp_path / "odd.keras")
    assert "'Odd'" in complaint(tmp_path / "odd.keras")
    keras.Sequential([keras.Input((4,)), keras.layers.Lambda(lambda x: x + 1)]).save(
        tmp_path / "lambda.keras"
    )
    assert "Lambda" in complaint(tmp_path / "lambda.keras")


def test_input_specs_close_the_batch_and_ask_for_the_rest(saved):
    assert list(input_specs(load_keras(saved)).values()) == [((1, 4), "float32")]
    i = keras.Input((None, 6), name="sound")
    j = keras.Input((2,), name="place", dtype="int32")
    model = keras.Model([i, j], [i, j])
    with pytest.raises(UsageError, match=r"'sound' leaves more than the batch open, \(any, any, 6\).*1,N,6"):
        input_specs(model)
    assert input_specs(model, {"sound": (1, 9, 6)}) == {
        "sound": ((1, 9, 6), "float32"),
        "place": ((1, 2), "int32"),
    }
    with pytest.raises(UsageError, match="no input 'image'"):
        input_specs(model, {"image": (1, 2)})
    with pytest.raises(UsageError, match=r"\(1, 9, 7\) does not fit"):
        input_specs(model, {"sound": (1, 9, 7)})
    with pytest.raises(UsageError, match="give each shape with its name"):
        input_specs(model, (1, 9, 6))
    with pytest.raises(UsageError, match="never built"):
        input_specs(keras.Sequential([keras.layers.Dense(3)]))
