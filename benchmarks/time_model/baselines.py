"""What edgetime's time model is compared with: FLOPs, black boxes, and nn-Meter's way, all from the same probes.

FLOPs, bytes and the black boxes stand in the place of the trees of a `SettingModel`: they are given the same probes, and
the same whole-network terms, calibrated on the same small networks. The black boxes also get our features, tile sizes
and all.

nn-Meter (Zhang et al., MobiSys 2021) predicts kernels by random forests and adds them up. Here: its features (sizes,
channels, kernel, stride, FLOPs, parameters), its forests' settings for CPUs, its test for fusion, on our probes. It
appears twice: as published, and with our whole-network terms on top.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from profiler.network import Layer
from profiler.probes import Probe
from timemodel.features import POSITION, family_of, geometry
from timemodel.fitting import by_operator, calibrated
from timemodel.model import FALLBACK, MIN_PROBES, SettingModel, feature_matrix, find_tiles
from timemodel.runtime import FUSED, GraphRule, RuntimeTerms
from timemodel.tree import nonnegative

Predict = Callable[[np.ndarray], np.ndarray]
Fit = Callable[[str, np.ndarray, np.ndarray], Predict]
"""(operator, geometry ``[n, columns]``, times in ms ``[n]``) -> predictor of times from a geometry."""

Measured = Sequence[tuple[Probe, float]]
"""Probes and their times in ms."""


class BlackBox:
    """A predictor in the place of an operator's tree; `table` keeps what is asked of a tree."""

    low, high = 0.5, 2.0

    def __init__(self, predict: Predict) -> None:
        self.predict_ms = predict

    def times(self, array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Times of the rows; nothing is said of extrapolation."""
        return self.predict_ms(array), np.ones(len(array))


def linear(columns: Sequence[str]) -> Fit:
    """Non-negative linear in some columns of the geometry, by relative error."""
    at = [POSITION[name] for name in columns]

    def fit(op: str, array: np.ndarray, times: np.ndarray) -> Predict:
        def table(rows: np.ndarray) -> np.ndarray:
            return np.column_stack([np.ones(len(rows)), rows[:, at]])

        scaled = table(array) / times[:, None]
        norm = np.sqrt(np.mean(scaled**2, axis=0))
        norm = np.where(norm > 0, norm, 1.0)
        scaled /= norm
        solution = nonnegative.solve(scaled.T @ scaled, scaled.sum(axis=0)) / norm
        return lambda rows: table(rows) @ solution

    return fit


BEYOND = np.log(4.0)
"""How far beyond the times it has seen a black box is believed."""


def black_box(make: Callable[[int], Any]) -> Fit:
    """A regressor of log time on our own features, tiles and all; `make` is told the number of probes."""

    def fit(op: str, array: np.ndarray, times: np.ndarray) -> Predict:
        family = family_of(op)
        tiles = find_tiles(family, array, times)

        def table(rows: np.ndarray) -> np.ndarray:
            return np.log1p(feature_matrix(family, rows, tiles)[0])

        logs = np.log(times)
        # Hundreds of small fits: threads that wait for each other would take most of the time. That a network
        # stops at its last iteration is what keeps it from learning the noise.
        with threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = make(len(times)).fit(table(array), logs)
        least, most = logs.min() - BEYOND, logs.max() + BEYOND
        return lambda rows: np.exp(np.clip(model.predict(table(rows)), least, most))

    return fit


def forest(probes: int) -> Any:
    """A random forest."""
    return RandomForestRegressor(200, min_samples_leaf=2, max_features=0.5, random_state=0)


def boosted(probes: int) -> Any:
    """Gradient-boosted trees."""
    return HistGradientBoostingRegressor(
        max_iter=300, learning_rate=0.06, max_leaf_nodes=15, min_samples_leaf=4, random_state=0
    )


def neural(probes: int) -> Any:
    """A small neural network."""
    network = MLPRegressor(
        hidden_layer_sizes=(64, 64) if probes >= 100 else (16,),
        solver="lbfgs",
        alpha=0.3,
        max_iter=400,
        random_state=0,
    )
    return make_pipeline(StandardScaler(), network)


NN_METER = ("nn-Meter", "nn-Meter + our terms")

BASELINES: dict[str, Fit] = {
    "FLOPs": linear(["macs"]),
    "FLOPs+bytes": linear(["macs", "in_bytes", "out_bytes", "weight_bytes"]),
    "random forest": black_box(forest),
    "boosted trees": black_box(boosted),
    "neural network": black_box(neural),
}


def with_terms(
    ours: SettingModel, operators: Mapping[tuple[str, str], Any], measured: Measured
) -> SettingModel:
    """Other operators' models under our whole-network terms, calibrated anew for them."""
    model = SettingModel(ours.key, ours.setting, ours.fingerprint, operators, ours.terms)
    uncalibrated = model.with_terms(replace(ours.terms, calibration={}, low={}, high={}))
    return calibrated(uncalibrated, [row for row in measured if row[0].kind == "network"])


def fit_baseline(name: str, ours: SettingModel, measured: Measured) -> SettingModel:
    """One of `BASELINES` for every operator that edgetime has a tree for; the declared fallback is shared."""
    boxes: dict[tuple[str, str], Any] = {k: m for k, m in ours.operators.items() if k[0] == FALLBACK}
    for (op, dtype), rows in by_operator(measured).items():
        if len(rows) >= MIN_PROBES:
            layers, times = zip(*rows, strict=True)
            boxes[op, dtype] = BlackBox(BASELINES[name](op, geometry(layers), np.array(times)))
    return with_terms(ours, boxes, measured)


# --- nn-Meter -------------------------------------------------------------------------------------------------

FUSES = 0.5
"""Two operators count as one kernel where running them together saves more than this share of the faster one."""

_UNIT = ("HW", "CIN")
_SIZES = {
    "conv_2d": ("HW", "CIN", "COUT", "K", "S", "FLOPS", "PARAMS"),
    "transpose_conv": ("HW", "CIN", "COUT", "K", "S", "FLOPS", "PARAMS"),
    "depthwise_conv_2d": ("HW", "CIN", "COUT", "K", "S", "FLOPS", "PARAMS"),
    "max_pool_2d": ("HW", "CIN", "COUT", "K", "S"),
    "average_pool_2d": ("HW", "CIN", "COUT", "K", "S"),
    "fully_connected": ("HW", "CIN", "COUT", "FLOPS", "PARAMS"),
    "batch_matmul": ("HW", "CIN", "COUT", "FLOPS"),
    "concatenation": ("HW", "CIN", "COUT", "INPUTS"),
}
"""nn-Meter's features by kernel; what it has no kernel for goes, as its elementwise kernels do, by size and channels."""


def nn_meter_features(op: str, array: np.ndarray) -> np.ndarray:
    """nn-Meter's features of a `geometry` array; ``HW`` is the side of a square of as many pixels as the input has.

    nn-Meter knows square images only; rows of a matrix are taken for pixels. FLOPs of a fully connected layer hold its rows.
    """
    column = {name: array[:, at] for name, at in POSITION.items()}
    known = {
        "HW": np.sqrt(column["batch"] * column["in_height"] * column["in_width"]),
        "CIN": column["in_channels"],
        "COUT": column["out_channels"],
        "K": np.sqrt(column["kernel_height"] * column["kernel_width"]),
        "S": np.sqrt(column["stride_height"] * column["stride_width"]),
        "FLOPS": 2 * column["macs"],
        "PARAMS": column["parameters"],
        "INPUTS": column["inputs"],
    }
    return np.column_stack([known[name] for name in _SIZES.get(op.partition(":")[0], _UNIT)])


def nn_meter_forest(features: int) -> RandomForestRegressor:
    """The forest that nn-Meter publishes for convolutions on CPUs: of times as they are, in ms."""
    return RandomForestRegressor(320, max_depth=70, max_features=min(6, features), random_state=10)


def fit_kernel(op: str, layers: Sequence[Layer], times: np.ndarray) -> BlackBox:
    """One kernel's forest."""
    table = nn_meter_features(op, geometry(layers))
    model = nn_meter_forest(table.shape[1]).fit(table, times)
    return BlackBox(lambda rows: model.predict(nn_meter_features(op, rows)))


def fused_patterns(measured: Measured, overhead_ms: float, kernels: SettingModel) -> list[GraphRule]:
    """Rules that nothing remains of the absorbed one of two operators that nn-Meter's test finds fused, else all of it.

    The test: two operators are one kernel where together they take less than the sum by more than `FUSES` of the faster.
    """
    saved: dict[tuple[str, str], list[float]] = {}
    for probe, time_ms in measured:
        if probe.kind != "pair":
            continue
        alone = kernels.predict_layers_ms(probe.layers)
        for pair in probe.network.fusion_matches:
            first, second = float(alone[pair.first]), float(alone[pair.second])
            faster = min(first, second)
            if faster > 0:
                key = probe.layers[pair.second].dtype, pair.pattern
                saved.setdefault(key, []).append((first + second - (time_ms - overhead_ms)) / faster)
    return [
        GraphRule(dtype, pattern, FUSED, 0.0 if np.median(shares) > FUSES else 1.0, len(shares))
        for (dtype, pattern), shares in saved.items()
    ]


def fit_nn_meter(ours: SettingModel, measured: Measured) -> tuple[SettingModel, SettingModel]:
    """nn-Meter as published (kernels added up), and the same forests under our whole-network terms."""
    boxes: dict[tuple[str, str], Any] = {k: m for k, m in ours.operators.items() if k[0] == FALLBACK}
    for (op, dtype), rows in by_operator(measured).items():
        if len(rows) >= MIN_PROBES:
            layers, times = zip(*rows, strict=True)
            boxes[op, dtype] = fit_kernel(op, layers, np.array(times))
    overhead_ms = ours.terms.overhead_ms
    plain = SettingModel(ours.key, ours.setting, ours.fingerprint, boxes, RuntimeTerms(overhead_ms))
    rules = fused_patterns(measured, overhead_ms, plain)
    plain = plain.with_terms(RuntimeTerms(overhead_ms, tuple(rules)))
    return plain, with_terms(ours, boxes, measured)
