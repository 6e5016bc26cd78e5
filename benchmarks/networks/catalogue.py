"""The networks that benchmarks predict and measure: public files, keras.applications at several sizes, and our own.

    python -m benchmarks.networks FOLDER [NAME …]      converts those that FOLDER lacks, each in a process of its own

Float32 files are called ``NAME.tflite``, int8 ones ``NAME_int8.tflite``. What cannot be converted leaves
``….failed.txt`` with the reason in place of a file, and is not tried again.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks.networks.own import OWN

Application = tuple[str, int] | tuple[str, int, dict[str, Any]]

APPLICATIONS: dict[str, Application] = {
    "mobilenet_v1": ("MobileNet", 224),
    "mobilenet_v2": ("MobileNetV2", 224),
    "efficientnet_b0": ("EfficientNetB0", 224),
    "resnet50": ("ResNet50", 224),
    "mobilenet_v1_128": ("MobileNet", 128),
    "mobilenet_v1_a25_96": ("MobileNet", 96, {"alpha": 0.25}),
    "mobilenet_v2_96": ("MobileNetV2", 96),
    "mobilenet_v2_a35_128": ("MobileNetV2", 128, {"alpha": 0.35}),
    "mobilenet_v2_a130_192": ("MobileNetV2", 192, {"alpha": 1.3}),
    "mobilenet_v3_small": ("MobileNetV3Small", 224),
    "mobilenet_v3_small_min_160": ("MobileNetV3Small", 160, {"minimalistic": True}),
    "mobilenet_v3_large": ("MobileNetV3Large", 224),
    "mobilenet_v3_large_a75_160": ("MobileNetV3Large", 160, {"alpha": 0.75}),
    "efficientnet_b0_128": ("EfficientNetB0", 128),
    "efficientnet_b2_160": ("EfficientNetB2", 160),
    "efficientnet_v2_b0": ("EfficientNetV2B0", 224),
    "efficientnet_v2_b2_128": ("EfficientNetV2B2", 128),
    "densenet121": ("DenseNet121", 224),
    "densenet121_160": ("DenseNet121", 160),
    "inception_v3": ("InceptionV3", 299),
    "inception_v3_160": ("InceptionV3", 160),
    "nasnet_mobile": ("NASNetMobile", 224),
    "resnet50_160": ("ResNet50", 160),
    "resnet50_v2": ("ResNet50V2", 224),
    "xception": ("Xception", 299),
    "xception_160": ("Xception", 160),
    "convnext_tiny": ("ConvNeXtTiny", 224),
    "convnext_tiny_96": ("ConvNeXtTiny", 96),
    "vgg16": ("VGG16", 224),
}
"""Class in keras.applications, side of its input, and further arguments; weights are random."""

PUBLIC: dict[str, tuple[str, ...]] = {
    "float32": ("ad01_fp32", "kws_ref_model_float32", "pretrainedResnet", "trained_lstm"),
    "int8": ("pretrainedResnet_quant", "person_detect"),
}
"""Files in the shared data folder, by dtype."""

_LOOP = "int8 arithmetic needs the loop unrolled: see the unrolled ones"
FLOAT_ONLY = {
    "lstm_loop": _LOOP,
    "gru_loop": _LOOP,
    "vgg16": "TensorFlow's int8 conversion of 138 million weights takes more than 17 GB of memory",
}
"""Networks that get no int8 file, and why."""

CALIBRATION_ROWS = 4
"""Random rows that int8 ranges are found on: times do not depend on how well they fit."""


def shared_data() -> Path | None:
    """The folder of public models and measurements, if it is there."""
    place = os.environ.get("EDGETIME_SHARED_DATA")
    folder = Path(place) if place else Path(__file__).resolve().parents[3] / "shared" / "data"
    return folder if folder.is_dir() else None


def public_files(dtype: str = "float32") -> list[Path]:
    """Files of others; empty where the shared data folder is missing."""
    folder = shared_data()
    return [folder / "models" / f"{name}.tflite" for name in PUBLIC[dtype]] if folder else []


def names() -> list[str]:
    """All networks that are converted here."""
    return [*APPLICATIONS, *OWN]


def network_file(name: str, folder: Path, dtype: str = "float32") -> Path:
    """Where the `.tflite` file of one network is, or would be."""
    return folder / f"{name}{'' if dtype == 'float32' else '_' + dtype}.tflite"


def failure_file(path: Path) -> Path:
    """Where the reason is kept why there is no `path`."""
    return path.with_suffix(".failed.txt")


def network_files(folder: Path, dtype: str, wanted: Iterable[str] = ()) -> tuple[list[Path], dict[str, str]]:
    """The public files and the converted ones in `folder`, and by name why others are missing.

    Parameters
    ----------
    folder
        What `convert` was given.
    dtype
        ``float32`` or ``int8``.
    wanted
        Names to keep, with or without ``_int8``; all, if empty.
    """
    keep = set(wanted)
    files = [p for p in public_files(dtype) if not keep or p.stem in keep]
    missing = {}
    for name in names():
        path = network_file(name, folder, dtype)
        if keep and not keep & {name, path.stem}:
            continue
        if path.exists():
            files.append(path)
        else:
            reason = failure_file(path)
            missing[path.stem] = reason.read_text().strip() if reason.exists() else "it was not converted"
    return files, missing


def build(name: str) -> Any:
    """The Keras model of one network."""
    import keras

    if name in OWN:
        return OWN[name]()
    kind, side, *more = APPLICATIONS[name]
    options = more[0] if more else {}
    return getattr(keras.applications, kind)(weights=None, input_shape=(side, side, 3), **options)


def random_rows(model: Any, count: int = CALIBRATION_ROWS) -> dict[str, Any]:
    """Rows for every input of a Keras model by its name: standard normal, or numbers of words."""
    import numpy as np

    from compressor.training import input_names

    generator = np.random.default_rng(0)
    rows = {}
    for name, tensor in zip(input_names(model), model.inputs, strict=True):
        size = (count, *tensor.shape[1:])
        floats = "float" in str(tensor.dtype)
        rows[name] = (
            generator.normal(size=size).astype("float32")
            if floats
            else generator.integers(0, 500, size).astype(str(tensor.dtype))
        )
    return rows


def settle(model: Any, rows: dict[str, Any]) -> None:
    """Set batch normalisation to the statistics of `rows`.

    With the untrained ones, activations fade from layer to layer, and with them int8 scales, until a runtime
    declines operators that it would take in a trained network.
    """
    import keras

    normal = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    if not normal:
        return
    for layer in normal:
        layer.momentum = 0.0
    inputs = list(rows.values())
    model(inputs[0] if len(inputs) == 1 else inputs, training=True)


def convert_one(name: str, folder: Path) -> None:
    """Write the float32 and the int8 file of one network, or the reason why not; keeps what is there."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from compressor.export import to_tflite_bytes
    from profiler.files import write_bytes, write_text

    model: Any = None
    rows: dict[str, Any] = {}
    for dtype, quantize in (("float32", "none"), ("int8", "int8")):
        path = network_file(name, folder, dtype)
        if path.exists() or failure_file(path).exists():
            continue
        if dtype == "int8" and name in FLOAT_ONLY:
            write_text(failure_file(path), FLOAT_ONLY[name] + "\n")
            continue
        if model is None:
            model = build(name)
            rows = random_rows(model)
            settle(model, rows)
        try:
            write_bytes(path, to_tflite_bytes(model, quantize, rows if dtype == "int8" else None))
        except Exception as error:  # converters raise all kinds of things; the others go on
            write_text(failure_file(path), " ".join(str(error).split())[:400] + "\n")


