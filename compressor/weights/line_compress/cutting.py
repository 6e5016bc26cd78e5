"""The dynamic programme that cuts a channel's weights into segments of lines, compiled by numba.

`_line` weighs one segment. `_cut_plain` has all of them weighed with the same operations in a row, which the compiler turns
into vector instructions, before it chooses; `_cut_fed` goes from weight to weight, since each choice changes what follows.
"""

from __future__ import annotations

import numpy as np

from compressor.weights.line_compress.loops import compiled


@compiled
def _clamped(value: float, low: float, high: float) -> float:
    value = value if value > low else low
    return value if value < high else high


@compiled
def _line(
    rr: float, ru: float, rv: float, uu: float, uv: float, vv: float, lowest: int, highest: int,
    words: np.ndarray, limit: float,
) -> tuple[float, float, float]:  # fmt: skip
    """Cost of the best segment from word a to word b, its error ||r - a u - b v||^2 and the price of the words; and a and b.

    Given are the products of r, u and v. For words of one price it is exact: the error is steeper in a, with the best b for it,
    than a whole number's rounding of b can make up for, so that a is one of the two nearest to the ideal. Infinite where not even
    the best line of real numbers, its words free, costs less than `limit`.
    """
    low, high = float(lowest), float(highest)
    determinant = uu * vv - uv * uv
    solvable = determinant > 1e-12 * uu * vv
    ideal = (ru * vv - rv * uv) / determinant if solvable else 0.0
    if solvable and rr - ideal * ru - (rv - ideal * uv) / vv * rv >= limit:
        return np.inf, low, low
    # Where the best b is out of reach, the best a is that for the nearest one within; elsewhere this changes nothing.
    if solvable:
        ideal = (ru - _clamped((rv - ideal * uv) / vv, low, high) * uv) / uu
    first = np.floor(min(max(ideal, low), high))
    best, best_a, best_b = np.inf, low, low
    for i in range(2):
        a = min(first + i, high)
        other = (rv - a * uv) / vv if vv > 0 else 0.0
        second = np.floor(min(max(other, low), high))
        of_a = rr + a * (a * uu - 2 * ru)
        slope = 2 * (a * uv - rv)
        for j in range(2):
            b = min(second + j, high)
            cost = max(of_a + b * (b * vv + slope), 0.0)
            cost += words[int(a) - lowest] + words[int(b) - lowest]
            better = cost < best
            best = cost if better else best
            best_a = a if better else best_a
            best_b = b if better else best_b
    return best, best_a, best_b


@compiled
def _point(
    rr: float, ru: float, uu: float, lowest: int, highest: int, words: np.ndarray
) -> tuple[float, float]:
    """`_line` for one weight: cost of the best word a of error ||r - a u||^2, and a."""
    low, high = float(lowest), float(highest)
    first = np.floor(min(max(ru / uu if uu > 0 else 0.0, low), high))
    best, best_a = np.inf, low
    for i in range(2):
        a = min(first + i, high)
        cost = max(rr + a * (a * uu - 2 * ru), 0.0) + words[int(a) - lowest]
        better = cost < best
        best = cost if better else best
        best_a = a if better else best_a
    return best, best_a


@compiled
def _bounded(
    weights: np.ndarray, n: int, lowest: int, highest: int, words: np.ndarray, bound: float
) -> tuple[float, float, float]:
    """`_line` for the first `n` weights, none of which may be off by more than `bound`; infinite where that is so for all."""
    ru = rv = uu = uv = vv = 0.0
    for k in range(n):
        v = k / (n - 1) if n > 1 else 0.0
        u = 1 - v
        ru += u * weights[k]
        rv += v * weights[k]
        uu += u * u
        uv += u * v
        vv += v * v
    determinant = uu * vv - uv * uv
    ideal = (ru * vv - rv * uv) / determinant if n > 1 else weights[0]
    if n > 1:
        ideal = (ru - _clamped((rv - ideal * uv) / vv, float(lowest), float(highest)) * uv) / uu
    first = int(np.floor(min(max(ideal, lowest), highest)))
    best, best_a, best_b = np.inf, 0.0, 0.0
    for a in range(first, min(first + 1, highest) + 1):
        second = int(np.floor(min(max((rv - a * uv) / vv, lowest), highest))) if n > 1 else a
        for b in range(second, min(second + 1, highest) + 1 if n > 1 else a + 1):
            error, furthest = 0.0, 0.0
            for k in range(n):
                off = weights[k] - (a + (b - a) * k / max(n - 1, 1))
                error += off * off
                furthest = max(furthest, abs(off))
            cost = error + words[a - lowest] + (words[b - lowest] if n > 1 else 0.0)
            if furthest <= bound and cost < best:
                best, best_a, best_b = cost, float(a), float(b)
    return best, best_a, best_b


