"""Whether what `compress` promises of accuracy holds: how often it is broken over many resamplings of the rows that it rests on."""
