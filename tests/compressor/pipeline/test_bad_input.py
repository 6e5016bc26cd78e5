"""What a compression is given that it cannot use, or can only use in part: one sentence, nothing lost."""

import errno
import resource

import keras
import numpy as np
import pytest
from keras import layers

from compressor import Data, Options, Schedule, compress
from compressor.costs import scaled
from compressor.pipeline.final import training as final_training
from compressor.pipeline.prepare import preparation
from compressor.pipeline.result import files as point_files
from compressor.search import SearchMethod
from compressor.testing.device import FormulaTimeModel
from profiler import files
from profiler.errors import DataError, EdgetimeError, UsageError
from profiler.progress import silent

QUICK = Schedule(epochs=1, batch_size=16, learning_rate=1e-3)
OPTIONS = Options(search=QUICK, final=QUICK, finalists=1)

CUSTOM = """
import keras
import numpy as np


@keras.saving.register_keras_serializable("tests")
class Doubled(keras.layers.Layer):
    def call(self, x):
        return 2.0 * x


def load():
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    x = (rng.normal(size=(60, 8, 8, 1)) + y[:, None, None, None]).astype("float32")
    return (x[:40], y[:40]), (x[40:50], y[40:50]), (x[50:], y[50:])
"""


class Two(SearchMethod):
    """Tries a narrow and a narrower network."""

    name = "two"

    def search(self, problem):
        for share in (2, 4):
            problem.try_configuration(scaled(problem.full, 1 / share))


def rows(count=60, classes=2):
    y = np.arange(count) % classes
    x = np.random.default_rng(0).normal(size=(count, 8, 8, 1)).astype("float32") + y[:, None, None, None]
    return Data(x=x.astype("float32"), y=y)


def save(model, folder):
    model.save(folder / "net.keras")
    return folder / "net.keras"


def network(middle=lambda h: h, name="net"):
    keras.utils.set_random_seed(0)
    source = keras.Input((8, 8, 1))
    h = layers.Conv2D(8, 3, padding="same", activation="relu", name="first")(source)
    h = layers.Conv2D(12, 3, padding="same", activation="relu", name="second")(middle(h))
    h = layers.GlobalAveragePooling2D()(h)
    return keras.Model(source, layers.Dense(2, activation="softmax", name="head")(h), name=name)


def run(model, data, out, **changes):
    asked = {
        "max_accuracy_drop": 100.0,
        "method": Two(),
        "seeds": 1,
        "points": 1,
        "measure": False,
        **changes,
    }
    return compress(model, data, FormulaTimeModel(), out, options=OPTIONS, **asked)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return save(network(), tmp_path_factory.mktemp("plain"))


def test_a_custom_layer_is_left_whole_and_named(tmp_path):
    (tmp_path / "data.py").write_text(CUSTOM)
    scope = {}
    exec(CUSTOM, scope)
    path = save(network(scope["Doubled"](name="doubled")), tmp_path)
    result = run(path, tmp_path / "data.py", tmp_path / "out")
    widths = {row.layer: (row.before, row.after) for row in result.widths}
    assert widths["first"] == (8, 8)
    assert widths["second"][1] < 12
    assert any(row["layer"] == "doubled" for row in result.frozen)
    assert any(note.startswith("Left alone: doubled") for note in result.notes)


def test_a_layer_that_is_used_twice_is_cut_alike_or_named(tmp_path):
    shared = layers.Conv2D(8, 3, padding="same", name="shared")
    path = save(network(lambda h: shared(shared(h))), tmp_path)
    result = run(path, rows(), tmp_path / "out")
    frozen = {row["layer"] for row in result.frozen}
    widths = {row.layer: (row.before, row.after) for row in result.widths}
    assert "shared" in frozen or widths["shared"][1] == widths["first"][1] < 8
    assert widths["second"][1] < 12


