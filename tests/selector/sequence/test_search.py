from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from made_up_decoders import TableDecoder, slow_beam_search

from profiler.errors import DataError, EdgetimeError, UsageError
from selector.sequence import (
    FixedWidth,
    SearchOptions,
    ThresholdPruning,
    beam_search,
    best_first_search,
)
from selector.sequence.ranking import candidates

SOURCE = (3, 4)


@st.composite
def decoders(draw, exact: bool):
    """Tables of quarters, in which ties abound and sums are exact, or of normal numbers with an END that is likely."""
    vocabulary = draw(st.integers(2, 9))
    longest = draw(st.integers(1, 7))
    if exact:
        quarters = st.integers(-24, -1)
        tables = draw(hnp.arrays(np.int64, (draw(st.integers(1, 5)), vocabulary), elements=quarters)) / 4
    else:
        seed = draw(st.integers(0, 2**31))
        tables = np.random.default_rng(seed).normal(size=(17, vocabulary)) * draw(
            st.sampled_from([0.5, 2.0, 6.0])
        )
        tables[:, 0] += draw(st.sampled_from([-3.0, 0.0, 3.0]))
    few = None if exact else draw(st.sampled_from([None, 2, 5, vocabulary]))
    return TableDecoder(tables, tuple(range(1, 13)), longest, normalized=exact, few=few)


@st.composite
def searches(draw):
    """Options of all kinds."""
    return SearchOptions(
        alpha=draw(st.sampled_from([0.0, 0.6, 1.0])),
        offset=draw(st.sampled_from([0.0, 5.0])),
        best=draw(st.integers(1, 4)),
        shortest=draw(st.integers(0, 4)),
        longest_ratio=draw(st.sampled_from([0.0, 1.0, 2.0])),
        longest_more=draw(st.integers(1, 6)),
        stop=draw(st.sampled_from(["ended", "proof"])),
        prefix=tuple(draw(st.lists(st.integers(1, 1), max_size=2))),
    )


def assert_same(found, wanted, rows_run):
    assert [one.tokens for one in found.hypotheses] == [tokens for _, tokens in wanted]
    assert [one.score for one in found.hypotheses] == pytest.approx(
        [score for score, _ in wanted], rel=1e-5, abs=1e-5
    )
    assert list(found.widths) == rows_run


@settings(max_examples=150, deadline=None)
@given(st.booleans().flatmap(lambda exact: decoders(exact=exact)), searches(), st.integers(1, 12))
def test_beam_search_finds_what_a_plain_slow_one_finds(decoder, options, width):
    found = beam_search(decoder, SOURCE, FixedWidth(width), options)
    assert_same(found, *slow_beam_search(decoder, SOURCE, options, lambda *_: width))


@settings(max_examples=60, deadline=None)
@given(decoders(exact=False), searches(), st.integers(1, 12))
def test_stopping_early_by_proof_changes_no_output(decoder, options, width):
    found = beam_search(decoder, SOURCE, FixedWidth(width), options)
    wanted, _ = slow_beam_search(decoder, SOURCE, options, lambda *_: width, prove=False)
    assert [one.tokens for one in found.hypotheses] == [tokens for _, tokens in wanted]


@settings(max_examples=60, deadline=None)
@given(decoders(exact=False), searches(), st.integers(2, 8), st.sampled_from([0.0, 0.5, 2.0]))
def test_threshold_pruning_keeps_candidates_near_the_best(decoder, options, widest, absolute):
    def width_of(number, live, found, ended):
        best = max([-found[0][0], *ended])
        return min(sum(-one[0] >= best - absolute for one in found), widest)

    found = beam_search(decoder, SOURCE, ThresholdPruning(absolute=absolute, widest=widest), options)
    assert_same(found, *slow_beam_search(decoder, SOURCE, options, width_of))


@settings(max_examples=100, deadline=None)
@given(st.booleans().flatmap(lambda exact: decoders(exact=exact)), st.integers(1, 6), st.integers(1, 3))
def test_best_first_finds_what_beam_search_finds_and_runs_no_more_hypotheses(decoder, width, best):
    options = SearchOptions(alpha=0.0, stop="proof", best=best)
    beam = beam_search(decoder, SOURCE, FixedWidth(width), options)
    rival = best_first_search(decoder, SOURCE, width, options)
    assert sorted(one.score for one in rival.hypotheses) == pytest.approx(
        sorted(one.score for one in beam.hypotheses), rel=1e-5, abs=1e-5
    )
    if not decoder.normalized:  # no ties: of equal scores, best-first runs those that could still end as high
        assert [one.tokens for one in rival.hypotheses] == [one.tokens for one in beam.hypotheses]
        assert len(rival.widths) <= sum(beam.widths)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_candidates_hold_the_highest_scores_of_large_vocabularies(data):
    rows, tokens = data.draw(st.integers(1, 4)), data.draw(st.sampled_from([130, 300, 1003]))
    generator = np.random.default_rng(data.draw(st.integers(0, 2**31)))
    logits = generator.normal(size=(rows, tokens)).astype(np.float32) * 4
    if data.draw(st.booleans()):
        logits = np.round(logits)  # ties in plenty
    offsets = generator.normal(size=rows) * data.draw(st.sampled_from([0.0, 1.0, 1e4]))
    most = data.draw(st.integers(1, 24))
    flat = (logits + offsets[:, None]).reshape(-1)
    wanted = np.sort((-flat).argsort(kind="stable")[:most])
    found = candidates(logits, offsets, most)
    assert (np.diff(found) > 0).all()
    assert set(wanted) <= set(found)


def table(*rows):
    with np.errstate(divide="ignore"):
        return TableDecoder(np.log(np.array(rows)), longest=6, normalized=True)


