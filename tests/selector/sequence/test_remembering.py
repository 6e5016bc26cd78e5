from __future__ import annotations

import numpy as np
import pytest

from selector.sequence import (
    DeviationWidth,
    EntropyWidth,
    FixedWidth,
    RememberingDecoder,
    SearchOptions,
    ThresholdPruning,
    beam_search,
)
from selector.testing import RandomDecoder

WIDTHS = (
    FixedWidth(8),
    FixedWidth(3),
    ThresholdPruning(absolute=1.0, widest=6),
    ThresholdPruning(None, relative=0.3, token=2.0, per_hypothesis=1),
    EntropyWidth(alpha=1.5, beta=0.5, widest=6),
    EntropyWidth(of="mean", applied="next", widest=6),
    DeviationWidth(alpha=-8.0, beta=6.0, k=4, widest=6),
)


@pytest.mark.parametrize(
    "options",
    [SearchOptions(forbidden=(3, 7)), SearchOptions(0.0, stop="proof", best=2), SearchOptions(shortest=4)],
)
def test_searches_find_from_memory_what_they_find_by_running(options: SearchOptions):
    decoder = RandomDecoder()
    remembering = RememberingDecoder(decoder, options)
    sources = [(number, number * 3 % 11) for number in range(1, 12)]
    for widths in (*WIDTHS, *WIDTHS):
        for source in sources:
            found, wanted = (beam_search(one, source, widths, options) for one in (remembering, decoder))
            assert (found.widths, found.run_widths) == (wanted.widths, wanted.run_widths)
            assert [one.tokens for one in found.hypotheses] == [one.tokens for one in wanted.hypotheses]
            assert [one.score for one in found.hypotheses] == pytest.approx(
                [one.score for one in wanted.hypotheses], rel=1e-5
            )


def test_what_was_seen_is_not_run_again():
    decoder = RandomDecoder()
    remembering = RememberingDecoder(decoder, SearchOptions())
    beam_search(remembering, (1, 2), FixedWidth(5))
    ran = remembering.steps_run
    assert ran > 0
    again = beam_search(remembering, (1, 2), FixedWidth(5))
    assert remembering.steps_run == ran
    assert np.isfinite(again.best.score)


def test_entropies_leave_out_an_end_that_comes_too_early():
    # END takes half of the probability: with it the entropy is (log 2 + log 8) / 2, without it half of log 8.
    decoder = RandomDecoder(vocabulary=5, widest=4)
    decoder._table[:] = np.log([0.5, 0.125, 0.125, 0.125, 0.125])
    wanted = []
    for shortest in (0, 2):
        remembering = RememberingDecoder(decoder, SearchOptions(shortest=shortest))
        remembering.start((1,))
        remembering.step(np.array([1], np.int32), np.array([0]))
        wanted.append(remembering.entropies[0])
    assert wanted == pytest.approx([0.5 * np.log(2) + 0.5 * np.log(8), 0.5 * np.log(8)], rel=1e-5)
