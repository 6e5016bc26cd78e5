from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.errors import UsageError
from profiler.network import Edge, Layer, Network, Tensor
from timemodel.advise import Advice, advise
from timemodel.advise.surroundings import Surroundings


class Staircase:
    """A device whose layers cost what a function of their output channels says."""

    def __init__(self, cost: Callable[[int], float]) -> None:
        self.cost = cost
        self.asked = 0

    def predict_layers_ms(self, layers: Sequence[Layer], setting: str | None = None) -> np.ndarray:
        self.asked += len(layers)
        return np.array([self.cost(layer.outputs[0].shape[-1]) * layer.repeat for layer in layers])

    def predict_total_ms(self, network: Network, setting: str | None = None) -> float:
        return float(Staircase.predict_layers_ms(self, network.layers).sum())


def network(*widths: int, unknown_after: int = -1) -> Network:
    """Fully connected layers of the given widths; the first is the input's."""
    tensors, layers, edges = [Tensor((1, widths[0]))], [], []
    last = 0
    for n, (before, after) in enumerate(pairwise(widths)):
        tensors += [Tensor((after, before), constant=True), Tensor((1, after))]
        edge = Edge((last, len(tensors) - 2), (len(tensors) - 1,))
        last = edge.outputs[0]
        layers.append(("fully_connected", edge))
        if n == unknown_after:
            tensors.append(Tensor((1, after)))
            layers.append(("custom:Fancy", Edge((last,), (len(tensors) - 1,))))
            last = len(tensors) - 1
    edges = tuple(edge for _, edge in layers)
    made = tuple(
        Layer(op, tuple(tensors[i] for i in e.inputs), (tensors[e.outputs[0]],), {}, f"layer{n}", n)
        for n, (op, e) in enumerate(layers)
    )
    return Network("net", made, edges, tuple(tensors), (0,), (last,))


def sixteens(width: int) -> float:
    return float(math.ceil(width / 16))


def test_edges_of_the_staircase_are_found():
    advice = advise(Staircase(sixteens), network(10, 60, 5))
    group = advice.groups[0]
    assert (group.width, group.layers, group.group_ms) == (60, (0,), 5.0)
    assert [o.width for o in group.narrower] == [48, 32, 16]
    assert [o.saving_ms for o in group.narrower] == [1, 2, 3]
    assert [o.predicted_ms for o in group.narrower] == [4, 3, 2]
    assert [o.width for o in group.wider] == [64]
    assert group.wider[0].saving_ms == 0
    assert advice.predicted_ms == 5


def test_width_on_an_edge_has_nothing_free_above():
    assert advise(Staircase(sixteens), network(10, 64, 5)).groups[0].wider == ()


def test_wider_layer_that_is_faster_is_found():
    # As measured on a real machine: 17 to 31 channels take longer than 32.
    def cost(width: int) -> float:
        return 48 if width <= 16 else 97 if width < 32 else 72 if width == 32 else 145

    group = advise(Staircase(cost), network(4, 24, 2)).groups[0]
    assert [(o.width, o.saving_ms) for o in group.wider] == [(32, 25)]
    assert [o.width for o in group.narrower] == [16]


def test_time_that_falls_evenly_offers_widths_that_save_enough():
    group = advise(Staircase(lambda width: width / 10), network(10, 50, 5), min_saving=0.1).groups[0]
    # 5.5 ms are at stake (50 channels and 5 behind), so each step saves at least 0.55 ms: 6 channels.
    assert [o.width for o in group.narrower] == [44, 38, 32, 26]
    assert group.wider == ()


def test_consumers_count_too():
    """A layer whose own time is flat is still worth narrowing where its consumer likes fewer inputs."""

    class ByInputs(Staircase):
        def predict_layers_ms(self, layers, setting=None):
            return np.array([math.ceil(layer.inputs[0].shape[-1] / 8) for layer in layers], float)

        def predict_total_ms(self, network, setting=None):
            return float(self.predict_layers_ms(network.layers).sum())

    group = advise(ByInputs(sixteens), network(4, 24, 5)).groups[0]
    assert [(o.width, o.saving_ms) for o in group.narrower] == [(16, 1), (8, 2)]


