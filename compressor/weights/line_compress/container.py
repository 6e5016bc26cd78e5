"""The `.lct` file: a network without its weights, then a block for each tensor; a checksum for each part.

Layout, little-endian::

    b"LCT\\0"  version u16  blocks u16  file length u64  network length u32  CRC-32 of the .tflite u32  CRC-32 of these u32
    the network with zeros for weights, LZMA                                 its CRC-32 u32
    for each block:  length u32  bytes                                       CRC-32 of both u32

The first block holds the small tensors, the others one tensor each in the order of the file. A reader needs one block at a
time. Nothing in a file is run.
"""

from __future__ import annotations

import io
import lzma
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from compressor.weights.line_compress import loops
from compressor.weights.line_compress.coding import CodingError, decode, encode
from compressor.weights.line_compress.lines import Lines
from compressor.weights.line_compress.tensors import StoredTensor, stored_tensors, without_values
from profiler.errors import ModelFileError, missing

MAGIC = b"LCT\0"
VERSION = 1
_HEAD = struct.Struct("<4sHHQII")
_CHECK = struct.Struct("<I")
_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9, "dict_size": 1 << 20}]
_HALF, _AS_IT_IS = 0, 1


def write_lct(content: bytes, lines: Sequence[Lines], entropy: bool) -> bytes:
    """The `.lct` of a `.tflite`'s bytes whose weights, in the order of `stored_tensors`, are those `lines`.

    Everything else is kept to the bit, but for small tensors of float32, which become float16 where their values allow.
    """
    tensors = stored_tensors(content)
    network = lzma.compress(bytes(without_values(content, tensors)), lzma.FORMAT_RAW, filters=_FILTERS)
    weights = [tensor for tensor in tensors if tensor.weights]
    blocks = [_small_block(content, [tensor for tensor in tensors if not tensor.weights])]
    blocks += [encode(one, entropy) for one in lines]
    assert len(weights) == len(lines)
    unpacked = _filled(bytearray(without_values(content, tensors)), tensors, iter(blocks))
    length = _HEAD.size + len(network) + 2 * _CHECK.size + sum(len(block) + 8 for block in blocks)
    head = _HEAD.pack(MAGIC, VERSION, len(blocks), length, len(network), zlib.crc32(unpacked))
    parts = [_checked(head), _checked(network)]
    parts += [_checked(_CHECK.pack(len(block)) + block) for block in blocks]
    return b"".join(parts)


def read_lct(source: str | os.PathLike[str] | bytes) -> bytes:
    """The `.tflite` in a `.lct`, block by block; every damage is noticed.

    Raises
    ------
    ModelFileError
        The file is missing, damaged, cut off, no `.lct`, or was written by a newer version.
    MissingExtraError
        It is entropy-coded, and what decodes that is not installed.
    """
    if isinstance(source, bytes):
        return _read(io.BytesIO(source), len(source), "the packed network")
    path = Path(source)
    try:
        with path.open("rb") as file:
            return _read(file, path.stat().st_size, str(path))
    except FileNotFoundError:
        raise missing(ModelFileError(f"{path} does not exist: check the name.")) from None
    except OSError as error:
        raise ModelFileError(f"Cannot read {path} ({error.strerror or error}).") from error


def open_lct(path: str | os.PathLike[str], threads: int = 1) -> Any:
    """A LiteRT interpreter of a `.lct` with decoded weights, its tensors allocated.

    Raises ModelFileError where the file is missing or damaged, MissingExtraError where what decodes it is not installed.

    Examples
    --------
    >>> interpreter = open_lct("net.lct")                                        # doctest: +SKIP
    >>> interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)   # doctest: +SKIP
    """
    from compressor.export import interpreter_class

    interpreter = interpreter_class()(model_content=read_lct(path), num_threads=threads)
    interpreter.allocate_tensors()
    return interpreter


def block_bytes(source: str | os.PathLike[str]) -> list[int]:
    """Bytes of each packed tensor's block in an intact `.lct`, lengths and checksums counted."""
    found = []
    with Path(source).open("rb") as file:
        _, _, count, _, network_bytes, _ = _HEAD.unpack(file.read(_HEAD.size))
        file.seek(_HEAD.size + _CHECK.size + network_bytes + _CHECK.size)
        for _ in range(count):
            (nbytes,) = _CHECK.unpack(file.read(_CHECK.size))
            file.seek(nbytes + _CHECK.size, io.SEEK_CUR)
            found.append(nbytes + 2 * _CHECK.size)
    return found[1:]


