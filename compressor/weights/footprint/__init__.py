"""Footprint: what weights of fewer bits save in time and energy on simulated accelerators, their decoder counted.

May import `compressor.weights.line_compress`, whose files say how many bits each layer's weights take.
"""

from compressor.weights.footprint.accelerator import AcceleratorFootprint, StorageCost, footprint
from compressor.weights.footprint.stored import StoredNetwork, read_stored

__all__ = ["AcceleratorFootprint", "StorageCost", "StoredNetwork", "footprint", "read_stored"]
