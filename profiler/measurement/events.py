"""Finds the operator of a file that each event of the runtime's profiler belongs to.

The runtime's own kernels name the operator. XNNPACK runs parts of the graph as graphs of its own, in which it fuses,
splits and inserts operators, and reports only their order; so its events are aligned with the operators of the part.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from profiler.network import Layer, Network
from profiler.operators import operator, operators

OPERATOR, DELEGATED, RUN_ENDS = 2, 8, 32
CONTROL = frozenset({"while", "if", "call", "call_once", "stablehlo_while", "stablehlo_composite"})
"""Operators whose time includes that of the subgraphs that they run."""

_CUT_US = 0.5
"""Mean loss where XNNPACK cuts times to whole microseconds."""
_RESOLVED_US = 0.3
"""A cut time below this says only that the event takes less than a microsecond."""
_UNRESOLVED_US = (0.02, 0.3)
"""Least and most time that `OperatorTimes.fill` gives to such an event."""

_CHEAP_TO_SKIP = {
    "pad": 1.0,
    "padv2": 1.0,
    "relu": 1.0,
    "relu6": 1.0,
    "reshape": 0.5,
    "squeeze": 0.5,
    "expand_dims": 0.5,
}
_NO_MATCH = 6.0


@dataclass(frozen=True)
class Event:
    """One event of one run, as the agent reports it."""

    tag: str
    type: int
    node: int
    graph: int
    time_us: float

    @property
    def name(self) -> str:
        """XNNPACK's name of the operator, without the types and the kind of kernel."""
        return self.tag.partition(" (")[0]


@dataclass
class OperatorTimes:
    """Times of operators in one run, by `Layer.index`, all their repetitions together.

    `known_us` holds what the events say; `unresolved` counts the events that are too short to say anything.
    """

    known_us: dict[int, float] = field(default_factory=dict)
    unresolved: dict[int, int] = field(default_factory=dict)

    def add(self, index: int, time_us: float, cut: bool) -> None:
        """Add an event of the operator `index`; `cut` where its time was cut to whole microseconds."""
        self.known_us.setdefault(index, 0.0)
        if cut and time_us < _RESOLVED_US:
            self.unresolved[index] = self.unresolved.get(index, 0) + 1
        else:
            self.known_us[index] += time_us + (_CUT_US if cut else 0.0)

    def fill(self, total_us: float) -> dict[int, float]:
        """Give the unresolved events what `total_us` leaves, within reason; not scaled to it yet."""
        count = sum(self.unresolved.values())
        each = (total_us - sum(self.known_us.values())) / count if count else 0.0
        each = min(max(each, _UNRESOLVED_US[0]), _UNRESOLVED_US[1])
        return {
            index: time_us + each * self.unresolved.get(index, 0) for index, time_us in self.known_us.items()
        }


def operator_times(network: Network, events: Sequence[Event]) -> OperatorTimes:
    """Find the operators that the events of one run belong to.

    Parameters
    ----------
    network
        The file that ran.
    events
        The events of one run, in order.

    Returns
    -------
    OperatorTimes
        What the runtime fused into another operator has 0; what calls subgraphs is left out, since its time
        is theirs.
    """
    times = OperatorTimes()
    for graph, (first, layers) in _graphs(network).items():
        mine = [event for event in events if event.graph == graph]
        builtin = set()
        for event in mine:
            if event.type == OPERATOR and 0 <= event.node < len(layers):
                builtin.add(first + event.node)
                if layers[event.node].op not in CONTROL:
                    times.add(first + event.node, event.time_us, cut=False)
        known: dict[tuple[tuple[str, ...], ...], list[int | None]] = {}
        for parts in delegate_runs(mine):
            signature = tuple(tuple(event.tag for event in part) for part in parts)
            if signature not in known:
                known[signature] = _assign(network, graph, layers, builtin, parts)
            for event, index in zip(
                (event for part in parts for event in part), known[signature], strict=True
            ):
                if index is not None:
                    times.add(index, event.time_us, cut=True)
        if known:
            for layer in layers:
                if layer.op not in CONTROL:
                    times.known_us.setdefault(layer.index, 0.0)
    return times


