"""Which channels must stay, and which layers that is to be told of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from compressor.graph.records import FrozenLayer
from compressor.graph.rules import Atoms


class Holds:
    """Channels that must stay.

    Attributes
    ----------
    named
        Those that one layer holds, with its name and why.
    """

    def __init__(self) -> None:
        self._held: list[Atoms] = []
        self.named: list[tuple[FrozenLayer, Atoms]] = []

    def add(self, atoms: Atoms) -> None:
        """Hold these, whatever layers do."""
        self._held.append(atoms)

    def stays(self, roots: Atoms) -> NDArray[np.bool_]:
        """Whether each unit must stay, by the number of its root.

        Parameters
        ----------
        roots
            For each atom its unit (`compressor.graph.units.tied`).
        """
        return _marked(roots, [*self._held, *(atoms for _, atoms in self.named)])

    def told(self, roots: Atoms) -> list[FrozenLayer]:
        """The layers without which some of what they hold could go.

        A softmax at the end of a network is none: the network puts these channels out in any case.
        """
        anyhow = _marked(roots, self._held)
        return [layer for layer, atoms in self.named if not anyhow[roots[atoms]].all()]


def joined(parts: list[Atoms]) -> Atoms:
    """All these atoms, one behind the other."""
    return np.concatenate([part.ravel() for part in parts]) if parts else np.empty(0, np.int64)


def _marked(roots: Atoms, held: list[Atoms]) -> NDArray[np.bool_]:
    marks = np.zeros(len(roots), dtype=bool)
    marks[roots[joined(held)]] = True
    return marks
