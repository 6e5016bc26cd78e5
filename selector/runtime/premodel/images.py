"""The 29 features of images that adaptive model selection was published with, of many images at once, in numpy.

Their "main object" is here what differs from the rim of the image, so that no label is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selector.runtime.premodel.lazily import cached_property, stacked

BINS = 7

IMAGE_NAMES = (
    "keypoints", "brightness", "brightness_rms", "perceived_brightness", "perceived_rms", "contrast",
    *(f"edge_length_{i}" for i in range(1, BINS + 1)), *(f"edge_angle_{i}" for i in range(1, BINS + 1)),
    "area_by_perimeter", "aspect_ratio", *(f"hue_{i}" for i in range(1, BINS + 1)),
)  # fmt: skip
"""Keypoints are corners by the test of FAST; lengths are of straight runs of edge pixels, in shares as angles and hues are."""

KEYPOINT_STEP = 0.08
"""How much lighter or darker than a corner's centre its surroundings are, as a share of the full range."""

_CIRCLE = (
    (0, 3), (1, 3), (2, 2), (3, 1), (3, 0), (3, -1), (2, -2), (1, -3),
    (0, -3), (-1, -3), (-2, -2), (-3, -1), (-3, 0), (-3, 1), (-2, 2), (-1, 3),
)  # fmt: skip
_ARC = 9
_LENGTHS = (2, 3, 4, 6, 9, 14)
"""Runs shorter than each of these fall into one bin more; the last bin is open."""

_PERCEIVED = np.array([0.241, 0.691, 0.068], np.float32)


def image_features(x: NDArray[np.generic], names: Sequence[str]) -> NDArray[np.float32]:
    """Features [images, names] of images [images, height, width, channels], integers of 8 bit or floats of any range."""
    return stacked(_Images(x), names)


