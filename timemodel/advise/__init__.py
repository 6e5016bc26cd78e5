"""Which widths and which number type to change in a network, and what that would save.

May import `timemodel.model` and below.
"""

from __future__ import annotations

from timemodel.advise.advice import advise, candidate_widths
from timemodel.advise.precision import NumberType, OperatorInType, number_types
from timemodel.advise.results import Advice, GroupAdvice, Together, WidthOption

__all__ = [
    "Advice",
    "GroupAdvice",
    "NumberType",
    "OperatorInType",
    "Together",
    "WidthOption",
    "advise",
    "candidate_widths",
    "number_types",
]