def test_what_cannot_change_says_why():
    advice = advise(Staircase(sixteens), network(10, 60, 20, 5, unknown_after=1))
    free, unknown, last = advice.groups
    assert not free.fixed
    assert "custom:Fancy" in unknown.fixed
    assert "puts it out" in last.fixed
    assert unknown.narrower == unknown.wider == ()
    assert any("custom:Fancy" in note for note in advice.notes)


def test_top_is_sorted_by_saving():
    def cost(width: int) -> float:
        return {100: 50.0, 60: 10.0}.get(width, min(width, 40) / 4)

    advice = advise(Staircase(cost), network(10, 60, 100, 7))
    savings = [option.saving_ms for _, option in advice.top]
    assert savings == sorted(savings, reverse=True)
    assert advice.top[0][0] == 1
    assert all(saving > 0 for saving in savings)


def test_layers_in_loops_weigh_as_often_as_they_run():
    made = network(10, 60, 5)
    repeated = tuple(
        Layer(la.op, la.inputs, la.outputs, la.params, la.name, la.index, repeat=7) for la in made.layers
    )
    advice = advise(
        Staircase(sixteens), Network("net", repeated, made.edges, made.tensors, (0,), made.outputs)
    )
    assert advice.predicted_ms == 35
    assert advice.groups[0].narrower[0].saving_ms == 7


def test_reported_times_are_those_of_the_whole_network():
    class WithWeights(Staircase):
        """Weights cost as well, which no layer on its own can tell."""

        def predict_layers_ms(self, layers, setting=None):
            assert setting == "threads=2"
            return super().predict_layers_ms(layers)

        def predict_total_ms(self, network, setting=None):
            assert setting == "threads=2"
            return super().predict_total_ms(network) + network.weight_bytes / 1000

    made = network(10, 60, 5)
    advice = advise(WithWeights(sixteens), made, setting="threads=2")
    assert made.weight_bytes == 4 * 60 * 15
    assert advice.predicted_ms == pytest.approx(5 + 3.6)
    assert advice.groups[0].narrower[0].predicted_ms == pytest.approx(4 + 4 * 48 * 15 / 1000)
    # The wider layer would be free, were it not for its weights.
    assert advice.groups[0].wider == ()


def test_only_layers_that_change_are_searched():
    class Counting(Staircase):
        def predict_total_ms(self, network, setting=None):
            before = self.asked
            total = super().predict_total_ms(network)
            self.asked = before
            return total

    model = Counting(sixteens)
    advise(model, network(10, *[20] * 30, 5))
    # 30 groups at 39 other widths, two layers each, and all layers once.
    assert model.asked == 31 + 30 * 39 * 2


def test_dictionary_is_json_and_rows_are_text():
    advice = advise(Staircase(sixteens), network(10, 60, 20, 5))
    value = json.loads(json.dumps(advice.to_dict(), allow_nan=False))
    assert value["groups"][0]["narrower"][0]["width"] == 48
    assert value["top"][0]["from_width"] == 60
    assert set(value["top"][0]) >= {"group", "name", "layers", "width", "saving_ms", "predicted_ms"}
    rows = advice.rows()
    assert len(rows) == 2, "what cannot change is no row"
    assert rows[0]["narrower"].startswith("48 (-14.3%)")
    assert rows[0]["wider"] == "64 (free)"
    assert all(isinstance(text, str) for row in rows for text in row.values())


class Unsure(Staircase):
    """A staircase that is known to within `share` of what the changed layers take."""

    def __init__(self, cost, share: float) -> None:
        super().__init__(cost)
        self.share = share

    def change_errors(self, setting=None):
        return self

    def change_ms(self, before, after):
        return self.share * float(Staircase.predict_layers_ms(self, before).sum())


