"""What each layer gave back: predicted (and measured) time before and after, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import SequenceMatcher
from typing import Any

import numpy as np

from compressor.costs import Ranks, name_of, ranks_of
from profiler.network import Layer, Network
from timemodel.explain import Reason, reason
from timemodel.model import NetworkPredictor, SettingModel

REMAINDER = "the call and memory traffic"
"""What belongs to no layer."""


@dataclass(frozen=True)
class LayerChange:
    """One layer of the file, before and after.

    Attributes
    ----------
    name
        The Keras layer's, where it can be told, else that of the file; `REMAINDER` for what is no layer.
    op
        TFLite's operator; empty for the remainder.
    index_before, index_after
        Position in the file; None where the layer is not there.
    channels_before, channels_after
        Of its output.
    before_ms, after_ms, saved_ms
        Predicted time in the network.
    measured_before_ms, measured_after_ms
        None where nothing was measured per layer.
    reason
        Why, in words.
    evidence
        What of the time model the reason rests on; empty where it has no trees.
    """

    name: str
    op: str
    index_before: int | None
    index_after: int | None
    channels_before: int | None
    channels_after: int | None
    before_ms: float
    after_ms: float
    saved_ms: float
    measured_before_ms: float | None = None
    measured_after_ms: float | None = None
    reason: str = ""
    evidence: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Timed:
    """A network with its predicted times [layers], and those measured per layer, by `Layer.index`.

    `traffic_ms` is what of the layers' times is data from beyond the cache; `total_ms` has what is between them, too.
    """

    network: Network
    layers_ms: np.ndarray
    traffic_ms: np.ndarray
    total_ms: float
    measured_ms: Mapping[int, float]


def timed(
    time_model: NetworkPredictor, network: Network, measured_ms: Mapping[int, float] | None = None
) -> Timed:
    """Predict a network layer by layer."""
    prediction = time_model.predict(network)
    times = [layer.predicted_ms for layer in prediction.layers]
    setting = _trees(time_model)
    traffic = np.zeros(len(network.layers)) if setting is None else setting.cache_traffic_ms(network)
    return Timed(
        network,
        np.asarray(times, dtype=float),
        traffic,
        float(prediction.predicted_ms),
        dict(measured_ms or {}),
    )


def layer_changes(
    time_model: Any, before: Timed, after: Timed, keras_names: Sequence[str] = ()
) -> tuple[LayerChange, ...]:
    """Every layer before and after, in the order of the network, and what belongs to no layer.

    `saved_ms` of all rows sums up to the difference of the two networks' predicted times. Files call a layer by several of
    the `keras_names`, the addresses of the model's layers.
    """
    setting, ranks = _trees(time_model), ranks_of(keras_names)
    rows = []
    for one, two in aligned(before.network.layers, after.network.layers):
        rows.append(_row(setting, before, after, one, two, ranks))
    rest_before = before.total_ms - float(before.layers_ms.sum())
    rest_after = after.total_ms - float(after.layers_ms.sum())
    rows.append(
        LayerChange(
            REMAINDER, "", None, None, None, None, rest_before, rest_after, rest_before - rest_after,
            reason="what running any network costs, and what no layer shows alone",
        )
    )  # fmt: skip
    return tuple(rows)


def aligned(before: Sequence[Layer], after: Sequence[Layer]) -> list[tuple[int | None, int | None]]:
    """Positions of the same layer before and after, by operator and name; None where it is on one side only."""
    if [layer.op for layer in before] == [layer.op for layer in after]:
        return [(i, i) for i in range(len(before))]
    first, second = ([(layer.op, layer.name.split(";")[0]) for layer in layers] for layers in (before, after))
    pairs: list[tuple[int | None, int | None]] = []
    for kind, a, b, c, d in SequenceMatcher(None, first, second, autojunk=False).get_opcodes():
        if kind == "equal":
            pairs += list(zip(range(a, b), range(c, d), strict=True))
        else:
            pairs += [(i, None) for i in range(a, b)] + [(None, i) for i in range(c, d)]
    return pairs


def _row(
    setting: SettingModel | None,
    before: Timed,
    after: Timed,
    one: int | None,
    two: int | None,
    ranks: Ranks,
) -> LayerChange:
    old = None if one is None else before.network.layers[one]
    new = None if two is None else after.network.layers[two]
    layer = old or new
    assert layer is not None
    was = 0.0 if one is None else float(before.layers_ms[one])
    now = 0.0 if two is None else float(after.layers_ms[two])
    if old is None or new is None:
        why = Reason("is no longer there" if new is None else "is new")
    else:
        nearer = float(before.traffic_ms[one] - after.traffic_ms[two])
        why = reason(setting, old, new, was, was - now, nearer)
    return LayerChange(
        name=name_of(layer, ranks),
        op=layer.op,
        index_before=old.index if old else None,
        index_after=new.index if new else None,
        channels_before=_channels(old),
        channels_after=_channels(new),
        before_ms=was,
        after_ms=now,
        saved_ms=was - now,
        measured_before_ms=before.measured_ms.get(old.index) if old else None,
        measured_after_ms=after.measured_ms.get(new.index) if new else None,
        reason=why.text,
        evidence=why.evidence,
    )


def _channels(layer: Layer | None) -> int | None:
    if layer is None or not layer.outputs or not layer.outputs[0].shape:
        return None
    return int(layer.outputs[0].shape[-1])


def _trees(time_model: Any) -> SettingModel | None:
    setting = time_model.setting()
    return setting if isinstance(setting, SettingModel) else None
