"""What choosing the precision of every operator gains."""