def layer_times_us(network: Network, events: Sequence[Event], total_us: float) -> dict[int, float]:
    """Time of each operator, in microseconds by `Layer.index`; they add up to `total_us`, a run without
    profiling.

    Returns
    -------
    dict
        Empty where no event belongs to an operator.
    """
    times = operator_times(network, events)
    if not times.known_us:
        return {}
    return dict(sorted(scale_to_total(network, times.fill(total_us), total_us).items()))


def scale_to_total(network: Network, times_us: Mapping[int, float], total_us: float) -> dict[int, float]:
    """Times that add up to `total_us`: the profiler slows a run down, so it gives the shares and not the
    total.

    Starting a loop's body costs time that belongs to no operator of it: in a network with loops, what remains
    goes to the operators that run them, by the number of turns.
    """
    known = sum(times_us.values())
    turns: dict[int, int] = {}
    loop = -1
    for layer in network.layers:
        if layer.op in CONTROL:
            loop = layer.index
            turns[loop] = max(turns.get(loop, 0), layer.repeat)
        elif loop >= 0 and layer.repeat > 1:
            turns[loop] = max(turns[loop], layer.repeat)
    result = dict(times_us)
    remainder = total_us - known
    if turns and remainder > 0:
        for index, count in turns.items():
            result[index] = remainder * count / sum(turns.values())
        return result
    for index in turns:
        result[index] = 0.0
    factor = total_us / known if known > 0 else 0.0
    return {index: time_us * factor for index, time_us in result.items()}


def _graphs(network: Network) -> dict[int, tuple[int, list[Layer]]]:
    """By subgraph: the index of its first operator, and its operators in the file's order, each once."""
    found: dict[int, dict[int, Layer]] = {}
    for position, layer in enumerate(network.layers):
        graph = network.edges[position].graph if network.edges else 0
        found.setdefault(graph, {})[layer.index] = layer
    return {
        graph: (min(layers), [layers[index] for index in sorted(layers)])
        for graph, layers in found.items()
        if layers
    }


def delegate_runs(events: Sequence[Event]) -> list[list[list[Event]]]:
    """Events of a delegate in a subgraph, by run and by part of the subgraph that it took over."""
    runs: list[list[list[Event]]] = [[]]
    for event in events:
        if event.type == RUN_ENDS:
            runs.append([])
        elif event.type != OPERATOR:
            parts = runs[-1]
            if not parts or event.node <= parts[-1][-1].node:
                parts.append([])
            parts[-1].append(event)
    return [run for run in runs if run]


def _assign(
    network: Network, graph: int, layers: Sequence[Layer], builtin: set[int], parts: list[list[Event]]
) -> list[int | None]:
    """Find the operator of each event of one run of a subgraph, part by part if the parts are known."""
    epochs = _delegated_parts(network, graph, builtin)
    if len(epochs) != len(parts):
        delegated = [layer for layer in layers if layer.index not in builtin]
        return align([event for part in parts for event in part], delegated)
    return [index for part, epoch in zip(parts, epochs, strict=True) for index in align(part, epoch)]


def _delegated_parts(network: Network, graph: int, builtin: set[int]) -> list[list[Layer]]:
    """Repeat how the runtime divides a graph between itself and a delegate.

    It takes as many operators of one kind as can run, then as many of the other, and so on.
    """
    rows = {
        layer.index: (layer, edge)
        for layer, edge in zip(network.layers, network.edges, strict=False)
        if edge.graph == graph
    }
    order = [rows[index] for index in sorted(rows)]
    made = {tensor for _, edge in order for tensor in edge.outputs}
    open_rows = order
    parts: list[list[Layer]] = []
    while open_rows:
        kind: bool | None = None
        part: list[Layer] = []
        rest = []
        for layer, edge in open_rows:
            ready = not any(tensor in made for tensor in edge.inputs)
            delegated = layer.index not in builtin
            if ready and kind in (None, delegated):
                kind = delegated
                part.append(layer)
                made.difference_update(edge.outputs)
            else:
                rest.append((layer, edge))
        if not part:
            break
        if kind:
            parts.append(part)
        open_rows = rest
    return parts


