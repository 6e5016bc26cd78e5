"""`OperatorModel`: how long one operator takes in one arithmetic, as a tree over readable features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from profiler.network import Layer
from profiler.operators import operator
from profiler.widths import width_of, with_width
from timemodel.features import COLUMNS, Family, Geometry, family_of
from timemodel.model.checking import MOST, items, number, table, text, whole
from timemodel.model.slowest import Parts, part_times
from timemodel.tree import BLOCK_ROWS, TimeTreeRegressor, TreeNode

MIN_POINTS = 8
_UNMET = 2.0
BESIDE_PARTS = frozenset({"macs", "in_bytes", "out_bytes", "weight_bytes", "blocked_elements"})
SLOWEST, WAITS_FOR = "slowest_part", "waits_for"
"""Names of a cost, what the slowest part takes in ms, and of a size, which part that is."""


@dataclass(frozen=True)
class Sweep:
    """Measured times of `layer` at several output widths."""

    layer: Layer
    widths: tuple[int, ...]
    times_ms: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"layer": self.layer.to_dict(), "widths": list(self.widths), "times_ms": list(self.times_ms)}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Sweep:
        """Read what `to_dict` wrote."""
        layer = Layer.from_dict(value["layer"])
        shapes = [tensor.shape for tensor in (*layer.inputs, *layer.outputs)]
        if not layer.outputs or not all(isinstance(n, int) and n > 0 for shape in shapes for n in shape):
            raise ValueError("the layer of a sweep has no sizes")
        widths = tuple(whole(width, "a width of a sweep", least=1) for width in value["widths"])
        times = tuple(number(time, "a time of a sweep", above=True) for time in value["times_ms"])
        if len(widths) != len(times):
            raise ValueError("a sweep has more widths than times, or fewer")
        return cls(layer, widths, times)

    @property
    def layers(self) -> list[Layer]:
        """What was measured."""
        return [with_width(self.layer, width) for width in self.widths]


@dataclass(frozen=True)
class OperatorError:
    """How far an operator's model is off on layers that it did not learn from."""

    op: str
    dtype: str
    probes: int
    leaves: int
    mean_error: float
    median_error: float
    p90_error: float

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values; errors are shares (0.05 is 5%)."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> OperatorError:
        """Read what `to_dict` wrote."""
        names = ("mean_error", "median_error", "p90_error")
        return cls(
            text(value["op"], "its error's operator"),
            text(value["dtype"], "its error's dtype"),
            whole(value["probes"], "its number of probes"),
            whole(value["leaves"], "its number of leaves", least=1),
            *(number(value[name], f"its {name.replace('_', ' ')}") for name in names),
        )


