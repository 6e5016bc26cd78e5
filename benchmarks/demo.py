"""Is the demo's original bloated? Its accuracy and time over its width, trained from scratch at each; then what it became.

    python -m benchmarks.demo [--seeds 3] [--demo demo-out]

With ``--demo DIR`` (what ``edgetime demo --out DIR`` wrote) the compressed network and the one cut by a uniform width are put
below the sweep, as that run measured them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from compressor.export import to_tflite_bytes
from compressor.pipeline.result import CompressionResult
from edgetime.demo import WIDTHS, load_digits, train_network
from profiler.devices import open_target
from profiler.measurement import measure_network

FACTORS = (0.25, 0.375, 0.5, 0.75, 1.0, 1.5, 2.0)


def main() -> None:
    """Train, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--demo", type=Path, help="folder of a run of 'edgetime demo'")
    parser.add_argument("--target", default="local")
    args = parser.parse_args()
    digits = load_digits()
    accuracies: dict[float, list[float]] = {factor: [] for factor in FACTORS}
    files: dict[float, bytes] = {}
    for seed in range(args.seeds):
        for factor in FACTORS:
            model = train_network(digits, scaled(factor), epochs=args.epochs, seed=seed)
            outputs = np.asarray(model.predict(digits.x_test, verbose=0))
            accuracies[factor].append(float(np.mean(outputs.argmax(axis=1) == digits.y_test)))
            files.setdefault(factor, to_tflite_bytes(model))
    times: dict[float, list[float]] = {factor: [] for factor in FACTORS}
    with open_target(args.target) as target:
        for _ in range(3):  # in turns, so that a slow spell does not hit one width only
            for factor, content in files.items():
                times[factor].append(
                    measure_network(content, target, per_layer=False, seconds=0.5).measured_ms
                )
    print(f"\ntest accuracy of {len(digits.y_test)} digits over {args.seeds} seeds, float32 file measured\n")
    print(f"{'width':>6s}  {'filters':24s}{'accuracy':>10s}{'spread':>9s}{'measured':>12s}")
    for factor in FACTORS:
        scores = np.array(accuracies[factor])
        name = " ".join(str(width) for width in scaled(factor))
        mark = "  <- the demo's original" if factor == 1.0 else ""
        line = f"{factor:6.3g}  {name:24s}{scores.mean():10.2%}{scores.std(ddof=1) if len(scores) > 1 else 0:9.2%}"
        print(f"{line}{min(times[factor]):9.4f} ms{mark}")
    if args.demo:
        show_demo(args.demo)


def scaled(factor: float) -> tuple[int, ...]:
    """The original's widths times `factor`, at least 2."""
    return tuple(max(2, round(factor * width)) for width in WIDTHS)


def show_demo(folder: Path) -> None:
    """What a run of the demo wrote of its compressions."""
    print()
    for file in sorted(folder.rglob("result.json")):
        result = CompressionResult.load(file.parent)
        for name, facts in (("before", result.before), ("after", result.after)):
            spread = facts.score_spread
            text = f"{facts.mean_score:.2%}" + (f" +- {spread:.2%}" if spread is not None else "")
            measured = "not measured" if facts.measured_ms is None else f"{facts.measured_ms:.4f} ms"
            print(f"{file.parent.name:20s}{name:8s}accuracy {text:18s}{measured}")


if __name__ == "__main__":
    main()
