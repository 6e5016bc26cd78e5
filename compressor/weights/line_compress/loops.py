"""The inner loops, compiled by numba: runs of level ``paper``, lines written out again, and words in so many bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from profiler.errors import MissingExtraError

_Loop = TypeVar("_Loop", bound=Callable[..., Any])

try:
    import numba
except ModuleNotFoundError:  # pragma: no cover - the message is tested by hiding the package
    numba = None


def compiled(loop: _Loop) -> _Loop:
    """Compile a loop when it first runs; without numba it stays Python."""
    if numba is None:  # pragma: no cover
        return loop
    made: _Loop = numba.njit(cache=True, nogil=True, error_model="numpy")(loop)
    return made


def check_installed() -> None:
    """Raise MissingExtraError where numba is not installed: the loops would take minutes for what takes a second."""
    if numba is None:
        raise MissingExtraError(
            'Packing and unpacking weights needs numba: pip install "edgetime[linecompress]".'
        )


@compiled
def greedy_runs(weights: np.ndarray, tolerance: float, longest: int) -> np.ndarray:
    """Lengths of the runs that stay monotonic up to `tolerance`: no step back is larger, whichever way the run goes."""
    count = weights.size
    lengths = np.empty(count, np.int64)
    runs, start = 0, 0
    while start < count:
        end = start + 1
        rising = falling = True
        while end < count and end - start < longest:
            step = weights[end] - weights[end - 1]
            up, down = rising and step >= -tolerance, falling and step <= tolerance
            if not (up or down):
                break
            rising, falling = up, down
            end += 1
        lengths[runs] = end - start
        runs += 1
        start = end
    return lengths[:runs].copy()


@compiled
def fit_lines(weights: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Value at the first weight and slope of the least-squares line of each run."""
    first, slope = np.empty(lengths.size, np.float32), np.empty(lengths.size, np.float32)
    start = 0
    for run in range(lengths.size):
        n = lengths[run]
        middle = (n - 1) / 2
        mean, tilt, square = 0.0, 0.0, 0.0
        for k in range(n):
            mean += weights[start + k]
            tilt += (k - middle) * weights[start + k]
            square += (k - middle) * (k - middle)
        mean /= n
        rise = tilt / square if n > 1 else 0.0
        first[run] = mean - rise * middle
        slope[run] = rise
        start += n
    return first, slope


@compiled
def draw_lines(first: np.ndarray, slope: np.ndarray, lengths: np.ndarray, weights: np.ndarray) -> None:
    """Write the weights on lines given by first value and slope: the paper's decoder, which adds the slope at each step."""
    at = 0
    for run in range(lengths.size):
        value = first[run]
        for _ in range(lengths[run]):
            weights[at] = value
            value = np.float32(value + slope[run])
            at += 1


@compiled
def draw_segments(
    lengths: np.ndarray, words: np.ndarray, steps: np.ndarray, channel_size: int, weights: np.ndarray
) -> None:
    """Write the weights of all channels: the k-th of a segment from word a to word b is (a (n - 1) + (b - a) k) step / (n - 1).

    One multiplication of float32 numbers follows exact whole numbers, so that every machine gets the same bits. A segment of
    one weight has one word. A channel whose step is 0 has no segments: all of it is 0.

    Eight weights are written at a time whatever the segment's length, what follows it over the excess: no branch has to be
    guessed. So `weights` has room for eight more.
    """
    segment, word = 0, 0
    lanes = np.empty(256, np.float32)
    for channel in range(steps.size):
        at, end = channel * channel_size, (channel + 1) * channel_size
        step = steps[channel]
        if step == 0:
            for position in range(at, end):
                weights[position] = 0
            continue
        lanes[1] = step
        for span in range(1, 8):
            lanes[span + 1] = step / np.float32(span)
        while at < end:
            n = np.int32(lengths[segment])
            segment += 1
            several = np.int32(n > 1)
            a = np.int32(words[word])
            rise = np.int32(words[word + several]) - a
            word += 1 + int(several)
            value = a * (n - several)
            lane = lanes[n]
            for k in range(8):
                weights[at + k] = np.float32(value + rise * np.int32(k)) * lane
            at += int(n)


@compiled
def scale_words(words: np.ndarray, steps: np.ndarray, channel_size: int, weights: np.ndarray) -> None:
    """`draw_segments` where all segments have one weight."""
    word = 0
    for channel in range(steps.size):
        at, step = channel * channel_size, steps[channel]
        if step == 0:
            for k in range(channel_size):
                weights[at + k] = 0
            continue
        for k in range(channel_size):
            weights[at + k] = np.float32(words[word + k]) * step
        word += channel_size


@compiled
def write_bits(values: np.ndarray, width: int, packed: np.ndarray) -> None:
    """Write each value of `width` bits behind the other, least significant bit first."""
    held, bits, at = np.uint64(0), 0, 0
    for i in range(values.size):
        held |= np.uint64(values[i]) << np.uint64(bits)
        bits += width
        while bits >= 8:
            packed[at] = np.uint8(held & np.uint64(255))
            at += 1
            held >>= np.uint64(8)
            bits -= 8
    if bits:
        packed[at] = np.uint8(held & np.uint64(255))


@compiled
def read_bits(packed: np.ndarray, width: int, values: np.ndarray, lowest: int) -> None:
    """Read what `write_bits` wrote, `lowest` added to each value.

    Eight values take `width` bytes, so they are read at once: `packed` has eight bytes and `values` room for eight values more
    than there are.
    """
    mask = np.uint64((1 << width) - 1)
    wide, low = np.uint64(width), np.int64(lowest)
    at = 0
    for first in range(0, values.size - 8, 8):
        held = np.uint64(0)
        for k in range(8):
            held |= np.uint64(packed[at + k]) << np.uint64(8 * k)
        for k in range(8):
            values[first + k] = np.int64((held >> (wide * np.uint64(k))) & mask) + low
        at += width
