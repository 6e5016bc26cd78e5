from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from compressor.data import Data
from compressor.training import Task, task_of
from profiler.errors import DataError, UsageError

ROWS = np.random.default_rng(0).normal(size=(12, 4)).astype("float32")


def data(y, **options):
    return Data(x=ROWS, y=np.asarray(y), **options)


def network(units, activation):
    return keras.Sequential([layers.Input((4,)), layers.Dense(units, activation=activation)])


@pytest.mark.parametrize(
    ("units", "activation", "head"),
    [(3, "softmax", "softmax"), (3, None, "logits"), (1, "sigmoid", "sigmoid"), (1, None, "logit")],
)
def test_the_head_is_found_out(units, activation, head):
    assert task_of(network(units, activation), data(np.arange(12) % 2)).head == head


def test_all_heads_mean_the_same_by_the_same_numbers():
    y = np.array([0, 1, 1])
    p = np.array([0.2, 0.9, 0.4], "float32")
    logit = np.log(p / (1 - p))
    both = np.stack([1 - p, p], axis=1)
    expected = -np.mean(np.log([0.8, 0.9, 0.4]))
    cases = {"softmax": both, "logits": np.log(both) + 3, "sigmoid": p[:, None], "logit": logit[:, None]}
    for head, outputs in cases.items():
        task = Task(head, data(np.arange(12) % 2))
        assert float(task.loss(y, outputs)) == pytest.approx(expected, rel=1e-5), head
        assert task.heads[""].answers(outputs).tolist() == [0, 1, 0], head
        assert task.score(outputs, ROWS[:3], y) == pytest.approx(2 / 3), head
        np.testing.assert_allclose(task.losses(y, outputs), -np.log([0.8, 0.9, 0.4]), rtol=1e-5)
        assert float(task.distance(outputs, outputs, 2.0)) == pytest.approx(0, abs=1e-6), head
    teacher = Task("logits", data(np.arange(12) % 2))
    assert float(teacher.distance(np.log(both), np.log(both[::-1]), 1.0)) > 0.05


def test_distance_is_the_divergence_of_softened_classes():
    task = Task("logits", data(np.arange(12) % 2))
    mine, theirs = np.array([[2.0, 0.0]], "float32"), np.array([[0.0, 2.0]], "float32")
    p = np.exp([0.0, 1.0]) / np.exp([0.0, 1.0]).sum()
    expected = 4 * ((p * (np.log(p) - np.log(p[::-1]))).sum())
    assert float(task.distance(mine, theirs, 2.0)) == pytest.approx(expected, rel=1e-5)


def test_a_loss_and_a_metric_of_ones_own_are_used():
    def metric(model, rows):
        x, y = rows
        return -float(np.abs(model.predict(x) - y).max())

    own = data(np.ones((12, 2), "float32"), loss="mse", metric=metric)
    task = task_of(network(2, None), own)
    assert task.head == "values"
    assert task.score_name == "score"
    outputs = np.zeros((12, 2), "float32")
    assert float(task.loss(own.y, outputs)) == pytest.approx(1.0)
    assert task.score(outputs, own.x, own.y) == -1.0
    assert float(task.distance(outputs, own.y * np.arange(2), 1.0)) == pytest.approx(0.5 / 0.25, rel=1e-4)


def test_a_loss_alone_scores_by_minus_the_loss():
    own = data(np.ones((12, 2), "float32"), loss="mse")
    task = task_of(network(2, None), own)
    assert task.score(np.zeros((12, 2), "float32"), own.x, own.y) == pytest.approx(-1.0)


@pytest.mark.parametrize("loss", ["mse", lambda y, outputs: tf.reduce_sum((y - outputs) ** 2) / 2])
def test_a_loss_of_ones_own_by_row(loss):
    task = Task("values", data(np.zeros((12, 2), "float32"), loss=loss))
    outputs = tf.constant([[1.0, 3.0], [0.0, 2.0]])
    np.testing.assert_allclose(task.losses(np.zeros((2, 2), "float32"), outputs), [5.0, 2.0])


def test_labels_beyond_the_head_are_named():
    with pytest.raises(DataError, match=r"y\[7\] is class 7, but the network tells 3 classes"):
        task_of(network(3, "softmax"), data([0, 1, 2, 0, 1, 2, 0, 7, 1, 1, 1, 1]))


def test_rows_of_another_shape_are_named():
    with pytest.raises(DataError, match="rows of x have shape"):
        task_of(keras.Sequential([layers.Input((5,)), layers.Dense(2)]), data(np.arange(12) % 2))


def two_by_two(**options):
    """Two inputs; an output of three classes and one of two numbers."""
    a, b = keras.Input((4,), name="left"), keras.Input((2,), name="right")
    x = layers.Concatenate()([a, b])
    kind = layers.Dense(3, activation="softmax", name="kind")(x)
    place = layers.Dense(2, name="place")(x)
    rows = {"right": ROWS[:, :2], "left": ROWS}
    labels = {"place": np.ones((12, 2), "float32"), "kind": np.arange(12) % 3}
    return keras.Model([a, b], [kind, place]), Data(
        x=rows, y=labels, **({"loss": {"place": "mse"}} | options)
    )


