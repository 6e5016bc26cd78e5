"""Learns how wide a beam has to be from searches at full width: which place the best output's beginning had in each step."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from selector.sequence import (
    FixedWidth,
    LearnedWidth,
    LoadedSequencePolicy,
    SearchStep,
    StepDecoder,
    beam_search,
)
from selector.sequence.widths import FEATURES, features

_L2 = 1.0


def fit_learned_width(
    networks: Sequence[tuple[LoadedSequencePolicy, StepDecoder]],
    sources: Sequence[Sequence[Sequence[int]]],
    widest: int,
    sure: float = 0.95,
) -> LearnedWidth:
    """Fit, for each width of the palette up to `widest`, the probability that the widest beam's best output stays within it.

    Of each network the decoder that runs in its place, such as one that remembers, and sources of its own, as tokens.
    """
    seen = [
        _examples(policy, tokens, widest, decoder)
        for (policy, decoder), tokens in zip(networks, sources, strict=True)
    ]
    x, needed = (np.concatenate(parts) for parts in zip(*seen, strict=True))
    widths = tuple(width for width in networks[0][0].network.palette if width < widest)
    rows = tuple(_logistic(x, needed <= width) for width in widths)
    return LearnedWidth((*widths, widest), rows, sure)


def _examples(
    policy: LoadedSequencePolicy, sources: Sequence[Sequence[int]], widest: int, decoder: StepDecoder
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Features of every step [steps, features], and the narrowest width that kept the best output then [steps]."""
    x, needed = [], []
    for source in sources:
        if not 0 < len(source) <= policy.network.source_longest:
            continue
        watched = _Watch(widest)
        found = beam_search(decoder, source, FixedWidth(widest), policy.policy.search, watch=watched)
        tokens = (*found.best.tokens, policy.network.end)
        row = 0
        for seen, token in zip(watched.steps, tokens):  # noqa: B905 (steps after its end are others')
            place = np.flatnonzero((seen.rows == row) & (seen.tokens == token))
            if not len(place):
                break
            x.append(seen.x)
            # Places of hypotheses that ended may count too.
            needed.append(int(place[0]) + 1 + seen.ended)
            ends = seen.tokens == policy.network.end
            row = int((~ends[: place[0]]).sum())
    return np.array(x).reshape(-1, len(FEATURES)), np.array(needed, np.intp)


class _Seen:
    """What is kept of a step, whose arrays are the decoder's."""

    def __init__(self, step: SearchStep, widest: int) -> None:
        self.x = features(step, widest)
        self.rows, self.tokens, self.ended = step.rows.copy(), step.tokens.copy(), step.ended


class _Watch(list[SearchStep]):
    """Takes steps as a search makes them."""

    def __init__(self, widest: int) -> None:
        super().__init__()
        self.widest = widest
        self.steps: list[_Seen] = []

    def append(self, step: SearchStep) -> None:
        """Keep what a policy could look at."""
        self.steps.append(_Seen(step, self.widest))


def _logistic(x: NDArray[np.float64], enough: NDArray[np.bool_]) -> tuple[float, ...]:
    """Weights whose logistic is the probability; the first feature is 1 and takes the intercept."""
    share = float(enough.mean()) if len(enough) else 1.0
    if not len(enough) or share in (0.0, 1.0):
        always = 20.0 if share else -20.0
        return (always, *(0.0,) * (len(FEATURES) - 1))
    from sklearn.linear_model import LogisticRegression

    spread = x[:, 1:].std(axis=0)
    scale = np.where(spread > 0, spread, 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = LogisticRegression(C=1 / _L2, max_iter=300).fit(x[:, 1:] / scale, enough)
    weights = model.coef_[0] / scale
    return (float(model.intercept_[0]), *map(float, weights))