def complete(name: str, folder: Path) -> bool:
    """Whether both files of a network are there, or the reasons why not."""
    paths = [network_file(name, folder, dtype) for dtype in ("float32", "int8")]
    return all(path.exists() or failure_file(path).exists() for path in paths)


def convert(folder: Path, wanted: Iterable[str] = (), say: Callable[[str], None] = lambda line: None) -> None:
    """Convert what `folder` lacks, each network in a process of its own: converters crash, and keep memory."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in [name for name in wanted or names() if not complete(name, folder)]:
        command = [sys.executable, "-m", "benchmarks.networks", str(folder), name, "--here"]
        done = subprocess.run(
            command, cwd=Path(__file__).resolve().parents[2], capture_output=True, text=True, check=False
        )
        for dtype in ("float32", "int8"):
            path = network_file(name, folder, dtype)
            reason = failure_file(path)
            if not path.exists() and not reason.exists():
                last = (done.stderr.strip().splitlines() or ["no message"])[-1][:200]
                why = "killed, perhaps for want of memory" if done.returncode == -signal.SIGKILL else last
                reason.write_text(f"the converter ended with status {done.returncode} ({why})\n")
            say(f"{path.stem}: " + ("converted" if path.exists() else reason.read_text().strip()))


def main() -> None:
    """Convert."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", metavar="NAME", help="; ".join(names()))
    parser.add_argument("--here", action="store_true", help="in this process")
    options = parser.parse_args()
    unknown = sorted(set(options.names) - set(names()))
    if unknown:
        parser.error(f"no such network: {', '.join(unknown)}")
    if options.here:
        for name in options.names or names():
            convert_one(name, options.folder)
    else:
        convert(options.folder, options.names, lambda line: print(line, flush=True))
