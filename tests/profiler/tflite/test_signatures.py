"""Files of several signatures: which there are, and each as a file of its own."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from hypothesis import given
from hypothesis import strategies as st

from profiler.errors import ModelFileError, UsageError
from profiler.operators import unary
from profiler.probes import Probe
from profiler.tflite import only_signature, read_network, read_signatures

OPS = ("relu", "tanh", "logistic")


def signed(ops: tuple[str, ...] = OPS) -> bytes:
    """A file with one graph of one operator for each of `ops`, and a signature of the same name for each."""
    import flatbuffers

    whole = None
    for number, op in enumerate(ops):
        model = schema.ModelT.InitFromPackedBuf(Probe("layer", (unary(op, (1, 4)),)).build(), 0)
        graph = model.subgraphs[0]
        signature = schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = op.encode(), number
        for name, places in (("inputs", graph.inputs), ("outputs", graph.outputs)):
            tensor = schema.TensorMapT()
            tensor.name, tensor.tensorIndex = b"x" if name == "inputs" else b"y", int(places[0])
            setattr(signature, name, [tensor])
        if whole is None:
            whole, whole.signatureDefs = model, [signature]
            continue
        for operator in graph.operators:
            operator.opcodeIndex += len(whole.operatorCodes)
        for tensor in graph.tensors:
            tensor.buffer += len(whole.buffers)
        whole.operatorCodes += model.operatorCodes
        whole.buffers += model.buffers
        whole.subgraphs.append(graph)
        whole.signatureDefs.append(signature)
    builder = flatbuffers.Builder(1024)
    builder.Finish(whole.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


@pytest.fixture(scope="module")
def content() -> bytes:
    return signed()


def test_signatures_are_named_in_the_order_of_the_file(content: bytes, tmp_path: Path):
    assert read_signatures(content) == OPS
    (tmp_path / "net.tflite").write_bytes(content)
    assert read_signatures(tmp_path / "net.tflite") == OPS


def test_a_file_without_signatures_has_none():
    assert read_signatures(Probe("layer", (unary("relu", (1, 4)),)).build()) == ()


@pytest.mark.parametrize("op", OPS)
def test_each_signature_alone_is_read_and_run_as_the_network_that_it_names(content: bytes, op: str):
    alone = only_signature(content, op)
    assert len(alone) == len(content)
    assert [layer.op for layer in read_network(alone).layers] == [op]
    assert read_signatures(alone) == (op,)
    x = np.array([[-2.0, -0.5, 0.5, 2.0]], np.float32)
    whole = Interpreter(model_content=content).get_signature_runner(op)(x=x)["y"]
    runner = Interpreter(model_content=alone)
    runner.allocate_tensors()
    runner.set_tensor(runner.get_input_details()[0]["index"], x)
    runner.invoke()
    np.testing.assert_array_equal(runner.get_tensor(runner.get_output_details()[0]["index"]), whole)
    np.testing.assert_array_equal(Interpreter(model_content=alone).get_signature_runner(op)(x=x)["y"], whole)


def test_taking_one_signature_twice_changes_nothing(content: bytes):
    alone = only_signature(content, "tanh")
    assert only_signature(alone, "tanh") == alone


def test_an_unknown_signature_is_refused_with_those_that_there_are(content: bytes):
    with pytest.raises(UsageError, match="no signature 'gelu', only relu, tanh, logistic"):
        only_signature(content, "gelu")


@given(cut=st.integers(0, 600), flipped=st.integers(0, 599))
def test_damaged_files_never_give_another_error(cut: int, flipped: int):
    damaged = bytearray(signed(OPS[:2])[:cut] if cut < 600 else signed(OPS[:2]))
    if flipped < len(damaged):
        damaged[flipped] ^= 0xFF
    for look in (read_signatures, lambda data: only_signature(data, "tanh")):
        with contextlib.suppress(ModelFileError, UsageError):
            look(bytes(damaged))
