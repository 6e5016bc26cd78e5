"""From a profile to a time model, and what to measure next.

May import `timemodel.staircases` and below.
"""

from timemodel.fitting.calibration import Measured, calibrated
from timemodel.fitting.checks import notes_on
from timemodel.fitting.next_probes import advise_probes
from timemodel.fitting.profile import by_operator, fit_profile, fit_setting, usable

__all__ = [
    "Measured",
    "advise_probes",
    "by_operator",
    "calibrated",
    "fit_profile",
    "fit_setting",
    "notes_on",
    "usable",
]
