"""What a network's weights are stored in.

May import `compressor.export`, `compressor.training` and `compressor.data`.
"""
