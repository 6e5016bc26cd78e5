"""Running one network row by row with as little as possible around each run."""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from profiler.errors import EdgetimeError, ModelFileError
from selector.runtime.signals import Block, Fed, Rows, Run, Signal
from selector.runtime.specification import PolicyNetwork


class LoadedNetwork:
    """One network, or one signature of a file, that answers row by row.

    Parameters
    ----------
    interpreter
        Of LiteRT, for the whole file.
    known
        What the policy says of it.
    file
        For messages.
    """

    def __init__(self, interpreter: Any, known: PolicyNetwork, file: Path) -> None:
        self.known = known
        self.file = file
        self._interpreter = interpreter
        self._wrapper = interpreter._interpreter
        try:
            self._open()
        except (ValueError, RuntimeError, KeyError) as error:
            raise _refused(file, "does not load", error) from error
        if known.answer and known.answer not in self.outputs:
            raise EdgetimeError(
                f"{file} has the outputs {', '.join(self.outputs)}, not '{known.answer}': run 'edgetime select' again."
            )
        self.batch = next(iter(self.inputs.values())).shape[0] if self._has_batch else 1
        self._memory: dict[int, memoryview] = {}
        invoke = self._wrapper.Invoke
        self.invoke: Callable[[], Any] = functools.partial(invoke, self._graph) if self._graph else invoke

    def _open(self) -> None:
        signatures = self._interpreter.get_signature_list()
        key = self.known.signature
        if key is None and len(signatures) == 1:
            key = next(iter(signatures))
        if key is None:
            self._graph = 0
            inputs = {_plain(one["name"]): one["index"] for one in self._interpreter.get_input_details()}
            outputs = {_plain(one["name"]): one["index"] for one in self._interpreter.get_output_details()}
        else:
            if key not in signatures:
                names = ", ".join(signatures) or "none"
                raise EdgetimeError(
                    f"{self.file} has the signatures {names}, not '{key}': run 'edgetime select' again."
                )
            runner = self._interpreter.get_signature_runner(key)
            self._graph = int(getattr(runner, "_subgraph_index", 0))
            named = runner.get_input_details()
            inputs = {name: named[name]["index"] for name in sorted(named, key=_natural)}
            named = runner.get_output_details()
            outputs = {name: named[name]["index"] for name in sorted(named, key=_natural)}
        for index in inputs.values():
            open_shape = [int(size) for size in self._wrapper.TensorSizeSignature(index, self._graph)]
            if open_shape and open_shape[0] == -1:
                shape = [1, *(int(size) for size in self._wrapper.TensorSize(index, self._graph)[1:])]
                self._wrapper.ResizeInputTensor(index, np.array(shape, np.int32), False, self._graph)
        self._wrapper.AllocateTensors(self._graph)
        # Outputs of unknown shape get theirs, and their memory, in the first run, here on zeros; what a network remembers from
        # row to row is forgotten again.
        for index in inputs.values():
            zeros = np.zeros(
                self._wrapper.TensorSize(index, self._graph), self._wrapper.TensorType(index, self._graph)
            )
            self._wrapper.SetTensor(index, zeros, self._graph)
        self._wrapper.Invoke(self._graph)
        self._interpreter.reset_all_variables()
        self.inputs = {name: self._signal(name, index) for name, index in inputs.items()}
        self.outputs = {name: self._signal(name, index) for name, index in outputs.items()}
        self._has_batch = all(len(signal.shape) > 0 for signal in self.inputs.values())

    def _signal(self, name: str, index: int) -> Signal:
        wrapper, graph = self._wrapper, self._graph
        scale, zero = wrapper.TensorQuantization(index, graph)
        shape = tuple(int(size) for size in wrapper.TensorSize(index, graph))
        dtype = np.dtype(wrapper.TensorType(index, graph))
        size = dtype.itemsize * int(np.prod(shape))
        return Signal(name, index, shape, dtype, float(scale), int(zero), size)

    @property
    def answers(self) -> str:
        """Name of the output that holds its answer."""
        return self.known.answer or next(iter(self.outputs))

    def run(
        self,
        block: Block,
        rows: Rows,
        fed: Fed | None = None,
        keep: Sequence[str] = (),
        timed: bool = False,
    ) -> Run:
        """Answer some rows of a block, one run for each.

        Parameters
        ----------
        block
            Rows of the policy's inputs.
        rows
            Numbers of the rows that are asked for [rows].
        fed
            Outputs of the stage before for the same rows, which this network takes for inputs.
        keep
            Names of outputs to give beside the answer.
        timed
            Whether to take the time of each row.
        """
        sources = self._sources(block, rows, fed)
        wanted = list(dict.fromkeys([self.answers, *keep]))
        for name in wanted:
            if name not in self.outputs:
                raise EdgetimeError(
                    f"{self.file} has no output '{name}' that the next stage takes: run 'edgetime select' again."
                )
        signals = [self.outputs[name] for name in wanted]
        shapes = [s.shape[1:] if s.shape[:1] == (self.batch,) else s.shape for s in signals]
        results = [
            np.empty((len(rows), *shape), s.dtype)
            for s, shape in zip(signals, shapes)  # noqa: B905
        ]
        marks: list[float] | None = [time.perf_counter()] if timed else None
        try:
            if self.batch == 1:
                self._one_by_one(sources, signals, results, marks)
            else:
                self._in_batches(sources, signals, results, len(rows), marks)
        except (ValueError, RuntimeError) as error:
            raise _refused(self.file, "fails", error) from error
        found = {name: (result, s) for name, result, s in zip(wanted, results, signals)}  # noqa: B905
        answer = signals[0].real(results[0])
        return Run(answer, found, None if marks is None else np.diff(marks))

    @functools.cached_property
    def _plain_parts(self) -> tuple[Signal, str, memoryview, memoryview, bool, int, float]:
        """Its only input, how that is stored in words, its memory; of its answer the memory, and how to read it."""
        signal, out = next(iter(self.inputs.values())), self.outputs[self.answers]
        kind: Any = out.dtype.char
        stored = f"{signal.dtype} {signal.scale} {signal.zero}"
        result = self._memory_of(out).cast(kind)
        return signal, stored, self._memory_of(signal), result, out.is_quantised, out.zero, out.scale

    @property
    def is_plain(self) -> bool:
        """Whether it takes one input, and a row at a time, and answers a few real numbers."""
        out = self.outputs[self.answers]
        real = out.dtype == np.float32 or (out.is_quantised and out.dtype.char in "bBh")
        return real and len(self.inputs) == 1 and self.batch == 1 and out.row_bytes <= 256

    def run_one(self, row: NDArray[Any], inputs: dict[str, memoryview]) -> list[float]:
        """Answer of a plain network to one row [1, ...]; `inputs` keeps that row as other networks of the policy stored it."""
        signal, kind, target, result, quantised, zero, scale = self._plain_parts
        stored = inputs.get(kind)
        if stored is None:
            if row.shape != signal.shape or row.dtype != signal.dtype:
                signal.check(row, self.file)
            if row.dtype != signal.dtype or not row.flags.c_contiguous:
                row = signal.stored(row)
            stored = inputs[kind] = row.data.cast("B")
        target[:] = stored
        self.invoke()
        values: list[Any] = result.tolist()
        return [(value - zero) * scale for value in values] if quantised else values

    def _sources(self, block: Block, rows: Rows, fed: Fed | None) -> list[tuple[Signal, NDArray[Any], Rows]]:
        """For each input the array that holds it, and where in it the rows are."""
        sources = []
        for name, signal in self.inputs.items():
            if name in self.known.feeds:
                if fed is None or name not in fed.values:
                    raise EdgetimeError(
                        f"{self.file} takes '{name}' from the stage before, which does not give it: "
                        "run 'edgetime select' again."
                    )
                values, source = fed.values[name]
                if (source.dtype, source.scale, source.zero) != (signal.dtype, signal.scale, signal.zero):
                    values = source.real(values)
                sources.append((signal, signal.stored(values), fed.rows))
            else:
                sources.append((signal, block.stored(signal, self.file, len(self.inputs) == 1), rows))
        return sources

    def _memory_of(self, signal: Signal) -> memoryview:
        """The memory of a tensor as bytes, which stays where it is: shapes never change once the network ran."""
        found = self._memory.get(signal.tensor)
        if found is None:
            values = self._wrapper.tensor(self._interpreter, signal.tensor, self._graph)
            found = self._memory[signal.tensor] = _bytes(values)
        return found

    def _one_by_one(
        self,
        sources: Sequence[tuple[Signal, NDArray[Any], Rows]],
        signals: Sequence[Signal],
        results: Sequence[NDArray[Any]],
        marks: list[float] | None,
    ) -> None:
        moves = [
            (self._memory_of(signal), _bytes(values), (rows * signal.row_bytes).tolist())
            for signal, values, rows in sources
        ]
        into = [(_bytes(result), self._memory_of(one)) for one, result in zip(signals, results)]  # noqa: B905
        (target, values, begins), *more = moves
        (result, output), *others = into
        size, step, position = len(target), len(output), 0
        filled, kept = _filling(more), _keeping(others)
        invoke, clock = self.invoke, time.perf_counter
        # Small networks take no longer than a few of these lines, so nothing is done for inputs and outputs that are not there.
        for begin in begins:
            target[:] = values[begin : begin + size]
            if more:
                next(filled)
            invoke()
            end = position + step
            result[position:end] = output
            position = end
            if others:
                next(kept)
            if marks is not None:
                marks.append(clock())

    def _in_batches(
        self,
        sources: Sequence[tuple[Signal, NDArray[Any], Rows]],
        signals: Sequence[Signal],
        results: Sequence[NDArray[Any]],
        count: int,
        marks: list[float] | None,
    ) -> None:
        """Files of a fixed batch: the last one is filled up with its last row."""
        for start in range(0, count, self.batch):
            taken = min(self.batch, count - start)
            which = np.minimum(np.arange(start, start + self.batch), count - 1)
            for signal, values, rows in sources:
                self._wrapper.SetTensor(signal.tensor, values[rows[which]], self._graph)
            self.invoke()
            for signal, result in zip(signals, results):  # noqa: B905
                value = self._wrapper.GetTensor(signal.tensor, self._graph)
                result[start : start + taken] = value[:taken] if value.shape[:1] == (self.batch,) else value
            if marks is not None:
                now = time.perf_counter()
                marks.extend(np.linspace(marks[-1], now, taken + 1)[1:])


