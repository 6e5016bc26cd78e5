"""What each prefix of a chain does to each row: worked out once per set of networks, for all chains that begin with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selector.candidates import Answers, Detector
from selector.policies.stages.combining import Combiner
from selector.policies.stages.thresholds import BARRED, StageRows
from selector.runtime import confidence


@dataclass(frozen=True)
class Gate:
    """How a cascade tells that it is sure: the kind of confidence, and whether two stages must agree too."""

    confidence: str = "margin"
    agree: bool = False


class Prefixes:
    """Answers of the networks of each prefix, combined, on the same rows.

    Parameters
    ----------
    answers
        Of all networks, the fastest first.
    combiner
        Fitted on these rows or on others.
    expert
        Probabilities [rows, classes] by which errors are smoothed, such as those of all networks combined; None leaves errors
        0 or 1.
    smoothing
        Share of the smoothed error: the rest is 0 or 1 by the label.
    only
        Classes for which the first stage may stop; None for all. Where the answers have a detector, it is the first stage.
    """

    def __init__(
        self,
        answers: Answers,
        combiner: Combiner,
        expert: NDArray[np.float32] | None = None,
        smoothing: float = 0.5,
        only: tuple[int, ...] | None = None,
    ) -> None:
        self.answers = answers
        self.combiner = combiner
        self._expert = expert
        self._smoothing = smoothing if expert is not None else 0.0
        self._only = only
        self._alone = answers.log_probabilities.argmax(axis=2)
        self._known: dict[tuple[int, ...], dict[str, NDArray[Any]]] = {}

    def stages(self, chain: Sequence[int], gate: Gate, *, smooth: bool = True) -> list[StageRows]:
        """The stages of a chain on all rows, the detector's first where there is one."""
        detector = self.answers.detector
        total_ms = np.cumsum(self.answers.times_ms[list(chain)])
        if len(chain) > 1 or detector is not None:
            total_ms += self.answers.decide_ms * np.arange(1, len(chain) + 1)
        stages = []
        if detector is not None:
            total_ms += detector.network.predicted_ms + self.answers.decide_ms
            stages = [self._detected(detector, gate, smooth)]
        stages += [
            self._stage(tuple(chain[: place + 1]), gate, float(total_ms[place]), smooth)
            for place in range(len(chain))
        ]
        if self._only is not None and detector is None and len(chain) > 1:
            stages[0] = replace(stages[0], confidence=self._barred(stages[0].confidence, stages[0].named))
        return stages

    def alone(self, network: int) -> NDArray[np.float64]:
        """Smoothed errors of one network alone [rows]."""
        return self._stage((network,), Gate(), 0.0, smooth=True).loss

    def _detected(self, detector: Detector, gate: Gate, smooth: bool) -> StageRows:
        own = detector.log_probabilities.argmax(axis=1)
        means = np.array([-1 if one is None else one for one in detector.answers])[own]
        judged = self._judged(means)
        sure = confidence(detector.log_probabilities, gate.confidence)
        sure = np.where(means >= 0, self._barred(sure, means), np.float32(BARRED))
        total_ms = detector.network.predicted_ms + self.answers.decide_ms
        return StageRows(sure, judged["smooth" if smooth else "wrong"], own, total_ms)

    def _barred(self, sure: NDArray[np.float32], named: NDArray[np.int64]) -> NDArray[np.float32]:
        """Confidence of a first stage, where it may stop."""
        return sure if self._only is None else np.where(np.isin(named, self._only), sure, np.float32(BARRED))

    def _stage(self, prefix: tuple[int, ...], gate: Gate, total_ms: float, smooth: bool) -> StageRows:
        known = self._known.get(prefix)
        if known is None or gate.confidence not in known:
            combined = self.combiner.combined(prefix, self.answers.log_probabilities)
            if known is None:
                named = combined.argmax(axis=1)
                known = self._known[prefix] = {"named": named, **self._judged(named)}
            known[gate.confidence] = confidence(combined, gate.confidence)
        sure = known[gate.confidence]
        if gate.agree and len(prefix) > 1:
            sure = np.where(self._alone[prefix[-1]] == self._alone[prefix[-2]], sure, np.float32(BARRED))
        return StageRows(sure, known["smooth" if smooth else "wrong"], known["named"], total_ms)

    def _judged(self, named: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
        """Errors of the classes that are named."""
        wrong = (named != self.answers.y).astype(np.float64)
        smooth = wrong
        if self._expert is not None:
            doubt = 1.0 - self._expert[np.arange(len(named)), named]
            smooth = self._smoothing * doubt + (1 - self._smoothing) * wrong
        return {"wrong": wrong, "smooth": smooth}