@dataclass(frozen=True)
class OperatorModel:
    """The time of one call of an operator, the runtime's overhead of a call included."""

    op: str
    dtype: str
    tiles: dict[str, int]  # sizes of tile (and of cache) that fit the device best, by axis
    tree: TimeTreeRegressor  # works in ms on `matrix`'s columns
    low: float  # from here to `high` 90% of measured by predicted times lie, of layers that the tree had not seen
    high: float
    bounds: np.ndarray  # [2, costs]: smallest and largest in training
    error: OperatorError
    sweeps: list[Sweep]
    device: str = (
        ""  # whose features it has: ``parallel``, ``accelerator``, or a processor's, see `family_of`
    )
    parts: Parts = field(default_factory=dict)  # what is paid at the same time, see `slowest`

    @property
    def parallel(self) -> bool:
        """Whether features are of devices that work many tiles at once."""
        return self.device == "parallel"

    @property
    def family(self) -> Family:
        """The features that the tree knows."""
        return family_of(self.op, self.device)

    def matrix(self, array: np.ndarray) -> np.ndarray:
        """Features ``[n, costs + sizes]`` of a `geometry` array."""
        return feature_matrix(self.family, array, self.tiles, self.parts)[0]

    def names(self) -> tuple[list[str], list[str]]:
        """Names of costs and of sizes, in the order of `matrix`'s columns."""
        _, costs, sizes = feature_matrix(self.family, np.ones((1, len(COLUMNS))), self.tiles, self.parts)
        return costs, sizes

    def columns(self, array: np.ndarray) -> list[np.ndarray]:
        """`matrix`, column by column: what predicting needs, without laying it out in one piece."""
        g = Geometry(np.asfortranarray(array))
        costs, sizes = _features(self.family, g, self.tiles, self.parts)
        return [*costs.values(), *sizes.values()]

    def predict_ms(self, array: np.ndarray) -> np.ndarray:
        """Times ``[n]`` in ms of the layers of a `geometry` array."""
        blocks = [array[at : at + BLOCK_ROWS] for at in range(0, len(array), BLOCK_ROWS)]
        return np.concatenate([self.times(block)[0] for block in blocks]) if blocks else np.zeros(0)

    def times(self, array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`predict_ms`, and how far beyond the measured sizes each layer lies: 2 where it is twice as much work as the largest.

        Beyond these sizes time grows with the work and no faster: what more bytes cost from some size on was not seen there.
        """
        columns = self.columns(array)
        names = self._cost_names
        stretch = np.ones(len(array))
        for name, column, largest in zip(names, columns, self.bounds[1].tolist(), strict=False):
            if "beyond" in name:
                continue  # all of a surplus, such as bytes beyond the cache, says nothing of how much work there is
            # A cost that was never met says no more than that the layer is of another sort.
            beyond = column / largest if largest > 0 else np.where(column > 0, _UNMET, 1.0)
            np.maximum(stretch, beyond, out=stretch)
        times = self.tree.compiled_.predict(columns)
        outside = np.flatnonzero(stretch > 1.0)
        if len(outside) and self.device != "accelerator":  # what a simulator works out is exact
            bounds = self.bounds[1].tolist()
            inside = [
                np.minimum(column[outside], largest) for column, largest in zip(columns, bounds, strict=False)
            ]
            inside += [column[outside] for column in columns[len(bounds) :]]
            largest_ms = self.tree.compiled_.predict(inside)
            times[outside] = np.minimum(times[outside], largest_ms * stretch[outside])
        return np.maximum(times, 0.0), stretch

    @cached_property
    def _cost_names(self) -> list[str]:
        return self.names()[0]

    def stretch(self, array: np.ndarray) -> np.ndarray:
        """How far beyond the measured sizes each layer lies: see `times`."""
        return self.times(array)[1]

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "op": self.op,
            "dtype": self.dtype,
            "tiles": self.tiles,
            "low": self.low,
            "high": self.high,
            "costs": self.names()[0],
            "sizes": self.names()[1],
            "bounds": self.bounds.tolist(),
            "error": self.error.to_dict(),
            "scale_ms": self.tree.scale_,
            "nodes": [_node_to_dict(node) for node in self.tree.nodes_],
            "sweeps": [sweep.to_dict() for sweep in self.sweeps],
            **({"device": self.device} if self.device else {}),
            **({"parts": {part: dict(units) for part, units in self.parts.items()}} if self.parts else {}),
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> OperatorModel:
        """Read what `to_dict` wrote."""
        op, dtype = text(value["op"], "an operator's name"), text(value["dtype"], "an operator's dtype")
        try:
            return cls._read(op, dtype, value)
        except KeyError as error:
            raise ValueError(f"{op} {dtype} lacks {error}") from error
        except ValueError as error:
            raise ValueError(f"{op} {dtype}: {error}") from error

    @classmethod
    def _read(cls, op: str, dtype: str, value: Mapping[str, Any]) -> OperatorModel:
        costs = [text(name, "a cost's name") for name in items(value["costs"], "its list of costs")]
        sizes = [text(name, "a size's name") for name in items(value["sizes"], "its list of sizes")]
        nodes = [_node_from_dict(node, len(costs)) for node in items(value["nodes"], "its list of nodes")]
        tree = unfitted_tree(costs, sizes)
        tree.restore(nodes, number(value["scale_ms"], "its unit of time"), len(costs) + len(sizes))
        bounds = [
            [number(bound, "a bound of its costs") for bound in items(row, "a row of bounds")]
            for row in items(value["bounds"], "its list of bounds")
        ]
        if [len(row) for row in bounds] != [len(costs)] * 2:
            raise ValueError("its bounds are not two per cost")
        if any(low > high for low, high in zip(*bounds, strict=True)):
            raise ValueError("a lower bound of its costs lies above the upper one")
        rows = table(value["tiles"], "its tiles")
        tiles = {axis: whole(size, f"its tile of {axis}", least=1) for axis, size in rows.items()}
        low = number(value["low"], "its low factor")
        high = number(value["high"], "its high factor", above=True)
        if low > high:
            raise ValueError(f"its low factor {low} lies above its high factor {high}")
        error = OperatorError.from_dict(table(value["error"], "its error"))
        measured = items(value["sweeps"], "its list of sweeps")
        sweeps = [Sweep.from_dict(table(sweep, "a sweep")) for sweep in measured]
        device = text(value["device"], "its kind of device") if "device" in value else ""
        parts = {
            part: {name: number(each, f"its {name}") for name, each in table(units, "a part").items()}
            for part, units in table(value.get("parts", {}), "its parts").items()
        }
        model = cls(op, dtype, tiles, tree, low, high, np.array(bounds), error, sweeps, device, parts)
        if set(model.tiles) != set(model.family.tiles):
            raise ValueError(f"its tiles are not of {' and '.join(model.family.tiles) or 'nothing'}")
        if model.names() != (costs, sizes):
            raise ValueError("its features are not those that this edgetime knows")
        return model


def feature_matrix(
    family: Family, array: np.ndarray, tiles: Mapping[str, int], parts: Parts | None = None
) -> tuple[np.ndarray, list[str], list[str]]:
    """Costs and sizes of a `geometry` array side by side, and their names; with `parts` also the slowest of these."""
    costs, sizes = _features(family, Geometry(array), tiles, parts or {})
    return np.column_stack([*costs.values(), *sizes.values()]), list(costs), list(sizes)


def _features(
    family: Family, g: Geometry, tiles: Mapping[str, int], parts: Parts
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    costs, sizes = family.costs(g, tiles), family.sizes(g, tiles)
    if parts:
        times = part_times(costs, parts)
        # The slowest part has all costs in it; beside that a few show what it is off by.
        costs = {name: column for name, column in costs.items() if name in BESIDE_PARTS}
        costs, sizes = {**costs, SLOWEST: times.max(axis=1)}, {**sizes, WAITS_FOR: times.argmax(axis=1)}
    return costs, sizes


def unfitted_tree(costs: Sequence[str], sizes: Sequence[str], **options: Any) -> TimeTreeRegressor:
    """A tree over `feature_matrix`: leaves are linear in costs, splits ask about sizes."""
    at = len(costs)
    return TimeTreeRegressor(range(at), range(at, at + len(sizes)), **options)


def _node_to_dict(node: TreeNode) -> dict[str, Any]:
    coefficients = node.coefficients.tolist()
    value: dict[str, Any] = {"samples": node.samples, "loss": node.loss, "coefficients": coefficients}
    if node.feature >= 0:
        value |= {"feature": node.feature, "left": node.left, "right": node.right, "gain": node.gain}
        value |= {"modulus": node.modulus} if node.modulus else {"threshold": node.threshold}
    return value


def _node_from_dict(value: Any, costs: int) -> TreeNode:
    value = table(value, "a node")
    coefficients = [number(c, "a coefficient") for c in items(value["coefficients"], "a node's coefficients")]
    if len(coefficients) != costs + 1:
        raise ValueError(f"a node has {len(coefficients)} coefficients in place of {costs + 1}")
    node = TreeNode(
        coefficients=np.array(coefficients),
        samples=whole(value["samples"], "a node's number of samples"),
        loss=number(value["loss"], "a node's loss"),
    )
    if "feature" in value:
        if ("modulus" in value) == ("threshold" in value):
            raise ValueError("a node asks for both a threshold and a multiple, or for neither")
        node.feature = whole(value["feature"], "a node's feature")
        node.left, node.right = (whole(value[side], f"a node's {side} branch") for side in ("left", "right"))
        node.gain = number(value["gain"], "a node's gain", least=-MOST)
        if "modulus" in value:
            node.modulus = whole(value["modulus"], "a node's modulus", least=1)
        else:
            node.threshold = number(value["threshold"], "a node's threshold", least=-MOST)
    elif not {"threshold", "modulus", "left", "right", "gain"}.isdisjoint(value):
        raise ValueError("a node has branches but asks about no feature")
    return node


def find_sweeps(layers: Sequence[Layer], times_ms: np.ndarray) -> list[Sweep]:
    """Groups of at least `MIN_POINTS` layers that differ in width only, the largest group first."""
    groups: dict[str, list[int]] = {}
    for i, layer in enumerate(layers):
        if operator(layer.op).output_width and len(layer.inputs) > 1:
            groups.setdefault(with_width(layer, 1).key, []).append(i)
    found = []
    for members in groups.values():
        by_width = {width_of(layers[i]): i for i in members}
        if len(by_width) >= MIN_POINTS:
            widths = tuple(sorted(by_width))
            times = tuple(float(times_ms[by_width[w]]) for w in widths)
            found.append(Sweep(layers[by_width[widths[0]]], widths, times))
    return sorted(found, key=lambda sweep: -len(sweep.widths))