def test_rows_and_labels_go_by_the_names_of_inputs_and_outputs():
    model, both = two_by_two()
    task = task_of(model, both)
    assert task.head == {"kind": "softmax", "place": "values"}
    assert list(task.data.x) == ["left", "right"]
    assert list(task.data.y) == ["kind", "place"]


def test_the_loss_is_a_weighted_sum_over_outputs_and_the_score_a_mean():
    model, both = two_by_two(loss_weights={"place": 0.25})
    task = task_of(model, both)
    x, y = task.data.x, task.data.y
    outputs = {"kind": np.full((12, 3), 1 / 3, "float32"), "place": np.zeros((12, 2), "float32")}
    assert float(task.loss(y, outputs)) == pytest.approx(np.log(3) + 0.25, rel=1e-5)
    np.testing.assert_allclose(
        task.losses(y, {n: tf.constant(v) for n, v in outputs.items()}), np.log(3) + 0.25, rtol=1e-5
    )
    assert task.score(outputs, x, y) == pytest.approx((1 / 3 - 1) / 2)
    assert float(task.distance(outputs, outputs, 2.0)) == pytest.approx(0, abs=1e-6)
    assert task.score_name == "score"


def test_metrics_are_by_output_or_of_all_outputs():
    model, both = two_by_two(metric={"place": lambda y, outputs: 0.5})
    task = task_of(model, both)
    outputs = {"kind": np.eye(3)[np.arange(12) % 3], "place": np.zeros((12, 2), "float32")}
    assert task.score(outputs, task.data.x, task.data.y) == pytest.approx(0.75)
    model, both = two_by_two(
        metric=lambda model, rows: model.predict(rows[0])["kind"].sum() + rows[1]["place"][0, 0]
    )
    task = task_of(model, both)
    assert task.score(outputs, task.data.x, task.data.y) == pytest.approx(13)


def test_where_all_outputs_are_classes_the_share_of_right_answers_is_by_row():
    task = Task({"a": "softmax", "b": "logit"}, Data(x=ROWS, y={"a": np.zeros(2, int), "b": np.ones(2, int)}))
    outputs = {"a": np.array([[1, 0], [0, 1]]), "b": np.array([[3.0], [2.0]])}
    np.testing.assert_array_equal(task.right(outputs, task.data.y), [1.0, 0.5])
    assert task.score(outputs, task.data.x, task.data.y) == 0.75
    assert task.score_name == "accuracy"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"x": ROWS},
            "x is one array, but the network has the inputs left, right: give .* x.left and x.right",
        ),
        ({"x": {"left": ROWS}}, "has x.left, but the network has the inputs left, right"),
        (
            {"y": np.arange(12) % 3, "loss": None},
            "y is one array, but the network has the outputs kind, place",
        ),
        ({"loss": "mse"}, "loss is one function, but the network has the outputs kind, place"),
        ({"loss": {"where": "mse"}}, "loss is by output and names where, but the network has the outputs"),
        ({"metric": {"where": max}}, "metric is by output and names where"),
        (
            {"x": {"left": ROWS, "right": ROWS}},
            r"rows of x.right have shape \(4\), but the network takes \(2\)",
        ),
        (
            {"y": {"kind": np.full(12, 3), "place": np.ones((12, 2))}},
            r"y.kind\[0\] is class 3, but the network tells 3",
        ),
    ],
)
def test_what_does_not_fit_several_inputs_or_outputs_is_named(changes, words):
    model, both = two_by_two()
    with pytest.raises(DataError, match=words):
        task_of(model, replace(both, **changes))


def test_a_network_of_one_input_and_output_takes_them_by_name_too():
    a = keras.Input((4,), name="left")
    model = keras.Model(a, layers.Dense(2, name="kind")(a))
    task = task_of(model, Data(x={"left": ROWS}, y={"kind": np.arange(12) % 2}))
    assert task.head == "logits"
    assert task.data.x is ROWS
    with pytest.raises(DataError, match="loss is by output and names kind, but the network has one output"):
        task_of(model, data(np.ones((12, 2)), loss={"kind": "mse"}))


def test_outputs_of_one_name_are_refused():
    a = keras.Input((4,))
    half = keras.ops.split(layers.Dense(4, name="kind")(a), 2, axis=-1)
    with pytest.raises(UsageError, match="several outputs of one name"):
        task_of(keras.Model(a, half), data(np.arange(12) % 2))


def test_maps_of_classes_need_a_loss():
    source = keras.Input((4, 4, 1))
    model = keras.Model(source, layers.Conv2D(3, 1)(source))
    rows = Data(x=np.zeros((6, 4, 4, 1), "float32"), y=np.arange(6) % 3)
    with pytest.raises(DataError, match="defines `loss` and `metric`"):
        task_of(model, rows)


def test_a_broken_network_is_named():
    model = network(2, None)
    model.layers[0].set_weights([np.full((4, 2), np.nan, "float32"), np.zeros(2, "float32")])
    with pytest.raises(DataError, match="NaN or infinity"):
        task_of(model, data(np.arange(12) % 2))
