"""Decoders of made-up scores, and the slowest beam search that anyone could write, to compare with."""

from __future__ import annotations

import numpy as np

from selector.sequence import StepDecoder
from selector.sequence.decoder import Top


class TableDecoder(StepDecoder):
    """Scores depend on the whole hypothesis: a table is picked by a number that each hypothesis carries as its state."""

    begin, end = 1, 0

    def __init__(self, tables, palette=(1, 2, 4, 8), longest=8, normalized=False, few=None):
        self.tables = np.asarray(tables, np.float32)  # [states, vocabulary]
        self.vocabulary = self.tables.shape[1]
        self.palette = palette
        self.longest = longest
        self.source_longest = 8
        self.normalized = normalized
        self.rows_run = 0
        self.few = few  # so many probabilities it ranks itself

    def start(self, source):
        self._after = np.array([int(sum(source))])
        self._first = True

    def _next(self, state, token):
        return (state * 31 + np.asarray(token) * 7 + 3) % 1009

    def step(self, tokens, parents):
        self._before = self._after[parents]
        self._after = self._next(self._before, tokens)
        self.rows_run += len(tokens)
        return self._scores()

    def _scores(self):
        scores = self.tables[self._after % len(self.tables)].copy()
        exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
        self._probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
        return scores

    @property
    def probabilities(self):
        return self._probabilities if self.few else None

    @property
    def top(self):
        if not self.few:
            return None
        order = (-self._probabilities).argsort(axis=1, kind="stable")[:, : self.few]
        return Top(np.take_along_axis(self._probabilities, order, axis=1).tolist(), order.tolist())

    def state(self, row):
        return self._after[row]

    def step_from(self, token, state):
        self.rows_run += 1
        self._after = np.array([self._next(state, token)])
        return self._scores()[0]

    def scores_after(self, source, tokens):
        """Scores of the next token after BEGIN and some tokens."""
        state = int(sum(source))
        for token in (self.begin, *tokens):
            state = int(self._next(state, token))
        return self.tables[state % len(self.tables)]


def slow_beam_search(decoder, source, options, width_of, prove=True):
    """Plain beam search with lists: ``width_of(step, live, candidates, sums of those that ended)`` is the width after each step."""
    longest = options.longest(len(source), decoder.longest)
    live, ended, rows_run = [((), 0.0)], [], []
    for number in range(longest):
        rows_run.append(len(live))
        candidates = []
        for row, (tokens, total) in enumerate(live):
            scores = decoder.scores_after(source, tokens).astype(float)
            if not decoder.normalized:
                highest = max(scores)
                scores = scores - (highest + np.log(sum(np.exp(scores - highest))))
            for token in range(decoder.vocabulary):
                if token in options.forbidden or scores[token] == -np.inf:
                    continue
                if number < min(len(options.prefix), longest - 1):
                    if token != options.prefix[number]:
                        continue
                elif number == longest - 1:
                    if token != decoder.end:
                        continue
                elif number + 1 < options.shortest and token == decoder.end:
                    continue
                candidates.append((-(total + scores[token]), row, token, (*tokens, token)))
        candidates.sort()
        width = max(width_of(number, live, candidates, [one[2] for one in ended]), not ended)
        divisor = options.divisor(number + 1)
        if options.stop == "ended":
            places = [
                one
                for place, one in enumerate(candidates)
                if place + sum(score >= -one[0] / divisor for score, *_ in ended) < width
            ]
            live = [(tokens, -total) for total, _, token, tokens in places if token != decoder.end]
        else:
            places = candidates[:width]
            live = [(tokens, -total) for total, _, token, tokens in candidates if token != decoder.end][
                :width
            ]
        for total, _, token, tokens in places:
            if token == decoder.end:
                ended.append((-total / divisor, tokens[:-1], -total))
        if not live:
            break
        if prove and len(ended) >= options.best:
            least = sorted(score for score, *_ in ended)[-options.best]
            if least >= live[0][1] / options.divisor(longest):
                break
    ended.sort(key=lambda one: -one[0])
    return [one[:2] for one in ended[: options.best]], rows_run
