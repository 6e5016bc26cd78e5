"""Tuning on decoders of random numbers, without a file."""

from __future__ import annotations

import numpy as np
import pytest

from profiler.errors import UsageError
from selector.sequence import (
    FixedWidth,
    SearchOptions,
    SequencePolicy,
    ThresholdPruning,
    beam_search,
    changes_ms_of,
)
from selector.sequence_tuning import (
    CostMeter,
    Judge,
    SequenceCosts,
    TunedPoint,
    best_palette,
    cheapest,
    evaluate,
    measured_costs,
    paired_difference,
    pooled,
    tune_widths,
)
from selector.sequence_tuning.tuning import _on_all_lines
from selector.testing import RandomDecoder

LINES = [f"{number} {number * 3 % 11}" for number in range(1, 25)]


class RandomPolicy:
    """What tuning needs of a loaded policy; lines are numbers of tokens."""

    def __init__(self, seed: int) -> None:
        self.network = RandomDecoder(seed=seed)
        network = self.network
        self.policy = SequencePolicy("none.tflite", network.palette, network.vocabulary, begin=1, end=0)

    def tokens(self, line: str) -> list[int]:
        return [int(token) for token in line.split()]

    def text_of(self, hypothesis) -> str:
        return " ".join(map(str, hypothesis.tokens))

    def search(self, source, timing=None, widths=None):
        return beam_search(self.network, source, widths, SearchOptions(), timing)


def costs_of(policy: RandomPolicy, **more) -> SequenceCosts:
    return SequenceCosts(1.0, {width: 1.0 + width for width in policy.network.palette}, **more)


@pytest.fixture(scope="module")
def seeds() -> list[tuple[RandomPolicy, SequenceCosts]]:
    return [(policy, costs_of(policy)) for policy in map(RandomPolicy, (0, 1))]


@pytest.fixture(scope="module")
def wanted(seeds) -> list[str]:
    """What the first network finds with a beam of width 3."""
    first = seeds[0][0]
    return [first.text_of(first.search(first.tokens(line), widths=FixedWidth(3)).best) for line in LINES]


def test_a_policy_is_judged_on_the_outputs_of_all_seeds_together(seeds, wanted):
    judge = Judge(seeds, LINES, wanted, "exact")
    both = judge(FixedWidth(3))
    alone = [
        evaluate(policy, FixedWidth(3), [policy.tokens(line) for line in LINES], wanted, costs, "exact")
        for policy, costs in seeds
    ]
    assert alone[0].quality.value == 100.0 > alone[1].quality.value
    assert both.quality.value == pytest.approx(np.mean([one.quality.value for one in alone]))
    assert both.mean_ms == pytest.approx(np.mean([one.mean_ms for one in alone]))
    assert both.hypotheses == sum(one.hypotheses for one in alone)
    assert both.lines == len(LINES)
    assert len(judge(FixedWidth(3), every=5).outputs) == 2 * 5


def test_a_draw_of_lines_draws_the_outputs_of_all_seeds(seeds, wanted):
    # Two networks that answer alike say no more than one: the interval stays as wide.
    judge = Judge(seeds[:1], LINES, wanted, "exact")
    wide, narrow = judge(FixedWidth(3)), judge(FixedWidth(1))
    twice = [pooled([one, one]) for one in (wide, narrow)]
    assert paired_difference(twice[0].quality, twice[1].quality) == pytest.approx(
        paired_difference(wide.quality, narrow.quality)
    )


def test_tuning_chooses_one_policy_for_all_seeds(seeds, wanted):
    (policy, costs), *also = seeds
    found = tune_widths(policy, LINES, wanted, costs, also=also, metric="exact", widest=4, trials=8)
    qualities = [Judge([one], LINES, wanted, "exact")(found.chosen.widths).quality.value for one in seeds]
    assert found.chosen.quality == pytest.approx(np.mean(qualities))
    assert found.chosen.quality >= found.fixed.quality
    assert found.chosen.mean_ms <= found.fixed.mean_ms


def test_what_is_chosen_was_judged_on_all_lines_and_not_on_the_first_look_alone(seeds):
    (policy, costs), *also = seeds
    lines = [f"{number % 13} {number % 11} {number % 7}" for number in range(110)]
    wanted = [policy.text_of(policy.search(policy.tokens(line), widths=FixedWidth(2)).best) for line in lines]
    found = tune_widths(
        policy, lines, wanted, costs, also=also, metric="exact", widest=3, trials=12, max_drop=60.0
    )
    whole = Judge(seeds, lines, wanted, "exact")
    assert found.trials == 12
    assert {point.widths.kind for point in found.points} > {"fixed"}
    for point in found.points:
        assert point.quality == pytest.approx(whole(point.widths).quality.value)


