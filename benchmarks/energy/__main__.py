"""Energy of networks on a Raspberry Pi: held-out networks, as a whole and by operator, beside baselines.

    python -m benchmarks.energy [--by network|file]

Data: ``latency/rpi_layers`` of the shared data folder, ten files of six public networks: time and energy of each layer, without
shapes, which come from the architectures (`benchmarks.energy.architectures`). *Reconstructed* networks are the same without the
square convolutions. ``--by network`` holds all files of a network out, so that an operator that only one network has (depthwise
convolutions, MUL, MEAN, PAD) is never seen; ``--by file`` holds one file out, and the other version of the network may teach.
An error is that of the sum over a network's layers, of all or of one operator, relative to what was measured.

"edgetime" learns energy as time is (``edgetime fit --table`` with a column of energy); "power x time" knows the time of all layers
and the power of a few of each kind, as from a device with a sensor; the black boxes learn the same layers' energies.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.accelerators.judging import BASELINES, boxes
from benchmarks.csv_files import write_csv
from benchmarks.energy.raspberry import Measured, read_folder
from benchmarks.networks.catalogue import shared_data
from benchmarks.phones import RESULTS
from profiler.measurement.power_windows import MOST_PER_KIND
from profiler.network import Layer
from timemodel.features import kind_of
from timemodel.fitting.tables import fit_layers
from timemodel.model import FALLBACK, PowerModel, SettingModel
from timemodel.runtime import RuntimeTerms

OURS, BY_POWER, MEAN_POWER = "edgetime", "power x time", "mean power x time"
Predictor = Callable[[Sequence[Layer]], np.ndarray]


def distinct(networks: Sequence[Measured]) -> tuple[list[Layer], np.ndarray, np.ndarray]:
    """Every layer once, with the medians of its times in ms and energies in mJ."""
    groups: dict[Layer, list[tuple[float, float]]] = {}
    for one in networks:
        rows = zip(one.layers, one.times_ms.tolist(), one.energies_mj.tolist(), strict=True)
        for layer, time_ms, energy_mj in rows:
            groups.setdefault(layer, []).append((time_ms, energy_mj))
    times_ms, energies_mj = np.array([np.median(rows, axis=0) for rows in groups.values()]).T
    return list(groups), times_ms, energies_mj


def few_of_each(layers: Sequence[Layer]) -> list[int]:
    """Positions of a few layers of each kind, evenly over the list."""
    groups: dict[tuple[str, str], list[int]] = {}
    for i, layer in enumerate(layers):
        groups.setdefault(kind_of(layer), []).append(i)
    places = np.linspace(0, 1, MOST_PER_KIND)
    return sorted({group[round(place * (len(group) - 1))] for group in groups.values() for place in places})


def fitted(networks: Sequence[Measured]) -> dict[str, Predictor]:
    """Everything that predicts, learned from these networks."""
    layers, times_ms, energies_mj = distinct(networks)
    times = SettingModel("time", {}, {}, fit_layers(layers, times_ms)[0], RuntimeTerms())
    trees = fit_layers(layers, energies_mj)[0]
    few = few_of_each(layers)
    power = PowerModel.fit("", [layers[i] for i in few], times_ms[few], (energies_mj / times_ms)[few])
    mean_w = float(energies_mj.sum() / times_ms.sum())
    groups: dict[tuple[str, str], dict[Layer, float]] = {}
    for layer, energy_mj in zip(layers, energies_mj.tolist(), strict=True):
        groups.setdefault(kind_of(layer), {})[layer] = energy_mj
        groups.setdefault((FALLBACK, layer.dtype), {})[layer] = energy_mj
    others = {
        name: SettingModel(name, {}, {}, boxes(trees, groups, fit), RuntimeTerms())
        for name, fit in BASELINES.items()
    }
    ours = SettingModel(OURS, {}, {}, trees, RuntimeTerms())
    return {
        OURS: ours.predict_layers_ms,
        BY_POWER: lambda new: power.energies_mj(new, times.predict_layers_ms(new)),
        MEAN_POWER: lambda new: mean_w * times.predict_layers_ms(new),
        **{name: model.predict_layers_ms for name, model in others.items()},
    }


def judged(networks: Sequence[Measured], by: str) -> list[dict[str, object]]:
    """A row per held-out file, predictor and operator (``all``: the whole network)."""
    rows: list[dict[str, object]] = []
    names = list(dict.fromkeys(one.architecture if by == "network" else one.name for one in networks))
    for name in names:
        out = [one for one in networks if name == (one.architecture if by == "network" else one.name)]
        known = [one for one in networks if one not in out]
        begin = time.monotonic()
        predictors = fitted(known)
        print(f"{name}: fitted in {time.monotonic() - begin:.0f} s", flush=True)
        seen = {kind_of(layer) for one in known for layer in one.layers}
        for one in out:
            ops = np.array([layer.op for layer in one.layers])
            for predictor, predict in predictors.items():
                energies_mj = predict(one.layers)
                for op in ["all", *dict.fromkeys(ops.tolist())]:
                    mine = ops == op if op != "all" else np.ones(len(ops), bool)
                    here = [layer for layer, chosen in zip(one.layers, mine, strict=True) if chosen]
                    rows.append(
                        {
                            "by": by,
                            "file": one.name,
                            "predictor": predictor,
                            "operator": op,
                            "layers": len(here),
                            "seen": all(kind_of(layer) in seen for layer in here),
                            "measured_mj": round(float(one.energies_mj[mine].sum()), 1),
                            "predicted_mj": round(float(energies_mj[mine].sum()), 1),
                        }
                    )
    return rows


def show(rows: Sequence[dict[str, object]]) -> None:
    """Mean error by predictor and operator; of operators that were seen, and how many files have one that was not."""
    for predictor in dict.fromkeys(row["predictor"] for row in rows):
        print(f"\n{predictor}")
        for op in dict.fromkeys(row["operator"] for row in rows):
            mine = [row for row in rows if (row["predictor"], row["operator"]) == (predictor, op)]
            seen = [_error(row) for row in mine if row["seen"] or op == "all"]
            rest = [_error(row) for row in mine if not row["seen"] and op != "all"]
            text = (
                f"  {op:18} {len(seen):2} files: mean error {np.mean(seen):6.1%}, worst {max(seen):6.1%}"
                if seen
                else f"  {op:18}"
            )
            print(text + (f"; never seen, {len(rest)} files: {np.mean(rest):.1%}" if rest else ""))


def _error(row: dict[str, object]) -> float:
    return abs(float(str(row["predicted_mj"])) / float(str(row["measured_mj"])) - 1.0)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--by", choices=("network", "file"), default="network")
    options = parser.parse_args()
    data = shared_data()
    folder = data / "latency" / "rpi_layers" if data else None
    if folder is None or not folder.is_dir():
        raise SystemExit(
            "There is no latency/rpi_layers: name the shared data folder in EDGETIME_SHARED_DATA."
        )
    with threadpool_limits(1):
        rows = judged(read_folder(folder), options.by)
    show(rows)
    write_csv(RESULTS / f"energy_by_{options.by}.csv", rows, digits=4)


if __name__ == "__main__":
    main()
