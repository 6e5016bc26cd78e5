import dataclasses
import itertools

import numpy as np
import pytest

from benchmarks.memory import has_allocator_figures, observe
from profiler import operators
from profiler.network import Layer, Network, Tensor, peak_memory_bytes
from profiler.network.process_memory import footprint, packed_bytes, patch_bytes, table_bytes
from profiler.probes import Probe, draw_network
from profiler.tflite import read_network


def test_patches_are_the_input_once_per_place_under_the_kernel():
    # 10 x 10 outputs, each 3 x 3 x 5 inputs of 4 bytes.
    assert patch_bytes(operators.conv_2d(10, 10, 5, 7)) == 100 * 45 * 4
    assert patch_bytes(operators.conv_2d(10, 10, 5, 7, dtype="int8")) == 100 * 45
    assert patch_bytes(operators.conv_2d(10, 10, 5, 7, (1, 1))) == 0  # is read in place
    assert patch_bytes(operators.conv_2d(10, 10, 5, 7, (1, 1), stride=(2, 2))) == 25 * 5 * 4
    assert patch_bytes(operators.depthwise_conv_2d(10, 10, 5)) == 0


def test_weights_are_packed_in_whole_groups_of_channels_with_their_bias():
    # 7 output channels are packed as 32: 45 weights and a bias each.
    assert packed_bytes(operators.conv_2d(10, 10, 5, 7)) == 32 * (45 + 1) * 4
    # Integers: 16 at a time, 5 input channels as 8, and bias and scale.
    assert packed_bytes(operators.conv_2d(10, 10, 5, 7, dtype="int8")) == 16 * (9 * 8 + 8)
    assert packed_bytes(operators.fully_connected(10, 40)) == 64 * (10 + 1) * 4
    assert packed_bytes(operators.depthwise_conv_2d(10, 10, 5)) == 32 * (9 + 1) * 4
    assert packed_bytes(operators.unary("relu", (1, 10))) == 0


def test_windows_keep_an_address_for_every_position_under_them():
    assert table_bytes(operators.conv_2d(10, 10, 5, 7)) == 8 * 9 * 100
    assert table_bytes(operators.conv_2d(10, 10, 5, 7, (1, 1))) == 0
    # A row of 10 windows of 3 x 3, one column further each: 12 columns of 3.
    assert table_bytes(operators.depthwise_conv_2d(10, 10, 5)) == 8 * 10 * 36
    assert table_bytes(operators.unary("relu", (1, 10))) == 0


def test_parts_add_up():
    network = Probe("network", (operators.conv_2d(10, 10, 5, 7), operators.conv_2d(10, 10, 7, 7))).network
    for kernels in ("xnnpack", "builtin"):
        parts = footprint(network, kernels).to_dict()
        assert parts.pop("total_bytes") == sum(parts.values())
        assert parts["activation_bytes"] == peak_memory_bytes(network)
    assert footprint(network, "builtin").weight_bytes == footprint(network, "builtin").table_bytes == 0


def test_outputs_lie_apart_from_the_workspace_of_xnnpack():
    # 64 KiB in, 256 KiB between, 64 KiB out: the arena puts the output where the second block was.
    sizes = [(1, 64, 64, 4), (1, 64, 64, 16), (1, 64, 64, 16), (1, 64, 64, 16), (1, 64, 64, 4)]
    layers = [Layer("custom:x", (Tensor(a),), (Tensor(b),)) for a, b in itertools.pairwise(sizes)]
    network = Probe("network", tuple(dataclasses.replace(x, index=i) for i, x in enumerate(layers))).network
    parts = footprint(network, "xnnpack")
    kib = 1024
    assert parts.activation_bytes == (64 + 2 * 256) * kib
    assert parts.activation_bytes + parts.scratch_bytes == (64 + 64 + 2 * 256) * kib


def test_patches_of_two_layers_share_their_place():
    layer = operators.conv_2d(10, 10, 5, 5)
    one = footprint(Probe("network", (layer,)).network, "builtin").scratch_bytes
    two = footprint(Probe("network", (layer, layer)).network, "builtin").scratch_bytes
    assert one > 0
    assert two <= one + 2000


def test_a_layer_that_two_loops_run_counts_once():
    layer = operators.conv_2d(10, 10, 5, 5)
    once, twice = (footprint(Network("n", (layer,) * n), "xnnpack") for n in (1, 2))
    assert twice.weight_bytes == once.weight_bytes


# ---- against the process

needs_figures = pytest.mark.skipif(
    not has_allocator_figures(), reason="the C library tells no figures of its allocator"
)


def generated():
    """Networks of one to some ten megabytes, each with another part as the largest."""
    wide = [
        operators.conv_2d(64, 64, 16, 32),
        operators.conv_2d(64, 64, 32, 32),
        operators.pool_2d("max_pool_2d", 64, 64, 32),
    ]
    deep = [operators.conv_2d(4, 4, 256, 512), operators.conv_2d(4, 4, 512, 256)]
    mobile = [operators.conv_2d(48, 48, 24, 96, (1, 1)), operators.depthwise_conv_2d(48, 48, 96)]
    mobile += [operators.conv_2d(48, 48, 96, 24, (1, 1)), operators.unary("logistic", (1, 48, 48, 24))]
    dense = [operators.fully_connected(900, 1000), operators.fully_connected(1000, 333)]
    probes = {name: Probe("network", tuple(layers)) for name, layers in
              {"wide": wide, "deep": deep, "mobile": mobile, "dense": dense}.items()}  # fmt: skip
    rng = np.random.default_rng(3)
    return probes | {f"drawn{i}": draw_network(rng, "float32") for i in range(3)}


def check(runs, share):
    """Predicted lies within `share`, or 150 KB where that is more, of what the process took."""
    pytest.importorskip("ai_edge_litert.interpreter")
    took = observe(runs)
    assert any(size is not None for size in took)
    for (path, kernels), size in zip(runs, took, strict=True):
        if size is not None:
            predicted = footprint(read_network(path), kernels).total_bytes
            assert abs(predicted - size) <= max(share * size, 150e3), (path.stem, kernels, predicted, size)


@needs_figures
@pytest.mark.parametrize("kernels", ["xnnpack", "builtin"])
def test_generated_networks_take_what_is_predicted(kernels, tmp_path):
    runs = []
    for name, probe in generated().items():
        path = tmp_path / f"{name}.tflite"
        path.write_bytes(probe.build())
        runs.append((path, kernels))
    # Every part is the largest of one of them, so each one's formula is looked at.
    if kernels == "xnnpack":
        parts = [footprint(read_network(path), kernels) for path, _ in runs]
        assert {"activation_bytes", "weight_bytes"} <= {
            max(list(part.__dict__), key=lambda name, part=part: getattr(part, name)) for part in parts
        }
    check(runs, 0.1)


@needs_figures
def test_public_networks_take_what_is_predicted(shared_data):
    files = sorted((shared_data / "models").glob("*.tflite"))
    check([(path, "xnnpack") for path in files], 0.1)
    floats = [path for path in files if read_network(path).dtype == "float32"]
    check([(path, "builtin") for path in floats], 0.1)
