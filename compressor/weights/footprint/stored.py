"""How many bits each layer's weights take in a file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from compressor.weights.line_compress import block_bytes, read_lct, stored_tensors
from profiler.errors import ModelFileError, missing
from profiler.tflite import read_network


@dataclass(frozen=True)
class StoredNetwork:
    """A network, and in how many bits a packed file has the weights of each layer.

    Parameters
    ----------
    content
        The `.tflite`, with decoded weights.
    layer_weights
        Number of weights of each layer; 0 where it has none.
    packed_bits
        Bits for each weight of each layer in the packed file, scales and tables counted; None for a layer without packed
        weights, and where the file is not packed.
    """

    content: bytes
    layer_weights: tuple[int, ...]
    packed_bits: tuple[float | None, ...] | None

    def all_in(self, bits: float) -> tuple[float | None, ...]:
        """The same bits for the weights of every layer."""
        return tuple(bits if count else None for count in self.layer_weights)

    def mean_bits(self, layer_bits: tuple[float | None, ...]) -> float:
        """Bits for each weight on average."""
        pairs = [
            (count, bits)
            for count, bits in zip(self.layer_weights, layer_bits, strict=True)
            if bits is not None
        ]
        return sum(count * bits for count, bits in pairs) / max(sum(count for count, _ in pairs), 1)


def read_stored(path: str | os.PathLike[str]) -> StoredNetwork:
    """Read a `.lct` or a `.tflite`; ModelFileError where it is missing, damaged or without weights."""
    file = Path(path)
    packed = file.suffix == ".lct"
    try:
        content = read_lct(file) if packed else file.read_bytes()
    except FileNotFoundError:
        raise missing(ModelFileError(f"{file} does not exist: check the name.")) from None
    except OSError as error:
        raise ModelFileError(f"Cannot read {file} ({error.strerror or error}).") from error
    layers = read_network(content, name=str(file)).layers
    counts = [0] * len(layers)
    bits: list[float | None] = [None] * len(layers)
    tensors = [tensor for tensor in stored_tensors(content, str(file)) if tensor.weights]
    sizes = block_bytes(file) if packed else [tensor.nbytes for tensor in tensors]
    for tensor, nbytes in zip(tensors, sizes, strict=True):
        if tensor.operator >= 0:
            counts[tensor.operator] += tensor.size
            bits[tensor.operator] = 8 * nbytes / tensor.size
    if not any(counts):
        raise ModelFileError(f"{file} has no layer with weights: name a network with some.")
    return StoredNetwork(content, tuple(counts), tuple(bits) if packed else None)
