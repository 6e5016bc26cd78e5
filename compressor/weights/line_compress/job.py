"""The network that is packed, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from compressor.weights.line_compress.calibration import bias_of
from compressor.weights.line_compress.container import read_lct, write_lct
from compressor.weights.line_compress.lines import Lines
from compressor.weights.line_compress.tensors import StoredTensor, stored_tensors
from profiler.errors import ModelFileError, missing
from profiler.tflite import read_network


@dataclass(frozen=True)
class Job:
    """The network to pack."""

    source: Path
    content: bytes
    tensors: list[StoredTensor]
    entropy: bool

    @classmethod
    def read(cls, source: Path, entropy: bool) -> Job:
        """Read a file; ModelFileError where it is no network, has no weights, or one that is not a number."""
        try:
            content = source.read_bytes()
        except FileNotFoundError:
            raise missing(ModelFileError(f"{source} does not exist: check the name.")) from None
        except OSError as error:
            raise ModelFileError(f"Cannot read {source} ({error.strerror or error}).") from error
        read_network(source)  # says in one sentence what is wrong with a file that is none
        tensors = stored_tensors(content, str(source))
        if not any(tensor.weights for tensor in tensors):
            raise ModelFileError(f"{source} has no weights to pack: name a network with some.")
        for tensor in tensors:
            if not np.isfinite(tensor.read(content)).all():
                raise ModelFileError(
                    f"{source}: tensor {tensor.name!r} holds NaN or infinity, which no line can follow: train it again."
                )
        return cls(source, content, tensors, entropy)

    @property
    def weights(self) -> list[int]:
        """Positions of the tensors that are packed."""
        return [number for number, tensor in enumerate(self.tensors) if tensor.weights]

    @property
    def float32_bytes(self) -> int:
        """Size of the file with all weights in float32."""
        return len(self.content) + sum(
            (4 - tensor.dtype.itemsize) * tensor.size for tensor in self.tensors if tensor.weights
        )

    def write(self, lines: Sequence[Lines], means: Mapping[int, npt.NDArray]) -> PackedNetwork:
        """The packed network. `means` is what weights see on average: biases make up for what their error then adds."""
        corrected = bytearray(self.content)
        for number, one in zip(self.weights, lines, strict=True):
            self.correct_bias(corrected, number, one.weights(), means)
        return self.write_with(bytes(corrected), lines)

    def write_with(self, corrected: bytes, lines: Sequence[Lines]) -> PackedNetwork:
        """The packed network with the biases of `corrected`."""
        return PackedNetwork(write_lct(corrected, lines, self.entropy), list(lines), corrected)

    def with_one(self, number: int, lines: Lines, means: Mapping[int, npt.NDArray]) -> bytes:
        """The network with one tensor's weights decoded from lines, all else as it was."""
        changed = bytearray(self.content)
        self.correct_bias(changed, number, lines.weights(), means)
        self.tensors[number].write(changed, lines.weights())
        return bytes(changed)

    def correct_bias(
        self, content: bytearray, number: int, rows: npt.NDArray, means: Mapping[int, npt.NDArray]
    ) -> None:
        """Let a tensor's bias make up for what `rows` in place of its weights add on average."""
        tensor = self.tensors[number]
        bias = bias_of(tensor, self.tensors)
        if bias is not None and number in means:
            lost = ((tensor.read(self.content) - rows) * means[number]).sum(axis=1)
            bias.write(content, bias.read(self.content).reshape(-1) + lost)


@dataclass(frozen=True)
class PackedNetwork:
    """A `.lct` that is not written yet, and the `.tflite` whose biases it has."""

    content: bytes
    lines: list[Lines]
    corrected: bytes

    def tflite(self) -> bytes:
        """The network with decoded weights."""
        return read_lct(self.content)
