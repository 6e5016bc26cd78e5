"""What compression itself costs: surgery on MobileNetV2, and a search of 200 trials on scikit-learn's digits."""

from __future__ import annotations

import json
import resource
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from profiler.errors import BudgetError
from profiler.files import write_json

TRIALS = 200
DROP_POINTS = 1.0


def peak_mib() -> float:
    """Most memory that this process had so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def surgery(work: Path, time_model: Path) -> dict[str, Any]:
    """Half of each group of MobileNetV2's channels removed, its graph of channels built first."""
    import keras

    from compressor import build_graph, cut

    model = keras.applications.MobileNetV2(weights=None, input_shape=(224, 224, 3))
    began = time.monotonic()
    graph = build_graph(model)
    built_s = time.monotonic() - began
    keep = {group.id: list(range(max(1, group.width // 2))) for group in graph.groups.values()}
    smaller = cut(model, keep, graph)
    return {
        "what": "surgery on MobileNetV2, all groups halved",
        "seconds": time.monotonic() - began,
        "graph_seconds": built_s,
        "groups": len(graph.groups),
        "parameters_before": int(model.count_params()),
        "parameters_after": int(smaller.count_params()),
    }


def search(work: Path, time_model: Path) -> dict[str, Any]:
    """``optuna`` with `TRIALS` candidates on the demo's digits network; 200 rows of short training each."""
    from compressor import Data, Options, Schedule, compress
    from compressor.search import get_method
    from edgetime.demo import load_digits, train_network

    digits = load_digits()
    folder = work / "costs" / "digits"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    train_network(digits).save(folder / "net.keras")
    data = Data(digits.x, digits.y, digits.x_val, digits.y_val, x_test=digits.x_test, y_test=digits.y_test)
    options = Options(
        search=Schedule(epochs=1, most_rows=500, learning_rate=3e-3), final=Schedule(epochs=4), finalists=1
    )
    before, began = peak_mib(), time.monotonic()
    try:
        result = compress(folder / "net.keras", data, time_model, folder / "run", max_accuracy_drop=DROP_POINTS,
                          method=get_method("optuna", trials=TRIALS), seeds=1, measure=False, options=options)  # fmt: skip
        trials = len(result.trials)
    except BudgetError:
        from compressor.pipeline.result import CompressionResult

        trials = len(CompressionResult.load(folder / "run").trials)
    return {
        "what": f"search of {TRIALS} trials on the digits network",
        "seconds": time.monotonic() - began,
        "trials": trials,
        "peak_mib": peak_mib(),
        "peak_mib_before": before,
    }


COSTS: dict[str, Callable[[Path, Path], dict[str, Any]]] = {"surgery": surgery, "search": search}


def run(name: str, work: Path, time_model: Path) -> dict[str, Any]:
    """Find out one cost and keep it."""
    found = COSTS[name](work, time_model)
    write_json(work / "costs" / f"{name}.json", found)
    return found


def _kept(work: Path, name: str) -> dict[str, Any] | None:
    path = work / "costs" / f"{name}.json"
    return json.loads(path.read_text("utf-8")) if path.exists() else None


def todo(work: Path) -> list[str]:
    """Costs that are not known yet."""
    return [name for name in COSTS if _kept(work, name) is None]


def records(work: Path) -> list[dict[str, Any]]:
    """One record for each."""
    return [{"cost": name, "state": "measured" if (kept := _kept(work, name)) else "not run", **(kept or {})}
            for name in COSTS]  # fmt: skip


def lines(work: Path) -> list[str]:
    """As text."""
    found = []
    for record in records(work):
        if record["state"] == "not run":
            found.append(f"{record['cost']}: not run")
            continue
        rest = {
            key: value for key, value in record.items() if key not in ("cost", "state", "what", "seconds")
        }
        told = ", ".join(f"{key} {value:,.6g}" for key, value in rest.items())
        found.append(f"{record['what']}: {record['seconds']:.2f} s ({told})")
    return found
