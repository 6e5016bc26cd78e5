"""Does ``edgetime compare`` name the operators that make one of two files slower?

    python -m benchmarks.compare MODEL.timemodel.json --networks FOLDER [--public FOLDER] [--pair NAME …] [-o RESULTS.csv]

Ten pairs of files of one network (see `benchmarks.networks`): float32 against int8, int8 against a mixed recipe, two converters.
Each pair is measured in turns, total and operators. `explained` is the measured difference of the operators that `compare` names,
by the measured difference of the whole files: 100% where they explain it all. A pair whose difference is less than 5% of the
slower file says nothing about that, and is marked.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.compare.rewriting import as_it_is, float_activations, rewritten, unfused
from benchmarks.csv_files import write_csv
from edgetime.differences import explained, named
from profiler.calm import WITHIN
from profiler.devices import default_target, open_target
from profiler.measurement import measure_pair
from profiler.tflite import read_network
from timemodel import TimeModel
from timemodel.compare import compare

RESULTS = Path(__file__).parents[1] / "results"
NUMBER_TYPES = (
    "mobilenet_v3_small", "resnet20_32", "text_encoder_64", "squeeze_mobile_96", "mobilenet_v2_96", "vit_96", "u_net_128",
)  # fmt: skip
MIXED = ("mobilenet_v3_small",)
CONVERTERS = ("mobilenet_v2_96_int8", "resnet20_32")
_SMALL = 0.05


def pairs(networks: Path, work: Path, public: Path | None) -> dict[str, tuple[Path, Path]]:
    """Files of each pair; what another converter or recipe would write is written into `work`."""
    found = {
        f"{name}: float32, int8": (networks / f"{name}.tflite", networks / f"{name}_int8.tflite")
        for name in NUMBER_TYPES
    }
    if public is not None:
        files = public / "pretrainedResnet.tflite", public / "pretrainedResnet_quant.tflite"
        found["pretrainedResnet: float32, int8"] = files
    for name in MIXED:
        source = read_network(networks / f"{name}_int8.tflite")
        found[f"{name}: int8, mixed"] = (
            _written(work / f"{name}_int8.tflite", rewritten(source, as_it_is)),
            _written(work / f"{name}_mixed.tflite", rewritten(source, float_activations)),
        )
    for name in CONVERTERS:
        source = read_network(networks / f"{name}.tflite")
        found[f"{name}: two converters"] = (
            _written(work / f"{name}_fused.tflite", rewritten(source, as_it_is)),
            _written(work / f"{name}_unfused.tflite", rewritten(source, unfused)),
        )
    return found


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def judged(model: TimeModel, name: str, files: tuple[Path, Path], seconds: float) -> dict[str, Any]:
    """One row of the results."""
    setting = model.setting()
    first, second = (read_network(path) for path in files)
    with open_target(default_target(setting)) as target:
        if setting.conditions is not None:
            target.calm_below_us = WITHIN * setting.conditions.canary_us
        measured = measure_pair(*files, target, seconds=seconds)
    found = compare(model, first, second, measured_ms=(measured.first.layer_ms, measured.second.layer_ms))
    low, high = measured.ratio_interval
    ratio = found.second.predicted_ms / found.first.predicted_ms
    return {
        "pair": name,
        "first_ms": round(measured.first.measured_ms, 4),
        "second_ms": round(measured.second.measured_ms, 4),
        "ratio": round(measured.ratio, 3),
        "ratio_low": round(low, 3),
        "ratio_high": round(high, 3),
        "predicted_ratio": round(ratio, 3),
        "explained": round(explained(found, measured) or float("nan"), 3),
        "named": len(named(found)),
        "largest": named(found)[0].text if named(found) else "",
        "calm": measured.calm,
        "sure": found.sure,
        "small": abs(measured.ratio - 1) / max(measured.ratio, 1) < _SMALL,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--networks", type=Path, required=True)
    parser.add_argument("--public", type=Path)
    parser.add_argument("--pair", action="append", help="only pairs whose name holds this")
    parser.add_argument("--seconds", type=float, default=1.0, help="how long each file runs in each round")
    parser.add_argument("-o", "--output", type=Path, default=RESULTS / "compare.csv")
    options = parser.parse_args()
    model = TimeModel.load(options.model)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, files in pairs(options.networks, Path(folder), options.public).items():
            if options.pair and not any(part in name for part in options.pair):
                continue
            row = judged(model, name, files, options.seconds)
            rows.append(row)
            print(
                f"{name}: {row['first_ms']:.3f} -> {row['second_ms']:.3f} ms, {row['ratio']:.3f} times "
                f"({row['ratio_low']:.3f} to {row['ratio_high']:.3f}), predicted {row['predicted_ratio']:.3f}; "
                + (
                    f"explained {row['explained']:.0%}; {row['largest']}"
                    if not row["small"]
                    else "less than 5%"
                )
                + ("" if row["sure"] else "; predicted: no sure difference"),
                flush=True,
            )
    write_csv(options.output, rows)
    counted = [row["explained"] for row in rows if not row["small"]]
    least = f": named operators explain {np.min(counted):.0%} at least" if counted else ""
    print(f"{len(rows)} pairs, {len(counted)} that differ by more than {_SMALL:.0%}{least}")


if __name__ == "__main__":
    main()
