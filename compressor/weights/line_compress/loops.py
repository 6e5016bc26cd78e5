"""The inner loops, compiled by numba: cutting weights into segments of lines, and writing the lines out again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from profiler.errors import MissingExtraError

_Loop = TypeVar("_Loop", bound=Callable[..., Any])

try:
    import numba

    def _compiled(loop: _Loop) -> _Loop:
        compiled: _Loop = numba.njit(cache=True, nogil=True)(loop)
        return compiled

except ModuleNotFoundError:  # pragma: no cover - the message is tested by hiding the package

    def _compiled(loop: _Loop) -> _Loop:
        return loop

    numba = None


def check_installed() -> None:
    """Raise MissingExtraError where numba is not installed: the loops would take minutes for what takes a second."""
    if numba is None:
        raise MissingExtraError(
            'Packing and unpacking weights needs numba: pip install "edgetime[linecompress]".'
        )


@_compiled
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


@_compiled
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


@_compiled
def draw_lines(first: np.ndarray, slope: np.ndarray, lengths: np.ndarray, weights: np.ndarray) -> None:
    """Write the weights on lines given by first value and slope: the paper's decoder, which adds the slope at each step."""
    at = 0
    for run in range(lengths.size):
        value = first[run]
        for _ in range(lengths[run]):
            weights[at] = value
            value = np.float32(value + slope[run])
            at += 1


@_compiled
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


@_compiled
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


