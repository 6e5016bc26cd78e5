"""Best-first beam search (Meister, Vieira and Cotterell, TACL 2020): what beam search finds, with no hypothesis run in vain.

Hypotheses wait in one queue and the likeliest goes on, whatever its length; of each length no more go on than the width. Where
longer hypotheses never score better (here: ranked by their sum of log-probabilities) the first that ends is the best that beam
search of this width finds.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence

import numpy as np

from profiler.errors import EdgetimeError, UsageError
from selector.sequence.decoder import StepDecoder
from selector.sequence.ranking import MASKED, log_sums_of, masked, together
from selector.sequence.scoring import SearchOptions
from selector.sequence.search import Hypothesis, SearchResult, check_source


@np.errstate(invalid="ignore", over="ignore")  # NaN is found by a sentence of its own
def best_first_search(
    decoder: StepDecoder, source: Sequence[int], width: int, options: SearchOptions
) -> SearchResult:
    """What `beam_search` of a fixed width finds with ``stop="proof"``, by the fewest hypotheses run; each is run alone.

    Raises
    ------
    UsageError
        The ranking is not monotone: alpha or coverage is not 0.
    """
    if options.alpha or options.coverage or options.stop != "proof":
        raise UsageError(
            "Best-first search ranks by sums of log-probabilities: set alpha and coverage to 0, and stop to proof."
        )
    if not len(source):
        return SearchResult((Hypothesis((), 0.0, 0.0),))
    check_source(decoder, source, options)
    longest = options.longest(len(source), decoder.longest)
    decoder.start(source)
    forbidden = together(options.forbidden)
    popped: Counter[int] = Counter()
    live: Counter[int] = Counter()
    # Of equal scores the shorter comes first, then the one of the better hypothesis, then of the lower token: as in beam search.
    queue: list[tuple[float, int, int, int, tuple[int, ...], object]] = [
        (0.0, 0, 0, decoder.begin, (), decoder.state(0))
    ]
    found: list[Hypothesis] = []
    ran = 0
    while queue and len(found) < options.best:
        negative, length, _, token, tokens, state = heapq.heappop(queue)
        popped[length] += 1
        if length and token == decoder.end:
            if popped[length] <= width:
                found.append(Hypothesis(tokens[:-1], -negative, -negative))
            continue
        if live[length] >= width:
            continue
        place = live[length]
        live[length] += 1
        logits = decoder.step_from(token, state)[None]
        ran += 1
        if decoder.normalized:
            if np.isnan(logits).any():
                raise EdgetimeError(
                    f"The decoder gives NaN in step {length + 1}: its scores cannot be ranked."
                )
            log_sum = 0.0
        else:
            log_sum = float(log_sums_of(decoder, logits, length)[2][0])
        scores = masked(logits, None, length, longest, options, forbidden, decoder.end)[0] + (
            -negative - log_sum
        )
        after = decoder.state(0)
        # More than these cannot go on at the next length, of which one may end.
        best = (-scores).argsort(kind="stable")[: width + 1]
        for index in best[scores[best] > float(MASKED) / 2].tolist():
            heapq.heappush(queue, (-float(scores[index]), length + 1, place, index, (*tokens, index), after))
    if not found:
        raise EdgetimeError("No token is allowed: forbid fewer tokens, or force none that is forbidden.")
    return SearchResult(tuple(found), (1,) * ran, (decoder.width_for(1),) * ran)
