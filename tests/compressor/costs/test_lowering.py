from collections import Counter

import keras
import numpy as np
import pytest
from keras import layers
from small_networks import attention_network, plain_network, recurrent_network, residual_network

from compressor.costs import Configuration, ConvertingLowering, LoweringError, PredictedTime, learn_lowering
from compressor.costs.lowering import example_widths
from compressor.export import to_tflite_bytes
from compressor.graph import build_graph, cut
from compressor.testing.device import FormulaTimeModel
from compressor.testing.law import stirred
from compressor.training import strongest
from profiler.network import Layer, Network, Tensor
from profiler.tflite import read_network


def random_cut(model, graph, seed):
    rng = np.random.default_rng(seed)
    widths = {name: int(rng.integers(1, group.width + 1)) for name, group in graph.groups.items()}
    keep = strongest({name: rng.uniform(size=g.width) for name, g in graph.groups.items()}, widths)
    return widths, cut(model, keep, graph)


def rows_for(model):
    rng = np.random.default_rng(0)
    rows = {s.name: rng.normal(size=(4, *s.shape[1:])).astype("float32") for s in model.inputs}
    return rows if len(rows) > 1 else next(iter(rows.values()))


@pytest.mark.parametrize(
    ("make", "quantize"),
    [
        (plain_network, "none"),
        (residual_network, "int8"),
        (attention_network, "none"),
        pytest.param(attention_network, "int8", marks=pytest.mark.slow),
        pytest.param(recurrent_network, "none", marks=pytest.mark.slow),
        (recurrent_network, "int8"),
    ],
)
def test_layers_are_those_that_the_converter_writes(make, quantize):
    model = make(2) if make is recurrent_network else make()
    graph = build_graph(model)
    rows = rows_for(model)

    def convert(network):
        return read_network(to_tflite_bytes(network, quantize, rows if quantize == "int8" else None))

    lowering = learn_lowering(model, graph, convert)
    base = convert(model)
    whole = lowering.network(Configuration(graph.widths))
    assert whole.layers == base.layers
    assert [layer.name for layer in whole.layers] == [x.name for x in base.layers]
    for seed in (0, 1):
        widths, smaller = random_cut(model, graph, seed)
        written, known = convert(smaller), lowering.network(Configuration(widths))
        assert known.layers == written.layers
        assert known.file_bytes == pytest.approx(written.file_bytes, rel=0.1)
        assert [known.tensors[i] for i in known.outputs] == [written.tensors[i] for i in written.outputs]
        assert known.macs == written.macs


@pytest.mark.parametrize(("quantize", "zero"), [("none", True), ("int8", False)])
def test_the_size_of_the_file_is_known(quantize, zero):
    """Biases of zeros are one tensor for all layers of a width; quantised channels have scales of their own."""
    keras.utils.set_random_seed(0)
    x = inputs = keras.Input((4, 4, 8))
    for _ in range(8):
        x = layers.Conv2D(64, 1, bias_initializer="zeros" if zero else "random_normal")(x)
    model = keras.Model(inputs, layers.Dense(10)(layers.GlobalAveragePooling2D()(x)))
    graph = build_graph(model)
    rows = rows_for(model)

    def convert(network):
        return read_network(to_tflite_bytes(network, quantize, rows if quantize == "int8" else None))

    lowering = learn_lowering(model, graph, convert)
    narrow = {name: 2 + place for place, name in enumerate(graph.widths)}
    keep = strongest({name: np.arange(group.width) for name, group in graph.groups.items()}, narrow)
    written = convert(cut(model, keep, graph)).file_bytes
    assert lowering.network(Configuration(narrow)).file_bytes == pytest.approx(written, rel=0.04)


def described(model):
    """A pretended converter: one layer per convolution, of the shapes that the model has."""
    found = []
    for layer in model.layers:
        if not isinstance(layer, layers.Conv2D):
            continue
        height, width, depth, filters = layer.kernel.shape
        shape = (1, 4, 4)
        operands = (Tensor((*shape, depth)), Tensor((filters, height, width, depth), constant=True))
        found.append(Layer("conv_2d", operands, (Tensor((*shape, filters)),)))
    return Network(model.name, tuple(found))


