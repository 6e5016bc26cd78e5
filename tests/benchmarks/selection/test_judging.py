"""Judging policies on rows that chose nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.compression.tasks import Rows
from benchmarks.selection import judging
from benchmarks.selection.judging import Way, best_single, disagreement, judge, promise
from benchmarks.selection.rows import Held, folds, joined, of_type
from profiler.errors import DataError
from selector.candidates import Answers
from selector.runtime import PolicyNetwork, log_softmax

WAY = Way("float32, time first", "float32", "float32", drop_points=1.0)


def answers(rows: int, seed: int, skills: tuple[float, ...] = (1.0, 3.0)) -> Answers:
    """Networks that see the same hard and easy rows, the slower ones better."""
    generator = np.random.default_rng(seed)
    y = generator.integers(0, 4, rows)
    truth = np.eye(4)[y] * generator.exponential(2.0, (rows, 1))
    noise = generator.standard_normal((rows, 4))
    logits = [skill * truth + noise + 0.5 * generator.standard_normal((rows, 4)) for skill in skills]
    networks = tuple(
        PolicyNetwork(f"{place}.tflite", str(place), 0.1 * 8.0**place, form="logits")
        for place in range(len(skills))
    )
    paths = tuple(Path(network.file) for network in networks)
    log_p = np.stack([log_softmax(one) for one in logits]).astype(np.float32)
    return Answers(networks, paths, log_p, y, np.arange(rows), "made up")


def held(choose: int, judged: int) -> Held:
    first, second = answers(choose, 1), answers(judged, 2)
    return Held(
        first,
        second,
        *(Rows(np.zeros((len(a.y), 1), np.float32), a.y, a.groups, a.groups) for a in (first, second)),
    )


def test_every_image_is_judged_once_by_what_other_images_chose() -> None:
    known = held(100, 60)
    found = folds(known, "image")
    assert sorted(np.concatenate([fold.numbers for fold in found]).tolist()) == list(range(60))
    for fold in found:
        choose, rows = fold.answers(known.choose, known.judge)
        assert len(choose.y) == 100 + 60 - len(fold.numbers)
        assert len(rows.y) == len(fold.numbers)
        assert not fold.chosen[fold.numbers].any()
        assert [len(x) for x in fold.inputs(known)] == [len(choose.y), len(rows.y)]


def test_test_people_are_judged_by_what_validation_people_chose() -> None:
    known = held(100, 60)
    (fold,) = folds(known, "motion")
    choose, rows = fold.answers(known.choose, known.judge)
    assert (len(choose.y), len(rows.y), len(fold.numbers)) == (100, 60, 60)


def test_a_promise_by_groups_draws_whole_groups() -> None:
    """Of forty groups half can promise next to nothing, of eight hundred a little."""
    rows = answers(1200, 3)
    grouped = replace(rows, groups=np.arange(1200) % 800)
    assert promise(grouped, 30.0, 2, by_group=True).silent == 0
    with pytest.raises(DataError, match="groups"):
        promise(replace(rows, groups=np.arange(1200) % 40), 1.0, 1, by_group=True)


def test_a_cascade_is_judged_against_the_best_single_network_on_the_same_rows() -> None:
    found = judge(WAY, held(1500, 1500), "sound", 0)
    assert isinstance(found, judging.Judged)
    assert found.single == "1"
    assert found.single_ms == pytest.approx(0.8)
    assert found.ratio > 1.1
    assert found.rows.score > found.single_rows.score - 0.02


def test_best_single_is_of_the_wanted_type_and_the_fastest_of_equals() -> None:
    one = answers(50, 0, (2.0, 2.0))
    same = Answers(one.networks, one.paths, np.stack([one.log_probabilities[0]] * 2), one.y)
    assert best_single(same, "float32") == 0
    with pytest.raises(ValueError, match="empty"):
        best_single(same, "int8")


def test_disagreement_counts_rows_on_which_any_network_names_another_class() -> None:
    log_p = np.log(np.array([[[0.9, 0.1], [0.9, 0.1]], [[0.8, 0.2], [0.3, 0.7]]], np.float32))
    one = answers(2, 0)
    assert disagreement(Answers(one.networks, one.paths, log_p, np.zeros(2, np.int64))) == 0.5


def test_parts_are_joined_row_by_row_and_types_are_chosen() -> None:
    both = joined(answers(10, 1), answers(5, 2))
    assert both.log_probabilities.shape == (2, 15, 4)
    assert of_type(both, "float32").networks == both.networks
    assert of_type(both, "int8").networks == ()


def test_a_promise_is_kept_in_nearly_all_random_splits_and_saves_time() -> None:
    found = promise(answers(4000, 3), 2.0, 8)
    assert found.broken <= 2
    assert found.silent < 8
    assert 0 < found.saving_kept <= 1.05
