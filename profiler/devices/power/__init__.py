"""Where energy is read: sources of power by name, and what reads them on the device in windows between canaries.

`sensors` and `meter` are files that go to the device, as is the file of a source of your own. May import nothing else of
`profiler.devices`.
"""

from __future__ import annotations

from profiler.devices.power.registry import (
    PowerOption,
    list_power_sources,
    register_power_source,
    source_code,
)

__all__ = ["PowerOption", "list_power_sources", "register_power_source", "source_code"]
