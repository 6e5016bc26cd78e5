"""Tables of results as CSV."""

from benchmarks.csv_files import write_csv


def test_records_of_different_keys_share_a_table_and_floats_are_short(tmp_path):
    write_csv(tmp_path / "a.csv", [{"a": 1, "b": 0.123456789}, {"a": None, "c": "x,y"}], digits=3)
    assert (tmp_path / "a.csv").read_text() == 'a,b,c\n1,0.123,\n,,"x,y"\n'


def test_without_records_nothing_is_written(tmp_path):
    write_csv(tmp_path / "a.csv", [])
    assert not list(tmp_path.iterdir())