def test_rows_and_labels_without_names_are_refused_for_several_inputs_or_outputs(tmp_path):
    one, two = keras.Input((4,), name="one"), keras.Input((4,), name="two")
    h = layers.Dense(4)(layers.Concatenate()([one, two]))
    many = save(keras.Model([one, two], layers.Dense(2)(h), name="pair"), tmp_path)
    with pytest.raises(
        DataError, match=r"x is one array, but the network has the inputs one, two: .* x\.one and x\.two"
    ):
        run(many, rows(), tmp_path / "out")
    source = keras.Input((8, 8, 1))
    h = layers.Flatten()(source)
    forked = save(
        keras.Model(source, [layers.Dense(2, name="a")(h), layers.Dense(3, name="b")(h)], name="fork"),
        tmp_path,
    )
    with pytest.raises(DataError, match="y is one array, but the network has the outputs a, b"):
        run(forked, rows(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_labels_and_values_that_do_not_fit(plain, tmp_path):
    with pytest.raises(DataError, match=r"y\[2\] is class 2, but the network tells 2 classes apart"):
        run(plain, rows(classes=3), tmp_path / "out")
    data = rows()
    data.x[3, 1, 2, 0] = np.nan
    with pytest.raises(DataError, match=r"x\[3, 1, 2, 0\] is nan"):
        run(plain, data, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_target_that_does_not_exist_is_refused_before_any_training(plain, tmp_path, monkeypatch):
    trained = fits(monkeypatch)
    with pytest.raises(UsageError, match="Unknown target 'nix'"):
        run(plain, rows(), tmp_path / "out", measure=True, target="nix")
    assert not trained
    assert not (tmp_path / "out").exists()


def fits(monkeypatch):
    """Counts trainings from now on."""
    fit, calls = preparation.FineTuner.fit, []
    monkeypatch.setattr(preparation.FineTuner, "fit", lambda *a, **o: calls.append(1) or fit(*a, **o))
    return calls


def undisturbed(plain, folder, **changes):
    """How many trainings a run takes that nothing stops."""
    with pytest.MonkeyPatch.context() as patch:
        calls = fits(patch)
        assert run(plain, rows(), folder, **changes).met
    assert len(calls) > 2  # two trials, and networks in full
    return len(calls)


def test_a_disk_that_is_full_costs_nothing_that_was_finished(plain, tmp_path, monkeypatch):
    out, whole = tmp_path / "out", undisturbed(plain, tmp_path / "whole")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Files may not become larger than this: a .keras file does, a line of a finished trial does not.
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(
            EdgetimeError, match=r"Cannot write to .*out \(files may not become larger\): what was"
        ):
            run(plain, rows(), out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len((out / "trials.jsonl").read_text().splitlines()) == 1

    def full(*args, **options):
        raise OSError(errno.ENOSPC, "No space left on device", str(out / "x"))

    calls = fits(monkeypatch)
    for module, name, done in (
        (final_training, "save_keras", 2),
        (point_files, "export", whole),
        (files, "write_text", whole),
    ):
        with monkeypatch.context() as patch:
            if module is files:
                patch.setattr("compressor.pipeline.result.compression_result.write_json", full)
            else:
                patch.setattr(module, name, full)
            with pytest.raises(
                EdgetimeError, match=r"\(no disk space left\): .* give the same command with --resume"
            ):
                run(plain, rows(), out, resume=True)
        assert len(calls) == done
    assert run(plain, rows(), out, resume=True).met
    assert len(calls) == whole
    assert not list(out.rglob(".*")), "a half-written file was left"


@pytest.mark.parametrize("number", [errno.EIO, errno.EROFS, errno.EDQUOT])
def test_other_troubles_of_the_disk_are_told_too(plain, tmp_path, monkeypatch, number):
    def broken(*args, **options):
        raise RuntimeError(f"Unable to synchronously write (errno = {number}, error message = 'x')")

    monkeypatch.setattr("compressor.pipeline.searching.save_keras", broken)
    with pytest.raises(EdgetimeError, match=r"Cannot write to .* what was finished is kept"):
        run(plain, rows(), tmp_path / "out")


def test_an_error_that_is_none_of_the_disk_is_not_called_one(plain, tmp_path, monkeypatch):
    def broken(*args, **options):
        raise RuntimeError("something else")

    monkeypatch.setattr("compressor.pipeline.searching.save_keras", broken)
    with pytest.raises(RuntimeError, match="something else"):
        run(plain, rows(), tmp_path / "out")


def test_stopped_at_every_stage_it_goes_on_and_does_nothing_twice(plain, tmp_path, monkeypatch):
    whole = undisturbed(plain, tmp_path / "whole", points=2)
    calls, stages = fits(monkeypatch), []

    def stopping_at(word):
        def progress(done, note):
            stages.append(note)
            if word in note:
                raise KeyboardInterrupt

        return progress

    out = tmp_path / "out"
    for word in (
        "loading",
        "importance",
        "converting",
        "searching",
        "1 candidates",
        "fine-tuning",
        "exporting",
        "running",
    ):
        with pytest.raises(KeyboardInterrupt):
            run(plain, rows(), out, resume=True, points=2, progress=stopping_at(word))
    result = run(plain, rows(), out, resume=True, points=2, progress=silent)
    assert result.met
    assert len(result.points) == 2
    assert len(calls) == whole
