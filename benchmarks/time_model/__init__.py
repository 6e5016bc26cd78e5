"""Predicted against measured time of whole networks, beside other predictors.

``python -m benchmarks.time_model --help`` says how to run it.
"""
