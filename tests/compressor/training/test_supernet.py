"""One network that computes what any configuration of it would."""

import numpy as np
import pytest
from small_networks import attention_network, recurrent_network, resnet, transfer_network

from compressor.graph import build_graph, cut, find_blocks, without
from compressor.training import input_names, run
from compressor.training.supernet import Supernet

NETWORKS = {
    "attention": attention_network,
    "a model inside": transfer_network,
    "recurrent": recurrent_network,
    "residual": resnet,
}


def _rows(model, count=3):
    rng = np.random.default_rng(0)
    rows = [rng.normal(size=(count, *one.shape[1:])).astype(np.float32) for one in model.inputs]
    return rows[0] if len(rows) == 1 else dict(zip(input_names(model), rows, strict=True))


@pytest.mark.parametrize("kind", sorted(NETWORKS))
def test_it_computes_what_the_network_without_some_blocks_and_channels_does(kind):
    model = NETWORKS[kind]()
    graph, rows, rng = build_graph(model), _rows(model), np.random.default_rng(1)
    branches = {name: block for name, block in find_blocks(model).removable.items() if block.branch}
    supernet = Supernet(model, graph, branches)
    for some in ([], [name for name in branches if rng.random() < 0.7]):
        smaller = without(model, [branches[name] for name in some])
        own = build_graph(smaller)
        keep = {
            name: sorted(rng.choice(width, max(1, width // 2), replace=False).tolist())
            for name, width in own.widths.items()
        }
        outputs = supernet(rows, *supernet.switches(keep, some), training=False)
        wanted = run(cut(smaller, keep, own), rows)
        np.testing.assert_allclose(outputs, wanted, rtol=1e-4, atol=1e-5)


def test_normalisations_forget_what_they_saw():
    model = resnet()
    supernet = Supernet(model, build_graph(model), {})
    before = [np.array(w) for w in supernet.model.get_weights()]
    supernet(_rows(model), *supernet.switches({}))
    for old, new in zip(before, supernet.model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_layer_in_a_row_that_is_gone_passes_on_what_it_reads():
    from keras import Input, Model, layers

    source = Input((4,))
    x = layers.Dense(5, activation="tanh", name="first")(source)
    x = layers.ReLU(name="relu")(layers.Dense(5, name="second")(x))
    model = Model(source, layers.Dense(2, name="head")(x))
    blocks = find_blocks(model).removable
    supernet = Supernet(model, build_graph(model), blocks)
    keep = {"first": [0, 3], "second": [0, 3]}
    outputs = supernet(_rows(model), *supernet.switches(keep, ["second"]), training=False)
    smaller = without(model, [blocks["second"]])
    wanted = cut(smaller, {"first": [0, 3]}, build_graph(smaller))(_rows(model))
    np.testing.assert_allclose(outputs, wanted, rtol=1e-5, atol=1e-6)
