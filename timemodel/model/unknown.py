"""Why the time of an operator is not known, in words that say what to do about it."""

from __future__ import annotations

from collections.abc import Sequence

from profiler.network import Layer
from profiler.probes import ALONGSIDE

FLEX = "custom:Flex"

_COMPILED = {
    "ethos-u": "Arm Ethos-U",
    "ethosu": "Arm Ethos-U",
    "ethos-n": "Arm Ethos-N",
    "edgetpu-custom-op": "Google Edge TPU",
    "dispatch_op": "an NPU by LiteRT's dispatch",
    "qnn": "Qualcomm",
    "qualcomm": "Qualcomm",
    "hexagon": "Qualcomm Hexagon",
    "mtkext": "MediaTek",
    "mediatek": "MediaTek",
    "neuron": "MediaTek",
    "neutron": "NXP eIQ Neutron",
    "vsi-npu": "VeriSilicon (NXP, Amlogic)",
    "nbg": "VeriSilicon (NXP, Amlogic)",
    "xc_": "XMOS xcore",
    "xcore": "XMOS xcore",
    "tidl": "Texas Instruments TIDL",
    "mvp": "Silicon Labs MVP",
    "mvpv1": "Silicon Labs MVP",
    "rknn": "Rockchip NPU",
    "hailo": "Hailo",
    "akida": "BrainChip Akida",
    "enn": "Samsung Exynos NPU",
    "stm32": "STMicroelectronics Neural-ART",
    "neural_art": "STMicroelectronics Neural-ART",
    "esp_": "Espressif",
    "openvino": "Intel OpenVINO",
}
"""What the names of operators begin with that hold a part of a network compiled for an accelerator."""


def compiled_for(op: str) -> str | None:
    """The accelerator that an operator ``custom:NAME`` is compiled for; None where its name tells of none."""
    name = op.partition(":")[2].lower() if op.startswith("custom:") else ""
    long = max((start for start in _COMPILED if name.startswith(start)), key=len, default="")
    exact = long in ("nbg", "enn", "mvp") and name != long
    return _COMPILED[long] if long and not exact else None


def why_unknown(layer: Layer, others: Sequence[str], measured: bool) -> str:
    """Why the time of `layer` is not known, where its operator is `measured`, or is so in the arithmetics `others`."""
    op, dtype = layer.op, layer.dtype
    name = op.partition(":")[2]
    if op.startswith(FLEX):
        return f"needs the Flex delegate ({name}), which this runtime has not: export without Select TensorFlow operators"
    vendor = compiled_for(op)
    if vendor:
        return f"compiled for another device ({vendor}): give the file from before it was compiled"
    if measured and dtype in ALONGSIDE:
        return f"so much larger than the few measured in {dtype} that little is known: profile with --dtype {dtype} too"
    if measured:
        return "so much larger than what was measured that nothing is known: measure it with --measure"
    if others and op.startswith("custom:"):
        return f"a custom operator, measured in {' and '.join(others)} only"
    if others:
        return f"measured in {' and '.join(others)} only: profile with --dtype {dtype} too"
    if op.startswith("composite:"):
        return "a composite that the runtime takes whole, never measured on this device: measure it with --measure"
    if op.startswith("custom:"):
        return (
            "a custom operator that was never measured on this device: only a runtime that has it can run it"
        )
    return "never measured on this device"
