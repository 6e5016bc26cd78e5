"""Float32, all int8, all dynamic and the searched mix of three networks: measured time and accuracy on rows that chose nothing.

    python -m benchmarks.quantization --work DIR [--data TASKS] [--networks squeezed,mobile,resnet9] [--max-drop 0.5]

CIFAR-10. `squeezed` (hard-swish, squeeze-and-excite) is trained here, the others are those of `benchmarks.selection` in the same
folder (`python -m benchmarks.selection --only-train --tasks image --seeds 0 --work DIR` trains them). The mix is searched on
training rows and chosen on validation rows; the 10,000 test rows judge. Times are measured on this machine in turns.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.compression import tasks_image
from benchmarks.compression.tasks import Split
from benchmarks.quantization.networks import squeezed
from benchmarks.selection.__main__ import time_model
from benchmarks.selection.members import folder_of
from compressor.data import Data
from compressor.export import TfliteRunner, export, measure_in_turns
from compressor.weights.quantization import export_mixed
from profiler.devices import open_target
from profiler.files import replacing
from timemodel import TimeModel

EPOCHS = 20
UNIFORM = {"float32": "none", "int8": "int8", "dynamic": "dynamic", "weight-int4": "weight-int4"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quantization",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data/tasks"))
    parser.add_argument("--work", type=Path, required=True, help="folder for everything that is made")
    parser.add_argument("--networks", default="squeezed,mobile,resnet9")
    parser.add_argument("--max-drop", type=float, default=0.5, help="points that the mix may lose")
    parser.add_argument("--time-model", type=Path, help="of this machine; default: profiled for 3 minutes")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of squeezed")
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args(arguments)
    model = time_model(options.work, options.time_model)
    split = tasks_image.TASKS["image"].load(options.data, options.work, 0)
    for name in options.networks.split(","):
        file = _trained(name, split, options.work, options.epochs)
        folder = options.work / "quantization" / name
        folder.mkdir(parents=True, exist_ok=True)
        _report(
            name, _files(file, folder, split, model, options.max_drop, options.trials), split, options.rounds
        )


def _trained(name: str, split: Split, work: Path, epochs: int) -> Path:
    """The `.keras` file, trained where it is not there yet."""
    import keras

    file = folder_of(work, "image", 0) / f"{name}.keras"
    if file.exists():
        return file
    if name != "squeezed":
        raise SystemExit(
            f"{file} is missing: train it with 'python -m benchmarks.selection --only-train --tasks image --seeds 0 --work {work}'."
        )
    file.parent.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(0)
    model = squeezed()
    steps = epochs * -(-len(split.train) // 64)
    model.compile(
        optimizer=keras.optimizers.AdamW(
            keras.optimizers.schedules.CosineDecay(4e-3, steps), weight_decay=1e-4
        ),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    generator = np.random.default_rng(0)
    for epoch in range(epochs):
        x = tasks_image.TASKS["image"].augment(split.train.x, generator)
        loss = model.fit(x, split.train.y, batch_size=64, verbose=0).history["loss"][0]
        print(f"{name}: epoch {epoch + 1} of {epochs}, loss {loss:.3f}", flush=True)
    with replacing(file) as temporary:
        model.save(temporary)
    return file


def _files(
    keras_file: Path, folder: Path, split: Split, model: TimeModel, max_drop: float, trials: int
) -> dict[str, Path]:
    """A file for each precision, and the mix with its reasons printed."""
    typical = split.train.x[:: max(1, len(split.train) // 200)]
    check = Data(split.validation.x, split.validation.y, source="validation rows")
    files = {}
    for name, quantize in UNIFORM.items():
        files[name] = folder / f"{name}.tflite"
        export(keras_file, files[name], quantize, typical, check_data=check, allow_drop=True)
    files["mix"] = folder / "mix.tflite"
    found = export_mixed(
        keras_file, files["mix"], model, typical, check_data=check, max_drop=max_drop, trials=trials
    )
    print(f"\n{keras_file.stem}: {found.operators}", *found.reasons, sep="\n  ", flush=True)
    return files


def _report(name: str, files: dict[str, Path], split: Split, rounds: int) -> None:
    with open_target("local") as target:
        turns = measure_in_turns(files, target, rounds)
    right = {one: _right(file, split) for one, file in files.items()}
    best = min(("float32", "int8", "dynamic"), key=turns.median_ms)
    print(f"  {'':12s} {'measured':>10s} {'of ' + best:>12s} {'accuracy':>9s} {'file':>9s}")
    for one, file in files.items():
        share = 1 / turns.ratio(best, one)[0]
        print(
            f"  {one:12s} {turns.median_ms(one):7.4f} ms {share:12.2f} {right[one].mean():9.2%} "
            f"{file.stat().st_size / 1e3:6.1f} kB",
            flush=True,
        )
    gap = right["mix"].astype(float) - right["float32"]
    error = 1.96 * gap.std() / np.sqrt(len(gap))
    low, high = gap.mean() - error, gap.mean() + error
    print(f"  mix against float32: {100 * gap.mean():+.2f} points [{100 * low:+.2f}, {100 * high:+.2f}]")


def _right(file: Path, split: Split) -> Any:
    return TfliteRunner(file).predict(split.test.x).argmax(axis=1) == split.test.y


if __name__ == "__main__":
    main()
