"""A device that exists on paper: its times are known exactly, so that what is learned can be checked."""

import math

from profiler.probes import Probe

OVERHEAD_MS = 0.0005
FUSED = frozenset({"pad+conv_2d", "pad+depthwise_conv_2d", "logistic+mul", "conv_2d+relu", "add+relu6"})
HALVED = frozenset({"mul_const+add_const"})
"""Neighbours of which this device runs the one inside the other, or at half its price."""


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
    """`FUSED` and `HALVED` neighbours, and 0.05 ms per MB of weights once there are more than 4 MB of them."""
    factors = {}
    for pair in probe.network.fusion_matches:
        share = 0.0 if pair.pattern in FUSED else 0.5 if pair.pattern in HALVED else 1.0
        factors[pair.absorbed] = min(factors.get(pair.absorbed, 1.0), share)
    total = OVERHEAD_MS + sum(layer_ms(layer) * factors.get(i, 1.0) for i, layer in enumerate(probe.layers))
    megabytes = probe.network.weight_bytes / 1e6
    return total + (0.05 * megabytes if megabytes > 4 and len(probe.layers) > 1 else 0.0)
