"""``edgetime demo``: the whole story on this machine."""

from __future__ import annotations

from edgetime.demo.demo import Demo
from edgetime.demo.task import WIDTHS, load_digits, train_network

__all__ = ["WIDTHS", "Demo", "load_digits", "train_network"]
