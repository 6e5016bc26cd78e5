"""Data files: what is read, what is refused and in which words, and what a split may not do."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compressor.data import Data, check_data, check_fits, load_data, load_inputs, split_rows
from profiler.errors import DataError, UsageError


def save(path, **arrays):
    np.savez(path, **arrays)
    return path


@pytest.fixture
def xy():
    generator = np.random.default_rng(0)
    return generator.normal(size=(20, 8, 8, 1)), np.arange(20) % 4


def test_reads_npz_as_float32_and_int64(tmp_path, xy):
    x, y = xy
    data = load_data(save(tmp_path / "d.npz", x=x, y=y.astype(float), x_test=x[:3], y_test=y[:3, None]))
    assert data.x.dtype == np.float32
    np.testing.assert_allclose(data.x, x, rtol=1e-6)
    assert data.y.dtype == np.int64
    np.testing.assert_array_equal(data.y, y)
    np.testing.assert_array_equal(data.y_test, y[:3])
    assert data.x_val is None
    assert data.is_classification


def test_keeps_stored_integers_and_reads_one_hot(tmp_path):
    x = np.arange(12, dtype=np.uint8).reshape(3, 4)
    data = load_data(save(tmp_path / "d.npz", x=x, y=np.eye(3)[[2, 0, 1]]))
    assert data.x.dtype == np.uint8
    np.testing.assert_array_equal(data.y, [2, 0, 1])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: a.pop("y"), ["no array `y`", "it holds x"]),
        (lambda a: a.update(y=a["y"][:-1]), ["x has 20 rows and y has 19"]),
        (lambda a: a["x"].__setitem__((3, 2, 1, 0), np.nan), ["x[3, 2, 1, 0] is nan", "1 of 1280"]),
        (lambda a: a["x"].__setitem__((0, 0, 0, 0), np.inf), ["x[0, 0, 0, 0] is inf"]),
        (lambda a: a.update(y=a["y"] + 0.5), ["y[0] is 0.5", "loss and metric"]),
        (lambda a: a.update(y=a["y"] - 1), ["y[0] is -1"]),
        (lambda a: a.update(y=np.full(20, np.nan)), ["y[0] is nan"]),
        (lambda a: a.update(y=np.array(list("abcdefghijklmnopqrst"))), ["y holds", "number the classes"]),
        (lambda a: a.update(x=a["x"][:0], y=a["y"][:0]), ["x has no rows"]),
        (lambda a: a.update(x_val=a["x"]), ["x_val but no y_val"]),
        (lambda a: a.update(x_val=a["x"][..., 0], y_val=a["y"]), ["rows of x_val", "(8, 8)", "(8, 8, 1)"]),
        (lambda a: a.update(groups=np.arange(3)), ["groups has shape (3)", "20 rows"]),
        (
            lambda a: a.update(x_val=a["x"][:7], y_val=a["y"][:7], groups_val=np.arange(20)),
            ["groups_val has shape (20)", "x_val has 7 rows"],
        ),
        (lambda a: a.update(x=np.array([{}] * 20, object)), ["Python objects", "not read"]),
    ],
)
def test_refuses_in_one_sentence_that_names_the_file(tmp_path, xy, change, words):
    arrays = {"x": xy[0].copy(), "y": xy[1].copy()}
    change(arrays)
    path = save(tmp_path / "d.npz", **arrays)
    with pytest.raises(DataError) as caught:
        load_data(path)
    message = str(caught.value)
    for word in [*words, str(path)]:
        assert word in message
    assert "\n" not in message


def test_names_what_the_file_is_instead(tmp_path, xy):
    with pytest.raises(DataError, match="does not exist"):
        load_data(tmp_path / "none.npz")
    with pytest.raises(DataError, match="is a folder"):
        load_data(tmp_path)
    (tmp_path / "text.npz").write_text("x,y\n1,2\n")
    with pytest.raises(DataError, match=r"text\.npz is not a \.npz file"):
        load_data(tmp_path / "text.npz")
    np.save(tmp_path / "one.npy", xy[0])
    with pytest.raises(DataError, match="a single array"):
        load_data(tmp_path / "one.npy")


@given(cut=st.floats(0, 0.999), flip=st.floats(0, 0.999))
def test_damaged_npz_gives_data_or_data_error(tmp_path_factory, cut, flip):
    folder = tmp_path_factory.getbasetemp()
    whole = folder / "whole.npz"
    if not whole.exists():
        np.savez_compressed(whole, x=np.arange(64.0).reshape(8, 8), y=np.arange(8))
    raw = bytearray(
        whole.read_bytes()[: int(cut * whole.stat().st_size)] if cut > 0.5 else whole.read_bytes()
    )
    if raw:
        raw[int(flip * len(raw))] ^= 0xFF
    damaged = folder / "damaged.npz"
    damaged.write_bytes(raw)
    try:
        data, message = load_data(damaged), "damaged.npz"
    except DataError as error:
        data, message = None, str(error)
    assert data is None or data.x.shape == (8, 8)
    assert "damaged.npz" in message


PYTHON = """
import numpy as np
from neighbour import ROWS

