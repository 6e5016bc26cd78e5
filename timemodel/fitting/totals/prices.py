"""Prices of layers from times of networks: a rough cost times a factor from a Gaussian process, of which sums are seen.

What devices have in common is learned from all at once, then each one's deviations, as strongly as its times speak for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from profiler.network import Layer
from profiler.operators import operator
from timemodel.features import POSITION, geometry

MISFIT_LENGTH = 0.67
"""How far apart channels lie that are a multiple of 8 and of 4 only, in lengths over which prices are alike."""

LENGTHS = ((1.0, 1.0, 1.5, 2.0, 1.0), (2.0, 2.0, 3.0, 2.0, 1.0), (4.0, 4.0, 6.0, 4.0, 2.0))
"""Lengths over which prices are alike, to choose from: doublings of in and out channels and of pixels, kernel, stride."""

NOISES = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1)
"""Variance of a network's relative error by that of the process, to choose from."""

DEVIATION_NOISES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 1000.0)
_AMPLITUDE = 0.3
_OUTLIER = 3.0
_DEPTHWISE = 3.0
_PER_ELEMENT = 15.0
_PER_ACTIVATION = 10.0
_PER_LAYER = 2000.0


def rough_costs(layers: Sequence[Layer], array: np.ndarray) -> np.ndarray:
    """Multiplications and data moved of each layer as one number ``[n]``, in units of about one multiplication."""
    column = {name: array[:, i] for name, i in POSITION.items()}
    depthwise = np.array([operator(layer.op).features == "depthwise" for layer in layers])
    repeat = np.array([layer.repeat for layer in layers], dtype=np.float64)
    moved = column["in_elements"] + column["out_elements"]
    cost = np.where(depthwise, _DEPTHWISE, 1.0) * column["macs"] + _PER_ELEMENT * moved + _PER_LAYER
    return repeat * (cost + _PER_ACTIVATION * (column["activation"] > 0) * column["out_elements"])


def likeness(array: np.ndarray) -> np.ndarray:
    """Coordinates ``[n, 8]`` in which layers of one kind that cost alike lie close together, before `LENGTHS`."""
    column = {name: array[:, i] for name, i in POSITION.items()}
    pixels = column["batch"] * column["out_height"] * column["out_width"]
    return np.column_stack(
        [
            np.log2(np.maximum(column["in_channels"], 1)),
            np.log2(np.maximum(column["out_channels"], 1)),
            np.log2(np.maximum(pixels, 1)),
            np.sqrt(column["kernel_height"] * column["kernel_width"]),
            np.sqrt(column["stride_height"] * column["stride_width"]),
            misfit(column["in_channels"]) / MISFIT_LENGTH,
            misfit(column["out_channels"]) / MISFIT_LENGTH,
            column["activation"] > 0,
        ]
    )


def misfit(channels: np.ndarray) -> np.ndarray:
    """0 for multiples of 8, 1 of 4, 1.5 of 2, 2 for odd numbers."""
    whole = [np.mod(channels, k) == 0 for k in (8, 4, 2)]
    return np.select(whole, [0.0, 1.0, 1.5], 2.0)


def _kind(layer: Layer) -> tuple[str, str, bool]:
    """Layers of one kind share prices: operator, arithmetic, and whether a convolution is a 1x1."""
    kernel = layer.params.get("kernel_height", 1), layer.params.get("kernel_width", 1)
    return layer.op, layer.dtype, layer.op == "conv_2d" and kernel == (1, 1)


class Mixture:
    """The layers of several networks, per kind: amounts ``[networks, distinct]`` and places ``[distinct, 8]`` of each."""

    def __init__(self, networks: Sequence[Sequence[Layer]]) -> None:
        self.size = len(networks)
        rows: dict[tuple[str, str, bool], tuple[list[int], list[Layer]]] = {}
        for number, layers in enumerate(networks):
            for layer in layers:
                numbers, members = rows.setdefault(_kind(layer), ([], []))
                numbers.append(number)
                members.append(layer)
        self.kinds: dict[tuple[str, str, bool], tuple[np.ndarray, np.ndarray]] = {}
        for kind, (numbers, members) in rows.items():
            array = geometry(members)
            places, which = np.unique(likeness(array), axis=0, return_inverse=True)
            amounts = np.zeros((self.size, len(places)))
            np.add.at(amounts, (np.array(numbers), which.reshape(-1)), rough_costs(members, array))
            self.kinds[kind] = amounts, places

    def covariance(self, other: Mixture, lengths: Sequence[float]) -> np.ndarray:
        """Covariance ``[self, other]`` of the networks' times under a process of unit size."""
        result = np.zeros((self.size, other.size))
        for kind, (mine, here) in self.kinds.items():
            if kind in other.kinds:
                theirs, there = other.kinds[kind]
                result += mine @ _alike(here, there, lengths) @ theirs.T
        return result


