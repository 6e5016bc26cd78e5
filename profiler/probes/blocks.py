"""Small whole networks of published blocks, against which sums of layers are checked and intervals calibrated."""

from __future__ import annotations

from profiler import operators
from profiler.network import Layer, Shape
from profiler.operators import Rng
from profiler.probes.probe import Probe


class _Stitch:
    """A network while it grows: `at` is the layer that the next one reads (-1 is the network's input)."""

    def __init__(self, shape: Shape, dtype: str) -> None:
        self.dtype = dtype
        self.layers: list[Layer] = []
        self.wiring: list[tuple[int, ...]] = []
        self.at, self.shape = -1, shape

    def add(self, layer: Layer, *sources: int) -> int:
        """Append `layer`, reading `sources` or what came last."""
        self.wiring.append(sources or (self.at,))
        self.layers.append(layer)
        self.at, self.shape = len(self.layers) - 1, layer.outputs[0].shape
        return self.at

    def conv(self, channels: int, kernel: int = 3, stride: int = 1, activation: str = "none") -> int:
        _, height, width, depth = self.shape
        square, step = (kernel, kernel), (stride, stride)
        return self.add(
            operators.conv_2d(
                height, width, depth, channels, square, step, activation=activation, dtype=self.dtype
            )
        )

    def depthwise(self, kernel: int = 3, stride: int = 1, activation: str = "relu6") -> int:
        _, height, width, depth = self.shape
        square, step = (kernel, kernel), (stride, stride)
        return self.add(
            operators.depthwise_conv_2d(
                height, width, depth, square, step, activation=activation, dtype=self.dtype
            )
        )

    def join(self, op: str, left: int, right: int, other: Shape, activation: str = "none") -> int:
        return self.add(operators.binary(op, self.shape, other, activation, self.dtype), left, right)


def _plain(net: _Stitch, rng: Rng, channels: int, stride: int) -> None:
    for _ in range(int(rng.integers(1, 3))):
        net.conv(channels, 3, stride, "relu")
        stride = 1
    if rng.random() < 0.4 and net.shape[1] >= 4:
        _, height, width, depth = net.shape
        net.add(operators.pool_2d("max_pool_2d", height, width, depth, dtype=net.dtype))


def _residual(net: _Stitch, rng: Rng, channels: int, stride: int) -> None:
    start, shape = net.at, net.shape
    net.conv(channels, 3, stride, "relu")
    body = net.conv(channels, 3)
    if stride != 1 or shape[-1] != channels:
        net.at, net.shape = start, shape
        start = net.conv(channels, 1, stride)
    net.join("add", start, body, net.shape, "relu")


def _bottleneck(net: _Stitch, rng: Rng, channels: int, stride: int) -> None:
    start, depth = net.at, net.shape[-1]
    net.conv(depth * int(rng.choice([3, 4, 6])), 1, 1, "relu6")
    net.depthwise(int(rng.choice([3, 3, 5])), stride)
    body = net.conv(channels, 1)
    if stride == 1 and channels == depth and start >= 0:
        net.join("add", start, body, net.shape)


def _separable(net: _Stitch, rng: Rng, channels: int, stride: int) -> None:
    net.depthwise(3, stride, "relu")
    net.conv(channels, 1, 1, "relu")


def _gated(net: _Stitch, rng: Rng, channels: int, stride: int) -> None:
    body = net.conv(channels, 3, stride)
    shape = net.shape
    gate = net.add(operators.unary("logistic", shape, net.dtype))
    swished = net.join("mul", body, gate, shape)
    net.add(operators.reduce("mean", shape, (1, 2), True, net.dtype))
    net.conv(max(4, channels // 4), 1, 1, "relu")
    net.conv(channels, 1)
    gate = net.add(operators.unary("logistic", net.shape, net.dtype))
    net.add(operators.binary("mul", shape, (1, 1, 1, channels), dtype=net.dtype), swished, gate)


def _branches(net: _Stitch, rng: Rng, channels: int, stride: int) -> None:
    start, shape = net.at, net.shape
    outs, forms = [], []
    for kernel in (1, 3):
        net.at, net.shape = start, shape
        outs.append(net.conv(channels // 2 or 1, kernel, stride, "relu"))
        forms.append(net.shape)
    net.add(operators.concatenation(forms, 3, net.dtype), *outs)


_FEW_WEIGHTS = 400_000
_BLOCKS = (_plain, _residual, _bottleneck, _bottleneck, _separable, _separable, _gated, _branches)


def draw_network(rng: Rng, dtype: str, heavy: bool = False, wide: bool = False) -> Probe:
    """One random network of 5 to 40 layers, from its stem to its softmax.

    A `heavy` one has the 4 to 60 MB of weights (as float32) that large networks have, most of it in late, wide layers; a `wide`
    one their maps and channels, but few layers.
    """
    while True:
        side = int(rng.choice([64, 96, 128, 160, 192, 224] if wide else [24, 32, 32, 48, 64, 96, 128]))
        width = int(
            rng.choice([48, 64, 96] if heavy else [24, 32, 32, 48, 64] if wide else [8, 12, 16, 16, 24, 32])
        )
        net = _Stitch((1, side, side, int(rng.choice([1, 3, 3]))), dtype)
        net.conv(width, 3, 2 if heavy or wide else int(rng.integers(1, 3)), "relu")
        kinds = rng.choice(len(_BLOCKS), size=2)
        for _ in range(int(rng.integers(2, 8))):
            stride = 2 if net.shape[1] >= 8 and rng.random() < (0.7 if heavy else 0.45) else 1
            grown = stride == 2 or (heavy and rng.random() < 0.5)
            if grown:
                width = min(1024 if heavy else 512, int(width * float(rng.choice([1.5, 2.0]))))
            if rng.random() < 0.2:
                width += int(rng.integers(-3, 4))
            _BLOCKS[int(rng.choice(kinds))](net, rng, max(4, width), stride)
        net.add(operators.reduce("mean", net.shape, (1, 2), False, dtype))
        classes = int(rng.choice([2, 5, 10, 12, 100, 1000]))
        net.add(operators.fully_connected(net.shape[-1], classes, dtype=dtype))
        net.add(operators.unary("softmax", net.shape, dtype))
        macs, weights = sum(layer.macs for layer in net.layers), sum(layer.parameters for layer in net.layers)
        if heavy:
            fits = macs <= 400_000_000 and 1_000_000 <= weights <= 15_000_000
        elif wide:
            fits = macs <= 400_000_000 and weights <= _FEW_WEIGHTS
        else:
            fits = macs <= 60_000_000
        if fits:
            return Probe("network", tuple(net.layers), tuple(net.wiring))
