"""`Change`: one thing besides channels that can be taken out of a network for good."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from profiler.network import Layer


class Change(ABC):
    """One thing besides channels that can be taken out of a network: a block, the border of kernels, every second step.

    A configuration names what is taken out by its `id` (`compressor.costs.Configuration.removed`). The law that every
    change must keep (`compressor.testing.check_change`): `apply` gives a network that computes what `twin` computes.

    Attributes
    ----------
    id
        Its name in configurations: an address in the network, and where that is not enough what happens there.
    layers
        Addresses of the layers that it concerns: where one of them is gone, there is nothing left to change.
    signature
        Equal for changes of equal layers, settings and shapes: what one of them saves, the others save, too. Empty for none.
    """

    id: str
    layers: tuple[str, ...]
    signature: str = ""

    @property
    def words(self) -> str:
        """What was done, as a part of a sentence: ``5x5 kernels of conv_3 became 3x3``."""
        return self.id

    @abstractmethod
    def apply(self, model: Any) -> Any:
        """A new model that is changed, with the weights of the given one, which may be smaller than the original.

        Layers that stay keep their names; the shapes of inputs and outputs stay.
        """

    @abstractmethod
    def twin(self, model: Any) -> Callable[[Any], Any]:
        """From rows to outputs, as the network computes them in which what goes is still there and does nothing."""

    def weight(self, layer: str, variable: str, value: NDArray[Any]) -> NDArray[Any]:
        """What a weight of the network as it is must be for it to compute what the changed one does (`by_weights`)."""
        return value

    @property
    def by_weights(self) -> bool:
        """Whether `weight` says all of the change, so that it is judged without making a network."""
        return False

    def in_file(self, layer: Layer) -> tuple[Layer, ...] | None:
        """What stands in the place of a layer of the file; None for a layer that is another one, or where that is not known.

        Sizes are only moved and compared with `==`: they may stand for what widths say. Operands that stay are the same objects.
        """
        return None

    @property
    def place(self) -> str:
        """Of changes in one place only the strongest counts."""
        return self.id

    @property
    def strength(self) -> int:
        """The larger, the more is taken out in this place."""
        return 0

    @property
    def limit(self) -> tuple[str, int] | None:
        """A name, and how many changes that give this name can be made together; None for any number."""
        return None

    @property
    def removes(self) -> bool:
        """Whether all of `layers` are gone with it."""
        return False

    def is_excluded_by(self, other: Change) -> bool:
        """Whether this one is left out where another change is made that leaves its layers, but takes what it stands on."""
        return False

    @property
    def fixed(self) -> tuple[str, ...]:
        """Layers that it adds and whose width it has chosen already."""
        return ()
