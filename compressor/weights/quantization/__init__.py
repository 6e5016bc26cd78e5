"""Mixed precision: which operators of a float `.tflite` become integer, chosen by predicted time and by the network's own outputs.

May import the rooms of data, training and export, and LineCompress' network that is rebuilt for training.
"""

from compressor.weights.quantization.assignment import FLOAT, Assignment, QuantizableNetwork
from compressor.weights.quantization.choosing import MixedResult, Rival, export_mixed
from compressor.weights.quantization.effect import divergence
from compressor.weights.quantization.finetuning import FineTuned, finetune
from compressor.weights.quantization.integers import integer_tensors
from compressor.weights.quantization.search import MixedCandidate, search
from compressor.weights.quantization.training import TRAINABLE, check_epochs, export_finetuned

__all__ = [
    "FLOAT",
    "TRAINABLE",
    "Assignment",
    "FineTuned",
    "MixedCandidate",
    "MixedResult",
    "QuantizableNetwork",
    "Rival",
    "check_epochs",
    "divergence",
    "export_finetuned",
    "export_mixed",
    "finetune",
    "integer_tensors",
    "search",
]
