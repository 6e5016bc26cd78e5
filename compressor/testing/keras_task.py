"""A real task that is learned in seconds: which way a bar lies in a picture of 8x8 noisy pixels."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compressor.costs import NetworkCost, flops_cost
from compressor.export import tensorflow
from compressor.graph import build_graph
from compressor.search import Candidate, Goal
from compressor.testing.device import FormulaTimeModel
from compressor.testing.workbench import Judge, SmoothJudge, Workbench

WIDTHS = {"first": 12, "second": 16, "third": 16}
ROWS = 120


def bars(rows: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Pictures with a bar: lying, standing or slanting (float32 [rows, 8, 8, 1]), and which one: 0, 1 and 2 in turns [rows]."""
    rng = np.random.default_rng(seed)
    y = np.arange(rows, dtype=np.int64) % 3
    x = rng.normal(scale=0.3, size=(rows, 8, 8, 1)).astype(np.float32)
    for row, kind in enumerate(y):
        place = int(rng.integers(1, 7))
        if kind == 0:
            x[row, place] += 1
        elif kind == 1:
            x[row, :, place] += 1
        else:
            x[row, np.arange(8), (np.arange(8) + place) % 8] += 1
    return x, y


def bars_network(widths: Mapping[str, int] = WIDTHS) -> Any:
    """Three convolutions with batch normalisation, one group of channels each; untrained."""
    import keras
    from keras import layers

    x = source = keras.Input((8, 8, 1))
    for position, (name, width) in enumerate(widths.items()):
        x = layers.Conv2D(width, 3, padding="same", use_bias=False, name=name)(x)
        x = layers.ReLU()(layers.BatchNormalization(name=f"{name}_bn")(x))
        if position == 0:
            x = layers.MaxPooling2D()(x)
    x = layers.GlobalMaxPooling2D()(x)
    return keras.Model(source, layers.Dense(3, activation="softmax", name="head")(x), name="bars")


@functools.cache
def bars_prepared() -> Any:
    """The trained network, taken apart: a `compressor.pipeline.prepare.Prepared`, made once per process."""
    tensorflow()
    import keras

    from compressor.data import Data
    from compressor.pipeline.prepare import prepare
    from compressor.training import FineTuner, Options, Schedule, task_of

    (x, y), (x_val, y_val), (x_test, y_test) = bars(ROWS, 0), bars(48, 1), bars(24, 2)
    data = Data(x=x, y=y, x_val=x_val, y_val=y_val, x_test=x_test, y_test=y_test)
    keras.utils.set_random_seed(0)
    model = bars_network()
    FineTuner(task_of(model, data)).fit(
        model, Schedule(epochs=12, batch_size=16, learning_rate=0.01, alpha=0.0)
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bars.keras"
        model.save(path)
        return prepare(
            path,
            data,
            FormulaTimeModel(),
            "none",
            None,
            None,
            "taylor",
            0,
            Options(),
            lambda done, note: None,
        )


@functools.cache
def keras_bench() -> Workbench:
    """The bars network as a `Workbench`; candidates are judged at once by a formula, `Workbench.real` trains them.

    Each candidate is looked at: its network must have the widths that it claims, its file must lie in the search's folder.
    """
    prepared = bars_prepared()
    full = prepared.original.configuration
    sizes = {
        "size": NetworkCost(prepared.times.network, lambda network: network.file_bytes),
        "memory": prepared.cost_of(Goal(most_memory_bytes=1.0))[0],
    }
    return Workbench(
        groups=prepared.graph.groups,
        importance=prepared.importance,
        times=prepared.times,
        flops=flops_cost(prepared.times, full),
        others=sizes,
        judge=SmoothJudge(full.widths),
        inspect=check_candidate,
        context=prepared,
        real=_real,
    )


def check_candidate(candidate: Candidate, folder: Path | None) -> None:
    """Raise AssertionError where a candidate does not bring what it says."""
    if candidate.keep is not None:
        for name, positions in candidate.keep.items():
            width = candidate.widths[name]
            assert len(positions) == width, (
                f"{len(positions)} channels of {name!r} are kept at a width of {width}"
            )
            ascending = sorted(set(positions))
            assert list(positions) == ascending, f"channels of {name!r} are not ascending: {positions}"
            assert 0 <= positions[0] <= positions[-1] < WIDTHS[name], (
                f"channels of {name!r} that do not exist: {positions}"
            )
    if candidate.model is not None:
        found = build_graph(candidate.model).widths
        assert found == candidate.widths, f"the network has widths {found}, not {candidate.widths}"
    if candidate.network is not None:
        assert not Path(candidate.network).is_absolute(), "a network is named within the search's folder"
        if folder is not None:
            from compressor.export import load_keras

            path = folder / candidate.network
            assert path.exists(), f"{candidate.network} is not in the folder of the search"
            found = build_graph(load_keras(path)).widths
            assert found == candidate.widths, f"{candidate.network} has widths {found}"


def _real(folder: Path) -> Judge:
    from compressor.pipeline.prepare import Evaluator
    from compressor.training import Schedule

    return Evaluator(bars_prepared(), Schedule(epochs=2, batch_size=16), 0, folder)
