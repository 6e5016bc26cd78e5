"""Beam search: the hypotheses of highest score, one step of the decoder after another."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from profiler.errors import DataError, EdgetimeError, UsageError
from selector.sequence.decoder import StepDecoder
from selector.sequence.ranking import (
    is_forced,
    log_sums_of,
    masked,
    merged,
    not_numbers,
    ranked,
    together,
)
from selector.sequence.scoring import SearchOptions, coverage_penalty
from selector.sequence.step import SearchStep
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

    `steps_s` are the decoder's, step by step. `clock` is wall time by default; `time.thread_time` leaves out what other processes
    take of the core.
    """

    encoder_s: float = 0.0
    decoder_s: float = 0.0
    policy_s: float = 0.0
    whole_s: float = 0.0
    steps_s: list[float] = field(default_factory=list)
    clock: Callable[[], float] = time.perf_counter

    def __add__(self, other: SearchTimes) -> SearchTimes:
        """Both together."""
        return SearchTimes(
            self.encoder_s + other.encoder_s,
            self.decoder_s + other.decoder_s,
            self.policy_s + other.policy_s,
            self.whole_s + other.whole_s,
            self.steps_s + other.steps_s,
            self.clock,
        )


@dataclass
class _Ended:
    """Hypotheses that ended: the step of their END, the row that it continues, sum and score."""

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
    sums = [0.0]
    # Of each step: last tokens of its hypotheses, and whom they continue.
    history: list[tuple[list[int], list[int]]] = [([decoder.begin], [0])]
    ended, ran = _Ended(), []
    coverage: NDArray[np.float64] | None = None
    limit = float(options.divisor(longest))
    forbidden = together(options.forbidden)
    for number in range(longest):
        before = clock() if timing else 0.0
        logits = decoder.step(tokens, parents)
        if timing:
            timing.steps_s.append(clock() - before)
            timing.decoder_s += timing.steps_s[-1]
        ran.append(len(tokens))
        if options.coverage:
            coverage = _covered(decoder, coverage, parents)
        step = _candidates(decoder, logits, sums, number, longest, options, forbidden, most, ended)
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
        if ending:
            _end(step, ending, divisor, coverage, options, ended)
        if not chosen:
            break
        if len(ended.scores) >= options.best:
            least = sorted(ended.scores)[-options.best]
            # Sums only fall, and no length divides them by more than the longest.
            if least >= step.ranked.scores[chosen[0]] / limit:
                break
        scores, rows, next_tokens = step.ranked
        sums = [scores[index] for index in chosen]
        history.append(([next_tokens[index] for index in chosen], [rows[index] for index in chosen]))
        tokens, parents = np.array(history[-1][0], np.int32), np.array(history[-1][1], np.intp)
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


def _candidates(
    decoder: StepDecoder,
    logits: NDArray[np.float32],
    sums: list[float],
    number: int,
    longest: int,
    options: SearchOptions,
    forbidden: Sequence[slice],
    most: int,
    ended: _Ended,
) -> SearchStep:
    """The candidates of a step; EdgetimeError where there are none."""
    count = most + len(sums)
    best_ended = max(ended.sums, default=-math.inf)
    top = decoder.top
    if top is not None and not is_forced(number, longest, options):
        for probabilities in top.probabilities:
            if not probabilities[0] <= 1.1:
                raise not_numbers(number)
        banned = options.forbidden
        if number + 1 < options.shortest:
            banned = (*banned, decoder.end)
        # One more, as END takes no place that somebody else could have.
        enough = len(top.tokens[0]) >= min(most + 1 + len(options.forbidden), decoder.vocabulary)
        known = merged(sums, top, count, banned) if enough else None
        if known is not None and known.scores:
            return SearchStep(
                number,
                logits,
                sums,
                known,
                decoder.probabilities,
                top=top,
                banned=banned,
                entropies=decoder.entropies,
                ended=len(ended.sums),
                best_ended=best_ended,
            )
    exponentials: NDArray[np.float32] | None = None
    if decoder.normalized:
        if np.isnan(logits).any():
            raise EdgetimeError(f"The decoder gives NaN in step {number + 1}: its scores cannot be ranked.")
        log_sums, shares = np.zeros(len(logits)), np.ones(len(logits))
    else:
        exponentials, shares, log_sums = log_sums_of(decoder, logits, number)
    masked(logits, exponentials, number, longest, options, forbidden, decoder.end)
    known = ranked(logits, np.array(sums) - log_sums, count)
    if not known.scores:
        raise EdgetimeError(
            f"No token is allowed in step {number + 1}: forbid fewer tokens, or force none that is forbidden."
        )
    return SearchStep(
        number,
        logits,
        sums,
        known,
        exponentials,
        shares,
        log_sums,
        ended=len(ended.sums),
        best_ended=best_ended,
    )


def _places(
    step: SearchStep,
    kept: int | NDArray[np.intp],
    most: int,
    end: int,
    keeps_places: bool,
    ended: _Ended,
    divisor: float,
) -> tuple[list[int], list[int]]:
    """Which candidates go on, and which end: ``(live, ending)``, indices into the step's candidates.

    Lists, as there are few candidates: a call of numpy takes as long as all of them.
    """
    scores, _, tokens = step.ranked
    # Where nothing ended yet, something has to go on.
    least = int(not ended.scores)
    order: Sequence[int]
    if isinstance(kept, np.ndarray):
        order, width = kept.tolist(), most
    else:
        order, width = range(len(scores)), max(min(kept, most), least)
    live: list[int] = []
    ending: list[int] = []
    if keeps_places:
        # A hypothesis that ended keeps its place while it is among the best: candidates are counted behind better ones.
        better = sorted(ended.scores, reverse=True)
        before = 0
        for place, index in enumerate(order):
            score = scores[index] / divisor
            while before < len(better) and better[before] >= score:
                before += 1
            if place + before >= width:
                break
            (ending if tokens[index] == end else live).append(index)
        return live, ending
    for place, index in enumerate(order):
        if len(live) == width:
            break
        if tokens[index] != end:
            live.append(index)
        elif place < width:
            ending.append(index)
    return live, ending


def _end(
    step: SearchStep,
    ending: list[int],
    divisor: float,
    coverage: NDArray[np.float64] | None,
    options: SearchOptions,
    ended: _Ended,
) -> None:
    """Keep hypotheses that end in a step."""
    scores, rows, _ = step.ranked
    for index in ending:
        score = scores[index] / divisor
        if coverage is not None:
            row = rows[index]
            score += options.coverage * float(coverage_penalty(coverage[row : row + 1])[0])
        ended.steps.append(step.number)
        ended.rows.append(rows[index])
        ended.sums.append(scores[index])
        ended.scores.append(score)


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
    history: Sequence[tuple[list[int], list[int]]], ended: _Ended, best: int
) -> tuple[Hypothesis, ...]:
    """The outputs of highest score, read back from their ends; equal ones in the order in which they ended."""
    order = sorted(range(len(ended.scores)), key=lambda index: -ended.scores[index])[:best]
    found = []
    for index in order:
        row, backwards = ended.rows[index], []
        for tokens, parents in reversed(history[1 : ended.steps[index] + 1]):
            backwards.append(tokens[row])
            row = parents[row]
        found.append(Hypothesis(tuple(reversed(backwards)), ended.scores[index], ended.sums[index]))
    return tuple(found)
