"""Damage of every kind, drawn from a seed: single bytes, cuts, numbers at their ends, and odd values in JSON, SQLite and CSV."""

from __future__ import annotations

import io
import json
import sqlite3
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

_ODD = (
    None, True, [], {}, "", "x", "\x1b[31m\u202e", "\ud800", -1, 0, 1, 1e308, -1e-300, 2**31, 2**53, 2**63, 2**64, 10**400,
    float("nan"), float("inf"), [[1]], {"a": None}, "../../etc/passwd", "/", "9" * 5000,
)  # fmt: skip
_ENDS = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)

Random = np.random.Generator


def mutated(content: bytes, path: Path, rng: Random) -> bytes:
    """`content`, that of the file `path`, with one to four kinds of damage."""
    kinds: list[Callable[[bytes, Random], bytes]] = [_bytes, _numbers, _cut, _copied]
    special = {
        ".tflite": _objects,
        ".json": _json,
        ".jsonl": _json_lines,
        ".db": _sqlite,
        ".csv": _cells,
        ".npz": _zip,
        ".keras": _zip,
    }
    if path.suffix in special:
        kinds = [special[path.suffix]] * 6 + kinds
    for _ in range(max(1, int(rng.integers(-2, 4)))):
        if content:
            content = kinds[int(rng.integers(len(kinds)))](content, rng)
    return content


def _at(content: bytes | bytearray, rng: Random) -> int:
    return int(rng.integers(len(content)))


def _bytes(content: bytes, rng: Random) -> bytes:
    changed = bytearray(content)
    for _ in range(int(2 ** max(0, rng.integers(-5, 6)))):
        changed[_at(changed, rng)] = int(rng.integers(256))
    return bytes(changed)


