"""Beam search: the hypotheses of highest score, one step of the decoder after another."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from profiler.errors import DataError, EdgetimeError, UsageError
from selector.sequence.decoder import StepDecoder
from selector.sequence.scoring import SearchOptions, coverage_penalty
from selector.sequence.step import MASKED, SearchStep
from selector.sequence.widths import WidthPolicy

_DEFAULTS = SearchOptions()


@dataclass(frozen=True)
class Hypothesis:
    """One output: its tokens without BEGIN and END, its score, and the sum of its tokens' log-probabilities, END included."""

    tokens: tuple[int, ...]
    score: float
    log_probability: float

    @property
    def per_token(self) -> float:
        """Log-probability per token, END counted: how sure the network is of it."""
        return self.log_probability / (len(self.tokens) + 1)


@dataclass(frozen=True)
class SearchResult:
    """What a search found, best first, and what it ran.

    Parameters
    ----------
    hypotheses
        The outputs.
    widths
        How many hypotheses the decoder ran in each step.
    run_widths
        At which width of its palette it ran them.
    """

    hypotheses: tuple[Hypothesis, ...]
    widths: tuple[int, ...] = ()
    run_widths: tuple[int, ...] = ()

    @property
    def best(self) -> Hypothesis:
        """The output of highest score."""
        return self.hypotheses[0]

    @property
    def mean_width(self) -> float:
        """Hypotheses run per step."""
        return float(np.mean(self.widths)) if self.widths else 0.0


@dataclass
class SearchTimes:
    """Seconds that a search spent in the encoder, the decoder, and its policy, where somebody wants to know.

    `clock` is wall time by default; `time.thread_time` leaves out what other processes take of the core.
    """

    encoder_s: float = 0.0
    decoder_s: float = 0.0
    policy_s: float = 0.0
    whole_s: float = 0.0
    clock: Callable[[], float] = time.perf_counter

    def __add__(self, other: SearchTimes) -> SearchTimes:
        """Both together."""
        return SearchTimes(
            self.encoder_s + other.encoder_s,
            self.decoder_s + other.decoder_s,
            self.policy_s + other.policy_s,
            self.whole_s + other.whole_s,
            self.clock,
        )


@dataclass
class _Ended:
    """Hypotheses that ended, as arrays: the step of their END, the row that it continues, sum and score."""

    steps: list[int] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    sums: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)


