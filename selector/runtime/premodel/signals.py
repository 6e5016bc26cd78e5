"""Features of signals: sound, acceleration and the like, of many rows at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from selector.runtime.premodel.lazily import cached_property, stacked

SIGNAL_NAMES = (
    "mean", "energy", "deviation", "largest", "crest", "zero_crossings", "peaks", "roughness", "spectral_centroid",
    "spectral_spread", "spectral_flatness", "rolloff", "dominant", "rise", "channel_spread", "correlation",
)  # fmt: skip
"""Frequencies are shares of the highest that the sampling can show; of several channels the mean."""


def signal_features(x: NDArray[np.generic], names: Sequence[str]) -> NDArray[np.float32]:
    """Features [rows, names] of signals [rows, steps] or [rows, steps, ...channels]."""
    return stacked(_Signals(x), names)


class _Signals:
    """Signals [rows, channels, steps], and what features of several names share."""

    def __init__(self, x: NDArray[np.generic]) -> None:
        values = x.astype(np.float32)
        flat = values.reshape(len(values), values.shape[1] if values.ndim > 1 else 1, -1)
        self.values = np.ascontiguousarray(flat.transpose(0, 2, 1))

    @cached_property
    def centred(self) -> NDArray[np.floating]:
        return self.values - self.values.mean(axis=-1, keepdims=True)

    @cached_property
    def mean(self) -> NDArray[np.floating]:
        return self.values.mean(axis=(1, 2))

    @cached_property
    def energy(self) -> NDArray[np.floating]:
        return (self.values**2).mean(axis=(1, 2))

    @cached_property
    def deviations(self) -> NDArray[np.floating]:
        """Of each channel [rows, channels]."""
        return self.centred.std(axis=-1)

    @cached_property
    def deviation(self) -> NDArray[np.floating]:
        return self.deviations.mean(axis=1)

    @cached_property
    def largest(self) -> NDArray[np.floating]:
        return np.abs(self.values).max(axis=(1, 2))

    @cached_property
    def crest(self) -> NDArray[np.floating]:
        """Largest value by the root mean square."""
        return self.largest / np.sqrt(np.maximum(self.energy, 1e-12))

    @cached_property
    def zero_crossings(self) -> NDArray[np.floating]:
        """Share of steps at which the centred signal changes sign."""
        positive = self.centred > 0
        return (positive[..., 1:] != positive[..., :-1]).mean(axis=(1, 2))

    @cached_property
    def peaks(self) -> NDArray[np.floating]:
        """Share of steps that are local maxima above half a standard deviation."""
        inner = self.centred[..., 1:-1]
        high = inner > 0.5 * self.deviations[..., None]
        tops = (inner > self.centred[..., :-2]) & (inner >= self.centred[..., 2:]) & high
        return tops.mean(axis=(1, 2)) if tops.size else np.zeros(len(inner), np.float32)

    @cached_property
    def roughness(self) -> NDArray[np.floating]:
        """Mean change from step to step."""
        return np.abs(np.diff(self.values, axis=-1)).mean(axis=(1, 2))

    @cached_property
    def spectrum(self) -> NDArray[np.float64]:
        """Power by frequency, of all channels together [rows, frequencies]; adds up to 1."""
        power = (np.abs(np.fft.rfft(self.centred, axis=-1)) ** 2).sum(axis=1)
        return power / np.maximum(power.sum(axis=1, keepdims=True), 1e-30)

    @cached_property
    def frequencies(self) -> NDArray[np.float64]:
        return np.linspace(0.0, 1.0, self.spectrum.shape[1])

    @cached_property
    def spectral_centroid(self) -> NDArray[np.float64]:
        return self.spectrum @ self.frequencies

    @cached_property
    def spectral_spread(self) -> NDArray[np.float64]:
        second = self.spectrum @ self.frequencies**2
        return np.sqrt(np.maximum(second - self.spectral_centroid**2, 0.0))

    @cached_property
    def spectral_flatness(self) -> NDArray[np.float64]:
        """Geometric by arithmetic mean: 1 for white noise, near 0 for tones."""
        return np.exp(np.log(self.spectrum + 1e-12).mean(axis=1)) * self.spectrum.shape[1]

    @cached_property
    def rolloff(self) -> NDArray[np.float64]:
        """The frequency below which 85% of the power lies."""
        return self.frequencies[(np.cumsum(self.spectrum, axis=1) >= 0.85).argmax(axis=1)]

    @cached_property
    def dominant(self) -> NDArray[np.float64]:
        return self.frequencies[self.spectrum.argmax(axis=1)]

    @cached_property
    def rise(self) -> NDArray[np.floating]:
        """Energy of the second half minus that of the first, as a share of both."""
        half = self.values.shape[-1] // 2
        first, second = (
            (part**2).sum(axis=(1, 2)) for part in (self.values[..., :half], self.values[..., half:])
        )
        return (second - first) / np.maximum(second + first, 1e-12)

    @cached_property
    def channel_spread(self) -> NDArray[np.floating]:
        """How unlike the channels' deviations are."""
        return self.deviations.std(axis=1) / np.maximum(self.deviation, 1e-12)

    @cached_property
    def correlation(self) -> NDArray[np.floating]:
        """Of each step with the next."""
        product = (self.centred[..., 1:] * self.centred[..., :-1]).mean(axis=(1, 2))
        return product / np.maximum((self.centred**2).mean(axis=(1, 2)), 1e-12)