def _numbers(content: bytes, rng: Random) -> bytes:
    """Whole numbers at the ends of their range, where formats of four-byte words have them."""
    changed = bytearray(content)
    for _ in range(int(rng.integers(1, 4))):
        at = 4 * (_at(changed, rng) // 4)
        changed[at : at + 4] = struct.pack("<I", int(rng.choice(_ENDS)))[: len(changed) - at]
    return bytes(changed)


def _cut(content: bytes, rng: Random) -> bytes:
    return content[: _at(content, rng)]


def _copied(content: bytes, rng: Random) -> bytes:
    """A piece stands at a second place, or is taken out."""
    start, length, to = _at(content, rng), int(2 ** rng.integers(0, 10)), _at(content, rng)
    piece = content[start : start + length]
    if rng.random() < 0.5:
        return content[:to] + piece + content[to:]
    return content[:start] + content[start + length :]


_SIZES = (-1, 0, 1, 2, 3, 7, 255, 65_536, 2**31 - 1)
_NAMES = (
    b"\x1b[31mred",
    "\u202eabc".encode(),
    b"",
    b"\xff\xfe",
    b"</script>",
    b"a" * 3000,
    b"a\nedgetime: fine",
)


def _objects(content: bytes, rng: Random) -> bytes:
    """A whole file whose shapes, types, operands, options or names are odd."""
    from profiler.tflite.objects import to_bytes, to_objects

    try:
        model = to_objects(content)
        graph = model.subgraphs[0]
        tensor = graph.tensors[int(rng.integers(len(graph.tensors)))]
        operator = graph.operators[int(rng.integers(len(graph.operators)))]
        choice = int(rng.integers(9))
        if choice <= 1:
            shape = [] if tensor.shape is None else [int(size) for size in tensor.shape]
            if shape and rng.random() < 0.7:
                shape[int(rng.integers(len(shape)))] = int(rng.choice(_SIZES))
            else:
                shape = [int(rng.choice(_SIZES)) for _ in range(int(rng.integers(0, 7)))]
            tensor.shape = np.array(shape, np.int32)
        elif choice == 2:
            tensor.type = int(rng.integers(0, 22))
        elif choice <= 4:
            operands = "inputs" if rng.random() < 0.6 else "outputs"
            known = [int(one) for one in getattr(operator, operands)]
            if rng.random() < 0.5 and known:
                known[int(rng.integers(len(known)))] = int(rng.integers(-1, len(graph.tensors) + 1))
            else:
                known = known[: int(rng.integers(len(known) + 1))]
            setattr(operator, operands, np.array(known, np.int32))
        elif choice == 5:
            options = operator.builtinOptions
            fields = [
                name for name, value in vars(options or object).items() if isinstance(value, (int, float))
            ]
            if options is not None and fields:
                setattr(options, fields[int(rng.integers(len(fields)))], int(rng.choice([-1, 0, 1, 2, 100])))
        elif choice == 6:
            model.operatorCodes[operator.opcodeIndex].builtinCode = int(rng.integers(0, 210))
        elif choice == 7:
            tensor.name = _NAMES[int(rng.integers(len(_NAMES)))]
        else:
            ends = "inputs" if rng.random() < 0.5 else "outputs"
            setattr(graph, ends, np.array([int(rng.integers(-1, len(graph.tensors) + 1))], np.int32))
        return to_bytes(model)
    except Exception:  # damaged before, or beyond what can be written
        return _bytes(content, rng)


def _json(content: bytes, rng: Random) -> bytes:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return _bytes(content, rng)
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, part in inner:
            places.append((node, key))
            walk(part)

    walk(value)
    if not places:
        return _bytes(content, rng)
    for _ in range(int(rng.integers(1, 3))):
        node, key = places[int(rng.integers(len(places)))]
        choice = rng.random()
        if choice < 0.15:
            node[key] = None if isinstance(node, list) else node.pop(key, None)
        elif choice < 0.25:
            deep: Any = []
            for _ in range(int(2 ** rng.integers(1, 12))):
                deep = [deep]
            try:
                node[key] = deep
                json.dumps(value)
            except RecursionError:
                node[key] = []
                return json.dumps(value).encode().replace(b"[]", b"[" * 20_000, 1)
        else:
            node[key] = _ODD[int(rng.integers(len(_ODD)))]
    return json.dumps(_signed(value)).encode()


def _signed(value: Any) -> Any:
    """A time model with a checksum that fits again, so that what is behind it is tried."""
    if isinstance(value, dict) and "checksum" in value:
        from timemodel.model.time_model import signed

        try:
            return signed({key: part for key, part in value.items() if key != "checksum"})
        except (ValueError, OverflowError):
            pass
    return value


def _json_lines(content: bytes, rng: Random) -> bytes:
    lines = content.split(b"\n")
    number = int(rng.integers(len(lines)))
    lines[number] = _json(lines[number], rng) if lines[number] else b"{}"
    return b"\n".join(lines)


def _cells(content: bytes, rng: Random) -> bytes:
    lines = content.split(b"\n")
    for _ in range(int(rng.integers(1, 4))):
        number = int(rng.integers(len(lines)))
        cells = lines[number].split(b",")
        odd = str(_ODD[int(rng.integers(len(_ODD)))]).encode("utf-8", "surrogatepass")
        cells[int(rng.integers(len(cells)))] = odd
        lines[number] = b",".join(cells)
    return b"\n".join(lines)


def _sqlite(content: bytes, rng: Random) -> bytes:
    """An odd value in a column, a view in the place of a table, a trigger."""
    connection = sqlite3.connect(":memory:")
    try:
        connection.deserialize(content)
        tables = [
            name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        table = tables[int(rng.integers(len(tables)))]
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        if rng.random() < 0.1:
            statement = (
                f"DROP TABLE {table}; CREATE VIEW {table} AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) "
                f"SELECT {', '.join(f'x AS {column}' for column in columns)} FROM c"
            )
            connection.executescript(statement)
        else:
            column = columns[int(rng.integers(len(columns)))]
            odd = _ODD[int(rng.integers(len(_ODD)))]
            plain = odd if isinstance(odd, (int, float, type(None))) else json.dumps(odd)
            if isinstance(plain, int) and not -(2**63) <= plain < 2**63:
                plain = b"\xff\xfe"  # type: ignore[assignment]
            limit = "" if rng.random() < 0.3 else " WHERE rowid % 7 = 1"
            connection.execute(f"UPDATE {table} SET {column} = ?{limit}", (plain,))
            connection.commit()
        return bytes(connection.serialize())
    except (sqlite3.Error, ValueError, AttributeError):  # Python 3.10 has no serialize
        return _bytes(content, rng)
    finally:
        connection.close()


def _zip(content: bytes, rng: Random) -> bytes:
    """One member is damaged, left out, or unpacks to many times its size; the archive around it is whole."""
    found = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if max(one.file_size for one in archive.infolist()) > 1_000_000:
                return _bytes(content, rng)
        with (
            zipfile.ZipFile(io.BytesIO(content)) as archive,
            zipfile.ZipFile(found, "w", compresslevel=1) as other,
        ):
            names = archive.namelist()
            chosen = names[int(rng.integers(len(names)))]
            for name in names:
                part = archive.read(name)
                if name == chosen:
                    choice = rng.random()
                    if choice < 0.1:
                        continue
                    if choice < 0.12:
                        part += bytes(210_000_000)
                    elif name.endswith(".json") and choice < 0.7:
                        part = _json(part, rng)
                    else:
                        part = (_bytes, _numbers, _cut, _copied)[int(rng.integers(4))](part, rng)
                other.writestr(
                    name, part, zipfile.ZIP_DEFLATED if len(part) > 1_000_000 else zipfile.ZIP_STORED
                )
    except Exception:  # damaged before
        return _bytes(content, rng)
    return found.getvalue()
