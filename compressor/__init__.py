"""Smaller, faster networks of the same accuracy; TFLite export."""
