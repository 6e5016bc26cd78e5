"""Staircases: execution time jumps where one channel more begins another tile; which widths that makes worth having.

`timemodel.staircases.steps` is arithmetic on widths and times. May import `timemodel.model` and below.
"""

from __future__ import annotations

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

__all__ = [
    "fastest_width",
    "finer_period",
    "main_period",
    "step_around",
    "step_ends",
    "steps_down",
    "thin_out",
    "undominated_widths",
    "widths_to_try",
]
