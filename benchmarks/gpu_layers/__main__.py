"""Single layers on four GPUs: edgetime's tree of at most 40 leaves beside boosted trees and random forests.

    python -m benchmarks.gpu_layers [--seeds 1] [--fast]

Data: ``latency/gpu_layers`` of the shared data folder: about 9,400 convolutions and as many dense layers per GPU. Rows are split
80/20 at random; nothing is chosen on the 20%. "unseen GPU" takes the splits of the tree from the training rows of the *other*
GPUs, which each have leaves of their own, and fits only the leaves' coefficients to the training rows of the GPU in question.
The black boxes get log times, and either the table's own columns ("raw") or all of edgetime's features, tiles and waves
included ("same features"), of the family that edgetime chose on its training rows.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor

from benchmarks.csv_files import write_csv
from benchmarks.gpu_layers.shared_tree import fit_structure
from benchmarks.networks.catalogue import shared_data
from benchmarks.phones import RESULTS
from profiler.network import Layer
from timemodel.features import COLUMNS, geometry
from timemodel.fitting.tables import MAX_LEAVES, fit_leaves, fit_table_operator, read_table

OPERATORS = {"conv": "conv_2d", "dense": "fully_connected"}
RAW = (
    "batch", "in_height", "in_width", "in_channels", "out_channels", "kernel_height", "kernel_width",
    "stride_height", "stride_width", "same_padding", "activation", "parameters",
)  # fmt: skip


def forest() -> RandomForestRegressor:
    return RandomForestRegressor(100, min_samples_leaf=2, random_state=0)


def boosted() -> HistGradientBoostingRegressor:
    return HistGradientBoostingRegressor(
        max_iter=500, learning_rate=0.06, max_leaf_nodes=31, min_samples_leaf=8, random_state=0
    )


def split(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Training and test rows: 80% and 20%."""
    order = np.random.default_rng(seed).permutation(rows)
    return np.sort(order[rows // 5 :]), np.sort(order[: rows // 5])


def black_box(
    make: Callable[[], Any], table: np.ndarray, train: np.ndarray, test: np.ndarray, times: np.ndarray
) -> np.ndarray:
    """Predicted times of the test rows."""
    rows = np.log1p(table)
    return np.exp(make().fit(rows[train], np.log(times[train])).predict(rows[test]))


def errors(predicted: np.ndarray, measured: np.ndarray) -> dict[str, float]:
    """Mean and median relative error, and the share within 10%."""
    off = np.abs(predicted / measured - 1.0)
    return {
        "mean_error": float(off.mean()),
        "median_error": float(np.median(off)),
        "within_10": float(np.mean(off <= 0.1)),
    }


class Gpu:
    """One GPU's rows of one kind of layer."""

    def __init__(self, path: Path, seed: int) -> None:
        table = read_table(path)
        assert table.times_ms is not None
        self.name = path.name.split("_", 1)[1].removesuffix(".csv.gz")
        self.layers, self.times = list(table.layers), table.times_ms
        self.array = geometry(self.layers)
        self.train, self.test = split(len(self.layers), seed)

    def chosen(self, rows: np.ndarray) -> list[Layer]:
        """Layers of `rows`."""
        return [self.layers[i] for i in rows]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=1, help="how often rows are split")
    parser.add_argument("--fast", action="store_true", help="without random forests")
    parser.add_argument("--data", type=Path, help="folder with conv_GPU.csv.gz and dense_GPU.csv.gz")
    args = parser.parse_args()
    folder = args.data or (shared_data() or Path("shared/data")) / "latency" / "gpu_layers"
    if not folder.is_dir():
        raise SystemExit(f"{folder} is not there: name the data with --data.")
    rows: list[dict[str, object]] = []
    for seed in range(args.seeds):
        for kind, op in OPERATORS.items():
            gpus = [Gpu(path, seed) for path in sorted(folder.glob(f"{kind}_*.csv.gz"))]
            for gpu in gpus:
                rows += compare(gpu, [other for other in gpus if other is not gpu], kind, op, seed, args.fast)
    summary(rows)
    RESULTS.mkdir(exist_ok=True)
    write_csv(RESULTS / "gpu_layers.csv", rows, digits=4)


def compare(
    gpu: Gpu, others: list[Gpu], kind: str, op: str, seed: int, fast: bool
) -> list[dict[str, object]]:
    """Every predictor on the test rows of one GPU."""
    array, train, test, times = gpu.array, gpu.train, gpu.test, gpu.times
    begin = time.perf_counter()
    model = fit_table_operator(op, "float32", gpu.chosen(train), times[train], seed)
    seconds = time.perf_counter() - begin
    found: list[tuple[str, int, np.ndarray]] = [
        ("edgetime", model.tree.n_leaves_, model.predict_ms(array[test]))
    ]
    if others:
        known = [(other.chosen(other.train), other.times[other.train]) for other in others]
        moved = fit_leaves(fit_structure(op, "float32", known), gpu.chosen(train), times[train], seed)
        found.append(("edgetime, unseen GPU", moved.tree.n_leaves_, moved.predict_ms(array[test])))
    raw = array[:, [COLUMNS.index(name) for name in RAW]]
    for what, table in (("same features", model.matrix(array)), ("raw", raw)):
        found.append((f"boosted trees, {what}", 0, black_box(boosted, table, train, test, times)))
        if not fast:
            found.append((f"random forest, {what}", 0, black_box(forest, table, train, test, times)))
    rows: list[dict[str, object]] = []
    print(
        f"\n{kind} on {gpu.name}, {len(train)} rows learned from, {len(test)} predicted; fit {seconds:.0f} s"
    )
    for name, leaves, predicted in found:
        result = errors(predicted, times[test])
        rows.append(
            {"kind": kind, "gpu": gpu.name, "seed": seed, "predictor": name, "leaves": leaves, **result}
        )
        assert leaves <= MAX_LEAVES
        print(
            f"  {name:32s}{f'{leaves} leaves' if leaves else '':12s}mean {result['mean_error']:6.1%}   "
            f"median {result['median_error']:6.1%}   within 10% {result['within_10']:4.0%}",
            flush=True,
        )
    return rows


def summary(rows: list[dict[str, object]]) -> None:
    """Mean over GPUs."""
    print(f"\n{'mean error, mean over GPUs':34s}" + "".join(f"{kind:>10s}" for kind in OPERATORS))
    for name in dict.fromkeys(str(row["predictor"]) for row in rows):
        cells = []
        for kind in OPERATORS:
            values = [
                float(str(r["mean_error"])) for r in rows if r["predictor"] == name and r["kind"] == kind
            ]
            cells.append(f"{np.mean(values):10.2%}" if values else f"{'':10s}")
        print(f"{name:34s}{''.join(cells)}")


if __name__ == "__main__":
    main()
