"""Time models from tables: features by what predicts better, at most 40 leaves, leaves fitted anew on another device."""

from pathlib import Path

import numpy as np
import pytest

from profiler.errors import DataError
from profiler.operators import conv_2d, fully_connected, unary
from timemodel.explain import explain
from timemodel.features import geometry
from timemodel.fitting.tables import (
    MAX_LEAVES,
    Csv,
    LayerTable,
    fit_leaves,
    fit_table_operator,
    fit_tables,
    read_table,
)
from timemodel.fitting.tables.csv_files import Record
from timemodel.model import TimeModel
from timemodel.tree import TimeTreeRegressor, refit


def gpu_layers(count, seed=0):
    rng = np.random.default_rng(seed)
    return [
        fully_connected(int(i), int(o), rows=int(b))
        for b, i, o in zip(
            rng.integers(1, 33, count),
            rng.integers(16, 4096, count),
            rng.integers(16, 4096, count),
            strict=True,
        )
    ]


def gpu_ms(layer, speed=1.0):
    """Tiles of 32 outputs; eight of them run at a time."""
    out, into = layer.inputs[1].shape
    waves = np.ceil(np.ceil(out / 32) / 8)
    return (0.05 + 2e-5 * waves * into + 4e-8 * layer.weight_bytes / 4) / speed


def table_of(layers, times, path="made-up.csv"):
    records = tuple(Record(i + 2, {"time_ms": str(t)}) for i, t in enumerate(times))
    return LayerTable(Csv(Path(path), ("time_ms",), records), tuple(layers), np.array(times), ())


@pytest.fixture(scope="module")
def parallel():
    layers = gpu_layers(250)
    return fit_table_operator("fully_connected", "float32", layers, np.array([gpu_ms(x) for x in layers]))


def test_a_device_with_waves_is_described_by_its_waves(parallel):
    assert parallel.parallel
    assert parallel.error.mean_error < 0.02
    unseen = gpu_layers(200, seed=9)
    off = parallel.predict_ms(geometry(unseen)) / [gpu_ms(x) for x in unseen] - 1
    assert np.abs(off).mean() < 0.03
    assert 1 <= parallel.tree.n_leaves_ <= MAX_LEAVES


def test_a_device_of_the_usual_kind_keeps_the_usual_features():
    rng = np.random.default_rng(0)
    layers = [
        conv_2d(int(h), int(h), int(i), int(o))
        for h, i, o in zip(
            rng.integers(4, 40, 90), rng.integers(1, 80, 90), rng.integers(1, 80, 90), strict=True
        )
    ]
    tiles = np.array(
        [np.ceil(x.outputs[0].shape[3] / 16) * 16 * x.macs / x.outputs[0].shape[3] for x in layers]
    )
    model = fit_table_operator("conv_2d", "float32", layers, 0.001 + tiles * 1e-6)
    assert not model.parallel
    assert model.tiles["out_channels"] == 16


def test_the_splits_of_one_device_serve_another_with_few_rows(parallel):
    few = gpu_layers(40, seed=3)
    moved = fit_leaves(parallel, few, np.array([gpu_ms(x, speed=7.0) for x in few]))
    splits = [(node.feature, node.threshold, node.modulus) for node in parallel.tree.nodes_]
    assert [(node.feature, node.threshold, node.modulus) for node in moved.tree.nodes_] == splits
    unseen = gpu_layers(100, seed=4)
    off = moved.predict_ms(geometry(unseen)) / [gpu_ms(x, speed=7.0) for x in unseen] - 1
    assert np.abs(off).mean() < 0.05


def test_fit_save_load_and_predict(tmp_path, parallel):
    layers = gpu_layers(120) + [unary("tanh", (1, n)) for n in range(10, 15)]
    times = [gpu_ms(x) if x.op == "fully_connected" else 0.01 for x in layers]
    model, notes = fit_tables([table_of(layers, times)], "a made-up GPU")
    assert any("tanh float32 has 5 layers" in note for note in notes)
    assert model.operators() == [("fully_connected", "float32")]
    path = tmp_path / "m.timemodel.json"
    model.save(path)
    again = TimeModel.load(path)
    assert np.array_equal(again.predict_layers_ms(layers), model.predict_layers_ms(layers))
    assert again.setting().operators["fully_connected", "float32"].parallel
    seen = again.setting().layer_times(layers)
    assert seen.covered[:120].all()
    assert not seen.covered[120:].any()
    assert (seen.low_ms <= seen.predicted_ms).all()
    assert (seen.predicted_ms <= seen.high_ms).all()
    assert explain(again.setting())


