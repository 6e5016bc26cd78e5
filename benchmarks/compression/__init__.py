"""Compression on real tasks: what each method reaches in equal time, at equal accuracy, by measured time.

``python -m benchmarks.compression --help`` says how to run it.
"""
