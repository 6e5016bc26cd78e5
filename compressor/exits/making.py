"""From a trained network to one with early exits: where, trained, written as one file, its segments' times predicted."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from compressor.data import Data, Rows, check_data, evenly, load_data, row_count, split_rows, take
from compressor.exits.cuts import ExitPlace, find_places, named, propose
from compressor.exits.flat import flat
from compressor.exits.heads import KINDS, LAST, Branched, add_exits, head_alone
from compressor.exits.training import TrainedExits, check_classes, heads_schedule, train_exits
from compressor.exits.writing import read_segments, write_exits
from compressor.export import (
    CALIBRATION_ROWS,
    in_float32,
    input_specs,
    load_keras,
    load_known,
    save_keras,
    to_tflite_bytes,
)
from compressor.training import Schedule, output_names, task_of
from profiler.errors import DataError, UsageError
from profiler.files import replacing
from profiler.progress import ProgressCallback, silent, sub_progress
from profiler.tflite import read_network
from timemodel.model import NetworkPredictor, TimeModel

CHECKPOINTS = "checkpoints"
"""Folder, beside what is made, of what training goes on from."""

CHECK_ROWS = 500
"""Rows that the file is compared with the Keras network on."""

LEAST_ROWS = 20
"""Rows that thresholds need at the very least."""

_EPOCHS_SHARE = 0.25
"""Of the validation rows: epochs are chosen on them."""

_HEAD_SHARE = 0.1
"""Of the network's time, which a head with convolutions may take."""


@dataclass(frozen=True)
class ExitSegment:
    """One piece of a network with exits.

    Parameters
    ----------
    signature
        Its name in the file.
    after
        The layer that it ends with; empty for the last one.
    share
        Predicted time until then as a share of the original's, heads not counted.
    predicted_ms
        Its own predicted time, its head counted.
    validation_score
        Share of right answers of the Keras network at its end, on the rows that epochs were chosen on.
    agreement
        Share of rows on which the file names the same class as the Keras network.
    """

    signature: str
    after: str
    share: float
    predicted_ms: float
    validation_score: float
    agreement: float


@dataclass(frozen=True)
class NetworkWithExits:
    """What `make_exits` made; `held` are the rows that neither weights nor epochs were chosen on.

    `file` is the `.tflite` of all segments, `single` that of the network without exits in the same arithmetic.
    """

    folder: Path
    file: Path
    single: Path
    form: str
    segments: tuple[ExitSegment, ...]
    single_ms: float
    single_bytes: int
    file_bytes: int
    trained: TrainedExits
    held: Data
    branched: Branched = field(repr=False)
    made: _Making = field(repr=False)
    notes: tuple[str, ...] = ()

    def without(self, unused: Sequence[int], progress: ProgressCallback = silent) -> NetworkWithExits:
        """The same network without some of its exits, by place, written anew."""
        names = [self.branched.exits[place] for place in unused]
        return self.made.written(self.branched.without(names), self.trained, progress, self.notes)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "file": str(self.file),
            "single": str(self.single),
            "form": self.form,
            "segments": [asdict(segment) for segment in self.segments],
            "single_ms": self.single_ms,
            "file_bytes": self.file_bytes,
            "single_bytes": self.single_bytes,
            "original_score": self.trained.original,
            "joint": self.trained.joint,
            "notes": list(self.notes),
        }


