"""Mixed precision: which operators of a float `.tflite` become integer, chosen by predicted time and by the network's own outputs.

May import the rooms of data, training and export.
"""

from compressor.weights.quantization.assignment import FLOAT, Assignment, QuantizableNetwork
from compressor.weights.quantization.choosing import MixedResult, Rival, export_mixed
from compressor.weights.quantization.effect import divergence
from compressor.weights.quantization.search import MixedCandidate, search

__all__ = [
    "FLOAT",
    "Assignment",
    "MixedCandidate",
    "MixedResult",
    "QuantizableNetwork",
    "Rival",
    "divergence",
    "export_mixed",
    "search",
]
