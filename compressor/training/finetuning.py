"""Training a cut network until it answers as well as the original again."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compressor.data import Rows, row_count, take
from compressor.training.model_io import make_predict, outputs_of, run
from compressor.training.options import Schedule
from compressor.training.task import Task
from profiler.errors import EdgetimeError
from profiler.records import read_arrays, write_arrays

_QUICK_MOMENTUM = 0.9
_SAVE_EVERY_S = 20.0


class TrainingError(EdgetimeError):
    """Training diverged."""


@dataclass(frozen=True)
class Outcome:
    """What a training run reached, with the weights that the model now has; not `complete` where the deadline ended it."""

    score: float
    loss: float
    epochs: int
    seconds: float
    complete: bool = True


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
    ) -> Outcome:
        """Train `model` in place and leave it with the weights of the epoch that did best on validation.

        `checkpoint` is written every 20 s and at the end; a run that finds it goes on from there. `deadline`, on the clock of
        `time.monotonic`, ends training within an epoch, and that epoch does not count. With `last` the last epoch's weights
        are kept instead, and their score and loss reported. The layers `frozen` stay as they are. A loss that becomes NaN or
        infinite is a `TrainingError`.
        """
        with _in_training_shape(model, frozen):
            run = _Run(self, model, schedule, seed, checkpoint, deadline, on_epoch)
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
    def _wanted(self) -> Rows:
        """The original's outputs for all training rows."""
        return self._teach(self._task.data.x)

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
    ) -> None:
        import keras

        self._tuner, self._model, self._schedule = tuner, model, schedule
        self._seed, self._checkpoint, self._deadline, self._on_epoch = seed, checkpoint, deadline, on_epoch
        self._data = tuner._task.data
        rows = self._rows = row_count(self._data.x)
        self._batch = min(schedule.batch_size, rows)
        self._steps = max(1, min(rows, schedule.most_rows or rows) // self._batch)
        rate = keras.optimizers.schedules.CosineDecay(schedule.learning_rate, schedule.epochs * self._steps)
        self._optimizer = _adam(rate)
        self._optimizer.build(model.trainable_variables)
        self._epoch = 0
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
        while complete and self._epoch < self._schedule.epochs:
            if self._epoch - self._best_epoch >= self._schedule.patience:
                break
            complete = time.monotonic() < self._deadline and self._train_epoch()
            if not complete:
                break  # the checkpoint is of the last whole epoch: who goes on does this one again
            self._epoch += 1
            self._judge()
            if time.monotonic() - self._saved > _SAVE_EVERY_S:
                self._save()
        if complete:
            self._save()
        if last:
            score, loss = self._tuner.evaluate(self._model)
        else:
            score, loss = self._best[0], -self._best[1]
            self._model.set_weights(self._best_weights)
        return Outcome(score, loss, self._epoch, time.monotonic() - started, complete)

    def _train_epoch(self) -> bool:
        """Run one pass over the rows; False where the time ran out within it."""
        order = np.random.default_rng([self._seed, self._epoch]).permutation(self._rows)
        losses = []
        for step in range(self._steps):
            chosen = order[step * self._batch : (step + 1) * self._batch]
            rows = self._data.augmented(take(self._data.x, chosen))
            losses.append(self._step(rows, take(self._data.y, chosen), self._wanted_outputs(rows, chosen)))
            if time.monotonic() > self._deadline:
                break
        mean = float(np.mean([float(loss) for loss in losses]))
        if not math.isfinite(mean):
            raise TrainingError(
                f"Fine-tuning diverged: the loss became {mean} in epoch {self._epoch + 1} at a learning rate "
                f"of {self._schedule.learning_rate:g}; try a tenth of it, and check that inputs are scaled."
            )
        return len(losses) == self._steps

    def _wanted_outputs(self, rows: Rows, chosen: NDArray[np.int64]) -> Rows:
        if not self._distils:
            return np.zeros((len(chosen), 1), np.float32)
        if self._data.augment is None:
            return take(self._tuner._wanted, chosen)
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
        """Score the model as it is; keep its weights if it never did better."""
        score, loss = self._tuner._evaluate(self._predict(self._tuner._validation[0]))
        standing = (score if math.isfinite(score) else -math.inf, -loss if math.isfinite(loss) else -math.inf)
        if not self._best_weights or standing > self._best:
            self._best = standing
            self._best_weights = [np.array(w) for w in self._model.get_weights()]
        if self._epoch and standing > self._best_trained:
            self._best_trained, self._best_epoch = standing, self._epoch
        self._on_epoch(self._epoch, self._best[0])

    def _signature(self) -> list[Any]:
        shapes = [list(w.shape) for w in self._model.get_weights()]
        return [shapes, asdict(self._schedule), self._seed, self._rows]

    def _save(self) -> None:
        if self._checkpoint is None:
            return
        state = [self._epoch, self._best_epoch, *self._best, *self._best_trained]
        arrays = {"state": np.array(state, dtype=np.float64)}
        arrays.update({f"now{i}": w for i, w in enumerate(self._model.get_weights())})
        arrays.update({f"best{i}": w for i, w in enumerate(self._best_weights)})
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
        epoch, best_epoch, *standings = arrays["state"].tolist()
        self._epoch, self._best_epoch = int(epoch), int(best_epoch)
        self._best, self._best_trained = tuple(standings[:2]), tuple(standings[2:])
        return True


def let_go() -> None:
    """Give back the memory of networks that nobody holds any more: thousands may be trained in one process."""
    import gc

    gc.collect()
    # TensorFlow keeps every kernel that it ever made, and a network of new shapes needs new ones.
    with contextlib.suppress(ImportError, AttributeError):
        from tensorflow.python.eager import context

        context.context().clear_kernel_cache()


def _adam(rate: Any) -> Any:
    """Keras' Adam, updated variable by variable: its own way on TensorFlow never lets go of the graph that was traced, some
    9 MB for each candidate of a search.
    """
    import keras

    class Adam(keras.optimizers.Adam):
        def _backend_update_step(self, grads: Any, trainable_variables: Any, learning_rate: Any) -> None:
            for gradient, variable in zip(grads, trainable_variables, strict=True):
                self.update_step(gradient, variable, learning_rate)

    return Adam(rate)


def _all_layers(model: Any) -> Iterator[Any]:
    """Every layer, those inside of models inside included, each before what it stands in."""
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from _all_layers(layer)
        yield layer


@contextlib.contextmanager
def _in_training_shape(model: Any, frozen: Iterable[Any] = ()) -> Iterator[None]:
    """Let every layer learn but those `frozen`.

    Batch normalisation follows within a few steps (Keras' momentum of 0.99 takes hundreds).
    """
    layers = list(_all_layers(model))
    flags = [(layer, layer.trainable) for layer in layers]
    momenta = [(layer, layer.momentum) for layer in layers if hasattr(layer, "momentum")]
    try:
        # Innermost first, each by itself: Keras does not hand a flag down that the model has already.
        still = {id(layer) for layer in frozen}
        for layer in layers:
            layer.trainable = id(layer) not in still
        for layer, momentum in momenta:
            layer.momentum = min(momentum, _QUICK_MOMENTUM)
        yield
    finally:
        for layer, flag in flags:
            layer.trainable = flag
        for layer, momentum in momenta:
            layer.momentum = momentum