@compiled
def _weigh(
    weights: np.ndarray, n: int, sums: np.ndarray, lowest: int, highest: int, words: np.ndarray, flat: bool,
    bound: float, costs: np.ndarray,
) -> None:  # fmt: skip
    """Costs of the segments of `n` weights from each start on; `sums` of w^2, w and k w take in their last weight."""
    starts = weights.size - n + 1
    squares, plain, tilted, last = sums[0, :starts], sums[1, :starts], sums[2, :starts], weights[n - 1 :]
    for s in range(starts):
        squares[s] += last[s] * last[s]
        plain[s] += last[s]
        tilted[s] += (n - 1) * last[s]
    if bound < 1e300:
        for s in range(starts):
            costs[s] = _bounded(weights[s:], n, lowest, highest, words, bound)[0]
        return
    if n == 1:
        for s in range(starts):
            costs[s] = _point(squares[s], plain[s], 1.0, lowest, highest, words)[0]
        return
    scale = 1.0 / (n - 1)
    vv = (2 * n - 1) * n * scale / 6
    uv = n * 0.5 - vv
    if flat:
        # `_line` without a branch, for vector instructions: the best b for an a is the nearest whole number.
        low, high = float(lowest), float(highest)
        of_u, of_v, of_a = vv / (vv * vv - uv * uv), -uv / (vv * vv - uv * uv), -uv / vv
        both, of_b = 2 * words[0], 1 / vv
        for s in range(starts):
            rv = tilted[s] * scale
            ru = plain[s] - rv
            b = _clamped(rv * of_b + (ru * of_u + rv * of_v) * of_a, low, high)
            a = np.floor(_clamped(ru * of_b + b * of_a, low, high))
            b = np.floor(_clamped(rv * of_b + a * of_a, low, high) + 0.5)
            cost = a * (a * vv - 2 * ru) + b * (b * vv + 2 * (a * uv - rv))
            a = _clamped(a + 1, low, high)
            b = np.floor(_clamped(rv * of_b + a * of_a, low, high) + 0.5)
            other = a * (a * vv - 2 * ru) + b * (b * vv + 2 * (a * uv - rv))
            costs[s] = squares[s] + (cost if cost < other else other) + both
    else:
        for s in range(starts):
            rv = tilted[s] * scale
            costs[s] = _line(squares[s], plain[s] - rv, rv, vv, uv, vv, lowest, highest, words, np.inf)[0]


@compiled
def _cut_plain(
    weights: np.ndarray, lowest: int, words: np.ndarray, lengths: np.ndarray, bound: float,
    costs: np.ndarray, came: np.ndarray, first: np.ndarray, last: np.ndarray,
) -> bool:  # fmt: skip
    """`_cut_fed` where all weights count the same and their errors stay where they are: exact for words of one price."""
    count, longest, highest = weights.size, lengths.size - 1, lowest + words.size - 1
    flat = words.min() == words.max()
    sums = np.zeros((3, count))
    for n in range(1, min(longest, count) + 1):
        _weigh(weights, n, sums, lowest, highest, words, flat, bound, costs[n])
    best = np.empty(count + 1)
    best[0] = 0.0
    for end in range(1, count + 1):
        least, length = np.inf, 1
        for n in range(1, min(longest, end) + 1):
            cost = best[end - n] + costs[n, end - n] + lengths[n]
            if cost < least:
                least, length = cost, n
        best[end] = least
        came[end] = end - length
    if not np.isfinite(best[count]):
        return False
    end = count
    while end > 0:
        start = came[end]
        first[end], last[end] = _ends(weights[start:end], lowest, highest, words, bound)
        end = start
    return True


@compiled
def _ends(
    weights: np.ndarray, lowest: int, highest: int, words: np.ndarray, bound: float
) -> tuple[float, float]:
    """The words of the segment that is all of `weights`."""
    n = weights.size
    if bound < 1e300:
        _, a, b = _bounded(weights, n, lowest, highest, words, bound)
        return a, b
    squares = plain = tilted = 0.0
    for k in range(n):
        squares += weights[k] * weights[k]
        plain += weights[k]
        tilted += k * weights[k]
    if n == 1:
        _, a = _point(squares, plain, 1.0, lowest, highest, words)
        return a, a
    scale = 1.0 / (n - 1)
    vv = (2 * n - 1) * n * scale / 6
    rv = tilted * scale
    _, a, b = _line(squares, plain - rv, rv, vv, n * 0.5 - vv, vv, lowest, highest, words, np.inf)
    return a, b