def is_lct(source: str | os.PathLike[str]) -> bool:
    """Whether a file says of itself that it is packed."""
    try:
        with Path(source).open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def _checked(part: bytes) -> bytes:
    return part + _CHECK.pack(zlib.crc32(part))


class _DamageError(ValueError):
    """What is wrong with the file."""


def _read(file: BinaryIO, size: int, shown: str) -> bytes:
    loops.check_installed()
    head = file.read(_HEAD.size)
    if head[: len(MAGIC)] != MAGIC:
        raise ModelFileError(f"{shown} is not a .lct file: give one that `edgetime pack` wrote.")
    try:
        _expect(len(head) == _HEAD.size, "it was cut off")
        _, version, blocks, length, network_bytes, whole = _HEAD.unpack(head)
        intact = file.read(_CHECK.size) == _CHECK.pack(zlib.crc32(head))
        if intact and version != VERSION:
            raise ModelFileError(
                f"{shown} has version {version} of the .lct format, where this edgetime knows {VERSION}: "
                "use the edgetime that packed it, or a newer one."
            )
        _expect(intact, "its head is changed")
        _expect(length == size, f"it has {size:,} bytes of {length:,}")
        network = _part(file, network_bytes, "the network's structure")
        try:
            content = bytearray(lzma.decompress(network, lzma.FORMAT_RAW, filters=_FILTERS))
        except lzma.LZMAError:
            raise _DamageError("the network's structure does not unpack") from None
        tensors = stored_tensors(content, shown)
        content = _filled(content, tensors, _blocks(file, blocks))
        _expect(zlib.crc32(content) == whole, "the unpacked network is another one than was packed")
    except _DamageError as damage:
        raise ModelFileError(f"{shown} is damaged ({damage}): copy or pack it again.") from None
    return bytes(content)


def _expect(condition: bool, otherwise: str) -> None:
    if not condition:
        raise _DamageError(otherwise)


def _part(file: BinaryIO, nbytes: int, what: str, before: bytes = b"") -> bytes:
    part = file.read(nbytes)
    check = file.read(_CHECK.size)
    _expect(len(part) == nbytes and len(check) == _CHECK.size, f"{what} is cut off")
    _expect(check == _CHECK.pack(zlib.crc32(before + part)), f"{what} is changed")
    return part


def _blocks(file: BinaryIO, count: int) -> Iterator[bytes]:
    for number in range(count):
        size = file.read(_CHECK.size)
        _expect(len(size) == _CHECK.size, f"block {number} is cut off")
        yield _part(file, _CHECK.unpack(size)[0], f"block {number}", size)


def _filled(content: bytearray, tensors: Sequence[StoredTensor], blocks: Iterator[bytes]) -> bytearray:
    """`content` with the values of the blocks."""
    small = next(blocks, b"")
    at = 0
    for tensor in tensors:
        if tensor.weights:
            continue
        kind = small[at : at + 1]
        nbytes = 2 * tensor.size if kind == bytes([_HALF]) else tensor.nbytes
        stored = small[at + 1 : at + 1 + nbytes]
        _expect(len(kind) == 1 and len(stored) == nbytes, "its small tensors are other ones")
        if kind == bytes([_HALF]):
            stored = np.frombuffer(stored, "<f2").astype("<f4").tobytes()
        content[tensor.start : tensor.start + tensor.nbytes] = stored
        at += 1 + nbytes
    _expect(at == len(small), "its small tensors are other ones")
    for tensor in tensors:
        if tensor.weights:
            block = next(blocks, None)
            _expect(block is not None, "a tensor is missing")
            assert block is not None
            try:
                lines = decode(block, tensor.channels, tensor.size // tensor.channels)
            except CodingError as error:
                raise _DamageError(str(error)) from None
            tensor.write(content, lines.weights())
    _expect(next(blocks, None) is None, "it has a block too many")
    return content


def _small_block(content: bytes, tensors: Sequence[StoredTensor]) -> bytes:
    parts = []
    for tensor in tensors:
        stored = content[tensor.start : tensor.start + tensor.nbytes]
        if tensor.dtype == np.dtype("<f4"):
            values = np.frombuffer(stored, "<f4")
            with np.errstate(over="ignore"):
                half = values.astype("<f2")
            scale = np.abs(values).max(initial=0.0)
            if np.all(np.abs(values - half.astype(np.float32)) <= 1e-3 * scale):
                parts += [bytes([_HALF]), half.tobytes()]
                continue
        parts += [bytes([_AS_IT_IS]), stored]
    return b"".join(parts)
