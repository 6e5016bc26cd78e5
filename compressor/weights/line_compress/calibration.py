"""What a network's layers see on rows of data, and what its outputs become when a layer's weights change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from compressor.weights.line_compress.tensors import StoredTensor
from profiler.network import Edge, Layer, Network
from profiler.tflite import read_network

_DAMPING = 0.01


@dataclass(frozen=True)
class Seen:
    """What one layer's weights are multiplied with, over rows of data.

    Parameters
    ----------
    covariance
        [1 or channels, n, n], the weights in packed order: mean product of what two weights of a channel see; around the mean
        where the layer has a bias that can take the mean's share.
    mean
        [1 or channels, n], what they see on average.
    biased
        Whether there is such a bias.
    """

    covariance: npt.NDArray[np.float64]
    mean: npt.NDArray[np.float64]
    biased: bool

    def factor(self) -> npt.NDArray[np.float64]:
        """Lower triangular M with covariance M^T M, transposed, for `cutting.cut_channels`: [1 or channels, n, n]."""
        return np.stack([_factor(one) for one in self.covariance])

    def error(self, difference: npt.NDArray[np.float64]) -> float:
        """Squared error of the layer's outputs, summed over channels, for a change of its weights [channels, n]."""
        if len(self.covariance) == 1:
            return float(np.einsum("ci,ij,cj->", difference, self.covariance[0], difference, optimize=True))
        return float(np.einsum("ci,cij,cj->", difference, self.covariance, difference, optimize=True))