def make_exits(
    model: Any,
    data: Data | str | os.PathLike[str],
    time_model: NetworkPredictor | str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    count: int = 3,
    after: Sequence[str] = (),
    head: str = "auto",
    quantize: str = "none",
    calibration: Any = None,
    heads: Schedule | int | None = None,
    joint: Schedule | None = None,
    seed: int = 0,
    progress: ProgressCallback = silent,
) -> NetworkWithExits:
    """Add early exits to a trained network and write it as one `.tflite` with a signature for each segment.

    Parameters
    ----------
    model
        A trained classifier of one output: a Keras Sequential or Functional network or its ``.keras`` file. One that is given in
        memory learns in place.
    data
        Rows with classes, or the file of them. Of those for validation a quarter says which epoch is best, the others are for
        thresholds. Where there are none, a fifth of the training rows is kept for that.
    time_model
        A time model or its file: exits come where their time is.
    out
        Folder for ``exits.tflite``, ``exits.keras``, and ``single.tflite``, the network without exits. Training that was stopped
        goes on from its ``checkpoints``; they stay, so that another goal or other arithmetic takes no training.
    count
        Exits to add, evenly in time; fewer where the network has not so many places.
    after
        In place of `count` the names of the layers to cut after.
    head
        One of `compressor.exits.heads.KINDS`; or ``auto``: the largest that takes little of the network's time.
    quantize
        ``none`` or ``int8``.
    calibration
        Typical inputs for ``int8``; default: the training rows.
    heads
        How heads are trained, or for how many epochs; default: for as many as the number of rows asks for.
    joint
        How all layers are trained afterwards, such as `compressor.exits.JOINT`; None leaves the network as it is.

    Raises
    ------
    UsageError, DataError, ModelFileError, EdgetimeError
        What was given cannot be used, or the network has no place for an exit; one sentence says why.
    """
    if head not in ("auto", *KINDS):
        raise UsageError(f"--head is auto, {', '.join(KINDS[:-1])} or {KINDS[-1]}, not {head!r}.")
    if quantize not in ("none", "int8"):
        raise UsageError(f"--quantize {quantize} does not go with exits: choose none or int8.")
    progress(0.0, "loading")
    rows = check_data(data) if isinstance(data, Data) else load_data(data)
    times = TimeModel.load(time_model) if isinstance(time_model, (str, os.PathLike)) else time_model
    is_file = isinstance(model, (str, os.PathLike))
    name = str(model) if is_file else f"The model '{model.name}'"
    network = in_float32(load_keras(model) if is_file else model)
    whole = flat(network)
    _check_outputs(whole, name)
    check_classes(rows, name)
    notes = []
    if rows.x_val is None:
        notes.append(
            f"{rows.source} has no x_val: thresholds come from rows that were split off x, and if the network was trained on them "
            "they are too sure; give x_val and y_val."
        )
    learning, held = _parts(replace(rows, metric=None), seed)
    task = task_of(whole, learning)
    if task.head not in ("softmax", "logits"):
        raise UsageError(
            f"{name} gives one number, yes or no, and exits need one per class: end it with two units and a softmax."
        )
    progress(0.03, "looking for places for exits")
    cuts = find_places(whole, read_network(to_tflite_bytes(whole)), times)
    chosen = named(cuts, after, name) if after else propose(cuts, count, name)
    if not after and len(chosen) < count:
        notes.append(f"{name} has places for {len(chosen)} exits, not {count}.")
    kinds = [_kind(head, cut, whole, str(task.head), times) for cut in chosen]
    import keras

    keras.utils.set_random_seed(seed)
    branched = add_exits(whole, chosen, str(task.head), kinds)
    folder = Path(out)
    training = sub_progress(progress, 0.05, 0.8)
    schedule = heads if isinstance(heads, Schedule) else heads_schedule(row_count(learning.x))
    if isinstance(heads, int):
        schedule = replace(schedule, epochs=heads, patience=heads)
    trained = train_exits(
        branched, whole, learning, schedule, joint, seed, training, checkpoints=folder / CHECKPOINTS
    )
    making = _Making(folder, quantize, times, learning, held, calibration, whole, str(task.head))
    return making.written(branched, trained, sub_progress(progress, 0.8, 1.0), tuple(notes))


