"""Where probes run: this machine, another Python, a board over SSH. `agent.py` is the one file that goes to a board; where
power is read, two more go there.

May import `profiler.probes` and below.
"""

from __future__ import annotations

from profiler.devices import agent
from profiler.devices.agent_target import KERNELS, AgentTarget, LocalTarget, SshTarget, canary
from profiler.devices.default import default_target
from profiler.devices.power import PowerOption, register_power_source
from profiler.devices.registry import list_targets, open_target, register_target
from profiler.devices.target import Setting, Target, device_name

__all__ = [
    "KERNELS",
    "AgentTarget",
    "LocalTarget",
    "PowerOption",
    "Setting",
    "SshTarget",
    "Target",
    "agent",
    "canary",
    "default_target",
    "device_name",
    "list_targets",
    "open_target",
    "register_power_source",
    "register_target",
]
