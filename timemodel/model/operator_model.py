"""`OperatorModel`: how long one operator takes in one arithmetic, as a tree over readable features."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from profiler.network import Layer
from timemodel.features import (
    CACHE,
    Family,
    Geometry,
    family_of,
    geometry,
    parallel_family,
)
from timemodel.model.checking import (
    MOST,
    items,
    number,
    table,
    text,
    whole,
)
from timemodel.model.sweeps import Sweep, find_sweeps
from timemodel.tree import BLOCK_ROWS, TimeTreeRegressor, TreeNode, nonnegative

_OF_OVERHEAD = 0.9
MIN_PROBES = 8
"""Fewer measured layers than this make no model: the operator then counts as not covered."""


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
        return dict(self.__dict__)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> OperatorError:
        """Read what `to_dict` wrote."""
        return cls(
            op=text(value["op"], "its error's operator"),
            dtype=text(value["dtype"], "its error's dtype"),
            probes=whole(value["probes"], "its number of probes"),
            leaves=whole(value["leaves"], "its number of leaves", least=1),
            **{
                name: number(value[name], f"its {name.replace('_', ' ')}")
                for name in ("mean_error", "median_error", "p90_error")
            },
        )


@dataclass
class OperatorModel:
    """The time of one call of an operator, the runtime's overhead of a call included.

    Parameters
    ----------
    tiles
        Sizes of tile (and of cache) that fit the device best, by axis.
    tree
        Works in ms on `matrix`'s columns.
    low, high
        Quantiles of measured by predicted time on layers that the tree had not seen: 90% lie between them.
    bounds
        Smallest and largest value of each cost in training, ``[2, costs]``.
    parallel
        The features are those of devices that work many tiles at once; see `timemodel.features.parallel`.
    """

    op: str
    dtype: str
    tiles: dict[str, int]
    tree: TimeTreeRegressor
    low: float
    high: float
    bounds: np.ndarray
    error: OperatorError
    sweeps: list[Sweep]
    parallel: bool = False

    @property
    def family(self) -> Family:
        """The features that the tree knows."""
        return (parallel_family(self.op) if self.parallel else None) or family_of(self.op)

    def matrix(self, array: np.ndarray) -> np.ndarray:
        """Features ``[n, costs + sizes]`` of a `geometry` array."""
        return feature_matrix(self.family, array, self.tiles)[0]

    def names(self) -> tuple[list[str], list[str]]:
        """Names of costs and of sizes, in the order of `matrix`'s columns."""
        _, costs, sizes = feature_matrix(self.family, np.ones((1, _columns())), self.tiles)
        return costs, sizes

    def columns(self, array: np.ndarray) -> list[np.ndarray]:
        """`matrix`, column by column: what predicting needs, without laying it out in one piece."""
        g = Geometry(np.asfortranarray(array))
        return [*self.family.costs(g, self.tiles).values(), *self.family.sizes(g, self.tiles).values()]

    def predict_ms(self, array: np.ndarray) -> np.ndarray:
        """Times ``[n]`` in ms of the layers of a `geometry` array."""
        blocks = [array[at : at + BLOCK_ROWS] for at in range(0, len(array), BLOCK_ROWS)]
        times = [self.tree.compiled.predict(self.columns(block)) for block in blocks]
        return np.maximum(np.concatenate(times) if times else np.zeros(0), 0.0)

    def stretch(self, array: np.ndarray) -> np.ndarray:
        """How far beyond the measured sizes each layer lies: 1 inside, 2 where a cost is twice the largest measured."""
        return self._stretch(self.columns(array))

    def times(self, array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`predict_ms` and `stretch` at the price of one."""
        columns = self.columns(array)
        return np.maximum(self.tree.compiled.predict(columns), 0.0), self._stretch(columns)

    def _stretch(self, columns: Sequence[np.ndarray]) -> np.ndarray:
        over = np.ones(len(columns[0]))
        for column, largest in zip(columns, self.bounds[1].tolist(), strict=False):
            np.maximum(over, column / max(largest, 1e-12), out=over)
        return over

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
            **({"parallel": True} if self.parallel else {}),
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> OperatorModel:
        """Read what `to_dict` wrote.

        Raises
        ------
        ValueError
            It does not hang together.
        """
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
        tree = TimeTreeRegressor(range(len(costs)), range(len(costs), len(costs) + len(sizes)))
        tree.restore(nodes, number(value["scale_ms"], "its unit of time"), len(costs) + len(sizes))
        bounds = [
            [number(bound, "a bound of its costs") for bound in items(row, "a row of bounds")]
            for row in items(value["bounds"], "its list of bounds")
        ]
        if [len(row) for row in bounds] != [len(costs)] * 2:
            raise ValueError("its bounds are not two per cost")
        if any(low > high for low, high in zip(*bounds, strict=True)):
            raise ValueError("a lower bound of its costs lies above the upper one")
        tiles = table(value["tiles"], "its tiles")
        low, high = (
            number(value["low"], "its low factor"),
            number(value["high"], "its high factor", above=True),
        )
        if low > high:
            raise ValueError(f"its low factor {low} lies above its high factor {high}")
        model = cls(
            op=op,
            dtype=dtype,
            tiles={axis: whole(size, f"its tile of {axis}", least=1) for axis, size in tiles.items()},
            tree=tree,
            low=low,
            high=high,
            bounds=np.array(bounds),
            error=OperatorError.from_dict(table(value["error"], "its error")),
            sweeps=[
                Sweep.from_dict(table(sweep, "a sweep"))
                for sweep in items(value["sweeps"], "its list of sweeps")
            ],
            parallel=value.get("parallel", False) is True,
        )
        if set(model.tiles) != set(model.family.tiles):
            raise ValueError(f"its tiles are not of {' and '.join(model.family.tiles) or 'nothing'}")
        if model.names() != (costs, sizes):
            raise ValueError("its features are not those that this edgetime knows")
        return model


def _columns() -> int:
    from timemodel.features import COLUMNS

    return len(COLUMNS)


def feature_matrix(
    family: Family, array: np.ndarray, tiles: Mapping[str, int]
) -> tuple[np.ndarray, list[str], list[str]]:
    """Costs and sizes of a `geometry` array side by side, and their names."""
    g = Geometry(array)
    costs, sizes = family.costs(g, tiles), family.sizes(g, tiles)
    return np.column_stack([*costs.values(), *sizes.values()]), list(costs), list(sizes)


_AS_GOOD = 1.03
"""Tiles whose error is within this factor of the least are as good; of those the smallest are taken."""


def find_tiles(family: Family, array: np.ndarray, times: np.ndarray) -> dict[str, int]:
    """The tile and cache sizes under which one linear model of costs fits best; of those as good, the smallest.

    Tiles first, with caches of middling size, then the caches: what is cut into tiles shows whatever the caches are.
    """
    tiles = {axis: sizes[len(sizes) // 2] for axis, sizes in family.tiles.items()}
    for axes in ([axis for axis in tiles if axis not in CACHE], [axis for axis in tiles if axis in CACHE]):
        if axes:
            tiles = _best_tiles(family, array, times, tiles, axes)
    return tiles


def _best_tiles(
    family: Family, array: np.ndarray, times: np.ndarray, tiles: Mapping[str, int], axes: Sequence[str]
) -> dict[str, int]:
    """`tiles` with the sizes along `axes` exchanged for those that fit best."""
    tried: list[tuple[float, dict[str, int]]] = []
    for sizes in itertools.product(*(family.tiles[axis] for axis in axes)):
        chosen = {**tiles, **dict(zip(axes, sizes, strict=True))}
        costs = family.costs(Geometry(array), chosen)
        rows = np.column_stack([np.ones(len(times)), *costs.values()]) / times[:, None]
        norm = np.sqrt(np.mean(rows**2, axis=0))
        rows /= np.where(norm > 0, norm, 1.0)
        fitted = rows @ nonnegative.solve(rows.T @ rows, rows.sum(axis=0))
        tried.append((float(np.minimum(np.abs(fitted - 1.0), 0.5).mean()), chosen))
    least = min(error for error, _ in tried)
    return next(found for error, found in tried if error <= least * _AS_GOOD + 1e-12)


def fit_operator(
    op: str,
    dtype: str,
    layers: Sequence[Layer],
    times_ms: np.ndarray,
    seed: int = 0,
    overhead_ms: float = 0.0,
) -> OperatorModel:
    """Learn the times of `op` from measured `layers`.

    Parameters
    ----------
    layers
        At least `MIN_PROBES`.
    times_ms : ndarray [len(layers)]
        Above 0.
    seed
        Draws the folds of cross-validation.
    overhead_ms
        What a call costs, part of every time.
    """
    family = family_of(op)
    array = geometry(layers)
    tiles = find_tiles(family, array, times_ms)
    matrix, costs, sizes = feature_matrix(family, array, tiles)
    tree = TimeTreeRegressor(
        range(len(costs)),
        range(len(costs), len(costs) + len(sizes)),
        min_samples_leaf=min(12, max(5, len(layers) // 6)),
    )
    # Most of the overhead, not all: what remains of the smallest times is theirs and not noise.
    tree.set_params(random_state=seed, cv=min(4, len(layers) // 4), offset=_OF_OVERHEAD * overhead_ms)
    tree.fit(matrix, times_ms)
    held_out = np.where(np.isfinite(tree.held_out_), tree.held_out_, tree.predict_rows(matrix))
    held_out = np.maximum(held_out, 0.02 * times_ms)
    error = np.abs(held_out - times_ms) / times_ms
    low, high = conformal_bounds(times_ms / held_out)
    return OperatorModel(
        op=op,
        dtype=dtype,
        tiles=tiles,
        tree=tree,
        low=low,
        high=high,
        bounds=np.stack([matrix[:, : len(costs)].min(axis=0), matrix[:, : len(costs)].max(axis=0)]),
        error=OperatorError(
            op,
            dtype,
            len(layers),
            tree.n_leaves_,
            float(error.mean()),
            float(np.median(error)),
            float(np.quantile(error, 0.9)),
        ),
        sweeps=find_sweeps(layers, times_ms),
    )


def conformal_bounds(ratios: np.ndarray, share: float = 0.9) -> tuple[float, float]:
    """Factors between which `share` of unseen ratios lie, by split conformal prediction.

    Parameters
    ----------
    ratios : ndarray [n]
        Measured by predicted, of items that the prediction had not learned from.

    Returns
    -------
    (low, high)
        With too few ratios for the quantile, the extremes widened by a quarter.
    """
    ordered = np.sort(ratios)
    n = len(ordered)
    tail = (1 - share) / 2
    below = int(np.floor(tail * (n + 1) + 1e-9))
    if below < 1:
        return float(ordered[0] / 1.25), float(ordered[-1] * 1.25)
    return float(ordered[below - 1]), float(ordered[n - below])


def _node_to_dict(node: TreeNode) -> dict[str, Any]:
    value: dict[str, Any] = {
        "samples": node.samples,
        "loss": node.loss,
        "coefficients": node.coefficients.tolist(),
    }
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