class _Images:
    """Images in 0 to 1, and what features of several names share."""

    def __init__(self, x: NDArray[np.generic]) -> None:
        values: NDArray[Any] = x.astype(np.float32)
        if x.dtype == np.int8:
            values += 128.0
        if x.dtype in (np.dtype(np.uint8), np.dtype(np.int8)) or values.max(initial=0.0) > 2.0:
            values *= np.float32(1 / 255)
        elif values.min(initial=0.0) < 0:  # centred inputs, -1 to 1
            values = (values + 1) / 2
        self.colors = values[..., :3] if values.shape[-1] >= 3 else np.repeat(values[..., :1], 3, axis=-1)
        self.is_grey = values.shape[-1] < 3
        self.count = len(values)

    @cached_property
    def grey(self) -> NDArray[np.float32]:
        return self.colors[..., 0] if self.is_grey else self.colors.mean(axis=-1)

    @cached_property
    def perceived_squares(self) -> NDArray[np.float32]:
        """What the square root is taken of, per pixel."""
        return self.colors**2 @ _PERCEIVED

    @cached_property
    def brightness(self) -> NDArray[np.float32]:
        return self.grey.mean(axis=(1, 2))

    @cached_property
    def brightness_rms(self) -> NDArray[np.float32]:
        return np.sqrt((self.grey**2).mean(axis=(1, 2)))

    @cached_property
    def perceived_brightness(self) -> NDArray[np.float32]:
        return np.sqrt(self.perceived_squares).mean(axis=(1, 2))

    @cached_property
    def perceived_rms(self) -> NDArray[np.float32]:
        return np.sqrt(self.perceived_squares.mean(axis=(1, 2)))

    @cached_property
    def contrast(self) -> NDArray[np.float32]:
        return self.grey.std(axis=(1, 2))

    @cached_property
    def keypoints(self) -> NDArray[np.int64]:
        """Pixels that nine neighbours in a row, of sixteen on a circle of radius 3, are all lighter or all darker than."""
        levels = np.round(255 * self.grey).astype(np.int16)
        height, width = levels.shape[1:]
        centre = levels[:, 3:-3, 3:-3]
        step = np.int16(round(255 * KEYPOINT_STEP))
        light, dark = centre + step, centre - step
        lighter, darker = np.zeros(centre.shape, np.uint16), np.zeros(centre.shape, np.uint16)
        for bit, (down, right) in enumerate(_CIRCLE):
            ring = levels[:, 3 + down : height - 3 + down, 3 + right : width - 3 + right]
            lighter |= (ring > light).astype(np.uint16) << np.uint16(bit)
            darker |= (ring < dark).astype(np.uint16) << np.uint16(bit)
        corners = _arcs()
        return (corners[lighter] | corners[darker]).sum(axis=(1, 2))

    @cached_property
    def slopes(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Central differences down and to the right, of inner pixels."""
        down = self.grey[:, 2:, 1:-1] - self.grey[:, :-2, 1:-1]
        right = self.grey[:, 1:-1, 2:] - self.grey[:, 1:-1, :-2]
        return down, right

    @cached_property
    def edges(self) -> NDArray[np.bool_]:
        """Pixels whose slope is a standard deviation above the image's mean."""
        down, right = self.slopes
        steep = np.hypot(down, right)
        limit = steep.mean(axis=(1, 2), keepdims=True) + steep.std(axis=(1, 2), keepdims=True)
        return steep > limit

    @cached_property
    def edge_length(self) -> NDArray[np.float64]:
        """Share of runs of edge pixels, along rows and along columns, whose length is in each bin [images, bins]."""
        counts = np.zeros(self.count * BINS)
        for edges in (self.edges, self.edges.transpose(0, 2, 1)):
            padded = np.zeros((*edges.shape[:2], edges.shape[2] + 2), np.int8)
            padded[..., 1:-1] = edges
            change = np.diff(padded, axis=-1)
            starts, ends = np.nonzero(change == 1), np.nonzero(change == -1)
            bins = np.searchsorted(_LENGTHS, ends[2] - starts[2], side="right")
            counts += np.bincount(starts[0] * BINS + bins, minlength=len(counts))
        return _shares(counts.reshape(-1, BINS))

    @cached_property
    def edge_angle(self) -> NDArray[np.float64]:
        """Share of edge pixels whose direction is in each bin [images, bins]."""
        down, right = self.slopes
        image, row, col = np.nonzero(self.edges)
        angles = np.arctan2(down[image, row, col], right[image, row, col]) % np.pi
        return self._histogram(image, angles / np.pi)

    @cached_property
    def hue(self) -> NDArray[np.float64]:
        """Share of pixels whose hue is in each bin [images, bins]; those without colour have none."""
        if self.is_grey:
            return np.zeros((self.count, BINS))
        high, low = self.colors.max(axis=-1), self.colors.min(axis=-1)
        image, row, col = np.nonzero(high - low > 0.04)
        red, green, blue = np.moveaxis(self.colors[image, row, col], -1, 0)
        top, spread = high[image, row, col], (high - low)[image, row, col]
        sixth = np.where(
            top == red,
            ((green - blue) / spread) % 6,
            np.where(top == green, (blue - red) / spread + 2, (red - green) / spread + 4),
        )
        return self._histogram(image, sixth / 6)

    @cached_property
    def object_mask(self) -> NDArray[np.bool_]:
        """Pixels that differ from the mean of the rim by more than the image's standard deviation."""
        grey = self.grey
        rim = np.concatenate([grey[:, 0], grey[:, -1], grey[:, :, 0], grey[:, :, -1]], axis=1).mean(axis=1)
        return np.abs(grey - rim[:, None, None]) > self.contrast[:, None, None]

    @cached_property
    def area_by_perimeter(self) -> NDArray[np.float64]:
        mask = self.object_mask
        padded = np.pad(mask, ((0, 0), (1, 1), (1, 1)))
        border = (np.diff(padded, axis=1) != 0).sum(axis=(1, 2)) + (np.diff(padded, axis=2) != 0).sum(
            axis=(1, 2)
        )
        return mask.sum(axis=(1, 2)) / np.maximum(border, 1)

    @cached_property
    def aspect_ratio(self) -> NDArray[np.float64]:
        """Width by height of the box around the object; 1 where there is none."""
        height, width = (_extent(np.asarray(self.object_mask.any(axis=axis))) for axis in (2, 1))
        return np.where(height > 0, width / np.maximum(height, 1), 1.0)

    def _histogram(self, image: NDArray[np.int64], share: NDArray[np.floating]) -> NDArray[np.float64]:
        bins = np.minimum((share * BINS).astype(np.int64), BINS - 1)
        counts = np.bincount(image * BINS + bins, minlength=self.count * BINS)
        return _shares(counts.reshape(-1, BINS))


def _shares(counts: NDArray[np.generic]) -> NDArray[np.float64]:
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def _extent(marked: NDArray[Any]) -> NDArray[np.int64]:
    """Distance from the first to the last mark of each row, both counted; 0 where there is none."""
    first, last = marked.argmax(axis=1), marked.shape[1] - marked[:, ::-1].argmax(axis=1)
    return np.where(marked.any(axis=1), last - first, 0)


_known_arcs: list[NDArray[np.bool_]] = []


def _arcs() -> NDArray[np.bool_]:
    """Whether each pattern of 16 bits has nine set in a row, around the circle [65536]."""
    if not _known_arcs:
        pattern = np.arange(1 << 16, dtype=np.uint32)
        around = pattern | (pattern << np.uint32(16))
        run = around.copy()
        for shift in range(1, _ARC):
            run &= around >> np.uint32(shift)
        _known_arcs.append((run & np.uint32(0xFFFF)) != 0)
    return _known_arcs[0]
