"""Other ways to store weights, each counted to the last bit: integers, palettes, sparsity, general compressors."""

from __future__ import annotations

import lzma
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from compressor.weights.line_compress.choice import TensorToPack
from compressor.weights.line_compress.job import Job
from compressor.weights.line_compress.lines import BitCosts, Segments, cut
from compressor.weights.line_compress.tensors import stored_tensors, without_values

_HEADER_BYTES = 8
"""Of each tensor: its sizes and number of bits, which every format needs to say."""


@dataclass(frozen=True)
class Stored:
    """One tensor as a rival stores it: what is decoded, and in how many bytes."""

    rows: npt.NDArray[np.float64]
    nbytes: float


Rival = Callable[[TensorToPack, float], Stored]


def _rounded(
    tensor: TensorToPack, bits: int, feedback: bool = False
) -> tuple[npt.NDArray[np.int64], npt.NDArray]:
    """Integers of so many bits and steps of the channels, clipped where that is best."""
    steps = tensor.clipped_steps(bits)
    half = 1 << (bits - 1)
    if feedback:
        segments = cut(tensor.rows, steps, bits, 0, BitCosts.fixed(bits, 0), factors=tensor.factors)
        assert segments is not None
        steps = segments.steps.astype(np.float64)
        words = np.zeros(tensor.rows.shape, np.int64)
        words[steps != 0] = segments.words.reshape(-1, tensor.rows.shape[1])
        return words, steps
    alive = np.where(steps == 0, 1.0, steps)[:, None]
    return np.clip(np.rint(tensor.rows / alive), -half, half - 1).astype(np.int64), steps


def integers(tensor: TensorToPack, bits: float) -> Stored:
    """Integers, a float16 scale for each channel."""
    words, steps = _rounded(tensor, int(bits))
    return Stored(words * steps[:, None], words.size * int(bits) / 8 + 2 * steps.size)


def integers_fed(tensor: TensorToPack, bits: float) -> Stored:
    """The same, each channel's weights rounded with error feedback on calibration rows (GPTQ)."""
    words, steps = _rounded(tensor, int(bits), feedback=True)
    return Stored(words * steps[:, None], words.size * int(bits) / 8 + 2 * steps.size)


def blocks(tensor: TensorToPack, bits: float) -> Stored:
    """Integers, a float16 scale for each 32 weights."""
    flat = tensor.rows.reshape(-1)
    padded = np.pad(flat, (0, -flat.size % 32)).reshape(-1, 32)
    words, steps = _rounded(TensorToPack(padded), int(bits))
    decoded = (words * steps[:, None]).reshape(-1)[: flat.size].reshape(tensor.rows.shape)
    return Stored(decoded, flat.size * int(bits) / 8 + 2 * steps.size)


def palette(tensor: TensorToPack, bits: float) -> Stored:
    """Weight sharing: k-means of the tensor's weights, so many bits for each index, a float16 for each value."""
    flat = tensor.rows.reshape(-1)
    count = min(1 << int(bits), flat.size)
    values = np.quantile(flat, (np.arange(count) + 0.5) / count)
    for _ in range(25):
        nearest = np.searchsorted((values[1:] + values[:-1]) / 2, flat)
        sums, members = np.bincount(nearest, flat, count), np.bincount(nearest, minlength=count)
        values = np.sort(np.where(members, sums / np.maximum(members, 1), values))
    nearest = np.searchsorted((values[1:] + values[:-1]) / 2, flat)
    return Stored(values[nearest].reshape(tensor.rows.shape), flat.size * int(bits) / 8 + 2 * count)


def sparse(tensor: TensorToPack, share: float) -> Stored:
    """The smallest weights 0, the others in 6 bits; integers entropy-coded with the best fixed table."""
    limit = np.quantile(np.abs(tensor.rows), share)
    words, steps = _rounded(TensorToPack(np.where(np.abs(tensor.rows) < limit, 0.0, tensor.rows)), 6)
    return Stored(words * steps[:, None], _entropy_bytes(words) + 2 * steps.size)


def entropy_coded(tensor: TensorToPack, bits: float) -> Stored:
    """Integers with an entropy coder behind; `bits` may be a fraction: the step between two numbers of bits."""
    words, steps = _finer(tensor, bits)
    return Stored(words * steps[:, None], _entropy_bytes(words) + 2 * steps.size)


def zstd(tensor: TensorToPack, bits: float) -> Stored:
    """Integers, a byte each, through zstd at its highest level."""
    import zstandard

    words, steps = _finer(tensor, bits)
    return Stored(
        words * steps[:, None],
        len(zstandard.ZstdCompressor(level=22).compress(words.astype(np.int8).tobytes())) + 2 * steps.size,
    )