def _filling(moves: Sequence[tuple[memoryview, memoryview, Sequence[int]]]) -> Iterator[None]:
    """Copy the next row into each of these inputs."""
    for begins in zip(*(places for _, _, places in moves)):  # noqa: B905
        for (target, values, _), begin in zip(moves, begins):  # noqa: B905
            target[:] = values[begin : begin + len(target)]
        yield


def _keeping(into: Sequence[tuple[memoryview, memoryview]]) -> Iterator[None]:
    """Copy each of these outputs to its place for the next row."""
    for row in itertools.count():
        for result, output in into:
            result[row * len(output) : (row + 1) * len(output)] = output
        yield


def _bytes(values: NDArray[Any]) -> memoryview:
    return values.reshape(-1).view(np.uint8).data


def _plain(name: str) -> str:
    name = name[len("serving_default_") :] if name.startswith("serving_default_") else name
    return name.split(":")[0]


def _natural(name: str) -> tuple[str, int]:
    """``output_2`` before ``output_10``."""
    stem, _, number = name.rpartition("_")
    return (stem, int(number)) if stem and number.isdigit() else (name, -1)


def _refused(file: Path, what: str, error: Exception) -> ModelFileError:
    detail = " ".join(str(error).split())[:200]
    return ModelFileError(f"{file} {what} in LiteRT ({detail}): export it and run 'edgetime select' again.")


