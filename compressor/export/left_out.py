"""What a `.tflite` file does otherwise than its Keras model, whatever the precision: said, since nothing else tells it."""

from __future__ import annotations

from typing import Any

_HALF = ("float16", "bfloat16")


def silent_changes(model: Any) -> tuple[str, ...]:
    """A sentence on each thing that the file leaves out or does in another way."""
    found = []
    layers = list(model._flatten_layers()) if hasattr(model, "_flatten_layers") else []
    noisy = [layer.name for layer in layers if _stays_random(layer)]
    if noisy:
        found.append(
            f"The model keeps dropout or noise at inference ({', '.join(noisy)}), and the file has none: it gives one answer, "
            "without the spread of several runs."
        )
    batches = {tensor.shape[0] for tensor in getattr(model, "inputs", None) or ()} - {None, 1}
    if batches:
        found.append(f"The model's batch is fixed at {max(batches)}, and the file takes 1 row at a time.")
    half = {str(getattr(layer, "compute_dtype", "")) for layer in layers} & set(_HALF)
    if half:
        found.append(f"The model computes in {' and '.join(sorted(half))}, and the file in float32.")
    return tuple(found)


def _stays_random(layer: Any) -> bool:
    """Whether a layer that draws random numbers was called with ``training=True`` where the model was built."""
    if not hasattr(layer, "seed_generator"):
        return False
    return any(
        getattr(node, "arguments", None) is not None and node.arguments.kwargs.get("training") is True
        for node in getattr(layer, "_inbound_nodes", ())
    )
