"""The networks that benchmarks predict and measure: public files, and architectures of keras.applications."""

from __future__ import annotations

import os
from pathlib import Path

APPLICATIONS: dict[str, tuple[str, int]] = {
    "mobilenet_v1": ("MobileNet", 224),
    "mobilenet_v2": ("MobileNetV2", 224),
    "efficientnet_b0": ("EfficientNetB0", 224),
    "resnet50": ("ResNet50", 224),
    "mobilenet_v1_128": ("MobileNet", 128),
    "mobilenet_v2_96": ("MobileNetV2", 96),
    "mobilenet_v3_small": ("MobileNetV3Small", 224),
    "mobilenet_v3_large": ("MobileNetV3Large", 224),
    "efficientnet_v2_b0": ("EfficientNetV2B0", 224),
    "densenet121": ("DenseNet121", 224),
    "inception_v3": ("InceptionV3", 299),
    "nasnet_mobile": ("NASNetMobile", 224),
    "resnet50_v2": ("ResNet50V2", 224),
    "xception": ("Xception", 299),
    "convnext_tiny": ("ConvNeXtTiny", 224),
    "vgg16": ("VGG16", 224),
}
"""Class in keras.applications and side of its input; weights are random, which times do not depend on."""

NAMED = ("mobilenet_v1", "mobilenet_v2", "efficientnet_b0", "resnet50")
"""Those that are always in the table."""

PUBLIC = ("ad01_fp32", "kws_ref_model_float32", "pretrainedResnet", "trained_lstm")
"""Float files in the shared data folder."""


def shared_data() -> Path | None:
    """The folder of public models and measurements, if it is there."""
    place = os.environ.get("EDGETIME_SHARED_DATA")
    folder = Path(place) if place else Path(__file__).resolve().parents[1].parent / "shared" / "data"
    return folder if folder.is_dir() else None


def public_files() -> list[Path]:
    """Float files of others; empty where the shared data folder is missing."""
    folder = shared_data()
    return [folder / "models" / f"{name}.tflite" for name in PUBLIC] if folder else []


def application_file(name: str, folder: Path) -> Path:
    """The `.tflite` file of one of `APPLICATIONS` in `folder`, converted where it is not there yet."""
    path = folder / f"{name}.tflite"
    if not path.exists():
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        import keras

        from compressor.export import to_tflite_bytes
        from profiler.files import write_bytes

        kind, side = APPLICATIONS[name]
        model = getattr(keras.applications, kind)(weights=None, input_shape=(side, side, 3))
        write_bytes(path, to_tflite_bytes(model))
        keras.backend.clear_session()
    return path
