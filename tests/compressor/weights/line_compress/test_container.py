"""The `.lct` file: the same bits come back, and no damage goes unnoticed."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from tiny_lines import classifier

from compressor.weights.line_compress.container import VERSION, read_lct, write_lct
from compressor.weights.line_compress.lines import BitCosts, cut, paper_runs
from compressor.weights.line_compress.tensors import stored_tensors
from profiler.errors import ModelFileError


def packed(entropy=True):
    content = classifier()
    weights = [tensor for tensor in stored_tensors(content) if tensor.weights]
    lines = []
    for tensor in weights:
        rows = tensor.read(content)
        lines.append(cut(rows, np.abs(rows).max(axis=1) / 7, 4, 2, BitCosts.fixed(4, 2), 1e-3))
    return content, weights, lines, write_lct(content, lines, entropy)


@pytest.mark.parametrize("entropy", [True, False])
def test_weights_come_back_as_their_lines_say_and_all_else_as_it_was(entropy):
    content, weights, lines, lct = packed(entropy)
    unpacked = read_lct(lct)
    assert len(unpacked) == len(content)
    for tensor, one in zip(weights, lines, strict=True):
        assert np.array_equal(tensor.read(unpacked).astype(np.float32), one.weights())
    restored = bytearray(unpacked)
    for tensor in stored_tensors(content):
        restored[tensor.start : tensor.start + tensor.nbytes] = content[
            tensor.start : tensor.start + tensor.nbytes
        ]
        if not tensor.weights:
            assert np.allclose(tensor.read(unpacked), tensor.read(content), rtol=1e-3)
    assert bytes(restored) == content
    assert read_lct(lct) == unpacked


def test_weights_are_read_and_written_in_the_order_of_their_kernels():
    kernel = np.arange(16 * 9 * 6, dtype=np.float32).reshape(16, 3, 3, 6)
    content = classifier(kernel=kernel)
    (tensor,) = [one for one in stored_tensors(content) if one.shape == kernel.shape]
    rows = tensor.read(content)
    assert rows.shape == (16, 54)
    assert rows[2, :9].tolist() == kernel[2, :, :, 0].reshape(-1).tolist()
    changed = bytearray(content)
    tensor.write(changed, rows)
    assert bytes(changed) == content


def test_every_damaged_byte_and_every_cut_is_noticed():
    lct = packed()[3]
    for position in range(len(lct)):
        damaged = bytearray(lct)
        damaged[position] ^= 1 << (position % 8)
        with pytest.raises(ModelFileError, match=r"damaged|not a \.lct"):
            read_lct(bytes(damaged))
    for length in range(0, len(lct), 97):
        with pytest.raises(ModelFileError, match=r"damaged|not a \.lct"):
            read_lct(lct[:length])
    with pytest.raises(ModelFileError, match="damaged"):
        read_lct(lct + b"\0")


def test_a_newer_version_is_named():
    lct = packed()[3]
    head = bytearray(lct[:24])
    struct.pack_into("<H", head, 4, VERSION + 1)
    newer = bytes(head) + struct.pack("<I", zlib.crc32(head)) + lct[28:]
    with pytest.raises(ModelFileError, match=f"version {VERSION + 1}.*knows {VERSION}"):
        read_lct(newer)


def test_runs_of_the_paper_are_kept_too():
    content = classifier()
    weights = [tensor for tensor in stored_tensors(content) if tensor.weights]
    lines = [paper_runs(tensor.read(content), 0.05) for tensor in weights]
    unpacked = read_lct(write_lct(content, lines, True))
    assert all(
        np.array_equal(tensor.read(unpacked).astype(np.float32), one.weights())
        for tensor, one in zip(weights, lines, strict=True)
    )


def test_what_is_not_there_or_no_lct_is_said(tmp_path):
    with pytest.raises(ModelFileError, match="does not exist"):
        read_lct(tmp_path / "gone.lct")
    (tmp_path / "net.lct").write_bytes(classifier())
    with pytest.raises(ModelFileError, match=r"not a \.lct file"):
        read_lct(tmp_path / "net.lct")
