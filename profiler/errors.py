"""The errors that edgetime raises on purpose.

Each message is one sentence that names what is wrong and how to mend it: the command line prints it as it stands and exits
with ``exit_code``. Anything else that escapes is a bug.
"""

from __future__ import annotations


class EdgetimeError(Exception):
    """The work could not be done (exit status 1)."""

    exit_code = 1


class UsageError(EdgetimeError):
    """The caller asked for something that cannot be, such as a budget of 0 (exit status 2)."""

    exit_code = 2


def missing(error: EdgetimeError) -> EdgetimeError:
    """`error` as a bad argument (exit status 2): the file that it names is not there, whatever kind of file it is."""
    error.exit_code = UsageError.exit_code
    return error


class ModelFileError(EdgetimeError):
    """A network file is damaged, is not TFLite, or holds what edgetime cannot read."""


class ProfileError(EdgetimeError):
    """A profile (SQLite) is damaged, empty, or was written by another version of edgetime."""


class TimeModelError(EdgetimeError):
    """A time-model file is damaged, or was written by another version of edgetime."""


class TargetError(EdgetimeError):
    """A device could not be reached, dropped off, or its agent failed."""


class DataError(EdgetimeError):
    """A data file has wrong shapes, NaN, or lacks what is needed."""


class BudgetError(EdgetimeError):
    """A budget could not be met; the message says by how much, and what came nearest."""


class MissingExtraError(EdgetimeError):
    """A verb needs an optional dependency that is not installed."""


class EdgetimeWarning(UserWarning):
    """Something that the user should know and that stops nothing, in a sentence or several, one a line."""