def _alike(a: np.ndarray, b: np.ndarray, lengths: Sequence[float]) -> np.ndarray:
    scale = np.array([*lengths, *([1.0] * (a.shape[1] - len(lengths)))])
    a, b = a / scale, b / scale
    square = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None] - 2 * a @ b.T
    return _AMPLITUDE * np.exp(-0.5 * np.maximum(square, 0.0)) + 1.0


def common_profile(times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log time of each network on a middling device ``[networks]``, and each device's offset from it ``[devices]``."""
    logs = np.log(times)
    offset = np.nanmedian(logs, axis=0)
    for _ in range(6):
        profile = np.nanmedian(logs - offset, axis=1)
        offset = np.nanmedian(logs - profile[:, None], axis=0)
    return profile, offset


@dataclass(frozen=True)
class Prices:
    """What layers cost on each of several devices, learned from whole networks.

    ``price(l) = scale * rough_cost(l) * factor(l)``, where the factor is a kernel expansion over the training networks:
    `common` ``[networks]`` for what all devices share, `own` ``[networks, devices]`` for each one's deviations.
    """

    mixture: Mixture
    lengths: tuple[float, ...]
    common: np.ndarray
    own: np.ndarray
    scale: np.ndarray

    def networks_ms(self, networks: Sequence[Sequence[Layer]]) -> np.ndarray:
        """Times ``[len(networks), devices]`` in ms; a small positive one where the expansion falls to zero or below."""
        shared = Mixture(networks).covariance(self.mixture, self.lengths)
        middle = shared @ self.common
        total = middle[:, None] + shared @ self.own
        return np.maximum(total, 0.05 * np.abs(middle)[:, None]) * self.scale

    def layers_ms(self, layers: Sequence[Layer]) -> np.ndarray:
        """Prices ``[len(layers), devices]`` in ms."""
        return self.networks_ms([[layer] for layer in layers])


def fit_prices(networks: Sequence[Sequence[Layer]], times_ms: np.ndarray) -> Prices:
    """Learn prices from the layers of networks and their times ``[networks, devices]``, NaN where one was not run."""
    profile, offset = common_profile(times_ms)
    mixture = Mixture(networks)
    inverse = np.exp(-profile)
    goal = np.ones(len(profile))
    tried = []
    for lengths in LENGTHS:
        relative = mixture.covariance(mixture, lengths) * inverse[:, None] * inverse
        size = float(np.mean(np.diag(relative)))
        for noise in NOISES:
            solved = np.linalg.inv(relative / size + noise * np.eye(len(goal)))
            weights = solved @ goal
            left_out = np.abs(weights / np.diag(solved))
            tried.append((float(np.minimum(left_out, 0.5).mean()), lengths, size, relative, weights))
    _, lengths, size, relative, weights = min(tried, key=lambda row: row[0])
    own = np.zeros((len(goal), times_ms.shape[1]))
    scale = np.exp(offset)
    base = inverse * weights / size
    residual = np.log(times_ms) - offset - profile[:, None]
    for device in range(times_ms.shape[1]):
        seen = np.isfinite(residual[:, device])
        level, deviation = _deviation(relative[np.ix_(seen, seen)], residual[seen, device])
        own[seen, device] = inverse[seen] * deviation
        # The deviation counts from the mean over the networks that were seen; the level takes that mean up.
        own[:, device] += base * (level - float(np.mean(relative[np.ix_(seen, seen)] @ deviation)))
    return Prices(mixture, lengths, base, own, scale)


def _deviation(relative: np.ndarray, residual: np.ndarray) -> tuple[float, np.ndarray]:
    """Mean and kernel weights of one device's deviations, at the noise that its times make most likely."""
    spread = 1.4826 * float(np.median(np.abs(residual - np.median(residual))))
    if spread <= 1e-9:
        return float(np.median(residual)), np.zeros(len(residual))
    clipped = np.clip(residual, -_OUTLIER * spread, _OUTLIER * spread)
    n = len(clipped)
    centring = np.eye(n) - 1.0 / n
    centred = centring @ relative @ centring
    size = float(np.mean(np.diag(centred)))
    if size <= 0:
        return float(clipped.mean()), np.zeros(n)
    values, vectors = np.linalg.eigh(centred / size)
    values = np.maximum(values, 0.0)
    goal = clipped - clipped.mean()
    power = (vectors.T @ goal) ** 2

    def likelihood(noise: float) -> float:
        variance = values + noise
        return -n * float(np.log(np.mean(power / variance))) - float(np.log(variance).sum())

    noise = max(DEVIATION_NOISES, key=likelihood)
    weights = vectors @ ((vectors.T @ goal) / (values + noise)) / size
    return float(clipped.mean()), centring @ weights
