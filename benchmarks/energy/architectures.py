"""Layers of public networks as TensorFlow's model garden defines them (TF-slim), in the order in which they run.

Shapes of reshapes and of the softmax are left out: they take next to nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from profiler.network import Layer
from profiler.operators import (
    binary,
    concatenation,
    conv_2d,
    depthwise_conv_2d,
    fully_connected,
    pad,
    pool_2d,
    reduce,
)

Size = int | tuple[int, int]


class Tape:
    """Layers so far, and the shape (square maps of `size`, with `channels`) of what the next one reads."""

    def __init__(self, size: int, channels: int, layers: list[Layer] | None = None) -> None:
        self.size, self.channels = size, channels
        self.layers: list[Layer] = [] if layers is None else layers

    def _add(self, layer: Layer) -> Tape:
        self.layers.append(layer)
        out = layer.outputs[0].shape
        self.size, self.channels = (out[1] if len(out) == 4 else 1), out[-1]
        return self

    def conv(self, out: int, kernel: Size = 1, stride: int = 1, padding: str = "same") -> Tape:
        """A convolution with its activation."""
        sides = (kernel, kernel) if isinstance(kernel, int) else kernel
        strides, size = (stride, stride), self.size
        return self._add(conv_2d(size, size, self.channels, out, sides, strides, (1, 1), padding, "relu"))

    def depthwise(self, stride: int) -> Tape:
        """A depthwise convolution of 3x3."""
        return self._add(depthwise_conv_2d(self.size, self.size, self.channels, stride=(stride, stride)))

    def pool(self, kind: str, kernel: int, stride: int, padding: str = "valid") -> Tape:
        """A pooling, ``max`` or ``average``."""
        sides, strides = (kernel, kernel), (stride, stride)
        return self._add(
            pool_2d(f"{kind}_pool_2d", self.size, self.size, self.channels, sides, strides, padding)
        )

    def pad(self, by: int) -> Tape:
        """Zeros around the map."""
        around = ((0, 0), (by, by), (by, by), (0, 0))
        return self._add(pad(self.shape, around))

    def scale(self) -> Tape:
        """A batch normalisation that stands before a convolution: a multiplication and an addition per channel."""
        for op in ("mul", "add"):
            self._add(binary(op, self.shape, (self.channels,), constant=True))
        return self

    def plus(self) -> Tape:
        """The sum with a map of the same shape."""
        return self._add(binary("add", self.shape, self.shape))

    def branch(self) -> Tape:
        """Another way on from here, in the same list."""
        return Tape(self.size, self.channels, self.layers)

    def join(self, *branches: Tape) -> Tape:
        """Branches side by side."""
        return self._add(concatenation([one.shape for one in branches]))

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of what comes next."""
        return 1, self.size, self.size, self.channels


def mobilenet_v1() -> list[Layer]:
    """MobileNet 1.0, 224."""
    net = Tape(224, 3).conv(32, 3, 2)
    for out, stride in (
        (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1),
    ):  # fmt: skip
        net.depthwise(stride).conv(out)
    return net.pool("average", 7, 1).conv(1001).layers


def squeezenet() -> list[Layer]:
    """SqueezeNet 1.0, 224."""
    net = Tape(224, 3).conv(96, 7, 2, "valid").pool("max", 3, 2)

    def fire(squeeze: int, expand: int) -> None:
        net.conv(squeeze)
        net.join(net.branch().conv(expand), net.branch().conv(expand, 3))

    for position, (squeeze, expand) in enumerate(
        ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))
    ):
        fire(squeeze, expand)
        if position in (2, 6):
            net.pool("max", 3, 2)
    return net.conv(1000).pool("average", 13, 1).layers


def resnet_v2_101() -> list[Layer]:
    """ResNet-101 with activations first, 299."""
    net = Tape(299, 3).pad(3).conv(64, 7, 2, "valid").pool("max", 3, 2, "same")
    for block, (depth, units) in enumerate(((64, 3), (128, 4), (256, 23), (512, 3))):
        for unit in range(units):
            stride = 2 if unit == units - 1 and block < 3 else 1
            net.scale()
            if unit == 0:
                net.branch().conv(4 * depth)
            elif stride == 2:
                net.branch().pool("max", 1, 2)
            net.conv(depth)
            if stride == 2:
                net.pad(1).conv(depth, 3, 2, "valid")
            else:
                net.conv(depth, 3)
            net.conv(4 * depth).plus()
    net.scale()
    net.layers.append(reduce("mean", net.shape, (1, 2), keep_dims=True))
    net.size = 1
    return net.conv(1001).layers


def _inception_stem(net: Tape) -> None:
    net.conv(32, 3, 2, "valid").conv(32, 3, 1, "valid").conv(64, 3)


def _stem_v3(net: Tape) -> None:
    _inception_stem(net)
    net.pool("max", 3, 2).conv(80).conv(192, 3, 1, "valid").pool("max", 3, 2)


def _inception_a(net: Tape, first: int, small: int, pooled: int, five: bool = True) -> None:
    """35x35: 1x1; 5x5 (or 3x3); two 3x3; the average."""
    net.join(
        net.branch().conv(first),
        net.branch().conv(small).conv(64 if five else 96, 5 if five else 3),
        net.branch().conv(64).conv(96, 3).conv(96, 3),
        net.branch().pool("average", 3, 1, "same").conv(pooled),
    )


