"""How each tensor is packed: what the network's outputs lose for every bit that is saved, the same everywhere."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from compressor.weights.line_compress.calibration import Seen
from compressor.weights.line_compress.lines import BitCosts, Segments, cut
from profiler.errors import UsageError

_WORD_BITS = (2, 3, 4, 5, 6, 7, 8)
_LENGTH_BITS = (0, 2, 3)
_CLIPS = np.linspace(0.4, 1.0, 13)
_ROUNDS = 2
"""Of cutting with the prices that the entropy coder had in the round before."""

_FINER = (0.65, 0.9)
"""Steps that are tried, relative to that of plain rounding at the same slope: segments that cost less make finer ones pay."""


@dataclass(frozen=True)
class Packed:
    """One way to store a tensor: its segments, what the outputs lose (in no fixed unit), and its bits."""

    segments: Segments
    loss: float
    bits: float


@dataclass
class TensorToPack:
    """One tensor's weights, and what an error in them does to the network's outputs.

    Parameters
    ----------
    rows
        [channels, weights of one].
    seen
        What they are multiplied with on calibration rows; None where that is not known: all weights count the same.
    sensitivity
        Loss of the outputs for each unit of squared error.
    """

    rows: npt.NDArray[np.float64]
    seen: Seen | None = None
    sensitivity: float = 1.0
    ways: list[Packed] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.factors = None if self.seen is None else np.ascontiguousarray(self.seen.factor())
        # Squares of the factors' diagonal: what an error of one weight counts when those behind it make up for it.
        self._weights = (
            np.ones((1, self.rows.shape[1]))
            if self.factors is None
            else np.square(np.diagonal(self.factors, axis1=1, axis2=2))
        )

    def error(self, segments: Segments) -> float:
        """Squared error of the layer's outputs."""
        return self.loss_of(segments.weights())

    def loss_of(self, rows: npt.NDArray) -> float:
        """Squared error of the layer's outputs when its weights are `rows`."""
        difference = self.rows - rows
        return float(np.square(difference).sum()) if self.seen is None else self.seen.error(difference)

    def clipped_steps(self, word_bits: int) -> npt.NDArray[np.float64]:
        """Steps of the channels for words of so many bits, clipped where that makes the error least."""
        highest = (1 << (word_bits - 1)) - 1
        largest = np.abs(self.rows).max(axis=1)
        steps, least = largest / highest, np.full(largest.size, np.inf)
        for clip in _CLIPS:
            tried = np.where(largest > 0, clip * largest / highest, 1.0)[:, None]
            words = np.clip(np.rint(self.rows / tried), -highest - 1, highest)
            errors = (np.square(words * tried - self.rows) * self._weights).sum(axis=1)
            better = errors < least
            steps[better], least[better] = (tried[better, 0] * (largest[better] > 0)), errors[better]
        return steps

    def add_fixed(self, price: float) -> None:
        """Try words and lengths of so many bits each; a bit may cost `price` of the outputs' loss."""
        for word_bits, length_bits in itertools.product(_WORD_BITS, _LENGTH_BITS):
            known = any(
                way.segments.word_bits == word_bits and way.segments.length_bits == 0 for way in self.ways
            )
            if length_bits == 0 and known:
                continue  # without lines no bit is saved at any price
            if length_bits and word_bits < 4:
                continue
            prices = BitCosts.fixed(word_bits, length_bits)
            self._add(self.clipped_steps(word_bits), word_bits, length_bits, prices, price, rounds=1)

    def add_entropy(self, price: float) -> None:
        """Try steps for entropy-coded words; a bit may cost `price` of the outputs' loss."""
        spread = np.sqrt(self.rows.std(axis=1) + 1e-300)
        # Plain rounding at a high rate: a step's square error is step^2 / 12, and a bit more makes that four times less.
        plain = np.sqrt(6 * price / (np.log(2) * self.sensitivity * max(float(self._weights.mean()), 1e-300)))
        relative = spread / max(float(np.sqrt(np.square(spread).mean())), 1e-150)
        alive = np.abs(self.rows).max(axis=1) > 0
        for finer, length_bits in itertools.product(_FINER, (0, 3)):
            steps = np.maximum(plain * finer * relative, np.abs(self.rows).max(axis=1) / 127) * alive
            prices = BitCosts.fixed(8, length_bits)
            self._add(steps, 8, length_bits, prices, price, _ROUNDS)

    def _add(
        self,
        steps: npt.NDArray[np.float64],
        word_bits: int,
        length_bits: int,
        prices: BitCosts,
        price: float,
        rounds: int,
    ) -> None:
        for number in range(rounds):
            segments = cut(
                self.rows, steps, word_bits, length_bits, prices, price / self.sensitivity, self.factors
            )
            assert segments is not None
            if rounds > 1:
                prices = prices.learned(segments)
            if number == rounds - 1:
                bits = prices.bits(segments) + 8 * len(segments.codes)
                self.ways.append(Packed(segments, self.sensitivity * self.error(segments), bits))

    def rough(self) -> Packed:
        """Words of 4 bits: an error to measure the sensitivity with."""
        segments = cut(self.rows, self.clipped_steps(4), 4, 0, BitCosts.fixed(4, 0), factors=self.factors)
        assert segments is not None
        return Packed(segments, self.error(segments), 4.0 * self.rows.size)

    def best(self, price: float) -> Packed:
        """Of all that was tried, what loses least when a bit costs `price`."""
        return min(self.ways, key=lambda way: way.loss + price * way.bits)


def within(rows: npt.NDArray[np.float64], tolerance: float) -> Segments:
    """The fewest bits of fixed size with which no weight is off by more than `tolerance` times the range of all."""
    reach = tolerance * float(rows.max() - rows.min())
    largest = np.abs(rows).max(axis=1)
    found: list[tuple[float, Segments]] = []
    for word_bits in range(2, 9):
        highest = (1 << (word_bits - 1)) - 1
        steps = largest / highest
        for length_bits in _LENGTH_BITS:
            prices = BitCosts.fixed(word_bits, length_bits)
            # Any bit is worth more than all the error that is allowed.
            price = 10 * rows.shape[1] * reach * reach + 1e-300
            segments = cut(rows, steps, word_bits, length_bits, prices, price, bound=reach)
            if segments is not None:
                found.append((prices.bits(segments), segments))
    if not found:
        raise UsageError(
            f"Words of 8 bits cannot keep every weight within {tolerance:.3%} of the range: give a larger tolerance."
        )
    return min(found, key=lambda one: one[0])[1]


def choose(tensors: Sequence[TensorToPack], price: float) -> list[Packed]:
    """The best way of each tensor when a bit costs `price`."""
    return [tensor.best(price) for tensor in tensors]
