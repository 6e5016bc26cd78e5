"""Convert the networks of the benchmarks: ``python -m benchmarks.networks FOLDER [NAME …]``."""

from benchmarks.networks.catalogue import main

main()
