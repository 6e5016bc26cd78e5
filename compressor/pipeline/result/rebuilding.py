"""A script that rebuilds and trains the networks of a result with Keras alone, and their architectures as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from compressor.export import load_keras
from compressor.training import Schedule, Task
from profiler.files import write_text

SCRIPT = "rebuild.py"

_TEXT = '''"""Builds a network anew and trains it with Keras alone: python {name} points/01.json ORIGINAL.keras DATA OUT.keras"""
import importlib.util, pathlib, sys, keras, numpy as np
from keras import ops

EPOCHS, BATCH, RATE, ALPHA, TEMPERATURE = {epochs}, {batch_size}, {learning_rate}, {alpha}, {temperature}
OUTPUTS = {outputs}  # what each output gives
architecture, original, data, out = sys.argv[1:5]
if data.endswith(".py"):  # it defines load(), and perhaps a loss and layers of its own
    spec = importlib.util.spec_from_file_location("data", data)
    spec.loader.exec_module(module := importlib.util.module_from_spec(spec))
    (x, y), own = module.load()[0], getattr(module, "loss", None)
else:
    arrays, own = {{p.stem: np.load(p) for p in pathlib.Path(data).glob("*.npy")}} or dict(np.load(data)), None
    x, y = ({{k[2:]: v for k, v in arrays.items() if k.startswith(p + ".")}} or arrays[p] for p in "xy")
def log_p(kind, value):
    if kind in ("sigmoid", "logit"):
        value = ops.concatenate([1 - (p := value if kind == "sigmoid" else ops.sigmoid(value)), p], -1)
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
model, wanted = keras.models.model_from_json(open(architecture).read()), []
near = keras.models.load_model(original, compile=False).predict(x, verbose=0)
for (name, kind), v in zip(OUTPUTS.items(), near if isinstance(near, list) else [near]):
    label = np.asarray(y[name] if isinstance(y, dict) else y)
    label = label.argmax(-1) if kind != "values" and label.shape[1:] > (1,) else label  # class numbers
    wanted.append(np.concatenate([label.reshape(*v.shape[:-1], -1), v], -1).astype("float32"))
rate = keras.optimizers.schedules.CosineDecay(RATE, EPOCHS * max(1, len(wanted[0]) // BATCH))
model.compile(keras.optimizers.Adam(rate), [loss_of(*item) for item in OUTPUTS.items()])
model.fit(x, wanted if len(wanted) > 1 else wanted[0], BATCH, EPOCHS, verbose=2)
model.compile()  # so that the file loads without the loss above
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
