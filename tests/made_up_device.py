"""A device that exists on paper: its times are known exactly, so that what is learned can be checked."""

import math

from profiler.probe import Probe
from timemodel.runtime_terms import find_pairs

OVERHEAD_MS = 0.0005


def layer_ms(layer):
    """Convolutions work in tiles of 16 output channels; everything else moves bytes."""
    moved = (layer.input_bytes + layer.output_bytes + layer.weight_bytes) * 2e-7
    if layer.op == "conv_2d":
        out = layer.outputs[0].shape
        taps = math.prod(layer.inputs[1].shape[1:])
        pixels = out[0] * out[1] * out[2]
        return 0.0002 + pixels * math.ceil(out[3] / 16) * 16 * taps * 2e-8 + moved
    if layer.op == "fully_connected":
        return 0.0002 + layer.macs * 4e-8 + moved
    return 0.0003 + moved


def probe_ms(probe: Probe):
    """Pads before convolutions are free, and weights cost 0.05 ms per MB once there are more than 4 MB of them."""
    fused = {first for _, first, _ in find_pairs(probe.network)}
    total = OVERHEAD_MS + sum(layer_ms(layer) for i, layer in enumerate(probe.layers) if i not in fused)
    megabytes = probe.network.weight_bytes / 1e6
    return total + (0.05 * megabytes if megabytes > 4 and len(probe.layers) > 1 else 0.0)
