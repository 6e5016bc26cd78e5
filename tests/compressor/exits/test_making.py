"""Networks with exits, from the Keras file to the `.tflite` whose segments are the whole."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from compressor import Data, Schedule
from compressor.exits import NetworkWithExits, make_exits, read_segments, run_segments
from compressor.export import TfliteRunner, load_keras, to_tflite_bytes
from compressor.testing.device import FormulaTimeModel
from profiler.errors import DataError, EdgetimeError, UsageError
from profiler.progress import silent
from profiler.tflite import read_network, read_signatures

HEADS = Schedule(epochs=5, batch_size=24, learning_rate=0.02)
ONCE = Schedule(epochs=1, batch_size=32, learning_rate=1e-3)
SHORT = {"heads": HEADS, "joint": ONCE}
DEVICE = FormulaTimeModel()


@pytest.fixture(scope="module")
def in_float32(trained: Path, data: Data, tmp_path_factory) -> NetworkWithExits:
    return make_exits(trained, data, DEVICE, tmp_path_factory.mktemp("none"), count=2, **SHORT)


@pytest.fixture(params=["none", "int8"])
def made(request, in_float32: NetworkWithExits, tmp_path_factory) -> NetworkWithExits:
    """In both number types; trained once."""
    if request.param == "none":
        return in_float32
    making = replace(in_float32.made, quantize="int8", folder=tmp_path_factory.mktemp("int8"))
    return making.written(in_float32.branched, in_float32.trained, silent, ())


def test_segments_run_in_order_answer_as_the_keras_network_does(made: NetworkWithExits, data: Data):
    wanted = load_keras(made.folder / "exits.keras").predict(data.x_val, verbose=0)
    found = run_segments(made.file, data.x_val)
    assert len(found) == len(made.segments) == 3
    for name, answer in zip(made.branched.exits, found, strict=True):
        if made.made.quantize == "none":
            np.testing.assert_allclose(answer, wanted[name], atol=1e-5)
        else:
            assert np.mean(answer.argmax(1) == wanted[name].argmax(1)) > 0.95


def test_the_last_segment_answers_as_the_network_in_one_file(made: NetworkWithExits, data: Data):
    """Also in int8: what is handed on is stored as the whole network stores it between these layers."""
    whole = TfliteRunner(made.single).predict(data.x_val)
    np.testing.assert_allclose(run_segments(made.file, data.x_val)[-1], whole, atol=1.01 / 256)


def test_weights_are_stored_once(made: NetworkWithExits):
    heads = (
        sum(segment.macs for segment in read_segments(made.file).values()) - read_network(made.single).macs
    )
    assert made.file_bytes < made.single_bytes + 4 * heads + 4000


def test_the_file_has_a_signature_for_each_segment_which_takes_what_the_one_before_gave(
    made: NetworkWithExits,
):
    assert read_signatures(made.file) == ("segment_1", "segment_2", "segment_3")
    networks = list(read_segments(made.file).values())
    for before, after in itertools.pairwise(networks):
        (taken,) = (after.tensors[place] for place in after.inputs)
        assert taken in [before.tensors[place] for place in before.outputs]
        assert taken.dtype == ("int8" if made.made.quantize == "int8" else "float32")


def test_times_of_segments_are_those_of_their_own_layers(made: NetworkWithExits):
    times = [DEVICE.predict(network).predicted_ms for network in read_segments(made.file).values()]
    assert [segment.predicted_ms for segment in made.segments] == pytest.approx(times)
    assert made.single_ms < sum(times) < 1.5 * made.single_ms
    shares = [segment.share for segment in made.segments]
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_heads_learn_and_the_last_answer_is_no_worse(made: NetworkWithExits, trained: Path, data: Data):
    assert made.trained.scores["exit_2"] > 0.6
    assert made.trained.scores["last"] >= made.trained.original
    model = load_keras(trained)
    before = np.mean(model.predict(data.x_val, verbose=0).argmax(1) == data.y_val)
    after = np.mean(run_segments(made.file, data.x_val)[-1].argmax(1) == data.y_val)
    assert after > before - 0.05


def test_an_exit_that_is_left_out_is_not_in_the_file(made: NetworkWithExits, data: Data, tmp_path: Path):
    before = run_segments(made.file, data.x_val)
    fewer = replace(made, made=replace(made.made, folder=tmp_path)).without([0])
    assert read_signatures(fewer.file) == ("segment_1", "segment_2")
    assert [segment.after for segment in fewer.segments] == [segment.after for segment in made.segments[1:]]
    after = run_segments(fewer.file, data.x_val)
    for one, other in zip(before[1:], after, strict=True):
        np.testing.assert_allclose(one, other, atol=3 / 256)
    assert sum(segment.predicted_ms for segment in fewer.segments) < sum(
        s.predicted_ms for s in made.segments
    )


def test_training_that_was_stopped_goes_on_but_not_with_other_rows(
    trained: Path, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("compressor.training.finetuning._SAVE_EVERY_S", 0.0)
    heads = replace(ONCE, epochs=3)

    def epochs_until(stop: str, rows: Data) -> list[str]:
        """What is trained until something is announced that ends it."""
        seen: list[str] = []

        def progress(share: float, what: str) -> None:
            seen.append(what)
            if what.startswith(stop):
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            make_exits(trained, rows, DEVICE, tmp_path, count=1, head="pool", heads=heads, progress=progress)
        return [what.split(", ")[1] for what in seen if what.startswith("training")]

    assert epochs_until("training heads, epoch 3", data)[-1] == "epoch 3 of 3"
    # What was being done when it stopped is done again.
    assert epochs_until("converting", data) == ["epoch 3 of 3"]
    others = replace(data, x=data.x[::-1].copy())
    assert epochs_until("training heads, epoch 1", others) == ["epoch 0 of 3", "epoch 1 of 3"]


def test_without_joint_training_the_network_stays_as_it_is(trained: Path, data: Data, tmp_path: Path):
    found = make_exits(trained, data, DEVICE, tmp_path, count=1, head="conv", heads=ONCE, joint=None)
    assert not found.trained.joint
    assert "depthwise_conv_2d" in [layer.op for layer in read_segments(found.file)["segment_1"].layers]
    before, after = load_keras(trained), load_keras(tmp_path / "exits.keras")
    for layer in before.layers:
        for one, other in zip(layer.get_weights(), after.get_layer(layer.name).get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)
    np.testing.assert_allclose(
        TfliteRunner(found.single).predict(data.x_val),
        TfliteRunner(to_tflite_bytes(before)).predict(data.x_val),
        atol=1e-5,
    )


def test_sequences_have_exits_too(tmp_path: Path):
    generator = np.random.default_rng(0)
    y = np.arange(160) % 2
    x = generator.normal(size=(160, 12, 4)).astype("float32") + y[:, None, None]
    source = keras.Input((12, 4))
    h = layers.Conv1D(6, 3, padding="same", name="first")(source)
    h = layers.GRU(6, name="second")(h)
    model = keras.Model(source, layers.Dense(2, name="head")(h), name="steps")
    found = make_exits(model, Data(x=x, y=y), DEVICE, tmp_path, after=["first"], heads=ONCE, joint=None)
    assert found.form == "logits"
    assert [segment.after for segment in found.segments] == ["first", ""]
    assert [segment.agreement for segment in found.segments] == [1.0, 1.0]
    assert any("has no x_val" in note for note in found.notes)


def two_outputs() -> keras.Model:
    source = keras.Input((8, 8, 1))
    x = layers.Flatten()(source)
    return keras.Model(
        source, {"a": layers.Dense(3, name="a")(x), "b": layers.Dense(3, name="b")(x)}, name="net"
    )


def one_number() -> keras.Model:
    source = keras.Input((8, 8, 1))
    return keras.Model(source, layers.Dense(1, activation="sigmoid")(layers.Flatten()(source)), name="net")


class OfItsOwn(keras.Model):
    def call(self, x):
        return x


def one_layer() -> keras.Model:
    source = keras.Input((64,))
    return keras.Model(source, layers.Dense(3, activation="softmax")(source), name="net")


def fewer_classes() -> keras.Model:
    source = keras.Input((8, 8, 1))
    x = layers.Dense(4, activation="relu")(layers.Flatten()(source))
    return keras.Model(source, layers.Dense(2, activation="softmax")(x), name="net")


@pytest.mark.parametrize(
    ("model", "error", "sentence"),
    [
        (
            two_outputs,
            UsageError,
            "The model 'net' has 2 outputs \\(a, b\\), and exits choose between the classes of one",
        ),
        (one_number, UsageError, "gives \\[1\\] numbers per row, and exits need one per class"),
        (lambda: OfItsOwn(name="net"), UsageError, "The model 'net' is a class of its own \\(OfItsOwn\\)"),
        (fewer_classes, DataError, "is class 2, but the network tells 2 classes apart"),
    ],
)
def test_networks_that_cannot_have_exits_say_why(model, error, sentence, data: Data, tmp_path: Path):
    with pytest.raises(error, match=sentence):
        make_exits(model(), data, DEVICE, tmp_path, **SHORT)
    assert not list(tmp_path.iterdir())


def test_data_that_exits_cannot_do_with_says_why(trained: Path, data: Data, tmp_path: Path):
    few = replace(data, x_val=data.x_val[:5], y_val=data.y_val[:5])
    with pytest.raises(
        DataError, match=r"bars\.npz has 5 rows to find thresholds and epochs on, and 20 are not enough"
    ):
        make_exits(trained, few, DEVICE, tmp_path, **SHORT)
    with pytest.raises(DataError, match="trained with a loss of its own"):
        make_exits(trained, replace(data, loss="mse"), DEVICE, tmp_path, **SHORT)
    with pytest.raises(UsageError, match="--quantize float16 does not go with exits"):
        make_exits(trained, data, DEVICE, tmp_path, quantize="float16", **SHORT)
    with pytest.raises(UsageError, match="--head is auto, pool, conv, deep, deeper or deepest, not 'big'"):
        make_exits(trained, data, DEVICE, tmp_path, head="big", **SHORT)
    flat = replace(data, x=data.x.reshape(-1, 64), x_val=data.x_val.reshape(-1, 64))
    with pytest.raises(EdgetimeError, match="no place for an exit"):
        make_exits(one_layer(), flat, DEVICE, tmp_path, **SHORT)
