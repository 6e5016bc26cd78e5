"""A suite that every width policy must pass, those of edgetime and your own.

In a project of your own this is one test::

    def test_my_policy_passes_the_suite():
        check_width_policy(MyWidths(), narrower=MyWidths(most=1))

Where something is wrong, the AssertionError says what. To pass, a policy must: be the same after a way through JSON; let between 1
and `most` hypotheses go on, by numbers or by places that rise; do the same for the same source, whatever came before; find what the
fixed width 1 finds where it is limited to that; and leave the scores that it looks at as they are.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selector.sequence import (
    FixedWidth,
    SearchOptions,
    SearchStep,
    StepDecoder,
    WidthPolicy,
    beam_search,
    width_policy,
)

_SOURCES = ((1,), (2, 5), (3, 3, 3), (7, 1, 4, 2))
_SEARCHES = (SearchOptions(alpha=0.0), SearchOptions(alpha=1.0, stop="proof"), SearchOptions(best=2))


class RandomDecoder(StepDecoder):
    """Scores of a network that does not exist: each beginning of an output has its own."""

    begin, end = 1, 0
    source_longest, longest = 16, 9

    def __init__(self, vocabulary: int = 40, widest: int = 12, seed: int = 0) -> None:
        generator = np.random.default_rng(seed)
        self.vocabulary = vocabulary
        self.palette = tuple(range(1, widest + 1))
        # Some are sure, some are not.
        spread = generator.uniform(0.3, 5.0, (97, 1))
        self._table = (spread * generator.normal(size=(97, vocabulary))).astype(np.float32)
        self._table[:, self.end] += 1.5
        self._numbers = np.zeros(1, np.int64)

    def start(self, source: Sequence[int]) -> None:
        """One hypothesis, whose number is the source's."""
        self._numbers = np.array([sum(token * 13**place for place, token in enumerate(source)) % 997])

    def step(self, tokens: NDArray[np.int32], parents: NDArray[np.intp]) -> NDArray[np.float32]:
        """Scores by the number that a hypothesis and its last token make."""
        self._numbers = (self._numbers[parents] * 31 + tokens * 7 + 3) % 997
        return self._table[self._numbers % 97].copy()

    def state(self, row: int) -> Any:
        """The number of a hypothesis."""
        return self._numbers[row]

    def step_from(self, token: int, state: Any) -> NDArray[np.float32]:
        """Scores of one hypothesis."""
        self._numbers = np.array([(state * 31 + token * 7 + 3) % 997])
        return self._table[int(self._numbers[0]) % 97].copy()


def check_width_policy(policy: WidthPolicy, narrower: WidthPolicy | None = None) -> None:
    """Put a width policy through everything that is asked of one.

    Parameters
    ----------
    policy
        The policy.
    narrower
        The same kind with `most` 1, where it can be that narrow.

    Raises
    ------
    AssertionError
        It does something wrong; the message says what.
    """
    decoder = RandomDecoder(widest=max(12, policy.most))
    _check_json(policy)
    _check_choices(policy, decoder)
    _check_repeats(policy, decoder)
    if narrower is not None:
        _check_narrow(narrower, decoder)


def _check_json(policy: WidthPolicy) -> None:
    plain = json.loads(json.dumps(policy.to_dict(), allow_nan=False))
    assert plain.get("kind") == policy.kind, f"its JSON is of kind {plain.get('kind')!r}, not {policy.kind!r}"
    assert width_policy(plain) == policy, (
        f"its JSON gives another policy: {width_policy(plain)} and not {policy}"
    )


def _check_choices(policy: WidthPolicy, decoder: StepDecoder) -> None:
    assert isinstance(policy.most, int), f"its most is {policy.most!r}, not a width"
    assert policy.most >= 1, f"its most is {policy.most}, not a width"
    for options in _SEARCHES:
        for source in _SOURCES:
            steps = _Choices(policy)
            found = beam_search(decoder, source, steps, options)
            assert max(found.widths) <= policy.most, (
                f"{max(found.widths)} hypotheses ran, and its most is {policy.most}"
            )
            assert found.best.tokens or found.best.log_probability < 0, "it finds nothing"


class _Choices(WidthPolicy):
    """Looks at what another policy chooses."""

    kind = "choices"

    def __init__(self, policy: WidthPolicy) -> None:
        object.__setattr__(self, "policy", policy)

    @property
    def most(self) -> int:
        """The other's."""
        return self.policy.most  # type: ignore[attr-defined,no-any-return]

    def begin(self) -> Any:
        """The other's choices, once they are seen to be some."""
        choose = self.policy.begin()  # type: ignore[attr-defined]

        def choose_and_look(step: SearchStep) -> Any:
            before = step.scores.copy(), step.rows.copy(), step.tokens.copy()
            kept = choose(step)
            same = all(
                np.array_equal(a, b)
                for a, b in zip(before, (step.scores, step.rows, step.tokens), strict=True)
            )
            assert same, f"it changes the candidates of step {step.number}"
            if isinstance(kept, np.ndarray):
                assert np.issubdtype(kept.dtype, np.integer), f"it chooses places of type {kept.dtype}"
                assert (np.diff(kept) > 0).all(), f"the places that it chooses do not rise: {kept}"
                assert not len(kept) or (kept[0] >= 0 and kept[-1] < len(step.scores)), (
                    f"there are no places {kept}"
                )
                least = len(kept)
            else:
                assert isinstance(kept, int), f"it chooses {kept!r}, which is no whole number"
                least = kept
            assert step.best_ended > -np.inf or least >= 1, f"it lets nothing go on after step {step.number}"
            return kept

        return choose_and_look


def _check_repeats(policy: WidthPolicy, decoder: StepDecoder) -> None:
    first = [beam_search(decoder, source, policy, _SEARCHES[0]) for source in _SOURCES]
    again = [beam_search(decoder, source, policy, _SEARCHES[0]) for source in reversed(_SOURCES)]
    assert first == again[::-1], "it does otherwise for a source after others"


def _check_narrow(narrower: WidthPolicy, decoder: StepDecoder) -> None:
    assert narrower.most == 1, f"the narrower policy is {narrower.most} wide"
    for source in _SOURCES:
        found = beam_search(decoder, source, narrower)
        assert found == beam_search(decoder, source, FixedWidth(1)), "at width 1 it is not greedy search"
