"""From measured layers to a readable model of execution time."""