def test_parallel_features_are_explained_in_words(parallel):
    from timemodel.explain.explanation import explain_operator

    text = explain_operator(parallel)
    assert "fully_connected float32" in text
    assert "_" not in text.replace("fully_connected", "").replace("conv_2d", "")


def test_too_few_rows_are_refused():
    layers = gpu_layers(5)
    with pytest.raises(DataError, match="fewer than 8"):
        fit_tables([table_of(layers, [1.0] * 5)], "x")


# --- leaves fitted anew -----------------------------------------------------------------------------------------------


def test_refit_keeps_splits_and_finds_each_sides_own_price():
    rng = np.random.default_rng(0)
    x = rng.uniform(1, 100, 400)
    X = np.column_stack([x, x])
    tree = TimeTreeRegressor([0], [1], cv=0).fit(X, np.where(x <= 50, x, 5 * x))
    new = refit(tree, X, np.where(x <= 50, 3 * x, 4 * x))
    ask = np.array([[10.0, 10.0], [90.0, 90.0]])
    assert new.predict_rows(ask) == pytest.approx([30.0, 360.0], rel=0.02)
    assert tree.predict_rows(ask) == pytest.approx([10.0, 450.0], rel=0.02)


def test_refit_does_not_follow_a_few_wild_rows():
    x = np.linspace(1, 100, 200)
    y = 2 * x
    y[::20] *= 30
    X = np.column_stack([x, x])
    tree = TimeTreeRegressor([0], [1], cv=0, max_leaves=1).fit(X, 2 * x)
    assert refit(tree, X, y).predict_rows(np.array([[50.0, 50.0]])) == pytest.approx([100.0], rel=0.01)


def test_refit_leaves_that_no_row_reaches_take_their_parents_price():
    x = np.linspace(1, 100, 200)
    X = np.column_stack([x, x])
    tree = TimeTreeRegressor([0], [1], cv=0).fit(X, np.where(x <= 50, x, 9 * x))
    assert tree.n_leaves_ > 1
    low = x <= 30
    new = refit(tree, X[low], 2 * x[low])
    assert new.predict_rows(np.array([[90.0, 90.0]])) == pytest.approx([180.0], rel=0.02)


def test_refit_does_not_depend_on_the_unit():
    rng = np.random.default_rng(1)
    x = rng.uniform(1, 100, 200)
    X, y = np.column_stack([x, x]), 2 * x + rng.uniform(0, 9, 200)
    tree = TimeTreeRegressor([0], [1], cv=0).fit(X, y)
    assert refit(tree, X, 1e6 * y).predict_rows(X) == pytest.approx(1e6 * refit(tree, X, y).predict_rows(X))


@pytest.mark.shared_data
def test_gpu_rows_not_learned_from_are_predicted(shared_data):
    table = read_table(shared_data / "latency" / "gpu_layers" / "dense_k80.csv.gz")
    learn = list(table.layers[:500])
    model = fit_table_operator("fully_connected", "float32", learn, table.times_ms[:500])
    times = table.times_ms[500:2000]
    off = np.abs(model.predict_ms(geometry(table.layers[500:2000])) / times - 1)
    assert model.tree.n_leaves_ <= MAX_LEAVES
    assert off.mean() < 0.06


def test_an_operator_with_few_layers_is_estimated_as_high_as_these_are():
    """Three layers that take a fifth of what others do: not a model, but a better estimate than the general one."""
    known = [conv_2d(8, 8, 8, 8 + 4 * i, kernel=(1, 1)) for i in range(30)]
    few = [fully_connected(64, 100 + 30 * i) for i in range(3)]

    def cost_ms(layer, factor=1.0):
        return factor * (1e-3 + 1e-7 * layer.macs)

    layers = [*known, *few]
    times = [*(cost_ms(layer) for layer in known), *(cost_ms(layer, 0.2) for layer in few)]
    model, notes = fit_tables([table_of(layers, times)], "board")
    assert any("fully_connected float32 has 3 layers" in note for note in notes)
    new = fully_connected(64, 145)
    found = model.setting().layer_times([new])
    assert not found.covered[0]
    assert found.predicted_ms[0] == pytest.approx(cost_ms(new, 0.2), rel=0.35)
    assert model.predict_layers_ms([unary("tanh", (1, 50))])[0] > 0  # of which nothing is known
    assert model.operators() == [("conv_2d", "float32")]
    assert [error.op for error in model.errors] == ["conv_2d"]
    assert len(explain(model.setting())) == 2  # one operator, and the runtime
