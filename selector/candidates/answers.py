"""What several networks answer on the same rows, none of which any of them was trained on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selector.runtime import PolicyNetwork


@dataclass(frozen=True)
class Detector:
    """What a detector, a network with classes of its own, answers on the same rows as other networks.

    Parameters
    ----------
    network
        What is known of it.
    path
        Its ``.tflite`` file.
    log_probabilities
        Natural logarithms of the probabilities of its own classes [rows, own classes], float32.
    answers
        Which of the other networks' classes each of its own means; None wakes the next network.
    """

    network: PolicyNetwork
    path: Path
    log_probabilities: NDArray[np.float32]
    answers: tuple[int | None, ...]


@dataclass(frozen=True)
class Answers:
    """Answers of networks to rows with labels, fastest network first.

    Parameters
    ----------
    networks
        What is known of each network: name, predicted time in ms, form of its outputs.
    paths
        Its ``.tflite`` file; all stages of an early-exit network have the same one.
    log_probabilities
        Natural logarithms of class probabilities [networks, rows, classes], float32, of each network alone.
    y
        Classes [rows], int64.
    groups
        Subject, speaker or recording of each row [rows], or None; rows of one group are not independent.
    source
        The file that the rows came from, for messages.
    detector
        A network with classes of its own that runs before all others; None where there is none.
    decide_ms
        Predicted time of deciding at each stage of several, ms.
    """

    networks: tuple[PolicyNetwork, ...]
    paths: tuple[Path, ...]
    log_probabilities: NDArray[np.float32]
    y: NDArray[np.int64]
    groups: NDArray[Any] | None = None
    source: str = "data"
    detector: Detector | None = None
    decide_ms: float = 0.0

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.log_probabilities.shape[2])

    @property
    def times_ms(self) -> NDArray[np.float64]:
        """Predicted time of each network [networks], ms."""
        return np.array([network.predicted_ms for network in self.networks])

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether each network alone is right [networks, rows]."""
        return self.log_probabilities.argmax(axis=2) == self.y

    @property
    def units(self) -> NDArray[np.int64] | None:
        """Number of each row's group [rows], from 0; None where each row is one of its own, or where all are of the same."""
        if self.groups is None:
            return None
        names, numbers = np.unique(self.groups, return_inverse=True)
        return numbers.ravel() if 1 < len(names) < len(self.y) else None

    def at(self, rows: NDArray[Any]) -> Answers:
        """The same networks on some of the rows, by mask or numbers."""
        return replace(
            self,
            log_probabilities=self.log_probabilities[:, rows],
            y=self.y[rows],
            groups=None if self.groups is None else self.groups[rows],
            detector=None
            if self.detector is None
            else replace(self.detector, log_probabilities=self.detector.log_probabilities[rows]),
        )

    def of(self, networks: list[int]) -> Answers:
        """Some of the networks on the same rows."""
        return replace(
            self,
            networks=tuple(self.networks[i] for i in networks),
            paths=tuple(self.paths[i] for i in networks),
            log_probabilities=self.log_probabilities[networks],
        )
