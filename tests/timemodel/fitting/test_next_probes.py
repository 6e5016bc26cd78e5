"""The adviser of `edgetime profile`, on devices that exist on paper."""

from __future__ import annotations

import math

import numpy as np
import pytest
from made_up_device import probe_ms

from profiler.measurement import ProbeTime
from profiler.operators import conv_2d, fully_connected
from profiler.probes import Probe, empty_probe, plan_probes
from timemodel.fitting import advise_probes
from timemodel.fitting.next_probes import allot, choose_layers, time_shares
from timemodel.model import SettingModel, fit_operator
from timemodel.staircases import suspected_steps


def times_of(probes, time_ms=probe_ms):
    return [
        ProbeTime("s", probe.key, probe.kind, 1e3 * time_ms(probe), 0.0, 1, False, None) for probe in probes
    ]


def kind_of(probe: Probe):
    return probe.layers[0].op, probe.layers[0].dtype


@pytest.fixture(scope="module")
def plan():
    """A small plan with all networks whose weights this device does not read from afar."""
    probes = [
        probe
        for probe in plan_probes(("float32",), scale=0.2)
        if probe.kind != "chain" and probe.dtype == "float32" and probe.network.weight_bytes < 4e6
    ]
    return [*probes, empty_probe()]


def test_says_that_it_is_enough(plan):
    """On a device that trees fit nearly exactly, networks too are predicted well."""
    advice = advise_probes(times_of(plan), goal=0.05)
    assert advice.done
    assert advice.of == "networks"
    assert 0 < advice.error <= 0.05
    assert advice.error < advice.interval <= 0.05 * 5 / 3
    assert advice.probes == ()


def test_asks_for_more_of_what_is_most_wrong(plan):
    """A device on which depthwise convolutions take what they like."""

    def wild_ms(probe):
        chance = np.random.default_rng(len(probe.key))
        times = [
            probe_ms(Probe("layer", (layer,)))
            * (8 * math.exp(chance.normal(0, 0.6)) if layer.op == "depthwise_conv_2d" else 1)
            for layer in probe.layers
        ]
        return sum(times)

    times = times_of(plan, wild_ms)
    advice = advise_probes(times, goal=0.05, count=120)
    assert not advice.done
    assert advice.error > 0.05
    assert 60 <= len(advice.probes) <= 130
    known = {row.probe_key for row in times}
    assert not any(probe.key in known for probe in advice.probes)
    assert len(set(advice.probes)) == len(advice.probes)
    kinds = [kind_of(probe) for probe in advice.probes]
    assert kinds.count(("depthwise_conv_2d", "float32")) > 0.5 * len(kinds)
    assert "depthwise_conv_2d float32" in advice.note
    # Only what networks have, and each of it can be built and is said again for the same seed.
    in_networks = {
        kind_of(Probe("layer", (layer,))) for p in plan if p.kind == "network" for layer in p.layers
    }
    assert set(kinds) <= in_networks
    assert advice.probes[0].build()
    assert advise_probes(times, goal=0.05, count=120) == advice


def test_without_networks_layers_count():
    layers = [conv_2d(8, 8, 8, width) for width in range(1, 61)]
    times = times_of([Probe("layer", (layer,)) for layer in layers])
    advice = advise_probes(times, goal=0.0, count=20)
    assert (advice.of, advice.done) == ("layers", False)
    assert {kind_of(probe) for probe in advice.probes} == {("conv_2d", "float32")}
    assert advise_probes(times, goal=0.5).done


def test_too_little_to_learn_from():
    advice = advise_probes(times_of([Probe("layer", (conv_2d(8, 8, 8, 8),))]), goal=0.03)
    assert (advice.done, advice.error, advice.probes) == (False, 1.0, ())


def test_shares_of_time_and_of_probes():
    assert allot({("a", "f"): 0.5, ("b", "f"): 0.5}, {("a", "f"): 0.3, ("b", "f"): 0.1}, 40) == {
        ("a", "f"): 30,
        ("b", "f"): 10,
    }
    assert allot({("a", "f"): 0.9, ("b", "f"): 0.1}, {("a", "f"): 0.1, ("b", "f"): 0.1}, 4) == {("a", "f"): 4}
    assert allot({("a", "f"): 1.0}, {("a", "f"): 0.0}, 40) == {}


def test_each_network_counts_as_one(time_model):
    setting = next(iter(time_model.settings.values()))
    small = Probe("network", (conv_2d(4, 4, 8, 16),))
    large = Probe("network", (fully_connected(2048, 2048),))
    shares = time_shares(setting, [small, large])
    assert shares == {
        ("conv_2d", "float32"): pytest.approx(0.5),
        ("fully_connected", "float32"): pytest.approx(0.5),
    }
    assert sum(time_shares(setting, []).values()) == pytest.approx(1)
    empty = SettingModel("", {}, {}, {}, setting.terms)
    assert time_shares(empty, [small]) == {}


# --- Steps ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stepped():
    """1x1 convolutions that take three times as long from 75 channels on, measured at random widths."""
    rng = np.random.default_rng(0)
    layers = [
        conv_2d(int(side), int(side), int(inside), int(width), (1, 1))
        for side, inside, width in zip(
            rng.integers(4, 20, 800), rng.integers(4, 60, 800), rng.integers(1, 128, 800), strict=True
        )
    ]
    times = np.array(
        [1e-6 * layer.macs * (3 if layer.outputs[0].shape[-1] >= 75 else 1) + 0.01 for layer in layers]
    )
    return fit_operator("conv_2d", "float32", layers, times), list(zip(layers, times, strict=True))


def test_a_planted_step_attracts_layers_next_to_it(stepped):
    model, rows = stepped
    known = {layer for layer, _ in rows}
    planted = [step for step in suspected_steps(model) if step.axis == "out" and 72 <= step.at <= 78]
    assert planted
    chosen = choose_layers(model, rows, set(known), 200, np.random.default_rng(0))
    assert len(chosen) == 200
    assert not known & set(chosen)
    near = [layer for layer in chosen if 72 <= layer.outputs[0].shape[-1] <= 78]
    # Of widths as networks have them, one in sixty lies there.
    assert len(near) >= 10


def test_doubtful_leaves_get_more(stepped):
    """Where the tree was wrong on unseen layers, more is asked for; here that is everything below the step."""
    model, rows = stepped
    wrong = [(layer, time * (2 if layer.outputs[0].shape[-1] < 75 else 1)) for layer, time in rows]

    def below(layers):
        return np.mean([layer.outputs[0].shape[-1] < 75 for layer in layers])

    def chosen(rows):
        return choose_layers(model, rows, set(), 200, np.random.default_rng(1))

    assert below(chosen(wrong)) > below(chosen(rows)) + 0.1
