"""Training a cut network until it answers as well as the original again."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compressor.data import Rows, row_count, take
from compressor.training.averaging import Averaged
from compressor.training.model_io import make_predict, outputs_of, run
from compressor.training.options import Schedule
from compressor.training.pace import Pace
from compressor.training.shape import in_training_shape, make_adam
from compressor.training.task import Task
from compressor.training.teaching import TaughtRows
from profiler.errors import EdgetimeError
from profiler.records import read_arrays, write_arrays

_SAVE_EVERY_S = 20.0

_FORMAT = 2
"""Of checkpoints."""

_LAST_PART = 0.2
"""Of the steps done: over so many more the learning rate falls to 0 where validation rows say that more would not help."""

_AVERAGED_FROM = 0.5
"""Of a training: before, weights move so fast that their average is behind them."""


class TrainingError(EdgetimeError):
    """Training diverged."""


@dataclass(frozen=True)
class Outcome:
    """What a training run reached, with the weights that the model now has; not `complete` where the deadline ended it.

    `epochs` are how often the network was judged: after each epoch, and more often where time was too short for that.
    `passes` are how often all rows were seen; `share` is what time left of its steps, 1 where it left all. `epoch_s` is what
    an epoch over all training rows takes, judging included; 0 where that was not seen.
    """

    score: float
    loss: float
    epochs: int
    seconds: float
    complete: bool = True
    steps: int = 0
    passes: float = 0.0
    share: float = 1.0
    epoch_s: float = 0.0


def behind(before: Outcome, after: Outcome) -> Outcome:
    """What a training reached that went on from another one."""
    return replace(
        after,
        epochs=before.epochs + after.epochs,
        steps=before.steps + after.steps,
        passes=before.passes + after.passes,
        seconds=before.seconds + after.seconds,
        share=min(before.share, after.share),
    )


class FineTuner:
    """Trains networks on one data set (with validation rows), with the outputs of `teacher`, the original, as an example.

    `keras.distillation.Distiller` (as of Keras 3.15) is not used: it asks the teacher at every step, where here its
    outputs are computed once for all candidates of a search; it marks the teacher as not trainable for good and takes for
    logits what comes out of a softmax.
    """

    def __init__(self, task: Task, teacher: Any = None) -> None:
        self._task = task
        self._teacher = teacher
        data = task.data
        if data.x_val is None or data.y_val is None:
            raise ValueError("the data has no validation rows")
        self._validation = data.x_val, data.y_val

    def fit(
        self,
        model: Any,
        schedule: Schedule,
        seed: int = 0,
        checkpoint: Path | None = None,
        deadline: float = math.inf,
        on_epoch: Callable[[int, float], None] = lambda epoch, score: None,
        last: bool = False,
        frozen: Iterable[Any] = (),
        seconds: float = math.inf,
    ) -> Outcome:
        """Train `model` in place and leave it with the weights that did best on validation.

        After each epoch the weights are judged, and in the second half the moving average of them beside. `checkpoint` is
        written every 20 s and at the end; a run that finds it goes on from there. Where the schedule would take longer than
        `seconds` it is fitted to them: the learning rate falls to 0 when they end, after fewer epochs, or after shorter ones.
        `deadline`, on the clock of `time.monotonic`, ends training within an epoch, and that epoch does not count. With `last`
        the last epoch's weights are kept instead, and their score and loss reported. The layers `frozen` stay as they are. A
        loss that becomes NaN or infinite is a `TrainingError`.
        """
        with in_training_shape(model, frozen):
            run = _Run(self, model, schedule, seed, checkpoint, deadline, on_epoch, seconds)
            return run.go(last)

    def evaluate(self, model: Any) -> tuple[float, float]:
        """Score and loss of a model on the validation rows."""
        return self._evaluate(outputs_of(model, self._validation[0]))

    def validation_outputs(self, model: Any) -> Rows:
        """A model's outputs on the validation rows; the original's are worked out once."""
        if model is not self._teacher:
            return outputs_of(model, self._validation[0])
        return self._answered

    def _evaluate(self, outputs: Rows) -> tuple[float, float]:
        x, y = self._validation
        loss = float(self._task.loss(y, outputs))
        return self._task.score(outputs, x, y), loss

    @cached_property
    def _teach(self) -> Callable[[Rows], Rows]:
        """The original's outputs for any rows; it is traced once."""
        return make_predict(self._teacher)

    @cached_property
    def _wanted(self) -> TaughtRows:
        """The original's outputs for training rows by their numbers."""
        return TaughtRows(self._teach, self._task.data.x)

    @cached_property
    def _answered(self) -> Rows:
        """The original's outputs for the validation rows."""
        return self._teach(self._validation[0])


