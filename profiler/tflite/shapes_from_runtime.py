"""Shapes that only the runtime knows, asked for in a process of their own: a damaged file can crash the runtime."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from profiler.errors import ModelFileError

_LONGEST_S = 120.0
Shapes = dict[int, tuple[int, ...]]


def runtime_shapes(
    data: str | os.PathLike[str] | bytes, name: str, inputs: Mapping[int, tuple[int, ...]]
) -> list[Shapes]:
    """By graph, the main one first: shape of every tensor once the inputs have the shapes `inputs` (by tensor number).

    `data` is the file or its bytes, `name` what messages call it; ModelFileError where no runtime is installed or it refuses.
    """
    if isinstance(data, bytes):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "network.tflite"
            path.write_bytes(data)
            return _ask(path, name, inputs)
    return _ask(Path(data), name, inputs)


def _ask(path: Path, name: str, inputs: Mapping[int, tuple[int, ...]]) -> list[Shapes]:
    question = json.dumps(
        {"path": str(path.resolve()), "inputs": {str(k): list(v) for k, v in inputs.items()}}
    )
    code = "from profiler.tflite.shapes_from_runtime import main; main()"
    root = str(Path(__file__).resolve().parents[2])
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    }
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            input=question,
            capture_output=True,
            text=True,
            timeout=_LONGEST_S,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ModelFileError(
            f"The runtime did not come to terms with the shapes of {name} within {_LONGEST_S:.0f} s: "
            "export it again with fixed shapes."
        ) from None
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    answer: dict[str, Any] = {"error": "it crashed"}
    if done.returncode == 0 and lines:
        answer = json.loads(lines[-1])
    if "error" in answer:
        given = ", ".join("x".join(map(str, shape)) for shape in inputs.values())
        raise ModelFileError(
            f"The runtime cannot work out the shapes of {name}{' for input ' + given if given else ''} "
            f"({answer['error']}): give others with --input-shape, or export it again with fixed shapes."
        )
    return [{int(k): tuple(v) for k, v in shapes.items()} for shapes in answer["shapes"]]


def main() -> None:
    """Answer one question on standard input; for the process that `runtime_shapes` starts."""
    question = json.loads(sys.stdin.read())
    try:
        shapes = _shapes(question["path"], {int(k): v for k, v in question["inputs"].items()})
    except Exception as error:  # the runtime raises many kinds, and all of them are the answer
        print(json.dumps({"error": " ".join(str(error).split())[:200] or type(error).__name__}))
        return
    print(json.dumps({"shapes": shapes}))


def _shapes(path: str, inputs: dict[int, list[int]]) -> list[dict[int, list[int]]]:
    try:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType
    except ImportError:
        from tflite_runtime.interpreter import Interpreter, OpResolverType
    resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(model_path=path, experimental_op_resolver_type=resolver)
    known = [{d["index"] for d in details} for details in _details(interpreter)]
    for index, shape in inputs.items():
        interpreter.resize_tensor_input(index, shape)
    interpreter.allocate_tensors()
    if any(_lacks_memory(interpreter, index) for index in known[0]):
        # Shapes that depend on data are only known after a run.
        interpreter.invoke()
    return [
        {d["index"]: [int(n) for n in d["shape"]] for d in details if d["index"] in indices}
        for details, indices in zip(_details(interpreter), known, strict=True)
    ]


def _details(interpreter: Any) -> list[list[dict[str, Any]]]:
    """Tensors by graph; old runtimes tell of the main one only."""
    count = getattr(interpreter, "num_subgraphs", None)
    if count is None:
        return [interpreter.get_tensor_details()]
    return [interpreter.get_tensor_details(subgraph_index=graph) for graph in range(count())]


def _lacks_memory(interpreter: object, index: int) -> bool:
    try:
        interpreter.tensor(index)()  # type: ignore[attr-defined]
    except ValueError:
        return True
    return False