def chain(*widths):
    model = keras.Sequential(
        [layers.Input((4, 4, 1)), *[layers.Conv2D(w, 1, name=f"c{i}") for i, w in enumerate(widths)]]
    )
    return stirred(model)


def test_a_structure_that_depends_on_widths_is_noticed_and_each_candidate_converted():
    model = chain(6, 7, 2)
    graph = build_graph(model)
    counted = []

    def unsteady(network):
        found = described(network)
        counted.append(1)
        even = network.get_layer("c0").filters % 2 == 0
        return Network(found.name, found.layers if even else found.layers + found.layers[:1])

    odd = next(s for s in range(20) if any(w["c0"] % 2 for w in example_widths(graph, s)))
    with pytest.raises(LoweringError, match="other layers at other widths"):
        learn_lowering(model, graph, unsteady, seed=odd)
    lowering = ConvertingLowering(model, graph, unsteady)
    counted.clear()
    full = Configuration(graph.widths)
    narrow = full.with_widths({"c0": 4, "c1": 2})
    assert len(lowering.network(full.with_widths({"c0": 3})).layers) == 4
    assert len(lowering.network(narrow).layers) == 3
    assert lowering.network(narrow).layers[1].outputs[0].shape == (1, 4, 4, 2)
    assert len(counted) == 2


def test_a_dimension_that_follows_from_no_width_is_noticed():
    model = chain(6, 7, 2)

    def padded(network):
        (first, *rest) = described(network).layers
        width = first.outputs[0].shape[-1]
        odd = Layer("pad", first.outputs, (Tensor((1, 4, 4, width * width)),))
        return Network("net", (first, odd, *rest))

    with pytest.raises(LoweringError, match="follows from no width"):
        learn_lowering(model, build_graph(model), padded)


def test_repeated_layers_are_counted():
    model = recurrent_network(3)
    graph = build_graph(model)

    def convert(network):
        return read_network(to_tflite_bytes(network, "int8", rows_for(model)))

    lowering = learn_lowering(model, graph, convert)
    configuration = Configuration({**graph.widths, "gru_1": 3})
    counted, found = lowering.counted(configuration), lowering.layers(configuration)
    assert sum(count for _, count in counted) == len(found)
    assert len(counted) < len(found)
    whole = Counter(found)
    for layer, count in counted:
        whole[layer] -= count
    assert not any(whole.values())


def test_examples_tell_all_widths_apart():
    for make in (plain_network, residual_network):
        graph = build_graph(make())
        examples = example_widths(graph)
        values = {tuple(form(w) / form(graph.widths) for w in examples) for form in graph.forms}
        assert len(values) == len(graph.forms)


def test_times_by_width_are_full_predictions_at_a_fraction_of_the_work():
    model = chain(12, 20, 9, 2)
    graph = build_graph(model)
    times = PredictedTime(FormulaTimeModel(), learn_lowering(model, graph, described))
    full = Configuration(graph.widths)
    times.calibrate(full)
    assert times(full) == pytest.approx(times.exact(full))
    base = full.with_widths({"c0": 5})
    options = list(range(1, 21))
    found = times.by_width(base, "c1", options)
    expected = [times.exact(base.with_widths({"c1": option})) for option in options]
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert times.cheap


def test_the_time_model_is_asked_once_for_each_different_layer():
    asked = []

    class Counting(FormulaTimeModel):
        def predict_layers_ms(self, found):
            asked.extend(found)
            return super().predict_layers_ms(found)

    model = chain(8, 8, 2)
    graph = build_graph(model)
    times = PredictedTime(Counting(), learn_lowering(model, graph, described))
    for _ in range(3):
        times.by_width(Configuration(graph.widths), "c0", range(1, 9))
    # 1 to k channels, k to 8 channels, 8 to 2 channels; from 1 to 8 is among both.
    assert len(asked) == len(set(asked)) == 8 + 8 + 1 - 1
