"""`load_policy`: a policy that answers rows as one of its networks would."""

from __future__ import annotations

import functools
import os
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from profiler.errors import DataError, EdgetimeError, EdgetimeWarning, UsageError
from selector.runtime.drift import Drift
from selector.runtime.files import find_policy, read_network_file, read_policy
from selector.runtime.network import Networks, make_interpreter
from selector.runtime.runner import PolicyRunner, Trace, known_kinds, runner_of
from selector.runtime.signals import Block
from selector.runtime.specification import Specification

ON_DRIFT = ("warn", "single")

_BLOCK_ROWS = 1024
_BLOCK_BYTES = 32 << 20


class LoadedPolicy:
    """Which network answers which input; made by `load_policy`. Several threads may call it: they take turns.

    Attributes
    ----------
    specification : Specification
        What it is, as plain values.
    file : Path
        Its JSON file.
    trace : Trace
        What happened to each row of this thread's last call: which stage answered, and its predicted time in ms.
    drift : Drift or None
        The test of whether rows stop where they did when it was fitted; `drift.reset()` begins anew. None where the policy
        has one stage.
    on_drift : str
        ``"warn"``, or ``"single"``: from then on only the best single network answers.
    """

    def __init__(
        self, specification: Specification, runner: PolicyRunner, file: Path, on_drift: str = "warn"
    ) -> None:
        if on_drift not in ON_DRIFT:
            raise UsageError(f"on_drift is {' or '.join(ON_DRIFT)}, not {on_drift!r}.")
        self.specification = specification
        self.file = file
        self.runner = runner
        self.on_drift = on_drift
        self._taken = threading.RLock()
        self._last = threading.local()
        self._one_row = runner.one_row()
        shares = specification.expected.get("stop_shares") or ()
        self.drift = Drift(shares, specification.expected["rows"]) if len(shares) > 1 else None

    def __call__(
        self, x: ArrayLike | Mapping[str, ArrayLike], timed: bool = False, watch: bool = True
    ) -> Any:
        """Answer rows.

        Parameters
        ----------
        x
            Rows [rows, ...] of the only input, or of each input by its name.
        timed
            Whether to measure the time of each row (`trace.measured_ms`).
        watch
            Whether these rows count for drift; not where they are answered a second time.

        Returns
        -------
        array
            Probabilities or logits [rows, classes], as the best single network gives them; of a static policy whatever
            its network gives [rows, ...] (several outputs: a mapping by name).

        Raises
        ------
        DataError
            Rows do not fit the networks.
        EdgetimeError
            Even the best single network answers a row with NaN.
        """
        with self._taken:
            if self._one_row is not None and not timed:
                answer = self._single_row(x, watch)
                if answer is not None:
                    return answer
            return self._run(x, timed, self._answer if watch else self._unwatched)

    @property
    def trace(self) -> Trace:
        """What happened to each row of the last call of this thread."""
        found: Trace | int | None = getattr(self._last, "trace", None)
        if found is None or isinstance(found, int):
            none = Trace.of(0, len(self.specification.networks))
            found = self._last.trace = none if found is None else self._trace_of_one(found)
        return found

    def single(self, x: ArrayLike | Mapping[str, ArrayLike], timed: bool = False) -> Any:
        """Answer rows by the best single network alone, to compare with; drift is not looked at."""
        with self._taken:
            return self._run(x, timed, self._single)

    def _run(self, x: Any, timed: bool, answer: Callable[[Block, Trace], Any]) -> Any:
        inputs = _inputs(x)
        rows = len(next(iter(inputs.values())))
        per_row = sum(array.nbytes for array in inputs.values()) // rows
        step = max(1, min(_BLOCK_ROWS, _BLOCK_BYTES // max(1, per_row)))
        outputs, traces = [], []
        for start in range(0, rows, step):
            part = (
                {name: array[start : start + step] for name, array in inputs.items()}
                if rows > step
                else inputs
            )
            begin = time.perf_counter()
            block = Block(part, start)
            trace = Trace.of(block.rows, len(self.specification.networks), timed)
            outputs.append(answer(block, trace))
            if trace.measured_ms is not None:
                # What is not inside a network's loop is for all rows alike.
                whole_ms = 1e3 * (time.perf_counter() - begin)
                trace.around_ms = float(whole_ms - trace.measured_ms.sum())
                trace.measured_ms += trace.around_ms / block.rows
            traces.append(trace)
        self._last.trace = Trace.joined(traces)
        return _joined(outputs)

    def _single_row(self, x: Any, watch: bool) -> Any:
        """The answer to one row [1, ...] without arrays in between; None where there is more than one, or it cannot be so."""
        if self._falls_back and self.on_drift == "single":
            return None
        if not isinstance(x, np.ndarray) and isinstance(x, Mapping):
            return None
        row = _array(x)
        if row.ndim == 0 or len(row) != 1:
            return None
        assert self._one_row is not None
        found = self._one_row(row)
        if found is None:
            return None
        self._last.trace = found.stage
        if watch and self.drift is not None and self.drift.add_one(found.stage):
            self._warn_of_drift()
        return found.outputs

    def _trace_of_one(self, stage: int) -> Trace:
        """The trace of one row that stopped at a stage."""
        known = self.specification
        ran = [one.network for one in known.stages[: stage + 1]] or [known.single]
        trace = Trace.of(1, len(known.networks))
        trace.stage[0], trace.network[0] = stage, ran[-1]
        trace.predicted_ms[0] = sum(known.networks[index].predicted_ms for index in ran)
        trace.predicted_ms[0] += known.decide_ms * len(known.stages[: stage + 1])
        trace.ran[ran] += 1
        return trace

    @property
    def _falls_back(self) -> bool:
        return self.drift is not None and self.drift.changed

    def _unwatched(self, block: Block, trace: Trace) -> Any:
        if self._falls_back and self.on_drift == "single":
            return self._single(block, trace)
        return self.runner.answer(block, trace)

    def _answer(self, block: Block, trace: Trace) -> Any:
        drift = self.drift
        answers = self._unwatched(block, trace)
        if drift is None or drift.changed:
            return answers
        stages = len(drift.stops)
        if drift.add(np.bincount(trace.stage[trace.stage >= 0], minlength=stages)[:stages].tolist()):
            self._warn_of_drift()
        return answers

    def _warn_of_drift(self) -> None:
        assert self.drift is not None
        after = " From here on the best single network answers." if self.on_drift == "single" else ""
        warnings.warn(f"{self.file}: {self.drift.sentence()}{after}", EdgetimeWarning, stacklevel=5)

    def _single(self, block: Block, trace: Trace) -> Any:
        return self.runner.single(block, np.arange(block.rows), trace)


def load_policy(
    path: str | os.PathLike[str],
    *,
    on_drift: str = "warn",
    threads: int = 1,
    make: Callable[[bytes], Any] | None = None,
    remote: Callable[[Any], Any] | None = None,
) -> LoadedPolicy:
    """Read a policy and get its networks ready; needs numpy and LiteRT, nothing else.

    Parameters
    ----------
    path
        Its JSON file, or the folder of that.
    on_drift
        What to do where rows stop at other stages than when it was fitted, beside one warning: ``"warn"`` is nothing,
        ``"single"`` lets the best single network answer from then on.
    threads
        Threads of each network.
    make
        Makes an interpreter of a ``.tflite`` file's content, for kernels of your own.
    remote
        What asks the other machine of a policy that uses one: ``remote(rows) -> outputs`` [rows, ...] of the network there.
        Without it, or where it raises OSError, this machine answers alone, and a warning says so.

    Raises
    ------
    EdgetimeError
        It is missing, damaged, of another version or kind, or one of its networks is missing or was changed.

    Examples
    --------
    >>> policy = load_policy("policy.json")                                      # doctest: +SKIP
    >>> probabilities = policy(x)                                                # doctest: +SKIP
    >>> policy.trace.stage, policy.trace.predicted_ms                            # doctest: +SKIP
    """
    file = find_policy(path)
    specification, contents = read_policy(file)
    runner = runner_of(specification.kind)
    if runner is None:
        raise EdgetimeError(
            f"{file} is a policy of kind {specification.kind!r}, and this edgetime runs {', '.join(known_kinds())}: "
            "install what it was made with, or write it again with 'edgetime select'."
        )
    make = make or functools.partial(make_interpreter, threads=threads)
    read = functools.partial(read_network_file, file)
    networks = Networks(specification.networks, file.parent, contents, read, make)
    try:
        made = runner(specification, networks)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        detail = " ".join(str(error).split())
        raise EdgetimeError(
            f"{file} is damaged ({detail}): write it again with 'edgetime select'."
        ) from error
    made.remote = remote
    return LoadedPolicy(specification, made, file, on_drift)


def _array(rows: Any) -> NDArray[Any]:
    try:
        return np.asarray(rows)
    except ValueError as error:
        raise DataError("Rows differ in length: give all of the same shape, as [rows, ...].") from error


def _inputs(x: Any) -> dict[str, NDArray[Any]]:
    inputs = {name: _array(rows) for name, rows in x.items()} if isinstance(x, Mapping) else {"": _array(x)}
    lengths = {name: len(array) if array.ndim else 0 for name, array in inputs.items()}
    if len(set(lengths.values())) != 1:
        raise DataError(f"Inputs differ in rows ({lengths}): give the same rows of each.")
    if not next(iter(lengths.values())):
        raise DataError("There are no rows to answer: give at least one, as [rows, ...].")
    return inputs


def _joined(outputs: list[Any]) -> Any:
    if len(outputs) == 1:
        return outputs[0]
    if isinstance(outputs[0], Mapping):
        return {name: np.concatenate([one[name] for one in outputs]) for name in outputs[0]}
    return np.concatenate(outputs)
