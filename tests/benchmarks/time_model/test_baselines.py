"""Baselines get the same probes and the same whole-network terms, and learn what they can learn."""

import numpy as np
import pytest
from made_up_device import OVERHEAD_MS, layer_ms, probe_ms

from benchmarks.time_model.baselines import (
    BASELINES,
    BlackBox,
    boosted,
    fit_baseline,
    fit_kernel,
    fit_nn_meter,
    forest,
    fused_patterns,
    linear,
    neural,
    nn_meter_features,
)
from profiler.network import Layer, Network, Tensor
from profiler.operators import binary, conv_2d, fully_connected, pad, unary
from profiler.probes import Probe
from timemodel.features import geometry
from timemodel.fitting import fit_setting
from timemodel.model import FALLBACK, SettingModel
from timemodel.runtime import FusionShares, RuntimeTerms


def conv_layers(count=150, seed=0):
    rng = np.random.default_rng(seed)
    return [
        conv_2d(side, side, int(rng.integers(8, 64)), int(rng.integers(8, 64)))
        for side in rng.choice([8, 14, 16, 28], count).tolist()
    ]


def a_pair(side=16, channels=16, seed=0):
    padded = pad((1, side, side, channels), ((0, 0), (1, 1), (1, 1), (0, 0)))
    return Probe("pair", (padded, conv_2d(side + 2, side + 2, channels, channels, padding="valid")))


@pytest.fixture(scope="module")
def measured():
    layers = conv_layers()
    layers += [fully_connected(64 * k, 48 * k) for k in range(1, 20)]
    layers += [
        pad((1, side, side, c), ((0, 0), (1, 1), (1, 1), (0, 0))) for side in (8, 16, 28) for c in (8, 16, 32)
    ]
    probes = [Probe("empty", (unary("relu", (1, 1)),))]
    probes += [Probe("layer", (layer,)) for layer in layers]
    probes += [a_pair(side, c) for side in (14, 16, 28) for c in (16, 32, 48)]
    probes += [
        Probe("network", (conv_2d(16, 16, c, c), conv_2d(16, 16, c, c), conv_2d(16, 16, c, c)))
        for c in range(10, 40, 3)
    ]
    return [(probe, OVERHEAD_MS if probe.kind == "empty" else probe_ms(probe)) for probe in probes]


@pytest.fixture(scope="module")
def ours(measured):
    operators, terms = fit_setting(measured)
    return SettingModel("runtime 1", {"threads": 1}, {}, operators, terms)


def test_linear_finds_prices_that_are_there():
    layers = conv_layers()
    array = geometry(layers)
    times = np.array([0.001 + 3e-8 * layer.macs + 1e-6 * layer.output_bytes for layer in layers])
    predict = linear(["macs", "out_bytes"])("conv_2d", array, times)
    assert predict(array) == pytest.approx(times, rel=1e-6)
    # FLOPs alone cannot say it.
    assert np.mean(np.abs(linear(["macs"])("conv_2d", array, times)(array) / times - 1)) > 0.01


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_predicts_layers_it_has_not_seen(name):
    known, unseen = conv_layers(), conv_layers(50, seed=1)
    times = np.array([layer_ms(layer) for layer in known])
    predict = BASELINES[name]("conv_2d", geometry(known), times)
    error = np.abs(predict(geometry(unseen)) / [layer_ms(layer) for layer in unseen] - 1).mean()
    assert error < (0.35 if "FLOPs" in name else 0.2)


def test_black_boxes_stay_within_reach_of_what_they_saw():
    known = conv_layers()
    times = np.array([layer_ms(layer) for layer in known])
    huge = geometry([conv_2d(512, 512, 512, 512)])
    for name in ("random forest", "boosted trees", "neural network"):
        assert BASELINES[name]("conv_2d", geometry(known), times)(huge)[0] <= 4.001 * times.max()
    assert {type(make(200)).__name__ for make in (forest, boosted)} == {
        "RandomForestRegressor", "HistGradientBoostingRegressor",
    }  # fmt: skip
    assert neural(50).steps[-1][1].hidden_layer_sizes != neural(500).steps[-1][1].hidden_layer_sizes


