"""Predictors that learn from the same probes, and how far they are off."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.time_model.baselines import BlackBox, Fit, black_box, boosted, linear
from profiler.measurement import Profile
from profiler.network import Layer, Network
from timemodel import fit_profile
from timemodel.features import geometry
from timemodel.fitting import calibrated
from timemodel.fitting.simulated import layer_energies, read_rows
from timemodel.model import SettingModel

OURS = "edgetime"
BASELINES: dict[str, Fit] = {
    "MACs": linear(["macs"]),
    "MACs+bytes": linear(["macs", "in_bytes", "out_bytes", "weight_bytes"]),
    "boosted trees": black_box(boosted),
}


def fitted(path: Path) -> tuple[dict[str, SettingModel], int]:
    """The time model of a profile and its baselines, and how many probes they learned from."""
    ours = fit_profile(path).setting()
    with Profile.open(path) as profile:
        times = profile.measurements(ours.key)
    rows = read_rows(times)
    models = {OURS: ours}
    for name, fit in BASELINES.items():
        operators = boxes(ours.operators, rows.times, fit)
        energy = None
        if isinstance(ours.energy, SettingModel):
            energies = boxes(ours.energy.operators, layer_energies(times), fit)
            energy = SettingModel("energy", ours.setting, {}, energies, ours.energy.terms)
        model = SettingModel(ours.key, ours.setting, ours.fingerprint, operators, ours.terms, None, energy)
        models[name] = calibrated(model, rows.judges)
    return models, len([time for time in times if time.time_us is not None])


def boxes(trees: Mapping[Any, Any], groups: Mapping[Any, Mapping[Layer, float]], fit: Fit) -> dict[Any, Any]:
    """A baseline's model for every kind of layer that has a tree, from the layers of the same kind."""
    found = {}
    for (op, dtype), tree in trees.items():
        group = groups.get((op, dtype), {})
        if len(group) < 2:
            found[op, dtype] = tree
            continue
        found[op, dtype] = BlackBox(fit(op, geometry(list(group)), np.array(list(group.values()))))
    return found


def predicted(model: SettingModel, network: Network, what: str) -> float:
    """Time in ms (``ms``) or energy in mJ (``mj``) of an inference; NaN where the model knows no energy."""
    if what == "ms":
        return model.predict_total_ms(network)
    return model.energy.predict_total_ms(network) if isinstance(model.energy, SettingModel) else float("nan")


def judge(predicted: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """Relative errors of `predicted` values, as shares."""
    errors = np.abs(predicted / true - 1.0)
    return {
        "median_error": float(np.median(errors)),
        "mean_error": float(errors.mean()),
        "within_5": float(np.mean(errors <= 0.05)),
        "within_10": float(np.mean(errors <= 0.10)),
    }
