"""Layers that an accelerator leaves to the CPU because of their sizes, where it runs others of the same operator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from profiler.network import Layer
from timemodel.features import COLUMNS, geometry

_SCALES = ("scale_height", "scale_width")
_ASKED = (
    "in_height", "in_width", "in_channels", "out_height", "out_width", "out_channels", "kernel_height", "kernel_width",
    "stride_height", "stride_width", "dilation_height", "dilation_width", "same_padding", "inputs", "broadcast", "along_last",
)  # fmt: skip
_SIZES = (*_ASKED, *_SCALES)
_AT = [COLUMNS.index(name) for name in _ASKED]
_FEWEST = 4
"""Layers of either sort without which nothing is learned."""
_DEEPEST = 3
_SURE = 0.9
"""Share of the layers in a leaf that must have been left."""
_MOST_WEIGHTS = 100_000
"""Compilers also refuse layers for what their weights add up to, which sizes do not show."""
_WORDS = {
    "same_padding": ("padding 'valid'", "padding 'same'"),
    "along_last": ("over other axes than the last", "over the last axis"),
}


@dataclass(frozen=True)
class LeftRule:
    """Layers of `op` in `dtype` are left to the CPU where all `conditions` hold: (size, whether it must lie above, limit)."""

    op: str
    dtype: str
    conditions: tuple[tuple[str, bool, float], ...]

    def holds(self, sizes: np.ndarray) -> np.ndarray:
        """Which rows of `sizes_of` are left, ``[n]``."""
        found = np.ones(len(sizes), dtype=bool)
        for name, above, limit in self.conditions:
            found &= (sizes[:, _SIZES.index(name)] > limit) == above
        return found

    @property
    def words(self) -> str:
        """Such as ``stride height above 3``."""
        return " and ".join(_condition(*condition) for condition in self.conditions)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "op": self.op,
            "dtype": self.dtype,
            "conditions": [list(condition) for condition in self.conditions],
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> LeftRule:
        """Read what `to_dict` wrote."""
        conditions = tuple(
            (str(name), above is True, float(limit)) for name, above, limit in value["conditions"]
        )
        if not conditions or any(name not in _SIZES for name, _, _ in conditions):
            raise ValueError("a rule of what is left to the CPU asks about no size")
        return cls(str(value["op"]), str(value["dtype"]), conditions)


def sizes_of(layers: Sequence[Layer]) -> np.ndarray:
    """What rules ask about, a row per layer."""
    array = geometry(layers)
    scales = [
        array[:, COLUMNS.index(f"out_{side}")] / np.maximum(array[:, COLUMNS.index(f"in_{side}")], 1)
        for side in ("height", "width")
    ]
    return np.column_stack([array[:, _AT], *scales])


def learn_left(op: str, dtype: str, left: Sequence[Layer], run: Sequence[Layer]) -> list[LeftRule]:
    """Rules that tell layers that were `left` from those that `run`; none where their sizes do not tell."""
    left, run = ([layer for layer in each if layer.parameters <= _MOST_WEIGHTS] for each in (left, run))
    if min(len(left), len(run)) < _FEWEST:
        return []
    from sklearn.tree import DecisionTreeClassifier

    known = np.array([True] * len(left) + [False] * len(run))
    fitted = DecisionTreeClassifier(max_depth=_DEEPEST, min_samples_leaf=2, random_state=0).fit(
        sizes_of([*left, *run]), known
    )
    tree = fitted.tree_
    rules: list[LeftRule] = []

    def walk(at: int, conditions: tuple[tuple[str, bool, float], ...]) -> None:
        if tree.children_left[at] < 0:
            if conditions and tree.value[at][0][1] / tree.value[at][0].sum() >= _SURE:
                rules.append(LeftRule(op, dtype, _shortened(conditions)))
            return
        name, limit = _SIZES[tree.feature[at]], float(tree.threshold[at])
        walk(tree.children_left[at], (*conditions, (name, False, limit)))
        walk(tree.children_right[at], (*conditions, (name, True, limit)))

    walk(0, ())
    return rules


def _shortened(conditions: tuple[tuple[str, bool, float], ...]) -> tuple[tuple[str, bool, float], ...]:
    """Of conditions on the same side of the same size only the last, which is the narrowest."""
    return tuple({(name, above): (name, above, limit) for name, above, limit in conditions}.values())


def left_by_size(
    layers: Sequence[Layer], kinds: Sequence[tuple[str, str]], rules: Sequence[LeftRule]
) -> dict[int, str]:
    """Positions of the layers that are left, with the reason; `kinds` are operator and number type of each."""
    found: dict[int, str] = {}
    for rule in rules:
        at = [i for i, kind in enumerate(kinds) if kind == (rule.op, rule.dtype) and i not in found]
        if at:
            holds = rule.holds(sizes_of([layers[i] for i in at]))
            found |= {i: rule.words for i, left in zip(at, holds.tolist(), strict=True) if left}
    return found


def _condition(name: str, above: bool, limit: float) -> str:
    if name in _WORDS:
        return _WORDS[name][above]
    words = name.replace("_", " ") if name not in _SCALES else f"{name.removeprefix('scale_')} scaled"
    by = "by " if name in _SCALES else ""
    value = f"{limit:.3g}" if name in _SCALES else f"{np.floor(limit):.0f}"
    return f"{words} {by}{'above' if above else 'up to'} {value}".replace("by above", "by more than").replace(
        "by up to", "by no more than"
    )
