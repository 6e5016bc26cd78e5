"""Level ``finetune``: the rebuilt network is the network, and trained words answer better in as many bytes."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_lines import classifier, rows

from compressor.data import Data
from compressor.export import TfliteRunner
from compressor.weights.line_compress import pack, read_lct
from compressor.weights.line_compress.finetuning import places
from compressor.weights.line_compress.lines import BitCosts, cut
from compressor.weights.line_compress.rebuilding import Rebuilt
from compressor.weights.line_compress.tensors import stored_tensors
from profiler.errors import UsageError


def test_every_weight_lies_where_the_decoder_draws_it():
    values = np.random.default_rng(0).normal(size=(5, 23))
    values[2] = 0
    segments = cut(values, np.abs(values).max(axis=1) / 15, 5, 3, BitCosts.fixed(5, 3), 0.02)
    assert segments is not None
    at, words = places(segments), segments.words.astype(np.float32)
    found = (words[at.first] * (1 - at.share) + words[at.last] * at.share) * at.step
    assert np.allclose(found.reshape(5, 23), segments.weights(), rtol=1e-5, atol=1e-7)


def test_a_rebuilt_network_answers_as_litert_does():
    content, x = classifier(), rows(5)
    (found,) = Rebuilt(content, stored_tensors(content))([x], {})
    assert np.allclose(found, TfliteRunner(content).predict(x), atol=1e-5)


def test_trained_words_answer_better_in_as_many_bytes(tmp_path):
    content = classifier()
    network = tmp_path / "net.tflite"
    network.write_bytes(content)
    x, held = rows(640), rows(200, seed=3)
    wanted = TfliteRunner(content).predict(held)
    data = Data(x, TfliteRunner(content).predict(x).argmax(axis=1), held, wanted.argmax(axis=1))
    errors, sizes = [], []
    for level, more in (("dp", {}), ("finetune", {"epochs": 10})):
        found = pack(network, tmp_path / "net.lct", level, ratio=7.0, data=data, coding="fixed", **more)
        outputs = TfliteRunner(read_lct(tmp_path / "net.lct")).predict(held)
        errors.append(float((wanted * np.log(wanted / np.maximum(outputs, 1e-7))).sum(axis=1).mean()))
        sizes.append(found.nbytes)
    assert sizes[1] == sizes[0]
    assert errors[1] < 0.97 * errors[0]


def test_an_operator_that_cannot_be_trained_is_named():
    from profiler.operators import unary
    from profiler.probes import Probe

    content = Probe("layer", (unary("rsqrt", (1, 4)),)).build()
    with pytest.raises(UsageError, match=r"operator 'rsqrt'.*level dp"):
        Rebuilt(content, [])
