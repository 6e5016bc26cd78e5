"""Structured surgery on every family of keras.applications: ``python -m benchmarks.surgery``.

Each network (32 to 96 pixels, random weights that leave nothing at its neutral value) loses half of each group
of channels. Written to ``benchmarks/results/surgery.csv``: groups and what is left whole, parameters before and
after, seconds for the graph and for the cut, the largest difference between the outputs of the masked and of
the cut network as a share of the largest output, by the same share how much outputs differ from image to image
(were that nothing, the other would say nothing), and whether the cut network converts to TFLite.
"""

from __future__ import annotations

import argparse
import csv
import gc
import time
from pathlib import Path
from typing import Any

import numpy as np

RESULT = Path(__file__).parent / "results" / "surgery.csv"

FAMILIES = {
    "MobileNetV2@224": 224, "MobileNet": 32, "MobileNetV2": 32, "MobileNetV3Small": 32, "MobileNetV3Large": 32,
    "EfficientNetB0": 32, "EfficientNetV2B0": 32, "DenseNet121": 32, "DenseNet169": 32, "ResNet50": 32,
    "ResNet101": 32, "ResNet50V2": 32, "NASNetMobile": 32, "ConvNeXtTiny": 32, "ConvNeXtSmall": 32, "VGG16": 32,
    "VGG19": 32, "Xception": 71, "InceptionV3": 75, "InceptionResNetV2": 75, "EfficientNetB3": 64,
    "EfficientNetV2S": 64,
}  # fmt: skip
"""Name of the function, with the pixels of each side."""

COLUMNS = (
    "network", "pixels", "groups", "left_whole", "parameters", "parameters_after", "graph_s", "cut_s",
    "largest_difference", "between_images", "converts", "note",
)  # fmt: skip


def awake(model: Any, rows: Any, keep: Any = None) -> Any:
    """Let batch normalisations take their statistics from `rows`, so that what goes in is seen to come out.

    With random statistics a deep network answers every input with the same numbers. With `keep` (which channels stay in the
    networks to be compared) the statistics are those of `rows` on their way through what stays.
    """
    from compressor.graph import layers_of, masked

    through = model if keep is None else masked(model, keep)
    found = {
        name: layer for name, layer in layers_of(through) if type(layer).__name__ == "BatchNormalization"
    }
    momenta = {name: layer.momentum for name, layer in found.items()}
    for layer in found.values():
        layer.momentum = 0.0
    through(rows, training=True)
    own = dict(layers_of(model))
    for name, layer in found.items():
        layer.momentum = momenta[name]
        own[name].moving_mean.assign(layer.moving_mean)
        own[name].moving_variance.assign(layer.moving_variance)
    return model


def measure(name: str, pixels: int, convert: bool = True) -> dict[str, Any]:
    """One row of the table."""
    import keras

    from compressor.export import to_tflite_bytes
    from compressor.graph import build_graph, cut, masked
    from compressor.testing.law import stirred

    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    make = getattr(keras.applications, name.split("@")[0])
    model = stirred(
        make(input_shape=(pixels, pixels, 3), weights=None, classes=10, classifier_activation=None)
    )
    x = np.random.default_rng(0).uniform(0, 255, (8, pixels, pixels, 3)).astype("float32")
    started = time.perf_counter()
    graph = build_graph(model)
    graph_s = time.perf_counter() - started
    keep = {group.id: range(0, group.width, 2) for group in graph.groups.values()}
    awake(model, x, keep)
    started = time.perf_counter()
    smaller = cut(model, keep, graph)
    cut_s = time.perf_counter() - started
    expected = np.asarray(masked(model, keep, graph)(x, training=False))
    found = np.asarray(smaller(x, training=False))
    scale = max(float(np.abs(expected).max()), 1e-12)
    between = float(np.abs(expected - expected[:1]).max()) / scale
    converts, note = "", "; ".join(f"{f.layer}: {f.reason}" for f in graph.frozen[:3])
    if convert:
        try:
            converts = "yes" if to_tflite_bytes(smaller) else "no"
        except Exception as reason:  # the table says what went wrong
            converts, note = "no", str(reason)[:120]
    return {
        "network": name.split("@")[0],
        "pixels": pixels,
        "groups": len(graph.groups),
        "left_whole": len(graph.frozen),
        "parameters": model.count_params(),
        "parameters_after": smaller.count_params(),
        "graph_s": f"{graph_s:.2f}",
        "cut_s": f"{cut_s:.2f}",
        "largest_difference": f"{float(np.abs(found - expected).max()) / scale:.1e}",
        "between_images": f"{between:.1e}",
        "converts": converts,
        "note": note,
    }


def main() -> None:
    """Measure all families, or those that are named, and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("families", nargs="*", help="such as ResNet50; all where none is named")
    parser.add_argument("--no-convert", action="store_true", help="leave conversion out")
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    unknown = set(options.families) - set(FAMILIES)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(FAMILIES)}")
    done: dict[tuple[str, str], dict[str, Any]] = {}
    if options.families and options.out.exists():  # rows of other families stay
        with options.out.open(newline="") as file:
            done = {(row["network"], row["pixels"]): row for row in csv.DictReader(file)}
    for name in options.families or FAMILIES:
        row = measure(name, FAMILIES[name], not options.no_convert)
        print(*(f"{row[column]}" for column in COLUMNS), sep="  ", flush=True)
        done[row["network"], str(row["pixels"])] = row
        with options.out.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(done.values())
        gc.collect()


if __name__ == "__main__":
    main()