@np.errstate(invalid="ignore", over="ignore")  # NaN is found by a sentence of its own
def beam_search(
    decoder: StepDecoder,
    source: Sequence[int],
    widths: WidthPolicy,
    options: SearchOptions = _DEFAULTS,
    timing: SearchTimes | None = None,
    watch: list[SearchStep] | None = None,
) -> SearchResult:
    """Search for the outputs of highest score.

    Parameters
    ----------
    decoder
        What gives the scores of tokens.
    source
        Tokens of the input, as the encoder takes them; empty gives an empty output.
    widths
        How many hypotheses go on after each step.
    options
        How outputs are ranked, how many, how long, what they may hold.
    timing
        Where to add the times of the parts.
    watch
        Where to put every step, for a policy to learn from; its arrays are the decoder's and hold until the next step.

    Raises
    ------
    DataError
        The source is longer than the encoder allows.
    EdgetimeError
        The decoder gives NaN, or no token is allowed.
    """
    clock = time.perf_counter if timing is None else timing.clock
    begun = clock()
    if not len(source):
        return SearchResult((Hypothesis((), 0.0, 0.0),))
    check_source(decoder, source, options)
    most = min(widths.most, decoder.palette[-1])
    if most < widths.most:
        raise UsageError(
            f"The policy runs up to {widths.most} hypotheses, and the decoder at most {decoder.palette[-1]}: "
            "tune it for this decoder."
        )
    if options.fill:
        most = decoder.width_for(most)
    decoder.start(source)
    if timing:
        timing.encoder_s += clock() - begun
    choose = widths.begin()
    longest = options.longest(len(source), decoder.longest)
    end, keeps_places = decoder.end, options.stop == "ended"
    tokens = np.array([decoder.begin], np.int32)
    parents = np.zeros(1, np.intp)
    sums = np.zeros(1)
    history: list[tuple[NDArray[np.int32], NDArray[np.intp]]] = []
    ended, ran = _Ended(), []
    coverage: NDArray[np.float64] | None = None
    buffer = decoder.scratch
    limit = float(options.divisor(longest))
    for number in range(longest):
        before = clock() if timing else 0.0
        logits = decoder.step(tokens, parents)
        if timing:
            timing.decoder_s += clock() - before
        ran.append(len(tokens))
        history.append((tokens, parents))
        if options.coverage:
            coverage = _covered(decoder, coverage, parents)
        step = _candidates(decoder, logits, sums, number, longest, options, buffer, most, ended)
        if watch is not None:
            watch.append(step)
        before = clock() if timing else 0.0
        kept = choose(step)
        if timing:
            timing.policy_s += clock() - before
        if options.fill and isinstance(kept, int):
            kept = decoder.width_for(kept)
        divisor = float(options.divisor(number + 1))
        chosen, ending = _places(step, kept, most, end, keeps_places, ended, divisor)
        if len(ending):
            scores = step.scores[ending] / divisor
            if coverage is not None:
                scores = scores + options.coverage * coverage_penalty(coverage[step.rows[ending]])
            ended.steps += [number] * len(ending)
            ended.rows += step.rows[ending].tolist()
            ended.sums += step.scores[ending].tolist()
            ended.scores += scores.tolist()
        if not len(chosen):
            break
        sums = step.scores[chosen]
        if len(ended.scores) >= options.best:
            least = sorted(ended.scores)[-options.best]
            # Sums only fall, and no length divides them by more than the longest.
            if least >= sums[0] / limit:
                break
        tokens = step.tokens[chosen].astype(np.int32)
        parents = step.rows[chosen]
    found = _traced(history, ended, options.best)
    if timing:
        timing.whole_s += clock() - begun
    return SearchResult(found, tuple(ran), tuple(decoder.width_for(width) for width in ran))


def check_source(decoder: StepDecoder, source: Sequence[int], options: SearchOptions) -> None:
    """Raise DataError where a source does not fit the encoder, UsageError where options do not fit the decoder."""
    if len(source) > decoder.source_longest:
        raise DataError(
            f"The sentence has {len(source)} tokens, and the encoder takes {decoder.source_longest}: split it."
        )
    outside = [
        token for token in (*options.forbidden, *options.prefix) if not 0 <= token < decoder.vocabulary
    ]
    if outside:
        raise UsageError(
            f"Token {outside[0]} is forbidden or forced, and the vocabulary has {decoder.vocabulary}: "
            "take the policy of this vocabulary."
        )