def inception_v3() -> list[Layer]:
    """Inception v3, 299."""
    net = Tape(299, 3)
    _stem_v3(net)
    for pooled in (32, 64, 64):
        _inception_a(net, 64, 48, pooled)
    net.join(
        net.branch().conv(384, 3, 2, "valid"),
        net.branch().conv(64).conv(96, 3).conv(96, 3, 2, "valid"),
        net.branch().pool("max", 3, 2),
    )
    for deep in (128, 160, 160, 192):
        net.join(
            net.branch().conv(192),
            net.branch().conv(deep).conv(deep, (1, 7)).conv(192, (7, 1)),
            net.branch()
            .conv(deep)
            .conv(deep, (7, 1))
            .conv(deep, (1, 7))
            .conv(deep, (7, 1))
            .conv(192, (1, 7)),
            net.branch().pool("average", 3, 1, "same").conv(192),
        )
    net.join(
        net.branch().conv(192).conv(320, 3, 2, "valid"),
        net.branch().conv(192).conv(192, (1, 7)).conv(192, (7, 1)).conv(192, 3, 2, "valid"),
        net.branch().pool("max", 3, 2),
    )
    for _ in range(2):
        one = net.branch().conv(320)
        two = net.branch().conv(384)
        two.join(two.branch().conv(384, (1, 3)), two.branch().conv(384, (3, 1)))
        three = net.branch().conv(448).conv(384, 3)
        three.join(three.branch().conv(384, (1, 3)), three.branch().conv(384, (3, 1)))
        net.join(one, two, three, net.branch().pool("average", 3, 1, "same").conv(192))
    return net.pool("average", 8, 1).conv(1001).layers


def inception_v4() -> list[Layer]:
    """Inception v4, 299."""
    net = Tape(299, 3)
    _inception_stem(net)
    net.join(net.branch().pool("max", 3, 2), net.branch().conv(96, 3, 2, "valid"))
    net.join(
        net.branch().conv(64).conv(96, 3, 1, "valid"),
        net.branch().conv(64).conv(64, (1, 7)).conv(64, (7, 1)).conv(96, 3, 1, "valid"),
    )
    net.join(net.branch().conv(192, 3, 2, "valid"), net.branch().pool("max", 3, 2))
    for _ in range(4):
        _inception_a(net, 96, 64, 96, five=False)
    net.join(
        net.branch().conv(384, 3, 2, "valid"),
        net.branch().conv(192).conv(224, 3).conv(256, 3, 2, "valid"),
        net.branch().pool("max", 3, 2),
    )
    for _ in range(7):
        net.join(
            net.branch().conv(384),
            net.branch().conv(192).conv(224, (1, 7)).conv(256, (7, 1)),
            net.branch().conv(192).conv(192, (7, 1)).conv(224, (1, 7)).conv(224, (7, 1)).conv(256, (1, 7)),
            net.branch().pool("average", 3, 1, "same").conv(128),
        )
    net.join(
        net.branch().conv(192).conv(192, 3, 2, "valid"),
        net.branch().conv(256).conv(256, (1, 7)).conv(320, (7, 1)).conv(320, 3, 2, "valid"),
        net.branch().pool("max", 3, 2),
    )
    for _ in range(3):
        one = net.branch().conv(256)
        two = net.branch().conv(384)
        two.join(two.branch().conv(256, (1, 3)), two.branch().conv(256, (3, 1)))
        three = net.branch().conv(384).conv(448, (3, 1)).conv(512, (1, 3))
        three.join(three.branch().conv(256, (1, 3)), three.branch().conv(256, (3, 1)))
        net.join(one, two, three, net.branch().pool("average", 3, 1, "same").conv(256))
    net.pool("average", 8, 1)
    net.layers.append(fully_connected(net.channels, 1001))
    return net.layers


def inception_resnet_v2() -> list[Layer]:
    """Inception-ResNet v2, 299, up to its auxiliary classifier: what was measured ends there."""
    net = Tape(299, 3)
    _stem_v3(net)
    _inception_a(net, 96, 48, 64)
    for _ in range(10):
        inside = net.branch()
        inside.join(
            net.branch().conv(32),
            net.branch().conv(32).conv(32, 3),
            net.branch().conv(32).conv(48, 3).conv(64, 3),
        )
        inside.conv(net.channels)
        net.plus()
    net.join(
        net.branch().conv(384, 3, 2, "valid"),
        net.branch().conv(256).conv(256, 3).conv(384, 3, 2, "valid"),
        net.branch().pool("max", 3, 2),
    )
    for _ in range(20):
        inside = net.branch()
        inside.join(net.branch().conv(192), net.branch().conv(128).conv(160, (1, 7)).conv(192, (7, 1)))
        inside.conv(net.channels)
        net.plus()
    net.pool("average", 5, 3).conv(128).conv(768, 5, 1, "valid")
    net.layers.append(fully_connected(net.channels, 1001))
    return net.layers


ARCHITECTURES: dict[str, Callable[[], list[Layer]]] = {
    "mobilenet_v1": mobilenet_v1,
    "squeezenet": squeezenet,
    "resnet_v2": resnet_v2_101,
    "inception_v3": inception_v3,
    "inception_v4": inception_v4,
    "inception_resnet_v2": inception_resnet_v2,
}
