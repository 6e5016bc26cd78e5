"""A small flatbuffer reader that checks every access: a damaged file gives an error, never a crash or a hang.

The ``flatbuffers`` package trusts its input. Source: "FlatBuffer Internals" on flatbuffers.dev.
"""

from __future__ import annotations

import struct
from mmap import mmap

Readable = bytes | bytearray | memoryview | mmap

_SCALARS = {
    "b": struct.Struct("<b"),
    "B": struct.Struct("<B"),
    "?": struct.Struct("<?"),
    "H": struct.Struct("<H"),
    "i": struct.Struct("<i"),
    "I": struct.Struct("<I"),
    "q": struct.Struct("<q"),
    "Q": struct.Struct("<Q"),
    "f": struct.Struct("<f"),
}
_UINT16, _INT32, _UINT32 = _SCALARS["H"], _SCALARS["i"], _SCALARS["I"]


class FlatbufferError(ValueError):
    """The buffer is damaged; readers of files turn it into an error of their own."""


class Buffer:
    """Bytes of a whole file, which are never copied and read with checked bounds.

    All reads share a budget: a small file that points at the same list over and over cannot take memory or time without bound.
    """

    def __init__(self, data: Readable) -> None:
        self.data = data
        self.size = len(data)
        # An honest file stores every element once, so what is read stays below its size; shared lists add some.
        self._budget = min(4 * self.size + 100_000, 10_000_000)

    def root(self) -> Table:
        """The table that the file is."""
        return Table(self, self._pointed(0))

    def identifier(self) -> bytes:
        """The four bytes that name the file's format."""
        return bytes(self.data[4:8])

    def scalar(self, kind: struct.Struct, position: int) -> int | float | bool:
        """One number at `position`."""
        if position < 0 or position + kind.size > self.size:
            raise FlatbufferError(f"a value at byte {position} lies outside the file")
        return kind.unpack_from(self.data, position)[0]

    def spend(self, amount: int) -> None:
        """Count `amount` elements as read."""
        self._budget -= amount
        if self._budget < 0:
            raise FlatbufferError("it refers to more data than it can hold")

    def span(self, position: int, length: int, what: str) -> bytes:
        """A copy of `length` bytes from `position` on."""
        if position < 0 or length < 0 or position + length > self.size:
            raise FlatbufferError(f"{what} at byte {position} runs past the end of the file")
        return bytes(self.data[position : position + length])

    def _pointed(self, position: int) -> int:
        """Where the unsigned offset at `position` leads."""
        target = position + int(self.scalar(_UINT32, position))
        if target <= position or target >= self.size:
            raise FlatbufferError(f"the offset at byte {position} leads outside the file")
        return target

    def vector(self, position: int, item_bytes: int) -> tuple[int, int]:
        """First byte and number of items of the vector that the field at `position` points to."""
        start = self._pointed(position)
        length = int(self.scalar(_UINT32, start))
        if start + 4 + length * item_bytes > self.size:
            raise FlatbufferError(f"a list of {length} items at byte {start} runs past the end of the file")
        return start + 4, length


class Table:
    """One table of a buffer; fields are asked for by their number in the schema.

    Making or reading one that does not lie inside the buffer raises FlatbufferError.
    """

    __slots__ = ("_buffer", "_fields", "_position")

    def __init__(self, buffer: Buffer, position: int) -> None:
        buffer.spend(1)
        vtable = position - int(buffer.scalar(_INT32, position))
        vtable_bytes = int(buffer.scalar(_UINT16, vtable))
        table_bytes = int(buffer.scalar(_UINT16, vtable + 2))
        if vtable_bytes < 4 or vtable_bytes % 2 or vtable + vtable_bytes > buffer.size:
            raise FlatbufferError(f"the table at byte {position} has a damaged directory")
        if table_bytes < 4 or position + table_bytes > buffer.size:
            raise FlatbufferError(f"the table at byte {position} runs past the end of the file")
        slots = (vtable_bytes - 4) // 2
        buffer.spend(slots)
        self._fields: tuple[int, ...] = struct.unpack_from(f"<{slots}H", buffer.data, vtable + 4)
        self._buffer = buffer
        self._position = position

    def position(self, slot: int) -> int:
        """Where field `slot` is stored; 0 where it is not."""
        if slot >= len(self._fields):
            return 0
        offset = self._fields[slot]
        return self._position + offset if offset else 0

    def has(self, slot: int) -> bool:
        """Whether field `slot` is stored."""
        return self.position(slot) != 0

    def _number(self, slot: int, kind: str, default: int | float | bool) -> int | float | bool:
        position = self.position(slot)
        return self._buffer.scalar(_SCALARS[kind], position) if position else default

    def integer(self, slot: int, kind: str = "i", default: int = 0) -> int:
        """A whole number of `struct` kind `kind`."""
        return int(self._number(slot, kind, default))

    def boolean(self, slot: int, default: bool = False) -> bool:
        """A truth value."""
        return bool(self._number(slot, "?", default))

    def float32(self, slot: int, default: float = 0.0) -> float:
        """A number with a fraction."""
        return float(self._number(slot, "f", default))

    def table(self, slot: int) -> Table | None:
        """The table that field `slot` points to; None where there is none."""
        position = self.position(slot)
        return Table(self._buffer, self._buffer._pointed(position)) if position else None

    def numbers(self, slot: int, kind: str = "i") -> tuple[int, ...]:
        """A vector of numbers of `struct` kind `kind`; empty where it is not stored."""
        position = self.position(slot)
        if not position:
            return ()
        start, length = self._buffer.vector(position, _SCALARS[kind].size)
        self._buffer.spend(length)
        return struct.unpack_from(f"<{length}{kind}", self._buffer.data, start)

    def raw(self, slot: int) -> tuple[int, int]:
        """First byte and length of a vector of bytes, which is not read; (0, 0) where it is not stored."""
        position = self.position(slot)
        return self._buffer.vector(position, 1) if position else (0, 0)

    def few_bytes(self, slot: int, most: int) -> bytes:
        """A vector of bytes; empty where it is not stored or longer than `most`."""
        start, length = self.raw(slot)
        if length > most:
            return b""
        self._buffer.spend(length)
        return bytes(self._buffer.span(start, length, "bytes"))

    def string(self, slot: int) -> str:
        """A text; bytes that are not UTF-8 are replaced."""
        start, length = self.raw(slot)
        self._buffer.spend(length)
        return self._buffer.span(start, length, "a text").decode("utf-8", "replace")

    def tables(self, slot: int) -> list[Table]:
        """A vector of tables; empty where it is not stored."""
        position = self.position(slot)
        if not position:
            return []
        start, length = self._buffer.vector(position, 4)
        # Each table costs far more than one number, so it is paid for before any is made.
        self._buffer.spend(4 * length)
        return [Table(self._buffer, self._buffer._pointed(start + 4 * i)) for i in range(length)]