def log_sums_of(
    logits: NDArray[np.float32], buffer: NDArray[np.float32], number: int
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
    """``exp(logits - highest)``, its sums, and the logarithm of the sum of exponentials [rows]; EdgetimeError for NaN."""
    highest = logits.max(axis=1)
    exponentials = np.subtract(logits, highest[:, None], out=buffer)
    np.exp(exponentials, out=exponentials)
    shares = exponentials.sum(axis=1)
    # NaN and infinity alike make this NaN.
    if not shares.sum() < np.inf:
        raise EdgetimeError(
            f"The decoder gives NaN or infinity in step {number + 1}: its file is damaged or overflows; export it anew."
        )
    sums = shares.astype(np.float64)
    return exponentials, sums, highest + np.log(sums)


def _candidates(
    decoder: StepDecoder,
    logits: NDArray[np.float32],
    sums: NDArray[np.float64],
    number: int,
    longest: int,
    options: SearchOptions,
    buffer: NDArray[np.float32],
    most: int,
    ended: _Ended,
) -> SearchStep:
    """The candidates of a step; EdgetimeError where there are none."""
    exponentials: NDArray[np.float32] | None = None
    if decoder.normalized:
        if np.isnan(logits).any():
            raise EdgetimeError(f"The decoder gives NaN in step {number + 1}: its scores cannot be ranked.")
        log_sums, shares = np.zeros(len(logits)), np.ones(len(logits))
    else:
        exponentials, shares, log_sums = log_sums_of(logits, buffer[: len(logits)], number)
    masked(logits, exponentials, number, longest, options, decoder.end)
    best_ended = max(ended.sums, default=-np.inf)
    step = SearchStep(
        number, logits, exponentials, log_sums, shares, sums, most + len(logits), len(ended.sums), best_ended
    )
    if not len(step.scores):
        raise EdgetimeError(
            f"No token is allowed in step {number + 1}: forbid fewer tokens, or force none that is forbidden."
        )
    return step


def masked(
    logits: NDArray[np.float32],
    exponentials: NDArray[np.float32] | None,
    number: int,
    longest: int,
    options: SearchOptions,
    end: int,
) -> NDArray[np.float32]:
    """The scores with those of tokens that may not come in this step masked, in place."""
    for token in options.forbidden:
        _mask(token, logits, exponentials)
    if number < len(options.prefix) or number == longest - 1:
        forced = options.prefix[number] if number < min(len(options.prefix), longest - 1) else end
        only = logits[:, forced].copy()
        _mask(slice(None), logits, exponentials)
        logits[:, forced] = only
    elif number + 1 < options.shortest:
        _mask(end, logits, exponentials)
    return logits


def _mask(tokens: int | slice, logits: NDArray[np.float32], exponentials: NDArray[np.float32] | None) -> None:
    """Let tokens never come; their probability is not given to others."""
    logits[:, tokens] = MASKED
    if exponentials is not None:
        exponentials[:, tokens] = 0


_NONE = np.zeros(0, np.intp)
_PLACES = np.arange(1 << 12)


def _places(
    step: SearchStep,
    kept: int | NDArray[np.intp],
    most: int,
    end: int,
    keeps_places: bool,
    ended: _Ended,
    divisor: float,
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Which candidates go on, and which end: ``(live, ending)``, indices into the step's candidates."""
    # Where nothing ended yet, something has to go on.
    least = int(not ended.scores)
    if isinstance(kept, np.ndarray):
        order, width = kept, most
    else:
        order, width = _PLACES[: len(step.scores)], max(min(kept, most), least)
    if keeps_places and ended.scores:
        # A hypothesis that ended keeps its place while it is among the best: candidates are counted behind better ones.
        better = np.sort(-np.array(ended.scores)).searchsorted(-step.scores[order] / divisor, side="right")
        width = int((_PLACES[: len(order)] + better < width).sum())
    if keeps_places or not (step.tokens == end).any():
        top = order[:width]
        ends = step.tokens[top] == end
        return (top[~ends], top[ends]) if ends.any() else (top, _NONE)
    is_end = step.tokens[order] == end
    return order[~is_end][:width], order[:width][is_end[:width]]


def _covered(
    decoder: StepDecoder, before: NDArray[np.float64] | None, parents: NDArray[np.intp]
) -> NDArray[np.float64]:
    attention = decoder.attention
    if attention is None:
        raise UsageError(
            "The coverage penalty needs the decoder's attention, and this one gives none: set coverage to 0, or export the step "
            "with an output 'attention'."
        )
    covered = attention.astype(np.float64) + (0.0 if before is None else before[parents])
    return covered


def _traced(
    history: Sequence[tuple[NDArray[np.int32], NDArray[np.intp]]], ended: _Ended, best: int
) -> tuple[Hypothesis, ...]:
    """The outputs of highest score, read back from their ends; equal ones in the order in which they ended."""
    order = (-np.array(ended.scores)).argsort(kind="stable")[:best]
    found = []
    for index in order.tolist():
        row, backwards = ended.rows[index], []
        for tokens, parents in reversed(history[1 : ended.steps[index] + 1]):
            backwards.append(int(tokens[row]))
            row = int(parents[row])
        found.append(Hypothesis(tuple(reversed(backwards)), ended.scores[index], ended.sums[index]))
    return tuple(found)
