"""Staircases: execution time jumps where one channel more begins another tile.

May import `timemodel.model` and below, but loads no scikit-learn: the search uses it without a time model.
"""

from timemodel.staircases.lines import Staircase, staircases, time_over_width
from timemodel.staircases.steps import (
    fastest_width,
    finer_period,
    main_period,
    step_around,
    step_ends,
    steps_down,
    thin_out,
    undominated_widths,
    widths_to_try,
)
from timemodel.staircases.suspected import around_steps, suspected_steps

__all__ = [
    "Staircase",
    "around_steps",
    "fastest_width",
    "finer_period",
    "main_period",
    "staircases",
    "step_around",
    "step_ends",
    "steps_down",
    "suspected_steps",
    "thin_out",
    "time_over_width",
    "undominated_widths",
    "widths_to_try",
]
