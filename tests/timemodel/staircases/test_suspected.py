"""Layers around the steps that a tree suspects."""

import numpy as np

from profiler.operators import conv_2d, depthwise_conv_2d, fully_connected
from profiler.probes import Probe
from timemodel.staircases.suspected import SuspectedStep, around_steps


def test_layers_around_a_step():
    rng = np.random.default_rng(0)

    def widths(layer, step):
        return [
            (one.inputs[0].shape[-1], one.outputs[0].shape[-1]) for one in around_steps(layer, [step], rng)
        ]

    layer = conv_2d(8, 8, 20, 50)
    assert widths(layer, SuspectedStep("out", at=25)) == [(20, 24), (20, 25), (20, 26)]
    assert widths(layer, SuspectedStep("out", period=16)) == [(20, 47), (20, 48), (20, 49)]
    assert widths(layer, SuspectedStep("in", at=1)) == [(1, 50), (2, 50)]
    assert widths(depthwise_conv_2d(8, 8, 5), SuspectedStep("out", period=8)) == [(7, 7), (8, 8), (9, 9)]
    assert widths(fully_connected(100, 10), SuspectedStep("in", period=64)) == [
        (127, 10),
        (128, 10),
        (129, 10),
    ]
    assert around_steps(layer, [], rng) == []
    for one in around_steps(layer, [SuspectedStep("in", at=33)], rng):
        assert one.inputs[1].shape == (50, 3, 3, one.inputs[0].shape[-1])
        assert Probe("layer", (one,)).build()
