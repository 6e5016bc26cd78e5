import math
import time
from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers

from compressor.data import Data
from compressor.training import FineTuner, Schedule, TrainingError, task_of
from compressor.training import finetuning as finetune
from compressor.training.model_io import outputs_of
from profiler.errors import UsageError


@pytest.fixture(scope="module")
def blobs():
    """Two clusters that a line parts."""
    rng = np.random.default_rng(0)
    y = np.arange(96) % 2
    x = (rng.normal(size=(96, 3)) + 2.5 * y[:, None]).astype("float32")
    return Data(x=x[:64], y=y[:64], x_val=x[64:], y_val=y[64:])


def network(seed=0):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            layers.Input((3,)),
            layers.Dense(6, name="a"),
            layers.BatchNormalization(name="norm"),
            layers.ReLU(),
            layers.Dense(2, activation="softmax"),
        ]
    )


SCHEDULE = Schedule(epochs=4, batch_size=8, learning_rate=0.05, alpha=0.0)


def test_training_reaches_a_good_score_and_leaves_the_best_weights(blobs):
    model = network()
    tuner = FineTuner(task_of(model, blobs))
    outcome = tuner.fit(model, SCHEDULE, seed=1)
    assert outcome.score > 0.9
    assert outcome.epochs == 4
    assert outcome.complete
    score, loss = tuner.evaluate(model)
    assert score == outcome.score
    assert loss == pytest.approx(outcome.loss, rel=1e-5)


def test_frozen_layers_stay_as_they_are_and_learn_again_afterwards(blobs):
    model = network()
    frozen = model.layers[:2]  # with the running mean of its batch normalisation
    before = [[np.array(weight) for weight in layer.get_weights()] for layer in model.layers]
    FineTuner(task_of(model, blobs)).fit(model, SCHEDULE, frozen=frozen)
    changed = [
        any(not np.array_equal(one, other) for one, other in zip(layer.get_weights(), weights, strict=True))
        for layer, weights in zip(model.layers, before, strict=True)
    ]
    assert changed == [False, False, False, True]
    assert all(layer.trainable for layer in model.layers)


def test_the_same_seed_gives_the_same_network(blobs):
    results = []
    for seed in (1, 1, 2):
        model = network()
        FineTuner(task_of(model, blobs)).fit(model, SCHEDULE, seed=seed)
        results.append(outputs_of(model, blobs.x_val))
    np.testing.assert_allclose(results[0], results[1], rtol=1e-4, atol=1e-5)
    assert np.abs(results[0] - results[2]).max() > 1e-3


def test_distillation_alone_learns_from_the_teacher(blobs):
    teacher = network()
    FineTuner(task_of(teacher, blobs)).fit(teacher, SCHEDULE)
    student = network(seed=5)
    wrong = Data(x=blobs.x, y=1 - blobs.y, x_val=blobs.x_val, y_val=blobs.y_val)
    task = task_of(student, wrong)  # the labels lie, the teacher does not
    outcome = FineTuner(task, teacher).fit(
        student, Schedule(epochs=6, batch_size=8, learning_rate=0.05, alpha=1.0)
    )
    assert outcome.score > 0.9


def test_layers_keep_their_settings_and_frozen_ones_learn_too(blobs):
    model = network()
    model.get_layer("a").trainable = False
    before = model.get_layer("a").get_weights()[0].copy()
    FineTuner(task_of(model, blobs)).fit(model, SCHEDULE)
    assert np.abs(model.get_layer("a").get_weights()[0] - before).max() > 1e-3
    assert model.get_layer("a").trainable is False
    assert model.get_layer("norm").momentum == 0.99


def test_it_stops_where_nothing_gets_better(blobs):
    model = network()
    patient = Schedule(epochs=50, batch_size=64, learning_rate=1e-12, alpha=0.0, patience=2)
    frozen = [layer for layer in model.layers if layer.name == "norm"]
    frozen[0].set_weights([np.ones(6), np.zeros(6), np.zeros(6), np.ones(6)])
    outcome = FineTuner(task_of(model, blobs)).fit(model, patient)
    assert outcome.epochs < 50


def test_a_network_that_was_trained_before_is_given_time_to_find_a_better_place(blobs, monkeypatch):
    """The first steps at a high learning rate lead away from what it knew: that is not yet the end."""
    scores = iter([(0.9, 0.1), (0.5, 0.5), (0.6, 0.4), (0.7, 0.3), (0.8, 0.2)])
    model = network()
    tuner = FineTuner(task_of(model, blobs))
    monkeypatch.setattr(tuner, "_evaluate", lambda outputs: next(scores))
    before = model.get_weights()
    outcome = tuner.fit(model, replace(SCHEDULE, patience=2))
    assert (outcome.epochs, outcome.score) == (4, 0.9)
    for kept, first in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(kept, first)


def test_a_deadline_ends_training_with_what_there_is(blobs):
    model = network()
    outcome = FineTuner(task_of(model, blobs)).fit(model, SCHEDULE, deadline=time.monotonic() - 1)
    assert not outcome.complete
    assert outcome.epochs == 0
    assert math.isfinite(outcome.score)


