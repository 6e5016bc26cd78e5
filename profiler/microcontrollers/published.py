"""Published results of MLPerf Tiny: an order of magnitude for a network on microcontrollers, and no more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from profiler.network import Network

SOURCE = "MLPerf Tiny v1.3, closed division, image classification (ResNet-8, int8)"
RESNET8_MACS = 12_501_632
"""Multiply-accumulates of that network."""


@dataclass(frozen=True)
class PublishedResult:
    """One board's published result; None where it was not published here."""

    board: str
    inferences_per_s: float | None
    energy_uj: float


RESULTS = (
    PublishedResult("STM32 L4R5", 6.04, 5496.0),
    PublishedResult("STM32 U575", None, 2565.0),
    PublishedResult("STM32 U385", None, 966.0),
)


def order_of_magnitude(network: Network) -> list[dict[str, Any]]:
    """Time and energy by multiply-accumulates alone, as if all cost what ResNet-8's do; empty where it is not int8.

    Other kernels, clocks and operators change them several times over.
    """
    if network.dtype != "int8" or not network.macs:
        return []
    share = network.macs / RESNET8_MACS
    return [
        {
            "board": result.board,
            "time_ms": share * 1e3 / result.inferences_per_s if result.inferences_per_s else None,
            "energy_mj": share * result.energy_uj / 1e3,
            "source": SOURCE,
        }
        for result in RESULTS
    ]
