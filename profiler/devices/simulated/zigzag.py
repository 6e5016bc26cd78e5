"""Accelerator designs of ZigZag (`zigzag-dse`), by the time and energy that its cost model finds for a layer's best mapping."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from profiler.devices.simulated.simulator import Simulators, SimulatorTarget
from profiler.errors import UsageError
from profiler.probes import Probe, plan_few

DESIGNS = ("ascend_like", "edge_tpu_like", "eyeriss_like", "meta_prototype", "tesla_npu_like", "tpu_like")
_WHOLE = {"mhz": (1, 100_000), "weight_bits": (1, 32), "activation_bits": (1, 32), "sum_bits": (1, 64)}
"""Options that are whole numbers, and from where to where."""
_USUAL = {"mhz": 1000, "weight_bits": 8, "activation_bits": 8, "sum_bits": 16, "optimise": "latency"}


class ZigZagTarget(SimulatorTarget):
    """A design of ZigZag: time and energy of what multiplies by weights; other operators are none of its.

    Layers run one after the other and meet in the design's outermost memory, so a network is the sum of its layers. A layer
    takes the model a second or several, so few are probed.
    """

    designs: ClassVar = DESIGNS
    distribution: ClassVar = "zigzag-dse"
    extra: ClassVar = "zigzag"
    worker: ClassVar = "profiler.devices.simulated.zigzag_worker"
    options: ClassVar = tuple(_USUAL)
    most_weight_bits: ClassVar = _WHOLE["weight_bits"][1]
    specs: ClassVar = {
        "edge_tpu_like": (
            f"by ZigZag, also {', '.join(name for name in DESIGNS if name != 'edge_tpu_like')}: time and energy per "
            "layer of int8 networks; options ?mhz=N&weight_bits=N&activation_bits=N&optimise=energy&cpu=CPU.timemodel.json"
        )
    }

    def configuration(self) -> dict[str, Any]:
        """Design, clock, and bits of each operand."""
        found: dict[str, Any] = {"design": self.design, **_USUAL}
        for name, (least, most) in _WHOLE.items():
            text = self.given.get(name, str(found[name]))
            if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
                raise UsageError(f"{name} must be a whole number from {least} to {most}, not {text!r}.")
            found[name] = int(text)
        found["optimise"] = self.given.get("optimise", "latency")
        if found["optimise"] not in ("latency", "energy"):
            raise UsageError(f"optimise must be latency or energy, not {found['optimise']!r}.")
        return found

    def planned(self, dtypes: Sequence[str], ops: Sequence[str] | None, seed: int) -> list[Probe]:
        """Few layers, those first that networks spend their time in."""
        return plan_few(dtypes, ops, seed)


Simulators.kinds.append(ZigZagTarget)
