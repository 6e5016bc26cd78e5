"""What verbs share: progress, tables, options, failures in one sentence."""

from __future__ import annotations

from edgetime.terminal import failures, views
from edgetime.terminal.compression import compression_tables
from edgetime.terminal.console import Terminal, table
from edgetime.terminal.failures import StoppedError, keeping
from edgetime.terminal.options import (
    DtypeOption,
    InputShapeOption,
    JsonOption,
    ModelArgument,
    NetworkArgument,
    OpsOption,
    SettingOption,
    find_setting,
    output_option,
    panel,
    parse_settings,
    parse_share,
    split_names,
)
from edgetime.terminal.outputs import keeping_inputs
from edgetime.terminal.views import fit_table, rules, short_name

__all__ = [
    "DtypeOption",
    "InputShapeOption",
    "JsonOption",
    "ModelArgument",
    "NetworkArgument",
    "OpsOption",
    "SettingOption",
    "StoppedError",
    "Terminal",
    "compression_tables",
    "failures",
    "find_setting",
    "fit_table",
    "keeping",
    "keeping_inputs",
    "output_option",
    "panel",
    "parse_settings",
    "parse_share",
    "rules",
    "short_name",
    "split_names",
    "table",
    "views",
]
