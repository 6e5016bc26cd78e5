"""Whether integer arithmetic is faster on a device: often it is not."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from compressor.export.conversion import to_tflite_bytes
from compressor.export.keras_files import InputShape, in_float32, load_keras
from compressor.export.turns import measure_in_turns
from profiler.devices import Target
from profiler.errors import EdgetimeError
from profiler.tflite import read_network
from timemodel.model import NetworkPredictor

_TOLD_APART = 1.05
"""Times nearer to each other than this ratio are taken for the same."""


def keep_float32(quantize: str, quantized_ms: float, float32_ms: float) -> str:
    """The advice against a precision that is slower than float32, as a sentence; empty where it is not slower."""
    if not quantized_ms > _TOLD_APART * float32_ms > 0:
        return ""
    return (
        f"Keep float32 here: {quantize} takes {quantized_ms / float32_ms:.2g} times as long on this device."
    )


def faster_in_words(ratio: float) -> str:
    """What a ratio of times before and after says: ``1.43x faster``, ``no faster (1.43x slower)``."""
    text = f"{ratio:.2f}"
    if text == "1.00":
        return "no faster"
    return f"{text}x faster" if ratio > 1 else f"no faster ({1 / ratio:.2f}x slower)"


@dataclass(frozen=True)
class PrecisionTimes:
    """What a network takes in float32 and in another precision on one device, measured or predicted."""

    device: str
    quantize: str
    float32_ms: float
    quantized_ms: float
    measured: bool

    @property
    def advice(self) -> str:
        """`keep_float32` of it."""
        return keep_float32(self.quantize, self.quantized_ms, self.float32_ms)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)


def precision_times(
    model: str | Path,
    file: Path,
    quantize: str,
    device: NetworkPredictor | Target,
    input_shape: InputShape | None = None,
) -> PrecisionTimes:
    """Compare a quantised file with the ``.keras`` file that it was made of, in float32: measured in turns, or predicted.

    Raises EdgetimeError where not all of a predicted time is known: what is left out of one file may be in the other.
    """
    plain = to_tflite_bytes(in_float32(load_keras(model)), input_shape=input_shape)
    if isinstance(device, Target):
        with TemporaryDirectory() as folder:
            float32 = Path(folder) / f"{file.stem}_float32.tflite"
            float32.write_bytes(plain)
            turns = measure_in_turns({"float32": float32, quantize: file}, device)
        float32_ms, quantized_ms = turns.median_ms("float32"), turns.median_ms(quantize)
        return PrecisionTimes(device.name, quantize, float32_ms, quantized_ms, measured=True)
    found = {"float32": device.predict(read_network(plain)), quantize: device.predict(read_network(file))}
    for name, one in found.items():
        if one.at_least:
            raise EdgetimeError(
                f"{quantize} is not compared with float32 on {device.device}: not all of the time in {name} is known "
                f"({one.not_known}). Give --target to measure."
            )
    times_ms = found["float32"].predicted_ms, found[quantize].predicted_ms
    return PrecisionTimes(device.device, quantize, *times_ms, measured=False)
