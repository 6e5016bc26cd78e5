"""The baseline that trains one network for all widths is a search method like others."""

from benchmarks.compression.supernet_widths import SupernetWidths
from compressor.testing.methods import check_method


def test_it_passes_the_suite_of_methods(tmp_path):
    check_method(lambda: SupernetWidths(steps=2, candidates=2), tmp_path)
