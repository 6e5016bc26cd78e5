"""Whole networks on 80 phones: 10-fold cross-validation by network, edgetime beside baselines and the noise floor.

    python -m benchmarks.phones [--seeds 3] [--fast]

Data: ``latency/phones`` of the shared data folder. In each fold the times of the held-out networks are unseen on *every* phone:
what one phone says of a network is never used to predict it on another. No phone is left out. Every predictor of a fold sees
the same training networks. "pooled" baselines learn from all phones at once (with each phone's median training time as a
feature); the others one phone at a time. The floor is what phones that were measured twice are off from themselves.
"""

from __future__ import annotations

import argparse
import itertools
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor

from benchmarks.csv_files import write_csv
from benchmarks.networks.catalogue import shared_data
from profiler.network import Layer
from timemodel.features import geometry
from timemodel.fitting.totals import fit_prices, fit_totals, misfit, read_totals, rough_costs
from timemodel.tree import nonnegative

RESULTS = Path(__file__).parent / "results"
FOLDS = 10
Networks = Sequence[Sequence[Layer]]
Predictor = Callable[[Networks, np.ndarray, Networks], np.ndarray]
"""(training networks, their times [networks, phones], held-out networks) -> times of these [networks, phones]."""


def edgetime(networks: Networks, times: np.ndarray, unseen: Networks) -> np.ndarray:
    """What ``edgetime fit --table --networks`` writes: trees of at most 20 leaves per operator."""
    return fit_totals(networks, times).networks_ms(unseen)


def smooth_prices(networks: Networks, times: np.ndarray, unseen: Networks) -> np.ndarray:
    """The prices that the trees are made from, before they become trees."""
    return fit_prices(networks, times).networks_ms(unseen)


def alone(networks: Networks, times: np.ndarray, unseen: Networks) -> np.ndarray:
    """edgetime with one phone's times only, no other phone helping."""
    columns = [fit_prices(networks, times[:, [phone]]).networks_ms(unseen) for phone in range(times.shape[1])]
    return np.concatenate(columns, axis=1)


def linear(table: Callable[[Networks], np.ndarray]) -> Predictor:
    """Non-negative linear in some costs, least relative error, phone by phone."""

    def predict(networks: Networks, times: np.ndarray, unseen: Networks) -> np.ndarray:
        known, new = table(networks), table(unseen)
        norm = known.max(axis=0)
        norm[norm == 0] = 1.0
        result = np.empty((len(unseen), times.shape[1]))
        for phone in range(times.shape[1]):
            rows = known / norm / times[:, [phone]]
            result[:, phone] = new / norm @ nonnegative.solve(rows.T @ rows, rows.sum(axis=0))
        return result

    return predict


def macs(networks: Networks) -> np.ndarray:
    """Constant and multiplications ``[networks, 2]``."""
    return np.array([[1.0, sum(layer.macs for layer in layers)] for layers in networks])


def macs_and_bytes(networks: Networks) -> np.ndarray:
    """Constant, multiplications and three kinds of bytes ``[networks, 5]``."""
    rows = [
        [
            1.0,
            *(
                sum(getattr(layer, name) for layer in layers)
                for name in ("macs", "input_bytes", "output_bytes", "weight_bytes")
            ),
        ]
        for layers in networks
    ]
    return np.array(rows)


def whole_network(networks: Networks) -> np.ndarray:
    """What a black box gets to see of a network ``[networks, features]``: work by kind of layer and by fit of its channels.

    The same that edgetime's prices rest on: operator, kernel, stride, pixels, and whether channels are multiples of 8 or 4.
    """
    keys = [
        *itertools.product(("conv_2d",), (1, 3), (0.0, 1.0, 1.5, 2.0)),
        *itertools.product(("depthwise_conv_2d",), (3, 5, 7), (0.0, 1.0, 1.5, 2.0)),
    ]
    rows = []
    for layers in networks:
        array = geometry(list(layers))
        cost = rough_costs(list(layers), array)
        ops = np.array([layer.op for layer in layers])
        kernel = np.array([layer.params.get("kernel_height", 0) for layer in layers])
        size = np.array(
            [layer.outputs[0].shape[1] if len(layer.outputs[0].shape) == 4 else 1 for layer in layers]
        )
        wide = np.array([float(layer.outputs[0].shape[-1]) for layer in layers])
        deep = np.array([float(layer.inputs[0].shape[-1]) for layer in layers])
        worst = np.maximum(misfit(wide), misfit(deep))
        row = [macs([layers])[0, 1], *macs_and_bytes([layers])[0, 2:], float(len(layers)), cost.sum()]
        row += [cost[ops == op].sum() for op in ("conv_2d", "depthwise_conv_2d", "add", "fully_connected")]
        row += [cost[(ops == op) & (kernel == k) & (worst == m)].sum() for op, k, m in keys]
        row += [cost[size == side].sum() for side in (112, 56, 28, 14, 7)]
        rows.append(row)
    return np.log1p(np.array(rows))


def black_box(make: Callable[[], object], pooled: bool) -> Predictor:
    """A regressor of log time on `whole_network`."""

    def predict(networks: Networks, times: np.ndarray, unseen: Networks) -> np.ndarray:
        known, new = whole_network(networks), whole_network(unseen)
        logs = np.log(times)
        if not pooled:
            columns = [np.exp(make().fit(known, logs[:, p]).predict(new)) for p in range(times.shape[1])]  # type: ignore[attr-defined]
            return np.stack(columns, axis=1)
        level = np.median(logs, axis=0)
        phones = times.shape[1]

        def rows(table: np.ndarray) -> np.ndarray:
            return np.column_stack([np.repeat(table, phones, axis=0), np.tile(level, len(table))])

        target = (logs - level).reshape(-1)
        fitted = make().fit(rows(known), target)  # type: ignore[attr-defined]
        return np.exp(fitted.predict(rows(new)).reshape(len(new), phones) + level)

    return predict


