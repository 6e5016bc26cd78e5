"""Predicted against measured time of whole networks, beside what FLOPs and black boxes predict from the same probes.

    python -m benchmarks.time_model --work DIR [--minutes 3] [--all] [--rounds 3]

Profiles this machine into DIR (or takes the profile that is there), fits, converts the networks once, measures every one
in several rounds and prints the table. All predictors learn from the same probes and get the same whole-network terms.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor

from benchmarks.networks import APPLICATIONS, NAMED, application_file, public_files
from profiler.measurement import measure_network
from profiler.network import Network
from profiler.profiling import profile
from profiler.store import Profile
from profiler.target import open_target
from profiler.tflite_reader import read_network
from timemodel import nonnegative
from timemodel.features import family_of
from timemodel.fitting import calibrate, fit_setting, usable
from timemodel.geometry import POSITION, geometry
from timemodel.operator_model import feature_matrix, find_tiles
from timemodel.setting_model import FALLBACK, SettingModel

Fit = Callable[[str, np.ndarray, np.ndarray], Callable[[np.ndarray], np.ndarray]]
"""(operator, geometry, times in ms) -> predictor of times from a geometry."""


class BlackBox:
    """A predictor in the place of an operator's tree."""

    low, high = 0.5, 2.0

    def __init__(self, predict: Callable[[np.ndarray], np.ndarray]) -> None:
        self.predict_ms = predict

    def stretch(self, array: np.ndarray) -> np.ndarray:
        """Nothing is said of extrapolation."""
        return np.ones(len(array))


