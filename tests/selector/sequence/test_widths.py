from __future__ import annotations

import math

import numpy as np
import pytest

from profiler.errors import EdgetimeError, UsageError
from selector.sequence import (
    DeviationWidth,
    EntropyWidth,
    FixedWidth,
    LearnedWidth,
    SearchOptions,
    ThresholdPruning,
    beam_search,
    register_width_policy,
    width_policy,
)
from selector.sequence.ranking import ranked
from selector.sequence.step import SearchStep
from selector.sequence.widths import FEATURES
from selector.testing import RandomDecoder, check_width_policy

_WEIGHTS = tuple(float(index % 3 - 1) for index in range(len(FEATURES)))


@pytest.mark.parametrize(
    ("policy", "narrower"),
    [
        (FixedWidth(4), FixedWidth(1)),
        (EntropyWidth(alpha=1.5, beta=0.5, widest=6), EntropyWidth(widest=1)),
        (EntropyWidth(of="mean", applied="next", widest=6), EntropyWidth(applied="next", widest=1)),
        (DeviationWidth(alpha=-8.0, beta=6.0, k=4, widest=6), DeviationWidth(widest=1)),
        (DeviationWidth(of="mean", applied="next", least=2), None),
        (ThresholdPruning(absolute=1.0, widest=6), ThresholdPruning(widest=1)),
        (ThresholdPruning(None, relative=0.3), ThresholdPruning(None, relative=0.3, widest=1)),
        (ThresholdPruning(None, token=2.0, per_hypothesis=2), ThresholdPruning(token=2.0, widest=1)),
        (LearnedWidth((1, 3, 8), (_WEIGHTS, _WEIGHTS[::-1]), 0.6), LearnedWidth((1,), (), 0.9)),
    ],
)
def test_policies_pass_the_suite(policy, narrower):
    check_width_policy(policy, narrower)


def step_of(probabilities, before=(0.0,), number=0, ended=0, most=6):
    logits = np.log(np.array(probabilities, np.float32))
    found = ranked(logits, np.array(before), most)
    return SearchStep(number, logits, before, found, np.exp(logits), ended=ended)


def test_entropy_is_that_of_the_next_token():
    step = step_of([[0.5, 0.25, 0.25], [1 / 3, 1 / 3, 1 / 3]], (0.0, -1.0))
    assert step.entropy() == pytest.approx(1.5 * math.log(2), rel=1e-6)
    assert step.entropies == pytest.approx([1.5 * math.log(2), math.log(3)], rel=1e-6)


def test_the_width_is_the_rounded_line_of_the_statistic():
    step = step_of([[0.5, 0.25, 0.25], [1 / 3, 1 / 3, 1 / 3]], (0.0, -1.0))
    # 2 * 1.0397 + 1.2 + 0.5 = 3.78; of both hypotheses 2 * 1.0692 + 1.7 = 3.84
    assert EntropyWidth(2.0, 1.2, widest=9).begin()(step) == 3
    assert EntropyWidth(2.0, 1.4, widest=9, of="mean").begin()(step) == 4
    assert EntropyWidth(2.0, 1.2, widest=2).begin()(step) == 2
    assert EntropyWidth(2.0, -9.0, least=2).begin()(step) == 2


def test_deviation_is_of_the_highest_probabilities():
    step = step_of([[0.6, 0.2, 0.1, 0.1]])
    assert step.deviation(2) == pytest.approx(0.2, rel=1e-5)
    assert step.deviation(3) == pytest.approx(np.std([0.6, 0.2, 0.1]), rel=1e-5)
    # -10 * 0.2 + 5 + 0.5 = 3.5
    assert DeviationWidth(-10.0, 5.0, k=2, widest=9).begin()(step) == 3


def test_a_width_for_the_next_step_comes_one_step_late():
    unsure, sure = step_of([[0.25] * 4]), step_of([[0.97, 0.01, 0.01, 0.01]])
    choose = EntropyWidth(3.0, 0.0, widest=8, applied="next").begin()
    assert [choose(unsure), choose(sure), choose(sure)] == [8, 4, 1]


def test_thresholds_drop_what_is_far_from_the_best():
    # Sums: -0.51 (row 0), -1.61, -2.30, -2.30
    step = step_of([[0.6, 0.2, 0.1, 0.1]])
    assert ThresholdPruning(absolute=1.2).begin()(step) == 2
    assert ThresholdPruning(absolute=9.0, widest=3).begin()(step) == 3
    assert ThresholdPruning(None, relative=2.5).begin()(step) == 2
    both = step_of([[0.5, 0.45, 0.05], [0.9, 0.05, 0.05]], (0.0, -0.1))
    # Sums: row 1 token 0 -0.21, row 0 tokens 0 and 1 -0.69 and -0.80
    assert ThresholdPruning(absolute=1.0).begin()(both) == 3
    assert ThresholdPruning(absolute=1.0, per_hypothesis=1).begin()(both).tolist() == [0, 1]
    assert ThresholdPruning(absolute=1.0, token=0.6).begin()(both).tolist() == [0, 1]


def test_a_hypothesis_that_ended_better_ends_a_search_that_prunes():
    decoder = RandomDecoder()
    decoder._table[:, decoder.end] = 30
    found = beam_search(decoder, (1,), ThresholdPruning(absolute=1.0, widest=5), SearchOptions(alpha=1.0))
    assert (found.best.tokens, found.widths) == ((), (1,))


def test_a_learned_policy_takes_the_narrowest_width_that_is_probably_enough():
    always, never = (20.0, *(0.0,) * 9), (-20.0, *(0.0,) * 9)
    step = step_of([[0.6, 0.2, 0.1, 0.1]])
    assert LearnedWidth((1, 3, 8), (never, always)).begin()(step) == 3
    assert LearnedWidth((1, 3, 8), (never, never)).begin()(step) == 8


@pytest.mark.parametrize(
    "make",
    [
        lambda: FixedWidth(0),
        lambda: EntropyWidth(alpha=math.nan),
        lambda: EntropyWidth(of="worst"),
        lambda: EntropyWidth(least=4, widest=2),
        lambda: DeviationWidth(k=1),
        lambda: ThresholdPruning(absolute=-1.0),
        lambda: ThresholdPruning(per_hypothesis=0),
        lambda: LearnedWidth((3, 1), (_WEIGHTS,)),
        lambda: LearnedWidth((1, 3), ((1.0,),)),
        lambda: LearnedWidth((1, 3), (_WEIGHTS,), sure=1.0),
    ],
)
def test_numbers_that_cannot_be_are_refused(make):
    with pytest.raises(UsageError):
        make()


def test_a_kind_that_nobody_has_is_named_with_those_that_there_are():
    with pytest.raises(
        UsageError, match="no width policy 'psychic': choose one of deviation, entropy, fixed"
    ):
        width_policy({"kind": "psychic"})


def test_a_damaged_policy_is_one_sentence():
    with pytest.raises(EdgetimeError, match="'fixed' is damaged"):
        width_policy({"kind": "fixed", "colour": 3})


def test_a_name_is_registered_once():
    with pytest.raises(UsageError, match="taken by another width policy"):
        register_width_policy("entropy", FixedWidth)