class _Run:
    def __init__(
        self,
        tuner: FineTuner,
        model: Any,
        schedule: Schedule,
        seed: int,
        checkpoint: Path | None,
        deadline: float,
        on_epoch: Callable[[int, float], None],
        seconds: float,
    ) -> None:
        self._tuner, self._model, self._schedule = tuner, model, schedule
        self._seed, self._checkpoint, self._deadline, self._on_epoch = seed, checkpoint, deadline, on_epoch
        self._data = tuner._task.data
        rows = self._rows = row_count(self._data.x)
        self._batch = min(schedule.batch_size, rows)
        self._steps = schedule.steps(rows)
        self._pace = Pace(schedule.epochs * self._steps, seconds)
        self._optimizer = make_adam(schedule.learning_rate)
        self._optimizer.build(model.trainable_variables)
        self._averaged = Averaged(model)
        self._epoch = 0
        self._ending = False
        self._best = (-math.inf, -math.inf)
        self._best_trained, self._best_epoch = self._best, 0
        self._best_weights: list[NDArray[Any]] = []
        self._saved = time.monotonic()
        self._distils = tuner._teacher is not None and schedule.alpha > 0
        self._step = self._make_step()
        self._predict = make_predict(model)

    def go(self, last: bool) -> Outcome:
        started = time.monotonic()
        if not self._restore():
            self._judge()
        complete = True
        while complete and not self._pace.over:
            if self._epoch - self._best_epoch >= self._schedule.patience and not self._ending:
                self._ending = True
                self._pace.end_within(math.ceil(_LAST_PART * self._pace.done))
            complete = time.monotonic() < self._deadline and self._train_epoch()
            if not complete:
                break  # the checkpoint is of the last whole epoch: who goes on does this one again
            self._epoch += 1
            self._judge()
            if time.monotonic() - self._saved > _SAVE_EVERY_S:
                self._save()
        share = 1.0
        if complete:
            share = self._pace.end()
            self._save()
        if last:
            score, loss = self._tuner.evaluate(self._model)
        else:
            score, loss = self._best[0], -self._best[1]
            self._model.set_weights(self._best_weights)
        pace = self._pace
        return Outcome(
            score,
            loss,
            self._epoch,
            time.monotonic() - started,
            complete,
            pace.done,
            pace.done * self._batch / self._rows,
            share,
            pace.epoch_s(self._rows // self._batch),
        )

    def _train_epoch(self) -> bool:
        """Run one pass over the rows, or the part of it that there is time for; False where the deadline came within it."""
        order = np.random.default_rng([self._seed, self._epoch]).permutation(self._rows)
        losses: list[Any] = []
        while len(losses) < self._pace.look_after(self._steps) and not self._pace.over:
            chosen = order[len(losses) * self._batch : (len(losses) + 1) * self._batch]
            rows = self._data.augmented(take(self._data.x, chosen))
            rate = self._schedule.rate_at(self._pace.progress)
            self._optimizer.learning_rate = rate
            losses.append(self._step(rows, take(self._data.y, chosen), self._wanted_outputs(rows, chosen)))
            self._averaged.step()
            self._pace.step()
            if time.monotonic() > self._deadline:
                return False
        # None where time ended before the first.
        mean = float(np.mean([float(loss) for loss in losses])) if losses else 0.0
        if not math.isfinite(mean):
            raise TrainingError(
                f"Fine-tuning diverged: the loss became {mean} in epoch {self._epoch + 1} at a learning rate "
                f"of {self._schedule.learning_rate:g}; try a tenth of it, and check that inputs are scaled."
            )
        return True

    def _wanted_outputs(self, rows: Rows, chosen: NDArray[np.int64]) -> Rows:
        if not self._distils:
            return np.zeros((len(chosen), 1), np.float32)
        if self._data.augment is None:
            return self._tuner._wanted(chosen)
        return self._tuner._teach(rows)

    def _make_step(self) -> Callable[[Any, Any, Any], Any]:
        import tensorflow as tf

        task, model, optimizer, schedule = self._tuner._task, self._model, self._optimizer, self._schedule
        variables = model.trainable_variables
        distils = self._distils

        @tf.function(reduce_retracing=True, autograph=False)  # as Keras' own trainer
        def step(rows: Any, labels: Any, wanted: Any) -> Any:
            with tf.GradientTape() as tape:
                outputs = run(model, rows, training=True)
                loss = task.loss(labels, outputs)
                if distils:
                    near = task.distance(outputs, wanted, schedule.temperature)
                    loss = schedule.alpha * near + (1 - schedule.alpha) * loss
                if model.losses:
                    loss += tf.add_n(model.losses)
            optimizer.apply(tape.gradient(loss, [v.value for v in variables]), variables)
            return loss

        return step

    def _judge(self) -> None:
        """Score the model as it is, and by its averaged weights; keep the better ones if none ever did better."""
        began = time.monotonic()
        standing = self._standing()
        if not self._best_weights or standing > self._best:
            self._best = standing
            self._best_weights = [np.array(w) for w in self._model.get_weights()]
        if self._epoch:
            if self._pace.progress >= _AVERAGED_FROM:
                standing = max(standing, self._judge_average())
            if standing > self._best_trained:
                self._best_trained, self._best_epoch = standing, self._epoch
        self._pace.judged(time.monotonic() - began)
        self._on_epoch(self._epoch, self._best[0])

    def _judge_average(self) -> tuple[float, float]:
        now, average = [np.array(w) for w in self._model.get_weights()], self._averaged.weights
        self._model.set_weights(average)
        standing = self._standing()
        self._model.set_weights(now)
        if standing > self._best:
            self._best, self._best_weights = standing, average
        return standing

    def _standing(self) -> tuple[float, float]:
        """Score and negative loss; -inf for what is not finite."""
        score, loss = self._tuner._evaluate(self._predict(self._tuner._validation[0]))
        return (score if math.isfinite(score) else -math.inf, -loss if math.isfinite(loss) else -math.inf)

    def _signature(self) -> list[Any]:
        shapes = [list(w.shape) for w in self._model.get_weights()]
        schedule = asdict(self._schedule)
        if self._pace.limited:  # then how long it is differs from run to run
            schedule |= {"epochs": None, "patience": None}
        return [_FORMAT, shapes, schedule, self._seed, self._rows]

    def _save(self) -> None:
        if self._checkpoint is None:
            return
        pace = self._pace
        paces = [pace.done, pace.progress, pace.steps, self._ending]
        state = [self._epoch, self._best_epoch, *paces, *self._best, *self._best_trained]
        arrays = {"state": np.array(state, dtype=np.float64)}
        arrays.update({f"now{i}": w for i, w in enumerate(self._model.get_weights())})
        arrays.update({f"best{i}": w for i, w in enumerate(self._best_weights)})
        arrays.update(self._averaged.state())
        arrays.update({f"optimizer{i}": np.asarray(v) for i, v in enumerate(self._optimizer.variables)})
        write_arrays(self._checkpoint, self._signature(), arrays)
        self._saved = time.monotonic()

    def _restore(self) -> bool:
        """Go on from the checkpoint, where there is one of the same run."""
        arrays = None if self._checkpoint is None else read_arrays(self._checkpoint, self._signature())
        if arrays is None:
            return False
        count = len(self._model.get_weights())
        self._model.set_weights([arrays[f"now{i}"] for i in range(count)])
        self._best_weights = [arrays[f"best{i}"] for i in range(count)]
        for i, variable in enumerate(self._optimizer.variables):
            variable.assign(arrays[f"optimizer{i}"])
        self._averaged.restore(arrays)
        epoch, best_epoch, done, progress, steps, ending, *standings = arrays["state"].tolist()
        self._epoch, self._best_epoch, self._ending = int(epoch), int(best_epoch), bool(ending)
        self._pace.resume(int(done), progress)
        if self._ending:  # else this run may take more steps than that one
            self._pace.end_within(int(steps) - int(done))
        self._best, self._best_trained = tuple(standings[:2]), tuple(standings[2:])
        return True
