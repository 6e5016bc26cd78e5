"""The sizes of the benchmark: which cells there are, and how long everything is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from compressor.training import Schedule

BASELINES = (
    "uniform-snapped", "fastdeepiot", "deepiot", "taylor", "magnitude", "knapsack", "uniform", "supernet", "flops", "scratch",
)  # fmt: skip
OURS = ("structure", "optuna")
FIRST = ("uniform-snapped", "structure", "fastdeepiot", "taylor")
"""What tells most is run first, with all its seeds: a run that is stopped early is a fair table of these."""
UNCUT = "uncut"
"""The original trained on for the same minutes: what of a gain is training and not cutting. It is no rival: it is no faster."""
ROWS = (*FIRST, *(name for name in (*OURS, *BASELINES, UNCUT) if name not in FIRST))

_FLOAT = {"float32": ROWS}
_BOTH = {"float32": (*FIRST, "optuna", "deepiot"), "int8": ("uniform-snapped", "structure")}
_LARGE = {"float32": (*FIRST, "optuna", "scratch")}
"""Of networks that take minutes to train."""

SHARES = (0.35, 0.15)
_WITHIN_REACH = {
    "motion": {"float32": (0.35, 0.25), "int8": (0.6, 0.45)},
    "text": {"float32": (0.7, 0.5), "int8": (0.8, 0.65)},
}
"""Budgets of recurrent networks, where narrower layers alone do not come to 0.2 (motion; int8: 0.42) and 0.43 (text; int8: 0.64)
of the time."""


@dataclass(frozen=True)
class Plan:
    """One task of a size.

    Attributes
    ----------
    original
        The training of the network before anything is cut. Nothing teaches here, so its `alpha` is 0.
    minutes
        What each method gets for one network: search and training together.
    settings
        By number type the methods that are run.
    shares
        Budgets by number type, where they are not `SHARES`: parts of the original's predicted time, from the largest down.
    last_epoch
        Whether the original is what the last epoch left, in place of the epoch that did best on validation: where scores
        on validation swing from epoch to epoch, the best of many is a score that no network keeps.
    """

    original: Schedule
    minutes: float
    settings: Mapping[str, tuple[str, ...]]
    shares: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    last_epoch: bool = False

    def shares_of(self, setting: str) -> tuple[float, ...]:
        """The budgets of a number type."""
        return self.shares.get(setting, SHARES)

    def told(self) -> str:
        """In words."""
        first = self.original
        rows = f" of {first.most_rows:,} rows" if first.most_rows else ""
        settings = "; ".join(f"{name}: {len(rows)} methods" for name, rows in self.settings.items())
        return f"original {first.epochs} epochs{rows}; {self.minutes:g} minutes a network ({settings})"


@dataclass(frozen=True)
class Size:
    """A size of the benchmark.

    Attributes
    ----------
    plans
        Its tasks.
    seeds
        How many originals are trained of each task and compressed.
    """

    plans: Mapping[str, Plan]
    seeds: int


def _learn(epochs: int, rows: int | None = None, rate: float = 3e-3) -> Schedule:
    return Schedule(epochs, batch_size=64, most_rows=rows, learning_rate=rate, patience=epochs, alpha=0.0)


SIZES: dict[str, Size] = {
    "quick": Size(
        {
            "image-small": Plan(_learn(6), 2.0, _FLOAT),
            "image-colour": Plan(_learn(4), 2.0, _FLOAT),
            "sound": Plan(_learn(20), 2.0, _FLOAT, last_epoch=True),
        },
        seeds=2,
    ),
    "full": Size(
        {
            "image-resnet20": Plan(_learn(12), 2.0, _LARGE),
            "motion": Plan(_learn(25), 2.0, _BOTH, _WITHIN_REACH["motion"]),
            "text": Plan(_learn(15), 2.0, _BOTH, _WITHIN_REACH["text"]),
            "image-mobile": Plan(_learn(15), 2.0, {**_LARGE, "int8": _BOTH["int8"]}),
            "image-colour": Plan(_learn(20), 2.0, {"float32": (*FIRST, "optuna")}),
            "sound": Plan(_learn(50), 2.0, _BOTH, last_epoch=True),
        },
        seeds=3,
    ),
    "resnet56": Size(
        {
            "image-resnet56": Plan(
                _learn(30), 30.0, {"float32": ("structure", UNCUT, "uniform-snapped")}, {"float32": (0.38,)}
            )
        },
        seeds=1,
    ),
}
"""Hours of a core beside the originals' training (1, 1 and 2): ``quick`` 5.5, its first rows 1.7; ``full`` 9, its first rows 6.7;
``resnet56`` 1.5, its row ``structure`` 0.5. With ``--jobs 2`` half as long."""