def _factor(covariance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    n = len(covariance)
    diagonal = np.diag(covariance)
    damped = covariance + np.eye(n) * (_DAMPING * diagonal.mean() + 1e-12 * max(diagonal.max(), 1e-30))
    # Reversed twice, Cholesky's lower times upper becomes upper times lower: the last weight's error is decided last.
    lower = np.linalg.cholesky(damped[::-1, ::-1])
    return np.ascontiguousarray(lower[::-1, ::-1])


class Watcher:
    """A network that runs on rows and keeps what every tensor held."""

    def __init__(self, content: bytes) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        self.network: Network = read_network(content)
        # Without the delegate every tensor that the file names is there.
        self._interpreter: Any = Interpreter(
            model_content=content,
            experimental_preserve_all_tensors=True,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            num_threads=1,
        )
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()
        self._details = {one["index"]: one for one in self._interpreter.get_tensor_details()}
        self.layers = [
            (layer, edge)
            for layer, edge in zip(self.network.layers, self.network.edges, strict=True)
            if edge.graph == 0
        ]

    def watch(self, rows: Mapping[str, npt.NDArray], tensors: Sequence[StoredTensor]) -> dict[int, Seen]:
        """What the weights of convolutions and dense layers among `tensors` see on `rows`, by position in `tensors`."""
        sums: dict[int, _Sums] = {}
        count = len(next(iter(rows.values())))
        watched = {
            number: _Sums(*self.layers[tensor.operator], bias_of(tensor, tensors) is not None)
            for number, tensor in enumerate(tensors)
            if tensor.weights and tensor.operator >= 0 and _is_seen(self.layers[tensor.operator][0])
        }
        for row in range(count):
            for detail, values in zip(self._input, rows.values(), strict=True):
                self._interpreter.set_tensor(detail["index"], values[row : row + 1].reshape(detail["shape"]))
            self._interpreter.invoke()
            for number, kept in watched.items():
                kept.add(self.values(kept.source))
                sums[number] = kept
        return {number: kept.seen() for number, kept in sums.items()}

    def values(self, index: int) -> npt.NDArray[np.float32]:
        """What one tensor held in the last run; integers as what they stand for."""
        value = np.asarray(self._interpreter.get_tensor(index), np.float32)
        scale, zero_point = self._details[index]["quantization"]
        return value if not scale else (value - np.float32(zero_point)) * np.float32(scale)


def bias_of(tensor: StoredTensor, tensors: Sequence[StoredTensor]) -> StoredTensor | None:
    """The bias of the operator that reads these weights; None where there is none, or none of float32."""
    for other in tensors:
        if other.operator == tensor.operator >= 0 and not other.weights and other.size == tensor.channels:
            return other if other.dtype == np.dtype("<f4") and len(other.shape) == 1 else None
    return None


_SEEN = frozenset({"conv_2d", "depthwise_conv_2d", "fully_connected"})
_TOGETHER = 8192


def _is_seen(layer: Layer) -> bool:
    # Convolutions in groups have as many inputs as groups; they are packed as if nothing were known.
    grouped = layer.op == "conv_2d" and layer.inputs[0].shape[-1] != layer.inputs[1].shape[-1]
    return layer.op in _SEEN and not grouped


class _Sums:
    """Sums of products of what one layer's weights see."""

    def __init__(self, layer: Layer, edge: Edge, biased: bool) -> None:
        self.source = edge.inputs[0]
        self._layer = layer
        self._biased = biased
        self._depthwise = layer.op == "depthwise_conv_2d"
        self._products: npt.NDArray[np.float64] | None = None
        self._sum: npt.NDArray[np.float64] = np.zeros(0)
        self._held: list[npt.NDArray] = []
        self._held_rows = self._count = 0

    def add(self, value: npt.NDArray) -> None:
        """Take in the layer's input of one run."""
        patches = self._patches(value)
        self._held.append(patches)
        self._held_rows += patches.shape[-2]
        if self._held_rows >= _TOGETHER:
            self._flush()

    def _patches(self, value: npt.NDArray) -> npt.NDArray:
        """[positions, weights of a channel]; of a depthwise layer [channels, positions, weights of a channel]."""
        if self._layer.op == "fully_connected":
            return value.reshape(-1, self._layer.inputs[1].shape[-1])
        return patches(value, self._layer.params, self._depthwise)

    def _flush(self) -> None:
        if not self._held:
            return
        together = np.concatenate(self._held, axis=-2)
        products = (np.swapaxes(together, -1, -2) @ together).astype(np.float64)
        total = together.sum(axis=-2, dtype=np.float64)
        if self._products is None:
            self._products, self._sum = products, total
        else:
            self._products += products
            self._sum += total
        self._count += together.shape[-2]
        self._held, self._held_rows = [], 0

    def seen(self) -> Seen:
        """Means over everything taken in."""
        self._flush()
        assert self._products is not None
        mean, products = self._sum / self._count, self._products / self._count
        if not self._depthwise:
            mean, products = mean[None], products[None]
        if self._biased:
            products = products - mean[:, :, None] * mean[:, None, :]
        return Seen(products, mean, self._biased)


def patches(value: npt.NDArray, params: Mapping[str, Any], depthwise: bool) -> npt.NDArray:
    """What each position of a kernel sees: [positions, in_channels * height * width], or with channels apart in front."""
    height, width = int(params["kernel_height"]), int(params["kernel_width"])
    stride = int(params["stride_height"]), int(params["stride_width"])
    dilation = int(params.get("dilation_height", 1)), int(params.get("dilation_width", 1))
    reach = (height - 1) * dilation[0] + 1, (width - 1) * dilation[1] + 1
    if params["padding"] == "same":
        pads = []
        for size, kernel, step in zip(value.shape[1:3], reach, stride, strict=True):
            missing = max((-(-size // step) - 1) * step + kernel - size, 0)
            pads.append((missing // 2, missing - missing // 2))
        value = np.pad(value, ((0, 0), *pads, (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(value, reach, axis=(1, 2))
    windows = windows[:, :: stride[0], :: stride[1], :, :: dilation[0], :: dilation[1]]
    channels = windows.shape[3]
    if depthwise:
        multiplier = int(params.get("depth_multiplier", 1))
        apart = np.moveaxis(windows, 3, 0).reshape(channels, -1, height * width)
        return np.repeat(apart, multiplier, axis=0) if multiplier > 1 else apart
    return windows.reshape(-1, channels * height * width)
