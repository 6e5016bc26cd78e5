import math
import time
from dataclasses import replace
from itertools import pairwise

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from keras import layers

from compressor.data import Data, StoredRows
from compressor.training import FineTuner, Schedule, TrainingError, pace, task_of, teaching
from compressor.training import finetuning as finetune
from compressor.training.model_io import outputs_of
from compressor.training.shape import make_adam
from compressor.training.teaching import TaughtRows
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
    assert (outcome.epochs, outcome.steps, outcome.passes) == (4, 32, 4.0)
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


def never_better(blobs, monkeypatch):
    tuner = FineTuner(task_of(network(), blobs))
    monkeypatch.setattr(tuner, "_evaluate", lambda outputs: (0.5, 0.5))
    return tuner, Schedule(epochs=50, batch_size=8, learning_rate=1e-4, alpha=0.0, patience=2)


def test_where_nothing_gets_better_the_learning_rate_falls_to_0_and_it_ends(blobs, monkeypatch):
    tuner, patient = never_better(blobs, monkeypatch)
    rates = []
    monkeypatch.setattr(Schedule, "rate_at", lambda schedule, progress: rates.append(progress) or 1e-4)
    outcome = tuner.fit(network(), patient)
    whole = 3 * patient.steps(len(blobs.x))  # the first epoch is the best, and two are not better
    assert outcome.steps == len(rates) == whole + math.ceil(0.2 * whole)
    assert rates[whole] < 0.1
    assert rates[-1] > 0.8


def test_a_network_that_was_trained_before_is_given_time_to_find_a_better_place(blobs, monkeypatch):
    """The first steps at a high learning rate lead away from what it knew: that is not yet the end."""
    scores = iter([(0.9, 0.1), *((0.5 + 0.05 * i, 0.5 - 0.05 * i) for i in range(8))])  # of averages, too
    model = network()
    tuner = FineTuner(task_of(model, blobs))
    monkeypatch.setattr(tuner, "_evaluate", lambda outputs: next(scores))
    before = model.get_weights()
    outcome = tuner.fit(model, replace(SCHEDULE, patience=2))
    assert (outcome.epochs, outcome.score) == (4, 0.9)
    for kept, first in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(kept, first)


def test_a_training_that_is_about_to_end_and_is_killed_ends_as_it_would_have(blobs, monkeypatch, tmp_path):
    tuner, patient = never_better(blobs, monkeypatch)
    whole, kept = tuner.fit(network(), patient), tmp_path / "kept.npz"

    def stop(epoch, score):
        if epoch == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr("compressor.training.finetuning._SAVE_EVERY_S", -1.0)
    with pytest.raises(KeyboardInterrupt):
        tuner.fit(network(), patient, 0, kept, on_epoch=stop)
    assert tuner.fit(network(), patient, 0, kept).steps == whole.steps


def test_a_training_that_was_killed_is_as_long_as_the_run_that_goes_on_with_it_wants(
    blobs, tmp_path, monkeypatch
):
    tuner, kept = FineTuner(task_of(network(), blobs)), tmp_path / "kept.npz"
    short = Schedule(epochs=4, batch_size=16, learning_rate=1e-3, alpha=0.0)

    def stop(epoch, score):
        if epoch == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("compressor.training.finetuning._SAVE_EVERY_S", -1.0)
    with pytest.raises(KeyboardInterrupt):
        tuner.fit(network(), short, 0, kept, on_epoch=stop, seconds=1000.0)
    outcome = tuner.fit(network(), replace(short, epochs=8), 0, kept, seconds=1000.0)
    assert outcome.steps == 8 * short.steps(len(blobs.x))


def test_adam_is_that_of_keras():
    weights = []
    for make in (make_adam, keras.optimizers.Adam):
        keras.utils.set_random_seed(3)
        model = keras.Sequential([layers.Input((4,)), layers.Dense(3, activation="tanh"), layers.Dense(2)])
        optimizer, rows = make(1e-2), np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
        optimizer.build(model.trainable_variables)
        for step in range(5):
            optimizer.learning_rate = 1e-2 / (1 + step)
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(model(rows) ** 2)
            variables = model.trainable_variables
            optimizer.apply(tape.gradient(loss, [v.value for v in variables]), variables)
        weights.append(np.concatenate([w.ravel() for w in model.get_weights()]))
    np.testing.assert_allclose(weights[0], weights[1], atol=1e-5)


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


@pytest.fixture
def clock(monkeypatch):
    """A clock that `step(seconds)` moves."""
    now = [100.0]
    monkeypatch.setattr(pace.time, "monotonic", lambda: now[0])
    return now


def walk(made, clock, seconds, most=10_000):
    """Progress after each step, each of which takes so many seconds."""
    found = []
    while not made.over and len(found) < most:
        clock[0] += seconds(len(found))
        made.step()
        found.append(made.progress)
    return found


