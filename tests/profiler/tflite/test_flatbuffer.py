from __future__ import annotations

import contextlib

import flatbuffers
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.tflite import Buffer, FlatbufferError
from profiler.tflite.flatbuffer import Table


def _sample() -> bytes:
    """A table with one field of each kind: numbers, text, numbers in a row, and two tables under one field."""
    b = flatbuffers.Builder(0)
    text = b.CreateString("größe")
    numbers = b.CreateNumpyVector(np.array([3, -1, 7], np.int32))
    inner = []
    for value in (5, 6):
        b.StartObject(1)
        b.PrependInt32Slot(0, value, 0)
        inner.append(b.EndObject())
    b.StartVector(4, 2, 4)
    for offset in reversed(inner):
        b.PrependUOffsetTRelative(offset)
    tables = b.EndVector()
    b.StartObject(10)
    b.PrependInt8Slot(0, -5, 0)
    b.PrependUint8Slot(1, 200, 0)
    b.PrependBoolSlot(2, True, False)
    b.PrependInt32Slot(3, -70000, 0)
    b.PrependFloat32Slot(4, 0.5, 0.0)
    b.PrependUOffsetTRelativeSlot(5, text, 0)
    b.PrependUOffsetTRelativeSlot(6, numbers, 0)
    b.PrependUOffsetTRelativeSlot(7, tables, 0)
    b.PrependUint64Slot(8, 1 << 40, 0)
    b.Finish(b.EndObject(), file_identifier=b"TEST")
    return bytes(b.Output())


def test_fields_come_back_as_they_were_written():
    buffer = Buffer(_sample())
    assert buffer.identifier() == b"TEST"
    root = buffer.root()
    assert (root.integer(0, "b"), root.integer(1, "B"), root.boolean(2), root.integer(3)) == (
        -5,
        200,
        True,
        -70000,
    )
    assert (root.float32(4), root.string(5), root.numbers(6), root.integer(8, "Q")) == (
        0.5,
        "größe",
        (3, -1, 7),
        1 << 40,
    )
    assert [table.integer(0) for table in root.tables(7)] == [5, 6]
    start, length = root.raw(5)
    assert buffer.span(start, length, "text") == "größe".encode()


def test_absent_fields_have_their_defaults():
    root = Buffer(_sample()).root()
    for slot in (9, 40):
        assert not root.has(slot)
        assert (root.integer(slot, "i", 11), root.float32(slot, 2.5), root.string(slot)) == (11, 2.5, "")
        assert (root.numbers(slot), root.tables(slot), root.raw(slot)) == ((), [], (0, 0))
        assert root.table(slot) is None


def _read_everything(data: bytes) -> None:
    buffer = Buffer(data)
    root = buffer.root()
    tables: list[Table] = [root]
    for slot in range(10):
        tables += root.tables(slot)
    for table in tables:
        for slot in range(10):
            for read in (table.int8, table.uint8, table.boolean, table.int32, table.uint32, table.uint64):
                read(slot)
            for read in (table.float32, table.string, table.numbers, table.raw, table.table):
                read(slot)


@given(st.binary(max_size=200))
def test_any_bytes_give_values_or_the_one_error(data):
    with contextlib.suppress(FlatbufferError):
        _read_everything(data)


@given(st.data())
def test_damaged_buffers_give_values_or_the_one_error(data):
    sample = bytearray(_sample())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(sample) - 4))
        value = data.draw(
            st.sampled_from([0, 1, -1, 2**31 - 1, -(2**31), 255, 65535]) | st.integers(-300, 300)
        )
        sample[place : place + 4] = value.to_bytes(4, "little", signed=True)
    with contextlib.suppress(FlatbufferError):
        _read_everything(bytes(sample[: data.draw(st.integers(0, len(sample)))]))


def test_list_longer_than_the_buffer_is_refused_before_it_is_read():
    sample = bytearray(_sample())
    start, _ = Buffer(bytes(sample)).root().raw(6)
    sample[start - 4 : start] = (2**32 - 1).to_bytes(4, "little")
    with pytest.raises(FlatbufferError, match="4294967295 items"):
        Buffer(bytes(sample)).root().numbers(6)


def test_reading_the_same_list_over_and_over_ends():
    root = Buffer(_sample()).root()

    def read_on() -> None:
        for _ in range(10_000_000):
            root.numbers(6)

    with pytest.raises(FlatbufferError, match="more data than it can hold"):
        read_on()
