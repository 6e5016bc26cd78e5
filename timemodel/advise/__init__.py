"""Which widths and which number type to change in a network, and what that would save.

`advise` returns `Advice`, which holds the other results. May import `timemodel.staircases` and below.
"""

from timemodel.advise.advice import advise
from timemodel.advise.results import (
    Advice,
    GroupAdvice,
    NumberType,
    OperatorInType,
    Saving,
    WidthOption,
)

__all__ = [
    "Advice",
    "GroupAdvice",
    "NumberType",
    "OperatorInType",
    "Saving",
    "WidthOption",
    "advise",
]