def align(events: Sequence[Event], layers: Sequence[Layer]) -> list[int | None]:
    """Align a delegate's events with the operators that it took over, both in order, at the least cost.

    An event belongs to an operator of its kind, or was inserted before or after one (a clamp for a fused
    activation, a conversion for dynamic quantisation); an operator without an event was fused into a
    neighbour.

    Returns
    -------
    list
        For each event `Layer.index` of its operator; None only if there are no operators.
    """
    if not layers:
        return [None] * len(events)
    rows, columns = len(events), len(layers)
    known = frozenset(name for entry in operators() for name in entry.events)
    names = [_name_with_kernel(event) for event in events]
    costs_by_name = [operator(layer.op).events for layer in layers]
    band = 60 + abs(rows - columns)
    costs = [[math.inf] * (columns + 1) for _ in range(rows + 1)]
    steps = [[""] * (columns + 1) for _ in range(rows + 1)]
    costs[0][0] = 0.0
    for i in range(rows + 1):
        centre = i * columns // max(rows, 1)
        for j in range(max(0, centre - band), min(columns, centre + band) + 1):
            best, step = costs[i][j], steps[i][j]
            if i and j:
                cost = costs[i - 1][j - 1] + _match_cost(
                    names[i - 1], layers[j - 1], costs_by_name[j - 1], known
                )
                best, step = min((best, step), (cost, "match"))
            if j:
                cost = costs[i][j - 1] + _skip_cost(layers[j - 1])
                best, step = min((best, step), (cost, "skip"))
            if i and j:
                cost = costs[i - 1][j] + _after_cost(events[i - 1], layers[j - 1])
                best, step = min((best, step), (cost, "after"))
            if i and j < columns:
                cost = costs[i - 1][j] + _before_cost(events[i - 1], layers[j])
                best, step = min((best, step), (cost, "before"))
            costs[i][j], steps[i][j] = best, step
    found: list[int | None] = [None] * rows
    i, j = rows, columns
    while i or j:
        step = steps[i][j]
        if step == "skip":
            j -= 1
            continue
        i -= 1
        if step == "match":
            j -= 1
            found[i] = layers[j].index
        else:
            found[i] = layers[j - 1 if step == "after" else j].index
    return found


def _name_with_kernel(event: Event) -> str:
    """XNNPACK's name of the operator; depthwise convolutions differ from others by the kernel only."""
    depthwise = event.name == "Convolution" and event.tag.endswith("DWConv")
    return "Convolution DWConv" if depthwise else event.name


def _match_cost(name: str, layer: Layer, costs: Mapping[str, float], known: frozenset[str]) -> float:
    """Return the cost of taking an event `name` for `layer`, whose entry gives `costs` by the names that it may have."""
    cost = costs.get(name)
    if cost is not None:
        # Only convolutions of single positions run as a product of matrices.
        kernel = (layer.params.get("kernel_height", 1), layer.params.get("kernel_width", 1))
        return 2.0 if name == "Fully Connected" and kernel != (1, 1) else cost
    if name in known:
        return _NO_MATCH
    return 0.5 if name.lower().replace(" ", "_") == layer.op else 3.0


def _skip_cost(layer: Layer) -> float:
    if layer.op == "dequantize" and not layer.activations:
        return 0.0
    return _CHEAP_TO_SKIP.get(layer.op, 4.0)


def _after_cost(event: Event, layer: Layer) -> float:
    """Return the cost of taking `event` for something that `layer` ends with."""
    if event.name == "Clamp":
        return 0.1 if layer.params.get("activation", "none") != "none" else 3.0
    if event.name in ("Copy", "Slice"):
        return 0.1 if layer.op in ("concatenation", "split", "split_v", "pack", "unpack") else 1.5
    return _insertion_cost(event)


def _before_cost(event: Event, layer: Layer) -> float:
    """Return the cost of taking `event` for something that `layer` begins with."""
    if event.name == "Convert":
        return 0.1 if layer.dtype == "dynamic_int8" else 3.0
    if event.name == "Static Reshape":
        return 0.3 if layer.op in ("fully_connected", "batch_matmul", "mean") else 1.0
    return _insertion_cost(event) + 0.1


def _insertion_cost(event: Event) -> float:
    return {
        "Static Reshape": 1.0,
        "Static Expand Dims": 1.0,
        "Transpose": 1.5,
        "Copy": 1.5,
        "Convert": 3.0,
    }.get(event.name, 4.0)
