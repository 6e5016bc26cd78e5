"""How long does a .tflite file take here, and where does the time go? The whole way in Python.

``python examples/time_a_network.py NET.tflite`` profiles this machine (once, for a minute), learns its time model,
predicts the network layer by layer and then runs it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import edgetime as et

PROFILE, MODEL = Path("here.db"), Path("here.timemodel.json")


def main(network: str) -> None:
    """Predict, measure, compare."""
    if not MODEL.exists():
        et.profile("local", PROFILE, minutes=1.0)
        et.fit(PROFILE).save(MODEL)
    model = et.load_time_model(MODEL)
    prediction = et.predict(model, network)
    measured = et.measure(network, "local")
    print(f"{network}: predicted {prediction.predicted_ms:.3f} ms, measured {measured.measured_ms:.3f} ms")
    for layer in sorted(prediction.layers, key=lambda layer: -layer.predicted_ms)[:5]:
        print(
            f"  {layer.op:20} predicted {layer.predicted_ms:.4f} ms, measured {measured.layer_ms[layer.index]:.4f} ms"
        )
    for group, option in et.advise(model, et.read_network(network)).top[:3]:
        print(f"  group {group}: {option.width} channels would save {option.saving_ms:.4f} ms")


if __name__ == "__main__":
    main(sys.argv[1])