@dataclass(frozen=True)
class _Making:
    """All that writing the network again takes."""

    folder: Path
    quantize: str
    time_model: NetworkPredictor
    learning: Data
    held: Data
    calibration: Any
    whole: Any
    head: str

    def written(
        self, branched: Branched, trained: TrainedExits, progress: ProgressCallback, notes: tuple[str, ...]
    ) -> NetworkWithExits:
        """Write the files and predict what they take."""
        calibration, check = self._calibration(), self._check()
        save_keras(branched.model, self.folder / "exits.keras")
        file, single = self.folder / "exits.tflite", self.folder / "single.tflite"
        found = write_exits(branched, file, self.quantize, calibration, check, progress)
        import keras

        alone = keras.Model(branched.model.inputs, branched.answers[LAST], name=self.whole.name)
        with replacing(single) as temporary:
            temporary.write_bytes(
                to_tflite_bytes(alone, self.quantize, calibration if self.quantize != "none" else None)
            )
        networks = read_segments(file)
        segments = tuple(
            ExitSegment(
                signature,
                cut.after if cut else "",
                cut.share if cut else 1.0,
                float(self.time_model.predict(networks[signature]).predicted_ms),
                trained.scores[branched.exits[place]],
                float(comparison.agreement or 0.0),
            )
            for place, (signature, cut, comparison) in enumerate(
                zip(found.signatures, (*branched.cuts, None), found.comparisons, strict=True)
            )
        )
        return NetworkWithExits(
            self.folder,
            file,
            single,
            "probabilities" if self.head == "softmax" else "logits",
            segments,
            float(self.time_model.predict(read_network(single)).predicted_ms),
            single.stat().st_size,
            file.stat().st_size,
            trained,
            self.held,
            branched,
            self,
            notes,
        )

    def _calibration(self) -> Rows:
        if self.quantize == "none":
            return take(self.learning.x, slice(1))
        given = self.learning.x
        if self.calibration is not None:
            known = load_known(self.calibration, input_specs(self.whole))
            given = known.x if isinstance(known, Data) else known
            if isinstance(given, Mapping) and len(given) == 1:
                given = next(iter(given.values()))
        return take(given, evenly(given, CALIBRATION_ROWS))

    def _check(self) -> Rows:
        assert self.held.x_val is not None
        return take(self.held.x_val, evenly(self.held.x_val, CHECK_ROWS))


def _parts(data: Data, seed: int) -> tuple[Data, Data]:
    """Rows to learn from, with those that epochs are chosen on; and rows for thresholds, with those for the test.

    The network may have been trained on all rows for training, so that what it says of them is no guide: both are taken from
    those for validation.
    """
    data = data.with_validation(seed=seed)
    x, y = data.x_val, data.y_val
    assert x is not None
    stay, epochs = split_rows(row_count(x), _EPOCHS_SHARE, labels=y, seed=seed)
    if len(stay) < LEAST_ROWS:
        raise DataError(
            f"{data.source} has {row_count(x)} rows to find thresholds and epochs on, and {LEAST_ROWS} are not enough: give "
            "more in x_val."
        )
    learning = replace(data, x_val=take(x, epochs), y_val=take(y, epochs), x_test=None, y_test=None)
    return learning, replace(data, x_val=take(x, stay), y_val=take(y, stay))


def _kind(head: str, cut: ExitPlace, whole: Any, answers: str, time_model: NetworkPredictor) -> str:
    """What kind of head an exit gets: the largest that takes little of the network's time."""
    if head != "auto":
        return head
    largest, *larger = KINDS
    for kind in larger:
        alone = head_alone(cut, whole.outputs[0].shape[-1], answers, kind)
        head_ms = float(time_model.predict(read_network(to_tflite_bytes(alone))).predicted_ms)
        if head_ms > _HEAD_SHARE * cut.predicted_ms / cut.share:
            break
        largest = kind
    return largest


def _check_outputs(model: Any, name: str) -> None:
    """Exits are added to a network that gives one number per class."""
    if len(model.outputs) != 1:
        raise UsageError(
            f"{name} has {len(model.outputs)} outputs ({', '.join(output_names(model))}), and exits choose between the classes of "
            "one: leave the others out."
        )
    shape = tuple(model.outputs[0].shape)
    if len(shape) != 2 or shape[-1] < 2:
        raise UsageError(
            f"{name} gives {list(shape[1:])} numbers per row, and exits need one per class: end it with a dense layer of as many "
            "units as classes."
        )
