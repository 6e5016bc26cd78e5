"""Tiny networks whose answers one can choose, and policies of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from profiler.network import Layer, Tensor
from profiler.tflite.writer import ModelPlan, OperatorPlan, TensorPlan, encode
from selector.runtime import PolicyNetwork, Specification, Stage, save_policy


def picks(columns, inputs=6, bias=0.0):
    """A network without softmax whose output k is input `columns[k]`; None is always `bias`."""
    weights = np.zeros((len(columns), inputs), np.float32)
    for row, column in enumerate(columns):
        if column is not None:
            weights[row, column] = 1
    return dense(weights, np.full(len(columns), bias, np.float32))


def dense(weights, bias, names=("x", "y")):
    """One fully connected layer with given weights [outputs, inputs] and bias [outputs]."""
    outputs, inputs = weights.shape
    layer = Layer(
        "fully_connected",
        (
            Tensor((1, inputs)),
            Tensor((outputs, inputs), constant=True),
            Tensor((outputs,), constant=True),
        ),
        (Tensor((1, outputs)),),
        {"activation": "none"},
    )
    plan = ModelPlan(
        tensors=[
            TensorPlan(names[0], (1, inputs), "float32"),
            TensorPlan("weights", (outputs, inputs), "float32", np.asarray(weights, np.float32)),
            TensorPlan("bias", (outputs,), "float32", np.asarray(bias, np.float32)),
            TensorPlan(names[1], (1, outputs), "float32"),
        ],
        operators=[OperatorPlan(layer, [0, 1, 2], [3])],
        inputs=[0],
        outputs=[3],
    )
    return encode(plan)


def network(name, predicted_ms, form="probabilities", **more):
    return PolicyNetwork(f"{name}.tflite", name, predicted_ms, form=form, **more)


def two_stages(threshold=0.5, **stage):
    """A quick network that sees inputs 0 to 2, then a slow one that sees 3 to 5; three classes."""
    first = replace(Stage(0, (1.0,), threshold=threshold), **stage)
    return Specification(
        "cascade",
        "board",
        (network("quick", 1.0), network("slow", 4.0)),
        (first, Stage(1, (0.0, 1.0))),
        classes=3,
        single=1,
        expected={"stop_shares": [0.5, 0.5], "rows": 100},
    )


def files(folder: Path, **contents: bytes) -> list[Path]:
    """Write networks and return their paths in order."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, content in contents.items():
        paths.append(folder / f"{name}.tflite")
        paths[-1].write_bytes(content)
    return paths


def saved(folder: Path, specification: Specification, **contents: bytes) -> Path:
    """Write a policy with its networks."""
    return save_policy(specification, files(folder / "nets", **contents), folder / "policy.json")