def test_baselines_share_our_terms_and_are_calibrated_for_themselves(ours, measured):
    flops = fit_baseline("FLOPs", ours, measured)
    assert flops.terms.overhead_ms == ours.terms.overhead_ms == OVERHEAD_MS
    assert flops.terms.fusion_shares == ours.terms.fusion_shares
    assert ("conv_2d", "float32") in flops.operators
    # The declared fallback is shared; everything else is its own.
    assert flops.operators[FALLBACK, "float32"] is ours.operators[FALLBACK, "float32"]
    assert flops.operators["conv_2d", "float32"] is not ours.operators["conv_2d", "float32"]
    # Right on average over the small networks, although FLOPs misjudge each.
    networks = [(probe.network, time_ms) for probe, time_ms in measured if probe.kind == "network"]
    ratios = [time_ms / flops.predict_total_ms(network) for network, time_ms in networks]
    assert np.median(ratios) == pytest.approx(1.0, abs=0.05)
    # And ours was not touched.
    assert SettingModel("", {}, {}, ours.operators, ours.terms).predict_total_ms(
        networks[0][0]
    ) == pytest.approx(ours.predict_total_ms(networks[0][0]))


def test_features_of_nn_meter_by_hand():
    layer = conv_2d(16, 16, 8, 24, (3, 3), stride=(2, 2))
    row = nn_meter_features("conv_2d", geometry([layer]))[0]
    # HW, CIN, COUT, kernel, stride, FLOPs, parameters (bias included).
    assert row.tolist() == [16, 8, 24, 3, 2, 2 * 8 * 8 * 24 * 8 * 9, 24 * 8 * 9 + 24]
    row = nn_meter_features("add", geometry([binary("add", (1, 4, 9, 5), (1, 4, 9, 5))]))[0]
    assert row.tolist() == [6, 5]


def test_kernels_add_up_and_loops_count():
    layers = conv_layers(60)
    box = fit_kernel("conv_2d", layers, np.array([layer_ms(layer) + OVERHEAD_MS for layer in layers]))
    model = SettingModel("", {}, {}, {("conv_2d", "float32"): box}, RuntimeTerms(OVERHEAD_MS))
    layer = layers[0]
    thrice = Layer(layer.op, layer.inputs, layer.outputs, layer.params, repeat=3)
    one, three = model.layer_times([layer, thrice]).predicted_ms
    assert one == pytest.approx(layer_ms(layer), rel=0.25)
    assert three == pytest.approx(3 * one)
    total = model.predict_total_ms(Network("net", (layer, thrice)))
    assert total == pytest.approx(4 * one + OVERHEAD_MS)
    # Neither a kernel nor a fallback: nothing is known of it.
    unknown = Layer("svdf", (Tensor((1, 4)),), (Tensor((1, 4)),))
    assert model.layer_times([unknown]).predicted_ms.tolist() == [0.0]


@pytest.mark.parametrize(("together_ms", "remains"), [(1.05, 0.0), (1.12, 1.0), (1.2, 1.0), (0.9, 0.0)])
def test_fusion_is_told_by_what_running_together_saves(together_ms, remains):
    # Alone they take 1 ms and 0.2 ms: to be one kernel, they must save more than half of the 0.2 ms.
    boxes = {
        (op, "float32"): BlackBox(lambda rows, ms=ms: np.full(len(rows), ms + OVERHEAD_MS))
        for op, ms in (("conv_2d", 1.0), ("pad", 0.2))
    }
    kernels = SettingModel("", {}, {}, boxes, RuntimeTerms(OVERHEAD_MS))
    pairs = [(a_pair(), together_ms + OVERHEAD_MS), (Probe("layer", (conv_2d(8, 8, 8, 8),)), 1.0)]
    rules = fused_patterns(pairs, OVERHEAD_MS, kernels)
    assert FusionShares.of(rules).absorbed == {"float32": {"pad+conv_2d": remains}}


def test_nn_meter_with_and_without_our_terms(ours, measured):
    plain, with_ours = fit_nn_meter(ours, measured)
    assert plain.terms.calibration == {}
    # Kernels add up to the whole, but for what was found to be fused; nothing is known of caches.
    bare = RuntimeTerms(OVERHEAD_MS, plain.terms.graph_rules)
    assert plain.terms.to_dict() == bare.to_dict()
    assert with_ours.terms.calibration.keys() == {"float32"}
    layers = (conv_2d(16, 16, 16, 16), conv_2d(16, 16, 16, 16))
    network = Probe("network", layers).network
    for model in (plain, with_ours):
        assert model.predict_total_ms(network) == pytest.approx(probe_ms(Probe("network", layers)), rel=0.3)
