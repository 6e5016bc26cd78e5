"""Where probes run: this machine, another Python, a board over SSH. `agent.py` is the one file that goes to a board.

May import `profiler.probes` and below.
"""

from __future__ import annotations

from profiler.devices import agent
from profiler.devices.agent import random_values
from profiler.devices.default import default_target, note_python
from profiler.devices.setting import Setting, device_name
from profiler.devices.target import (
    KERNELS,
    AgentTarget,
    LocalTarget,
    SshTarget,
    Target,
    canary,
    list_targets,
    open_target,
)

__all__ = [
    "KERNELS",
    "AgentTarget",
    "LocalTarget",
    "Setting",
    "SshTarget",
    "Target",
    "agent",
    "canary",
    "default_target",
    "device_name",
    "list_targets",
    "note_python",
    "open_target",
    "random_values",
]
