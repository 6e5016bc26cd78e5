"""What verbs share: progress, tables, options, failures in one sentence."""

from __future__ import annotations

from edgetime.terminal import failures, microcontroller, options, views
from edgetime.terminal.console import Terminal, table
from edgetime.terminal.failures import StoppedError, keeping
from edgetime.terminal.outputs import keeping_inputs

__all__ = [
    "StoppedError",
    "Terminal",
    "failures",
    "keeping",
    "keeping_inputs",
    "microcontroller",
    "options",
    "table",
    "views",
]
