"""Simulated accelerators: how well time models predict what their compilers and cost models say of whole networks."""
