"""Single layers on four GPUs, beside black boxes, and splits that several of them have in common.

``python -m benchmarks.gpu_layers --help`` says how to run it.
"""
