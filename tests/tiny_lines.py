"""A small classifier with a convolution and a dense layer, as the bytes of a `.tflite`, and rows for it."""

from __future__ import annotations

import numpy as np

from profiler.network import Layer, Tensor
from profiler.operators import conv_2d
from profiler.tflite import ModelPlan, OperatorPlan, TensorPlan, encode

INPUT = (5, 5, 6)


def classifier(seed: int = 0, kernel=None) -> bytes:
    generator = np.random.default_rng(seed)
    if kernel is None:
        kernel = generator.normal(0, 0.2, (16, 3, 3, 6))
    dense = generator.normal(0, 0.3, (3, 144))
    convolution = conv_2d(5, 5, 6, 16, padding="valid", activation="relu")
    shapes = ((1, 3, 3, 16), (3, 144), (3,))
    connected = Layer(
        "fully_connected",
        tuple(Tensor(shape, constant=number > 0) for number, shape in enumerate(shapes)),
        (Tensor((1, 3)),),
        {"activation": "none"},
    )
    softmax = Layer("softmax", (Tensor((1, 3)),), (Tensor((1, 3)),), {"beta": 1.0})
    plan = ModelPlan(
        tensors=[
            TensorPlan("x", (1, *INPUT), "float32"),
            TensorPlan("kernel", (16, 3, 3, 6), "float32", np.asarray(kernel, np.float32)),
            TensorPlan("shift", (16,), "float32", np.linspace(-0.5, 0.5, 16, dtype=np.float32)),
            TensorPlan("features", (1, 3, 3, 16), "float32"),
            TensorPlan("dense", (3, 144), "float32", dense.astype(np.float32)),
            TensorPlan("bias", (3,), "float32", np.array([0.1, 0.2, -0.3], np.float32)),
            TensorPlan("logits", (1, 3), "float32"),
            TensorPlan("y", (1, 3), "float32"),
        ],
        operators=[
            OperatorPlan(convolution, [0, 1, 2], [3]),
            OperatorPlan(connected, [3, 4, 5], [6]),
            OperatorPlan(softmax, [6], [7]),
        ],
        inputs=[0],
        outputs=[7],
    )
    return encode(plan)


def rows(count: int = 96, seed: int = 1) -> np.ndarray:
    generator = np.random.default_rng(seed)
    # Neighbours are alike and channels have means of their own, as in real networks.
    smooth = generator.normal(0, 1, (count, 1, 1, INPUT[2])) + 0.5 * generator.normal(0, 1, (count, *INPUT))
    return (smooth + np.arange(INPUT[2])).astype(np.float32)
