"""Accelerators that one does not have: compilers and cost models that say what a layer takes there, as targets.

Each simulator runs in a process of its own, see the `…_worker` modules. May import the other files of `profiler.devices`.
"""

from __future__ import annotations

from profiler.devices.simulated.ethos_u import EthosUTarget
from profiler.devices.simulated.simulator import PREFIX, Simulators, SimulatorTarget
from profiler.devices.simulated.weights import WeightDecoder
from profiler.devices.simulated.zigzag import ZigZagTarget

__all__ = ["PREFIX", "EthosUTarget", "SimulatorTarget", "Simulators", "WeightDecoder", "ZigZagTarget"]
