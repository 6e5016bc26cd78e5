"""How well files that a user has are predicted: coverage, error and intervals against measurement."""