def test_what_saves_less_than_the_error_is_not_suggested():
    """At 60 channels a step saves 1 ms of 5: worth saying where the model is off by 10%, but not by 30%."""
    sure = advise(Unsure(sixteens, 0.1), network(10, 60, 5))
    assert [o.width for o in sure.groups[0].narrower] == [48, 32, 16]
    assert sure.groups[0].narrower[0].error_ms == pytest.approx(0.5)
    unsure = advise(Unsure(sixteens, 0.3), network(10, 60, 5))
    assert [o.width for o in unsure.groups[0].narrower] == [32, 16]


def test_where_nothing_is_sure_the_best_is_named_as_such():
    advice = advise(Unsure(sixteens, 2.0), network(10, 60, 5))
    assert advice.top == ()
    assert advice.combined is None
    assert advice.unsure is not None
    number, option = advice.unsure
    assert (number, option.width, option.sure) == (0, 16, False)
    assert advice.to_dict()["unsure"]["from_width"] == 60


def test_a_width_within_the_noise_is_not_suggested_as_wider_either():
    """1,025 channels 0.3% faster than 1,024: an edge of a tree, not of the device."""

    def cost(width: int) -> float:
        return 100 * math.ceil(width / 16) - (0.3 if width == 1025 else 0) if width < 1026 else 2 * width**1.5

    group = advise(Unsure(cost, 0.02), network(10, 1024, 5)).groups[0]
    assert group.wider == ()


def test_wider_and_free_is_shown_as_free_and_wider_and_faster_as_a_saving():
    free = advise(Unsure(sixteens, 0.01), network(10, 50, 5)).groups[0]
    assert [(o.width, o.sure) for o in free.wider] == [(64, False)]
    faster = advise(
        Unsure(lambda w: 9.7 if 16 < w < 32 else 7.2 if w == 32 else w if w > 32 else w / 4, 0.02),
        network(4, 31, 2),
    )
    assert [(o.width, o.sure) for o in faster.groups[0].wider] == [(32, True)]
    assert faster.top[0][1].width == 16
    assert "32 (-" in faster.rows()[0]["wider"]


def test_the_first_three_combined_are_predicted_on_the_changed_network():
    def cost(width: int) -> float:
        return math.ceil(width / 16) ** 2

    made = network(4, 60, 50, 40, 30, 3)
    advice = advise(Staircase(cost), made)
    assert advice.combined is not None
    assert len(advice.combined.changes) == 3
    from profiler.widths import Widths

    changed = Widths(made).with_widths(dict(advice.combined.changes))
    assert advice.combined.predicted_ms == pytest.approx(Staircase(cost).predict_total_ms(changed))
    assert advice.combined.saving_ms == pytest.approx(advice.predicted_ms - advice.combined.predicted_ms)


def test_a_model_learned_from_measurements_suggests_its_planted_steps_and_no_others(time_model):
    """Convolutions in tiles of 16: 17 channels pay for 32, 256 are on a step."""
    from profiler import operators
    from profiler.probes import Probe

    layers = (
        operators.conv_2d(8, 8, 32, 17),
        operators.conv_2d(8, 8, 17, 256),
        operators.conv_2d(8, 8, 256, 10),
    )
    advice = advise(time_model, Probe("network", layers).network)
    odd, even, last = advice.groups
    assert odd.narrower[0].width == 16
    assert odd.wider == (), "its consumer pays for every channel"
    assert all(option.width % 16 == 0 for option in even.narrower)
    assert even.wider == ()
    assert last.fixed
    assert all(option.saving_ms > option.error_ms > 0 for _, option in advice.top)


def test_table_of_layers_is_refused():
    with pytest.raises(UsageError, match="without connections"):
        advise(Staircase(sixteens), Network("table", network(10, 5).layers))


@pytest.mark.parametrize("options", [{"min_saving": 1.0}, {"min_saving": -0.1}, {"most_steps": 0}])
def test_senseless_parameters_are_refused(options):
    with pytest.raises(UsageError, match="min_saving"):
        advise(Staircase(sixteens), network(10, 5), **options)


