"""Time and energy by footprint of the weights, on two designs of ZigZag and two of the Ethos-U.

    python -m benchmarks.linecompress.devices WORK --data SHARED [--larger NET.tflite] [--only NAME …]

Each network is quantised to int8, packed at the paper's ratio or a little more, and asked for on each accelerator. Needs the
extras zigzag, ethos-u and linecompress. Each line is kept in WORK as soon as it is known.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.csv_files import write_csv
from benchmarks.linecompress.cases import Case, cases
from compressor.weights.footprint import AcceleratorFootprint, footprint, read_stored
from compressor.weights.line_compress import pack, stored_tensors
from compressor.weights.line_compress.rebuilding import Rebuilt
from profiler.devices import open_target
from profiler.records import Records

RESULTS = Path(__file__).parents[1] / "results" / "linecompress_devices.csv"
TARGETS = ("sim:edge_tpu_like", "sim:eyeriss_like", "sim:ethos-u55-128", "sim:ethos-u65-512")
RATIO = 7.5
CALIBRATION_ROWS = 200


def packed(case: Case, work: Path) -> Path:
    """The packed int8 network, made where it is not there yet."""
    lct = work / f"{case.name} int8.lct"
    if not lct.exists():
        source = work / f"{case.name} int8.tflite"
        source.write_bytes(int8(case))
        pack(source, lct, ratio=RATIO, data=case.data)
    return lct


def int8(case: Case) -> bytes:
    """The network in int8, by TensorFlow's converter."""
    import tensorflow as tf

    network = Rebuilt(case.content, stored_tensors(case.content))
    shape = [1, *case.x.shape[1:]]
    function = tf.function(lambda x: network([x], {}), input_signature=[tf.TensorSpec(shape, tf.float32)])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([row[None]] for row in case.x[:CALIBRATION_ROWS])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    return bytes(converter.convert())


def lines(network: str, found: AcceleratorFootprint) -> Iterator[dict[str, Any]]:
    """One line for each way to store the weights; changes in percent against float32 (where there is one) and int8."""
    bases = {name: found.cost(name) for name in ("float32", "int8")}
    for one in (*found.costs, *found.sweep):
        line: dict[str, Any] = {
            "network": network,
            "accelerator": found.target.removeprefix("sim:"),
            "weights": one.name,
            "decoded": one.decoded,
            "bits_per_weight": round(one.bits_per_weight, 3),
            "ratio": round(one.ratio, 3),
            "time_us": round(1e3 * one.time_ms, 3),
            "energy_uj": None if one.energy_mj is None else round(1e3 * one.energy_mj, 3),
        }
        for name, base in bases.items():
            line[f"time_against_{name}_percent"] = base and round(100 * (one.time_ms / base.time_ms - 1), 1)
            line[f"energy_against_{name}_percent"] = (
                round(100 * (one.energy_mj / base.energy_mj - 1), 1)
                if base and base.energy_mj and one.energy_mj
                else None
            )
        for quantity in ("time_ms", "energy_mj"):
            ratio = found.pays_from(quantity)
            line[f"{quantity.partition('_')[0]}_pays_from_ratio"] = None if ratio is None else round(ratio, 2)
        yield line


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("work", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="the folder with models/ and tasks/")
    parser.add_argument("--larger", type=Path, help="a CIFAR-10 network of one's own")
    parser.add_argument("--only", nargs="*", default=[], help="names of networks")
    parser.add_argument("--targets", nargs="*", default=list(TARGETS), help="specifications of accelerators")
    options = parser.parse_args()
    log = Records(options.work / "devices.jsonl")
    known = log.read()
    for name, read in cases(options.data, options.work, options.larger).items():
        if options.only and name not in options.only:
            continue
        for spec in options.targets:
            if any((row["network"], f"sim:{row['accelerator']}") == (name, spec) for row in known):
                continue
            stored = read_stored(packed(read(), options.work))
            with open_target(spec) as target:
                new = list(lines(name, footprint(stored, target)))
            known += new
            for row in new:
                log.append(row)
                print(*row.values(), flush=True)
    write_csv(RESULTS, known)


if __name__ == "__main__":
    main()
