"""What a method that trains keeps on disk, so that it goes on after an interruption."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from profiler import files


class Records:
    """Networks and a list of JSON rows, in the folder of a search.

    Parameters
    ----------
    folder
        Of the search; None keeps nothing.
    name
        Of the method: ``name.json`` and the networks' folder.
    signature
        What the records depend on, as plain JSON values; those of another signature are not gone on with.
    """

    def __init__(self, folder: Path | None, name: str, signature: Mapping[str, Any]) -> None:
        self._folder, self._name = folder, name
        self._signature = json.loads(json.dumps(dict(signature), default=str))
        self._rows: list[dict[str, Any]] = []

    @property
    def on_disk(self) -> bool:
        """Whether anything is kept."""
        return self._folder is not None

    def read(self) -> list[dict[str, Any]]:
        """The rows of an earlier run, up to the first whose network is missing."""
        if self._folder is None:
            return []
        try:
            stored = json.loads((self._folder / f"{self._name}.json").read_text("utf-8"))
            rows = stored["rows"] if stored["signature"] == self._signature else []
        except (OSError, ValueError, KeyError, TypeError):
            return []
        for row in rows:
            if not (self._folder / row["network"]).exists():
                break
            self._rows.append(row)
        return list(self._rows)

    def add(self, row: Mapping[str, Any], model: Any, network: str) -> None:
        """Keep a network, then a row that names it."""
        self._rows.append(dict(row))
        if self._folder is None:
            return
        save_network(model, self._folder / network)
        files.write_json(
            self._folder / f"{self._name}.json", {"signature": self._signature, "rows": self._rows}
        )

    def load(self, network: str) -> Any:
        """A network that was kept."""
        from compressor.export import load_keras

        assert self._folder is not None, "nothing was kept"
        return load_keras(self._folder / network)


def save_network(model: Any, path: Path) -> None:
    """Write a ``.keras`` file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.replacing(path) as temporary:
        model.save(temporary)
