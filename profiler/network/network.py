"""`Network`: the layers of one file in execution order, and how they hang together."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property

from profiler.network.fusion_patterns import FusionMatch, find_matches
from profiler.network.layer import Edge, Layer, Tensor


@dataclass(frozen=True)
class Network:
    """A network as the runtime sees it.

    Parameters
    ----------
    name
        Where it came from: a file's name, mostly.
    layers
        In execution order. Layers inside a loop's body follow the loop's own layer, with `Layer.repeat` set.
        `Layer.index` counts the file's operators, those of the main graph first.
    edges
        One per layer, or empty where only a bag of layers is known (a table).
    tensors
        All tensors of the main graph, then those of subgraphs that it calls; `edges`, `inputs`, `outputs`
        and `variables` point into it.
    inputs, outputs
        Tensors of the main graph that the caller fills and reads.
    variables
        Tensors that the runtime keeps from one run to the next, such as an LSTM's states. Like weights they
        are marked as constant, because no layer computes them; the file holds no values for them.
    assumed_batch
        True where the file leaves the batch open and 1 was taken.
    unknown_loops
        Names of loops that were taken to turn once, because how often they do depends on the data.
    """

    name: str
    layers: tuple[Layer, ...]
    edges: tuple[Edge, ...] = ()
    tensors: tuple[Tensor, ...] = ()
    inputs: tuple[int, ...] = ()
    outputs: tuple[int, ...] = ()
    file_bytes: int = 0
    assumed_batch: bool = False
    metadata: dict[str, str] = field(default_factory=dict, compare=False)
    variables: tuple[int, ...] = ()
    unknown_loops: tuple[str, ...] = ()

    @cached_property
    def macs(self) -> int:
        """Multiply-accumulates of one inference."""
        return sum(layer.macs * layer.repeat for layer in self.layers)

    @cached_property
    def weight_bytes(self) -> int:
        """Bytes of all weights that the file stores, each counted once."""
        if self.tensors:
            # A float16 file's weights appear twice: as they are stored, and as the runtime unpacks them when it loads.
            made = {*self.variables, *(index for edge in self.edges for index in edge.outputs)}
            return sum([t.nbytes for i, t in enumerate(self.tensors) if t.constant and i not in made])
        return sum(layer.weight_bytes for layer in self.layers)

    @cached_property
    def dtype(self) -> str:
        """The type that most multiply-accumulates (else most layers) are done in."""
        totals: defaultdict[str, float] = defaultdict(float)
        for layer in self.layers:
            totals[layer.dtype] += layer.macs * layer.repeat + 1e-6
        return max(totals, key=lambda dtype: totals[dtype], default="float32")

    @cached_property
    def fusion_matches(self) -> tuple[FusionMatch, ...]:
        """Every pair of operators that a runtime may run as one."""
        return tuple(find_matches(self.layers, self.edges, self.outputs))