class Networks(Sequence[LoadedNetwork]):
    """The networks of a policy; those of one file share its interpreter, so that weights are in memory once.

    Parameters
    ----------
    known
        The policy's networks.
    folder
        The policy's folder.
    contents
        Checked content of each file, by its name; those of remote networks alone are missing.
    read
        Gives the checked content of a file that is missing there, when its network is first asked for.
    make
        Makes an interpreter of a file's content.
    """

    def __init__(
        self,
        known: Sequence[PolicyNetwork],
        folder: Path,
        contents: Mapping[str, bytes],
        read: Callable[[PolicyNetwork], bytes],
        make: Callable[[bytes], Any],
    ) -> None:
        self._known = known
        self._folder = folder
        self._read = read
        self._make = make
        self._interpreters: dict[str, Any] = {}
        self._networks = [
            self._open(one, contents[one.file]) if one.file in contents else None for one in known
        ]

    def _open(self, network: PolicyNetwork, content: bytes) -> LoadedNetwork:
        file = self._folder / network.file
        if network.file not in self._interpreters:
            try:
                self._interpreters[network.file] = self._make(content)
            except (ValueError, RuntimeError) as error:
                raise _refused(file, "does not load", error) from error
        return LoadedNetwork(self._interpreters[network.file], network, file)

    def __getitem__(self, index: Any) -> Any:
        found = self._networks[index]
        if found is None:
            found = self._networks[index] = self._open(self._known[index], self._read(self._known[index]))
        return found

    def __len__(self) -> int:
        return len(self._networks)

    def __iter__(self) -> Iterator[LoadedNetwork]:
        return (self[index] for index in range(len(self)))


def make_interpreter(content: bytes, threads: int = 1) -> Any:
    """An interpreter of LiteRT; EdgetimeError where it is not installed."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ModuleNotFoundError:
        try:
            from tflite_runtime.interpreter import Interpreter
        except ModuleNotFoundError:
            raise EdgetimeError(
                "Running a policy needs LiteRT: pip install ai-edge-litert (or tflite-runtime on 32-bit ARM)."
            ) from None
    return Interpreter(model_content=content, num_threads=threads)
