"""Which layer of a Keras model an operator of its file comes from."""

from __future__ import annotations

from collections.abc import Sequence

from profiler.network import Layer

Ranks = dict[tuple[str, ...], int]
"""Places in the model's order, by the parts of the address."""


def ranks_of(addresses: Sequence[str]) -> Ranks:
    """Of layers, and behind them of the models inside the model that they stand in, innermost first."""
    layers = [tuple(address.split("/")) for address in addresses]
    depth = max(map(len, layers), default=0)
    models = [layer[:length] for length in range(depth - 1, 0, -1) for layer in layers if length < len(layer)]
    return {parts: rank for rank, parts in enumerate(dict.fromkeys([*layers, *models]))}


def name_of(layer: Layer, ranks: Ranks) -> str:
    """What to call a layer: the address of the Keras layer that does the work, else the file's name for it.

    The converter joins the names of all that it fused, such as ``net/relu1_1/Relu;…;net/conv1_1/convolution``: the first in
    the model's order is meant. Each is the network's name, a layer's address, with a number behind each part, and what the
    layer does: so ``net/backbone_1/conv1_1/convolution`` is ``backbone/conv1``, and no ``conv1`` of the network's own.
    """
    found = names_of(layer, ranks)
    return min(found, key=lambda name: ranks[tuple(name.split("/"))], default=layer.name.split(";")[0])


def names_of(layer: Layer, ranks: Ranks) -> list[str]:
    """The addresses of all that the converter fused in a layer, as far as it names them."""
    found = [_address(name.split("/"), ranks) for name in layer.name.split(";")]
    return ["/".join(parts) for parts in found if parts]


def _address(parts: Sequence[str], ranks: Ranks) -> tuple[str, ...]:
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
