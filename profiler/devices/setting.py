"""How a device runs networks, and what it is called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Setting:
    """How a device runs networks: the runtime, its kernels, the number of threads."""

    runtime: str
    version: str
    kernels: str = "xnnpack"
    threads: int = 1

    @property
    def key(self) -> str:
        """One line that names the setting, such as ``ai-edge-litert 2.3.0, xnnpack, 1 thread``."""
        plural = "" if self.threads == 1 else "s"
        return f"{self.runtime} {self.version}, {self.kernels}, {self.threads} thread{plural}"

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "runtime": self.runtime,
            "version": self.version,
            "kernels": self.kernels,
            "threads": self.threads,
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Setting:
        """Read what `to_dict` wrote."""
        return cls(str(value["runtime"]), str(value["version"]), str(value["kernels"]), int(value["threads"]))


def device_name(fingerprint: Mapping[str, Any]) -> str:
    """Name a device by its processor and cores, the same under every setting."""
    cores = int(fingerprint.get("cores", 1))
    return f"{fingerprint.get('cpu', 'unknown')}, {cores} core{'' if cores == 1 else 's'}"