def ethos_u(tensor: TensorToPack, bits: float) -> Stored:
    """Integers through the weight codec of Arm's compiler for Ethos-U."""
    from ethosu import mlw_codec

    words, steps = _finer(tensor, bits)
    return Stored(
        words * steps[:, None],
        len(mlw_codec.encode([int(one) for one in words.reshape(-1)])) + 2 * steps.size,
    )


def _finer(tensor: TensorToPack, bits: float) -> tuple[npt.NDArray[np.int64], npt.NDArray]:
    whole = int(np.ceil(bits))
    steps = np.abs(tensor.rows).max(axis=1) / ((2.0 ** (bits - 1)) - 1)
    alive = np.where(steps == 0, 1.0, steps)[:, None]
    half = 1 << (whole - 1)
    return np.clip(np.rint(tensor.rows / alive), -half, half - 1).astype(np.int64), steps


def _entropy_bytes(words: npt.NDArray[np.int64]) -> float:
    """The table in a byte for each value, and the bits that its shares give."""
    counts = np.bincount((words - words.min()).reshape(-1))
    shares = counts[counts > 0] / words.size
    return counts.size + float(-(counts[counts > 0] * np.log2(shares)).sum()) / 8


def int4_to_train(tensor: TensorToPack) -> Segments:
    """Words of 4 bits without lines, for training as ours are trained."""
    prices = BitCosts.fixed(4, 0)
    segments = cut(tensor.rows, tensor.clipped_steps(4), 4, 0, prices, factors=tensor.factors)
    assert segments is not None
    return segments


WHOLE = [8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0]
HALVES = [8.0, 7.0, 6.5, 6.0, 5.5, 5.0, 4.5, 4.0, 3.5, 3.0]
RIVALS: dict[str, tuple[Rival, list[float]]] = {
    "int8 per channel": (integers, [8.0]),
    "int4 per channel": (integers, [4.0]),
    "int4 in blocks of 32": (blocks, [4.0]),
    "int4 with error feedback": (integers_fed, [4.0]),
    "integers, same bits everywhere": (integers, WHOLE),
    "integers in blocks of 32": (blocks, WHOLE),
    "k-means palette": (palette, WHOLE),
    "sparse, entropy-coded": (sparse, [0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8]),
    "integers, entropy-coded": (entropy_coded, HALVES),
    "integers, zstd": (zstd, HALVES),
    "integers, Ethos-U codec": (ethos_u, HALVES),
}
"""Each rival, and the settings that make it smaller and smaller."""

MIXED = {"mixed integers, clipped": integers, "mixed integers with error feedback": integers_fed}
"""Number of bits for each tensor, chosen as ours are: least loss of the outputs at one price of a bit."""


class Judged:
    """A network whose weights a rival stores: everything else is stored as in a `.lct`."""

    def __init__(self, job: Job, tensors: list[TensorToPack], means: dict[int, npt.NDArray]) -> None:
        self.job, self.tensors, self.means = job, tensors, means
        known = stored_tensors(job.content)
        structure = lzma.compress(bytes(without_values(job.content, known)), preset=9)
        small = sum(min(2, one.dtype.itemsize) * one.size + 1 for one in known if not one.weights)
        self._around_bytes = len(structure) + small

    def network(self, stored: list[Stored]) -> tuple[bytes, float]:
        """The network with decoded weights and corrected biases, and the bytes of its file."""
        content = bytearray(self.job.content)
        for number, one in zip(self.job.weights, stored, strict=True):
            rows = one.rows.astype(np.float32)
            self.job.correct_bias(content, number, rows, self.means)
            self.job.tensors[number].write(content, rows)
        return bytes(content), self._around_bytes + sum(one.nbytes + _HEADER_BYTES for one in stored)

    def mixed(self, rival: Rival) -> list[list[Stored]]:
        """Ways of all tensors at higher and higher prices of a bit."""
        ways = []
        for tensor in self.tensors:
            stored = [rival(tensor, bits) for bits in WHOLE]
            ways.append([(one, tensor.sensitivity * tensor.loss_of(one.rows)) for one in stored])
        found: list[list[Stored]] = []
        for price in np.geomspace(1e-12, 1e2, 400):
            chosen = [min(one, key=lambda way: way[1] + price * way[0].nbytes)[0] for one in ways]
            if not found or any(a is not b for a, b in zip(chosen, found[-1], strict=True)):
                found.append(chosen)
        return found
