"""What policies that choose per input save: cascades, premodels and exits beside the best single network."""