def test_without_a_limit_progress_is_even_over_the_steps():
    made = pace.Pace(8)
    assert walk(made, [0.0], lambda step: 0.0) == pytest.approx([i / 8 for i in range(1, 9)])
    assert made.end() == 1.0


@given(st.integers(20, 400), st.floats(0.5, 60), st.floats(0.01, 0.5), st.floats(0.2, 5), st.floats(0, 3))
def test_training_ends_in_time_with_its_learning_rate_at_nothing_however_fast_it_goes(
    steps, given_s, step_s, change, first_s
):
    with pytest.MonkeyPatch.context() as patch:
        now = [100.0]
        patch.setattr(pace.time, "monotonic", lambda: now[0])
        made = pace.Pace(steps, given_s)
        found = walk(made, now, lambda i: first_s if i == 0 else step_s * (change if i > 40 else 1.0))
        took = now[0] - 100.0
        assert all(0 <= one <= other <= 1 for one, other in pairwise(found))
        slack = step_s * max(1.0, change) + 1e-6
        assert took <= max(given_s, first_s + pace.LEAST_STEPS * step_s) + slack
        if len(found) < steps and took > first_s + 50 * step_s:
            assert took >= given_s - 2 * slack
            assert found[-1] > 0.8
        if len(found) == steps:
            assert found[-1] == pytest.approx(1.0)


def test_where_time_is_short_a_network_is_judged_before_its_epoch_ends(clock):
    made = pace.Pace(10_000, seconds=80.0)
    walk(made, clock, lambda step: 0.1, most=20)
    assert made.look_after(1000) in (100, 101)  # of 800 that fit, eight looks
    made.judged(10.0)
    assert 200 < made.look_after(1000) <= 800  # judging takes a quarter of the time at most
    assert pace.Pace(10_000).look_after(1000) == 1000


def test_a_schedule_is_fitted_to_its_seconds_and_what_it_leaves_is_valid(blobs, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(finetune.time, "monotonic", lambda: now[0])
    take = finetune.take
    monkeypatch.setattr(finetune, "take", lambda *rest: (now.__setitem__(0, now[0] + 0.5), take(*rest))[1])
    model = network()
    long = replace(SCHEDULE, epochs=1000, patience=1000)
    outcome = FineTuner(task_of(model, blobs)).fit(model, long, seed=1, seconds=60.0)  # a step takes 1 s
    assert 50 <= outcome.steps <= 60
    assert outcome.complete
    assert outcome.share == outcome.steps / 8000
    assert outcome.epoch_s == pytest.approx(8.0)
    assert outcome.score > 0.9
    none = FineTuner(task_of(model, blobs)).fit(network(), long, seconds=-1.0)
    assert none.steps == pace.LEAST_STEPS


def test_averaged_weights_are_kept_where_they_do_better(blobs, monkeypatch):
    scores = iter([(0.1, 1.0), (0.5, 0.5), (0.8, 0.4), (0.6, 0.4), (0.7, 0.4)])
    model = network()
    tuner = FineTuner(task_of(model, blobs))
    seen = []
    monkeypatch.setattr(
        tuner, "_evaluate", lambda outputs: (seen.append(model.get_weights()), next(scores))[1]
    )
    outcome = tuner.fit(model, replace(SCHEDULE, epochs=2))
    assert outcome.score == 0.8
    raw, averaged = seen[1], seen[2]
    for kept, average, last in zip(model.get_weights(), averaged, raw, strict=True):
        np.testing.assert_array_equal(kept, average)
        assert np.abs(average - last).max() > 0


def test_the_teacher_is_asked_about_each_row_once_and_only_about_rows_that_are_used(blobs):
    asked = []

    def answer(rows):
        asked.append(len(rows))
        return rows[:, :2] * 2

    answers = TaughtRows(answer, blobs.x)
    for chosen in ([3, 5], [5, 3], [3, 7], [7, 7]):
        np.testing.assert_array_equal(answers(np.array(chosen)), blobs.x[chosen][:, :2] * 2)
    assert asked == [2, 2]


def test_answers_that_take_too_much_memory_are_not_kept(blobs, monkeypatch):
    monkeypatch.setattr(teaching, "MOST_BYTES", 100)
    asked = []
    answers = TaughtRows(lambda rows: asked.append(1) or {"a": rows}, blobs.x)
    for _ in range(2):
        np.testing.assert_array_equal(answers(np.array([1, 2]))["a"], blobs.x[1:3])
    assert len(asked) == 2


def test_rows_that_stay_in_their_file_train_the_same_network(blobs):
    kept = replace(blobs, x=StoredRows(blobs.x), x_val=StoredRows(blobs.x_val))
    found = []
    for rows in (blobs, kept):
        model = network()
        outcome = FineTuner(task_of(model, rows), network(1)).fit(
            model, replace(SCHEDULE, epochs=2, alpha=0.5)
        )
        found.append((outcome.score, outcome.loss))
    assert found[0] == pytest.approx(found[1])


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
