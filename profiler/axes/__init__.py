"""What an operator says of the widths of its inputs and outputs."""
