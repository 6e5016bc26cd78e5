"""A script that rebuilds and trains the networks of a result with Keras alone, and their architectures as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from compressor.export import load_keras
from compressor.training import Schedule, Task
from profiler.files import write_text

SCRIPT = "rebuild.py"

_TEXT = '''"""Builds a network anew and trains it, with Keras alone: python {name} points/01.json ORIGINAL.keras DATA OUT.keras"""

import importlib.util
import sys

import keras
import numpy as np
from keras import ops

EPOCHS, BATCH, RATE, ALPHA, TEMPERATURE = {epochs}, {batch_size}, {learning_rate}, {alpha}, {temperature}
OUTPUTS = {outputs}  # what each output gives
architecture, original, data, out = sys.argv[1:5]
if data.endswith(".py"):  # it defines load(), and perhaps loss and layers of its own
    spec = importlib.util.spec_from_file_location("data", data)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (x, y), own = module.load()[0], getattr(module, "loss", None)
else:
    arrays, own = dict(np.load(data)), None
    x, y = ({{k[2:]: v for k, v in arrays.items() if k.startswith(p + ".")}} or arrays[p] for p in "xy")
def log_p(kind, value):
    if kind in ("sigmoid", "logit"):
        value = value if kind == "sigmoid" else ops.sigmoid(value)
        value = ops.concatenate([1 - value, value], -1)
    return ops.log_softmax(value) if kind == "logits" else ops.log(value + 1e-7)
def loss_of(name, kind):
    def loss(wanted, found):  # the labels, and behind them what the original gives
        label, near = wanted[..., : -found.shape[-1]], wanted[..., -found.shape[-1] :]
        if kind == "values":
            true = ops.mean(keras.losses.get(own[name] if isinstance(own, dict) else own)(label, found))
            return (1 - ALPHA) * true + ALPHA * ops.mean((found - near) ** 2) / (ops.var(near) + 1e-6)
        soft, goal = (ops.log_softmax(log_p(kind, v) / TEMPERATURE) for v in (found, near))
        true = -ops.take_along_axis(log_p(kind, found), ops.cast(label, "int32"), -1)[..., 0]
        return (1 - ALPHA) * true + ALPHA * TEMPERATURE**2 * ops.sum(ops.exp(goal) * (goal - soft), -1)
    return loss
model = keras.models.model_from_json(open(architecture).read())
near = keras.models.load_model(original, compile=False).predict(x, verbose=0)
several = near if isinstance(near, dict) else dict(zip(OUTPUTS, near if isinstance(near, list) else [near]))
labels = {{n: np.asarray(y[n] if isinstance(y, dict) else y) for n in OUTPUTS}}
labels = {{n: v.argmax(-1) if OUTPUTS[n] != "values" and v.shape[1:] > (1,) else v for n, v in labels.items()}}
wanted = [np.concatenate([labels[n].reshape(v.shape[:-1] + (-1,)), v], -1).astype("float32") for n, v in several.items()]
losses = [loss_of(n, OUTPUTS[n]) for n in several]
rate = keras.optimizers.schedules.CosineDecay(RATE, EPOCHS * max(1, len(wanted[0]) // BATCH))
def like_outputs(values):
    return dict(zip(several, values)) if isinstance(near, dict) else values if len(values) > 1 else values[0]
model.compile(keras.optimizers.Adam(rate), like_outputs(losses))
model.fit(x, like_outputs(wanted), BATCH, EPOCHS, verbose=2)
model.save(out)
'''


def write_rebuilding(folder: Path, networks: Iterable[Path], task: Task, schedule: Schedule) -> None:
    """Write ``rebuild.py``, and beside each ``.keras`` file its architecture as ``.json``.

    The script trains from new weights by this schedule, with the original as the teacher; what a data file augments it leaves out.
    """
    for network in networks:
        write_text(network.with_suffix(".json"), load_keras(network).to_json())
    outputs = {name: head.kind for name, head in task.heads.items()}
    values = {
        name: getattr(schedule, name)
        for name in ("epochs", "batch_size", "learning_rate", "alpha", "temperature")
    }
    write_text(folder / SCRIPT, _TEXT.format(name=SCRIPT, outputs=outputs, **values))
