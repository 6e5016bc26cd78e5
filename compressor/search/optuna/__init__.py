"""``optuna``: Optuna searches the proportions of widths, alone or in many processes."""

from __future__ import annotations

from compressor.search.optuna.journal import KernelLock, open_journal
from compressor.search.optuna.ownership import Owner, Pulse
from compressor.search.optuna.policy import Past, is_hopeless, next_least, next_within, rung_of, settled
from compressor.search.optuna.proposals import Proposer
from compressor.search.optuna.search import OptunaSearch
from compressor.search.optuna.storage import (
    JOURNAL,
    StorageError,
    checked_url,
    open_storage,
    reading,
    shown_url,
    telling,
    with_password,
    without_password,
)
from compressor.search.optuna.study import ABOUT, BEING_TRIED, OVER, SharedStudy

__all__ = [
    "ABOUT",
    "BEING_TRIED",
    "JOURNAL",
    "OVER",
    "KernelLock",
    "OptunaSearch",
    "Owner",
    "Past",
    "Proposer",
    "Pulse",
    "SharedStudy",
    "StorageError",
    "checked_url",
    "is_hopeless",
    "next_least",
    "next_within",
    "open_journal",
    "open_storage",
    "reading",
    "rung_of",
    "settled",
    "shown_url",
    "telling",
    "with_password",
    "without_password",
]
