"""Beams whose width follows the input against every fixed width, and the search's own time."""
