"""Networks that are cut to ever smaller widths, and what they answer to subjects and speakers that none of them has seen."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.compression import tasks_motion, tasks_sound
from profiler.files import replacing

SHARES = (0.75, 0.6, 0.5, 0.4, 0.3, 0.22, 0.15, 0.1)
"""Of the channels that stay in each network."""

VOICES = 30
"""Of each unseen speaker: other vocal tracts, paces and microphones, each the same for all that is said by it."""

SAID = 100
"""Recordings that each voice says."""

_UNSEEN_SPEAKERS, _UNSEEN_SUBJECTS = 2, 4
_WARP, _GAIN = 0.2, 0.35


@dataclass(frozen=True)
class Pool:
    """What the original (in front) and its smaller networks come to on rows that no training has seen.

    Attributes
    ----------
    right
        Whether each network is right [networks, rows].
    cost
        Multiplications of each as a share of the original's [networks].
    groups
        Subject or voice of each row [rows].
    """

    name: str
    right: NDArray[np.bool_]
    cost: NDArray[np.float64]
    groups: NDArray[np.int64]


def pool_of(task: str, data: Path, work: Path, say: Callable[[str], None] = print) -> Pool:
    """The answers of a task's networks; these are trained the first time, which takes minutes."""
    kept = work / f"promise_{task}.npz"
    if not kept.exists():
        work.mkdir(parents=True, exist_ok=True)
        arrays = _answers(task, *_ROWS[task](data, work), say)
        with replacing(kept) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)
    with np.load(kept, allow_pickle=False) as stored:
        return Pool(task, stored["right"], stored["cost"], stored["groups"])


def _answers(
    task: str, x: Any, y: Any, unseen_x: Any, unseen_y: Any, groups: Any, network: Any, augment: Any, epochs: Any,
    say: Callable[[str], None],
) -> dict[str, NDArray[Any]]:  # fmt: skip
    """Train the original, cut it and fine-tune with it as the teacher; nobody looks at the unseen rows before the end."""
    import keras

    from compressor.data import Data
    from compressor.export import to_tflite_bytes
    from compressor.graph import build_graph, cut
    from compressor.training import FineTuner, Schedule, Task, measure_importance, strongest
    from profiler.tflite import read_network

    keras.utils.set_random_seed(0)
    data = Data(x, y, x[::20], y[::20], augment=augment)
    learning = Task("softmax", data)
    original = network()
    began = time.monotonic()
    FineTuner(learning).fit(original, Schedule(epochs=epochs[0], patience=99, alpha=0.0), last=True)
    say(f"{task}: the original was trained in {time.monotonic() - began:.0f} s")
    graph = build_graph(original)
    importance = measure_importance(original, graph, "taylor", x, y, learning.loss, 0)
    tuner, networks = FineTuner(learning, original), [original]
    for share in SHARES:
        widths = {name: max(2, round(share * width)) for name, width in graph.widths.items()}
        smaller = cut(original, strongest(importance, widths), graph)
        tuner.fit(smaller, Schedule(epochs=epochs[1], patience=99), last=True)
        networks.append(smaller)
        say(f"{task}: {share:.0%} of the channels after {time.monotonic() - began:.0f} s")
    right = np.array([one.predict(unseen_x, verbose=0).argmax(axis=1) == unseen_y for one in networks])
    macs = np.array([read_network(to_tflite_bytes(one)).macs for one in networks], float)
    return {"right": right, "cost": macs / macs[0], "groups": groups}


def _sound(data: Path, work: Path) -> tuple[Any, ...]:
    arrays = tasks_sound.cached(data, work)
    names, speaker = np.unique(arrays["speaker"], return_inverse=True)
    unseen = np.arange(len(names))[-_UNSEEN_SPEAKERS:]
    seen = ~np.isin(speaker, unseen)
    rng = np.random.default_rng(0)
    xs, ys, groups = [], [], []
    for voice in range(VOICES * len(unseen)):
        rows = rng.permutation(np.flatnonzero(speaker == unseen[voice % len(unseen)]))[:SAID]
        xs.append(_in_voice(arrays["x"][rows], rng))
        ys.append(arrays["y"][rows])
        groups.append(np.full(len(rows), voice))
    return (
        arrays["x"][seen], arrays["y"][seen], np.concatenate(xs), np.concatenate(ys), np.concatenate(groups),
        lambda: tasks_sound.network(0.5), tasks_sound.augment, (16, 5),
    )  # fmt: skip


def _in_voice(x: NDArray[Any], rng: np.random.Generator) -> NDArray[np.float32]:
    """Recordings [rows, frames, bands, 1] as one other person might have said them all."""
    frames, bands = x.shape[1:3]
    middle = (frames - 1) / 2
    times = middle + np.exp(rng.uniform(-_WARP, _WARP)) * (np.arange(frames) - middle)
    pitches = np.exp(rng.uniform(-_WARP, _WARP)) * np.arange(bands)
    moved = tasks_sound._between(times[None], frames) @ x[..., 0]
    moved = moved @ tasks_sound._between(pitches[None], bands).transpose(0, 2, 1)
    knots = tasks_sound.GAIN_KNOTS
    gain = tasks_sound._between(np.linspace(0, knots - 1, bands)[None], knots)[0]
    shown: NDArray[np.float32] = (moved + _GAIN * gain @ rng.standard_normal(knots)).astype(np.float32)
    return shown[..., None]


def _motion(data: Path, work: Path) -> tuple[Any, ...]:
    with np.load(data / tasks_motion.FILE, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    subject = arrays["subject_train"]
    held = np.isin(subject, np.random.default_rng(0).permutation(np.unique(subject))[:_UNSEEN_SUBJECTS])
    x = arrays["x_train"][~held]
    mean, deviation = x.mean(axis=(0, 1)), x.std(axis=(0, 1))

    def scaled(rows: NDArray[Any]) -> NDArray[np.float32]:
        return ((rows - mean) / deviation).astype(np.float32)[..., None]

    unseen = [np.concatenate([arrays[f"{name}_train"][held], arrays[f"{name}_test"]]) for name in "xy"]
    groups = np.concatenate([subject[held], arrays["subject_test"]])
    return (
        scaled(x), arrays["y_train"][~held], scaled(unseen[0]), unseen[1], groups,
        _motion_network, tasks_motion.augment, (12, 5),
    )  # fmt: skip


def _motion_network() -> Any:
    """Four convolutions over time: quicker to train than the benchmark's own."""
    import keras
    from keras import layers

    inputs = keras.Input((64, 12, 1))
    x = layers.Reshape((64, 12))(inputs)
    for width, kernel, strides in ((48, 5, 2), (64, 5, 2), (64, 3, 1), (64, 3, 1)):
        x = layers.Conv1D(width, kernel, strides=strides, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.Dropout(0.2)(layers.GlobalAveragePooling1D()(x))
    return keras.Model(inputs, layers.Dense(5, activation="softmax")(x))


_ROWS: dict[str, Callable[[Path, Path], tuple[Any, ...]]] = {"sound": _sound, "motion": _motion}
TASKS = tuple(_ROWS)
