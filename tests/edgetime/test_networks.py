import importlib.util
import tempfile
from pathlib import Path

import pytest

from edgetime import networks
from profiler.errors import MissingExtraError, UsageError
from profiler.tflite import ModelPlan, TensorPlan, encode


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_a_folder_stands_for_the_networks_in_and_below_it(tmp_path: Path):
    wanted = [touch(tmp_path / name) for name in ("a.tflite", "b/c.keras", "d.tflite")]
    touch(tmp_path / "notes.txt")
    single = touch(tmp_path / "single.bin")
    assert networks.expand([tmp_path, single, wanted[0]]) == [*sorted(wanted), single]


def test_what_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(UsageError, match=r"nothing\.tflite does not exist"):
        networks.expand([tmp_path / "nothing.tflite"])
    with pytest.raises(UsageError, match=r"holds no \.tflite"):
        networks.expand([tmp_path])


@pytest.mark.parametrize(
    ("texts", "shape"),
    [
        ([], None),
        (["1,32,32,3"], (1, 32, 32, 3)),
        (["1x32x32x3"], (1, 32, 32, 3)),
        (["[1, 64, 12]"], (1, 64, 12)),
        (["images=1,8,8,1", "mask=1,8,8"], {"images": (1, 8, 8, 1), "mask": (1, 8, 8)}),
    ],
)
def test_shapes(texts, shape):
    assert networks.parse_shapes(texts) == shape


@pytest.mark.parametrize(
    "texts", [["1,0,3"], ["one"], [""], ["1,-1"], ["1.5"], ["1,2", "3,4"], ["a=1", "a=2"]]
)
def test_no_shapes(texts):
    with pytest.raises(UsageError):
        networks.parse_shapes(texts)


def test_a_keras_file_without_tensorflow_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"edgetime\[compress\]"):
        networks.read(touch(tmp_path / "net.keras"))


def test_a_users_folder_is_never_taken_for_that_of_unpacked_files(tmp_path):
    for name in ("edgetime-nets", f"{networks.MADE}x"):
        file = tmp_path / name / "a" / "net.tflite"
        assert networks.without_made(str(file)) == str(file)
        assert networks.short_names([file]) == [str(file)]
    made = Path(tempfile.gettempdir(), f"{networks.MADE}x", "0", "net.tflite")
    assert networks.without_made([str(made)]) == ["net.tflite"]


def test_a_signature_of_what_is_no_tflite_file_is_looked_for_in_what_it_is(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match=r"net\.keras is a Keras model, which has no signatures"):
        networks.read(touch(tmp_path / "net.keras"), signature="encode")
    made = encode(ModelPlan([TensorPlan("x", (1, 4), "float32")], [], [0], [0]))
    monkeypatch.setattr(networks, "tflite_of", lambda path: made)
    with pytest.raises(UsageError, match="has no signature 'encode'"):
        networks.read(tmp_path / "net.lct", signature="encode")
