"""One entry in one file is all that a new operator needs: here it goes through everything that knows operators."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from profiler import operators
from profiler.axes import LayerStep
from profiler.errors import EdgetimeWarning, UsageError
from profiler.measurement import DELEGATED, Event, align
from profiler.network import Arithmetic, Layer, Network, Tensor
from profiler.operators import (
    DTYPES,
    FileFormat,
    Operator,
    ReferenceLayers,
    StoredParam,
    drawn,
    register_operator,
    registry,
)
from profiler.probes import Probe, plan_probes
from profiler.testing import check_operator
from profiler.tflite import read_network
from profiler.widths import Widths
from timemodel.explain import dependences
from timemodel.features import family_of, geometry
from timemodel.model import fit_operator

# --- what the file of a new operator holds: a Fourier transform, which no entry of ours describes --------------------


def rfft2d(channels: int, side: int) -> Layer:
    """The Fourier transform of each channel of ``[channels, side, side]``."""
    return Layer(
        "rfft2d",
        (Tensor((channels, side, side)), Tensor((2,), "int32", True)),
        (Tensor((channels, side, side // 2 + 1), "complex64"),),
        {"fft_length": (side, side)},
    )


def _draw(op: str, rng: np.random.Generator, dtype: str) -> Layer:
    return rfft2d(int(rng.integers(1, 65)), int(rng.choice([4, 8, 16, 32])))


def _axes(step: LayerStep) -> None:
    channels, *plane = step.read(0)
    for size in plane:
        step.freeze(size)
    step.write([channels, *step.out_shape()[1:]])


RFFT2D = Operator(
    "rfft2d",
    FileFormat(105, stored=(StoredParam(1, "fft_length"),)),
    draws=drawn(_draw, float32=(40, 1000)),
    widths=_axes,
    features="copy",
    events={"Fourier Transform": 0.0},
    reference=ReferenceLayers(
        lambda op, dtype, sizes: rfft2d(sizes["channels"], sizes["side"]),
        [{"channels": 8, "side": 16}, {"channels": 32, "side": 8}],
        {"channels": (4, 8, 16, 32, 64), "side": (4, 8, 16, 32)},
    ),
)

# --- what it needs nowhere else --------------------------------------------------------------------------------------


@pytest.fixture
def own_registry(monkeypatch):
    """A registry that the test may write into."""
    others = {name: entry for name, entry in registry._OPERATORS.items() if name != "rfft2d"}
    monkeypatch.setattr(registry, "_OPERATORS", others)


@pytest.fixture
def registered(own_registry):
    return register_operator(RFFT2D)


def test_a_new_operator_passes_the_suite(registered):
    check_operator(registered)


def test_a_new_operator_is_drawn_and_no_other_is_drawn_otherwise(own_registry):
    before = plan_probes(("float32",), scale=0.1)
    register_operator(RFFT2D)
    after = plan_probes(("float32",), scale=0.1)
    new = [probe for probe in after if probe.layers[0].op == "rfft2d"]
    assert len(new) == 4
    assert [probe for probe in after if probe not in new] == before
    assert {probe.layers[0].op for probe in plan_probes(("float32",), ["rfft2d"])} == {"rfft2d"}


def test_a_new_operator_is_written_and_read_with_its_parameters(registered):
    layer = rfft2d(3, 8)
    read = read_network(Probe("layer", (layer,)).build()).layers[0]
    assert (read.op, read.params, read.outputs) == ("rfft2d", {"fft_length": (8, 8)}, layer.outputs)


def _transformed_channels() -> Network:
    """A convolution whose channels come first, are transformed, and then only counted."""
    layers = (
        operators.conv_2d(8, 8, 3, 6),
        operators.transpose((1, 8, 8, 6), (0, 3, 1, 2)),
        operators.reshape((1, 6, 8, 8), (6, 8, 8)),
        rfft2d(6, 8),
        operators.shape_of((6, 8, 5), "complex64"),
    )
    return Probe("network", layers).network


def test_without_an_entry_an_operator_fixes_what_reaches_it():
    (group,) = Widths(_transformed_channels()).groups
    assert "rfft2d" in group.frozen


def test_with_an_entry_widths_change_through_the_operator(registered):
    network = _transformed_channels()
    (group,) = Widths(network).groups
    assert group.free
    changed = Widths(network).with_widths({group.id: 4}).layers[3]
    assert (changed.inputs[0].shape, changed.outputs[0].shape) == ((4, 8, 8), (4, 8, 5))


def test_a_new_operator_is_described_by_the_features_that_its_entry_names(registered):
    assert family_of("rfft2d") is family_of("reshape")


def test_a_model_of_a_new_operator_is_explained_by_its_reference_layers(registered):
    rng = np.random.default_rng(0)
    layers = list(dict.fromkeys(_draw("rfft2d", rng, "float32") for _ in range(120)))
    times_ms = np.array([1e-3 + 1e-6 * layer.outputs[0].size for layer in layers])
    model = fit_operator("rfft2d", "float32", layers, times_ms)
    assert model.predict_ms(geometry([rfft2d(20, 16)]))[0] == pytest.approx(
        1e-3 + 1e-6 * 20 * 16 * 9, rel=0.1
    )
    assert [one.axis for one in dependences(model)] == ["channels", "side"]


def test_the_entry_of_a_new_operator_says_how_it_calculates(own_registry):
    layer = rfft2d(3, 8)
    assert (layer.macs, layer.dtype) == (0, "float32")
    register_operator(replace(RFFT2D, arithmetic=Arithmetic(lambda layer: 5 * layer.outputs[0].size)))
    assert rfft2d(3, 8).macs == 5 * 3 * 8 * 5
    weights = Tensor((3,), "int8", True)
    assert replace(layer, inputs=(*layer.inputs, weights)).dtype == "dynamic_int8"


def test_a_layer_of_the_public_package_knows_its_operator():
    code = "from profiler import Layer, Tensor; print(Layer('neg', (Tensor((2,)),), (Tensor((2,)),)).macs)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("0", "")


def test_events_are_taken_for_a_new_operator_by_their_name(registered):
    layers = [Layer("rfft2d", (), (), index=0), Layer("neg", (), (), index=1)]
    events = [Event(name, DELEGATED, i, 0, 1.0) for i, name in enumerate(("Fourier Transform", "Negate"))]
    assert align(events, layers) == [0, 1]


# --- the registry ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_no_two_operators_share_a_random_stream(dtype):
    streams = [draws.stream for draws in operators.catalogue(dtype).values()]
    assert streams == list(range(len(streams)))


def test_what_is_not_registered_is_known_by_name_only():
    assert operators.operator("custom:Fancy") == Operator("custom:Fancy")


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        (Operator("relu"), "'relu' is registered already"),
        (Operator("rfft2d", features="fourier"), "features 'fourier': choose from 'binary', "),  # type: ignore[arg-type]
        (Operator("rfft2d", row="sideways"), "row 'sideways': choose from '', 'binary', "),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_registered_is_refused(own_registry, entry, says):
    with pytest.raises(UsageError, match=says):
        register_operator(entry)
    assert operators.operator("rfft2d") == Operator("rfft2d")


class _Point:
    """An entry point of another distribution."""

    dist = None

    def __init__(self, name: str, entry: object) -> None:
        self.name, self.entry = name, entry

    def load(self) -> object:
        return self.entry


def test_operators_of_other_distributions_are_found_by_entry_points(own_registry, monkeypatch):
    points = [_Point("rfft2d", RFFT2D), _Point("relu", Operator("relu")), _Point("bitcast", RFFT2D)]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: points)
    registry._load_plugins.cache_clear()
    with pytest.warns(EdgetimeWarning, match=r"(?s)'bitcast'.*is left out.*'relu'.*is left out"):
        assert operators.operator("rfft2d") is RFFT2D
    registry._load_plugins.cache_clear()
