"""Why operators of a mixed network are what they are, in words."""

from __future__ import annotations

from collections.abc import Mapping

from compressor.weights.quantization.assignment import FLOAT, QuantizableNetwork
from compressor.weights.quantization.search import MixedCandidate
from timemodel.model import NetworkPrediction

_CLEARLY = 1.1
"""A kind of operator is called slower from this ratio on."""

_KINDS = {
    "int8": "int8",
    "dynamic": "int8 weights with floats between them",
    "int16": "int8 weights with int16 activations",
}


def reasons(
    network: QuantizableNetwork,
    chosen: MixedCandidate,
    uniform: Mapping[str, NetworkPrediction],
    predicted: NetworkPrediction,
) -> tuple[str, ...]:
    """A sentence for each kind of operator and precision, the most time first.

    Parameters
    ----------
    network
        The float network.
    chosen
        What was chosen.
    uniform
        Predictions of the files in which every operator that can be is ``float32``, ``int8`` or ``dynamic``.
    predicted
        The prediction of the chosen file.
    """
    times = {name: {layer.name: layer.predicted_ms for layer in one.layers} for name, one in uniform.items()}
    groups: dict[tuple[str, str], list[str]] = {}
    for unit in network.units:
        groups.setdefault((unit.op, chosen.assignment.get(unit.index, FLOAT)), []).append(unit.name)
    found = []
    for (op, choice), names in groups.items():
        spent = {name: sum(known.get(one, 0.0) for one in names) for name, known in times.items()}
        found.append((max(spent.values()), _sentence(op, choice, len(names), spent)))
    ordered = [sentence for _, sentence in sorted(found, reverse=True)]
    conversions = sum(
        layer.predicted_ms for layer in predicted.layers if layer.op in ("quantize", "dequantize")
    )
    if conversions and chosen.mixed:
        ordered.append(f"Conversions between floats and integers take {_ms(conversions)} in all.")
    return tuple(ordered)


def _sentence(op: str, choice: str, count: int, spent: Mapping[str, float]) -> str:
    who = f"{count} `{op}`" if count > 1 else f"`{op}`"
    many = count > 1
    plain, integer = spent[FLOAT], spent["int8"]
    if choice != FLOAT:
        kind = _KINDS[choice]
        return f"{who} {'become' if many else 'becomes'} {kind}: {_ms(plain)} -> {_ms(spent[choice])}."
    stays = f"{who} {'stay' if many else 'stays'} float32"
    if plain > 0 and integer > _CLEARLY * plain:
        it = "they take" if many else "it takes"
        return f"{stays}: in int8 {it} {integer / plain:.2g} times as long here ({_ms(plain)} -> {_ms(integer)})."
    if plain > 0 and integer * _CLEARLY < plain:
        return (
            f"{stays}: int8 would save {_ms(plain - integer)} by itself, but costs accuracy or conversions."
        )
    return f"{stays}: int8 saves nothing here."


def _ms(value: float) -> str:
    return f"{value:.3g} ms"
