"""Compression on three real tasks: what each method reaches at the same accuracy, by measured time.

``python -m benchmarks.compression --help`` says how to run it.
"""
