"""This machine as a target."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import ClassVar

from profiler.devices import agent
from profiler.devices.agent_target import AgentTarget, agent_options
from profiler.devices.default import note_python
from profiler.errors import UsageError


class LocalTarget(AgentTarget):
    """This machine: the agent runs as a process of its own, under this interpreter or another one.

    Parameters
    ----------
    threads, kernels
        The setting; kernels are ``xnnpack``, ``builtin`` or ``reference``.
    python
        The interpreter that runs the agent: one with numpy and a LiteRT or tflite-runtime package.
    """

    specs: ClassVar = {
        "local": (
            "this machine, XNNPACK kernels, one thread: profile, predict --measure with times per operator"
        ),
        "local:threads=2": "this machine with more threads",
        "local:kernels=builtin": "this machine without XNNPACK",
        "local:kernels=reference": "this machine with the plain reference kernels (slow)",
        "local:python=/path/to/python": "this machine with the runtime of another Python",
    }

    @classmethod
    def from_options(cls, options: str) -> LocalTarget:
        """Read ``threads=N,kernels=K,python=PATH``."""
        return cls(**agent_options(options.split(",")))

    def __init__(self, threads: int = 1, kernels: str = "xnnpack", python: str | None = None) -> None:
        super().__init__("local", threads, kernels)
        if python is not None and shutil.which(python) is None:
            raise UsageError(f"there is no Python interpreter {python}: give the path of one after python=.")
        self.python = python or sys.executable

    def command(self) -> tuple[list[str], bytes]:
        """Run the agent's file."""
        return [self.python, str(Path(agent.__file__).resolve()), "--serve"], b""

    def _start(self) -> None:
        super()._start()
        note_python(self.python, self._fingerprint)
