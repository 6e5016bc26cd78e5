"""Tables of results as CSV, written whole or not at all."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from profiler.files import write_text


def write_csv(path: Path, records: Sequence[Mapping[str, Any]], digits: int = 6) -> None:
    """Write records, whose keys are the columns; numbers with so many digits, what a record lacks is empty."""
    if not records:
        return
    text = io.StringIO()
    columns = list(dict.fromkeys(name for record in records for name in record))
    table = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    table.writeheader()
    for record in records:
        table.writerow(
            {
                name: f"{value:.{digits}g}" if isinstance(value, float) else value
                for name, value in record.items()
            }
        )
    write_text(path, text.getvalue())
