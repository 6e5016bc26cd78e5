from hypothesis import given
from hypothesis import strategies as st

from profiler.microcontrollers.planner import Buffer, plan

lives = st.tuples(st.integers(0, 64), st.integers(0, 9), st.integers(0, 9)).map(
    lambda row: Buffer(16 * row[0], min(row[1:]), max(row[1:]))
)


def test_buffers_that_never_live_together_share_their_place():
    buffers = [Buffer(64, 0, 1), Buffer(32, 2, 3)]
    assert plan(buffers) == 64
    assert [buffer.offset for buffer in buffers] == [0, 0]


def test_the_largest_buffer_is_placed_first_and_the_next_behind_it():
    buffers = [Buffer(16, 0, 1), Buffer(64, 1, 2)]
    assert plan(buffers) == 80
    assert [buffer.offset for buffer in buffers] == [64, 0]


def test_of_two_equal_buffers_the_later_one_is_placed_first():
    buffers = [Buffer(32, 0, 1), Buffer(32, 1, 2)]
    plan(buffers)
    assert [buffer.offset for buffer in buffers] == [32, 0]


def test_the_first_gap_is_taken_even_where_a_later_one_fits_better():
    fixed = [Buffer(64, 0, 9, fixed=64), Buffer(64, 0, 9, fixed=144)]
    small = Buffer(16, 0, 9)
    plan([*fixed, small])
    assert small.offset == 0  # a gap of 64 bytes; that from 128 to 144 would fit exactly


def test_offsets_that_the_file_gives_are_kept():
    buffers = [Buffer(32, 0, 1, fixed=96), Buffer(48, 0, 1)]
    assert plan(buffers) == 128
    assert [buffer.offset for buffer in buffers] == [96, 0]


@given(st.lists(lives, max_size=20))
def test_no_two_buffers_that_live_together_overlap(buffers):
    end = plan(buffers)
    for number, one in enumerate(buffers):
        assert 0 <= one.offset <= end - one.nbytes
        for other in buffers[:number]:
            together = one.first <= other.last and other.first <= one.last
            apart = one.offset >= other.offset + other.nbytes or other.offset >= one.offset + one.nbytes
            assert apart or not together or not one.nbytes or not other.nbytes
