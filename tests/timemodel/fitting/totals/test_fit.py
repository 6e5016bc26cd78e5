"""Times of whole networks as sums of layers: what is read, what is learned, and what is refused."""

import gzip
import json

import numpy as np
import pytest

from profiler.errors import DataError, UsageError
from profiler.operators import conv_2d, depthwise_conv_2d
from timemodel.explain import explain
from timemodel.fitting.totals import Totals, fit_prices, fit_totals, fit_totals_table, misfit, read_totals
from timemodel.fitting.totals.prices import common_profile
from timemodel.fitting.totals.table import read_layers
from timemodel.model import TimeModel


def made_up_networks(count, seed=0):
    rng = np.random.default_rng(seed)
    networks = []
    for _ in range(count):
        side, width, layers = 56, int(rng.choice([8, 12, 16, 24])), []
        for _ in range(int(rng.integers(4, 12))):
            wider = int(rng.choice([16, 24, 30, 32, 48, 64]))
            layers.append(conv_2d(side, side, width, wider, (1, 1), activation="relu"))
            layers.append(depthwise_conv_2d(side, side, wider, (int(rng.choice([3, 5])),) * 2))
            width = wider
            side = max(7, side // int(rng.choice([1, 2])))
        networks.append(tuple(layers))
    return networks


def made_up_ms(layer, speed):
    """Channels that are no multiple of 4 cost half as much again."""
    moved = (layer.input_bytes + layer.output_bytes) / 4
    odd = layer.outputs[0].shape[3] % 4 or layer.inputs[0].shape[3] % 4
    return (layer.macs + 12 * moved) * (1.5 if odd else 1.0) / speed


@pytest.fixture(scope="module")
def made_up():
    networks = made_up_networks(40)
    speeds = np.array([1e6, 3e6, 2.5e7])
    times = np.array([[sum(made_up_ms(x, s) for x in n) for s in speeds] for n in networks])
    noise = np.exp(np.random.default_rng(1).normal(0, 0.01, times.shape))
    return networks, times * noise


def test_prices_and_trees_predict_networks_that_were_not_seen(made_up):
    networks, times = made_up
    prices = fit_prices(networks[:32], times[:32])
    assert np.abs(prices.networks_ms(networks[32:]) / times[32:] - 1).mean() < 0.05
    model = fit_totals(networks[:32], times[:32])
    assert np.abs(model.networks_ms(networks[32:]) / times[32:] - 1).mean() < 0.06


def test_a_networks_time_is_the_sum_of_its_layers_prices(made_up):
    networks, times = made_up
    prices = fit_prices(networks, times)
    apart = np.array([prices.layers_ms(layers).sum(axis=0) for layers in networks[:10]])
    assert apart == pytest.approx(prices.networks_ms(networks[:10]), rel=0.01)
    model = fit_totals(networks, times)
    alone = np.array([model.networks_ms([[layer]])[0] for layer in networks[0]])
    assert alone.sum(axis=0) == pytest.approx(model.networks_ms(networks[:1])[0])


def test_prices_are_positive_and_scale_with_the_device(made_up):
    networks, times = made_up
    layers = [layer for network in networks for layer in network]
    prices = fit_prices(networks, times).layers_ms(layers)
    assert (prices > 0).all()
    times10 = times * [1.0, 1.0, 10.0]
    again = fit_prices(networks, times10).layers_ms(layers)
    assert again[:, 2] == pytest.approx(10 * prices[:, 2], rel=1e-6)
    assert again[:, 0] == pytest.approx(prices[:, 0], rel=1e-6)


def test_a_device_may_lack_networks(made_up):
    networks, times = made_up
    holes = times.copy()
    holes[::3, 1] = np.nan
    found = fit_totals(networks, holes).networks_ms(networks)
    assert np.isfinite(found).all()
    assert np.abs(found / times - 1).mean() < 0.06


def test_held_out_networks_have_no_say(made_up):
    networks, times = made_up
    other = times.copy()
    other[32:] *= 7.0
    assert np.array_equal(
        fit_totals(networks[:32], times[:32]).networks_ms(networks[32:]),
        fit_totals(networks[:32], other[:32]).networks_ms(networks[32:]),
    )


def test_common_profile_is_robust():
    rng = np.random.default_rng(0)
    profile, level = rng.normal(3, 1, 30), rng.normal(0, 2, 9)
    times = np.exp(profile[:, None] + level)
    times[3, 4] *= 100
    found, offset = common_profile(times)
    assert found[:, None] + offset == pytest.approx(profile[:, None] + level, abs=1e-6)


def test_misfit_of_channels():
    assert misfit(np.array([16, 12, 10, 7])).tolist() == [0.0, 1.0, 1.5, 2.0]


def test_the_time_model_is_saved_explained_and_sure_of_itself(made_up, tmp_path):
    networks, times = made_up
    totals = Totals(tuple(map(str, range(40))), tuple(networks), ("a", "b", "c"), times)
    fits = fit_totals_table(totals, ["b"], "totals")
    assert list(fits) == ["b"]
    assert fits["b"].networks == 40
    assert fits["b"].mean_error < 0.08
    path = tmp_path / "b.timemodel.json"
    fits["b"].model.save(path)
    model = TimeModel.load(path)
    assert model.device == "b"
    assert {op for op, _ in model.operators()} == {"conv_2d", "depthwise_conv_2d"}
    assert explain(model.setting())
    predicted = model.predict_layers_ms(list(networks[0])).sum()
    assert predicted == pytest.approx(fit_totals(networks, times).networks_ms(networks[:1])[0, 1])
    terms = model.setting().terms
    assert terms.low["float32"] < 1 < terms.high["float32"]


def test_few_networks_are_refused(made_up):
    networks, times = made_up
    totals = Totals(tuple(map(str, range(8))), tuple(networks[:8]), ("a", "b", "c"), times[:8])
    with pytest.raises(DataError, match="8 networks of a, at least 12"):
        fit_totals_table(totals, ["a"], "totals")


# --- reading ----------------------------------------------------------------------------------------------------------

LAYERS = [
    {
        "op": "conv_2d",
        "in_hw": 8,
        "out_hw": 4,
        "in_channels": 3,
        "out_channels": 16,
        "kernel": 3,
        "stride": 2,
    },
    {"op": "relu", "in_hw": 4, "out_hw": 4, "in_channels": 16, "out_channels": 16, "kernel": 0, "stride": 0},
    {"op": "add", "in_hw": 4, "out_hw": 4, "in_channels": 16, "out_channels": 16, "kernel": 0, "stride": 0},
    {
        "op": "pool_2d",
        "in_hw": 4,
        "out_hw": 1,
        "in_channels": 16,
        "out_channels": 16,
        "kernel": 4,
        "stride": 4,
    },
    {
        "op": "conv_2d",
        "in_hw": 1,
        "out_hw": 1,
        "in_channels": 16,
        "out_channels": 10,
        "kernel": 1,
        "stride": 1,
    },
]


@pytest.fixture
def write(tmp_path):
    def make(table, layers=None, name="totals.csv"):
        path = tmp_path / name
        path.write_text(table)
        jsonl = tmp_path / "layers.jsonl"
        rows = layers if layers is not None else [{"network": n, "layers": LAYERS} for n in ("a", "b", "c")]
        jsonl.write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in rows) + "\n")
        return path, jsonl

    return make