def forest() -> RandomForestRegressor:
    return RandomForestRegressor(60, min_samples_leaf=2, random_state=0)


def boosted() -> HistGradientBoostingRegressor:
    return HistGradientBoostingRegressor(
        max_iter=150, learning_rate=0.06, max_leaf_nodes=15, min_samples_leaf=4
    )


PREDICTORS: dict[str, Predictor] = {
    "edgetime (trees)": edgetime,
    "edgetime, prices before the trees": smooth_prices,
    "edgetime, prices, each phone alone": alone,
    "FLOPs": linear(macs),
    "FLOPs + bytes": linear(macs_and_bytes),
    "random forest, per phone": black_box(forest, False),
    "boosted trees, per phone": black_box(boosted, False),
    "random forest, pooled phones": black_box(forest, True),
    "boosted trees, pooled phones": black_box(boosted, True),
}
SLOW = ("edgetime, prices, each phone alone",)


def floor(devices: Sequence[str], times: np.ndarray) -> list[dict[str, object]]:
    """What the columns of phones that were measured twice are off from each other, after rescaling."""
    same: dict[str, list[int]] = {}
    for column, name in enumerate(devices):
        same.setdefault(re.sub(r"\.\d$", "", name), []).append(column)
    rows = []
    for name, columns in same.items():
        for first, second in itertools.combinations(columns, 2):
            ratio = times[:, second] / times[:, first]
            off = np.abs(ratio / np.median(ratio) - 1.0)
            rows.append(
                {"phone": name, "columns": f"{devices[first]} {devices[second]}", "mean_error": float(off.mean()),
                 "within_10": float(np.mean(off <= 0.1))}
            )  # fmt: skip
    return rows


def cross_validated(networks: Networks, times: np.ndarray, predictor: Predictor, seed: int) -> np.ndarray:
    """Predictions ``[networks, phones]`` by models that had not seen the network on any phone."""
    folds = np.random.default_rng(seed).permutation(len(networks)) % FOLDS
    result = np.empty_like(times)
    for fold in range(FOLDS):
        inside = folds != fold
        known = [n for n, i in zip(networks, inside, strict=True) if i]
        unseen = [n for n, i in zip(networks, inside, strict=True) if not i]
        result[~inside] = predictor(known, times[inside], unseen)
    return result


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=1, help="how often folds are drawn")
    parser.add_argument("--fast", action="store_true", help="leave out what takes longest")
    parser.add_argument("--data", type=Path, help="folder with latency_ms.csv.gz and networks.jsonl.gz")
    args = parser.parse_args()
    folder = args.data or (shared_data() or Path("shared/data")) / "latency" / "phones"
    if not folder.is_dir():
        raise SystemExit(f"{folder} is not there: name the data with --data.")
    totals = read_totals(folder / "latency_ms.csv.gz", folder / "networks.jsonl.gz")
    times, networks = totals.times_ms, totals.networks
    print(
        f"{len(networks)} networks on {len(totals.devices)} phones, {FOLDS} folds by network, {args.seeds} draw(s)"
    )
    twice = floor(totals.devices, times)
    # Each phone once, by its first two columns; the file has all pairs.
    first = list({str(row["phone"]): row for row in reversed(twice)}.values())
    print(
        f"floor: {len(first)} phones were measured twice; median over them: the two differ by "
        f"{np.median([row['mean_error'] for row in first]):.1%} (mean), within 10% on "
        f"{np.median([row['within_10'] for row in first]):.0%} of networks"
    )
    print(
        f"\n{'':38s}{'mean error':>12s}{'within 10%':>12s}{'within 10%':>12s}{'mean error':>12s}{'seconds':>9s}"
    )
    print(f"{'':38s}{'med. phone':>12s}{'med. phone':>12s}{'all':>12s}{'all':>12s}")
    rows, phones = [], []
    for name, predictor in PREDICTORS.items():
        if args.fast and name in SLOW:
            continue
        begin = time.perf_counter()
        off = np.concatenate(
            [
                np.abs(cross_validated(networks, times, predictor, seed) / times - 1.0)
                for seed in range(args.seeds)
            ]
        )
        row = {
            "predictor": name,
            "median_phone_mean_error": float(np.median(off.mean(axis=0))),
            "median_phone_within_10": float(np.median(np.mean(off <= 0.1, axis=0))),
            "within_10": float(np.mean(off <= 0.1)),
            "mean_error": float(off.mean()),
            "seconds": time.perf_counter() - begin,
        }
        rows.append(row)
        print(
            f"{name:38s}{row['median_phone_mean_error']:12.1%}{row['median_phone_within_10']:12.1%}"
            f"{row['within_10']:12.1%}{row['mean_error']:12.1%}{row['seconds']:9.0f}",
            flush=True,
        )
        if name == "edgetime (trees)":
            phones = [
                {"phone": d, "mean_error": float(e.mean()), "within_10": float(np.mean(e <= 0.1))}
                for d, e in zip(totals.devices, off.T, strict=True)
            ]
    RESULTS.mkdir(exist_ok=True)
    for file, table in (("phones.csv", rows), ("phones_by_phone.csv", phones), ("phones_floor.csv", twice)):
        write_csv(RESULTS / file, table, digits=4)


if __name__ == "__main__":
    main()
