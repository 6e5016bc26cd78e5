"""How the critic and the compressor learn, on a task whose useful channels are known."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from compressor.data import Data
from compressor.graph import build_graph
from compressor.search.deepiot import FastDeepIoT
from compressor.search.deepiot.options import Rates
from compressor.search.deepiot.training import Training
from compressor.training import Task, TrainingError

USEFUL, ALL = 4, 8


def copying_network():
    """A layer whose channels are the inputs one by one; the head knows what to make of the first four, and is
    thrown off by the rest."""
    model = keras.Sequential(
        [
            layers.Input((ALL,)),
            layers.Dense(ALL, name="copy"),
            layers.Dense(2, activation="softmax", name="head"),
        ]
    )
    model.get_layer("copy").set_weights([np.eye(ALL, dtype="float32"), np.zeros(ALL, "float32")])
    head = np.zeros((ALL, 2), "float32")
    head[:USEFUL] = [-1.0, 1.0]
    head[USEFUL:] = [-0.5, 0.5]
    model.get_layer("head").set_weights([head, np.zeros(2, "float32")])
    return model


def copying_task(rows=512, seed=0):
    """The class is the sign of what the first four inputs agree on; the others are noise."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, rows)
    x = rng.normal(scale=1.0, size=(rows, ALL)).astype("float32")
    x[:, :USEFUL] += (2 * y - 1)[:, None]
    return Data(x=x, y=y)


def prepared(model=None, data=None):
    model = copying_network() if model is None else model
    data = copying_task() if data is None else data
    return SimpleNamespace(model=model, graph=build_graph(model), task=Task("softmax", data))


NO_SLOPES = np.zeros(ALL)


def test_channels_of_noise_become_less_likely_than_useful_ones():
    training = Training(prepared(), Rates(batch_size=128, critic_rate=1e-4, alpha=0.0), seed=0)
    np.testing.assert_allclose(training.probabilities, 0.8, atol=0.05)
    training.run(400, 0.0, NO_SLOPES)
    p = training.probabilities
    assert p[:USEFUL].min() > p[USEFUL:].max() + 0.1
    assert p[:USEFUL].mean() > 0.8


def test_a_slope_lowers_its_channels():
    slopes = np.where(np.arange(ALL) % 2, 5.0, 0.0)
    training = Training(prepared(), Rates(batch_size=16), seed=0)
    training.run(60, 0.0, slopes)
    p = training.probabilities
    assert p[1::2].max() < p[::2].min()


def test_one_step_by_hand():
    """The compressor's step against the closed form: for p = sigmoid(a), d log P(m) / da = m - p."""
    one = prepared()
    rates = Rates(batch_size=32, critic_rate=0.0, l2=0.0, compressor_rate=1.0)
    training = Training(one, rates, seed=7)
    p = training.probabilities
    offset = training._keep.variables[-1]
    before = offset.numpy()
    rows, labels = (np.asarray(v) for v in training._batch(1))  # the second batch is the compressor's
    training.run(1, 0.0, NO_SLOPES)
    uniform = tf.random.stateless_uniform([32, ALL], tf.constant([7, 1])).numpy()
    masks = np.floor(p + uniform)
    kernel, bias = one.model.get_layer("head").get_weights()
    logits = (rows * masks) @ kernel + bias
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    losses = -np.log(chances[np.arange(32), labels] + 1e-7)
    advantage = (losses - losses.mean()) / max(1.0, losses.std())  # the averages begin with the first batch
    gradient = ((masks - p) * advantage[:, None]).mean(axis=0)
    square = 0.9 * 1.0 + 0.1 * gradient**2
    np.testing.assert_allclose(offset.numpy() - before, -gradient / np.sqrt(square), rtol=1e-3, atol=1e-6)
    assert float(training._mean) == pytest.approx(losses.mean(), rel=1e-4)
    assert float(training._std) == pytest.approx(losses.std(), rel=1e-4)


