"""From a profile to a time model, and what to measure next.

May import `timemodel.staircases` and below.
"""

from __future__ import annotations

from timemodel.fitting.checks import notes_on, thin_operators
from timemodel.fitting.next_probes import advise_probes, allot, choose_layers, time_shares
from timemodel.fitting.profile import (
    Measured,
    calibrate,
    fit_profile,
    fit_setting,
    learn_traffic,
    one_more_operator_ms,
    usable,
)

__all__ = [
    "Measured",
    "advise_probes",
    "allot",
    "calibrate",
    "choose_layers",
    "fit_profile",
    "fit_setting",
    "learn_traffic",
    "notes_on",
    "one_more_operator_ms",
    "thin_operators",
    "time_shares",
    "usable",
]
