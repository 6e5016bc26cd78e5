"""Running a `.tflite` file on rows of data with LiteRT, for its answers and not for its speed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from compressor.export.freezing import argument_names
from compressor.export.silence import quiet
from profiler.errors import DataError, EdgetimeError, ModelFileError, missing


class TfliteRunner:
    """A `.tflite` network (a file or its bytes) that predicts like a Keras model; ModelFileError where LiteRT does not load it."""

    def __init__(self, source: str | os.PathLike[str] | bytes, name: str | None = None) -> None:
        self.name = name or ("the network" if isinstance(source, bytes) else str(source))
        content = source if isinstance(source, bytes) else _read(Path(source))
        try:
            with quiet():
                self._interpreter = interpreter_class()(model_content=content, num_threads=1)
                self._close_batch()
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            detail = " ".join(str(error).split())[:200]
            raise ModelFileError(f"LiteRT does not load {self.name} ({detail}): export it again.") from error
        self._inputs = self._ordered("inputs", self._interpreter.get_input_details())
        self._outputs = self._ordered("outputs", self._interpreter.get_output_details())

    @property
    def input_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each input with its batch, by name."""
        return {name: tuple(int(n) for n in detail["shape"]) for name, detail in self._inputs.items()}

    @property
    def input_dtypes(self) -> dict[str, str]:
        """Type of each input, by name."""
        return {name: np.dtype(detail["dtype"]).name for name, detail in self._inputs.items()}

    @property
    def output_dtypes(self) -> dict[str, str]:
        """Type of each output, by name."""
        return {name: np.dtype(detail["dtype"]).name for name, detail in self._outputs.items()}

    def predict(self, x: npt.ArrayLike | Mapping[str, npt.ArrayLike], verbose: Any = None) -> Any:
        """Outputs [rows, ...] for rows of the only input, or of each by its name; a list in the file's order if several.

        Integer inputs of quantised networks take floats too, and outputs that stand for real numbers are float32: the file's own
        scale is applied. `verbose` is ignored; Keras models take it.
        """
        rows = self._checked(x)
        count = len(next(iter(rows.values())))
        batched = all(len(detail["shape"]) > 0 for detail in self._inputs.values())
        batch = int(next(iter(self._inputs.values()))["shape"][0]) if batched else 1
        collected: list[list[npt.NDArray]] = [[] for _ in self._outputs]
        for start in range(0, count, batch):
            taken = min(batch, count - start)
            for name, detail in self._inputs.items():
                part = rows[name][start : start + taken]
                if taken < batch:
                    part = np.concatenate([part, np.repeat(part[-1:], batch - taken, axis=0)])
                self._interpreter.set_tensor(detail["index"], part.reshape(detail["shape"]))
            self._invoke()
            for kept, detail in zip(collected, self._outputs.values(), strict=True):
                value = _as_real(self._interpreter.get_tensor(detail["index"]), detail)
                kept.append(value[:taken] if value.shape[:1] == (batch,) else value[None])
        outputs = [np.concatenate(kept) for kept in collected]
        return outputs[0] if len(outputs) == 1 else outputs

    def __call__(self, x: npt.ArrayLike | Mapping[str, npt.ArrayLike], training: bool = False) -> Any:
        """The same as `predict`, as Keras models allow."""
        return self.predict(x)

    def _invoke(self) -> None:
        try:
            self._interpreter.invoke()
        except (ValueError, RuntimeError) as error:
            detail = " ".join(str(error).split())[:200]
            raise ModelFileError(f"LiteRT fails on {self.name} ({detail}): export it again.") from error

    def _close_batch(self) -> None:
        """Take open dimensions of the batch as 1."""
        for detail in self._interpreter.get_input_details():
            signature = [int(n) for n in detail["shape_signature"]]
            if signature and signature[0] == -1:
                self._interpreter.resize_tensor_input(detail["index"], [1, *detail["shape"][1:]])

    def _ordered(self, kind: str, details: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """Tensors by the names of the file's only signature and in its order; else as the file names them."""
        signatures = self._interpreter.get_signature_list()
        if len(signatures) == 1:
            (key,) = signatures
            runner = self._interpreter.get_signature_runner(key)
            named = runner.get_input_details() if kind == "inputs" else runner.get_output_details()
            by_index = {detail["index"]: detail for detail in details}
            if all(detail["index"] in by_index for detail in named.values()) and len(named) == len(details):
                return {name: by_index[named[name]["index"]] for name in sorted(named, key=_natural)}
        return {detail["name"].removeprefix("serving_default_").split(":")[0]: detail for detail in details}

    def _checked(self, x: npt.ArrayLike | Mapping[str, npt.ArrayLike]) -> dict[str, npt.NDArray]:
        if not isinstance(x, Mapping):
            if len(self._inputs) > 1:
                raise DataError(
                    f"{self.name} has the inputs {', '.join(self._inputs)}: give rows of each by name."
                )
            x = {next(iter(self._inputs)): x}
        elif len(x) == 1 == len(self._inputs):
            x = {next(iter(self._inputs)): next(iter(x.values()))}
        else:  # the names of a Keras model stand in the file as far as they are identifiers
            x = {plain: x[given] for given, plain in argument_names(x).items()} | dict(x)
        rows = {}
        for name, detail in self._inputs.items():
            if name not in x:
                raise DataError(f"{self.name} takes an input '{name}': give rows of that name.")
            array = np.asarray(x[name])
            wanted = tuple(int(n) for n in detail["shape"][1:])
            if array.shape[1:] != wanted:
                raise DataError(
                    f"Rows have shape {array.shape[1:]}, but {self.name} takes {wanted}: "
                    "reshape them, or name the data that belongs to this network."
                )
            if not len(array):
                raise DataError(f"There are no rows to run {self.name} on.")
            rows[name] = _as_stored(array, detail)
        return rows


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise missing(ModelFileError(f"{path} does not exist: check the name.")) from None
    except OSError as error:
        raise ModelFileError(f"Cannot read {path} ({error.strerror or error}).") from error


def interpreter_class() -> Any:
    """LiteRT's interpreter, or that of tflite-runtime; EdgetimeError where neither is installed."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ModuleNotFoundError:
        try:
            from tflite_runtime.interpreter import Interpreter
        except ModuleNotFoundError:
            raise EdgetimeError(
                "Running a network needs LiteRT: pip install ai-edge-litert (or tflite-runtime on "
                "32-bit ARM)."
            ) from None
    return Interpreter


def _as_stored(array: npt.NDArray, detail: Mapping[str, Any]) -> npt.NDArray:
    """Rows in the type that the input has; floats are quantised where the input is."""
    dtype = np.dtype(detail["dtype"])
    scale, zero = detail["quantization"]
    if dtype.kind in "iu" and scale and (array.dtype.kind == "f" or array.dtype != dtype):
        limits = np.iinfo(dtype)
        return np.clip(np.round(array / np.float32(scale)) + zero, limits.min, limits.max).astype(dtype)
    return array.astype(dtype, copy=False)


def _as_real(value: npt.NDArray, detail: Mapping[str, Any]) -> npt.NDArray:
    """Values as they are meant; integers that stand for real numbers become float32."""
    scale, zero = detail["quantization"]
    if value.dtype.kind in "iu" and scale:
        return (value.astype(np.float32) - zero) * np.float32(scale)
    return np.array(value)


def _natural(name: str) -> tuple[str, int]:
    """``output_2`` before ``output_10``."""
    stem, _, number = name.rpartition("_")
    return (stem, int(number)) if stem and number.isdigit() else (name, -1)