def test_the_critic_learns_under_masks():
    data = copying_task()
    model = copying_network()
    model.get_layer("head").set_weights([np.zeros((ALL, 2), "float32"), np.zeros(2, "float32")])
    training = Training(prepared(model, data), Rates(critic_rate=1e-2, compressor_rate=1e-6), seed=0)
    training.run(60, 0.0, NO_SLOPES)
    whole = training.network({"copy": list(range(ALL))}, 0.0)
    assert np.mean(np.argmax(whole(data.x), axis=1) == data.y) > 0.9
    np.testing.assert_array_equal(model.get_layer("head").get_weights()[0], 0)  # the original is not touched


@pytest.mark.parametrize(("alpha", "agrees"), [(1.0, True), (0.0, False)])
def test_the_original_teaches_the_critic(alpha, agrees):
    data = copying_task()
    wrong = Data(x=data.x, y=1 - data.y)
    rates = Rates(critic_rate=1e-2, compressor_rate=1e-6, alpha=alpha)
    training = Training(prepared(copying_network(), wrong), rates, seed=0)
    training.run(60, 0.0, NO_SLOPES)
    whole = training.network({"copy": list(range(ALL))}, 0.0)
    assert (np.mean(np.argmax(whole(data.x), axis=1) == data.y) > 0.9) == agrees


def test_the_networks_of_candidates_are_the_critic_with_probabilities_multiplied_in():
    one = prepared()
    training = Training(one, Rates(batch_size=32), seed=0)
    training.run(5, 0.0, NO_SLOPES)
    p = training.probabilities
    threshold = float(np.median(p))
    keep = [i for i in range(ALL) if p[i] >= threshold]
    scale = np.where(p < threshold, p / 2, p)
    masks = np.where(np.isin(np.arange(ALL), keep), scale, 0)[None].astype("float32")
    expected = training._twin(one.task.data.x[:8], tf.constant(masks), training=False)
    smaller = training.network({"copy": keep}, threshold)
    assert build_graph(smaller).widths == {"copy": len(keep)}
    np.testing.assert_allclose(smaller(one.task.data.x[:8]), expected, rtol=1e-4, atol=1e-5)


def test_restored_training_goes_on_as_if_it_had_not_stopped():
    model = keras.Sequential(
        [
            layers.Input((ALL,)),
            layers.Dense(6, name="copy"),
            layers.BatchNormalization(),
            layers.Dropout(0.2, seed=1),
            layers.Dense(2, activation="softmax", name="head"),
        ]
    )
    one = prepared(model)
    whole = Training(one, Rates(batch_size=200), seed=3)
    slopes = np.zeros(6)
    whole.run(3, 0.0, slopes)
    stored = whole.arrays()
    whole.run(4, 0.5, slopes)
    again = Training(one, Rates(batch_size=200), seed=3)
    assert again.restore(stored)
    again.run(4, 0.5, slopes)
    np.testing.assert_allclose(again.probabilities, whole.probabilities, rtol=1e-6)
    for name, values in whole._twin.weights().items():
        for value, other in zip(values, again._twin.weights()[name], strict=True):
            np.testing.assert_allclose(other, value, rtol=1e-5, atol=1e-6)
    assert not Training(one, Rates(batch_size=100), seed=3).restore(stored)


def test_training_that_diverges_is_told():
    data = copying_task(64)
    broken = Data(x=np.where(data.x > 2, np.nan, data.x), y=data.y)
    with pytest.raises(TrainingError, match="check that inputs are scaled"):
        Training(prepared(data=broken), Rates(batch_size=64), seed=0).run(2, 0.0, NO_SLOPES)


def test_a_search_that_is_killed_ends_as_one_that_is_not(tmp_path):
    from compressor.search import Goal
    from compressor.testing.keras_task import keras_bench

    bench = keras_bench()
    goal = Goal(budget_ms=bench.between(0.5))

    def search(folder, killed=False):
        problem = bench.problem(goal, tmp_path / folder)
        if killed:

            def stop(share, note):
                if share > 0.5:
                    raise KeyboardInterrupt

            problem.progress = stop
        return FastDeepIoT(iterations=3, steps=5, batch_size=32).run(problem)

    whole = search("whole")
    with pytest.raises(KeyboardInterrupt):
        search("killed", killed=True)
    again = search("killed")
    assert [trial.candidate for trial in again] == [trial.candidate for trial in whole]
    assert goal.met_by(whole[0])
