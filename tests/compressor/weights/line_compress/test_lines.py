"""Segments and runs: what is decoded is what the encoder promised, whatever the weights."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from compressor.weights.line_compress.calibration import Seen
from compressor.weights.line_compress.choice import within
from compressor.weights.line_compress.coding import CodingError, decode, encode
from compressor.weights.line_compress.lines import DEAD, BitCosts, coded_steps, cut, paper_runs, steps_of
from profiler.errors import MissingExtraError, UsageError

FINITE = st.floats(-1e4, 1e4, width=32).map(lambda value: 0.0 if abs(value) < 1e-20 else value)
ROWS = st.tuples(st.integers(1, 4), st.integers(1, 12)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=FINITE)
)
few = settings(max_examples=60, deadline=None)


@pytest.mark.parametrize(
    ("delta", "bare", "with_length", "decibel"),
    [(0.0, 1.21, 1.07, 15.5), (0.05, 1.52, 1.36, 10.1), (0.1, 2.17, 1.93, 5.7), (0.2, 6.44, 5.72, 1.3)],
)
def test_the_papers_runs_of_gaussian_weights_are_as_long_and_as_bad_as_known(
    delta, bare, with_length, decibel
):
    weights = np.random.default_rng(0).standard_normal((1, 200_000))
    runs = paper_runs(weights, delta)
    error = float(np.square(weights - runs.weights()).mean())
    assert 32 * weights.size / (64 * runs.lengths.size) == pytest.approx(bare, abs=0.03)
    assert 32 * weights.size / (72 * runs.lengths.size) == pytest.approx(with_length, abs=0.03)
    assert 10 * np.log10(float(np.square(weights).mean()) / error) == pytest.approx(decibel, abs=0.1)


def test_a_run_ends_where_weights_turn_back_by_more_than_the_tolerance():
    rows = np.array([[0.0, 1.0, 2.0, 1.9, 3.0, 1.0, 0.0, 0.5]])
    assert paper_runs(rows, 0.0).lengths.tolist() == [3, 2, 2, 1]
    assert paper_runs(rows, 0.05).lengths.tolist() == [5, 2, 1]


def test_weights_on_a_line_are_one_run_of_no_error():
    runs = paper_runs(np.arange(8.0)[None] / 4 - 1, 0.0)
    assert runs.lengths.tolist() == [8]
    assert runs.weights()[0].tolist() == (np.arange(8) / 4 - 1).tolist()


@few
@given(ROWS, st.sampled_from([0.0, 0.05, 0.3, 1.0]), st.booleans())
def test_paper_decodes_to_what_was_fitted_which_no_constant_fits_better(rows, tolerance, entropy):
    runs = paper_runs(rows, tolerance)
    found = decode(encode(runs, entropy), *rows.shape)
    assert np.array_equal(found.weights(), runs.weights())
    at, scale = 0, float(np.abs(rows).max()) + 1e-30
    flat, decoded = rows.reshape(-1), runs.weights().reshape(-1)
    for n in runs.lengths.astype(int):
        run = flat[at : at + n]
        allowed = np.square(run - run.mean()).sum() + n * (1e-5 * scale) ** 2 * n * n
        assert np.square(run - decoded[at : at + n]).sum() <= allowed * 1.001
        at += n


@few
@given(
    ROWS, st.sampled_from([(4, 0), (5, 2), (8, 3), (2, 0)]), st.sampled_from([0.0, 1e-3, 10.0]), st.booleans()
)
def test_segments_decode_to_the_bit_and_cost_no_more_than_words_alone(rows, bits, price, entropy):
    word_bits, length_bits = bits
    prices = BitCosts.fixed(word_bits, length_bits)
    highest = (1 << (word_bits - 1)) - 1
    wanted = np.abs(rows).max(axis=1) / highest
    segments = cut(rows, wanted, word_bits, length_bits, prices, price)
    assert segments is not None
    assert np.array_equal(decode(encode(segments, entropy), *rows.shape).weights(), segments.weights())
    steps = segments.steps.astype(np.float64)[:, None]
    alive = steps > 0
    rounded = np.clip(
        np.rint(np.divide(rows, steps, where=alive, out=np.zeros_like(rows))), -highest - 1, highest
    )
    alone = np.square(rounded * steps - rows).sum() + price * alive.sum() * rows.shape[1] * (
        word_bits + length_bits
    )
    cost = np.square(segments.weights() - rows).sum() + price * prices.bits(segments)
    assert cost <= alone * (1 + 1e-5) + 1e-9 * np.square(rows).sum() + 1e-30


@few
@given(ROWS, st.sampled_from([0.01, 0.1, 0.5]))
def test_a_tolerance_bounds_the_error_of_every_weight(rows, tolerance):
    reach = tolerance * (rows.max() - rows.min())
    try:
        decoded = within(rows, tolerance).weights()
    except UsageError:
        # A constant has no range, and large ones near each other need more than 8 bits.
        assert np.abs(rows).max() / 254 > reach
        return
    assert np.abs(decoded - rows).max() <= reach + 1e-6 * np.abs(rows).max()


def test_the_programme_finds_what_trying_everything_finds():
    generator = np.random.default_rng(3)
    for number in range(24):
        prices = BitCosts.fixed(3, 2 + number % 2)
        # Smooth ones make long segments, wide ones reach the ends of what a word can hold.
        rows = np.cumsum(generator.normal(0, 0.5 + number % 4, (1, 11)), axis=1)
        cost = (0.02, 0.3, 2.0)[number % 3]
        segments = cut(rows, np.ones(1), 3, 2 + number % 2, prices, cost)
        assert segments is not None
        found = np.square(segments.weights() / segments.steps[0] - rows / segments.steps[0]).sum()
        found += cost * prices.bits(segments) / segments.steps[0] ** 2
        target, price = rows[0] / segments.steps[0], cost / segments.steps[0] ** 2
        assert found == pytest.approx(_least(target, price, prices), rel=1e-5)


def test_a_factor_of_ones_on_the_diagonal_finds_what_the_plain_programme_finds():
    generator = np.random.default_rng(5)
    rows = np.cumsum(generator.normal(0, 1, (7, 40)), axis=1)
    steps, prices = np.abs(rows).max(axis=1) / 7, BitCosts.fixed(4, 3)
    plain = cut(rows, steps, 4, 3, prices, 0.05)
    fed = cut(rows, steps, 4, 3, prices, 0.05, factors=np.eye(40)[None])
    assert np.array_equal(plain.weights(), fed.weights())
    # Words of prices of their own are looked up one by one.
    learned = prices.learned(plain)
    plain = cut(rows, steps, 4, 3, learned, 0.05)
    fed = cut(rows, steps, 4, 3, learned, 0.05, factors=np.eye(40)[None])
    assert np.array_equal(plain.weights(), fed.weights())


def test_a_bound_is_kept_at_the_least_cost_of_those_that_keep_it():
    rows = np.cumsum(np.random.default_rng(6).normal(0, 1, (5, 30)), axis=1)
    steps, prices = np.abs(rows).max(axis=1) / 127, BitCosts.fixed(8, 3)
    free, kept = (cut(rows, steps, 8, 3, prices, 1.0, bound=bound) for bound in (np.inf, 0.4))
    assert np.abs(free.weights() - rows).max() > 0.4 >= np.abs(kept.weights() - rows).max() - 1e-6
    assert free.lengths.size < kept.lengths.size < rows.size
    assert cut(rows, steps, 8, 3, prices, 1.0, bound=1e-4) is None


def _least(target, price, prices):
    """Cost of the best segments, from all there are."""
    words = range(-4, 4)
    best = [0.0]
    for end in range(1, target.size + 1):
        costs = []
        for n in range(1, min(prices.lengths.size - 1, end) + 1):
            part = target[end - n : end]
            if n == 1:
                least = min((part[0] - a) ** 2 for a in words) + price * 3
            else:
                along = np.arange(n) / (n - 1)
                pairs = np.array(list(itertools.product(words, words)), float)
                drawn = pairs[:, :1] + (pairs[:, 1:] - pairs[:, :1]) * along
                least = price * 6 + float(np.square(part - drawn).sum(axis=1).min())
            costs.append(best[end - n] + least + price * prices.lengths[n])
        best.append(min(costs))
    return best[-1]


def test_error_feedback_makes_the_error_of_outputs_less():
    generator = np.random.default_rng(4)
    mixed = generator.normal(size=(400, 24)) @ generator.normal(size=(24, 24))
    seen = Seen((mixed.T @ mixed / 400)[None], np.zeros((1, 24)), biased=False)
    rows = generator.normal(size=(6, 24))
    steps, prices = np.abs(rows).max(axis=1) / 7, BitCosts.fixed(4, 0)
    plain = cut(rows, steps, 4, 0, prices)
    fed = cut(rows, steps, 4, 0, prices, factors=seen.factor())
    assert plain is not None
    assert fed is not None
    assert seen.error(rows - fed.weights()) < 0.7 * seen.error(rows - plain.weights())


def test_a_dead_channel_stores_nothing_but_its_code():
    rows = np.vstack([np.zeros(9), np.linspace(-1, 1, 9)])
    segments = cut(rows, np.abs(rows).max(axis=1) / 127, 8, 3, BitCosts.fixed(8, 3), 1e-4)
    assert segments is not None
    assert segments.codes[0] == DEAD
    assert segments.lengths.sum() == 9
    assert segments.weights()[0].tolist() == [0.0] * 9


@given(arrays(np.float64, 5, elements=st.floats(1e-3, 1e3)))
def test_stored_steps_are_near_those_that_were_wanted(steps):
    near = steps_of(*coded_steps(steps))
    above = steps_of(*coded_steps(steps, up=True))
    far = steps < steps.max() / 50_000
    assert (np.abs(np.log2(near[~far] / steps[~far])) <= 1 / 32 + 1e-6).all()
    assert (above[~far] >= steps[~far] * (1 - 1e-6)).all()


def test_bytes_that_are_no_lines_are_refused():
    good = encode(paper_runs(np.arange(6.0).reshape(2, 3), 0.0), entropy=False)
    for bad in (b"", b"\x09", good[:-1], good + b"\0", b"\x02" + bytes(30), b"\x03" + bytes(9)):
        with pytest.raises(CodingError):
            decode(bad, 2, 3)
    with pytest.raises(CodingError):
        decode(good, 2, 4)


def test_without_constriction_the_sentence_says_what_to_install(monkeypatch):
    rows = np.sin(np.arange(400.0))[None]
    segments = cut(rows, np.ones(1) / 7, 4, 0, BitCosts.fixed(4, 0))
    assert segments is not None
    monkeypatch.setitem(__import__("sys").modules, "constriction", None)
    with pytest.raises(MissingExtraError, match=r"edgetime\[linecompress\].*--coding fixed"):
        encode(segments, entropy=True)
    assert encode(segments, entropy=False)
