"""Files that hold several networks, one for each signature: their names, and each as a file of its own."""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from profiler.errors import ModelFileError, UsageError, missing
from profiler.tflite.flatbuffer import Buffer, FlatbufferError, Readable

_SUBGRAPHS, _SIGNATURES = 2, 7
_KEY, _SUBGRAPH = 2, 4


def read_signatures(source: str | os.PathLike[str] | bytes) -> tuple[str, ...]:
    """Names of a file's signatures in its order; empty where it has none. ModelFileError where it cannot be read."""
    with _opened(source) as (data, _):
        return tuple(signature.string(_KEY) for signature in Buffer(data).root().tables(_SIGNATURES))


def only_signature(source: str | os.PathLike[str] | bytes, signature: str) -> bytes:
    """The file with one signature as its only one, whose graph is what runs.

    Nothing but a few numbers changes: the graph changes places with the first one, and weights of the others stay.

    Raises
    ------
    ModelFileError
        The file is missing or damaged.
    UsageError
        It has no signature of this name.
    """
    with _opened(source) as (data, shown):
        buffer = Buffer(data)
        root = buffer.root()
        known = root.tables(_SIGNATURES)
        names = [found.string(_KEY) for found in known]
        if signature not in names:
            raise UsageError(
                f"{shown} has no signature {signature!r}, only {', '.join(names) or 'one graph'}."
            )
        position = names.index(signature)
        graph, place = known[position].integer(_SUBGRAPH, "I"), known[position].position(_SUBGRAPH)
        content = bytearray(data)
        start, graphs = buffer.vector(root.position(_SUBGRAPHS), 4)
        if graph >= graphs:
            raise FlatbufferError(f"signature {signature!r} names graph {graph} of {graphs}")
        _swap(content, start, start + 4 * graph)
        if graph:
            struct.pack_into("<I", content, place, 0)
        start, _ = buffer.vector(root.position(_SIGNATURES), 4)
        _swap(content, start, start + 4 * position)
        struct.pack_into("<I", content, start - 4, 1)
        return bytes(content)


def _swap(content: bytearray, first: int, second: int) -> None:
    """Let two offsets, each counted from where it stands, lead to where the other one led."""
    targets = [place + struct.unpack_from("<I", content, place)[0] for place in (first, second)]
    for place, target in zip((first, second), reversed(targets), strict=True):
        if target <= place:
            raise FlatbufferError("a list follows what it names")
        struct.pack_into("<I", content, place, target - place)


@contextmanager
def _opened(source: str | os.PathLike[str] | bytes) -> Iterator[tuple[Readable, str]]:
    """The bytes of a file and what to call it; what goes wrong with them is a ModelFileError."""
    shown = "the network" if isinstance(source, bytes) else str(Path(source))
    try:
        if isinstance(source, bytes):
            yield source, shown
        else:
            with (
                Path(source).open("rb") as file,
                mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
            ):
                yield data, shown
    except FlatbufferError as error:
        raise ModelFileError(f"{shown} is damaged ({error}): export or copy it again.") from None
    except FileNotFoundError:
        raise missing(ModelFileError(f"{shown} does not exist: check the name.")) from None
    except (OSError, ValueError) as error:
        raise ModelFileError(f"Cannot read {shown} ({error}).") from error
