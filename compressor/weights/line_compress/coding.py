"""Lengths and words as bytes: in so many bits each, which a small decoder streams, or entropy-coded (package constriction)."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from compressor.weights.line_compress import loops
from compressor.weights.line_compress.lines import LONGEST, Lines, Runs, Segments
from profiler.errors import MissingExtraError

RUNS, FIXED, ENTROPY = 1, 2, 3
_Integers = npt.NDArray[np.integer[Any]]
_SIZES = struct.Struct("<II")
_HEAD = struct.Struct("<fBBII")
_TABLE = struct.Struct("<bH")


class CodingError(ValueError):
    """The bytes are not those of lines."""


def encode(lines: Lines, entropy: bool) -> bytes:
    """The bytes of one tensor's lines, the kind first; entropy-coded only where that is shorter."""
    if isinstance(lines, Runs):
        parts = (lines.lengths, lines.first.astype("<f4"), lines.slope.astype("<f4"))
        head = _SIZES.pack(lines.channels, lines.lengths.size)
        return bytes([RUNS]) + head + b"".join(part.tobytes() for part in parts)
    head = _HEAD.pack(lines.top, lines.word_bits, lines.length_bits, lines.lengths.size, lines.words.size)
    codes = struct.pack("<I", lines.codes.size) + lines.codes.tobytes()
    lengths, words = lines.lengths.astype(np.int64) - 1, lines.words.astype(np.int64)
    lowest = -(1 << (lines.word_bits - 1))
    fixed = _fixed(lengths, lines.length_bits) + _fixed(words - lowest, lines.word_bits)
    if entropy:
        body = _entropy_coded(lengths) + _entropy_coded(words)
        if len(body) < len(fixed):  # else the tables cost more than they save
            return bytes([ENTROPY]) + head + codes + body
    return bytes([FIXED]) + head + codes + fixed


def decode(data: bytes, channels: int, size: int) -> Lines:
    """What `encode` was given, for a tensor of so many channels of so many weights; CodingError for anything else."""
    try:
        lines = _decode(memoryview(data), channels, size)
    except (struct.error, ValueError, IndexError) as error:
        raise CodingError(str(error)) from error
    alive = channels if isinstance(lines, Runs) else int(np.count_nonzero(lines.steps))
    if int(lines.lengths.sum(dtype=np.int64)) != alive * size or lines.lengths.min(initial=1) < 1:
        raise CodingError("segments that do not fill the tensor")
    return lines


def _decode(data: memoryview, channels: int, size: int) -> Lines:
    kind, data = data[0], data[1:]
    if kind == RUNS:
        stored, runs = _SIZES.unpack_from(data)
        if stored != channels or len(data) != _SIZES.size + 9 * runs:
            raise CodingError("runs of another tensor")
        run_lengths = np.frombuffer(data, np.uint8, runs, _SIZES.size)
        lines = np.frombuffer(data, "<f4", 2 * runs, _SIZES.size + runs).astype(np.float32)
        return Runs(channels, size, run_lengths, lines[:runs], lines[runs:])
    if kind not in (FIXED, ENTROPY):
        raise CodingError(f"lines of the unknown kind {kind}")
    top, word_bits, length_bits, segments, words = _HEAD.unpack_from(data)
    if not (
        2 <= word_bits <= 8 and length_bits <= 3 and segments <= channels * size and words <= 2 * segments
    ):
        raise CodingError("numbers that no writer writes")
    data = data[_HEAD.size :]
    (stored,) = struct.unpack_from("<I", data)
    if stored != channels:
        raise CodingError("steps of another tensor")
    codes = np.frombuffer(data, np.uint8, channels, 4)
    data = data[4 + channels :]
    if kind == FIXED:
        lengths, data = _read_fixed(data, segments, length_bits, 1)
        values, data = _read_fixed(data, words, word_bits, -(1 << (word_bits - 1)))
    else:
        lengths, data = _read_entropy_coded(data, segments, 1)
        values, data = _read_entropy_coded(data, words, 0)
    longest = int(lengths.max(initial=1))
    if len(data) or longest > LONGEST or lengths.size + int(np.count_nonzero(lengths > 1)) != words:
        raise CodingError("words that do not fit the segments")
    return Segments(
        top, codes, size, lengths.astype(np.uint8), values.astype(np.int8, copy=False), word_bits, length_bits
    )


def _fixed(values: npt.NDArray[np.int64], width: int) -> bytes:
    packed = np.zeros((values.size * width + 7) // 8, np.uint8)
    if width:
        loops.write_bits(values, width, packed)
    return packed.tobytes()


def _read_fixed(data: memoryview, count: int, width: int, lowest: int) -> tuple[_Integers, memoryview]:
    nbytes = (count * width + 7) // 8
    if len(data) < nbytes:
        raise CodingError("a stream that was cut off")
    if not width or not count:
        return np.full(count, lowest, np.int8), data[nbytes:]
    values = np.empty((count + 7) // 8 * 8 + 8, np.int8)
    # The loop reads whole groups of eight values, and eight bytes for each.
    padded = np.zeros((count + 7) // 8 * width + 8, np.uint8)
    padded[:nbytes] = np.frombuffer(data, np.uint8, nbytes)
    loops.read_bits(padded, width, values, lowest)
    return values[:count], data[nbytes:]


def _entropy_coded(values: npt.NDArray[np.int64]) -> bytes:
    """A table of how often each value comes, in a byte each, and the stream."""
    if not values.size:
        return _TABLE.pack(0, 0)
    lowest = int(values.min())
    counts = np.bincount(values - lowest)
    shares = np.where(counts, np.maximum(np.rint(counts * (255 / counts.max())), 1), 0).astype(np.uint8)
    head = _TABLE.pack(lowest, shares.size) + shares.tobytes()
    if shares.size == 1:
        return head
    _, model = _model(shares)
    place = np.cumsum(shares > 0) - 1
    coder = _coder()
    coder.encode_reverse(place[values - lowest].astype(np.int32), model)
    stream = coder.get_compressed().astype("<u4")
    return head + struct.pack("<I", stream.size) + stream.tobytes()


def _read_entropy_coded(data: memoryview, count: int, more: int) -> tuple[_Integers, memoryview]:
    lowest, kinds = _TABLE.unpack_from(data)
    lowest += more
    data = data[_TABLE.size :]
    if not count or not kinds:
        if count or kinds:
            raise CodingError("an empty stream")
        return np.zeros(0, np.int64), data
    shares, data = np.frombuffer(data, np.uint8, kinds), data[kinds:]
    if kinds == 1:
        return np.full(count, lowest, np.int64), data
    (words,) = struct.unpack_from("<I", data)
    stream, data = np.frombuffer(data, "<u4", words, 4).astype(np.uint32), data[4 + 4 * words :]
    symbols, model = _model(shares)
    return symbols[_coder(stream).decode(model, count)] + lowest, data


def _model(shares: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.int64], Any]:
    """The values that come, and how often, as constriction wants it."""
    constriction = _constriction()
    symbols = np.flatnonzero(shares)
    parts = shares[symbols].astype(np.float64)
    return symbols, constriction.stream.model.Categorical(parts / parts.sum(), perfect=False)


def _coder(stream: npt.NDArray[np.uint32] | None = None) -> Any:
    coder = _constriction().stream.stack.AnsCoder
    return coder() if stream is None else coder(stream)


def _constriction() -> Any:
    try:
        import constriction
    except ModuleNotFoundError:
        raise MissingExtraError(
            'Entropy-coded weights need constriction: pip install "edgetime[linecompress]", or pack with --coding fixed.'
        ) from None
    return constriction