@_compiled
def cut_channel(
    weights: np.ndarray,
    factor: np.ndarray,
    lowest: int,
    word_bits: np.ndarray,
    length_bits: np.ndarray,
    price: float,
    bound: float,
    lengths: np.ndarray,
    words: np.ndarray,
) -> tuple[int, int, float]:
    """The cheapest segments for one channel: squared error plus `price` for each bit.

    The error is ||factor e||^2, e = weights - what is decoded, with `factor` lower triangular, transposed and contiguous; where
    it has one row it is the diagonal, and the programme is exact. Else each position keeps its one best way there, with what
    that way's error adds to all weights to come (error feedback, as in GPTQ).

    `weights` and `bound`, the largest error of one weight, are in steps. `word_bits[k]` is the cost of word ``lowest + k``,
    ``length_bits[n]`` that of a segment of n weights.

    Returns the numbers of segments and words that were written to `lengths` and `words`, and the cost.
    """
    count, longest = weights.size, length_bits.size - 1
    highest = lowest + word_bits.size - 1
    full = factor.shape[0] == count and count > 1
    ring = longest + 1
    carried = np.zeros((ring, count if full else 1))
    best = np.full(count + 1, np.inf)
    best[0] = 0.0
    came = np.zeros(count + 1, np.int64)
    first, last = np.zeros(count + 1, np.int64), np.zeros(count + 1, np.int64)
    row_w, row_0, row_1 = 0.0, 0.0, 0.0
    cheapest = word_bits.min()
    for start in range(count):
        slot = start % ring
        if full and start:
            # What the best way to here adds to the weights that are still to come.
            before = came[start]
            n = start - before
            source = before % ring
            for s in range(start, count):
                carried[slot, s] = carried[source, s]
            for k in range(n):
                drawn = first[start] + (last[start] - first[start]) * k / max(n - 1, 1)
                error = weights[before + k] - drawn
                for s in range(start, count):
                    carried[slot, s] += factor[before + k, s] * error
        s_rr = s_r0 = s_r1 = s_00 = s_01 = s_11 = 0.0
        for n in range(1, min(longest, count - start) + 1):
            s = start + n - 1
            if full:
                row_w, row_0, row_1 = carried[slot, s], 0.0, 0.0
                for k in range(n):
                    m = factor[start + k, s]
                    row_w += m * weights[start + k]
                    row_0 += m
                    row_1 += m * k
            else:
                m = factor[0, s]
                row_w, row_0, row_1 = m * weights[s], m, m * (n - 1)
            s_rr += row_w * row_w
            s_r0 += row_w * row_0
            s_r1 += row_w * row_1
            s_00 += row_0 * row_0
            s_01 += row_0 * row_1
            s_11 += row_1 * row_1
            base = best[start] + price * length_bits[n]
            if base >= best[start + n] or length_bits[n] >= 1e9:
                continue
            if n == 1:
                ideal = s_r0 / s_00 if s_00 > 0 else 0.0
                low = int(np.floor(ideal))
                for a in (low, low + 1):
                    a = min(max(a, lowest), highest)
                    if abs(weights[s] - a) > bound:
                        continue
                    cost = base + max(s_rr - 2 * a * s_r0 + a * a * s_00, 0.0) + price * word_bits[a - lowest]
                    if cost < best[start + 1]:
                        best[start + 1], came[start + 1], first[start + 1], last[start + 1] = (
                            cost,
                            start,
                            a,
                            a,
                        )
                continue
            # q = a u + b v with u = p0 - v and v = p1 / (n - 1).
            r_v, v_v, o_v = s_r1 / (n - 1), s_11 / ((n - 1) * (n - 1)), s_01 / (n - 1)
            r_u, u_u, u_v = s_r0 - r_v, s_00 - 2 * o_v + v_v, o_v - v_v
            determinant = u_u * v_v - u_v * u_v
            solvable = determinant > 1e-12 * u_u * v_v
            ideal = (r_u * v_v - r_v * u_v) / determinant if solvable else 0.0
            low = int(np.floor(min(max(ideal, lowest - 1.0), highest + 1.0)))
            other = (r_v - ideal * u_v) / v_v if v_v > 0 else 0.0
            if solvable and base + price * 2 * cheapest + s_rr - ideal * r_u - other * r_v >= best[start + n]:
                continue  # not even the best line of real numbers is good enough
            for a in (low, low + 1):
                a = min(max(a, lowest), highest)
                other = (r_v - a * u_v) / v_v if v_v > 0 else 0.0
                low_b = int(np.floor(min(max(other, lowest - 1.0), highest + 1.0)))
                for b in (low_b, low_b + 1):
                    b = min(max(b, lowest), highest)
                    error = s_rr - 2 * (a * r_u + b * r_v) + a * a * u_u + 2 * a * b * u_v + b * b * v_v
                    cost = base + max(error, 0.0) + price * (word_bits[a - lowest] + word_bits[b - lowest])
                    if cost >= best[start + n]:
                        continue
                    within = True
                    if bound < 1e300:
                        for k in range(n):
                            if abs(weights[start + k] - (a + (b - a) * k / (n - 1))) > bound:
                                within = False
                                break
                    if within:
                        best[start + n], came[start + n], first[start + n], last[start + n] = (
                            cost,
                            start,
                            a,
                            b,
                        )
    if not np.isfinite(best[count]):
        return -1, -1, best[count]
    segments, at = 0, count
    while at > 0:
        segments += 1
        at = came[at]
    at, segment, used = count, segments, 0
    while at > 0:
        segment -= 1
        n = at - came[at]
        lengths[segment] = n
        used += 1 if n == 1 else 2
        at = came[at]
    at, word = count, used
    while at > 0:
        if at - came[at] > 1:
            word -= 1
            words[word] = last[at]
        word -= 1
        words[word] = first[at]
        at = came[at]
    return segments, used, best[count]


@_compiled
def cut_channels(
    weights: np.ndarray,
    steps: np.ndarray,
    factors: np.ndarray,
    lowest: int,
    word_bits: np.ndarray,
    length_bits: np.ndarray,
    price: float,
    bound: float,
    lengths: np.ndarray,
    words: np.ndarray,
) -> tuple[int, int]:
    """`cut_channel` for each row of `weights`; `price` and `bound` are in the units of the weights.

    `factors` has one factor for all channels or one for each. Returns the numbers of segments and words in all; -1 where a
    channel cannot keep within `bound`.
    """
    segments = used = 0
    for channel in range(weights.shape[0]):
        step = float(steps[channel])
        if step == 0:
            continue
        factor = factors[channel if factors.shape[0] > 1 else 0]
        n, m, _ = cut_channel(
            weights[channel] / step, factor, lowest, word_bits, length_bits,
            price / (step * step), bound / step, lengths[segments:], words[used:],
        )  # fmt: skip
        if n < 0:
            return -1, -1
        segments += n
        used += m
    return segments, used


@_compiled
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


@_compiled
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
