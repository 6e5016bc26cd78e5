"""Custom operators that LiteRT brings itself: boxes of detectors, pooling that remembers where, spectra of sound."""

from __future__ import annotations

import struct

import numpy as np
from flatbuffers import flexbuffers

from profiler.network import Layer, Param, Tensor
from profiler.operators import sizes
from profiler.operators.options import FileFormat
from profiler.operators.registry import FEW, FORM, Operator, Rng, drawn, register_operators

_POSTPROCESS = "custom:TFLite_Detection_PostProcess"
_REGULAR = "regular"


def detection_postprocess(anchors: int, classes: int, shown: int = 10, regular: bool = False) -> Layer:
    """Boxes and scores of a detector made into its `shown` best ones, by the best class of each box.

    If `regular`, boxes are compared within each class, which takes a detector of many classes many times as long.
    """
    operands = (
        Tensor((1, anchors, 4)),
        Tensor((1, anchors, classes + 1)),
        Tensor((anchors, 4), "float32", True),
    )
    results = Tensor((1, shown, 4)), Tensor((1, shown)), Tensor((1, shown)), Tensor((1,))
    return Layer(_POSTPROCESS, operands, results, {FORM: _REGULAR} if regular else {})


def _draw_postprocess(op: str, rng: Rng, dtype: str) -> Layer:
    regular = op.endswith(f":{_REGULAR}")
    anchors, classes = sizes.scaled(rng, 50, 2000 if regular else 4000), int(rng.choice([1, 2, 20, 80, 90]))
    return detection_postprocess(anchors, classes, int(rng.choice([10, 10, 25, 100])), regular)


def _postprocess_options(layer: Layer) -> bytes:
    numbers = {
        "max_detections": layer.outputs[0].shape[1],
        "max_classes_per_detection": 1,
        "detections_per_class": 100,
        "num_classes": layer.inputs[1].shape[-1] - 1,  # the first column is the background
    }
    fractions = {"nms_score_threshold": 1e-8, "nms_iou_threshold": 0.6, "y_scale": 10.0, "x_scale": 10.0}
    fractions |= {"h_scale": 5.0, "w_scale": 5.0}
    builder = flexbuffers.Builder()
    with builder.Map():
        for name, number in numbers.items():
            builder.Key(name)
            builder.Int(number)
        builder.Key("use_regular_nms")
        builder.Bool(layer.params.get(FORM) == _REGULAR)
        for name, fraction in fractions.items():
            builder.Key(name)
            builder.Float(fraction)
    return bytes(builder.Finish())


def _read_postprocess(content: bytes) -> dict[str, Param]:
    """What of an operator's bytes says how long it takes; bytes that are damaged say nothing."""
    try:
        regular = flexbuffers.GetRoot(bytearray(content)).AsMap["use_regular_nms"].AsBool
    except Exception:  # it was made for bytes that are whole
        return {}
    return {FORM: _REGULAR} if regular else {}


def _anchors(layer: Layer) -> np.ndarray:
    """Boxes of any place and size: how many overlap decides how many are compared."""
    return np.random.default_rng(0).uniform(0.05, 1.0, layer.inputs[2].size)


def _draw_pooling(op: str, rng: Rng, dtype: str) -> Layer:
    """Pooling by 2 that remembers where the largest stood, and its reverse."""
    side, channels = 2 * sizes.scaled(rng, 2, 48), sizes.scaled(rng, 4, 96)
    large, small = (1, side, side, channels), (1, side // 2, side // 2, channels)
    if op.endswith("Argmax2D"):
        return Layer(op, (Tensor(large),), (Tensor(small), Tensor(small)))
    return Layer(op, (Tensor(small), Tensor(small)), (Tensor(large),))


def _draw_transposed(op: str, rng: Rng, dtype: str) -> Layer:
    """A transposed convolution with a bias, as MediaPipe's segmenters end."""
    side, inside, outside = sizes.scaled(rng, 4, 64), sizes.scaled(rng, 4, 64), sizes.scaled(rng, 1, 32)
    operands = (
        Tensor((1, side, side, inside)),
        Tensor((outside, 2, 2, inside), "float32", True),
        Tensor((outside,), "float32", True),
    )
    return Layer(op, operands, (Tensor((1, 2 * side, 2 * side, outside)),))


def _pool_options(layer: Layer) -> bytes:
    """Padding (valid is 2), strides, kernel, and what the runtime keeps in the same record."""
    return struct.pack("<6i4i", 2, 2, 2, 2, 2, 0, 0, 0, 0, 0)


def _transposed_options(layer: Layer) -> bytes:
    """Padding (same is 1) and strides."""
    return struct.pack("<5i", 1, 2, 2, 0, 0)


register_operators(
    Operator(
        _POSTPROCESS,
        FileFormat(
            custom_options=_postprocess_options, read_custom=_read_postprocess, computed={2: _anchors}
        ),
        draws=drawn(_draw_postprocess, float32=(20, 104)),
        features="detection",
    ),
    Operator(
        f"{_POSTPROCESS}:{_REGULAR}", draws=drawn(_draw_postprocess, float32=(16, 115)), features="detection"
    ),
    Operator(
        "custom:MaxPoolingWithArgmax2D",
        FileFormat(custom_options=_pool_options),
        draws=drawn(_draw_pooling, float32=(FEW, 105)),
        features="pooling",
    ),
    Operator(
        "custom:MaxUnpooling2D",
        FileFormat(custom_options=_pool_options),
        draws=drawn(_draw_pooling, float32=(FEW, 106)),
        features="pooling",
    ),
    Operator(
        "custom:Convolution2DTransposeBias",
        FileFormat(custom_options=_transposed_options),
        draws=drawn(_draw_transposed, float32=(FEW, 107)),
        features="grouped",
    ),
)
