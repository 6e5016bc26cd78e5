import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler import operators
from profiler.devices.agent import random_values
from profiler.errors import UsageError
from profiler.network import Layer, Tensor
from profiler.operators import DTYPES, FORM, LATE, UNPACKED, draw_layer
from profiler.probes import Probe, draw_network, plan_probes
from profiler.probes.plan import sweeps
from profiler.tflite import encode, read_network

interpreter = pytest.importorskip("ai_edge_litert.interpreter")

XNNPACK_ONLY = {
    f"custom:{name}" for name in ("MaxPoolingWithArgmax2D", "MaxUnpooling2D", "Convolution2DTransposeBias")
}
PAIRS = [(op, dtype) for dtype in DTYPES for op in operators.drawn_operators(dtype)]


def run(content, kernels="AUTO"):
    """Load and run a file on an agent's input values; returns its first output."""
    resolver = getattr(interpreter.OpResolverType, kernels)
    runner = interpreter.Interpreter(
        model_content=content, num_threads=1, experimental_op_resolver_type=resolver
    )
    runner.allocate_tensors()
    for detail in runner.get_input_details():
        runner.set_tensor(detail["index"], random_values(tuple(detail["shape"]), np.dtype(detail["dtype"])))
    runner.invoke()
    return runner.get_tensor(runner.get_output_details()[0]["index"])


@pytest.mark.parametrize(("op", "dtype"), PAIRS, ids=[f"{op}-{dtype}" for op, dtype in PAIRS])
def test_every_operator_can_be_written_read_back_and_run(op, dtype):
    layer = draw_layer(op, dtype, np.random.default_rng(7))
    content = Probe("layer", (layer,)).build()
    layers = read_network(content).layers
    read = layers[-1 if UNPACKED in layer.params else 0]
    assert (read.op, read.dtype) == (layer.op, layer.dtype)
    if layer.params.get(FORM) != LATE:  # whose results have no shape in the file
        assert (read.outputs, read.macs) == (layer.outputs, layer.macs)
    assert [t.shape for t in read.inputs] == [t.shape for t in layer.inputs]
    given = {k: v for k, v in layer.params.items() if k in read.params}
    assert {k: read.params[k] for k in given} == given
    # Some custom operators only XNNPACK runs.
    for kernels in ("AUTO",) if op in XNNPACK_ONLY else ("AUTO", "BUILTIN_WITHOUT_DEFAULT_DELEGATES"):
        assert run(content, kernels).shape == layer.outputs[0].shape


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.sampled_from(["float32", "int8"]), st.booleans())
def test_small_networks_run_and_are_read_back_layer_by_layer(seed, dtype, heavy):
    probe = draw_network(np.random.default_rng(seed), dtype, heavy and dtype == "int8")
    content = probe.build()
    network = read_network(content)
    assert [layer.op for layer in network.layers] == [layer.op for layer in probe.layers]
    assert [layer.outputs for layer in network.layers] == [layer.outputs for layer in probe.layers]
    assert network.macs == probe.network.macs
    assert network.weight_bytes == probe.network.weight_bytes
    assert run(content).shape == probe.layers[-1].outputs[0].shape


def test_a_key_says_it_all():
    for probe in plan_probes(("float32", "int8"), scale=0.05):
        again = Probe.from_key(probe.key)
        assert again == probe
        assert again.key == probe.key


def test_the_plan_is_the_same_every_time_and_another_with_another_seed():
    keys = [probe.key for probe in plan_probes(scale=0.05)]
    assert keys == [probe.key for probe in plan_probes(scale=0.05)]
    assert keys != [probe.key for probe in plan_probes(scale=0.05, seed=1)]
    assert len(set(keys)) == len(keys)


def test_every_prefix_of_the_plan_has_seen_every_operator():
    plan = plan_probes(("float32",))
    first = {probe.layers[0].op for probe in plan[: len(plan) // 8] if probe.kind == "layer"}
    assert first == {probe.layers[0].op for probe in plan if probe.kind == "layer"}


def test_the_plan_covers_what_networks_use_and_odd_sizes():
    convolutions = [p.layers[0] for p in plan_probes(("float32",), ["conv_2d"])]
    widths = {layer.outputs[0].shape[3] for layer in convolutions}
    kernels = {(layer.params["kernel_height"], layer.params["stride_height"]) for layer in convolutions}
    assert {8, 16, 24, 32, 64, 96, 128, 256, 512} <= widths
    assert sum(width % 8 != 0 for width in widths) > 40
    assert {(1, 1), (1, 2), (3, 1), (3, 2), (5, 1), (7, 1), (7, 2)} <= kernels


def test_sweeps_step_by_one_channel():
    widths = {layer.outputs[0].shape[3] for layer in sweeps("float32")["conv_2d"]}
    assert set(range(1, 41)) <= widths


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"dtypes": ["float64"]}, "Unknown dtype 'float64': choose from float32"),
        ({"dtypes": []}, "No dtype"),
        ({"dtypes": ["int8"], "ops": ["pow"]}, "No probe for operator 'pow'"),
    ],
)
def test_what_cannot_be_planned(arguments, says):
    with pytest.raises(UsageError, match=says):
        plan_probes(**arguments)


def test_an_operator_that_cannot_be_written_is_named():
    layer = Layer("svdfx", (Tensor((1, 4)),), (Tensor((1, 4)),))
    with pytest.raises(UsageError, match="'svdfx'"):
        Probe("layer", (layer,)).build()


@pytest.mark.parametrize(
    ("op", "params"), [("transpose", {}), ("pad", {"paddings": 1}), ("mean", {"axes": "all"})]
)
def test_a_parameter_that_is_missing_or_of_another_kind_is_named(op, params):
    name = {"transpose": "perm", "pad": "paddings", "mean": "axes"}[op]
    layer = Layer(op, (Tensor((1, 4)), Tensor((2,), "int32", True)), (Tensor((1, 4)),), params)
    with pytest.raises(UsageError, match=f"A probe of {op} needs '{name}' among its parameters"):
        Probe("layer", (layer,)).build()


def test_chains_without_wiring_hang_together():
    relu = operators.unary("relu", (1, 4))
    add = operators.binary("add", (1, 4), (1, 4))
    assert Probe("chain", (relu, add)).sources == ((-1,), (0, -2))


def test_weights_are_what_the_plan_was_given():
    plan = Probe("layer", (operators.fully_connected(3, 2),)).lay_out()
    plan.tensors[1].data = np.array([[1, 2, 3], [0, 0, 1]], np.float32)
    plan.tensors[2].data = np.array([10, 20], np.float32)
    runner = interpreter.Interpreter(model_content=encode(plan))
    runner.allocate_tensors()
    runner.set_tensor(runner.get_input_details()[0]["index"], np.array([[1, 1, 2]], np.float32))
    runner.invoke()
    assert runner.get_tensor(runner.get_output_details()[0]["index"]).tolist() == [[19.0, 22.0]]


def test_weights_are_cut_from_one_pool():
    layer = operators.conv_2d(8, 8, 64, 64)
    first, second = (Probe("layer", (layer,)).lay_out().tensors[1].data for _ in range(2))
    assert first.base is second.base


def test_a_loop_turns_as_often_as_it_says():
    loop, *inside = read_network(Probe("layer", (operators.loop(7, [(1, 4)]),)).build()).layers
    assert (loop.op, loop.params["rounds"]) == ("while", 7)
    assert [(layer.op, layer.repeat) for layer in inside] == [("less", 8), ("add", 7)]
    assert run(Probe("layer", (loop,)).build()) == 7
