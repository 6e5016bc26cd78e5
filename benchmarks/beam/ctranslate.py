"""``python -m benchmarks.beam.ctranslate WORK 1 [--data MULTI30K]``: a trained transformer's weights as CTranslate2 reads them.

Writes the folder ``multi30k-transformer-1-ctranslate2``, which ``python -m benchmarks.beam WORK --rivals N`` compares.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

LAYERS, HEADS = 2, 4


def main() -> None:
    """Write one network."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.beam.ctranslate", description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("seed", type=int)
    parser.add_argument("--corpus", default="multi30k")
    parser.add_argument("--data", type=Path, help="folder of the Multi30k repository")
    given = parser.parse_args()
    from examples.translation import corpora, networks, training

    sizes = corpora.sizes(corpora.CORPORA[given.corpus], given.work, given.data)
    network = networks.transformer(sizes, heads=HEADS, layers=LAYERS)
    name = f"{given.corpus}-transformer-{given.seed}"
    training.load_best(network.trained, given.work / name)
    to_ctranslate2(network.trained, sizes, given.work / f"{name}-ctranslate2")
    print(given.work / f"{name}-ctranslate2")


def to_ctranslate2(model: Any, sizes: Any, folder: Path) -> None:
    """Write a transformer's weights as CTranslate2 reads them."""
    import ctranslate2
    from ctranslate2.specs import transformer_spec

    from examples.translation.networks import positions

    parts = {layer.name: layer for layer in model.parts}

    def weights(name: str) -> list[np.ndarray]:
        return [np.asarray(value) for value in parts[name].get_weights()]

    def linear(spec: Any, *names: str) -> None:
        found = [weights(name) for name in names]
        spec.weight = np.concatenate([kernel.T for kernel, _ in found])
        spec.bias = np.concatenate([bias for _, bias in found])

    def norm(spec: Any, name: str) -> None:
        spec.gamma, spec.beta = weights(name)

    def feed_forward(spec: Any, name: str) -> None:
        norm(spec.layer_norm, f"{name}_norm_ff")
        linear(spec.linear_0, f"{name}_inner")
        linear(spec.linear_1, f"{name}_outer")

    spec = transformer_spec.TransformerSpec.from_config(LAYERS, HEADS, pre_norm=True)
    # CTranslate2 looks some positions ahead of the longest output.
    waves = positions(max(sizes.source_length, sizes.target_length) + 8, sizes.units)
    for side, embeddings in (
        (spec.encoder, spec.encoder.embeddings[0]),
        (spec.decoder, spec.decoder.embeddings),
    ):
        (embeddings.weight,) = weights("source_embedding" if side is spec.encoder else "target_embedding")
        side.scale_embeddings = True
        side.position_encodings.encodings = waves
        norm(side.layer_norm, "encoder_norm" if side is spec.encoder else "decoder_norm")
    for number in range(LAYERS):
        name, layer = f"encoder{number}", spec.encoder.layer[number]
        norm(layer.self_attention.layer_norm, f"{name}_norm")
        linear(layer.self_attention.linear[0], *(f"{name}_{part}" for part in "qkv"))
        linear(layer.self_attention.linear[1], f"{name}_out")
        feed_forward(layer.ffn, name)
        name, layer = f"decoder{number}", spec.decoder.layer[number]
        norm(layer.self_attention.layer_norm, f"{name}_norm")
        linear(layer.self_attention.linear[0], *(f"{name}_{part}" for part in "qkv"))
        linear(layer.self_attention.linear[1], f"{name}_out")
        norm(layer.attention.layer_norm, f"cross{number}_norm")
        linear(layer.attention.linear[0], f"cross{number}_q")
        linear(layer.attention.linear[1], f"cross{number}_k", f"cross{number}_v")
        linear(layer.attention.linear[2], f"cross{number}_out")
        feed_forward(layer.ffn, name)
    (table,) = weights("target_embedding")
    spec.decoder.projection.weight = table
    spec.decoder.projection.bias = np.asarray(parts["logits"].bias)
    words = ["<blank>", "<unk>", "<s>", "</s>", *(f"t{number}" for number in range(4, sizes.source_tokens))]
    spec.register_source_vocabulary(words)
    spec.register_target_vocabulary(words[: sizes.target_tokens])
    spec.validate()
    spec.save(str(folder)) if folder.is_dir() else (folder.mkdir(parents=True), spec.save(str(folder)))
    assert ctranslate2.contains_model(str(folder))


if __name__ == "__main__":
    main()
