"""What each layer gave back: predicted (and measured) time before and after, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import SequenceMatcher
from typing import Any

import numpy as np

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
    """A network with its predicted times.

    Attributes
    ----------
    layers_ms
        Of each layer as it runs there [layers].
    traffic_ms
        What of that is data from beyond the cache [layers].
    total_ms
        Of the network: the layers and what is between them.
    measured_ms
        By `Layer.index`, where it was measured per layer.
    """

    network: Network
    layers_ms: np.ndarray
    traffic_ms: np.ndarray
    total_ms: float
    measured_ms: Mapping[int, float]


def timed(
    time_model: NetworkPredictor, network: Network, measured_ms: Mapping[int, float] | None = None
) -> Timed:
    """Predict a network layer by layer.

    Parameters
    ----------
    time_model
        Of the device.
    """
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

    `saved_ms` of all rows sums up to the difference of the two networks' predicted times.

    Parameters
    ----------
    keras_names
        Addresses of the model's layers (`compressor.graph.layers_of`): files call a layer by several of them.
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
    """Positions of the same layer before and after; None where it is on one side only.

    Cutting channels leaves the structure alone, so mostly the two go in step; else layers are matched by operator
    and name.
    """
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
    ranks: _Ranks,
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


_Ranks = dict[tuple[str, ...], int]
"""Places in the model's order, by the parts of the address."""


def ranks_of(addresses: Sequence[str]) -> _Ranks:
    """Of layers, and behind them of the models inside the model that they stand in, innermost first."""
    layers = [tuple(address.split("/")) for address in addresses]
    depth = max(map(len, layers), default=0)
    models = [layer[:length] for length in range(depth - 1, 0, -1) for layer in layers if length < len(layer)]
    return {parts: rank for rank, parts in enumerate(dict.fromkeys([*layers, *models]))}


def name_of(layer: Layer, ranks: _Ranks) -> str:
    """What to call a layer: the address of the Keras layer that does the work, else the file's name for it.

    The converter joins the names of all that it fused, such as ``net/relu1_1/Relu;…;net/conv1_1/convolution``: of
    the Keras layers in it the first in the model's order is meant, since what follows was fused into it. Each of
    these names is that of the network, then a layer's address, with a number behind each part, then what the layer
    does: so ``net/backbone_1/conv1_1/convolution`` is ``backbone/conv1``, and no ``conv1`` of the network's own.
    """
    found = [_address(name.split("/"), ranks) for name in layer.name.split(";")]
    best = min((parts for parts in found if parts), key=ranks.__getitem__, default=())
    return "/".join(best) or layer.name.split(";")[0]


def _address(parts: Sequence[str], ranks: _Ranks) -> tuple[str, ...]:
    """The innermost address in one name: right behind the network's name, else as far in front as there is one."""
    for start in sorted(range(len(parts)), key=lambda start: (start != 1, start)):
        best: tuple[str, ...] = ()
        reached: list[tuple[str, ...]] = [()]
        for part in parts[start:]:
            bare, _, number = part.rpartition("_")
            spellings = (part, bare) if number.isdigit() else (part,)
            reached = [(*way, one) for way in reached for one in spellings if (*way, one) in ranks]
            best = min(reached, key=ranks.__getitem__, default=best)
        if best:
            return best
    return ()


def _channels(layer: Layer | None) -> int | None:
    if layer is None or not layer.outputs or not layer.outputs[0].shape:
        return None
    return int(layer.outputs[0].shape[-1])


def _trees(time_model: Any) -> SettingModel | None:
    setting = time_model.setting()
    return setting if isinstance(setting, SettingModel) else None
