"""A sequence-to-sequence network of Keras as one `.tflite` file: its encoder, and its decoder's step for a palette of widths.

May import the rooms of export and exits (several networks in one file).
"""

from __future__ import annotations

from compressor.sequence.exporting import ExportedSequence, export_sequence, step_bytes
from compressor.sequence.palette import choose_palette

__all__ = ["ExportedSequence", "choose_palette", "export_sequence", "step_bytes"]
