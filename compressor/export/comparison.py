"""How much a converted network differs from the original: pure functions on their outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from compressor.data import Data, Rows
from compressor.training import Answered

RELATIVE_LIMITS = {"none": 1e-3, "float16": 0.05}
QUANTIZED_LIMIT = 0.25
"""By mode, and of all other modes: root mean square of the difference over that of the original's variation that is still accepted
where nothing better is known (no labels, no classes to agree on). Twice and more what sound conversions
showed."""

LOST = 0.5
"""Root mean square of a channel's difference over that of its own variation beyond which it no longer says what it did."""

_FEW_CHANNELS, _MANY_LOST = 20, 0.05
"""Of so few channels none may be lost, of more this share: one that hardly varies counts little beside hundreds."""

_SUM_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Comparison:
    """A converted network beside its original on the same rows; accuracies (or `Data.metric`) are None without labels.

    `agreement` is the share of rows with the same top class (None where no output is one score per class), the differences are
    absolute, `relative_difference` is their root mean square over the standard deviation of the original's outputs.
    `lost_channels` are (output, channel of its last axis) whose values no longer follow the original's; outputs of scores per
    class have none, since only their order counts. `channels` is how many were looked at.
    """

    rows: int
    agreement: float | None
    max_difference: float
    mean_difference: float
    relative_difference: float
    accuracy_before: float | None = None
    accuracy_after: float | None = None
    lost_channels: tuple[tuple[int, int], ...] = ()
    channels: int = 0

    @property
    def drop_points(self) -> float | None:
        """Accuracy lost, in percentage points; negative where it rose."""
        if self.accuracy_before is None or self.accuracy_after is None:
            return None
        return 100 * (self.accuracy_before - self.accuracy_after)


@np.errstate(invalid="ignore", over="ignore")  # outputs that are not finite are judged by the caller
def compare(before: Any, after: Any, classes: Sequence[bool] | None = None) -> Comparison:
    """Compare the outputs (arrays [rows, ...], or a list with one for each output) of two networks.

    `classes` says which outputs are scores of classes; by default those that are probabilities.
    """
    first = [np.asarray(a, np.float64) for a in (before if isinstance(before, (list, tuple)) else [before])]
    second = [np.asarray(a, np.float64) for a in (after if isinstance(after, (list, tuple)) else [after])]
    gaps = [np.abs(a - b) for a, b in zip(first, second, strict=True)]
    relative = max(_relative(a, b) for a, b in zip(first, second, strict=True))
    choose = [is_probabilities(a) for a in first] if classes is None else classes
    # An output of one score per class for each row chooses between them.
    agreements = [
        np.mean(top_class(a) == top_class(b))
        for a, b, chooses in zip(first, second, choose, strict=True)
        if chooses and a.ndim == 2 and a.shape[-1] > 1
    ]
    looked_at = [i for i, a in enumerate(first) if not choose[i] and a.ndim > 1 and a.shape[-1] > 1]
    return Comparison(
        rows=len(first[0]),
        agreement=float(min(agreements)) if agreements else None,
        max_difference=float(max(gap.max() for gap in gaps)),
        mean_difference=float(np.concatenate([gap.ravel() for gap in gaps]).mean()),
        relative_difference=relative,
        lost_channels=tuple((i, c) for i in looked_at for c in _lost(first[i], second[i])),
        channels=sum(first[i].shape[-1] for i in looked_at),
    )


def is_probabilities(outputs: npt.NDArray) -> bool:
    """Whether outputs [..., classes] are probabilities that add up to 1, as of a softmax.

    >>> is_probabilities(np.array([[0.2, 0.8]])), is_probabilities(np.array([[-1.0, 2.0]]))
    (True, False)
    """
    if outputs.ndim < 2 or outputs.shape[-1] < 2 or not outputs.size or outputs.min() < 0:
        return False
    return bool(np.abs(outputs.sum(axis=-1) - 1).max() <= _SUM_TOLERANCE)


def _lost(before: npt.NDArray, after: npt.NDArray) -> list[int]:
    """Channels of the last axis that differ by more than `LOST` of their own variation."""
    axes = tuple(range(before.ndim - 1))
    gap = np.sqrt(np.mean((before - after) ** 2, axis=axes))
    size = np.sqrt(np.mean(before**2, axis=axes))
    spread = np.maximum(before.std(axis=axes), 0.01 * size)
    # Differences of rounding are none, whatever the channel varies by.
    return np.flatnonzero(gap > np.maximum(LOST * spread, 1e-5 * size)).tolist()