def test_layers_as_the_runtime_runs_them(write):
    layers = read_layers(write("")[1])["a"]
    assert [layer.op for layer in layers] == ["conv_2d", "add", "average_pool_2d", "fully_connected"]
    assert layers[0].params["activation"] == "relu"
    assert layers[0].outputs[0].shape == (1, 4, 4, 16)
    assert layers[0].macs == 4 * 4 * 16 * 3 * 9
    assert layers[3].macs == 160


def test_totals_of_several_devices_with_a_hole(write):
    table, layers = write("network,one,two\na,1,2\nb,1.5,\nc,2,4.5\n")
    totals = read_totals(table, layers)
    assert totals.devices == ("one", "two")
    assert np.isnan(totals.times_ms[1, 1])
    assert totals.times_ms[2].tolist() == [2.0, 4.5]
    packed = table.with_suffix(".csv.gz")
    packed.write_bytes(gzip.compress(table.read_bytes()))
    assert read_totals(packed, layers, "us").times_ms[0].tolist() == [0.001, 0.002]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("net,one\na,1\n", ["no column network"]),
        ("network\na\n", ["no column of times"]),
        ("network,one\nz,1\n", ["line 2", "'z'"]),
        ("network,one\na,1\na,2\n", ["line 3", "twice"]),
        ("network,one\na,-1\n", ["line 2", "column one"]),
        ("network,one,two\na,1,\nb,2,\n", ["column two", "no time"]),
        ("network,one\na,1\nb,1.2\nc,900\n", ["--time-unit", "column one", "units"]),
        ("network,one,two\na,1,1000\nb,1.2,1100\nc,1.3,1500\n", ["--time-unit", "units"]),
    ],
)
def test_bad_totals_are_named(write, table, words):
    with pytest.raises(DataError) as caught:
        read_totals(*write(table))
    for word in [*words, "totals.csv"]:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("{", ["line 1", "no JSON"]),
        ('{"network": 1}', ["line 1", "layers"]),
        ({"network": "a", "layers": []}, ["no layers"]),
        ({"network": "a", "layers": [3]}, ["layer 1"]),
        ({"network": "a", "layers": [{**LAYERS[0], "op": "magic"}]}, ["layer 1", "'magic'"]),
        ({"network": "a", "layers": [{**LAYERS[0], "in_channels": 2.5}]}, ["layer 1", "in_channels", "2.5"]),
        ({"network": "a", "layers": [{k: v for k, v in LAYERS[0].items() if k != "kernel"}]}, ["kernel is missing"]),
    ],
)  # fmt: skip
def test_bad_layers_are_named(write, row, words):
    _, path = write("", [row])
    with pytest.raises(DataError) as caught:
        read_layers(path)
    for word in [*words, "layers.jsonl"]:
        assert word in str(caught.value)


def test_missing_layers_file(tmp_path):
    with pytest.raises(UsageError, match=r"none\.jsonl"):
        read_layers(tmp_path / "none.jsonl")


@pytest.mark.shared_data
def test_public_totals_are_read(shared_data):
    folder = shared_data / "latency" / "phones"
    totals = read_totals(folder / "latency_ms.csv.gz", folder / "networks.jsonl.gz")
    assert totals.times_ms.shape == (78, 80)
    fused = {layer.op for layers in totals.networks for layer in layers}
    assert "relu" not in fused
    assert {"conv_2d", "depthwise_conv_2d", "add", "fully_connected"} <= fused