def test_a_short_output_wins_by_its_sum_and_a_long_one_by_its_mean():
    # After every token: END 0.4, token 2 with 0.6.
    decoder = table([0.4, 0.0, 0.6])
    by_sum = beam_search(decoder, SOURCE, FixedWidth(2), SearchOptions(alpha=0, stop="proof"))
    by_mean = beam_search(decoder, SOURCE, FixedWidth(2), SearchOptions(alpha=1, stop="proof"))
    assert by_sum.best.tokens == ()
    assert by_sum.best.log_probability == pytest.approx(np.log(0.4))
    assert by_mean.best.tokens == (2,) * 5
    assert by_mean.best.score == pytest.approx((5 * np.log(0.6) + np.log(0.4)) / 6)


def test_the_search_stops_once_no_live_hypothesis_can_win():
    decoder = table([0.9, 0.05, 0.05])
    found = beam_search(decoder, SOURCE, FixedWidth(2), SearchOptions(alpha=0, stop="proof"))
    assert found.widths == (1,)


def test_a_decoder_that_never_ends_is_ended_at_the_longest():
    decoder = table([1e-9, 0.5, 0.5])
    found = beam_search(decoder, SOURCE, FixedWidth(3), SearchOptions(longest_ratio=1, longest_more=2))
    assert len(found.widths) == 4
    assert len(found.best.tokens) == 3


def test_forbidden_tokens_do_not_come_and_give_their_probability_to_none():
    decoder = table([0.3, 0.1, 0.6])
    options = SearchOptions(alpha=0, forbidden=(2,))
    assert beam_search(decoder, SOURCE, FixedWidth(2), options).best.log_probability == pytest.approx(
        np.log(0.3)
    )


def test_an_output_begins_with_the_forced_tokens():
    decoder = table([0.5, 0.1, 0.3, 0.1])
    found = beam_search(decoder, SOURCE, FixedWidth(2), SearchOptions(alpha=0, prefix=(3, 1)))
    assert found.best.tokens[:2] == (3, 1)
    assert found.best.log_probability == pytest.approx(np.log(0.1 * 0.1 * 0.5))


def test_no_allowed_token_is_one_clear_sentence():
    decoder = table([0.3, 0.1, 0.6])
    with pytest.raises(EdgetimeError, match="No token is allowed in step 1"):
        beam_search(decoder, SOURCE, FixedWidth(2), SearchOptions(forbidden=(0, 1, 2)))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_no_numbers_are_named_with_their_step(bad):
    decoder = TableDecoder([[0.0, bad, 1.0]])
    with pytest.raises(EdgetimeError, match="NaN or infinity in step 1"):
        beam_search(decoder, SOURCE, FixedWidth(2))


def test_an_empty_source_gives_an_empty_output_and_runs_nothing():
    decoder = table([0.3, 0.1, 0.6])
    found = beam_search(decoder, (), FixedWidth(2))
    assert (found.best.tokens, found.widths, decoder.rows_run) == ((), (), 0)


def test_a_source_that_the_encoder_cannot_take_is_refused():
    with pytest.raises(DataError, match="9 tokens, and the encoder takes 8"):
        beam_search(table([0.3, 0.1, 0.6]), [1] * 9, FixedWidth(2))


def test_a_policy_wider_than_the_palette_is_refused():
    decoder = TableDecoder([[0.0, 1.0]], palette=(1, 2))
    with pytest.raises(UsageError, match="up to 5 hypotheses, and the decoder at most 2"):
        beam_search(decoder, SOURCE, FixedWidth(5))


def test_tokens_of_another_vocabulary_are_refused():
    with pytest.raises(UsageError, match="Token 7 is forbidden or forced"):
        beam_search(table([0.5, 0.5]), SOURCE, FixedWidth(1), SearchOptions(forbidden=(7,)))


class Attentive(TableDecoder):
    """Its attention follows the token before: token 2 looks at the first source token, token 3 at the second."""

    def step(self, tokens, parents):
        self.last = np.asarray(tokens)
        return super().step(tokens, parents)

    @property
    def attention(self):
        return np.stack([self.last != 3, self.last == 3], axis=1).astype(np.float32)


def test_coverage_prefers_an_output_that_looked_at_the_whole_source():
    # BEGIN, then 2 or 3, then END: 2 is likelier, and never looks at the second token.
    decoder = Attentive(np.log([[1e-3, 1e-3, 0.55, 0.448]]), longest=3, normalized=True)
    plain = SearchOptions(alpha=0, longest_ratio=1, longest_more=0, shortest=2)
    covered = SearchOptions(alpha=0, longest_ratio=1, longest_more=0, shortest=2, coverage=1.0)
    assert beam_search(decoder, SOURCE, FixedWidth(2), plain).best.tokens == (2,)
    assert beam_search(decoder, SOURCE, FixedWidth(2), covered).best.tokens == (3,)


def test_coverage_without_attention_is_refused():
    with pytest.raises(UsageError, match="needs the decoder's attention"):
        beam_search(table([0.5, 0.5]), SOURCE, FixedWidth(1), SearchOptions(coverage=0.2))


def test_free_places_of_the_palette_are_filled_where_asked():
    scores = -np.arange(9.0)
    scores[0] = -20  # END
    decoder = TableDecoder([scores], palette=(1, 4), longest=4)
    assert max(beam_search(decoder, SOURCE, FixedWidth(3)).widths) == 3
    assert max(beam_search(decoder, SOURCE, FixedWidth(3), SearchOptions(fill=True)).widths) == 4
    near = ThresholdPruning(absolute=1.0, widest=4)
    assert set(beam_search(decoder, SOURCE, near).widths) == {1, 2, 3}
    assert set(beam_search(decoder, SOURCE, near, SearchOptions(fill=True)).widths) == {1, 4}
