"""What a policy is, as plain values: which networks, in which order, with which thresholds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True)
class PolicyNetwork:
    """One network of a policy, or one segment of a network with early exits.

    Parameters
    ----------
    file
        Name of its ``.tflite`` file, relative to the policy's folder.
    name
        What tables call it.
    predicted_ms
        Its predicted time on the policy's device, ms.
    sha256
        Of the file when the policy was made.
    signature
        Which signature of the file runs; None for its only one.
    form
        ``"probabilities"`` or ``"logits"``: what its answer holds.
    answer
        Name of the output that holds the answer; empty for its only output.
    feeds
        Names of inputs that are the outputs of the same name of the stage before; empty where it takes the policy's input.
    predicted_mj
        Its predicted energy, mJ; None where unknown.
    remote
        Whether another machine runs it; then `predicted_ms` counts sending, and its file is read only where this one must.
    """

    file: str
    name: str
    predicted_ms: float
    sha256: str = ""
    signature: str | None = None
    form: str = "probabilities"
    answer: str = ""
    feeds: tuple[str, ...] = ()
    dtype: str = "float32"
    predicted_mj: float | None = None
    remote: bool = False


@dataclass(frozen=True)
class Stage:
    """One stage of a cascade: a network runs, and the rows that it is sure of stop.

    Parameters
    ----------
    network
        Index into the policy's networks.
    weights
        By which the logarithms of the probabilities of all stages so far, this one last, are multiplied before they are added.
    confidence
        Kind of confidence of the combined answer, as `selector.runtime.confidence`.
    threshold
        A row stops where its confidence is at least this: one number, or one for each class that the combined answer names;
        above 1 is never. None for the last stage, where every row stops.
    agree
        Whether a row stops only where this network alone and the one before it alone name the same class.
    answers
        For a detector with classes of its own: which of the policy's classes each of its classes means; None wakes the next stage.
    """

    network: int
    weights: tuple[float, ...]
    confidence: str = "margin"
    threshold: float | tuple[float, ...] | None = None
    agree: bool = False
    answers: tuple[int | None, ...] | None = None


@dataclass(frozen=True)
class Specification:
    """A policy as plain values, and the arrays that some kinds need.

    Parameters
    ----------
    kind
        ``"static"``, ``"cascade"``, ``"early_exit"``, ``"hierarchical"``, ``"premodel"``, ``"edge_or_cloud"``, or a plug-in's.
    device
        The device that its times are of.
    classes
        Number of classes; 0 where only one network runs whatever it answers.
    single
        Index of the best single network: what runs where the policy cannot be trusted.
    expected
        What was seen on the rows that it was fitted on, and the predicted times: ``accuracy``, ``single_accuracy``, ``mean_ms``,
        ``p50_ms``, ``p90_ms``, ``p99_ms``, ``longest_ms``, ``single_ms``, ``stop_shares`` (one per stage), ``rows``.
    promise
        ``max_accuracy_drop``, ``confidence``, ``rows``, ``sentence``; None where nothing is promised.
    settings
        What only this kind has, plain JSON values.
    arrays
        What only this kind has, arrays.
    decide_ms
        Predicted time of deciding at each stage that a row reaches, ms; `predicted_ms` of networks counts what handing them a row
        takes.
    """

    kind: str
    device: str
    networks: tuple[PolicyNetwork, ...]
    stages: tuple[Stage, ...] = ()
    classes: int = 0
    single: int = 0
    expected: Mapping[str, Any] = field(default_factory=dict)
    promise: Mapping[str, Any] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    candidates: tuple[Mapping[str, Any], ...] = ()
    decide_ms: float = 0.0
