"""Profiles taken beside busy neighbours, against times of whole networks met in calm."""