def test_an_epoch_that_the_deadline_cuts_is_as_if_it_had_not_begun(blobs, tmp_path, monkeypatch):
    """Who goes on from the checkpoint ends where a run does that was never cut."""
    monkeypatch.setattr(finetune, "_SAVE_EVERY_S", 0.0)
    whole = network()
    expected = FineTuner(task_of(whole, blobs)).fit(whole, SCHEDULE, seed=3)
    now = [0.0]
    monkeypatch.setattr(finetune.time, "monotonic", lambda: now[0])

    def then_busy(epoch, score):
        now[0] += 1.0
        if epoch == 2:
            take = finetune.take
            monkeypatch.setattr(
                finetune, "take", lambda *rest: (now.__setitem__(0, now[0] + 9.0), take(*rest))[1]
            )

    cut = network()
    outcome = FineTuner(task_of(cut, blobs)).fit(
        cut, SCHEDULE, 3, tmp_path / "c.npz", deadline=20.0, on_epoch=then_busy
    )
    assert (outcome.complete, outcome.epochs) == (False, 2)
    resumed = network(seed=9)
    again = FineTuner(task_of(resumed, blobs)).fit(resumed, SCHEDULE, 3, tmp_path / "c.npz")
    assert (again.complete, again.epochs) == (True, expected.epochs)
    np.testing.assert_allclose(
        outputs_of(resumed, blobs.x_val), outputs_of(whole, blobs.x_val), rtol=1e-4, atol=1e-5
    )


def test_divergence_is_one_sentence(blobs):
    model = keras.Sequential([layers.Input((3,)), layers.Dense(4), layers.Dense(2)])
    bold = Schedule(epochs=3, batch_size=16, learning_rate=1e30, alpha=0.0)
    with pytest.raises(
        TrainingError, match=r"Fine-tuning diverged: the loss became \w+ in epoch \d at a learning rate"
    ):
        FineTuner(task_of(model, blobs)).fit(model, bold)


def test_a_killed_run_goes_on_from_its_checkpoint(blobs, tmp_path, monkeypatch):
    monkeypatch.setattr(finetune, "_SAVE_EVERY_S", 0.0)
    whole = network()
    FineTuner(task_of(whole, blobs)).fit(whole, SCHEDULE, seed=3)
    epochs = []

    def stop_after_two(epoch, score):
        epochs.append(epoch)
        if epoch == 3:
            raise KeyboardInterrupt

    half = network()
    with pytest.raises(KeyboardInterrupt):
        FineTuner(task_of(half, blobs)).fit(half, SCHEDULE, 3, tmp_path / "c.npz", on_epoch=stop_after_two)
    resumed = network(seed=9)
    epochs.clear()
    FineTuner(task_of(resumed, blobs)).fit(
        resumed, SCHEDULE, 3, tmp_path / "c.npz", on_epoch=lambda epoch, score: epochs.append(epoch)
    )
    assert epochs == [3, 4]
    np.testing.assert_allclose(
        outputs_of(resumed, blobs.x_val), outputs_of(whole, blobs.x_val), rtol=1e-4, atol=1e-5
    )


def test_a_checkpoint_of_another_run_or_a_damaged_one_is_not_used(blobs, tmp_path):
    path = tmp_path / "c.npz"
    model = network()
    FineTuner(task_of(model, blobs)).fit(model, SCHEDULE, 0, path)
    for spoil in (lambda: None, lambda: path.write_bytes(path.read_bytes()[:300])):
        spoil()
        epochs = []
        other = network()
        FineTuner(task_of(other, blobs)).fit(other, SCHEDULE, 1, path, on_epoch=lambda e, s: epochs.append(e))
        assert epochs[0] == 0


def test_augmentation_is_applied_to_training_rows_only(blobs):
    seen = []

    def augment(rows):
        seen.append(rows.shape)
        return rows + 0.01

    model = network()
    rows = Data(x=blobs.x, y=blobs.y, x_val=blobs.x_val, y_val=blobs.y_val, augment=augment)
    FineTuner(task_of(model, rows), teacher=network(1)).fit(model, Schedule(epochs=1, batch_size=16))
    assert seen == [(16, 3)] * 4


def test_an_epoch_looks_at_no_more_rows_than_asked(blobs):
    seen = []
    rows = Data(
        x=blobs.x, y=blobs.y, x_val=blobs.x_val, y_val=blobs.y_val, augment=lambda x: seen.append(len(x)) or x
    )
    model = network()
    FineTuner(task_of(model, rows)).fit(model, Schedule(epochs=2, batch_size=16, most_rows=32, alpha=0.0))
    assert seen == [16] * 4


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"epochs": 0}, "epochs must be 1 or more"),
        ({"learning_rate": -1.0}, "learning_rate must be above 0"),
        ({"alpha": 2.0}, "alpha must be between 0 and 1"),
        ({"most_rows": 0}, "most_rows must be 1 or more"),
    ],
)
def test_impossible_schedules_are_named(options, words):
    with pytest.raises(UsageError, match=words):
        Schedule(**options)