@compiled
def _cut_fed(
    weights: np.ndarray, factor: np.ndarray, lowest: int, words: np.ndarray, lengths: np.ndarray,
    came: np.ndarray, first: np.ndarray, last: np.ndarray,
) -> None:  # fmt: skip
    """The cheapest segments for one channel, where the best way to each end began (`came`) and its last segment's words.

    The error is ||factor e||^2, e = weights - what is decoded, with `factor` lower triangular, transposed and contiguous. Each
    position keeps its one best way there, with what that way's error adds to all weights to come (error feedback, as in GPTQ).
    """
    count, longest, highest = weights.size, lengths.size - 1, lowest + words.size - 1
    ring = longest + 1
    carried = np.zeros((ring, count))
    best = np.full(count + 1, np.inf)
    best[0] = 0.0
    cheapest = words.min()
    for start in range(count):
        row = carried[start % ring, start:]
        if start:
            # What the best way to here adds to the weights that are still to come.
            before = came[start]
            n = start - before
            row[:] = carried[before % ring, start:]
            for k in range(n):
                drawn = first[start] + (last[start] - first[start]) * k / max(n - 1, 1)
                error = weights[before + k] - drawn
                reach = factor[before + k, start:]
                for s in range(row.size):
                    row[s] += reach[s] * error
        s_rr = s_r0 = s_r1 = s_00 = s_01 = s_11 = 0.0
        for n in range(1, min(longest, count - start) + 1):
            row_w, row_0, row_1 = row[n - 1], 0.0, 0.0
            for k in range(n):
                m = factor[start + k, start + n - 1]
                row_w += m * weights[start + k]
                row_0 += m
                row_1 += m * k
            s_rr += row_w * row_w
            s_r0 += row_w * row_0
            s_r1 += row_w * row_1
            s_00 += row_0 * row_0
            s_01 += row_0 * row_1
            s_11 += row_1 * row_1
            base = best[start] + lengths[n]
            if base + cheapest >= best[start + n]:
                continue
            if n == 1:
                cost, a = _point(s_rr, s_r0, s_00, lowest, highest, words)
                b = a
            else:
                # q = a u + b v with u = p0 - v and v = p1 / (n - 1).
                scale = 1.0 / (n - 1)
                r_v, v_v, o_v = s_r1 * scale, s_11 * scale * scale, s_01 * scale
                cost, a, b = _line(
                    s_rr, s_r0 - r_v, r_v, s_00 - 2 * o_v + v_v, o_v - v_v, v_v, lowest, highest, words,
                    best[start + n] - base - 2 * cheapest,
                )  # fmt: skip
            if base + cost < best[start + n]:
                best[start + n], came[start + n], first[start + n], last[start + n] = base + cost, start, a, b


@compiled
def _write(
    came: np.ndarray, first: np.ndarray, last: np.ndarray, count: int, lengths: np.ndarray, words: np.ndarray
) -> tuple[int, int]:
    """Write the segments of the best way, and how many segments and words there are."""
    segments = used = 0
    at = count
    while at > 0:
        segments += 1
        used += 1 if at - came[at] == 1 else 2
        at = came[at]
    at, segment, word = count, segments, used
    while at > 0:
        segment -= 1
        lengths[segment] = at - came[at]
        if at - came[at] > 1:
            word -= 1
            words[word] = last[at]
        word -= 1
        words[word] = first[at]
        at = came[at]
    return segments, used


@compiled
def cut_channels(
    weights: np.ndarray, steps: np.ndarray, factors: np.ndarray, lowest: int, word_bits: np.ndarray,
    length_bits: np.ndarray, price: float, bound: float, lengths: np.ndarray, words: np.ndarray,
) -> tuple[int, int]:  # fmt: skip
    """The cheapest segments for each row of `weights`: squared error plus `price` for each bit.

    `factors` has one factor for all channels or one for each, see `_cut_fed`, or none: then all weights count the same.
    `word_bits[k]` is the cost of word ``lowest + k``, ``length_bits[n]`` that of a segment of n weights; `bound` is the largest
    error of one weight, which only plain cutting knows. Returns the numbers of segments and words in all, which are written to
    `lengths` and `words`; -1 where a channel cannot keep within `bound`.
    """
    segments = used = 0
    count = weights.shape[1]
    came, first, last = np.zeros(count + 1, np.int64), np.zeros(count + 1), np.zeros(count + 1)
    costs = np.empty((length_bits.size, count))
    for channel in range(weights.shape[0]):
        step = float(steps[channel])
        if step == 0:
            continue
        row, unit = weights[channel] / step, price / (step * step)
        if factors.shape[0] == 0:
            done = _cut_plain(
                row, lowest, unit * word_bits, unit * length_bits, bound / step, costs, came, first, last
            )
            if not done:
                return -1, -1
        else:
            factor = factors[channel if factors.shape[0] > 1 else 0]
            _cut_fed(row, factor, lowest, unit * word_bits, unit * length_bits, came, first, last)
        n, m = _write(came, first, last, count, lengths[segments:], words[used:])
        segments += n
        used += m
    return segments, used
