"""Arm's Ethos-U accelerators, by the cycles and the memory traffic that their compiler (Vela) works out per layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from profiler.devices.simulated.simulator import Simulators, SimulatorTarget
from profiler.probes import Probe, plan_company

MACS = {
    "ethos-u55": (32, 64, 128, 256),
    "ethos-u65": (256, 512),
    "ethos-u85": (128, 256, 512, 1024, 2048),
}
"""Multiply-accumulates per cycle that each family comes with."""


class EthosUTarget(SimulatorTarget):
    """An Ethos-U, in the compiler's memory mode and system configuration or in others that it knows.

    A network is more than its layers here: what stays in fast memory between two layers, and in which layout, decides what
    both cost. So layers are probed in company, and the compiler says what each of them took there.
    """

    designs: ClassVar = tuple(f"{family}-{macs}" for family, sizes in MACS.items() for macs in sizes)
    distribution: ClassVar = "ethos-u-vela"
    extra: ClassVar = "ethos-u"
    worker: ClassVar = "profiler.devices.simulated.ethos_u_worker"
    options: ClassVar = ("memory_mode", "system_config")
    specs: ClassVar = {
        f"{family}-{sizes[0]}": (
            f"Arm {family.title()} simulated, also {', '.join(f'-{macs}' for macs in sizes[1:])}: time per layer of int8 networks; "
            "options ?memory_mode=M&system_config=S&cpu=CPU.timemodel.json"
        )
        for family, sizes in MACS.items()
    }

    @property
    def title(self) -> str:
        """Such as ``Ethos-U55-128``."""
        return self.design.title()

    def configuration(self) -> dict[str, Any]:
        """Accelerator, memory mode and system configuration; None for the compiler's own choice."""
        return {"design": self.design, **{name: self.given.get(name) for name in self.options}}

    def planned(self, dtypes: Sequence[str], ops: Sequence[str] | None, seed: int) -> list[Probe]:
        """Layers between others, and whole networks."""
        return plan_company(dtypes, ops, seed)


Simulators.kinds.append(EthosUTarget)