def load():
    x = np.ones((ROWS, 3)); y = np.linspace(0, 1, ROWS)
    return (x, y), (x[:2], y[:2])

loss = "mse"
def metric(model, data):
    x, y = data
    return -float(np.mean((model.predict(x) - y) ** 2))
"""


def test_reads_a_python_file_with_its_loss_and_metric(tmp_path):
    (tmp_path / "neighbour.py").write_text("ROWS = 6\n")
    (tmp_path / "task.py").write_text(PYTHON)
    data = load_data(tmp_path / "task.py")
    assert (data.x.shape, data.x_val.shape, data.x_test) == ((6, 3), (2, 3), None)
    assert data.y[-1] == 1
    assert not data.is_classification
    model = type("Model", (), {"predict": lambda self, x: np.zeros(len(x))})()
    assert data.metric(model, (data.x_val, data.y_val)) == pytest.approx(-0.02)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1\n", "defines no load"),
        ("def load(:\n", "line 1"),
        ("def load():\n    a = 1\n    return a / 0\n", "load() failed at line 3 with ZeroDivisionError"),
        ("raise SystemExit(3)\n", "failed at line 1 with SystemExit"),
        ("def load():\n    return 3\n", "must return (train, validation)"),
        ("def load():\n    return 3, 4\n", "train data of load()"),
        ("metric = 3\ndef load():\n    return ([[1.]], [0]), None\n", "`metric` is not a function"),
    ],
)
def test_python_file_faults_name_the_line(tmp_path, text, words):
    (tmp_path / "task.py").write_text(text)
    with pytest.raises(DataError) as caught:
        load_data(tmp_path / "task.py")
    assert words in str(caught.value)


def test_reads_tf_datasets_to_their_end(tmp_path):
    (tmp_path / "task.py").write_text(
        "import tensorflow as tf\n"
        "def load():\n"
        "    d = tf.data.Dataset.from_tensor_slices((tf.reshape(tf.range(30.), (10, 3)), tf.range(10)))\n"
        "    return d.batch(4), d.take(3)\n"
    )
    data = load_data(tmp_path / "task.py")
    np.testing.assert_array_equal(data.x, np.arange(30).reshape(10, 3))
    np.testing.assert_array_equal(data.y, np.arange(10))
    np.testing.assert_array_equal(data.y_val, [0, 1, 2])
    (tmp_path / "task.py").write_text(
        "import tensorflow as tf\n"
        "def load():\n"
        "    d = tf.data.Dataset.from_tensor_slices(([[1.]], [0])).batch(1)\n"
        "    return d.repeat(), d\n"
    )
    with pytest.raises(DataError, match="never ends"):
        load_data(tmp_path / "task.py")


def test_check_fits_names_both_shapes_and_the_label(xy):
    data = check_data(Data(*xy, source="d.npz"))
    check_fits(data, (8, 8, 1), 4)
    check_fits(data, (None, None, 1), 10)
    with pytest.raises(
        DataError, match=r"d\.npz: rows of x have shape \(8, 8, 1\), but the network takes \(28, any, 1\)"
    ):
        check_fits(data, (28, None, 1), 4)
    with pytest.raises(DataError, match=r"y\[3\] is class 3, but the network tells 3 classes apart"):
        check_fits(data, (8, 8, 1), 3)
    with pytest.raises(DataError, match=r"y\[2\] is class 2, but the network tells 2 classes apart"):
        check_fits(data, (8, 8, 1), 1)


def test_load_inputs_takes_named_arrays_or_x(tmp_path, xy):
    x, _ = xy
    several = save(tmp_path / "several.npz", left=x, right=x[..., 0])
    inputs = load_inputs(several, ["left", "right"])
    assert {k: v.shape for k, v in inputs.items()} == {"left": (20, 8, 8, 1), "right": (20, 8, 8)}
    only_x = save(tmp_path / "x.npz", x=x)
    assert load_inputs(only_x, ["image"])["image"].shape == x.shape
    with pytest.raises(DataError, match="inputs left, right"):
        load_inputs(only_x, ["left", "right"])
    with pytest.raises(DataError, match="holds left, right, not x"):
        load_inputs(several, ["image"])
    with pytest.raises(DataError, match="differ in length"):
        load_inputs(save(tmp_path / "u.npz", a=x, b=x[:3]), ["a", "b"])


@given(rows=st.integers(2, 60), classes=st.integers(1, 5), share=st.floats(0.05, 0.9), seed=st.integers(0, 9))
def test_split_by_class_is_a_partition_with_every_class_in_training(rows, classes, share, seed):
    labels = np.arange(rows) % classes
    stay, held = split_rows(rows, share, labels=labels, seed=seed)
    np.testing.assert_array_equal(np.sort(np.concatenate([stay, held])), np.arange(rows))
    assert len(held)
    for label in range(min(classes, rows)):
        size = int((labels == label).sum())
        in_held = int((labels[held] == label).sum())
        if size > 1:
            assert 1 <= in_held < size
            assert abs(in_held - share * size) <= 1
    np.testing.assert_array_equal(held, split_rows(rows, share, labels=labels, seed=seed)[1])


@given(groups=st.lists(st.integers(0, 8), min_size=2, max_size=60), share=st.floats(0.1, 0.7))
def test_split_never_tears_a_group(groups, share):
    groups = np.array(groups)
    if len(set(groups.tolist())) < 2:
        with pytest.raises(DataError, match="single group"):
            split_rows(len(groups), share, groups=groups)
        return
    stay, held = split_rows(len(groups), share, groups=groups)
    assert not set(groups[stay]) & set(groups[held])
    assert len(stay)
    assert len(held)


def test_group_split_keeps_share_and_classes():
    generator = np.random.default_rng(1)
    groups = np.repeat(np.arange(20), 50)
    labels = (groups % 2 * 2 + generator.integers(0, 2, 1000)).astype(np.int64)
    data = Data(np.zeros((1000, 2), np.float32), labels, groups=groups).with_validation(0.2, seed=3)
    assert len(data.x_val) == 200
    assert np.bincount(data.y_val, minlength=4).min() > 30
    assert len(data.x) == len(data.y) == len(data.groups) == 800
    assert not set(data.groups) & set(data.groups_val)
    assert len(data.groups_val) == 200


def test_groups_of_validation_and_test_rows_are_read(tmp_path, xy):
    x, y = xy
    parts = {"x_val": x[:6], "y_val": y[:6], "groups_val": np.arange(6), "x_test": x[:4], "y_test": y[:4]}
    data = load_data(save(tmp_path / "d.npz", x=x, y=y, groups=np.arange(20) // 5, **parts))
    assert data.groups_of("validation").tolist() == list(range(6))
    assert data.groups_of("test") is None
    assert data.groups_of("training").tolist() == [0] * 5 + [1] * 5 + [2] * 5 + [3] * 5


def test_splits_leave_given_parts_alone_and_refuse_silly_shares(xy):
    data = check_data(Data(*xy, x_val=xy[0][:5], y_val=xy[1][:5]))
    assert data.with_validation(0.5) is data
    tested = data.with_test(0.25, seed=1)
    assert len(tested.x_test) == 4  # one of each class of five
    assert len(tested.x) == 16
    with pytest.raises(UsageError, match="share"):
        split_rows(10, 1.0)
    with pytest.raises(DataError, match=r"x\.npz"):
        Data(xy[0][:1], xy[1][:1], source="x.npz").with_test()


def test_importing_loads_no_tensorflow():
    code = "import sys, compressor.data.loading; assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