def test_cheaper_policies_are_not_judged_behind_two_that_lose_too_much():
    judged = []

    def judge(widths):
        judged.append(widths.most)
        return widths.most

    policies = [FixedWidth(width) for width in (9, 8, 7, 6, 5, 4, 3)]
    assert _on_all_lines(policies, judge, lambda found: found in (8, 6, 5)) == [9, 8, 7, 6, 5]
    assert judged == [9, 8, 7, 6, 5]


def test_the_cheapest_is_chosen_by_the_difference_or_by_the_lower_end_of_its_interval():
    points = [
        TunedPoint(FixedWidth(width), 30.0 + gap[0], ms, ms, 1.0, gap, False)
        for width, ms, gap in (
            (1, 1.0, (-0.9, -1.4, -0.4)),
            (2, 2.0, (-0.1, -0.7, 0.5)),
            (3, 3.0, (-0.2, -0.4, 0.0)),
            (4, 2.5, (-0.1, np.nan, np.nan)),
            (5, 4.0, (0.0, 0.0, 0.0)),
        )
    ]
    assert cheapest(points).widths.most == 5
    assert cheapest(points, max_drop=0.1).widths.most == 2
    assert cheapest(points, worst_drop=0.5).widths.most == 3
    assert cheapest(points, worst_drop=2.0).widths.most == 1
    again = TunedPoint.from_dict(points[3].to_dict())
    assert again.widths == FixedWidth(4)
    assert np.isnan(again.gap[1:]).all()


def test_seeds_of_other_palettes_are_refused(seeds, wanted):
    (policy, costs), (other, _) = seeds
    different = RandomPolicy(2)
    different.network.palette = (1, 2)
    with pytest.raises(UsageError, match="other palettes"):
        tune_widths(policy, LINES, wanted, costs, also=[(different, costs_of(other))], metric="exact")


def test_a_step_costs_more_where_its_width_is_new_or_changes():
    first, switch = {1: 0.5, 4: 2.0}, {1: 0.25, 4: 1.0}
    assert changes_ms_of(first, switch, (1, 1, 4, 4, 1, 1, 4)) == 0.5 + 2.0 + 0.25 + 1.0
    assert changes_ms_of(first, switch, (2, 2, 2)) == 0.0
    costs = SequenceCosts(3.0, {1: 1.0, 4: 2.0}, search_ms={1: 0.125}, first_ms=first, switch_ms=switch)
    assert costs.decoder_ms((1, 4, 1)) == 4.0 + 2.5 + 0.25
    assert costs.sentence_ms((1, 3, 1), (1, 4, 1)) == 3.0 + 6.75 + 0.375
    assert costs.sentence_ms((), ()) == 0.0


def test_costs_are_measured_of_every_width_first_and_after_another(seeds):
    policy = seeds[0][0]
    costs = measured_costs(policy, [policy.tokens(line) for line in LINES[:4]])
    palette = set(policy.network.palette)
    assert set(costs.step_ms) == palette
    assert set(costs.first_ms) <= palette
    assert set(costs.switch_ms) <= palette
    assert all(ms > 0 for ms in costs.step_ms.values())
    assert all(ms >= 0 for found in (costs.first_ms, costs.switch_ms) for ms in found.values())
    written = costs.added_to(policy.policy)
    assert SequencePolicy.from_dict(written.to_dict()).switch_ms == costs.switch_ms
    assert CostMeter(policy, [[], [1, 2]]).sources == [[1, 2]]


def test_a_palette_leaves_out_widths_that_cost_more_at_first_than_they_save():
    step, first = {1: 1.0, 2: 3.0, 3: 3.5, 5: 4.0}, {1: 0.5, 2: 4.0, 3: 4.0, 5: 4.0}
    costs = SequenceCosts(0.0, step, first_ms=first)
    # Width 2 comes twice: 6 and 4 at first, against 8 at width 5, which runs anyway.
    assert best_palette(costs, [(1, 1, 1, 2, 2, 5, 5)], 1) == (1, 5)
    assert best_palette(SequenceCosts(0.0, step), [(1, 1, 1, 2, 2, 5, 5)], 1) == (1, 2, 5)
    assert best_palette(costs, [(1, 1)], 1) == (1,)
    assert best_palette(costs, [(4, 4), ()], 4) == (5,)


def test_a_palette_holds_the_widest_that_a_policy_may_run_in_sentences_that_it_has_not_seen(seeds):
    policy, costs = seeds[0]
    sure = ThresholdPruning(absolute=1e-6, widest=3)
    ran = [policy.search(policy.tokens(line), widths=sure).widths for line in LINES]
    assert {width for widths in ran for width in widths} == {1}
    few = RandomPolicy(0)
    few.network.palette = best_palette(costs, ran, sure.most)
    assert few.network.palette[-1] == 3
    assert few.search([1, 2], widths=sure).best == policy.search([1, 2], widths=sure).best
