"""Sequence-to-sequence networks, trained small and exported for dynamic beam search: see README.md of this folder."""
