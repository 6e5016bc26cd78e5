"""What Arm's CMSIS-NN kernels use while they run, on processors with DSP instructions (Cortex-M4, M7, M33).

Source: ``arm_*_get_buffer_size`` of CMSIS-NN. Dilated depthwise convolutions use less than is said here.
"""

from __future__ import annotations

from profiler.microcontrollers.kernels import Node


def cmsis_nn_scratch(node: Node) -> list[int]:
    """Buffers in bytes besides those of the reference kernel."""
    if node.data.dtype != "int8" or not node.outputs or len(node.operand(0).shape) != 4:
        return []
    shape, channels = node.operand(1).shape, node.operand(0).shape[3]
    if node.op == "conv_2d" and len(shape) == 4 and shape[1:3] != (1, 1):
        # Two columns of the image as int16.
        columns = -(-shape[1] * shape[2] * shape[3] // 4) * 4
        return [2 * 2 * columns]
    if node.op == "depthwise_conv_2d" and len(shape) == 4 and shape[1:3] != (3, 3):
        alone = channels == node.outputs[0].shape[-1] and node.operand(0).shape[0] == 1
        return [2 * channels * shape[1] * shape[2]] if alone else []
    return [4 * channels] if node.op == "average_pool_2d" else []