@given(
    st.lists(st.integers(1, 90), min_size=3, max_size=5),
    st.lists(st.floats(0.1, 10), min_size=200, max_size=200),
)
def test_what_is_said_of_a_change_is_what_the_model_says_of_the_changed_network(widths, costs):
    from profiler.widths import Widths

    model, made = Staircase(lambda width: costs[width]), network(*widths)
    advice: Advice = advise(model, made)
    for group in advice.groups:
        for option in (*group.narrower, *group.wider):
            changed = Widths(made).with_widths({group.group: option.width})
            total = model.predict_layers_ms(changed.layers).sum()
            assert option.predicted_ms == pytest.approx(total)
            assert option.saving_ms == pytest.approx(advice.predicted_ms - total, abs=1e-9)
        for option in group.narrower:
            assert option.width < group.width
            assert option.saving_ms > 0
        for option in group.wider:
            assert option.width > group.width
            assert option.saving_ms >= -0.001 * group.group_ms


class WithEnergy(Staircase):
    """Draws 2 W more than at rest while it runs."""

    def predict_layers_mj(self, layers, setting=None):
        return 2.0 * self.predict_layers_ms(layers)

    def predict(self, network, setting=None):
        energy_mj = 2.0 * self.predict_total_ms(network)
        return SimpleNamespace(energy_mj=energy_mj, layers=(), whole=True, at_least=False)


def test_energy_that_a_change_saves_is_said_where_it_is_known():
    net = network(10, 60, 5)
    advice, silent = advise(WithEnergy(sixteens), net), advise(Staircase(sixteens), net)
    assert advice.energy_mj == 2.0 * advice.predicted_ms
    option = advice.top[0][1]
    assert option.saving_mj == pytest.approx(2.0 * option.saving_ms) != 0.0
    assert json.loads(json.dumps(advice.to_dict()))["top"][0]["saving_mj"] == option.saving_mj
    assert (silent.energy_mj, silent.top[0][1].saving_mj) == (None, None)


def test_a_long_network_is_predicted_around_what_changes_only(monkeypatch):
    """Whole networks are predicted a few times, whatever the length; what is said is the same."""

    class Counting(Staircase):
        lengths: ClassVar[list[int]] = []

        def predict_total_ms(self, network, setting=None):
            Counting.lengths.append(len(network.layers))
            return super().predict_total_ms(network, setting)

    net = network(10, *[60, 40, 50] * 20, 5)
    whole = advise(Counting(sixteens), net)
    assert Counting.lengths.count(61) > 61
    Counting.lengths.clear()
    monkeypatch.setattr("timemodel.advise.advice._WHOLE_UP_TO", 60)
    found = advise(Counting(sixteens), net)
    assert Counting.lengths.count(61) == 1
    assert max(n for n in Counting.lengths if n != 61) <= 3 * 6
    assert found == whole


def test_surroundings_are_a_network_with_the_ends_of_the_cut():
    net = network(10, 60, 40, 50, 30, 20, 5)
    surroundings = Surroundings(net)
    assert surroundings.around([2]) == [0, 1, 2, 3, 4]
    part = surroundings.part([1, 2], {2: net.layers[2]})
    assert part.layers == net.layers[1:3]
    assert [part.tensors[i].shape for i in part.inputs] == [(1, 60)]
    assert [part.tensors[i].shape for i in part.outputs] == [(1, 50)]


def test_advice_and_prediction_agree_on_what_is_not_known(time_model):
    looped = replace(network(8, 16, 8), unknown_loops=("loop",))
    found = advise(time_model, looped)
    assert found.at_least
    assert found.to_dict()["at_least"]
    assert found.unknown == ()
    assert any("how often loop turns" in note for note in found.notes)
    assert not advise(time_model, network(8, 16, 8)).at_least
    layers = [replace(layer, op="custom:Mine") for layer in looped.layers]
    with pytest.raises(UsageError, match="is not known on"):
        advise(time_model, replace(looped, layers=tuple(layers)))
