from __future__ import annotations

import numpy as np
import pytest

from profiler.errors import UsageError
from selector.sequence_tuning import paired_difference, quality_of

WANTED = ["A man is riding a red bike.", "Two dogs run.", "It's 5,000 metres high!", "The end"]
FOUND = ["A man rides a red bike.", "Two dogs run in snow.", "It's 5,000 meters high!", ""]


def test_bleu_is_what_sacrebleu_says():
    sacrebleu = pytest.importorskip("sacrebleu")
    for found in (FOUND, WANTED, ["x y z", "a", "b c", ""], [line[:9] for line in WANTED]):
        assert quality_of("bleu", found, WANTED).value == pytest.approx(
            sacrebleu.corpus_bleu(found, [WANTED]).score
        )


def test_a_draw_of_all_sentences_in_order_has_the_value_of_all():
    pytest.importorskip("sacrebleu")
    quality = quality_of("bleu", FOUND, WANTED)
    assert quality.drawn(np.arange(4)[None]) == pytest.approx([quality.value])


def test_exact_match_is_the_share_of_equal_lines():
    assert quality_of("exact", ["12", " 7 ", "3"], ["12", "7", "4"]).value == pytest.approx(200 / 3)


def test_a_difference_has_an_interval_around_it():
    one = quality_of("exact", ["a"] * 60 + ["b"] * 40, ["a"] * 100)
    other = quality_of("exact", ["a"] * 50 + ["b"] * 50, ["a"] * 100)
    difference, low, high = paired_difference(one, other)
    assert difference == pytest.approx(10)
    # Ten of a hundred sentences differ, all to the same side: a standard error of 3 points.
    assert 3 < low < 6
    assert 14 < high < 17
    assert paired_difference(one, one) == (0, 0, 0)


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(UsageError, match="bleu or exact, not 'taste'"):
        quality_of("taste", ["a"], ["a"])
    with pytest.raises(UsageError, match="1 outputs and 2 references"):
        quality_of("exact", ["a"], ["a", "b"])
