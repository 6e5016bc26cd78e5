"""Weights as segments of lines: what is stored for one tensor, and the weights that come back from it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from compressor.weights.line_compress import loops
from compressor.weights.line_compress.cutting import cut_channels

LONGEST = 8
"""Weights of the longest segment: a length is at most 3 bits."""

LONGEST_RUN = 255
"""Weights of the longest run of level ``paper``: a length is a byte."""

DEAD = 255
"""Code of the step of a channel that is all 0."""

_PER_OCTAVE = 16
# 2 ** (-k / 16), written out: every machine must have the same bits.
_FRACTIONS = np.array(
    [
        1.0, 0.9576032757759094, 0.9170040488243103, 0.8781260848045349, 0.8408964276313782, 0.8052451610565186,
        0.7711054086685181, 0.7384130954742432, 0.7071067690849304, 0.6771277785301208, 0.6484197974205017,
        0.620928943157196, 0.5946035385131836, 0.5693942904472351, 0.5452538728713989, 0.522136926651001,
    ],
    np.float32,
)  # fmt: skip


def steps_of(top: float, codes: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """The step of each channel: `top` times 2 to the power of -code / 16; 0 for `DEAD`."""
    scale = np.ldexp(_FRACTIONS[codes % _PER_OCTAVE], -(codes // _PER_OCTAVE).astype(np.int32))
    return np.where(codes == DEAD, np.float32(0), np.float32(top) * scale.astype(np.float32))


def coded_steps(steps: npt.NDArray[np.float64], up: bool = False) -> tuple[float, npt.NDArray[np.uint8]]:
    """The nearest steps that can be stored, or with `up` the next larger ones: their largest, and the codes of all.

    Channels with a step of 0 are dead, those with one 60,000 times smaller than the largest too.
    """
    top = float(np.nextafter(np.float32(steps.max(initial=0.0)), np.float32(np.inf))) if steps.any() else 0.0
    if top < 1e-37:
        return 0.0, np.full(steps.size, DEAD, np.uint8)
    with np.errstate(divide="ignore"):
        codes = np.floor(-_PER_OCTAVE * np.log2(steps / top) + (1e-6 if up else 0.5))
    return top, np.where(codes >= DEAD, DEAD, codes).astype(np.uint8)


@dataclass(frozen=True)
class Segments:
    """Levels ``dp`` and ``finetune``: each channel cut into segments, a segment from one word to another.

    Parameters
    ----------
    top, codes
        Steps of the channels, see `steps_of`; a word counts steps.
    size
        Weights of a channel.
    lengths
        Weights of each segment, 1 to `LONGEST`, channel after channel.
    words
        Of each segment its first word and, where it has more than one weight, its last.
    word_bits, length_bits
        What a word and a length are stored in where they are not entropy-coded.
    """

    top: float
    codes: npt.NDArray[np.uint8]
    size: int
    lengths: npt.NDArray[np.uint8]
    words: npt.NDArray[np.int8]
    word_bits: int
    length_bits: int

    @cached_property
    def steps(self) -> npt.NDArray[np.float32]:
        """Of each channel."""
        return steps_of(self.top, self.codes)

    def weights(self) -> npt.NDArray[np.float32]:
        """The weights [channels, weights of one] that a reader gets, to the bit."""
        count = self.codes.size * self.size
        drawn = np.empty(count + LONGEST, np.float32)
        if self.words.size == self.lengths.size:
            loops.scale_words(self.words, self.steps, self.size, drawn)
        else:
            loops.draw_segments(self.lengths, self.words, self.steps, self.size, drawn)
        return drawn[:count].reshape(self.codes.size, self.size)

    @property
    def on_lines(self) -> float:
        """Share of weights in segments of more than two, which is where lines save anything."""
        total = int(self.lengths.sum(dtype=np.int64))
        return int(self.lengths[self.lengths > 2].sum(dtype=np.int64)) / total if total else 0.0


@dataclass(frozen=True)
class Runs:
    """Level ``paper``: runs of weights, each a line of first value and slope."""

    channels: int
    size: int
    lengths: npt.NDArray[np.uint8]
    first: npt.NDArray[np.float32]
    slope: npt.NDArray[np.float32]

    def weights(self) -> npt.NDArray[np.float32]:
        """The weights [channels, weights of one] that a reader gets, to the bit."""
        drawn = np.empty(self.channels * self.size, np.float32)
        loops.draw_lines(self.first, self.slope, self.lengths, drawn)
        return drawn.reshape(self.channels, self.size)

    @property
    def on_lines(self) -> float:
        """Share of weights in runs of more than two."""
        total = int(self.lengths.sum(dtype=np.int64))
        return int(self.lengths[self.lengths > 2].sum(dtype=np.int64)) / total if total else 0.0


Lines = Segments | Runs


def paper_runs(rows: npt.NDArray[np.float64], tolerance: float) -> Runs:
    """Level ``paper``: runs that stay monotonic up to `tolerance` times the range, with a least-squares line each."""
    flat = np.ascontiguousarray(rows).reshape(-1)
    reach = tolerance * float(flat.max() - flat.min()) if flat.size else 0.0
    lengths = loops.greedy_runs(flat, reach, LONGEST_RUN)
    first, slope = loops.fit_lines(flat, lengths)
    return Runs(rows.shape[0], rows.shape[1], lengths.astype(np.uint8), first, slope)


@dataclass(frozen=True)
class BitCosts:
    """What words and lengths cost in bits: `words` of ``lowest`` and up, `lengths` of 0 (never) and up."""

    lowest: int
    words: npt.NDArray[np.float64]
    lengths: npt.NDArray[np.float64]

    @classmethod
    def fixed(cls, word_bits: int, length_bits: int) -> BitCosts:
        """Every word and length of the same number of bits; with 0 for lengths all segments have one weight."""
        lengths = np.full((1 << length_bits) + 1, float(length_bits))
        lengths[0] = np.inf
        return cls(-(1 << (word_bits - 1)), np.full(1 << word_bits, float(word_bits)), lengths)

    def learned(self, segments: Segments) -> BitCosts:
        """What an entropy coder makes of them, when it has met these segments."""
        return BitCosts(
            self.lowest,
            _bits(segments.words.astype(np.int64) - self.lowest, self.words.size),
            np.concatenate([[np.inf], _bits(segments.lengths.astype(np.int64) - 1, self.lengths.size - 1)]),
        )

    def bits(self, segments: Segments) -> float:
        """All of them together."""
        words = np.bincount(segments.words.astype(np.int64) - self.lowest, minlength=self.words.size)
        lengths = np.bincount(segments.lengths, minlength=self.lengths.size)[1:]
        return float(words @ self.words + lengths @ self.lengths[1:])


def _bits(symbols: npt.NDArray[np.int64], kinds: int) -> npt.NDArray[np.float64]:
    # What was not met stays possible, at a high price.
    counts = np.bincount(symbols, minlength=kinds) + 0.05
    return np.asarray(-np.log2(counts / counts.sum()), np.float64)


def cut(
    rows: npt.NDArray[np.float64],
    steps: npt.NDArray[np.float64],
    word_bits: int,
    length_bits: int,
    prices: BitCosts,
    price: float = 0.0,
    factors: npt.NDArray[np.float64] | None = None,
    bound: float = np.inf,
) -> Segments | None:
    """The segments of least squared error plus `price` times their bits.

    Parameters
    ----------
    rows
        Weights [channels, weights of one].
    steps
        What one step of a word is worth [channels]; the nearest that can be stored is taken.
    word_bits, length_bits, prices
        What may be stored, and its cost.
    price
        Squared error that a bit is worth.
    factors
        [1 or channels, n, n] as `Seen.factor` gives them: the error is that of the layer's outputs. None: all weights count the
        same, and the programme is exact for words of one price.
    bound
        No weight may be further off; None comes back where that cannot be. It goes without `factors`.
    """
    size = rows.shape[1]
    top, codes = coded_steps(steps, up=np.isfinite(bound))
    lengths, words = np.empty(rows.size, np.int64), np.empty(2 * rows.size, np.int64)
    if factors is None:
        factors = np.zeros((0, size, size))
    segments, used = cut_channels(
        np.ascontiguousarray(rows), steps_of(top, codes), factors, prices.lowest, prices.words, prices.lengths,
        price, min(bound, 1e300), lengths, words,
    )  # fmt: skip
    if segments < 0:
        return None
    return Segments(
        top, codes, size, lengths[:segments].astype(np.uint8), words[:used].astype(np.int8), word_bits, length_bits
    )  # fmt: skip
