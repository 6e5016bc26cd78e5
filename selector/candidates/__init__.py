"""The networks to choose from: their times on the device, and what they answer on rows with labels.

May import the room of runtime.
"""

from __future__ import annotations

from selector.candidates.answers import Answers, Detector

__all__ = ["Answers", "Detector"]