def linear(columns: list[str]) -> Fit:
    """Non-negative linear in some columns of the geometry, by relative error."""
    at = [POSITION[name] for name in columns]

    def fit(op: str, array: np.ndarray, times: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        def table(rows: np.ndarray) -> np.ndarray:
            return np.column_stack([np.ones(len(rows)), rows[:, at]])

        scaled = table(array) / times[:, None]
        norm = np.sqrt(np.mean(scaled**2, axis=0))
        norm = np.where(norm > 0, norm, 1.0)
        scaled /= norm
        solution = nonnegative.solve(scaled.T @ scaled, scaled.sum(axis=0)) / norm
        return lambda rows: table(rows) @ solution

    return fit


def black_box(make: Callable[[], Any]) -> Fit:
    """A regressor of log time on our own features, tiles and all."""

    def fit(op: str, array: np.ndarray, times: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        family = family_of(op)
        tiles = find_tiles(family, array, times)

        def table(rows: np.ndarray) -> np.ndarray:
            return np.log1p(feature_matrix(family, rows, tiles)[0])

        model = make().fit(table(array), np.log(times))
        return lambda rows: np.exp(model.predict(table(rows)))

    return fit


BASELINES: dict[str, Fit] = {
    "FLOPs": linear(["macs"]),
    "FLOPs+bytes": linear(["macs", "in_bytes", "out_bytes", "weight_bytes"]),
    "random forest": black_box(lambda: RandomForestRegressor(100, min_samples_leaf=2, random_state=0)),
    "boosted trees": black_box(
        lambda: HistGradientBoostingRegressor(
            max_iter=300, learning_rate=0.06, max_leaf_nodes=15, min_samples_leaf=4
        )
    ),
}


def learn(db: Path) -> dict[str, SettingModel]:
    """Our model and every baseline, from one profile."""
    with Profile.open(db) as store:
        key, setting = next(iter(store.settings.items()))
        measured = usable(store.measurements(key))
    operators, terms = fit_setting(measured)
    models = {"edgetime": SettingModel(key, setting.to_dict(), {}, operators, terms)}
    groups: dict[tuple[str, str], list[tuple[Any, float]]] = {}
    for probe, time_ms in measured:
        if probe.kind == "layer":
            layer = probe.layers[0]
            groups.setdefault((layer.op, layer.dtype), []).append((layer, time_ms))
    networks = [(probe.network, time_ms) for probe, time_ms in measured if probe.kind == "network"]
    for name, fit in BASELINES.items():
        boxes: dict[tuple[str, str], Any] = {k: m for k, m in operators.items() if k[0] == FALLBACK}
        for (op, dtype), rows in groups.items():
            if (op, dtype) in operators:
                array = geometry([layer for layer, _ in rows])
                boxes[op, dtype] = BlackBox(fit(op, array, np.array([time_ms for _, time_ms in rows])))
        own = type(terms)(terms.overhead_ms, terms.remaining, dict(terms.weights))
        models[name] = SettingModel(key, setting.to_dict(), {}, boxes, own)
        calibrate(models[name], networks)
    return models


def speed(model: SettingModel, networks: list[Network]) -> None:
    """How fast predicting is, once the model is loaded."""
    sixty = min(networks, key=lambda network: abs(len(network.layers) - 60))
    model.predict(sixty, "")
    times = []
    for _ in range(30):
        begin = time.perf_counter()
        model.predict(sixty, "")
        times.append(time.perf_counter() - begin)
    print(f"\npredict, {len(sixty.layers)} layers already read: {1e3 * np.median(times):.2f} ms")
    layers = [layer for network in networks for layer in network.layers]
    # Copies of their own: what predicting works out of a layer is kept on it, and shared ones would look faster.
    layers = [dataclasses.replace(layers[i % len(layers)]) for i in range(100_000)]
    for what in ("never seen before", "predicted once before"):
        begin = time.perf_counter()
        model.predict_layers_ms(layers)
        rate = len(layers) / (time.perf_counter() - begin)
        print(f"batch of {len(layers):,} layers, {what}: {rate:,.0f} layers/s")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--work", type=Path, required=True, help="folder for the profile, the networks and the results"
    )
    parser.add_argument("--minutes", type=float, default=3.0, help="of profiling, all dtypes together")
    parser.add_argument(
        "--all", action="store_true", help="more architectures than the four that are always in"
    )
    parser.add_argument("--rounds", type=int, default=4, help="times that every network is measured")
    parser.add_argument("--seconds", type=float, default=1.0, help="of running per network and round")
    parser.add_argument("--target", default="local")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    db = args.work / "device.db"
    if not db.exists():
        print(profile(open_target(args.target), db, minutes=args.minutes))
    models = learn(db)
    files = public_files() + [application_file(n, args.work) for n in (APPLICATIONS if args.all else NAMED)]
    if not public_files():
        print("The shared data folder is not there: its files are left out.")
    networks = {path.stem: read_network(path) for path in files}
    rounds: dict[str, list[float]] = {name: [] for name in networks}
    with open_target(args.target) as target:
        for _ in range(args.rounds):
            for path in files:
                result = measure_network(path, target, per_layer=False, seconds=args.seconds)
                rounds[path.stem].append(result.measured_ms)
    rows = []
    for name, network in networks.items():
        # Other work on the machine only adds time, so the calmest round counts; the noise column shows the others.
        measured = min(rounds[name])
        ours = models["edgetime"].predict(network, "")
        row: dict[str, Any] = {
            "network": name, "layers": len(network.layers), "measured_ms": measured,
            "noise": (max(rounds[name]) - min(rounds[name])) / measured, "low_ms": ours.low_ms, "high_ms": ours.high_ms,
            "coverage": ours.coverage, "uncovered": list(ours.uncovered),
        }  # fmt: skip
        row |= {key: model.predict_total_ms(network) for key, model in models.items()}
        rows.append(row)
    show(rows, list(models))
    speed(models["edgetime"], list(networks.values()))
    (args.work / "time_model.json").write_text(json.dumps(rows, indent=1))


def show(rows: list[dict[str, Any]], predictors: list[str]) -> None:
    """Print the table and its summary."""
    print(f"\n{'network':24s}{'measured':>10s}{'noise':>7s}{'predicted':>10s}  {'90% interval':20s}", end="")
    print("".join(f"{name:>15s}" for name in predictors) + "  not covered")
    for row in rows:
        interval = f"{row['low_ms']:.3g} to {row['high_ms']:.3g}"
        inside = " " if row["low_ms"] <= row["measured_ms"] <= row["high_ms"] else "!"
        line = f"{row['network']:24s}{row['measured_ms']:10.4g}{row['noise']:7.0%}{row['edgetime']:10.4g}  {interval:19s}{inside}"
        errors = "".join(f"{row[name] / row['measured_ms'] - 1:+15.1%}" for name in predictors)
        print(line + errors + ("  " + ", ".join(row["uncovered"]) if row["uncovered"] else ""))
    print(f"\n{'':24s}{'mean error':>12s}{'median':>9s}{'within 5%':>11s}{'within 10%':>12s}")
    for name in predictors:
        error = np.array([abs(row[name] / row["measured_ms"] - 1) for row in rows])
        line = f"{name:24s}{error.mean():12.1%}{np.median(error):9.1%}{np.mean(error <= 0.05):11.0%}"
        print(line + f"{np.mean(error <= 0.1):12.0%}")
    inside = np.mean([row["low_ms"] <= row["measured_ms"] <= row["high_ms"] for row in rows])
    print(f"inside the 90% interval: {inside:.0%} of {len(rows)}")


if __name__ == "__main__":
    main()