def lost_in_words(comparison: Comparison) -> str:
    """Such as ``loses channels 4, 5 and 6 of its output``; empty where none is lost."""
    parts = []
    for output in dict.fromkeys(output for output, _ in comparison.lost_channels):
        numbers = [str(channel) for one, channel in comparison.lost_channels if one == output]
        shown = numbers if len(numbers) <= 8 else [*numbers[:7], f"{len(numbers) - 7} more"]
        listed = " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))
        which = "its output" if not any(one for one, _ in comparison.lost_channels) else f"output {output}"
        parts.append(f"channel{'s' if len(numbers) > 1 else ''} {listed} of {which}")
    return f"loses the values of {' and '.join(parts)}" if parts else ""


def score_of(data: Data, network: Any, outputs: Rows, x: Rows, y: Rows) -> float | None:
    """What a network scores by the data's own metric, else as accuracy; None where it cannot be judged.

    `outputs` and `y` are by name where there are several: then it is the mean over those that can be judged.
    """
    metric = data.metric
    if callable(metric):
        judged = Answered(outputs) if isinstance(outputs, Mapping) else network
        return float(metric(judged, (x, y)))
    scores = []
    for name, labels in (y if isinstance(y, Mapping) else {"": y}).items():
        found = outputs[name] if name else outputs
        if metric and name in metric:
            scores.append(float(metric[name](labels, found)))
        elif data.classifies(name) and np.ndim(found) == 2:
            scores.append(accuracy(found, labels))
    return float(np.mean(scores)) if scores else None


def accuracy(outputs: npt.NDArray, labels: npt.NDArray) -> float:
    """Share of rows whose top class is the label; both [rows], or [rows, ...] where there are many per row."""
    return float(np.mean(top_class(np.asarray(outputs)) == np.asarray(labels)))


def top_class(outputs: npt.NDArray) -> npt.NDArray[np.int64]:
    """Class that outputs [rows, classes] favour [rows].

    A single output is a yes or no: above 0.5 where all lie between 0 and 1 (a sigmoid), above 0 otherwise.
    """
    if outputs.shape[-1] > 1 and outputs.ndim > 1:
        return outputs.argmax(axis=-1)
    flat = outputs.reshape(len(outputs))
    threshold = 0.5 if flat.min() >= 0 and flat.max() <= 1 else 0.0
    return (flat > threshold).astype(np.int64)


def fault(
    comparison: Comparison, quantize: str, max_drop: float, min_agreement: float, real: bool
) -> str | None:
    """What is wrong with a conversion, as the beginning of a sentence; None where nothing is.

    At most `max_drop` points of accuracy may be lost; without labels a share of `min_agreement` rows must agree, provided
    that the rows are `real`: random ones lie near no class.
    """
    if not np.isfinite(comparison.relative_difference):
        return "gives outputs that are not finite"
    drop = comparison.drop_points
    if drop is not None:
        return f"loses {drop:.2f} points of accuracy (limit {max_drop:g})" if drop > max_drop else None
    lost = len(comparison.lost_channels)
    if lost and (comparison.channels <= _FEW_CHANNELS or lost > _MANY_LOST * comparison.channels):
        return (
            f"{lost_in_words(comparison)}, which share one scale with larger ones (make outputs of different sizes "
            "separate outputs of the model)"
        )
    if real and comparison.agreement is not None:
        if comparison.agreement >= min_agreement:
            return None
        return f"agrees with the original on {comparison.agreement:.1%} of rows (limit {min_agreement:.1%})"
    limit = RELATIVE_LIMITS.get(quantize, QUANTIZED_LIMIT)
    if comparison.relative_difference <= limit:
        return None
    part = comparison.relative_difference
    return f"differs from the original by {part:.1%} of its variation (limit {limit:.1%})"


def _relative(before: npt.NDArray, after: npt.NDArray) -> float:
    gap = float(np.sqrt(np.mean((before - after) ** 2)))
    # Outputs that hardly vary (an untrained softmax) are compared with their size: their variation is rounding.
    spread = max(float(before.std()), 0.01 * float(np.sqrt(np.mean(before**2))))
    return gap / spread if spread else gap
